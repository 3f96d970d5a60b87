# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: rights, owners, policies, Regions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Lab, Refusals

OTHER_KEY = "EMULATEDACCESSKEY002"
OTHER = "222222222222"


@pytest.fixture
def two(lab: Lab) -> Lab:
    """With a second account, which owns the bucket `theirs`."""
    lab.emulator.scenario(accounts={OTHER_KEY: OTHER})
    lab.emulator.plant_buckets({"name": "theirs", "owner": OTHER})
    return lab


def policy(**statement: Any) -> str:
    whole = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", **statement}
    whole.setdefault("Resource", ["arn:aws:s3:::vault", "arn:aws:s3:::vault/*"])
    return json.dumps({"Version": "2012-10-17", "Statement": [whole]})


def test_denied_ec2_action_carries_an_encoded_message(lab: Lab, refusal: Refusals) -> None:
    lab.emulator.scenario(deny=["ec2:CreateStoreImageTask"])
    image_id = lab.image()
    with refusal:
        lab.store(image_id)
    assert (refusal.code, refusal.status) == ("UnauthorizedOperation", 403)
    assert "Encoded authorization failure message: " in refusal.message
    assert f"arn:aws:ec2:us-east-1::image/{image_id}" in refusal.message


def test_denial_may_concern_one_resource(lab: Lab, refusal: Refusals) -> None:
    first, second = lab.image(name="one"), lab.image(name="two")
    lab.emulator.scenario(deny=[{"action": "ec2:Create*", "resource": f"*{first}"}])
    with refusal:
        lab.store(first)
    assert refusal.code == "UnauthorizedOperation"
    assert lab.store(second) == f"{second}.bin"


@pytest.mark.parametrize(
    ("action", "call"),
    [
        ("ec2:DescribeImages", "describe_images"),
        ("ec2:DescribeStoreImageTasks", "describe_store_image_tasks"),
        ("ec2:GetEbsEncryptionByDefault", "get_ebs_encryption_by_default"),
        ("ec2:*", "describe_snapshots"),
    ],
)
def test_any_ec2_action_can_be_denied(lab: Lab, refusal: Refusals, action: str, call: str) -> None:
    lab.emulator.scenario(deny=[action])
    with refusal:
        getattr(lab.ec2, call)()
    assert refusal.code == "UnauthorizedOperation"


def test_tags_on_a_restore_need_the_right_to_tag(lab: Lab, refusal: Refusals) -> None:
    key = lab.stored(lab.image())
    lab.emulator.scenario(deny=["ec2:CreateTags"])
    tags = [{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}]
    with refusal:
        lab.restore(key, Name="new", TagSpecifications=tags)
    assert "ec2:CreateTags" in refusal.message
    assert lab.restore(key, Name="new").startswith("ami-")


def test_dry_run_looks_at_the_ec2_action_only(lab: Lab, refusal: Refusals) -> None:
    lab.emulator.scenario(deny=["s3:*"])
    image_id = lab.image()
    with refusal:
        lab.store(image_id, DryRun=True)
    assert refusal.code == "DryRunOperation"
    lab.emulator.scenario(deny=["ec2:CreateStoreImageTask"])
    with refusal:
        lab.store(image_id, DryRun=True)
    assert refusal.code == "UnauthorizedOperation"


@pytest.mark.parametrize("late", [False, True])
def test_store_needs_the_callers_right_to_put(lab: Lab, refusal: Refusals, late: bool) -> None:
    lab.emulator.scenario(deny=["s3:PutObject"], late_access_errors=late)
    image_id = lab.image()
    if late:
        lab.store(image_id)
        assert lab.tasks()[0]["StoreTaskState"] == "Failed"
        return
    with refusal:
        lab.store(image_id)
    assert "s3:PutObject" in refusal.message


def test_store_needs_the_right_to_read_snapshots(lab: Lab) -> None:
    lab.emulator.scenario(deny=["ebs:GetSnapshotBlock"])
    lab.store(lab.image())
    task = lab.tasks()[0]
    assert task["StoreTaskState"] == "Failed"
    assert "ebs:GetSnapshotBlock" in task["StoreTaskFailureReason"]


def test_restore_needs_the_callers_right_to_get(lab: Lab, refusal: Refusals) -> None:
    key = lab.stored(lab.image())
    lab.emulator.scenario(deny=["s3:GetObject"])
    with refusal:
        lab.restore(key, Name="new")
    assert "s3:GetObject" in refusal.message


