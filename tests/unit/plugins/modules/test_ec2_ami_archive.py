# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ec2_ami_archive from its arguments to its result."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from ansible_collections.amistore.aws.plugins.modules import ec2_ami_archive
from tests.unit.archive_world import PREFIX, World, fresh_world, no_gate
from tests.unit.cloud import BUCKET, Cloud, Refusal, Thing, Wire, forbidden
from tests.unit.module_runner import Result, Runner
from tests.unit.usage_ec2 import image_number, moment, refusal

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


# What speaks against it


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        ({"LastLaunchedTime": moment(3)}, ["used"]),
        ({"LastLaunchedTime": "", "CreationDate": moment(3)}, ["recent"]),
        ({"Public": True}, ["shared"]),
        ({"DeregistrationProtection": "enabled-without-cooldown"}, ["protected"]),
        ({"State": "pending"}, ["not_available"]),
        ({"LastLaunchedTime": "", "CreationDate": moment(5000)}, ["use_unknown"]),
        ({"ImageOwnerAlias": "aws-backup-vault"}, ["managed_by_backup"]),
    ],
)
@pytest.mark.parametrize("end_state", ["disabled", "deregistered"])
def test_what_speaks_against_it_keeps_an_ami(
    end_state: str, values: dict[str, Any], reasons: list[str], archive: Any, world: World
) -> None:
    world.add(**values)
    result = archive(end_state)
    assert (result.image["done"], result.image["reasons"]) == ([], reasons)
    assert world.ec2.writes() == []


def test_what_refers_to_an_ami_keeps_it_unless_allowed(archive: Any, world: World) -> None:
    world.ec2.refer(world.add())
    assert archive().image["reasons"] == ["referenced"]
    image = archive(allow=["referenced"]).image
    assert (image["done"], image["allowed"]) == (["deprecate", "disable"], ["referenced"])


def test_references_that_nobody_could_look_for_cannot_be_allowed(
    archive: Any, world: World
) -> None:
    world.add()
    world.ec2.denials["DescribeImageReferences ec2:Instance"] = refusal()
    result = archive(allow=["used", "shared", "protected", "referenced"])
    assert result.image["reasons"] == ["references_unknown"]
    assert world.ec2.writes() == []
    assert "ec2:DescribeInstances" in result.warnings[0]


def test_an_ami_of_somebody_else_is_left_alone(archive: Any, world: World) -> None:
    image_id = world.add(OwnerId=STRANGER)
    for end_state in ("deregistered", "available"):
        assert archive(end_state, image_ids=[image_id]).image["reasons"] == ["not_owned"]
    assert world.ec2.writes() == []


def test_whether_a_used_ami_is_shared_is_asked_where_use_is_allowed(
    archive: Any, world: World
) -> None:
    image_id = world.add(LastLaunchedTime=moment(3))
    world.ec2.permissions[image_id] = [{"UserId": STRANGER}]
    assert archive(allow=["used"]).image["reasons"] == ["shared"]
    world.ec2.permissions.clear()
    assert archive(allow=["used"]).image["done"] == ["deprecate", "disable"]


# The stored image


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        ({"StorageClass": "GLACIER"}, "archived"),
        ({"StorageClass": "DEEP_ARCHIVE", "Restore": 'ongoing-request="false"'}, "archived"),
        (
            {"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "ARCHIVE_ACCESS"},
            "archived",
        ),
        ({"Expiration": 'expiry-date="Fri, 15 May 2026 00:00:00 GMT", rule-id="r"'}, "expires"),
        ({"SSECustomerAlgorithm": "AES256"}, "unreadable"),
        ({"ContentLength": 0}, "empty"),
    ],
)
def test_a_stored_image_that_is_no_backup_keeps_the_ami(
    head: dict[str, Any], fault: str, archive: Any, world: World
) -> None:
    image_id = world.add()
    world.objects[world.key(image_id)].head = head
    for end_state in ("stored", "disabled", "deregistered"):
        image = archive(end_state, accept_untested=True).image
        assert (image["plan"], image["reasons"]) == ([], [fault])
        assert image["stored_image"]["ready"] is False
    assert world.ec2.writes() == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (None, "no_manifest"),
        (b"{", "manifest_unreadable"),
        ({"format_version": 99}, "manifest_unreadable"),
        ({"image": {"ImageId": image_number(7)}}, "manifest_of_another"),
        ({"image": []}, "manifest_of_another"),
        ({"stored_image": None}, "manifest_unfinished"),
        ({"stored_image": {"etag": "another"}}, "replaced"),
    ],
)
def test_a_manifest_that_is_not_of_this_very_object_keeps_the_ami(
    change: Any, fault: str, archive: Any, world: World
) -> None:
    image_id = world.add()
    key = world.key(image_id, ".json")
    if change is None:
        del world.objects[key]
    elif isinstance(change, bytes):
        world.objects[key] = Thing(change)
    else:
        world.store(image_id, **change)
    image = archive("deregistered", accept_untested=True).image
    assert (image["plan"], image["reasons"]) == ([], [fault])
    assert world.ec2.writes() == []


