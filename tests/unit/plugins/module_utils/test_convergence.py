# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens, running the same task again comes to the same good end.

Each property is tried on worlds that hypothesis makes up: tasks of any length that fail or are
hidden by lag, others who store the same AMIs, throttling, server faults, connections lost before or
after execution, and Ctrl-C at any call or pause. With AMISTORE_NIGHTLY in the environment it tries
thousands of new ones.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ansible_collections.amistore.aws.plugins.module_utils._fleet import Phase
from ansible_collections.amistore.aws.plugins.module_utils._inputs import image_key, manifest_key
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Origin, build, parse
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Limits, Rate
from ansible_collections.amistore.aws.plugins.module_utils._report import Report
from ansible_collections.amistore.aws.plugins.module_utils._restore import (
    ETAG_TAG,
    LOCATION_TAG,
    RestoreOperation,
    RestoreOptions,
)
from ansible_collections.amistore.aws.plugins.module_utils._restore import (
    results as restore_results,
)
from ansible_collections.amistore.aws.plugins.module_utils._restore_targets import targets
from ansible_collections.amistore.aws.plugins.module_utils._run import RunOptions, run
from ansible_collections.amistore.aws.plugins.module_utils._store import (
    StoreOperation,
    StoreOptions,
)
from ansible_collections.amistore.aws.plugins.module_utils._store import results as store_results
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.emulator.limits import Rate as AwsRate
from tests.emulator.model import Work
from tests.emulator.scenario import Failure, Scenario
from tests.unit.plugins.module_utils.fake_aws import (
    BUCKET,
    HERE,
    MUTATING,
    OTHER_BUCKET,
    Ami,
    Call,
    FakeAws,
    Fault,
    Kind,
    StoredThing,
)

