# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Over how many connections one part is read: more than one where each is slow.

A part that is there sooner leaves its memory sooner to the next one.
"""

from __future__ import annotations

from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import MIB, Part

MOST_STRETCHES = 4
SMALLEST_STRETCH = MIB
# A part that takes longer over one connection is worth the requests; each is to take about half.
SLOW = 1.0
SECONDS_OF_A_STRETCH = 0.5


class Stretches:
    """Learns from the seconds of each part that was read."""

    def __init__(self) -> None:
        self._rate = float("inf")
        """Bytes per second of one connection."""

    def of(self, part: Part) -> list[Part]:
        """Return the stretches of a part to read side by side; all carry its number."""
        number = min(self._number(part), max(1, part.size // SMALLEST_STRETCH))
        step = -(-part.size // number)
        if not step:
            return [part]
        ends = part.offset + part.size
        return [
            Part(part.number, offset, min(step, ends - offset))
            for offset in range(part.offset, ends, step)
        ]

    def learn(self, size: int, seconds: float) -> None:
        """Count a stretch that was read."""
        self._rate = size / seconds if seconds > 0 else float("inf")

    def _number(self, part: Part) -> int:
        seconds = part.size / self._rate
        if seconds <= SLOW:
            return 1
        return min(MOST_STRETCHES, int(seconds / SECONDS_OF_A_STRETCH))
