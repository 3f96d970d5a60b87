# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CreateStoreImageTask on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Lab, Refusals
from .limits import COPY_IN_BUCKET, STORE_IN_PROGRESS


def test_stored_object_lies_under_the_amis_id(lab: Lab) -> None:
    image_id = lab.image()
    assert lab.stored(image_id) == f"{image_id}.bin"
    head = lab.s3.head_object(Bucket="vault", Key=f"{image_id}.bin")
    assert head["ContentLength"] > 2 * 1024**3
    assert head["ETag"].strip('"').split("-")[1] == str(-(-head["ContentLength"] // (8 * 1024**2)))
    assert head["ServerSideEncryption"] == "AES256"


def test_path_in_the_bucket_parameter_becomes_part_of_the_key(lab: Lab) -> None:
    image_id = lab.image()
    assert lab.stored(image_id, "vault/dr/2026") == f"dr/2026/{image_id}.bin"
    listed = lab.s3.list_objects_v2(Bucket="vault", Prefix="dr/2026/")["Contents"]
    assert [item["Key"] for item in listed] == [f"dr/2026/{image_id}.bin"]


def test_object_is_not_there_before_the_task_is_complete(lab: Lab) -> None:
    lab.store(lab.image())
    assert lab.s3.list_objects_v2(Bucket="vault")["KeyCount"] == 0
    assert lab.tasks()[0]["StoreTaskState"] == "InProgress"
    lab.emulator.advance(1000)
    assert lab.s3.list_objects_v2(Bucket="vault")["KeyCount"] == 1
    assert lab.tasks()[0]["StoreTaskState"] == "Completed"


def test_object_carries_the_given_tags_and_the_services_own(lab: Lab) -> None:
    lab.emulator.scenario(service_object_tags={"svc": "1"}, service_metadata={"ami-name": "web"})
    key = lab.stored(lab.image(), S3ObjectTags=[{"Key": "team", "Value": "dr"}])
    tags = lab.s3.get_object_tagging(Bucket="vault", Key=key)["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"svc": "1", "team": "dr"}
    head = lab.s3.head_object(Bucket="vault", Key=key)
    assert (head["TagCount"], head["Metadata"]) == (2, {"ami-name": "web"})


def test_object_takes_the_buckets_encryption_and_a_version(lab: Lab) -> None:
    rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "arn:aws:kms:us-east-1:1:key/k"}
    lab.s3.put_bucket_encryption(
        Bucket="vault",
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": rule, "BucketKeyEnabled": True}]
        },
    )
    lab.s3.put_bucket_versioning(Bucket="vault", VersioningConfiguration={"Status": "Enabled"})
    head = lab.s3.head_object(Bucket="vault", Key=lab.stored(lab.image()))
    assert head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"].endswith("key/k")
    assert head["BucketKeyEnabled"] is True
    assert len(head["VersionId"]) > 10


def test_second_store_of_an_ami_is_refused_while_one_runs(lab: Lab, refusal: Refusals) -> None:
    image_id = lab.image()
    lab.emulator.plant_buckets({"name": "other"})
    lab.store(image_id)
    with refusal:
        lab.store(image_id, "other")
    assert (refusal.code, refusal.message) == ("InvalidRequest", STORE_IN_PROGRESS)


@pytest.mark.parametrize("path", ["", "/elsewhere"])
def test_second_copy_in_a_bucket_is_refused_under_any_path(
    lab: Lab, refusal: Refusals, path: str
) -> None:
    image_id = lab.image()
    lab.stored(image_id)
    with refusal:
        lab.store(image_id, f"vault{path}")
    assert (refusal.code, refusal.message) == ("InvalidRequest", COPY_IN_BUCKET)


def test_deleted_object_may_be_stored_again(lab: Lab) -> None:
    image_id = lab.image()
    key = lab.stored(image_id)
    lab.s3.delete_object(Bucket="vault", Key=key)
    assert lab.stored(image_id) == key
    assert [task["StoreTaskState"] for task in lab.tasks()] == ["Completed", "Completed"]


@pytest.mark.parametrize("blocks", [False, True])
def test_delete_marker_blocks_only_where_the_scenario_says_so(
    lab: Lab, refusal: Refusals, blocks: bool
) -> None:
    lab.emulator.scenario(delete_marker_blocks_store=blocks)
    lab.s3.put_bucket_versioning(Bucket="vault", VersioningConfiguration={"Status": "Enabled"})
    image_id = lab.image()
    lab.s3.delete_object(Bucket="vault", Key=lab.stored(image_id))
    if not blocks:
        assert lab.stored(image_id) == f"{image_id}.bin"
        return
    with refusal:
        lab.store(image_id)
    assert refusal.message == COPY_IN_BUCKET


@pytest.mark.parametrize(
    ("image_id", "code"),
    [
        ("web", "InvalidAMIID.Malformed"),
        ("ami-xyz", "InvalidAMIID.Malformed"),
        ("ami-0123456789abcdef0", "InvalidAMIID.NotFound"),
    ],
)
def test_ami_id_is_checked_before_rights(
    lab: Lab, refusal: Refusals, image_id: str, code: str
) -> None:
    lab.emulator.scenario(deny=["ec2:CreateStoreImageTask"])
    with refusal:
        lab.store(image_id)
    assert refusal.code == code


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"root_device_type": "instance-store"}, "EBS-backed"),
        ({"virtualization_type": "paravirtual"}, "paravirtual"),
        ({"volumes": [{"device": "/dev/xvda", "size": 5001}]}, "larger"),
        ({"state": "failed"}, "failed"),
        ({"owner": "222222222222", "public": True}, "shared directly"),
    ],
)
def test_amis_that_cannot_be_stored(
    lab: Lab, refusal: Refusals, values: dict[str, Any], word: str
) -> None:
    image_id = lab.image(**values)
    with refusal:
        lab.store(image_id)
    assert word in refusal.message


