# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast AWS lets us go: request rates, work in flight, how often to look, until when. Times in
seconds.
"""

from __future__ import annotations

import math
import random
import time
import typing as t
from dataclasses import dataclass
from datetime import datetime, timezone


class Clock(t.Protocol):
    """Time, handed in so that a fleet can be run in virtual time."""

    def now(self) -> float:
        """Return the time in seconds since an arbitrary moment."""

    def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""

    def date(self) -> datetime:
        """Return the date and time, to tell how long ago AWS recorded something. Good enough for
        the pace of requests, never for a proof of identity.
        """


class SystemClock:
    """The machine's clock, immune to being set."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def date(self) -> datetime:
        return datetime.now(timezone.utc)


@dataclass(frozen=True)
class Rate:
    """A token bucket of AWS: so many requests at once, then one per `seconds_per_request`."""

    burst: int
    seconds_per_request: float


@dataclass(frozen=True)
class Limits:
    """What AWS allows one account for one operation."""

    create_rate: Rate
    in_flight: int
    """GiB; a task is admitted while the running total stays at or below it."""


# https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
CREATE_RATE = Rate(burst=50, seconds_per_request=10.0)
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-store-restore.html#limits-ami-store-
# restore
STORE_LIMITS = Limits(CREATE_RATE, in_flight=1200)
RESTORE_LIMITS = Limits(CREATE_RATE, in_flight=600)

# DescribeStoreImageTasks, on the page of the request rates above.
DESCRIBE_RATE = Rate(burst=50, seconds_per_request=2.0)

# Leave nearly all of that to others.
FIRST_SURVEY_INTERVAL = 30.0
LONGEST_SURVEY_INTERVAL = 120.0
# Of a hundred AMIs as rarely as after forty minutes; more AMIs make longer runs, so that the
# questions about each become fewer still.
SURVEY_SECONDS_PER_ROOT_OF_ENTRIES = 12.0
LONGEST_SURVEY_INTERVAL_OF_MANY = 300.0
FIRST_LOOK_INTERVAL = 2.0
LONGEST_LOOK_INTERVAL = 20.0

LONGEST_BACK_OFF = 60.0
# How far a throttled answer slows the requests down, at most, and how fast accepted ones speed
# them up again.
MOST_SLOWED = 4.0
SLOWER = 1.5
FASTER = 0.9
# A refusal of unknown cause is taken as final after this long with nothing in flight in the
# account.
PATIENCE = 600.0


class TokenBucket:
    """Our own count of one of AWS's token buckets, never ahead of AWS's: its refill is counted from
    the first answer.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._tokens = float(rate.burst)
        self._counted_at: float | None = None
        self._slowed = 1.0

    def tokens(self, now: float) -> float:
        """Return how many requests may be sent at once."""
        self._refill(now)
        return self._tokens

    def delay(self, now: float) -> float:
        """Return how long to wait before the next request."""
        return max(0.0, 1.0 - self.tokens(now)) * self._seconds_per_request

    def spend(self, now: float) -> None:
        """Count a request that was just answered."""
        self._refill(now)
        self._counted_at = now
        self._tokens -= 1.0

    @property
    def _seconds_per_request(self) -> float:
        return self._rate.seconds_per_request * self._slowed

    def _refill(self, now: float) -> None:
        if self._counted_at is not None:
            refilled = (now - self._counted_at) / self._seconds_per_request
            self._tokens = min(float(self._rate.burst), self._tokens + refilled)
            self._counted_at = now


class CreateRate(TokenBucket):
    """The bucket of the create requests, which others of the account draw from as well."""

    def __init__(self, rate: Rate, jitter: t.Callable[[], float] = random.random) -> None:
        super().__init__(rate)
        self._jitter = jitter
        self._blocked_until = 0.0
        self._setbacks = 0

    def delay(self, now: float) -> float:
        return max(super().delay(now), self._blocked_until - now)

    def count_earlier(self, ages: t.Sequence[float], now: float) -> None:
        """Count requests that were granted so many seconds ago, before this run sent any.

        What was granted before them is unknown: the bucket is supposed empty one filling ago.
        """
        if not ages:
            return
        level, since = 0.0, self._rate.burst * self._rate.seconds_per_request
        for age in sorted((age for age in ages if age <= since), reverse=True):
            level += (since - max(age, 0.0)) / self._rate.seconds_per_request
            level, since = max(0.0, level - 1.0), max(age, 0.0)
        self._tokens = level + since / self._rate.seconds_per_request
        self._counted_at = now

    def count_others(self, requests: int, now: float) -> None:
        """Count requests of others that were granted a short while ago."""
        self._refill(now)
        self._tokens = max(self._tokens - requests, 0.0)

    def settle(self) -> None:
        """Count an accepted request: the way is free again."""
        self._setbacks = 0
        self._slowed = max(1.0, self._slowed * FASTER)

    def back_off(self, now: float) -> None:
        """Count a setback: wait longer each time, by chance, since others of the account wait
        too.
        """
        self._setbacks += 1
        longest = min(
            self._rate.seconds_per_request * 2.0 ** (self._setbacks - 1), LONGEST_BACK_OFF
        )
        self._blocked_until = now + longest * (0.5 + self._jitter() / 2.0)

    def empty(self, now: float) -> None:
        """Count a throttled request: whatever we thought, the bucket is empty, and somebody else
        has a share of what comes in.
        """
        self._refill(now)
        self._tokens = min(self._tokens, 0.0)
        self._slowed = min(MOST_SLOWED, self._slowed * SLOWER)
        self.back_off(now)


def shortest_duration(starts: int, limits: Limits) -> float:
    """Return how long AWS needs at least to accept that many starts."""
    return max(0, starts - limits.create_rate.burst) * limits.create_rate.seconds_per_request


def free_room(limits: Limits, running: int, anything_in_flight: bool) -> float:
    """Return how many GiB may start now, without end for one that starts alone."""
    return limits.in_flight - running if anything_in_flight else float("inf")


def look_interval(age: float, last: bool = False) -> float:
    """Return the pause between two looks for finished work.

    :param age: for how long the work in progress has been going on, in the mean. On average
    an end is then noticed after a thirtieth of what a task takes.
    :param last: hardly anything else is left, so that its end is the end of the run: notice it
    four times as soon.
    """
    return min(max(age / (60.0 if last else 15.0), FIRST_LOOK_INTERVAL), LONGEST_LOOK_INTERVAL)


def survey_interval(elapsed: float, entries: int) -> float:
    """Return the pause between two questions about the work in progress: the longer a run has
    taken already, and the more it has to do, the less a minute of one AMI matters.
    """
    by_time = min(elapsed / 20.0, LONGEST_SURVEY_INTERVAL)
    by_work = SURVEY_SECONDS_PER_ROOT_OF_ENTRIES * math.sqrt(entries)
    return max(FIRST_SURVEY_INTERVAL, by_time, min(by_work, LONGEST_SURVEY_INTERVAL_OF_MANY))