@pytest.mark.parametrize(
    ("refused", "reasons"),
    [
        (Refusal("AccessDenied", "kms:Decrypt is missing", 403), ["unreadable"]),
        (Refusal("PreconditionFailed", status=412), ["replaced"]),
        (Refusal("InternalError", status=500), ["stored_unknown"]),
    ],
)
def test_a_stored_image_whose_first_byte_cannot_be_read_keeps_the_ami(
    refused: Refusal, reasons: list[str], archive: Any, world: World, cloud: Cloud
) -> None:
    world.add()

    def get(params: dict[str, Any]) -> dict[str, Any]:
        if params.get("Range"):
            assert params["Range"] == "bytes=0-0"
            raise refused
        return dict(cloud.usual("GetObject")(params))

    cloud.replies["GetObject"] = get
    image = archive("deregistered").image
    assert (image["plan"], image["reasons"]) == ([], reasons)
    assert world.ec2.writes() == []


def test_a_bucket_that_may_not_be_looked_into_keeps_every_ami(
    archive: Any, world: World, cloud: Cloud
) -> None:
    world.add(1)
    world.add(2, stored=False)
    cloud.denials |= {"HeadObject": forbidden(), "ListObjectsV2": forbidden()}
    result = archive("deregistered", accept_untested=True)
    assert {tuple(image["reasons"]) for image in result["images"]} == {("stored_unknown",)}
    assert "Needed are s3:ListBucket" in result["images"][1]["details"][0]
    assert any("stored images of 2 of the AMIs are unknown" in text for text in result.warnings)
    assert world.ec2.writes() == []


# The proof


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"days_ago": 31}, ["stored", "untested"]),
        ({"etag": "another"}, ["stored", "untested"]),
        ({"bucket": "elsewhere"}, ["stored", "test_unknown"]),
    ],
)
def test_evidence_that_does_not_cover_this_object_keeps_the_ami(
    changes: dict[str, Any], reasons: list[str], archive: Any, world: World
) -> None:
    image_id = world.add()
    world.verify(image_id, **changes)
    image = archive("deregistered", verified_within_days=30).image
    assert (image["plan"], image["reasons"]) == ([], reasons)
    assert image["stored_image"]["verified"] is False
    assert world.ec2.writes() == []


def test_damaged_evidence_is_unknown_and_told(archive: Any, world: World) -> None:
    image_id = world.add()
    world.objects[world.key(image_id, ".verified.json")] = Thing(b"{")
    image = archive("deregistered").image
    assert image["reasons"] == ["stored", "test_unknown"]
    assert "is not JSON" in image["details"][0]
    assert archive("deregistered", accept_untested=True).image["state"] == "gone"


def test_an_untested_ami_is_deregistered_only_on_request(archive: Any, world: World) -> None:
    image_id = world.add(verified=False)
    assert archive("deregistered").image["reasons"] == ["stored", "untested"]
    assert image_id in world.ec2.images
    assert twice(archive, world, "deregistered", accept_untested=True).image["done"] == MARKS


