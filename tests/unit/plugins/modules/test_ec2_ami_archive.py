# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ec2_ami_archive from its arguments to its result."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.modules import ec2_ami_archive
from tests.unit.archive_world import PREFIX, World, fresh_world
from tests.unit.cloud import BUCKET, Cloud, Wire
from tests.unit.module_runner import Result, Runner

MODULE = ec2_ami_archive
STRANGER = "444455556666"
MARKS = ["mark_snapshots", "deregister", "date_snapshots"]


@pytest.fixture
def world(cloud: Cloud, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> World:
    fresh = fresh_world(cloud)
    monkeypatch.setitem(wire.clients, "ec2", fresh.ec2)
    return fresh


@pytest.fixture
def archive(run: Runner) -> Any:
    """Run for the only prefix, and all AMIs unless told otherwise."""

    def archive(end_state: str = "disabled", **options: Any) -> Result:
        which = {} if options.keys() & {"image_ids", "filters"} else {"all": True}
        place = {"bucket": BUCKET, "prefix": PREFIX, "end_state": end_state}
        return run(**{**place, **which, **options})

    return archive


def twice(archive: Any, world: World, *args: Any, **options: Any) -> Result:
    """Foresee, do, and find nothing left to do."""
    foreseen = archive(*args, check=True, **options)
    assert world.ec2.writes() == []
    result: Result = archive(*args, **options)
    for told in ("images", "totals", "changed"):
        assert foreseen[told] == result[told]
    written = len(world.ec2.writes())
    again = archive(*args, **options)
    assert again["changed"] is False
    assert len(world.ec2.writes()) == written
    return result


def test_by_default_nothing_is_taken_out_of_service(
    archive: Any, world: World, run: Runner
) -> None:
    world.add(1)
    missing = world.add(2, stored=False)
    result = run(all=True, bucket=BUCKET, prefix=PREFIX)
    assert not result.failed
    assert result["changed"] is False
    assert [image["plan"] for image in result["images"]] == [[], ["store"]]
    assert [image["reasons"] for image in result["images"]] == [["stored"], ["not_stored"]]
    assert result["images"][1]["image_id"] == missing
    assert world.ec2.writes() == []


def test_what_is_stored_is_deprecated_and_disabled(archive: Any, world: World) -> None:
    image_id = world.add()
    result = twice(archive, world)
    assert result.image["plan"] == result.image["done"] == ["deprecate", "disable"]
    assert (result.image["state"], result["changed"]) == ("disabled", True)
    assert result["msg"] == "1 AMI: deprecated 1, disabled 1."
    image = world.ec2.images[image_id]
    assert (image["State"], image["DeprecationTime"]) == ("disabled", "2026-05-01T12:05:00.000Z")


def test_what_is_verified_is_deregistered_and_its_snapshots_stay(
    archive: Any, world: World
) -> None:
    image_id = world.add()
    snapshot_id = world.ec2.snapshot_of(image_id)
    result = twice(archive, world, "deregistered")
    assert result.image["done"] == MARKS
    assert result.image["state"] == "gone"
    assert image_id not in world.ec2.images
    assert world.ec2.tags(snapshot_id) == {
        "amistore:archived-image": image_id,
        "amistore:archived-snapshot": snapshot_id,
        "amistore:archived-in": f"{BUCKET}/{PREFIX}/{image_id}.bin",
        "amistore:archived-etag": world.objects[world.key(image_id)].etag,
        "amistore:deregistered-at": "2026-05-01T12:00:00Z",
    }


def test_snapshots_go_in_a_later_run_after_the_grace_time(archive: Any, world: World) -> None:
    image_id = world.add()
    snapshot_id = world.ec2.snapshot_of(image_id)
    archive("deregistered", snapshots_after_days=7)
    world.pass_days(6.9)
    early = archive("deregistered", snapshots_after_days=7)
    assert (early.image["reasons"], early.image["done"]) == (["gone", "grace"], [])
    assert early.image["not_before"] == "2026-05-08T12:00:00+00:00"
    assert snapshot_id in world.ec2.snapshots
    world.pass_days(0.1)
    prices = {"snapshot_price": 0.05, "s3_prices": {"STANDARD": 0.02}}
    late = archive("deregistered", snapshots_after_days=7, **prices)
    assert late.image["done"] == ["delete_snapshots"]
    assert late.image["freed_bytes"] == late["totals"]["snapshot_bytes_freed"] == 5 * 1024**3
    assert late["totals"]["monthly_saving"] == 0.25
    assert snapshot_id not in world.ec2.snapshots
    done = archive("deregistered", snapshots_after_days=7)
    assert (done["changed"], done["images"]) == (False, [])
