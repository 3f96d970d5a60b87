# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive run that dies or fails at any of its calls loses nothing, and the next one ends it."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from ansible_collections.amistore.aws.plugins.module_utils._archive import Archive
from ansible_collections.amistore.aws.plugins.module_utils._archive_wish import Wish
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from ansible_collections.amistore.aws.plugins.modules import ec2_ami_archive
from tests.unit.archive_world import PREFIX, WRITES, ArchiveEc2, Killed, World
from tests.unit.cloud import BUCKET, NOON, Cloud, Thing
from tests.unit.usage_ec2 import image_number, moment

GRACE_DAYS = 7
DEFAULTS = {
    name: spec.get("default") for name, spec in ec2_ami_archive.build_argument_spec().items()
}


@dataclass
class QuickS3:
    """The objects of a world, without the wire: thousands of runs go through here."""

    objects: dict[str, Thing]
    gate: Callable[[str, str], None]

    def _thing(self, operation: str, key: str) -> Thing:
        self.gate("before", operation)
        if key not in self.objects:
            raise ClientError({"Error": {"Code": "404", "Message": "Not Found"}}, operation)
        return self.objects[key]

    def head_object(self, **params: Any) -> dict[str, Any]:
        thing = self._thing("HeadObject", params["Key"])
        length = len(thing.body)
        return {"ContentLength": length, "ETag": f'"{thing.etag}"', **thing.head}

    def get_object(self, **params: Any) -> dict[str, Any]:
        thing = self._thing("GetObject", params["Key"])
        assert params.get("IfMatch", f'"{thing.etag}"') == f'"{thing.etag}"'
        return {"Body": io.BytesIO(thing.body), "ContentLength": len(thing.body)}

    def list_objects_v2(self, **params: Any) -> dict[str, Any]:
        self.gate("before", "ListObjectsV2")
        keys = sorted(key for key in self.objects if key.startswith(params["Prefix"]))
        shown = keys[: params["MaxKeys"]]
        return {
            "Contents": [
                {"Key": k, "Size": len(self.objects[k].body), "ETag": f'"{self.objects[k].etag}"'}
                for k in shown
            ]
        }


@dataclass
class Trap:
    """Lets one call of a run go wrong; `number` counts calls, before and after the act."""

    number: int | None = None
    error: BaseException = field(default_factory=Killed)
    only_writes: bool = False
    seen: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, when: str, operation: str) -> None:
        if self.only_writes and operation not in WRITES:
            return
        self.seen.append((when, operation))
        if len(self.seen) - 1 == self.number:
            raise self.error


def wish(**options: Any) -> Wish:
    given = {
        "all": True,
        "bucket": BUCKET,
        "prefix": PREFIX,
        "end_state": "deregistered",
        "allow": ["protected"],
        "snapshots_after_days": GRACE_DAYS,
    }
    return Wish.from_params({**DEFAULTS, **given, **options})


def archive(world: World, trap: Trap, check: bool = False, **options: Any) -> Archive:
    """Run, to the end unless the trap kills it."""
    world.ec2.gate = trap
    bucket = Bucket(QuickS3(world.objects, trap), BUCKET)
    run = Archive(world.ec2, bucket, wish(**options), check, lambda _warning: None)
    try:
        run.run()
    except Killed:
        world.ec2.calls.clear()
    return run


def seed(count: int) -> World:
    """AMIs of every kind, some of which may go and some of which must not."""
    world = World(ArchiveEc2(now=NOON), Cloud())
    kinds: list[Callable[[int], str]] = [
        world.add,
        lambda number: world.add(number, State="disabled"),
        lambda number: world.add(number, DeregistrationProtection="enabled-without-cooldown"),
        lambda number: world.add(number, DeregistrationProtection="enabled-with-cooldown"),
        lambda number: world.add(number, stored=False),
        lambda number: world.add(number, verified=False),
        lambda number: world.add(number, LastLaunchedTime=moment(3)),
        lambda number: world.add(number, Public=True),
        lambda number: referred(world, number),
        lambda number: faulty(world, number),
    ]
    for number in range(1, count + 1):
        kinds[number % len(kinds)](number)
    return world


def referred(world: World, number: int) -> str:
    image_id = world.add(number)
    world.ec2.refer(image_id, name=f"i-{number}")
    return image_id


def faulty(world: World, number: int) -> str:
    image_id = world.add(number)
    world.store(image_id, stored_image={"etag": "another", "size": 1})
    return image_id


def may_be_gone(world: World, image_id: str) -> bool:
    """Whether what the bucket holds is the verified stored image of the AMI."""
    key = world.key(image_id)
    return key in world.objects and world.key(image_id, ".verified.json") in world.objects


def assert_nothing_lost(before: World, after: World) -> None:
    ec2 = after.ec2
    for image_id in before.ec2.images:
        if image_id not in ec2.images:
            assert int(image_id[4:], 16) % 10 in (0, 1, 2, 3), image_id
            assert may_be_gone(after, image_id), image_id
    assert ec2.launch_permissions_lost == []
    for snapshot_id, deleted in ec2.deleted_at.items():
        image_id = f"ami-{snapshot_id.removeprefix('snap-')}"
        assert deleted - ec2.deregistered_at[image_id] >= timedelta(days=GRACE_DAYS)
        assert may_be_gone(after, image_id)
    held = {m["Ebs"]["SnapshotId"] for i in ec2.images.values() for m in i["BlockDeviceMappings"]}
    assert held <= ec2.snapshots.keys()