def test_the_bucket_alone_takes_nothing_out_of_service(archive: Any, world: World) -> None:
    """Whatever somebody writes into the bucket, EC2 has to agree."""
    world.add(1, LastLaunchedTime=moment(3))
    image_id = world.add(2)
    snapshot_id = world.ec2.snapshot_of(image_id)
    del world.ec2.images[image_id]
    result = archive("deregistered", snapshots_after_days=1, accept_untested=True)
    assert result["changed"] is False
    assert snapshot_id in world.ec2.snapshots


# The protection


def test_a_protection_is_taken_away_where_that_is_allowed(archive: Any, world: World) -> None:
    image_id = world.add(DeregistrationProtection="enabled-without-cooldown")
    assert archive("deregistered").image["reasons"] == ["protected"]
    done = ["mark_snapshots", "unprotect", "deregister", "date_snapshots"]
    assert archive("deregistered", allow=["protected"]).image["done"] == done
    assert image_id not in world.ec2.images


def test_disabling_leaves_the_protection(archive: Any, world: World) -> None:
    image_id = world.add(DeregistrationProtection="enabled-with-cooldown")
    archive("disabled", allow=["protected"])
    assert world.ec2.images[image_id]["DeregistrationProtection"] == "enabled-with-cooldown"


def test_a_cooldown_is_waited_for(archive: Any, world: World) -> None:
    image_id = world.add(DeregistrationProtection="enabled-with-cooldown")
    until = "2026-05-02T12:05:00+00:00"
    first = archive("deregistered", allow=["protected"]).image
    assert (first["done"], first["reasons"]) == (["unprotect"], ["stored", "cooldown"])
    assert first["not_before"] == until
    world.pass_days(1)
    second = archive("deregistered").image
    assert (second["done"], second["reasons"]) == ([], ["stored", "cooldown"])
    assert second["not_before"] == until
    world.pass_days(0.1)
    third = archive("deregistered").image
    assert (third["done"], third["not_before"]) == (MARKS, None)
    assert image_id not in world.ec2.images


def test_a_cooldown_that_aws_does_not_tell_from_protection_ends(archive: Any, world: World) -> None:
    image_id = world.add(DeregistrationProtection="enabled-with-cooldown")
    archive("deregistered", allow=["protected"])
    world.ec2.images[image_id]["DeregistrationProtection"] = "enabled-with-cooldown"
    world.pass_days(1)
    again = archive("deregistered", allow=["protected"]).image
    assert (again["done"], again["reasons"]) == ([], ["stored", "cooldown"])
    assert again["not_before"] == "2026-05-02T12:05:00+00:00"


def test_a_protection_that_nobody_knows_is_waited_for(archive: Any, world: World) -> None:
    world.add(DeregistrationProtection="disabled-for-now")
    image = archive("deregistered", allow=["protected"]).image
    assert (image["done"], image["reasons"]) == ([], ["stored", "cooldown"])
    assert image["not_before"] is None


# What changes between the plan and the act


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (lambda w, i: w.ec2.images[i].update(LastLaunchedTime=moment(0)), ["used"]),
        (lambda w, i: w.ec2.refer(i), ["referenced"]),
        (lambda w, i: w.ec2.permissions.update({i: [{"UserId": STRANGER}]}), ["shared"]),
        (lambda w, i: w.objects.pop(w.key(i)), ["not_stored", "untested"]),
        (lambda w, i: w.objects.pop(w.key(i, ".json")), ["no_manifest"]),
        (lambda w, i: w.objects.pop(w.key(i, ".verified.json")), ["stored", "untested"]),
        (lambda w, i: w.ec2.images[i].update(State="deregistered"), []),
    ],
    ids=["launch", "reference", "share", "object", "manifest", "evidence", "ami"],
)
@pytest.mark.parametrize("moment_of_change", ["CreateTags", "DescribeImages"])
def test_everything_is_looked_at_again_before_an_ami_goes(
    moment_of_change: str, change: Any, reasons: list[str], archive: Any, world: World
) -> None:
    """It changes when the snapshots have been marked, and between the plan and the first step."""
    image_id = world.add()
    waiting = {"CreateTags": ("after", 1), "DescribeImages": ("before", 2)}[moment_of_change]

    def gate(when: str, operation: str) -> None:
        seen = [name for name, _params in world.ec2.calls].count(operation)
        due = waiting[1] - (when == "before")
        if (when, operation, seen) == (waiting[0], moment_of_change, due):
            change(world, image_id)

    world.ec2.gate = gate
    image = archive("deregistered").image
    assert "deregister" not in image["done"]
    assert image["reasons"] == ["changed_meanwhile", *reasons]
    assert "DeregisterImage" not in world.ec2.writes()


