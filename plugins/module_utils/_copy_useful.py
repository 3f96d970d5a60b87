# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many parts at a time are of use: more, while a part takes no longer for it.

Where distance or a cap on each connection is the bound, a part takes as long beside sixty others as
beside ten. Where the server or this machine is, it takes longer the more there are; then more of
them bring nothing, and far too many make a server slower than it needs to be.
"""

from __future__ import annotations

AT_FIRST = 12
FEWEST = 4
# Compared with what a part took beside the fewest others: up to here it counts as no longer, from
# there on as overdone. A doubling of single parts by chance is common, so it counts for less.
NO_LONGER = 1.3
OVERDONE = 2.0
STEP_BACK = 0.25
# Nobody knows yet what is usual, but waiting to know would cost a whole round.
FIRST_STEP = 0.5
SAMPLES = 32


class Useful:
    """Learns from the seconds of each part that came to its end."""

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._fewest = float(min(most, FEWEST))
        self._number = float(min(most, AT_FIRST))
        self._parts = 0
        self._mean = 0.0
        self._usual = float("inf")
        """What a part takes where nothing is overdone."""

    @property
    def number(self) -> int:
        return int(self._number)

    def learn(self, seconds: float) -> None:
        self._number = min(self._most, max(self._fewest, self._number + self._step(seconds)))
        self._parts += 1
        self._mean += (seconds - self._mean) / min(self._parts, SAMPLES)
        if self._parts >= AT_FIRST:
            at_the_bottom = self._number <= self._fewest
            self._usual = self._mean if at_the_bottom else min(self._usual, self._mean)

    def _step(self, seconds: float) -> float:
        if self._parts < AT_FIRST:
            return FIRST_STEP
        if seconds <= self._usual * NO_LONGER:
            return 1.0
        return -STEP_BACK if seconds > self._usual * OVERDONE else 0.0
