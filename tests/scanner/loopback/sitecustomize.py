# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subdomains of localhost are this machine, as RFC 6761 has it; some resolvers do not know.

Python imports this file by its name at its start, where its folder is in PYTHONPATH.
"""

from __future__ import annotations

import socket
from typing import Any

_resolve = socket.getaddrinfo


def _loopback_first(host: Any, *args: Any, **kwargs: Any) -> Any:
    below = isinstance(host, str) and host.endswith(".localhost")
    return _resolve("127.0.0.1" if below else host, *args, **kwargs)


socket.getaddrinfo = _loopback_first
