# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit tests' AWS under all troubles at once, with clients that note what they show."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from ansible_collections.amazon.aws.plugins.module_utils import cloud
from botocore.exceptions import ClientError, HTTPClientError

from tests.benchmarks.campaign.knowledge import Knowledge, Requests
from tests.benchmarks.campaign.troubles import STRIKES, Broken, Session, Trouble, Weather
from tests.benchmarks.simulation.world import EventClock
from tests.emulator.choices import IN_FLIGHT_FULL
from tests.emulator.limits import Rate
from tests.emulator.model import Refused, Restores, StoreTask, StoreTasks, Work
from tests.emulator.scenario import Scenario
from tests.unit.plugins.module_utils.fake_aws import (
    HERE,
    S3,
    Ami,
    Answer,
    Ec2,
    FakeAws,
    Kind,
    Paginator,
    StoredThing,
    client_error,
)
from tests.unit.plugins.module_utils.virtual_clock import EPOCH

# What the clients answer to expired credentials. A HEAD has no body that could say more.
EXPIRY = {
    "HeadObject": ("400", "Bad Request"),
    "HeadBucket": ("400", "Bad Request"),
    "S3": ("ExpiredToken", "The provided token has expired."),
    "EC2": ("RequestExpired", "Request has expired."),
}
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
ATTEMPTS = 5
DOUBTFUL = ("InternalError", "InvalidRequest", "InvalidAMIName.Duplicate")


@dataclass
class Process:
    """One run of a task as AWS sees it, from its start to its end or its death."""

    weather: Weather
    session: Session
    most_steps: int
    knowledge: Knowledge = field(default_factory=Knowledge)
    requests: Requests = field(default_factory=Requests)
    dead: bool = False
    began: float = 0.0
    expired_at: float | None = None
    after_expiry: Counter[str] = field(default_factory=Counter)

    def step(self) -> None:
        if self.dead:
            raise Broken("a process that was killed goes on")
        if self.weather.steps > self.most_steps:
            raise Broken(f"no end after {self.most_steps} requests and pauses")


@dataclass(frozen=True)
class Grant:
    """A create request that AWS let through; `process` is None for those of others."""

    moment: float
    process: Process | None


class Idle(Process):
    """Nobody runs."""

    def __init__(self, clock: EventClock) -> None:
        super().__init__(Weather(random.Random(0)), Session(clock, None, False), 0, dead=True)


class CampaignAws(FakeAws):
    """The account; `fired` counts the troubles that have happened."""

    def __init__(
        self, scenario: Scenario, object_lag: float, create: str, watched: Collection[str]
    ) -> None:
        self.event_clock = EventClock()
        super().__init__(clock=self.event_clock, scenario=scenario, object_lag=object_lag)
        self.create = create
        self.watched = watched
        """The keys of the stored images that the task is about."""
        self.stores: StoreTasks = WatchedStores(
            self.clock.now, lambda: self.scenario, storage=self, aws=self
        )
        self.restores: Restores = WatchedRestores(
            self.clock.now, lambda: self.scenario, landing=self, aws=self
        )
        self.ec2_once, self.s3_once = WatchedEc2(self), WatchedS3(self)
        self.patient_ec2 = Patient(self.ec2_once, self.pause)
        self.patient_s3 = Patient(self.s3_once, self.pause)
        self.process: Process = Idle(self.event_clock)
        self.fired: Counter[Trouble] = Counter()
        self.granted: list[Grant] = []
        self.crowd: Callable[[int], None] = lambda number: None
        """Called before a create request arrives, with its number in this account."""
        self._creates = count(1)
        self.story: list[str] = []
        self.tells = False

    def tell(self, text: str) -> None:
        if self.tells:
            self.story.append(f"{self.clock.now():9.1f}  {text}")

    def happens(self, trouble: Trouble, times: int = 1) -> None:
        self.fired[trouble] += times

    # Time

    @contextmanager
    def in_virtual_time(self) -> Iterator[None]:
        with patch.object(cloud, "time", SimpleNamespace(sleep=self.pause)):
            yield

    def pause(self, seconds: float) -> None:
        """Let the process sleep; it may be killed meanwhile."""
        self.process.step()
        dies = self.process.weather.strikes_pause()
        self.clock.sleep(max(seconds, 1e-3))
        if dies:
            self.happens(Trouble.KILLED_PAUSING)
            self.tell("killed in a pause")
            raise KeyboardInterrupt

    # Requests

    def request(
        self, operation: str, subject: str, act: Callable[[], Answer], dry_run: bool = False
    ) -> Answer:
        process = self.process
        process.step()
        self.latency = process.weather.latency()
        executed = []

        def noted() -> Answer:
            answer = act()
            executed.append(operation)
            return answer

        struck = len(self.struck)
        try:
            return super().request(operation, subject, noted, dry_run)
        except BaseException:
            for _operation, kind in self.struck[struck:]:
                if bool(executed) == kind.executed:
                    self.happens(STRIKES[kind])
            raise
        finally:
            self.clock.pass_by(process.weather.latency())

    def interrupt(self, operation: str) -> Kind | None:
        self.process.requests.moments[operation].append(self.clock.now())
        if operation == self.create:
            self.crowd(next(self._creates))
        kind = self.process.weather.strike(operation)
        if kind:
            self.struck.append((operation, kind))
        return kind

    def _admit(self, operation: str) -> None:
        s3 = "Object" in operation or "Bucket" in operation
        self._check_session(operation, "S3" if s3 else "EC2")
        try:
            super()._admit(operation)
        except ClientError:
            self.happens(Trouble.EMPTY_BUCKET)
            if operation == self.create:
                self._check_throttled()
            raise
        if operation == self.create:
            self.granted.append(Grant(self.clock.now(), self.process))

    def _check_throttled(self) -> None:
        """A process is throttled only for requests that it could not know of."""
        rate, process = self.scenario.rate(self.create), self.process
        if rate is None or self.create != "CreateStoreImageTask":
            # EC2 tells no more than the second in which an AMI was registered.
            return
        since = process.began - rate.bucket / rate.refill
        granted = Counter(
            round(grant.moment, 3)
            for grant in self.granted
            if grant.moment > since and grant.process is not process
        )
        # Some that come at the same moment may be refused, and none of these is shown.
        known = Counter(moment for _image_id, moment in process.knowledge.starts_shown)
        if granted <= known:
            raise Broken("a create request was throttled, though every earlier one was in sight")

    def _check_session(self, operation: str, service: str) -> None:
        process = self.process
        renewals = process.session.renewals
        valid = process.session.is_valid()
        self.happens(Trouble.RENEWED, process.session.renewals - renewals)
        if valid:
            return
        if process.expired_at is None:
            self.happens(Trouble.EXPIRED)
            process.expired_at = self.clock.now()
        process.after_expiry[operation] += 1
        code, message = EXPIRY.get(operation, EXPIRY[service])
        raise client_error(code, operation, message)

    def _note(self, operation: str, subject: str, error: BaseException | None = None) -> None:
        super()._note(operation, subject, error)
        if isinstance(error, Refused) and error.code == IN_FLIGHT_FULL.code:
            self.happens(Trouble.NO_ROOM)
        self.tell(f"{operation} {subject}: {_outcome(error)}")

    # Others

    def take(self, action: str, times: int = 1) -> int:
        """Let others send requests; return how many of them were granted."""
        rate = self.scenario.rate(action)
        granted = sum(rate is None or self._rates.take(action, rate) for _one in range(times))
        if action == self.create:
            self.granted += [Grant(self.clock.now(), None)] * granted
        return granted

    def hidden(self, thing: StoredThing | Ami | None) -> bool:
        return thing is not None and thing.since > self.clock.now()