# Snapshots


@pytest.fixture
def gone(archive: Any, world: World) -> tuple[str, str]:
    """An AMI that was deregistered ten days ago, and its snapshot."""
    image_id = world.add()
    snapshot_id = world.ec2.snapshot_of(image_id)
    archive("deregistered")
    world.pass_days(10)
    return image_id, snapshot_id


def retag(world: World, snapshot_id: str, **changes: str | None) -> None:
    """Change tags of a snapshot, given without amistore: and with underscores for hyphens."""
    new = {f"amistore:{name.replace('_', '-')}": value for name, value in changes.items()}
    tags = world.ec2.tags(snapshot_id) | new
    world.ec2.snapshots[snapshot_id]["Tags"] = [
        {"Key": key, "Value": value} for key, value in tags.items() if value is not None
    ]


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (lambda w, i, s: w.objects.pop(w.key(i)), ["gone", "not_stored"]),
        (lambda w, i, s: w.objects.pop(w.key(i, ".json")), ["gone", "no_manifest"]),
        (lambda w, i, s: w.objects.pop(w.key(i, ".verified.json")), ["gone", "untested"]),
        (lambda w, i, s: w.verify(i, days_ago=91), ["gone", "untested"]),
        (lambda w, i, s: w.verify(i, bucket="elsewhere"), ["gone", "test_unknown"]),
        (lambda w, i, s: retag(w, s, archived_etag="another"), ["gone", "replaced"]),
        (lambda w, i, s: retag(w, s, archived_snapshot="snap-1"), ["gone", "not_ours"]),
        (lambda w, i, s: retag(w, s, deregistered_at="long ago"), ["gone", "time_unknown"]),
        (
            lambda w, i, s: retag(w, s, deregistered_at="9999-12-31T00:00:00Z"),
            ["gone", "time_unknown"],
        ),
        (
            lambda w, i, s: (reuse(w, s), retag(w, s, deregistered_at="long ago")),
            ["gone", "needed"],
        ),
        (lambda w, i, s: tell_disks(w, i, []), ["gone", "not_in_manifest"]),
        (lambda w, i, s: tell_disks(w, i, 3), ["gone", "not_in_manifest"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_speaks_against_it_keeps_a_snapshot(
    change: Any, reasons: list[str], archive: Any, world: World, gone: tuple[str, str]
) -> None:
    change(world, *gone)
    result = archive("deregistered", snapshots_after_days=7)
    [image] = [one for one in result["images"] if one["image_id"] == gone[0]]
    assert (image["done"], image["reasons"]) == ([], reasons)
    assert gone[1] in world.ec2.snapshots
    assert "DeleteSnapshot" not in world.ec2.writes()


def reuse(world: World, snapshot_id: str) -> None:
    other = world.ec2.add(9, State="disabled", LastLaunchedTime=moment(3))
    world.ec2.images[other]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] = snapshot_id


def tell_disks(world: World, image_id: str, disks: Any) -> None:
    rewrite(world, image_id, BlockDeviceMappings=disks)


def rewrite(world: World, image_id: str, **image: Any) -> None:
    """Change what the manifest tells of the AMI."""
    key = world.key(image_id, ".json")
    manifest = json.loads(world.objects[key].body)
    manifest["image"] |= image
    world.objects[key] = Thing(json.dumps(manifest).encode())


def test_a_snapshot_of_an_ami_that_is_there_again_stays(
    archive: Any, world: World, gone: tuple[str, str]
) -> None:
    """As out of the Recycle Bin."""
    image_id, snapshot_id = gone
    world.add(1, LastLaunchedTime=moment(3))
    world.ec2.snapshots[snapshot_id]["Tags"] = [
        {"Key": key, "Value": value}
        for key, value in {
            "amistore:archived-image": image_id,
            "amistore:archived-snapshot": snapshot_id,
            "amistore:archived-in": f"{BUCKET}/{PREFIX}/{image_id}.bin",
            "amistore:archived-etag": world.objects[world.key(image_id)].etag,
            "amistore:deregistered-at": "2026-01-01T00:00:00Z",
        }.items()
    ]
    result = archive("deregistered", snapshots_after_days=7)
    assert result.image["reasons"] == ["used"]
    assert snapshot_id in world.ec2.snapshots


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (lambda w, i, s: w.objects.pop(w.key(i)), ["not_stored"]),
        (lambda w, i, s: w.objects.pop(w.key(i, ".verified.json")), ["untested"]),
        (lambda w, i, s: reuse(w, s), ["needed"]),
        (lambda w, i, s: retag(w, s, deregistered_at="2026-05-11T00:00:00Z"), ["grace"]),
        (lambda w, i, s: retag(w, s, archived_image=None), []),
    ],
    ids=["object", "evidence", "use", "time", "mark"],
)
def test_everything_is_looked_at_again_before_a_snapshot_goes(
    change: Any, reasons: list[str], archive: Any, world: World, gone: tuple[str, str]
) -> None:
    def gate(_when: str, operation: str) -> None:
        looks = [name for name, _params in world.ec2.calls].count("DescribeSnapshots")
        if operation == "DescribeSnapshots" and looks == 1:
            change(world, *gone)

    world.ec2.calls.clear()
    world.ec2.gate = gate
    result = archive("deregistered", snapshots_after_days=7)
    assert result["changed"] is False
    [image] = [one for one in result["images"] if one["image_id"] == gone[0]]
    assert image["reasons"] == ["gone", "changed_meanwhile", *reasons]
    assert gone[1] in world.ec2.snapshots


