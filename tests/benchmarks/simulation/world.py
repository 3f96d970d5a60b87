# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An account in virtual time that is quick enough for thousands of AMIs: the unit tests' AWS, with
durations of its own for every task, and with somebody else at work in it.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.emulator.limits import Rate
from tests.emulator.model import Refused, Restores, StoreTask, StoreTasks, Work
from tests.emulator.scenario import Scenario
from tests.unit.plugins.module_utils.fake_aws import (
    HERE,
    OTHER_BUCKET,
    S3,
    Answer,
    FakeAws,
    StoredThing,
)
from tests.unit.plugins.module_utils.virtual_clock import VirtualClock

CREATE = "CreateStoreImageTask"
DESCRIBE = "DescribeStoreImageTasks"


class EventClock(VirtualClock):
    """Virtual time in which others act at their own moments, also while the engine sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, moment: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), happen))

    def sleep(self, seconds: float) -> None:
        end = self._now + seconds
        self._live_until(end)
        super().sleep(max(end - self._now, 1e-9))

    def pass_by(self, seconds: float) -> None:
        self._live_until(self._now + seconds)
        super().pass_by(seconds)

    def _live_until(self, end: float) -> None:
        start = self._now
        while self._events and self._events[0][0] <= end:
            moment, _order, happen = heapq.heappop(self._events)
            self._now = max(moment, start)
            happen()
        self._now = start


@dataclass
class QuickTasks(StoreTasks):
    """The emulator's store tasks, with planned durations and no look at what has long ended."""

    durations: dict[str, float] = field(default_factory=dict)
    _open: list[StoreTask] = field(default_factory=list)
    _next_end: float = 0.0

    def add(self, **values: Any) -> StoreTask:
        task = super().add(**values)
        task.duration = self.durations.get(task.image_id, task.duration)
        self._open.append(task)
        self._next_end = min(self._next_end, task.ends)
        return task

    def running(self, account: str) -> Iterator[StoreTask]:
        moment = self.now()
        return (task for task in self._open if task.running(moment))

    def settle(self) -> None:
        if self.now() < self._next_end:
            return
        everything, self.items = self.items, self._open
        super().settle()
        self.items = everything
        self._open = [task for task in self._open if not task.settled]
        self._next_end = min((task.ends for task in self._open), default=float("inf"))


@dataclass
class QuickRestores(Restores):
    """The emulator's restores, in the same way; `durations` by object key."""

    durations: dict[str, float] = field(default_factory=dict)
    _open: list[Work] = field(default_factory=list)
    _next_end: float = 0.0

    def start(self, *arguments: Any, **values: Any) -> Work:
        restore = super().start(*arguments, **values)
        restore.duration = self.durations.get(restore.key, restore.duration)
        self._open.append(restore)
        self._next_end = min(self._next_end, restore.ends)
        return restore

    def running(self, account: str) -> Iterator[Work]:
        moment = self.now()
        return (restore for restore in self._open if restore.running(moment))

    def settle(self) -> None:
        if self.now() < self._next_end:
            return
        everything, self.items = self.items, self._open
        super().settle()
        self.items = everything
        self._open = [restore for restore in self._open if not restore.settled]
        self._next_end = min((restore.ends for restore in self._open), default=float("inf"))


class QuickObjects(dict[tuple[str, str], StoredThing]):
    """The objects of all buckets, with the keys of each in order."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: dict[str, list[str]] = {}

    def __setitem__(self, place: tuple[str, str], thing: StoredThing) -> None:
        if place not in self:
            insort(self._keys.setdefault(place[0], []), place[1])
        super().__setitem__(place, thing)

    def page(self, bucket: str, prefix: str, after: str, size: int) -> tuple[list[str], bool]:
        keys = self._keys.get(bucket, [])
        start = max(bisect_left(keys, prefix), bisect_right(keys, after))
        end = bisect_left(keys, prefix + "\uffff")
        return keys[start : min(end, start + size)], start + size < end


class QuickS3(S3):
    """The S3 client, with a listing that does not look at every object of the account."""

    def list_objects_v2(self, Bucket: str, Prefix: str, ContinuationToken: str = "") -> Answer:
        def act() -> Answer:
            objects = self.aws.objects
            assert isinstance(objects, QuickObjects)
            keys, more = objects.page(Bucket, Prefix, ContinuationToken, 1000)
            token = {"NextContinuationToken": keys[-1]} if more else {}
            return {
                "Contents": [self._listed(Bucket, key) for key in keys],
                "IsTruncated": more,
            } | token

        return self.aws.request("ListObjectsV2", Prefix, act)


class Account(FakeAws):
    """AWS's account, quick; an object is there from the moment when its task has ended."""

    def __init__(self, scenario: Scenario, durations: dict[str, float], latency: float) -> None:
        self.event_clock = EventClock()
        objects = QuickObjects()
        super().__init__(
            clock=self.event_clock, scenario=scenario, latency=latency, objects=objects
        )
        self.stores: QuickTasks = QuickTasks(
            now=self.clock.now, scenario=lambda: self.scenario, storage=self, durations=durations
        )
        self.restores: QuickRestores = QuickRestores(
            now=self.clock.now, scenario=lambda: self.scenario, landing=self, durations=durations
        )
        self.s3 = QuickS3(self)
        self._held: set[tuple[str, str]] = set()

    def holds(self, bucket: str, image_id: str) -> bool:
        return (bucket, image_id) in self._held

    def write(self, task: StoreTask) -> str | None:
        self._held.add((task.bucket, task.image_id))
        return super().write(task)

    def take(self, action: str) -> bool:
        """Let somebody else spend a request."""
        rate = self.scenario.rate(action)
        return rate is None or self._rates.take(action, rate)


@dataclass
class Neighbour:
    """Somebody else who takes a share of every bucket of requests and of the GiB in flight.

    Persistent, and deaf: what AWS throttles or refuses is sent again three seconds later.
    """

    account: Account
    share: float
    until: float
    gib: int = 24
    granted: int = 0
    refused: int = 0

    def move_in(self) -> None:
        """Take the share of all that has come together, then of what comes in."""
        create, describe = (self._rate(action) for action in (CREATE, DESCRIBE))
        running = int(create.bucket * self.share)
        seconds = running / (create.refill * self.share)
        for number in range(1, running + 1):
            self._store(seconds * number / running)
        self._repeat(1 / (create.refill * self.share), lambda: self._store(seconds))
        for _request in range(int(describe.bucket * self.share)):
            self.account.take(DESCRIBE)
        self._repeat(1 / (describe.refill * self.share), lambda: self.account.take(DESCRIBE))

    def _rate(self, action: str) -> Rate:
        rate = self.account.scenario.rate(action)
        assert rate is not None
        return rate

    def _repeat(self, pause: float, work: Callable[[], object]) -> None:
        clock = self.account.event_clock

        def act() -> None:
            work()
            if clock.now() < self.until:
                clock.at(clock.now() + pause, act)

        clock.at(clock.now() + pause, act)

    def _store(self, seconds: float) -> None:
        image_id = self.account.new_id("ami")
        self.account.add_image(image_id, self.gib, image_id=image_id)
        self.account.stores.durations[image_id] = seconds
        self._try(image_id)

    def _try(self, image_id: str) -> None:
        try:
            if not self.account.take(CREATE):
                raise Refused("RequestLimitExceeded", "slow down")
            self.account.stores.start(HERE, image_id, OTHER_BUCKET, f"{image_id}.bin", self.gib)
            self.granted += 1
        except Refused:
            self.refused += 1
            clock = self.account.event_clock
            clock.at(clock.now() + 3.0, lambda: self._try(image_id))