def _outcome(error: BaseException | None) -> str:
    if isinstance(error, ClientError):
        told = error.response["Error"]
        return f"{told['Code']}: {told['Message']}"
    if isinstance(error, KeyboardInterrupt):
        return "killed"
    return "OK" if error is None else f"{type(error).__name__} {error}"


def _whole(limit: float | None) -> int | None:
    return None if limit is None else int(limit)


@dataclass
class WatchedStores(StoreTasks):
    """Store tasks; those of the process under test carry the tags of its request."""

    aws: CampaignAws = field(kw_only=True)

    def add(self, **values: Any) -> StoreTask:
        others = list(self.running(HERE.account))
        task = super().add(**values)
        if task.payload is not None:
            limit = _whole(self.scenario().store_in_flight_gib)
            self.aws.process.knowledge.check_room(task.image_id, task, others, limit)
        if task.failure:
            self.aws.happens(Trouble.STORE_FAILED)
        return task


@dataclass
class WatchedRestores(Restores):
    """Restores; those of the process under test name what is restored."""

    aws: CampaignAws = field(kw_only=True)

    def start(
        self,
        place: Any,
        image_id: str,
        bucket: str,
        key: str,
        gib: int,
        source: str = "",
        payload: Any = None,
    ) -> Work:
        others = list(self.running(HERE.account))
        work = super().start(place, image_id, bucket, key, gib, source, payload)
        if source:
            limit = _whole(self.scenario().restore_in_flight_gib)
            self.aws.process.knowledge.check_room(source, work, others, limit)
        if work.failure:
            self.aws.happens(Trouble.RESTORE_FAILED)
        return work


@contextmanager
def _noting(knowledge: Knowledge, subject: str) -> Iterator[None]:
    """Note how a create request ended for the process that sent it."""
    try:
        yield
    except ClientError as error:
        doubtful = error.response["Error"]["Code"] in DOUBTFUL
        knowledge.answer(subject, accepted=False, doubtful=doubtful)
        raise
    except Exception:
        knowledge.answer(subject, accepted=False, doubtful=True)
        raise
    knowledge.answer(subject, accepted=True, doubtful=False)