def test_a_snapshot_without_a_date_is_dated_and_waits(
    archive: Any, world: World, gone: tuple[str, str]
) -> None:
    retag(world, gone[1], deregistered_at=None)
    first = archive("deregistered", snapshots_after_days=7)
    assert first.image["done"] == ["date_snapshots"]
    dated = world.ec2.tags(gone[1])["amistore:deregistered-at"]
    assert dated == "2026-05-11T12:00:00Z"
    world.pass_days(6)
    assert archive("deregistered", snapshots_after_days=7)["changed"] is False
    world.pass_days(1)
    assert archive("deregistered", snapshots_after_days=7).image["done"] == ["delete_snapshots"]


def test_the_grace_time_begins_anew_after_another_ami_used_a_snapshot(
    archive: Any, world: World, gone: tuple[str, str]
) -> None:
    """The way back: somebody registers an AMI of the snapshots, and has no need of it later."""
    reuse(world, gone[1])
    used = archive("deregistered", snapshots_after_days=7)
    [image] = [one for one in used["images"] if one["image_id"] == gone[0]]
    assert (image["done"], image["reasons"]) == (["forget_date"], ["gone", "needed"])
    assert archive("deregistered", snapshots_after_days=7)["changed"] is False
    world.pass_days(20)
    del world.ec2.images[image_number(9)]
    assert archive("deregistered", snapshots_after_days=7).image["done"] == ["date_snapshots"]
    world.pass_days(7)
    assert archive("deregistered", snapshots_after_days=7).image["done"] == ["delete_snapshots"]


def test_a_snapshot_of_two_amis_is_not_dated_with_the_first(archive: Any, world: World) -> None:
    image_id = world.add()
    snapshot_id = world.ec2.snapshot_of(image_id)
    reuse(world, snapshot_id)
    twice(archive, world, "deregistered", snapshots_after_days=7, image_ids=[image_id])
    assert image_id not in world.ec2.images
    assert not world.ec2.tags(snapshot_id).get("amistore:deregistered-at")


def test_an_old_date_does_not_outlive_an_ami_that_came_back(
    archive: Any, world: World, gone: tuple[str, str]
) -> None:
    """Out of the Recycle Bin, and deregistered again by a run that dies right then."""
    image_id, snapshot_id = gone
    tags = world.ec2.snapshots[snapshot_id]["Tags"]
    world.add(1)
    world.ec2.snapshots[snapshot_id]["Tags"] = tags

    def gate(when: str, operation: str) -> None:
        if (when, operation) == ("after", "DeregisterImage"):
            raise refusal("UnauthorizedOperation")

    world.ec2.gate = gate
    assert archive("deregistered", snapshots_after_days=7).failed
    assert image_id not in world.ec2.images
    world.ec2.gate = no_gate
    again = archive("deregistered", snapshots_after_days=7)
    assert again.image["done"] == ["date_snapshots"]
    assert snapshot_id in world.ec2.snapshots


