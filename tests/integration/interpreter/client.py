# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for a Python interpreter, and lets the one of server.py run the program."""

from __future__ import annotations

import json
import os
import socket
import sys


def main(arguments: list[str]) -> int:
    call = {"arguments": arguments, "folder": os.getcwd(), "variables": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.path.join(os.path.dirname(__file__), "socket"))
        socket.send_fds(server, [b"."], [0, 1, 2])
        server.sendall(json.dumps(call).encode() + b"\n")
        # Nothing comes from a process that a signal ended.
        return (server.recv(1) or b"\xff")[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