@dataclass
class Patient:
    """A client that sends again, as botocore's do, what was lost with its connection."""

    client: Any
    pause: Callable[[float], None]

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        call = getattr(self.client, operation)

        def patiently(**params: Any) -> Any:
            for attempt in range(1, ATTEMPTS):
                try:
                    return call(**params)
                except HTTPClientError:
                    self.pause(random.random() * 2.0**attempt)
            return call(**params)

        return patiently

    def can_paginate(self, operation: str) -> bool:
        return bool(self.client.can_paginate(operation))

    def get_paginator(self, operation: str) -> Paginator:
        return Paginator(getattr(self, operation))


class WatchedEc2(Ec2):
    """The EC2 client."""

    aws: CampaignAws

    @property
    def _knowledge(self) -> Knowledge:
        return self.aws.process.knowledge

    def create_store_image_task(
        self, ImageId: str, Bucket: str, *args: Any, **params: Any
    ) -> Answer:
        _bucket, _slash, prefix = Bucket.partition("/")
        key = f"{prefix}/{ImageId}.bin" if prefix else f"{ImageId}.bin"
        self._knowledge.check_store(ImageId, key)
        with _noting(self._knowledge, ImageId):
            return super().create_store_image_task(ImageId, Bucket, *args, **params)

    def create_restore_image_task(
        self, Bucket: str, ObjectKey: str, Name: str, *args: Any, **params: Any
    ) -> Answer:
        self._knowledge.check_restore(Name, self.aws.images)
        with _noting(self._knowledge, Name):
            return super().create_restore_image_task(Bucket, ObjectKey, Name, *args, **params)

    def _require_free(self, name: str) -> None:
        try:
            super()._require_free(name)
        except ClientError:
            if all(ami.name != name for ami in self.aws.images.values()):
                self.aws.happens(Trouble.NAME_HELD)
            raise

    def describe_store_image_tasks(self, *args: Any, **params: Any) -> Answer:
        answer = super().describe_store_image_tasks(*args, **params)
        ids = [record["AmiId"] for record in answer["StoreImageTaskResults"]]
        self._count_lags(params.get("ImageIds", ()), ids)
        more = "NextToken" in answer
        if more and not ids:
            self.aws.happens(Trouble.EMPTY_PAGE)
        if any("InProgress" in each["Values"] for each in params.get("Filters", ())):
            running = [
                record
                for record in answer["StoreImageTaskResults"]
                if record["StoreTaskState"] == "InProgress"
            ]
            ids = [record["AmiId"] for record in running]
            self._knowledge.see_tasks(ids, first="NextToken" not in params, last=not more)
            self._knowledge.starts_shown |= {
                (record["AmiId"], round((record["TaskStartTime"] - EPOCH).total_seconds(), 3))
                for record in running
            }
        return answer

    def _count_lags(self, asked: Sequence[str], shown: Sequence[str]) -> None:
        now = self.aws.clock.now()
        for task in self.aws.stores.items:
            if task.started <= now < task.listed_from and (not asked or task.image_id in asked):
                self.aws.happens(Trouble.UNLISTED)
            if task.image_id in shown and task.ends <= now < task.ends + task.update_lag:
                self.aws.happens(Trouble.OUTDATED)

    def describe_images(
        self, Filters: Sequence[Mapping[str, Any]], *args: Any, **params: Any
    ) -> Answer:
        answer = super().describe_images(Filters, *args, **params)
        values = {each["Name"]: each["Values"] for each in Filters}
        for ami in self.aws.images.values():
            asked = (
                values.get("name", (ami.name,)),
                values.get("image-id", (ami.image_id,)),
                values.get("state", (ami.state,)),
            )
            wanted = ami.name in asked[0] and ami.image_id in asked[1] and ami.state in asked[2]
            if wanted and self.aws.hidden(ami):
                self.aws.happens(Trouble.HIDDEN)
        if "name" in values:
            found = [(each["Name"], each["ImageId"]) for each in answer["Images"]]
            self._knowledge.see_holders(values["name"], found)
        if "state" in values:
            self._knowledge.pending = {each["ImageId"] for each in answer["Images"]}
        return answer


class WatchedS3(S3):
    """The S3 client."""

    aws: CampaignAws

    def head_object(self, Bucket: str, Key: str) -> Answer:
        see = partial(self.aws.process.knowledge.see_object, Key)
        try:
            answer = super().head_object(Bucket, Key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "404":
                if self.aws.hidden(self.aws.objects.get((Bucket, Key))):
                    self.aws.happens(Trouble.UNSEEN)
                see(False)
            raise
        see(True)
        return answer

    def list_objects_v2(
        self, Bucket: str, Prefix: str, ContinuationToken: str = "", MaxKeys: int = 1000
    ) -> Answer:
        answer = super().list_objects_v2(Bucket, Prefix, ContinuationToken)
        if not answer["IsTruncated"] and MaxKeys > 1:
            watched = [key for key in self.aws.watched if key.startswith(Prefix)]
            self.aws.process.knowledge.see_listing(watched)
            hidden = (self.aws.objects.get((Bucket, key)) for key in watched)
            self.aws.happens(Trouble.UNSEEN, sum(map(self.aws.hidden, hidden)))
        return answer


def rate_of(burst: int, seconds_per_request: float) -> Rate:
    return Rate(burst, 1 / seconds_per_request)