def test_without_a_grace_time_snapshots_stay_for_ever(
    archive: Any, world: World, gone: tuple[str, str]
) -> None:
    world.pass_days(3000)
    image = archive("deregistered").image
    assert (image["done"], image["reasons"]) == ([], ["gone", "not_asked"])


def test_snapshots_stored_elsewhere_are_somebody_elses(
    archive: Any, world: World, gone: tuple[str, str]
) -> None:
    assert archive("deregistered", snapshots_after_days=7, prefix="other")["images"] == []
    retag(world, gone[1], archived_in=f"elsewhere/{PREFIX}/{gone[0]}.bin")
    assert archive("deregistered", snapshots_after_days=7)["images"] == []
    assert gone[1] in world.ec2.snapshots


@pytest.mark.parametrize(
    ("filters", "deleted"),
    [
        ({"name": "web-*"}, True),
        ({"name": ["db-*", "web-000?"]}, True),
        ({"name": "db-*"}, False),
        ({"tag:env": "prod"}, True),
        ({"tag:env": "test"}, False),
        ({"tag-key": "env"}, True),
        ({"name": "web-*", "tag:env": "test"}, False),
        ({"architecture": "x86_64"}, False),
        ({"name": "web[-]*"}, False),
    ],
)
def test_filters_take_amis_that_are_gone_by_their_manifests(
    filters: dict[str, Any], deleted: bool, archive: Any, world: World
) -> None:
    image_id = world.add(1, stored=False, Tags=[{"Key": "env", "Value": "prod"}])
    world.store(image_id)
    world.verify(image_id)
    snapshot_id = world.ec2.snapshot_of(image_id)
    archive("deregistered")
    world.pass_days(8)
    archive("deregistered", snapshots_after_days=7, filters=filters)
    assert (snapshot_id not in world.ec2.snapshots) is deleted


@pytest.mark.parametrize("tags", [3, ["env"], [{"Key": ["env"]}]])
def test_no_filter_takes_tags_that_are_none(
    tags: Any, archive: Any, world: World, gone: tuple[str, str]
) -> None:
    rewrite(world, gone[0], Tags=tags)
    result = archive("deregistered", snapshots_after_days=7, filters={"tag:env": "prod"})
    assert (result.failed, result["images"]) == (False, [])
    assert gone[1] in world.ec2.snapshots


def test_ids_take_amis_that_are_gone(archive: Any, world: World, gone: tuple[str, str]) -> None:
    other = image_number(8)
    world.objects[world.key(other)] = Thing()
    result = archive("deregistered", snapshots_after_days=7, image_ids=[other])
    assert [image["image_id"] for image in result["images"]] == [other]
    assert gone[1] in world.ec2.snapshots
    archive("deregistered", snapshots_after_days=7, image_ids=[gone[0]])
    assert gone[1] not in world.ec2.snapshots


def test_a_snapshot_that_aws_refuses_to_delete_fails_its_ami_only(
    archive: Any, world: World
) -> None:
    kept, freed = world.add(1), world.add(2)
    locked = world.ec2.snapshot_of(kept)
    archive("deregistered")
    world.pass_days(8)
    world.ec2.denials[f"DeleteSnapshot {locked}"] = refusal("SnapshotLocked")
    result = archive("deregistered", snapshots_after_days=7)
    assert result.failed
    assert f"{kept}: Failed to delete {locked}: SnapshotLocked" in result["msg"]
    assert [image["done"] for image in result["images"]] == [[], ["delete_snapshots"]]
    assert freed in result["images"][1]["image_id"]


# The way back


