# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How store tasks and restores go on in time. Knows no HTTP, no S3 and no clock of its own.

`now` is handed in, so the same model runs behind the emulator in accelerated real time and
in a simulation in virtual time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from . import choices
from .limits import COPY_IN_BUCKET, STORE_IN_PROGRESS, TASK_HISTORY_SECONDS
from .scenario import Failure, Scenario

FOREVER = float("inf")


class Refused(Exception):
    """AWS says no, at once: the error code and message of the answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @classmethod
    def by(cls, refusal: choices.Refusal, **values: object) -> Refused:
        return cls(refusal.code, refusal.message.format(**values))


@dataclass(frozen=True)
class Place:
    """The account and Region that a request belongs to."""

    account: str
    region: str


@dataclass
class Work:
    """Something that takes time and ends well or badly."""

    place: Place
    image_id: str
    bucket: str
    key: str
    gib: int
    started: float
    duration: float
    failure: Failure | None = None
    fixed_percent: int | None = None
    payload: Any = None
    settled: bool = False

    @property
    def ends(self) -> float:
        share = self.failure.at_percent / 100 if self.failure else 1.0
        return self.started + self.duration * share

    def running(self, moment: float) -> bool:
        return moment < self.ends

    def percent(self, moment: float) -> int:
        """Estimated progress; 100 only when it has ended well."""
        running = self.running(moment)
        if not running and not self.failure:
            return 100
        if self.fixed_percent is not None:
            return self.fixed_percent
        if not running and self.failure:
            return self.failure.at_percent
        return max(0, min(99, int(100 * (moment - self.started) / self.duration)))

    def break_off(self, moment: float, reason: str) -> None:
        """Fail at this moment, whatever was planned."""
        percent = self.percent(moment)
        self.duration = max(0.0, moment - self.started)
        self.failure = Failure(reason, at_percent=100)
        self.fixed_percent = percent


@dataclass
class StoreTask(Work):
    """One CreateStoreImageTask and what its caller is allowed to see of it, and when."""

    serial: int = 0
    listed_from: float = 0.0
    update_lag: float = 0.0

    def record(self, moment: float) -> TaskRecord:
        """What DescribeStoreImageTasks shows at this moment."""
        seen = max(self.started, moment - self.update_lag)
        failed = self.failure is not None and not self.running(seen)
        return TaskRecord(
            image_id=self.image_id,
            started=self.started,
            bucket=self.bucket,
            key=self.key,
            percent=self.percent(seen),
            state="InProgress" if self.running(seen) else "Failed" if failed else "Completed",
            reason=self.failure.reason if failed and self.failure else "",
            serial=self.serial,
        )


@dataclass(frozen=True)
class TaskRecord:
    """One record of DescribeStoreImageTasks."""

    image_id: str
    started: float
    bucket: str
    key: str
    percent: int
    state: str
    reason: str
    serial: int


class Storage(Protocol):
    """What a store task needs of S3 and of the AMI's snapshots."""

    def holds(self, bucket: str, image_id: str) -> bool:
        """Whether the bucket has a copy of this AMI, under any path."""

    def obstacle(self, task: StoreTask) -> str | None:
        """Why this running task cannot go on; None when it can."""

    def write(self, task: StoreTask) -> str | None:
        """Make the finished object visible, or say why that failed."""


class Landing(Protocol):
    """What a restore needs of the AMI that it fills."""

    def finish(self, restore: Work) -> None:
        """Make the AMI available, or failed when the restore has a failure."""


W = TypeVar("W", bound=Work)


@dataclass
class Works(Generic[W]):
    """The works of one kind, and the limit on how many GiB of them may run at once."""

    now: Callable[[], float]
    scenario: Callable[[], Scenario]
    items: list[W] = field(default_factory=list)
    _failed: dict[str, int] = field(default_factory=dict)

    def running(self, account: str) -> Iterator[W]:
        moment = self.now()
        return (w for w in self.items if w.place.account == account and w.running(moment))

    def in_flight_gib(self, place: Place) -> int:
        return sum(
            work.gib
            for work in self.running(place.account)
            if not choices.IN_FLIGHT_PER_REGION or work.place.region == place.region
        )

    def admit(self, place: Place, gib: int, limit: float | None) -> None:
        """Raises Refused when the account's limit leaves no room for another work.

        The guide's example admits work while half of the limit is in flight, so what counts
        is what already runs; `in_flight_includes_new` counts the new work as well.
        """
        running = self.in_flight_gib(place)
        if limit is None or not running:
            return
        full = running >= limit
        if self.scenario().in_flight_includes_new:
            full = running + gib > limit
        if full:
            raise Refused.by(choices.IN_FLIGHT_FULL, limit=int(limit))

    def planned_failure(self, failures: dict[str, Failure], names: Sequence[str]) -> Failure | None:
        """The scenario's failure for the first of these names, while it has times left."""
        for name in (*names, "*"):
            failure = failures.get(name)
            if failure is None:
                continue
            used = self._failed.get(name, 0)
            if failure.times is None or used < failure.times:
                self._failed[name] = used + 1
                return failure
        return None

    def forget_failures(self) -> None:
        """Count the `times` of planned failures from the beginning."""
        self._failed.clear()

    def _ended(self) -> list[W]:
        moment = self.now()
        ended = [w for w in self.items if not w.settled and not w.running(moment)]
        return sorted(ended, key=lambda work: work.ends)