def outcome(world: World) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """What is left at the end: AMIs with their states, snapshots, and what they are marked as."""
    ec2 = world.ec2
    states = frozenset(f"{i} {image['State']}" for i, image in ec2.images.items())
    dated = frozenset(s for s in ec2.snapshots if "amistore:deregistered-at" in ec2.tags(s))
    return states, frozenset(ec2.snapshots), dated


def first_run(count: int) -> World:
    return seed(count)


def after_the_cooldown(count: int) -> World:
    world = seed(count)
    archive(world, Trap())
    world.pass_days(2)
    return world


def after_the_grace(count: int) -> World:
    world = after_the_cooldown(count)
    archive(world, Trap())
    world.pass_days(GRACE_DAYS)
    world.verify_all()
    return world


STAGES = [first_run, after_the_cooldown, after_the_grace]
stages = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)


def clone(world: World) -> World:
    world.ec2.gate = lambda _when, _operation: None
    return copy.deepcopy(world)


def every_trap(world: World, error: BaseException, only_writes: bool) -> Iterator[World]:
    """The world after a run that went wrong at one call, for each of them."""
    counting = Trap(only_writes=only_writes)
    archive(clone(world), counting)
    assert counting.seen
    for number in range(len(counting.seen)):
        broken = clone(world)
        archive(broken, Trap(number, error, only_writes))
        yield broken


@stages
def test_killed_at_any_change_it_loses_nothing_and_converges(
    stage: Callable[[int], World],
) -> None:
    world = stage(40)
    wanted = clone(world)
    archive(wanted, Trap())
    assert wanted.ec2.writes()
    for killed in every_trap(world, Killed(), only_writes=True):
        assert_nothing_lost(world, killed)
        archive(killed, Trap())
        assert_nothing_lost(world, killed)
        assert outcome(killed) == outcome(wanted)


@stages
def test_killed_at_any_call_it_loses_nothing_and_converges(stage: Callable[[int], World]) -> None:
    """Between two changes nothing differs, so a kind of each is enough for the calls that read."""
    world = stage(10)
    wanted = clone(world)
    archive(wanted, Trap())
    for killed in every_trap(world, Killed(), only_writes=False):
        assert_nothing_lost(world, killed)
        archive(killed, Trap())
        assert outcome(killed) == outcome(wanted)


FAULTS: dict[str, Exception] = {
    "refused": ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": ""}}, ""),
    "failing": ClientError({"Error": {"Code": "InternalError", "Message": ""}}, ""),
    "no answer": ReadTimeoutError(endpoint_url="https://ec2.example"),
    "expired": ClientError({"Error": {"Code": "ExpiredToken", "Message": ""}}, ""),
}


@pytest.mark.parametrize(
    ("fault", "stage"),
    [
        *(("refused", stage) for stage in STAGES),
        ("failing", first_run),
        ("no answer", after_the_cooldown),
        ("no answer", after_the_grace),
        ("expired", first_run),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_call_that_fails_loses_nothing_and_the_next_run_ends_it(
    fault: str, stage: Callable[[int], World], slept: list[float]
) -> None:
    world = stage(10)
    wanted = clone(world)
    archive(wanted, Trap())
    for broken in every_trap(world, FAULTS[fault], only_writes=False):
        assert_nothing_lost(world, broken)
        archive(broken, Trap())
        assert_nothing_lost(world, broken)
        assert outcome(broken) == outcome(wanted)


@pytest.mark.parametrize("operation", ["DeregisterImage", "DisableImage", "CreateTags"])
def test_what_fails_for_one_does_not_keep_the_others(operation: str) -> None:
    world = seed(40)
    first = image_number(10)
    unlucky = world.ec2.snapshot_of(first) if operation == "CreateTags" else first
    end_state = "disabled" if operation == "DisableImage" else "deregistered"
    days = 7 if end_state == "deregistered" else None
    expected = archive(clone(world), Trap(), end_state=end_state, snapshots_after_days=days)
    world.ec2.denials[f"{operation} {unlucky}"] = FAULTS["refused"]
    run = archive(world, Trap(), end_state=end_state, snapshots_after_days=days)
    assert [entry.image_id for entry in run.entries if entry.error] == [first]
    assert [(e.image_id, e.done) for e in run.entries if e.image_id != first] == [
        (e.image_id, e.done) for e in expected.entries if e.image_id != first
    ]
    assert run.stopped_by == ""


@stages
@pytest.mark.parametrize("end_state", ["stored", "disabled", "deregistered", "available"])
def test_check_mode_prints_the_plan_that_the_run_keeps_to(
    end_state: str, stage: Callable[[int], World]
) -> None:
    days = GRACE_DAYS if end_state == "deregistered" else None
    world = stage(40)
    foreseen = archive(
        clone(world), Trap(), check=True, end_state=end_state, snapshots_after_days=days
    )
    before = copy.deepcopy(world.ec2.images)
    checked = clone(world)
    archive(checked, Trap(), check=True, end_state=end_state, snapshots_after_days=days)
    assert checked.ec2.images == before
    run = archive(world, Trap(), end_state=end_state, snapshots_after_days=days)
    if stage is first_run:
        assert len(run.entries) == 40
    described = [entry.describe() for entry in run.entries]
    assert described == [entry.describe() for entry in foreseen.entries]
    if end_state not in ("stored", "available"):
        assert any(entry["done"] for entry in described)