@pytest.mark.parametrize(("deny", "status"), [([], 404), (["s3:ListBucket"], 403)])
def test_missing_object_is_404_only_to_those_who_may_list(
    lab: Lab, refusal: Refusals, deny: list[str], status: int
) -> None:
    lab.emulator.scenario(deny=deny)
    with refusal:
        lab.s3.head_object(Bucket="vault", Key="missing")
    assert refusal.status == status
    with refusal:
        lab.s3.get_object(Bucket="vault", Key="missing")
    assert refusal.status == status


def test_object_that_exists_can_be_read_without_the_right_to_list(lab: Lab) -> None:
    lab.s3.put_object(Bucket="vault", Key="a.json", Body=b"{}")
    lab.emulator.scenario(deny=["s3:ListBucket"])
    assert lab.s3.head_object(Bucket="vault", Key="a.json")["ContentLength"] == 2


@pytest.mark.parametrize(
    ("action", "call", "values"),
    [
        ("s3:ListBucket", "list_objects_v2", {}),
        ("s3:ListBucket", "head_bucket", {}),
        ("s3:GetObject", "head_object", {"Key": "a"}),
        ("s3:PutObject", "put_object", {"Key": "b"}),
        ("s3:PutObjectTagging", "put_object", {"Key": "b", "Tagging": "x=y"}),
        ("s3:GetObjectTagging", "get_object_tagging", {"Key": "a"}),
        ("s3:DeleteObject", "delete_object", {"Key": "a"}),
        ("s3:GetBucketVersioning", "get_bucket_versioning", {}),
        ("s3:GetEncryptionConfiguration", "get_bucket_encryption", {}),
    ],
)
def test_any_s3_action_can_be_denied(
    lab: Lab, refusal: Refusals, action: str, call: str, values: dict[str, Any]
) -> None:
    lab.s3.put_object(Bucket="vault", Key="a", Body=b"x")
    lab.emulator.scenario(deny=[action])
    with refusal:
        getattr(lab.s3, call)(Bucket="vault", **values)
    assert refusal.status == 403


def test_buckets_of_another_account_are_closed(two: Lab, refusal: Refusals) -> None:
    with refusal:
        two.s3.head_bucket(Bucket="theirs")
    assert refusal.status == 403
    with refusal:
        two.store(two.image(), "theirs")
    assert refusal.code == "AccessDenied"
    theirs = two.client("s3", key=OTHER_KEY)
    assert theirs.list_objects_v2(Bucket="theirs")["KeyCount"] == 0


def test_bucket_policy_opens_a_bucket_to_another_account(two: Lab) -> None:
    allow = policy(
        Effect="Allow",
        Principal={"AWS": "arn:aws:iam::123456789012:root"},
        Resource=["arn:aws:s3:::theirs", "arn:aws:s3:::theirs/*"],
    )
    theirs = two.client("s3", key=OTHER_KEY)
    theirs.put_bucket_policy(Bucket="theirs", Policy=allow)
    key = two.stored(two.image(), "theirs")
    assert theirs.head_object(Bucket="theirs", Key=key)["ContentLength"] > 0
    assert two.s3.list_objects_v2(Bucket="theirs")["KeyCount"] == 1
    their_ec2 = two.client("ec2", key=OTHER_KEY)
    answer = their_ec2.create_restore_image_task(Bucket="theirs", ObjectKey=key)
    image = their_ec2.describe_images(ImageIds=[answer["ImageId"]])["Images"][0]
    assert image["OwnerId"] == OTHER


def test_expected_bucket_owner_is_checked_on_every_call(two: Lab, refusal: Refusals) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("head_bucket", {}),
        ("list_objects_v2", {}),
        ("put_object", {"Key": "a", "Body": b""}),
        ("head_object", {"Key": "a"}),
        ("get_object_tagging", {"Key": "a"}),
        ("delete_object", {"Key": "a"}),
    ]
    for name, values in calls:
        call = getattr(two.s3, name)
        call(Bucket="vault", ExpectedBucketOwner="123456789012", **values)
        with refusal:
            call(Bucket="vault", ExpectedBucketOwner=OTHER, **values)
        assert refusal.status == 403
        if name == "delete_object":
            assert refusal.code == "AccessDenied"