@dataclass
class StoreTasks(Works[StoreTask]):
    """All store tasks of all accounts."""

    storage: Storage | None = None
    _serial: int = 0

    def start(
        self, place: Place, image_id: str, bucket: str, key: str, gib: int, payload: Any = None
    ) -> StoreTask:
        """Begin to store an AMI. Raises Refused as CreateStoreImageTask does."""
        self.settle()
        scenario = self.scenario()
        if any(task.image_id == image_id for task in self.running(place.account)):
            raise Refused("InvalidRequest", STORE_IN_PROGRESS)
        if self.storage and self.storage.holds(bucket, image_id):
            raise Refused("InvalidRequest", COPY_IN_BUCKET)
        self.admit(place, gib, scenario.store_in_flight_gib)
        return self.add(
            place=place,
            image_id=image_id,
            bucket=bucket,
            key=key,
            gib=gib,
            started=self.now(),
            duration=scenario.store_seconds + gib * scenario.store_seconds_per_gib,
            failure=self.planned_failure(dict(scenario.store_failures), (image_id, key)),
            payload=payload,
        )

    def add(self, **values: Any) -> StoreTask:
        """Put a task on record without any of AWS's checks."""
        scenario = self.scenario()
        self._serial += 1
        task = StoreTask(serial=self._serial, update_lag=scenario.task_update_lag, **values)
        task.listed_from = task.started + scenario.listing_lag
        self.items.append(task)
        return task

    def settle(self) -> None:
        """Let everything happen that is due: interruptions, finished objects."""
        if self.storage is None:
            return
        moment = self.now()
        for task in self.items:
            if not task.settled and task.running(moment):
                reason = self.storage.obstacle(task)
                if reason is not None:
                    task.break_off(moment, reason)
        for task in self._ended():
            task.settled = True
            reason = None if task.failure else self.storage.write(task)
            if reason is not None:
                task.break_off(task.ends, reason)

    def records(self, place: Place) -> list[TaskRecord]:
        """What the account can list in this Region, newest first."""
        moment, hidden = self.now(), set(self.scenario().hidden_tasks)
        seen = [
            task.record(moment)
            for task in self.items
            if task.place == place
            and task.image_id not in hidden
            and task.listed_from <= moment <= task.started + TASK_HISTORY_SECONDS
        ]
        return sorted(seen, key=lambda r: (r.started, r.serial), reverse=True)

    def newest_records(self, place: Place, image_ids: Sequence[str]) -> list[TaskRecord]:
        """The newest task of each of these AMIs, newest first."""
        newest: dict[str, TaskRecord] = {}
        for record in self.records(place):
            if record.image_id in image_ids:
                newest.setdefault(record.image_id, record)
        return list(newest.values())


@dataclass
class Restores(Works[Work]):
    """All restores of all accounts."""

    landing: Landing | None = None

    def admit_new(self, place: Place, gib: int) -> None:
        """Raises Refused when too much is being restored already."""
        self.settle()
        self.admit(place, gib, self.scenario().restore_in_flight_gib)

    def start(
        self,
        place: Place,
        image_id: str,
        bucket: str,
        key: str,
        gib: int,
        source: str = "",
        payload: Any = None,
    ) -> Work:
        """Begin to restore; `image_id` is the new AMI, `source` the stored one."""
        self.admit_new(place, gib)
        scenario = self.scenario()
        restore = Work(
            place=place,
            image_id=image_id,
            bucket=bucket,
            key=key,
            gib=gib,
            started=self.now(),
            duration=scenario.restore_seconds + gib * scenario.restore_seconds_per_gib,
            failure=self.planned_failure(dict(scenario.restore_failures), (key, source)),
            payload=payload,
        )
        self.items.append(restore)
        return restore

    def settle(self) -> None:
        """Finish the AMIs whose time has come."""
        for restore in self._ended():
            restore.settled = True
            if self.landing:
                self.landing.finish(restore)

    def of(self, image_id: str) -> Work | None:
        """The restore that made this AMI."""
        return next((w for w in self.items if w.image_id == image_id), None)


@dataclass
class Shelf:
    """S3 for a simulation: a store task's object, by bucket and key, from when it is complete."""

    objects: dict[tuple[str, str], StoreTask] = field(default_factory=dict)

    def holds(self, bucket: str, image_id: str) -> bool:
        return any(b == bucket and t.image_id == image_id for (b, _key), t in self.objects.items())

    def obstacle(self, task: StoreTask) -> str | None:
        return None

    def write(self, task: StoreTask) -> str | None:
        self.objects[(task.bucket, task.key)] = task
        return None