NIGHTLY = "AMISTORE_NIGHTLY" in os.environ
PROFILE = settings(
    max_examples=5000 if NIGHTLY else 300,
    derandomize=not NIGHTLY,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

PREFIX = "dr"
HERE_ALREADY = f"{BUCKET}/{PREFIX}"
ELSEWHERE = f"{BUCKET}/elsewhere"
CREATES = ("CreateStoreImageTask", "CreateRestoreImageTask")
LIMITS = Limits(Rate(burst=3, seconds_per_request=10.0), in_flight=40)
RATES = {create: AwsRate(3, 0.1) for create in CREATES}
# Longer than all tasks of any world take one after the other.
TIMEOUT = 8000
# Enough undisturbed runs for every planned failure to happen in one of its own, and for some AMIs
# to wait for room meanwhile.
CALM_RUNS = 12


@dataclass
class MortalClock:
    """The engine's clock; a fault may strike a pause as it strikes a call."""

    aws: FakeAws
    sleeps: int = 0

    def now(self) -> float:
        return self.aws.clock.now()

    def date(self) -> datetime:
        return self.aws.clock.date()

    def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        kind = self.aws.interrupt("sleep")
        self.aws.clock.sleep(seconds)
        if kind:
            raise kind.error("sleep")


@dataclass
class Outcome:
    """One run, as the user and as the world saw it."""

    began: float
    ended: float
    killed: bool
    report: Report[Any]
    images: list[dict[str, Any]]
    changes: list[str]
    calls: list[Call]
    struck: list[tuple[str, Kind]]
    sleeps: int

    @property
    def creates(self) -> list[Call]:
        return [call for call in self.calls if call.operation in CREATES]

    @property
    def uncertain(self) -> bool:
        """Whether an answer got lost on which it depends what has changed."""
        return any(name in MUTATING and kind.uncertain for name, kind in self.struck)

    @property
    def knows_what_it_did(self) -> bool:
        """Whether every create request whose answer got lost was found out about."""
        waiting = (Phase.UNSURE, Phase.READY, Phase.HELD)
        open_questions = [
            entry for entry in self.report.entries if entry.answer_lost and entry.phase in waiting
        ]
        return not open_questions and not self.report.stopped_by

    @property
    def settled(self) -> bool:
        """Whether every entry was followed to its end."""
        closed = all(not entry.open for entry in self.report.entries)
        return closed and not self.report.stopped_by and not self.killed


@dataclass
class Task:
    """One Ansible task that is run again and again."""

    aws: FakeAws
    wait: bool
    start: Callable[[Task, MortalClock, bool], Outcome]
    outcomes: list[Outcome] = field(default_factory=list)

    def run(self, check_mode: bool = False) -> Outcome:
        clock = MortalClock(self.aws)
        with self.aws.in_virtual_time():
            outcome = self.start(self, clock, check_mode)
        self.outcomes.append(outcome)
        return outcome

    def drive(
        self,
        operation: Any,
        report: Report[Any],
        clock: MortalClock,
        bucket: Bucket,
        tell: Callable[[], list[dict[str, Any]]],
    ) -> Outcome:
        aws = self.aws
        began, calls, changes = aws.clock.now(), len(aws.calls), len(aws.changes)
        struck, killed = len(aws.struck), False
        options = RunOptions(report.checked, self.wait, TIMEOUT)
        try:
            run(operation, LIMITS, options, clock, lambda: bucket.check(HERE.region), report)
        except KeyboardInterrupt:
            killed = True
        return Outcome(
            began,
            aws.clock.now(),
            killed,
            report,
            tell(),
            aws.changes[changes:],
            aws.calls[calls:],
            aws.struck[struck:],
            clock.sleeps,
        )

    def run_until_quiet(self) -> Outcome:
        """Run undisturbed until a run changes nothing; return that one."""
        self.aws.faults = ()
        self.aws.clock.pass_by(1000.0)
        self.aws.settle()
        for _run in range(CALM_RUNS):
            self.aws.clock.pass_by(1000.0)
            outcome = self.run()
            if outcome.settled and not outcome.changes:
                return outcome
        raise AssertionError(f"no end after {CALM_RUNS} undisturbed runs: {outcome.report.message}")


# Worlds


def faults(*operations: str) -> st.SearchStrategy[list[Fault]]:
    """Up to seven faults at calls and pauses, often one at the first create request."""
    at_calls = st.builds(
        Fault,
        st.sampled_from(operations),
        st.integers(0, 8),
        st.sampled_from(Kind),
        st.sampled_from((1, 1, 2, 7)),
    )
    at_pauses = st.builds(Fault, st.just("sleep"), st.integers(0, 30), st.just(Kind.KILLED_AFTER))
    first = st.lists(
        st.builds(Fault, st.just(operations[0]), st.just(0), st.sampled_from(Kind)), max_size=1
    )
    others = st.lists(st.one_of(at_calls, at_calls, at_calls, at_pauses), max_size=6)
    return st.builds(list.__add__, first, others)


lags = st.sampled_from((0.0, 0.0, 3.0, 20.0))
failures = st.builds(
    Failure,
    st.sampled_from(("", "Snapshot is gone")),
    st.sampled_from((0, 50, 100)),
    st.integers(1, 2),
)
gaps = st.sampled_from((0.0, 0.0, 5.0, 120.0))


@dataclass(frozen=True)
class StorePlan:
    """A made-up world of AMIs to be stored, and how the task is run in it."""

    sizes: Sequence[int]
    seconds: float
    seconds_per_gib: float
    planned_failures: Mapping[int, Failure]
    foreign: Sequence[tuple[float, int, str]]
    """When somebody else stores which AMI where."""
    listing_lag: float
    update_lag: float
    object_lag: float
    page_size: int | None
    empty_pages: int
    struck_by: Sequence[Fault]
    runs: Sequence[float]
    """The pause before each run that faults may strike."""
    wait: bool
    manifest: bool
    tags: Mapping[str, str] | None
    hopeless: frozenset[int]
    """AMIs that AWS does not store."""

    def world(self) -> FakeAws:
        ids = [image_id(number) for number in range(len(self.sizes))]
        aws = FakeAws(
            scenario=Scenario(
                rates=RATES,
                store_seconds=self.seconds,
                store_seconds_per_gib=self.seconds_per_gib,
                store_failures={
                    ids[number]: failure
                    for number, failure in self.planned_failures.items()
                    if number < len(ids)
                },
                store_in_flight_gib=40,
                listing_lag=self.listing_lag,
                task_update_lag=self.update_lag,
                page_size=self.page_size,
                empty_pages=self.empty_pages,
            ),
            faults=self.struck_by,
            object_lag=self.object_lag,
        )
        for number, size in enumerate(self.sizes):
            kind = "instance-store" if number in self.hopeless else "ebs"
            aws.add_image(f"ami {number}", size, image_id=ids[number], root_device_type=kind)
        for moment, number, place in self.foreign:
            if number < len(ids):
                bucket, _slash, prefix = place.partition("/")
                key = image_key(prefix, ids[number])
                happen = partial(store_elsewhere, image=ids[number], bucket=bucket, key=key)
                aws.events.append((moment, happen))
        return aws

    def task(self, aws: FakeAws) -> Task:
        return Task(aws, self.wait, self._start)

    def _start(self, task: Task, clock: MortalClock, check_mode: bool) -> Outcome:
        aws = task.aws
        options = StoreOptions(
            BUCKET,
            PREFIX,
            tags=self.tags,
            manifest=self.manifest,
            wait=self.wait,
            check_mode=check_mode,
        )
        bucket = Bucket(aws.s3, BUCKET)
        operation = StoreOperation(aws.ec2, aws.ec2, bucket, options, clock, origin)
        entries = operation.entries(image_id(number) for number in range(len(self.sizes)))
        report = Report(entries, "stored", check_mode)
        return task.drive(
            operation, report, clock, bucket, lambda: store_results(entries, bucket.name)
        )


def image_id(number: int) -> str:
    return f"ami-{number + 1:08x}"


def origin(key: str) -> Origin:
    return Origin(HERE.account, HERE.region, "aws", BUCKET, key)


def store_elsewhere(aws: FakeAws, image: str, bucket: str, key: str) -> None:
    aws.store_elsewhere(image, bucket, key)


STORE_OPERATIONS = (
    "CreateStoreImageTask",
    "CreateStoreImageTask",
    "DescribeStoreImageTasks",
    "DescribeImages",
    "DescribeSnapshots",
    "HeadObject",
    "GetObject",
    "PutObject",
    "GetObjectTagging",
    "PutObjectTagging",
)
places = st.sampled_from((OTHER_BUCKET, f"{OTHER_BUCKET}/{PREFIX}", ELSEWHERE, HERE_ALREADY))
store_plans = st.builds(
    StorePlan,
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    seconds=st.sampled_from((1.0, 25.0, 90.0)),
    seconds_per_gib=st.sampled_from((0.0, 6.0, 20.0)),
    planned_failures=st.dictionaries(st.integers(0, 4), failures, max_size=2),
    foreign=st.lists(
        st.tuples(st.sampled_from((0.0, 0.3, 10.0, 100.0)), st.integers(0, 4), places), max_size=2
    ),
    listing_lag=lags,
    update_lag=lags,
    object_lag=lags,
    page_size=st.sampled_from((None, 1, 2)),
    empty_pages=st.sampled_from((0, 0, 2)),
    struck_by=faults(*STORE_OPERATIONS),
    runs=st.lists(gaps, min_size=1, max_size=4),
    wait=st.booleans(),
    manifest=st.booleans(),
    tags=st.sampled_from((None, {}, {"Team": "web"})),
    hopeless=st.sampled_from((frozenset[int](), frozenset({0}))),
)


def run_through(task: Task, pauses: Sequence[float]) -> None:
    for pause in pauses:
        task.aws.clock.pass_by(pause)
        task.run()


# What must hold after every run


def check_every_run(
    task: Task,
    state_is_true: Callable[[Outcome, dict[str, Any]], bool],
    may_fail: Callable[[dict[str, Any]], bool],
) -> None:
    for outcome in task.outcomes:
        event(f"killed: {outcome.killed}")
        if outcome.killed:
            continue
        assert len(outcome.images) == len(outcome.report.entries)
        for image in outcome.images:
            assert state_is_true(outcome, image), image
        check_changed(outcome)
        check_effort(outcome)
        if not outcome.struck:
            check_undisturbed(task, outcome, may_fail)


def check_undisturbed(
    task: Task, outcome: Outcome, may_fail: Callable[[dict[str, Any]], bool]
) -> None:
    """A run that no fault struck ends all it waits for, and fails for a good reason only."""
    assert not outcome.report.stopped_by
    assert outcome.settled or not task.wait
    for entry, image in zip(outcome.report.entries, outcome.images, strict=True):
        assert entry.phase is not Phase.FAILED or may_fail(image), entry.reason


def check_changed(outcome: Outcome) -> None:
    """`changed` is true just when this run changed the world, as far as it can know."""
    if not outcome.uncertain:
        assert outcome.report.changed == bool(outcome.changes), outcome.changes
    elif outcome.changes and outcome.knows_what_it_did:
        assert outcome.report.changed, outcome.changes
    assert outcome.report.changed == any(image["changed"] for image in outcome.images)


def check_effort(outcome: Outcome) -> None:
    """No busy loop, no storm of create requests."""
    minutes = (outcome.ended - outcome.began) / 60.0
    assert outcome.sleeps <= 40 + 60 * minutes
    for count in Counter(call.subject for call in outcome.creates).values():
        assert count <= 3 + len(outcome.struck) + 3 * minutes


# Storing


@PROFILE
@given(store_plans)
def test_stores_converge_and_tell_the_truth(plan: StorePlan) -> None:
    aws = plan.world()
    task = plan.task(aws)
    run_through(task, plan.runs)
    last = task.run_until_quiet()
    check_every_run(task, partial(store_state_is_true, aws), partial(store_may_fail, plan, aws))
    check_stored(plan, aws, last)
    check_no_second_store(plan, aws)
    again = task.run()
    assert again.changes == []
    assert not again.report.changed


def store_state_is_true(aws: FakeAws, outcome: Outcome, image: dict[str, Any]) -> bool:
    """Whether the result of an AMI fits to what the world was in this run."""
    tasks = [
        task
        for task in aws.stores.items
        if (task.bucket, task.key) == (image["bucket"], image["object_key"])
        and task.started <= outcome.ended
    ]
    seen_from = outcome.began - aws.scenario.task_update_lag
    if image["state"] == "Completed":
        thing = aws.objects.get((image["bucket"], image["object_key"]))
        return thing is not None and thing.since <= outcome.ended
    if image["state"] == "Failed":
        return any(task.failure and seen_from <= task.ends <= outcome.ended for task in tasks)
    if image["state"] == "InProgress":
        return any(task.ends >= seen_from for task in tasks)
    return image["state"] == "NotStarted"


def store_may_fail(plan: StorePlan, aws: FakeAws, image: dict[str, Any]) -> bool:
    hopeless = {image_id(number) for number in plan.hopeless}
    elsewhere = {task.image_id for task in aws.stores.items if task.key.startswith("elsewhere/")}
    return image["state"] == "Failed" or image["image_id"] in hopeless | elsewhere


def check_stored(plan: StorePlan, aws: FakeAws, last: Outcome) -> None:
    for number, image in enumerate(last.images):
        elsewhere = (BUCKET, image_key("elsewhere", image["image_id"])) in aws.objects
        if number in plan.hopeless or elsewhere:
            fault = image["failure_reason"]
            assert image["state"] == "Completed" or fault, image
            continue
        assert image["state"] == "Completed", (image, last.report.message)
        assert image["failure_reason"] is None
        if plan.manifest:
            check_manifest(aws, image)


def check_manifest(aws: FakeAws, image: dict[str, Any]) -> None:
    stored = aws.objects[BUCKET, image["object_key"]]
    document = parse(aws.objects[BUCKET, image["manifest_key"]].body, "")
    assert document.etag == stored.etag
    assert document.name == aws.images[image["image_id"]].name


def check_no_second_store(plan: StorePlan, aws: FakeAws) -> None:
    """One store of one AMI at a time, and none after the one that went well."""
    for number in range(len(plan.sizes)):
        tasks = [
            task
            for task in aws.stores.items
            if (task.image_id, task.bucket) == (image_id(number), BUCKET)
        ]
        assert all(task.failure for task in tasks[:-1])
        assert all(one.ends <= other.started for one, other in pairwise(tasks))


calm_plans = st.builds(
    replace,
    store_plans,
    planned_failures=st.just({}),
    foreign=st.just(()),
    listing_lag=st.just(0.0),
    update_lag=st.just(0.0),
    object_lag=st.just(0.0),
    struck_by=st.just(()),
)


@PROFILE
@given(calm_plans)
def test_undisturbed_stores_never_need_a_refusal_of_aws(plan: StorePlan) -> None:
    aws = plan.world()
    task = plan.task(aws)
    first = task.run()
    storable = len(set(range(len(plan.sizes))) - plan.hopeless)
    assert [call.outcome for call in first.creates] == ["OK"] * len(first.creates)
    assert len(first.creates) == storable or not plan.wait
    assert not first.report.stopped_by
    assert [
        call for call in first.calls if call.outcome in ("RequestLimitExceeded", "SlowDown")
    ] == []


def is_foreseeable(plan: StorePlan) -> bool:
    """Whether everything that decides can be seen before a create request.

    That an AMI lies in the bucket under another key, AWS tells in its answer; which tags a task in
    progress gives to its object, only the object tells, and check mode supposes the worst.
    """
    places = {place for _moment, _number, place in plan.foreign}
    return ELSEWHERE not in places and (plan.manifest or not plan.tags)


foreseeable_plans = store_plans.filter(is_foreseeable)


@PROFILE
@given(foreseeable_plans, st.booleans())
def test_check_mode_of_a_store_touches_nothing_and_foresees_the_run(
    plan: StorePlan, quiet: bool
) -> None:
    aws = plan.world()
    task = plan.task(aws)
    run_through(task, plan.runs)
    if quiet:
        task.run_until_quiet()
    check_foreseen(aws, task)


def make_predictable(aws: FakeAws) -> None:
    """Let nothing be hidden any longer, and whatever goes on end well."""
    aws.faults, aws.events, aws.latency = (), [], 0.0
    aws.clock.pass_by(max(lags_of(aws)))
    aws.settle()
    aws.scenario = replace(
        aws.scenario,
        rates=None,
        store_failures={},
        restore_failures={},
        store_in_flight_gib=None,
        restore_in_flight_gib=None,
    )
    for thing in aws.objects.values():
        thing.since = min(thing.since, aws.clock.now())
    for work in (*aws.stores.items, *aws.restores.items):
        if work.running(aws.clock.now()):
            work.failure = None


def lags_of(aws: FakeAws) -> tuple[float, ...]:
    seen = aws.scenario
    return aws.object_lag, seen.listing_lag, seen.task_update_lag, seen.image_lag, seen.name_lag


def check_foreseen(aws: FakeAws, task: Task) -> None:
    """Check mode, then at the very same moment the run that it foretells."""
    make_predictable(aws)
    foretold = task.run(check_mode=True)
    creates = [call.outcome for call in foretold.creates]
    assert foretold.changes == []
    assert [call for call in foretold.calls if call.operation in MUTATING - set(CREATES)] == []
    assert creates in ([], ["DryRunOperation"])
    assert foretold.report.permission_checked == (creates == ["DryRunOperation"])
    real = task.run()
    assert [shape(image) for image in foretold.images] == [shape(image) for image in real.images]
    event(f"foretold: {foretold.report.changed}")
    assert foretold.report.changed == real.report.changed


def shape(image: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(image)


# Restoring


@dataclass(frozen=True)
class RestorePlan:
    """A made-up world of stored images to be restored, and how the task is run in it."""

    sizes: Sequence[int]
    seconds: float
    seconds_per_gib: float
    planned_failures: Mapping[int, Failure]
    image_lag: float
    name_lag: float
    blob_tags_win: bool
    strangers: Mapping[int, str]
    """The state of an AMI that holds the name of a stored image and is not ours."""
    others: Sequence[tuple[float, int]]
    """When somebody else makes an AMI of how many GiB."""
    without_manifest: frozenset[int]
    struck_by: Sequence[Fault]
    runs: Sequence[float]
    wait: bool
    tags: Mapping[str, str] | None
    purge_tags: bool

    def world(self) -> FakeAws:
        aws = FakeAws(
            scenario=Scenario(
                rates=RATES,
                restore_seconds=self.seconds,
                restore_seconds_per_gib=self.seconds_per_gib,
                restore_failures={
                    image_name(number): failure for number, failure in self.planned_failures.items()
                },
                restore_in_flight_gib=40,
                image_lag=self.image_lag,
                name_lag=self.name_lag,
                blob_tags_win=self.blob_tags_win,
            ),
            faults=self.struck_by,
        )
        for number, size in enumerate(self.sizes):
            self._put(aws, number, size)
        for number, state in self.strangers.items():
            if number < len(self.sizes):
                aws.add_image(image_name(number), state=state, tags={LOCATION_TAG: "other/key.bin"})
        for moment, gib in self.others:
            aws.events.append((moment, partial(restore_another, gib=gib)))
        return aws

    def _put(self, aws: FakeAws, number: int, size: int) -> None:
        key = image_key(PREFIX, image_id(number))
        aws.objects[BUCKET, key] = StoredThing(f"image {number}".encode(), {})
        aws.stored_gib[key] = size
        if number not in self.without_manifest:
            original = Ami(image_id(number), image_name(number), size, snapshot_ids=["snap-0"])
            document = build(origin(key), original.described(), [], None, ()).dump()
            aws.objects[BUCKET, manifest_key(key)] = StoredThing(document, {})

    def task(self, aws: FakeAws) -> Task:
        return Task(aws, self.wait, self._start)

    def _start(self, task: Task, clock: MortalClock, check_mode: bool) -> Outcome:
        aws = task.aws
        bucket = Bucket(aws.s3, BUCKET)
        options = RestoreOptions(
            BUCKET, purge_tags=self.purge_tags, check_mode=check_mode, wait=self.wait
        )
        operation = RestoreOperation(aws.ec2, aws.ec2, bucket, options)
        images = [
            {"object_key": image_key(PREFIX, image_id(number)), "name": image_name(number)}
            for number in range(len(self.sizes))
        ]
        entries = targets({"stored_images": images, "tags": self.tags}, BUCKET)
        report = Report(entries, "restored", check_mode)
        return task.drive(
            operation, report, clock, bucket, lambda: restore_results(entries, bucket.name)
        )


def image_name(number: int) -> str:
    return f"image {number}"


def restore_another(aws: FakeAws, gib: int) -> None:
    """Let somebody else of the account restore something of their own."""
    ami = aws.add_image(aws.new_id("name"), gib, state="pending", tags={LOCATION_TAG: "x/y.bin"})
    aws.restores.items.append(
        Work(HERE, ami.image_id, OTHER_BUCKET, "y.bin", gib, aws.clock.now(), 100.0)
    )


RESTORE_OPERATIONS = (
    "CreateRestoreImageTask",
    "CreateRestoreImageTask",
    "DescribeImages",
    "DescribeSnapshots",
    "DeregisterImage",
    "DeleteSnapshot",
    "CreateTags",
    "HeadObject",
    "GetObject",
)
restore_plans = st.builds(
    RestorePlan,
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    seconds=st.sampled_from((1.0, 25.0, 90.0)),
    seconds_per_gib=st.sampled_from((0.0, 6.0, 20.0)),
    planned_failures=st.dictionaries(st.integers(0, 4), failures, max_size=2),
    image_lag=lags,
    name_lag=lags,
    blob_tags_win=st.booleans(),
    strangers=st.dictionaries(
        st.integers(0, 4), st.sampled_from(("available", "pending", "failed")), max_size=1
    ),
    others=st.lists(st.tuples(st.sampled_from((0.0, 10.0, 100.0)), st.integers(1, 50)), max_size=2),
    without_manifest=st.sampled_from((frozenset[int](), frozenset({0, 1}))),
    struck_by=faults(*RESTORE_OPERATIONS),
    runs=st.lists(gaps, min_size=1, max_size=4),
    wait=st.booleans(),
    tags=st.sampled_from((None, {}, {"Team": "web"})),
    purge_tags=st.booleans(),
)


@PROFILE
@given(restore_plans)
def test_restores_converge_and_tell_the_truth(plan: RestorePlan) -> None:
    aws = plan.world()
    strangers = deepcopy(list(aws.images.values()))
    task = plan.task(aws)
    run_through(task, plan.runs)
    last = task.run_until_quiet()
    check_every_run(task, partial(restore_state_is_true, aws), partial(restore_may_fail, plan))
    check_restored(plan, aws, last)
    check_no_second_restore(plan, aws)
    assert all(aws.images[ami.image_id] == ami for ami in strangers)
    again = task.run()
    assert again.changes == []
    assert again.creates == []
    assert not again.report.changed


def restore_state_is_true(aws: FakeAws, outcome: Outcome, image: dict[str, Any]) -> bool:
    """Whether the result of a stored image fits to what the world was in this run."""
    work = aws.restores.of(image["image_id"]) if image["image_id"] else None
    if image["state"] == "NotStarted":
        return image["image_id"] is None
    if work is None or work.started > outcome.ended:
        return False
    if image["state"] == "available":
        return work.failure is None and work.ends <= outcome.ended
    if image["state"] == "failed":
        return work.failure is not None and work.ends <= outcome.ended
    return image["state"] == "pending" and work.ends >= outcome.began


def restore_may_fail(plan: RestorePlan, image: dict[str, Any]) -> bool:
    taken = {image_name(number) for number in plan.strangers}
    return image["state"] == "failed" or image["name"] in taken


def check_restored(plan: RestorePlan, aws: FakeAws, last: Outcome) -> None:
    for number, image in enumerate(last.images):
        if number in plan.strangers:
            assert image["state"] == "NotStarted"
            assert "is taken by" in image["state_reason"]
            continue
        assert image["state"] == "available", (image, last.report.message)
        ami = aws.images[image["image_id"]]
        stored = aws.objects[BUCKET, image["object_key"]]
        proof = {LOCATION_TAG: f"{BUCKET}/{image['object_key']}", ETAG_TAG: stored.etag}
        wanted = proof | dict(plan.tags or {})
        assert ami.name == image_name(number)
        assert wanted.items() <= ami.tags.items()
        for snapshot_id in ami.snapshot_ids:
            assert wanted.items() <= aws.snapshots[snapshot_id].tags.items()


def check_no_second_restore(plan: RestorePlan, aws: FakeAws) -> None:
    """One AMI for one stored image and name, and nothing that ended well is taken away."""
    for number in range(len(plan.sizes)):
        key = image_key(PREFIX, image_id(number))
        works = [work for work in aws.restores.items if work.key == key]
        assert all(work.failure for work in works[:-1])
        assert len(works) <= 1 + sum(work.failure is not None for work in works)
        assert sum(ami.name == image_name(number) for ami in aws.images.values()) <= 1


@PROFILE
@given(restore_plans)
def test_undisturbed_restores_never_need_a_refusal_of_aws(plan: RestorePlan) -> None:
    calm = replace(
        plan,
        planned_failures={},
        others=(),
        image_lag=0.0,
        name_lag=0.0,
        without_manifest=frozenset(),
        struck_by=(),
    )
    aws = calm.world()
    task = calm.task(aws)
    first = task.run()
    restorable = len(set(range(len(plan.sizes))) - set(plan.strangers))
    assert [call.outcome for call in first.creates] == ["OK"] * len(first.creates)
    assert len(first.creates) == restorable or not plan.wait
    assert not first.report.stopped_by


@PROFILE
@given(restore_plans, st.booleans())
def test_check_mode_of_a_restore_touches_nothing_and_foresees_the_run(
    plan: RestorePlan, quiet: bool
) -> None:
    aws = plan.world()
    task = plan.task(aws)
    run_through(task, plan.runs)
    if quiet:
        task.run_until_quiet()
    check_foreseen(aws, task)
