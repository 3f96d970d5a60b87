# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies between the client and both servers."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Network:
    name: str
    latency: float = 0.0
    """Seconds of a round trip."""
    rate: float = 0.0
    """Bytes per second of one connection in one direction; 0 is no limit."""
    is_direct: bool = False
    """No proxy, and so nothing of the above."""


DIRECT = Network("direct", is_direct=True)
PROXY_ALONE = Network("a proxy that adds nothing")


def delayed(milliseconds: float) -> Network:
    return Network(f"{milliseconds:g} ms", latency=milliseconds / 1000)


def capped(mib_per_second: float) -> Network:
    return Network(f"{mib_per_second:g} MiB/s per connection", rate=mib_per_second * MIB)