def test_what_the_archive_did_is_undone_and_nothing_else(archive: Any, world: World) -> None:
    image_id = world.add(1)
    others = world.add(2, State="disabled", DeprecationTime=moment(9))
    archive(image_ids=[image_id])
    result = archive("available")
    assert [image["done"] for image in result["images"]] == [["enable", "undeprecate"], []]
    assert result["images"][1]["reasons"] == ["not_by_archive"]
    assert world.ec2.images[image_id]["State"] == "available"
    assert "DeprecationTime" not in world.ec2.images[image_id]
    assert world.ec2.images[others]["State"] == "disabled"
    assert archive("available")["changed"] is False


def test_a_deprecation_of_somebody_else_stays(archive: Any, world: World) -> None:
    planned = "2027-01-01T00:00:00.000Z"
    image_id = world.add(DeprecationTime=planned)
    assert archive().image["done"] == ["disable"]
    assert archive("available").image["done"] == ["enable"]
    assert world.ec2.images[image_id]["DeprecationTime"] == planned


def test_a_tag_that_was_copied_from_another_ami_undoes_nothing(archive: Any, world: World) -> None:
    tag = {"Key": "amistore:archive", "Value": f"{image_number(7)} deprecate disable"}
    world.add(State="disabled", Tags=[tag])
    assert archive("available").image["reasons"] == ["not_by_archive"]


def test_what_somebody_disables_after_the_way_back_is_theirs(archive: Any, world: World) -> None:
    image_id = world.add()
    archive()
    archive("available")
    world.ec2.images[image_id]["State"] = "disabled"
    assert archive("available").image["reasons"] == ["not_by_archive"]


# Options and results


def test_no_amis_are_no_error(archive: Any, world: World, run: Runner) -> None:
    result = archive(image_ids=["", " "])
    assert (result.failed, result["images"], result["msg"]) == (
        False,
        [],
        "No AMIs, nothing to do.",
    )
    assert run.services == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "Which AMIs?"),
        ({"filters": {}}, "Which AMIs?"),
        ({"all": True, "image_ids": [image_number(1)]}, "all: true takes every AMI"),
        ({"all": True, "filters": {"name": "a"}}, "all: true takes every AMI"),
        ({"filters": {"name": []}}, "filters: name without a value"),
        ({"filters": {"tag:a": "b", "tag:c": None}}, "filters: tag:c without a value"),
        ({"all": True, "snapshots_after_days": 7}, "needs end_state: deregistered"),
        (
            {"all": True, "end_state": "deregistered", "snapshots_after_days": 0},
            "snapshots_after_days 0 is out of range",
        ),
        ({"all": True, "verified_within_days": 0}, "verified_within_days 0 is out of range"),
        ({"all": True, "unused_days": 0}, "unused_days 0 is out of range"),
        ({"all": True, "snapshot_price": -1}, "snapshot_price: -1.0 is not a price"),
        ({"all": True, "s3_prices": {"STANDARD": "cheap"}}, "s3_prices: 'cheap' is not a price"),
        ({"all": True, "s3_prices": {"STANDARD": None}}, "s3_prices: None is not a price"),
        ({"all": True, "prefix": "p" * 250}, "Use a shorter prefix"),
        ({"image_ids": ["ami-x"]}, "Not AMI ids: 'ami-x'"),
    ],
)
def test_what_is_wrong_by_itself_is_refused_before_anything_is_asked(
    options: dict[str, Any], words: str, run: Runner, world: World
) -> None:
    result = run(bucket=BUCKET, **options)
    assert result.failed
    assert words in result["msg"]
    assert run.services == []


def test_an_unknown_ami_fails_unless_it_is_stored(archive: Any, world: World) -> None:
    here, stored, unknown = world.add(1), world.add(2), image_number(3)
    del world.ec2.images[stored]
    result = archive(image_ids=[here, stored, unknown])
    assert result.failed
    assert result["msg"].startswith(
        "3 AMIs: 1 failed, deprecated 1, disabled 1, 1 left as they are."
        f" {unknown}: this account has no such AMI"
    )
    told = {image["image_id"]: image for image in result["images"]}
    assert told[here]["done"] == ["deprecate", "disable"]
    assert (told[stored]["reasons"], told[stored]["failure_reason"]) == (["gone", "stored"], None)
    assert told[unknown]["failure_reason"]


