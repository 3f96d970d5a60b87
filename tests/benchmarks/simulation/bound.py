# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shortest time in which AWS lets a fleet be stored, whoever asks and in whatever order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """One AMI: its size in GiB, and how many seconds AWS works on it."""

    gib: int
    seconds: float


@dataclass(frozen=True)
class Allowance:
    """What an account may do: starts at once, seconds for each further one, GiB in flight."""

    burst: int = 50
    seconds_per_start: float = 10.0
    in_flight: int = 1200

    def left_by(self, share: float) -> Allowance:
        """What is left when somebody else takes that share of everything."""
        rest = 1 - share
        return Allowance(
            int(self.burst * rest), self.seconds_per_start / rest, int(self.in_flight * rest)
        )


def rate_bound(works: Sequence[Work], allowed: Allowance) -> float:
    """By the request rate: the m-th start and the shortest of the m longest tasks, for any m."""
    longest_first = sorted((work.seconds for work in works), reverse=True)
    return max(
        max(0, number - allowed.burst) * allowed.seconds_per_start + seconds
        for number, seconds in enumerate(longest_first, 1)
    )


def room_bound(works: Sequence[Work], allowed: Allowance) -> float:
    """By the GiB in flight: all that has to go through, through a pipe that is always full."""
    gib_seconds = sum(min(work.gib, allowed.in_flight) * work.seconds for work in works)
    return gib_seconds / allowed.in_flight


def lower_bound(works: Sequence[Work], allowed: Allowance) -> float:
    return max(rate_bound(works, allowed), room_bound(works, allowed))
