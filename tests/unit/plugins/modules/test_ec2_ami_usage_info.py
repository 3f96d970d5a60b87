# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ec2_ami_usage_info from its arguments to its result."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.modules import ec2_ami_usage_info
from tests.unit.cloud import ACCOUNT, BUCKET, NOON, Cloud, Refusal, Thing, Wire, forbidden
from tests.unit.module_runner import Result, Runner
from tests.unit.usage_ec2 import (
    NEW_CALLS,
    NEW_IMAGE_FIELDS,
    Ec2,
    image_number,
    moment,
    refusal,
)

MODULE = ec2_ami_usage_info
STRANGER = "444455556666"


@pytest.fixture
def ec2(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Ec2:
    """The newest botocore."""
    return plug(Ec2(), wire, monkeypatch)


@pytest.fixture
def old_ec2(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Ec2:
    """The oldest botocore that is supported."""
    return plug(Ec2(newest=False), wire, monkeypatch)


def plug(ec2: Ec2, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Ec2:
    monkeypatch.setitem(wire.clients, "ec2", ec2)
    return ec2


def by_id(result: Result) -> dict[str, dict[str, Any]]:
    assert not result.failed, result.values
    return {image["image_id"]: image for image in result["images"]}


# What is told


def test_an_unused_image_is_archivable(run: Runner, ec2: Ec2) -> None:
    image_id = ec2.add(LastLaunchedTime=moment(400.5))
    result = run()
    assert result["changed"] is False
    assert result["missing"] == []
    assert result.warnings == []
    assert run.services == ["ec2"]
    assert result.image == {
        "image_id": image_id,
        "name": "web-0001",
        "owner_id": ACCOUNT,
        "owned": True,
        "state": "available",
        "source_image_id": None,
        "source_image_region": None,
        "source_instance_id": None,
        "creation_time": "2023-08-05T12:00:00+00:00",
        "last_launched_time": "2025-03-27T00:00:00+00:00",
        "days_since_launch": 400,
        "use": "unused",
        "deprecation_time": None,
        "deprecated": False,
        "deregistration_protection": "disabled",
        "public": False,
        "launch_permissions": 0,
        "size": 8,
        "snapshot_bytes": 5 * 1024**3,
        "ancestry": None,
        "references": {"count": 0, "found": [], "unchecked": []},
        "stored_image": None,
        "archivable": True,
        "reasons": ["unused"],
        "unknown": [],
    }


@pytest.mark.parametrize(
    ("values", "use", "archivable", "reasons"),
    [
        ({"LastLaunchedTime": moment(90.9)}, "used", False, ["used"]),
        ({"LastLaunchedTime": moment(91)}, "unused", True, ["unused"]),
        ({"LastLaunchedTime": moment(91)[:-5] + "Z"}, "unused", True, ["unused"]),
        ({}, "never", True, ["never"]),
        ({"CreationDate": moment(90.9)}, "recent", False, ["recent"]),
        ({"CreationDate": "2016-01-01T00:00:00.000Z"}, "unknown", None, ["use_unknown"]),
        ({"CreationDate": "?"}, "unknown", None, ["use_unknown"]),
        ({"LastLaunchedTime": "yesterday"}, "unknown", None, ["use_unknown"]),
    ],
)
def test_the_last_launch_decides(
    values: dict[str, str],
    use: str,
    archivable: bool | None,
    reasons: list[str],
    run: Runner,
    ec2: Ec2,
) -> None:
    ec2.add(**values)
    image = run().image
    assert (image["use"], image["archivable"], image["reasons"]) == (use, archivable, reasons)


def test_never_launched_and_unknown_are_different_answers(run: Runner, ec2: Ec2) -> None:
    never, unknown = ec2.add(1), ec2.add(2, CreationDate="2017-04-30T00:00:00.000Z")
    images = by_id(run())
    for image_id in (never, unknown):
        assert images[image_id]["last_launched_time"] is None
        assert images[image_id]["days_since_launch"] is None
    assert images[never]["unknown"] == []
    assert images[unknown]["unknown"] == ["last_launched_time"]


def test_the_days_count_from_awss_own_time(run: Runner, ec2: Ec2) -> None:
    ec2.add(LastLaunchedTime=moment(80))
    assert run().image["use"] == "used"
    ec2.now = NOON + timedelta(days=11)
    image = run().image
    assert (image["use"], image["days_since_launch"]) == ("unused", 91)


def test_without_awss_time_that_of_the_machine_counts(run: Runner, ec2: Ec2) -> None:
    """All of these days lie behind, or far before, the day on which this test runs."""
    ec2.now = None
    ec2.add(1, LastLaunchedTime="2018-01-01T00:00:00.000Z")
    ec2.add(2, LastLaunchedTime="2999-01-01T00:00:00.000Z")
    assert [image["use"] for image in run()["images"]] == ["unused", "used"]
    assert run()["images"][1]["days_since_launch"] == 0


def test_fewer_days_of_disuse_can_be_asked_for(run: Runner, ec2: Ec2) -> None:
    ec2.add(LastLaunchedTime=moment(10))
    assert run(unused_days=9).image["use"] == "unused"
    assert run(unused_days=10).image["use"] == "used"


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        ({"State": "pending"}, ["not_available"]),
        ({"State": "failed"}, ["not_available"]),
        ({"RootDeviceType": "instance-store"}, ["not_storable"]),
        ({"VirtualizationType": "paravirtual"}, ["not_storable"]),
        ({"ImageOwnerAlias": "aws-backup-vault"}, ["managed_by_backup"]),
        ({"DeregistrationProtection": "enabled-with-cooldown"}, ["protected"]),
        ({"DeregistrationProtection": "enabled-without-cooldown"}, ["protected"]),
        ({"DeregistrationProtection": "something new"}, ["protected"]),
        ({"Public": True}, ["shared"]),
        ({"Public": True, "LastLaunchedTime": moment(1)}, ["used", "shared"]),
    ],
)
def test_what_keeps_an_image(
    values: dict[str, Any], reasons: list[str], run: Runner, ec2: Ec2
) -> None:
    ec2.add(**values)
    image = run().image
    assert (image["archivable"], image["reasons"]) == (False, reasons)


def test_protection_that_aws_does_not_tell_is_unknown(run: Runner, ec2: Ec2) -> None:
    ec2.add(DeregistrationProtection=None)
    image = run().image
    assert (image["archivable"], image["reasons"]) == (None, ["protection_unknown"])
    assert image["unknown"] == ["deregistration_protection"]


def test_a_disabled_and_a_deprecated_image_may_be_archived(run: Runner, ec2: Ec2) -> None:
    ec2.add(1, State="disabled", DeprecationTime=moment(1)[:-5] + "Z")
    ec2.add(2, DeprecationTime=moment(-1)[:-5] + "Z")
    past, future = run()["images"]
    assert (past["deprecated"], future["deprecated"]) == (True, False)
    assert past["deprecation_time"] == "2026-04-30T12:00:00+00:00"
    assert (past["archivable"], future["archivable"]) == (True, True)


def test_its_origin_is_told(run: Runner, ec2: Ec2) -> None:
    ec2.add(
        SourceImageId="ami-0abcdef1", SourceImageRegion="us-east-1", SourceInstanceId="i-0abcdef1"
    )
    image = run().image
    assert image["source_image_id"] == "ami-0abcdef1"
    assert image["source_image_region"] == "us-east-1"
    assert image["source_instance_id"] == "i-0abcdef1"


def test_references_keep_an_image(run: Runner, ec2: Ec2) -> None:
    ec2.refer(ec2.add(), "ec2:LaunchTemplate", "lt-1")
    image = run().image
    assert (image["archivable"], image["reasons"]) == (False, ["referenced"])
    assert image["references"] == {
        "count": 1,
        "found": [
            {"resource_type": "ec2:LaunchTemplate", "arn": "arn:aws:ec2:LaunchTemplate/lt-1"}
        ],
        "unchecked": [],
    }


def test_of_many_references_the_first_ten_are_told(run: Runner, ec2: Ec2) -> None:
    image_id = ec2.add()
    for number in range(3000):
        ec2.refer(image_id, name=f"i-{number}")
    references = run().image["references"]
    assert references["count"] == 3000
    names = [reference["arn"].rpartition("/")[2] for reference in references["found"]]
    assert names == [f"i-{number}" for number in range(10)]


def test_fewer_types_of_references_can_be_looked_for(run: Runner, ec2: Ec2) -> None:
    ec2.refer(ec2.add(), "ssm:Parameter", "golden")
    result = run(references=["ec2:Instance", "ec2:LaunchTemplate"], launch_template_versions=3)
    assert result.image["archivable"] is True
    (params,) = ec2.params("DescribeImageReferences")
    assert "'OptionValues': ['3']" in str(params)


def test_without_a_look_for_references_nothing_is_archivable(run: Runner, ec2: Ec2) -> None:
    ec2.add()
    image = run(references=[]).image
    assert (image["archivable"], image["reasons"]) == (None, ["references_unknown"])
    assert (image["references"], image["unknown"]) == (None, [])
    assert ec2.params("DescribeImageReferences") == []


# Launch permissions and ancestry, at a call for each AMI


def test_shared_images_are_kept(run: Runner, ec2: Ec2) -> None:
    image_id = ec2.add()
    ec2.permissions[image_id] = [{"UserId": STRANGER}, {"OrganizationArn": "arn:aws:o"}]
    image = run().image
    assert (image["archivable"], image["reasons"]) == (False, ["shared"])
    assert image["launch_permissions"] == 2


def test_permissions_are_asked_for_where_the_verdict_hangs_on_them(run: Runner, ec2: Ec2) -> None:
    used, unused = ec2.add(1, LastLaunchedTime=moment(1)), ec2.add(2)
    images = by_id(run())
    asked = [params["ImageId"] for params in ec2.params("DescribeImageAttribute")]
    assert asked == [unused]
    assert (images[used]["launch_permissions"], images[used]["unknown"]) == (None, [])


def test_all_permissions_are_told_on_request(run: Runner, ec2: Ec2) -> None:
    used = ec2.add(1, LastLaunchedTime=moment(1))
    public = ec2.add(2, Public=True)
    ec2.permissions[public] = [{"Group": "all"}]
    images = by_id(run(include=["launch_permissions"]))
    assert images[used]["launch_permissions"] == 0
    assert images[public]["launch_permissions"] == 1


def test_permissions_that_cannot_be_read_are_unknown(run: Runner, ec2: Ec2) -> None:
    closed, other, gone = (ec2.add(number) for number in range(1, 4))
    ec2.denials[f"DescribeImageAttribute {closed}"] = refusal()
    ec2.denials[f"DescribeImageAttribute {gone}"] = refusal("InvalidAMIID.NotFound")
    result = run()
    images = by_id(result)
    for image_id in (closed, gone):
        assert images[image_id]["reasons"] == ["sharing_unknown"]
        assert images[image_id]["archivable"] is None
        assert images[image_id]["unknown"] == ["launch_permissions"]
    assert images[other]["archivable"] is True
    (warning,) = result.warnings
    assert closed in warning
    assert "ec2:DescribeImageAttribute" in warning


def test_the_ancestry_is_told_on_request(run: Runner, ec2: Ec2) -> None:
    root = ec2.add(1, CreationDate=moment(1000))
    middle = ec2.add(2, CreationDate=moment(900), SourceImageId=root)
    young = ec2.add(3, CreationDate=moment(800), SourceImageId=middle)
    images = by_id(run(include=["ancestry"]))
    chains = {i: [a["image_id"] for a in images[i]["ancestry"]] for i in images}
    assert chains == {young: [young, middle, root], middle: [middle, root], root: [root]}
    assert images[young]["ancestry"][0] == {
        "image_id": young,
        "source_image_id": middle,
        "source_image_region": None,
        "owner_alias": None,
        "creation_time": "2026-05-01T12:00:00+00:00",
    }
    # The chain of the youngest holds those of the others.
    assert [params["ImageId"] for params in ec2.params("GetImageAncestry")] == [young]


def test_an_ancestry_that_cannot_be_read_is_unknown(run: Runner, ec2: Ec2) -> None:
    closed, other = ec2.add(1), ec2.add(2)
    ec2.denials[f"GetImageAncestry {closed}"] = refusal()
    result = run(include=["ancestry"])
    images = by_id(result)
    assert (images[closed]["ancestry"], images[closed]["unknown"]) == (None, ["ancestry"])
    assert [ancestor["image_id"] for ancestor in images[other]["ancestry"]] == [other]
    assert images[closed]["archivable"] is True
    (warning,) = result.warnings
    assert closed in warning
    assert "ec2:GetImageAncestry" in warning


# What cannot be told


def test_with_the_oldest_botocore_what_it_lacks_is_unknown(run: Runner, old_ec2: Ec2) -> None:
    old_ec2.add()
    result = run(include=["ancestry"])
    image = result.image
    assert image["use"] == "unknown"
    assert (image["archivable"], image["reasons"]) == (
        None,
        ["use_unknown", "protection_unknown", "references_unknown"],
    )
    assert image["unknown"] == [
        "source_image_id",
        "source_image_region",
        "last_launched_time",
        "deregistration_protection",
        "snapshot_bytes",
        "ancestry",
        "references",
    ]
    assert image["launch_permissions"] == 0
    (warning,) = result.warnings
    for name in (*NEW_IMAGE_FIELDS, "DescribeImageReferences", "GetImageAncestry", "1.40.72"):
        assert name in warning


def test_what_nobody_asks_for_is_not_missed(run: Runner, old_ec2: Ec2) -> None:
    old_ec2.add()
    (warning,) = run(references=[]).warnings
    assert "DescribeImageReferences" not in warning
    assert "GetImageAncestry" not in warning


def test_the_installed_botocore_is_good_enough(run: Runner, wire: Wire, cloud: Cloud) -> None:
    """Whatever it is: real requests, and unknown exactly what it does not know."""
    cloud.add_image(image_number(1))
    cloud.replies["DescribeImageReferences"] = lambda _params: {"ImageReferences": []}
    cloud.replies["GetImageAncestry"] = lambda _params: {"ImageAncestryEntries": []}
    unknown = run(include=["ancestry"]).image["unknown"]
    model = wire.clients["ec2"].meta.service_model
    known = model.shape_for("Image").members
    assert ("source_image_id" in unknown) is ("SourceImageId" not in known)
    calls = wire.clients["ec2"].meta.method_to_api_mapping
    for call, name in zip(NEW_CALLS, ("references", "ancestry"), strict=True):
        assert (name in unknown) is (call not in calls)


def test_an_image_of_somebody_else_is_kept(run: Runner, ec2: Ec2) -> None:
    theirs = ec2.add(OwnerId=STRANGER, DeregistrationProtection=None)
    image = run(image_id=theirs).image
    assert (image["owned"], image["archivable"]) == (False, False)
    assert image["reasons"] == ["not_owned"]
    assert image["use"] == "unknown"
    assert {"last_launched_time", "launch_permissions"} <= set(image["unknown"])
    assert ec2.params("DescribeImageAttribute") == []


def test_snapshots_that_cannot_be_seen_have_no_size(run: Runner, ec2: Ec2) -> None:
    ec2.add()
    ec2.denials["DescribeSnapshots"] = refusal()
    result = run()
    assert result.image["snapshot_bytes"] is None
    assert result.image["unknown"] == ["snapshot_bytes"]
    assert result.image["archivable"] is True
    assert "ec2:DescribeSnapshots" in result.warnings[0]


def test_one_snapshot_without_a_size_leaves_the_sum_unknown(run: Runner, ec2: Ec2) -> None:
    first, second = ec2.add(1), ec2.add(2)
    ec2.images[first]["BlockDeviceMappings"] += ec2.images[second]["BlockDeviceMappings"]
    ec2.snapshots.popitem()
    images = by_id(run())
    assert (images[first]["size"], images[first]["snapshot_bytes"]) == (16, None)


@pytest.mark.parametrize(
    "denied",
    [
        "DescribeSnapshots",
        "DescribeImageAttribute",
        "GetImageAncestry",
        "DescribeImageReferences",
    ],
)
def test_refused_credentials_fail_the_task(
    denied: str, run: Runner, ec2: Ec2, slept: list[float]
) -> None:
    ec2.add()
    ec2.denials[denied] = refusal("ExpiredToken")
    result = run(include=["ancestry"])
    assert result.failed
    assert "ExpiredToken" in result["msg"]


def test_images_that_cannot_be_listed_fail_the_task(run: Runner, ec2: Ec2) -> None:
    ec2.denials["DescribeImages"] = refusal()
    result = run()
    assert (
        result["msg"]
        == "Failed to describe the AMIs: UnauthorizedOperation: about UnauthorizedOperation"
    )
    assert result["changed"] is False


# The bucket


def test_a_stored_image_is_told(run: Runner, ec2: Ec2, cloud: Cloud) -> None:
    stored, not_stored = ec2.add(1), ec2.add(2)
    cloud.objects[f"dr/2024/{stored}.bin"] = Thing(b"image", head={"StorageClass": "GLACIER"})
    cloud.objects[f"dr/2024/{stored}.json"] = Thing(b"{}")
    cloud.objects[f"other/{not_stored}.bin"] = Thing()
    cloud.objects["dr/readme.json"] = Thing()
    images = by_id(run(bucket=BUCKET, prefix="dr/", expected_bucket_owner=ACCOUNT))
    assert images[stored]["stored_image"] == {
        "object_key": f"dr/2024/{stored}.bin",
        "size": 5,
        "last_modified": "2026-05-01T12:00:00+00:00",
        "storage_class": "GLACIER",
        "restorable": False,
        "manifest": True,
    }
    assert images[stored]["reasons"] == ["never", "stored"]
    assert images[not_stored]["stored_image"] is None
    assert images[not_stored]["reasons"] == ["never", "not_stored"]
    assert images[not_stored]["archivable"] is True
    assert cloud.params("ListObjectsV2")[0]["ExpectedBucketOwner"] == ACCOUNT


def test_of_two_stored_images_that_of_the_prefix_counts(
    run: Runner, ec2: Ec2, cloud: Cloud
) -> None:
    image_id = ec2.add()
    for folder in ("dr/2024/", "dr/", "dr/zzz/"):
        cloud.objects[f"{folder}{image_id}.bin"] = Thing()
    cloud.objects[f"dr/2024/{image_id}.json"] = Thing(b"{}")
    copy = run(bucket=BUCKET, prefix="dr").image["stored_image"]
    assert (copy["object_key"], copy["manifest"]) == (f"dr/{image_id}.bin", False)


def test_a_bucket_that_cannot_be_listed_leaves_it_unknown(
    run: Runner, ec2: Ec2, cloud: Cloud
) -> None:
    ec2.add()
    cloud.denials["ListObjectsV2"] = forbidden()
    result = run(bucket=BUCKET)
    assert result.image["reasons"] == ["stored_unknown"]
    assert (result.image["archivable"], result.image["unknown"]) == (None, ["stored_image"])
    assert "needed is s3:ListBucket" in result.warnings[0]


def test_a_bucket_that_does_not_exist_fails_the_task(run: Runner, ec2: Ec2) -> None:
    assert "does not exist" in run(bucket="no-such-bucket")["msg"]
    assert ec2.calls == []


def test_a_fault_of_s3_fails_the_task(run: Runner, ec2: Ec2, cloud: Cloud) -> None:
    ec2.add()
    cloud.denials["ListObjectsV2"] = Refusal("NoSuchBucket", status=404)
    assert "NoSuchBucket" in run(bucket=BUCKET)["msg"]


# Which AMIs


def test_ids_are_told_in_their_order_and_missing_ones_apart(run: Runner, ec2: Ec2) -> None:
    first, second = ec2.add(1), ec2.add(2)
    gone = image_number(9)
    result = run(image_ids=[second, gone, first, second, " "])
    assert [image["image_id"] for image in result["images"]] == [second, first]
    assert (result.failed, result["missing"]) == (False, [gone])


def test_a_deregistered_image_that_is_still_listed_is_missing(run: Runner, ec2: Ec2) -> None:
    image_id = ec2.add(State="deregistered")
    result = run(image_id=image_id)
    assert (result["images"], result["missing"]) == ([], [image_id])


def test_nothing_found_is_no_error_and_asks_nothing_more(run: Runner, ec2: Ec2) -> None:
    result = run()
    assert (result.failed, result["images"], result["missing"]) == (False, [], [])
    assert set(ec2.counts()) == {"DescribeImages"}


def test_own_images_are_listed_by_name(run: Runner, ec2: Ec2) -> None:
    second, first = ec2.add(2), ec2.add(1)
    ec2.add(3, OwnerId=STRANGER)
    assert [image["image_id"] for image in run()["images"]] == [first, second]
    assert [params["Owners"] for params in ec2.params("DescribeImages")] == [["self"]]


@pytest.mark.parametrize(
    ("owners", "names"),
    [
        ([STRANGER], ["web-0002"]),
        (["self", STRANGER], ["web-0001", "web-0002"]),
        ([ACCOUNT], ["web-0001"]),
        ([""], ["web-0001"]),
    ],
)
def test_owners_are_those_asked_for(
    owners: list[str], names: list[str], run: Runner, ec2: Ec2
) -> None:
    ec2.add(1)
    ec2.add(2, OwnerId=STRANGER)
    images = run(owners=owners)["images"]
    assert [image["name"] for image in images] == names
    assert all(image["owned"] is (image["owner_id"] == ACCOUNT) for image in images)


def test_filters_are_handed_on(run: Runner, ec2: Ec2) -> None:
    ec2.add(1)
    wanted = ec2.add(2)
    result = run(filters={"name": ["web-0002", "web-0003"]})
    assert result.image["image_id"] == wanted
    assert run(filters={"name": "web-0001"}, image_id=wanted)["missing"] == [wanted]


def test_check_mode_is_the_same(run: Runner, ec2: Ec2) -> None:
    ec2.add()
    assert run(check=True)["images"] == run()["images"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"image_ids": ["web"]}, "Not AMI ids: 'web'."),
        ({"bucket": "a/b"}, "holds a path"),
        ({"prefix": "//"}, "leading or a double slash"),
        ({"expected_bucket_owner": "1"}, "is not an account id"),
        ({"unused_days": 0}, "unused_days 0 is out of range: give 1 to 36500."),
        ({"launch_template_versions": 0}, "launch_template_versions 0 is out of range"),
        ({"launch_template_versions": 10001}, "give 1 to 10000"),
    ],
)
def test_bad_input_fails_before_a_client_is_made(
    options: dict[str, Any], told: str, run: Runner
) -> None:
    result = run(**options)
    assert (result.failed, result["changed"]) == (True, False)
    assert told in result["msg"]
    assert run.services == []


# The number of calls


def test_the_calls_for_a_thousand_images_are_bounded_by_pages(run: Runner, ec2: Ec2) -> None:
    """Only the forty that nothing else keeps cost a call each."""
    for number in range(1000):
        launched = {} if number % 25 == 0 else {"LastLaunchedTime": moment(3)}
        ec2.add(number, **launched)
    images = run()["images"]
    assert len(images) == 1000
    assert sum(image["archivable"] is True for image in images) == 40
    counts = ec2.counts()
    print(f"EC2 calls for 1,000 AMIs: {dict(counts)}, {counts.total()} in all")
    assert counts == {
        "DescribeImages": 1000 // 200,
        "DescribeSnapshots": 1000 // 200,
        "DescribeImageReferences": 1000 // 10,
        "DescribeImageAttribute": 40,
    }