def test_an_ami_that_a_filter_leaves_out_is_not_gone(archive: Any, world: World) -> None:
    taken, stored, unstored = world.add(1), world.add(2), world.add(3, stored=False)
    name = world.ec2.images[taken]["Name"]
    result = archive(image_ids=[taken, stored, unstored], filters={"name": name})
    assert not result.failed
    assert [image["image_id"] for image in result["images"]] == [taken]


def test_a_run_without_aws_clock_does_nothing(archive: Any, world: World) -> None:
    world.add()
    world.ec2.now = None
    result = archive("deregistered")
    assert result.failed
    assert "has no date" in result["msg"]


def test_a_bucket_that_is_not_there_is_told(archive: Any, world: World) -> None:
    world.add()
    result = archive(bucket="elsewhere")
    assert result.failed
    assert "bucket 'elsewhere' does not exist" in result["msg"]
    assert (result["images"], world.ec2.calls) == ([], [])


def test_expired_credentials_end_the_run(archive: Any, world: World) -> None:
    world.add(1)
    second = world.add(2)
    world.ec2.denials["EnableImageDeprecation"] = refusal("ExpiredToken")
    result = archive()
    assert result.failed
    assert "Stopped: " in result["msg"]
    assert world.ec2.tags(second) == {}


@pytest.mark.parametrize(
    ("end_state", "refused"),
    [("disabled", "EnableImageDeprecation"), ("deregistered", "DeregisterImage")],
)
def test_tags_that_were_written_before_a_refusal_are_a_change(
    end_state: str, refused: str, archive: Any, world: World
) -> None:
    world.add(1)
    world.ec2.denials[refused] = refusal("UnauthorizedOperation")
    result = archive(end_state)
    assert (result.failed, result["changed"]) == (True, True)
    assert result.image["changed"] is True
    world.ec2.denials["CreateTags"] = refusal("UnauthorizedOperation")
    world.add(2)
    refused_all = archive(end_state, image_ids=[image_number(2)])
    assert (refused_all.failed, refused_all["changed"]) == (True, False)


def test_a_deregistration_whose_answer_got_lost_is_a_change(archive: Any, world: World) -> None:
    image_id = world.add()

    def gate(when: str, operation: str) -> None:
        if (when, operation) == ("after", "DeregisterImage"):
            raise ReadTimeoutError(endpoint_url="https://ec2")

    world.ec2.gate = gate
    result = archive("deregistered")
    assert (result.failed, result["changed"]) == (True, True)
    assert image_id not in world.ec2.images


def test_the_diff_tells_states_and_snapshots(archive: Any, world: World) -> None:
    image_id = world.add()
    [change] = archive(check=True, diff=True)["diff"]
    assert change["before_header"] == image_id
    assert (change["before"]["state"], change["after"]["state"]) == ("available", "disabled")
    assert change["after"]["done"] == ["deprecate", "disable"]


def test_the_saving_is_what_snapshots_cost_less_what_objects_cost(
    archive: Any, world: World
) -> None:
    """A snapshot that two AMIs use is counted once."""
    first, second = world.add(1), world.add(2)
    shared = world.ec2.snapshot_of(first)
    world.ec2.images[second]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] = shared
    world.objects[world.key(first)].head = {"ContentLength": 2 * 1024**3}
    totals = archive("stored", snapshot_price=0.05, s3_prices={"STANDARD": 0.02})["totals"]
    assert totals["snapshot_bytes_kept"] == 5 * 1024**3
    assert totals["monthly_saving"] == 0
    assert totals["monthly_saving_possible"] == pytest.approx(0.25 - 0.04, abs=0.01)
    assert archive("stored")["totals"]["monthly_saving_possible"] is None
    without = archive("stored", snapshot_price=0.05)["totals"]
    assert without["monthly_saving_possible"] is None


def test_with_the_oldest_botocore_nothing_is_archived(
    archive: Any, world: World, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ec2.newest = False
    world.ec2.__post_init__()
    world.add()
    result = archive("deregistered", allow=["used", "shared", "protected", "referenced"])
    assert result.image["reasons"] == ["use_unknown", "protection_unknown", "references_unknown"]
    assert world.ec2.writes() == []
