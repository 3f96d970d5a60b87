# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which AMI to start next, so that neither the request rate nor the GiB in flight lie idle."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.amistore.aws.plugins.module_utils._pacing import Limits

# AWS publishes no durations. Only the first choices of a run rest on this one.
FIRST_GUESS_GIB = 100.0
FIRST_GUESS_SECONDS = 600.0
# Requests are held cheap only while there are so many that soon some would be lost.
MANY_TOKENS = 0.75
# How much the room must be scarcer than the requests to go first. The guesses of durations err.
MARGIN = 1.5


class Pace:
    """How long AWS works on a GiB, learned from what has ended in this run."""

    def __init__(self) -> None:
        self._gib = FIRST_GUESS_GIB
        self._seconds = FIRST_GUESS_SECONDS

    def learn(self, gib: int, seconds: float) -> None:
        self._gib += gib
        self._seconds += seconds

    def seconds(self, gib: int) -> float:
        """Return how long an AMI of that size is likely to take."""
        return gib * self._seconds / self._gib


@dataclass(frozen=True)
class Queue:
    """What waits to be started, and what there is to start it with."""

    sizes: t.Sequence[int]
    """GiB of all that is ready, whether it fits now or not."""
    tokens: float
    """Create requests that may be sent at once."""
    limits: Limits
    pace: Pace
    gib_seconds: float = 0.0
    """What is likely left of the work in flight."""

    @property
    def seconds_by_rate(self) -> float:
        """How long the requests alone take."""
        waiting = max(0.0, len(self.sizes) - self.tokens)
        return waiting * self.limits.create_rate.seconds_per_request

    @property
    def seconds_by_room(self) -> float:
        """How long everything takes to go through a pipe that is always full, and the largest."""
        limit = self.limits.in_flight
        work = sum(min(gib, limit) * self.pace.seconds(gib) for gib in self.sizes)
        return max((work + self.gib_seconds) / limit, self.pace.seconds(max(self.sizes)))


Order = t.Callable[[t.Sequence[int], Queue], int]
"""Returns the index of the one to start next, from the sizes of those that fit now."""


def keep_both_busy(fitting: t.Sequence[int], queue: Queue) -> int:
    """Choose the largest that fits; the smallest instead while requests are about to be lost.

    Largest first fills the pipe best and leaves no long task for the end. But where large ones fill
    it for long, the bucket of requests runs over, and the many small ones wait at the end for
    requests that could have been had before. So, when the bucket is nearly full and the requests
    may become what everything waits for, small ones go first: they take little room for a request.
    """
    many = queue.tokens > queue.limits.create_rate.burst * MANY_TOKENS
    if many and queue.seconds_by_rate * MARGIN > queue.seconds_by_room:
        return fitting.index(min(fitting))
    return fitting.index(max(fitting))