@pytest.mark.parametrize("status", [301, 400])
def test_client_of_another_region_is_sent_to_the_right_one(lab: Lab, status: int) -> None:
    lab.emulator.scenario(wrong_region_status=status)
    # A client remembers the Region of a bucket, so each case has one of its own.
    bucket = f"far-away-{status}"
    lab.emulator.plant_buckets({"name": bucket, "region": "eu-west-1"})
    lab.s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    outcomes = lab.emulator.outcomes()["PutObject"]
    assert outcomes["OK"] == 1
    assert len(outcomes) == 2
    answer = lab.s3.head_bucket(Bucket=bucket)
    assert answer["BucketRegion"] == "eu-west-1"


def test_region_of_a_bucket_is_told_even_to_those_without_access(
    two: Lab, refusal: Refusals
) -> None:
    two.emulator.plant_buckets({"name": "far-theirs", "owner": OTHER, "region": "eu-west-1"})
    with refusal:
        two.s3.head_bucket(Bucket="far-theirs")
    assert refusal.status == 403
    headers = refusal.error["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-bucket-region"] == "eu-west-1"


def test_policy_that_insists_on_tls_denies_plain_http_only(lab: Lab, refusal: Refusals) -> None:
    condition = {"Bool": {"aws:SecureTransport": "false"}}
    lab.s3.put_bucket_policy(Bucket="vault", Policy=policy(Condition=condition))
    assert lab.s3.list_objects_v2(Bucket="vault")["KeyCount"] == 0
    with refusal:
        lab.client("s3", scheme="http").list_objects_v2(Bucket="vault")
    assert refusal.code == "AccessDenied"
    assert lab.stored(lab.image()).endswith(".bin")


@pytest.mark.parametrize(("version", "denied"), [("1.2", False), ("1.4", True)])
def test_policy_on_the_tls_version(lab: Lab, refusal: Refusals, version: str, denied: bool) -> None:
    condition = {"NumericLessThan": {"s3:TlsVersion": version}}
    lab.s3.put_bucket_policy(
        Bucket="vault", Policy=policy(Action="s3:ListBucket", Condition=condition)
    )
    if not denied:
        assert lab.s3.list_objects_v2(Bucket="vault")["KeyCount"] == 0
        return
    with refusal:
        lab.s3.list_objects_v2(Bucket="vault")
    assert refusal.code == "AccessDenied"


def test_policy_that_wants_an_encryption_header_stops_a_store(lab: Lab, refusal: Refusals) -> None:
    condition = {"Null": {"s3:x-amz-server-side-encryption": "true"}}
    lab.s3.put_bucket_policy(
        Bucket="vault", Policy=policy(Action="s3:PutObject", Condition=condition)
    )
    lab.s3.put_object(Bucket="vault", Key="a", ServerSideEncryption="AES256")
    with refusal:
        lab.store(lab.image())
    assert refusal.code == "AccessDenied"


def test_policy_on_the_way_of_the_call_knows_ec2s_calls(lab: Lab) -> None:
    condition = {"Bool": {"aws:ViaAWSService": "false"}}
    lab.s3.put_bucket_policy(
        Bucket="vault", Policy=policy(Action="s3:PutObject", Condition=condition)
    )
    with Refusals() as direct:
        lab.s3.put_object(Bucket="vault", Key="a")
    assert direct.code == "AccessDenied"
    assert lab.store(lab.image()).endswith(".bin")


def test_copy_needs_the_right_to_read_its_source(two: Lab, refusal: Refusals) -> None:
    theirs = two.client("s3", key=OTHER_KEY)
    theirs.put_object(Bucket="theirs", Key="a b.bin", Body=b"x")
    two.s3.put_object(Bucket="vault", Key="own", Body=b"x")
    two.s3.copy_object(Bucket="vault", Key="copy", CopySource="vault/own")
    source = {"Bucket": "theirs", "Key": "a b.bin"}
    with refusal:
        two.s3.copy_object(Bucket="vault", Key="copy", CopySource=source)
    assert refusal.code == "AccessDenied"
    with refusal:
        two.s3.copy_object(
            Bucket="vault",
            Key="copy",
            CopySource="vault/own",
            ExpectedSourceBucketOwner=OTHER,
        )
    assert refusal.code == "AccessDenied"
