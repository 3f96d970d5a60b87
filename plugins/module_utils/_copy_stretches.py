# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Over how many connections one part is read: more than one where each is slow, or may be.

A part that is there sooner leaves its memory sooner to the next one. Until something was read,
nobody knows; all that waits then waits for the first parts.
"""

from __future__ import annotations

from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import MIB, Part

MOST_STRETCHES = 4
SMALLEST_STRETCH = MIB
# Of the first parts, which may turn out not to be worth the requests.
SMALLEST_FIRST_STRETCH = 2 * MIB
# A part that takes longer over one connection is worth the requests; each is to take about half.
SLOW = 1.0
SECONDS_OF_A_STRETCH = 0.5


class Stretches:
    """Learns from the seconds of each part that was read."""

    def __init__(self) -> None:
        self._rate = 0.0
        """Bytes per second of one connection, 0 while it is not known."""

    def of(self, part: Part) -> list[Part]:
        """Return the stretches of a part to read side by side; all carry its number."""
        number = self._number(part)
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
        if not self._rate:
            return _within(part.size // SMALLEST_FIRST_STRETCH)
        seconds = part.size / self._rate
        if seconds <= SLOW:
            return 1
        most = _within(part.size // SMALLEST_STRETCH)
        return min(most, int(seconds / SECONDS_OF_A_STRETCH))


def _within(number: int) -> int:
    return max(1, min(MOST_STRETCHES, number))


def seconds_in_one(part: Part, stretch: Part, seconds: float, round_trip: float) -> float:
    """Return how many seconds reading all of a part would take over one connection.

    :param seconds: what one of its stretches took, with its round trip.
    :param round_trip: is due once, however long the part is.
    """
    moving = max(0.0, seconds - round_trip)
    return seconds + moving * (part.size - stretch.size) / stretch.size