def test_ami_that_was_shared_directly_can_be_stored_without_its_owners_tags(lab: Lab) -> None:
    image_id = lab.image(owner="222222222222", shared_with=["123456789012"], tags={"secret": "x"})
    restored = lab.described(lab.restore(lab.stored(image_id), Name="mine"))
    assert restored["OwnerId"] == "123456789012"
    assert restored["Tags"] == []


@pytest.mark.parametrize("bucket", ["missing", "s3://vault", "arn:aws:s3:::vault", "/vault"])
def test_impossible_bucket_is_refused(lab: Lab, refusal: Refusals, bucket: str) -> None:
    with refusal:
        lab.store(lab.image(), bucket)
    assert refusal.code == "InvalidParameterValue"


def test_bucket_must_be_in_the_requests_region(lab: Lab, refusal: Refusals) -> None:
    lab.emulator.plant_buckets({"name": "far-away", "region": "eu-west-1"})
    with refusal:
        lab.store(lab.image(), "far-away")
    assert "eu-west-1" in refusal.message


@pytest.mark.parametrize(
    "tags",
    [
        [{"Key": f"k{n}", "Value": ""} for n in range(11)],
        [{"Key": "k" * 129, "Value": ""}],
        [{"Key": "k", "Value": "v" * 257}],
        [{"Key": "aws:k", "Value": "v"}],
    ],
)
def test_impossible_object_tags_are_refused(
    lab: Lab, refusal: Refusals, tags: list[dict[str, str]]
) -> None:
    with refusal:
        lab.store(lab.image(), S3ObjectTags=tags)
    assert refusal.code == "InvalidParameterValue"
    assert lab.tasks() == []


@pytest.mark.parametrize("reason", ["the disk was full", ""])
def test_failing_task_shows_its_reason_and_leaves_no_object(lab: Lab, reason: str) -> None:
    image_id = lab.image()
    lab.emulator.scenario(store_failures={image_id: {"reason": reason, "at_percent": 30}})
    lab.stored(image_id)
    task = lab.tasks(ImageIds=[image_id])[0]
    assert task["StoreTaskState"] == "Failed"
    assert task["StoreTaskFailureReason"] == reason
    assert task["ProgressPercentage"] == 30
    assert lab.s3.list_objects_v2(Bucket="vault")["KeyCount"] == 0


def test_task_fails_when_a_snapshot_is_deleted_under_it(lab: Lab) -> None:
    image_id = lab.image()
    lab.store(image_id)
    snapshot_id = lab.described(image_id)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    lab.ec2.deregister_image(ImageId=image_id)
    assert lab.tasks()[0]["StoreTaskState"] == "InProgress"
    lab.ec2.delete_snapshot(SnapshotId=snapshot_id)
    lab.emulator.advance(10_000)
    task = lab.tasks()[0]
    assert task["StoreTaskState"] == "Failed"
    assert snapshot_id in task["StoreTaskFailureReason"]


def test_task_goes_on_when_the_ami_alone_is_deregistered(lab: Lab) -> None:
    image_id = lab.image()
    lab.store(image_id)
    lab.ec2.deregister_image(ImageId=image_id)
    lab.emulator.advance(1000)
    assert lab.s3.head_object(Bucket="vault", Key=f"{image_id}.bin")["ContentLength"] > 0


def test_in_flight_limit_refuses_until_something_ends(lab: Lab, refusal: Refusals) -> None:
    lab.emulator.scenario(store_in_flight_gib=10)
    big = [{"device": "/dev/xvda", "size": 10}]
    first, second = lab.image(name="one", volumes=big), lab.image(name="two", volumes=big)
    lab.store(first)
    with refusal:
        lab.store(second)
    assert refusal.code == "ResourceLimitExceeded"
    lab.emulator.advance(1000)
    assert lab.store(second) == f"{second}.bin"


def test_rate_of_creates_is_awss(lab: Lab, refusal: Refusals) -> None:
    lab.emulator.scenario(rates="aws")
    image_id = lab.image()
    for _attempt in range(50):
        with Refusals() as dry:
            lab.store(image_id, DryRun=True)
        assert dry.code == "DryRunOperation"
    with refusal:
        lab.store(image_id)
    assert (refusal.code, refusal.status) == ("RequestLimitExceeded", 503)
    lab.emulator.advance(10)
    assert lab.store(image_id) == f"{image_id}.bin"


def test_dry_run_starts_nothing(lab: Lab, refusal: Refusals) -> None:
    with refusal:
        lab.store(lab.image(), DryRun=True)
    assert (refusal.code, refusal.status) == ("DryRunOperation", 412)
    assert lab.tasks() == []
    assert lab.emulator.log()[0]["dry_run"] is True


def test_encrypted_snapshots_can_be_stored(lab: Lab) -> None:
    image_id = lab.image(volumes=[{"device": "/dev/xvda", "size": 4, "encrypted": True}])
    mapping = lab.described(image_id)["BlockDeviceMappings"][0]["Ebs"]
    assert mapping["Encrypted"] is True
    lab.stored(image_id)
    assert lab.tasks()[0]["StoreTaskState"] == "Completed"
