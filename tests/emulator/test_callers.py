# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callers with policies of their own: what they may do, and what EC2 may do in their name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .client import EmulatorError
from .conftest import Lab, Refusals

KEY = "EMULATEDACCESSKEY009"
BUCKET_KEY = "arn:aws:kms:us-east-1:123456789012:key/bucket"
SNAPSHOT_KEY = "arn:aws:kms:us-east-1:123456789012:key/snapshot"
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def allow(lab: Lab, *statements: dict[str, Any]) -> Lab:
    """Restrict a caller to these statements."""
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    lab.emulator.scenario(policies={KEY: [document]})
    return lab


def forbid(lab: Lab, action: str, **more: Any) -> Lab:
    """Let a caller do everything but this."""
    return allow(lab, EVERYTHING, {"Effect": "Deny", "Action": action, "Resource": "*", **more})


def granting(action: Any, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def test_other_callers_may_do_everything(lab: Lab) -> None:
    allow(lab)
    assert lab.ec2.describe_images()["Images"] == []


def test_what_no_policy_allows_is_refused(lab: Lab, refusal: Refusals) -> None:
    allow(lab, granting("ec2:DescribeImages"))
    ec2 = lab.client("ec2", key=KEY)
    assert ec2.describe_images()["Images"] == []
    with refusal:
        ec2.describe_snapshots()
    assert (refusal.code, refusal.status) == ("UnauthorizedOperation", 403)
    assert "user/emulated is not authorized to perform: ec2:DescribeSnapshots" in refusal.message


def test_a_region_can_be_asked_for(lab: Lab, refusal: Refusals) -> None:
    allow(lab, granting("ec2:Describe*", StringEquals={"ec2:Region": "us-east-1"}))
    lab.client("ec2", key=KEY).describe_images()
    with refusal:
        lab.client("ec2", region="eu-west-1", key=KEY).describe_images()
    assert refusal.code == "UnauthorizedOperation"


def test_s3_names_the_action_that_a_callers_policies_lack(lab: Lab, refusal: Refusals) -> None:
    lab.s3.put_object(Bucket="vault", Key="a", Body=b"x")
    allow(lab, granting("s3:GetObject", "arn:aws:s3:::vault/a"))
    s3 = lab.client("s3", key=KEY)
    assert s3.get_object(Bucket="vault", Key="a")["Body"].read() == b"x"
    with refusal:
        s3.put_object(Bucket="vault", Key="a", Body=b"y")
    assert refusal.code == "AccessDenied"
    assert 's3:PutObject on resource: "arn:aws:s3:::vault/a" because no' in refusal.message


def test_a_prefix_limits_listings_and_hides_what_is_missing(lab: Lab, refusal: Refusals) -> None:
    own = {"StringLike": {"s3:prefix": "dr/*"}}
    allow(lab, granting("s3:ListBucket", **own), granting("s3:GetObject"))
    s3 = lab.client("s3", key=KEY)
    assert s3.list_objects_v2(Bucket="vault", Prefix="dr/x")["KeyCount"] == 0
    for call, values in (
        (s3.list_objects_v2, {"Prefix": "other/"}),
        (s3.list_objects_v2, {}),
        (s3.head_bucket, {}),
        (s3.head_object, {"Key": "dr/missing"}),
    ):
        with refusal:
            call(Bucket="vault", **values)
        assert refusal.status == 403


def test_the_account_of_a_bucket_can_be_asked_for(lab: Lab, refusal: Refusals) -> None:
    opened = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    lab.emulator.plant_buckets(
        {"name": "theirs", "owner": "222222222222", "policy": {"Statement": opened}}
    )
    allow(lab, granting("s3:*", StringEquals={"aws:ResourceAccount": "123456789012"}))
    s3 = lab.client("s3", key=KEY)
    s3.list_objects_v2(Bucket="vault")
    with refusal:
        s3.list_objects_v2(Bucket="theirs")
    assert refusal.status == 403


def test_tags_of_a_resource_and_of_a_request_can_be_asked_for(lab: Lab, refusal: Refusals) -> None:
    ours, other = lab.image(name="ours", tags={"team": "dr"}), lab.image(name="other")
    allow(
        lab,
        granting("ec2:DeregisterImage", StringEquals={"aws:ResourceTag/team": "dr"}),
        granting("ec2:CreateTags", StringEquals={"aws:RequestTag/Name": "web"}),
    )
    ec2 = lab.client("ec2", key=KEY)
    ec2.create_tags(Resources=[other], Tags=[{"Key": "Name", "Value": "web"}])
    with refusal:
        ec2.create_tags(Resources=[other], Tags=[{"Key": "team", "Value": "dr"}])
    assert "ec2:CreateTags" in refusal.message
    with refusal:
        ec2.deregister_image(ImageId=other)
    assert f"image/{other}" in refusal.message
    ec2.deregister_image(ImageId=ours)


def test_tags_at_a_restore_are_told_by_what_creates(lab: Lab, refusal: Refusals) -> None:
    key = lab.stored(lab.image())
    created = {"StringEquals": {"ec2:CreateAction": "CreateRestoreImageTask"}}
    images = "arn:aws:ec2:us-east-1::image/*"
    ec2 = lab.client("ec2", key=KEY)
    tags = [{"Key": "a", "Value": "b"}]

    def restore(kind: str, name: str) -> str:
        given = [{"ResourceType": kind, "Tags": tags}]
        return str(
            ec2.create_restore_image_task(
                Bucket="vault", ObjectKey=key, Name=name, TagSpecifications=given
            )["ImageId"]
        )

    others = {"Effect": "Allow", "NotAction": "ec2:CreateTags", "Resource": "*"}
    allow(lab, others, granting("ec2:CreateTags", images, **created))
    image_id = restore("image", "one")
    with refusal:
        restore("snapshot", "two")
    assert "ec2:CreateTags on resource: arn:aws:ec2:us-east-1::snapshot/*" in refusal.message
    with refusal:
        ec2.create_tags(Resources=[image_id], Tags=tags)
    assert refusal.code == "UnauthorizedOperation"


@pytest.mark.parametrize(
    "action", ["s3:PutObject", "s3:AbortMultipartUpload", "ec2:DescribeTags", "kms:Decrypt"]
)
def test_a_store_is_refused_without_a_right_behind_it(
    lab: Lab, refusal: Refusals, action: str
) -> None:
    image_id = lab.image()
    encrypt_bucket(lab)
    forbid(lab, action, Condition={"Bool": {"aws:ViaAWSService": "true"}})
    with refusal:
        lab.client("ec2", key=KEY).create_store_image_task(ImageId=image_id, Bucket="vault")
    assert action in refusal.message


@pytest.mark.parametrize(
    "action", ["ebs:ListSnapshotBlocks", "ebs:GetSnapshotBlock", "kms:Decrypt"]
)
def test_a_store_ends_without_a_right_to_the_snapshots(lab: Lab, action: str) -> None:
    disk = {"device": "/dev/xvda", "size": 8, "encrypted": True, "kms_key_id": SNAPSHOT_KEY}
    image_id = lab.image(volumes=[disk])
    forbid(lab, action)
    lab.client("ec2", key=KEY).create_store_image_task(ImageId=image_id, Bucket="vault")
    task = lab.tasks()[0]
    assert task["StoreTaskState"] == "Failed"
    assert action in task["StoreTaskFailureReason"]


def test_a_snapshots_key_is_used_through_ebs_only(lab: Lab) -> None:
    disk = {"device": "/dev/xvda", "size": 8, "encrypted": True, "kms_key_id": SNAPSHOT_KEY}
    image_id = lab.image(volumes=[disk])
    others = {"Effect": "Allow", "NotAction": "kms:*", "Resource": "*"}
    through = {"StringLike": {"kms:ViaService": "ebs.us-east-1.*"}}
    allow(lab, others, granting("kms:*", SNAPSHOT_KEY, **through))
    lab.client("ec2", key=KEY).create_store_image_task(ImageId=image_id, Bucket="vault")
    lab.emulator.advance(100_000)
    assert lab.tasks()[0]["StoreTaskState"] == "Completed"


def test_a_key_of_aws_needs_no_rights(lab: Lab) -> None:
    image_id = lab.image(volumes=[{"device": "/dev/xvda", "size": 8, "encrypted": True}])
    forbid(lab, "kms:*")
    lab.client("ec2", key=KEY).create_store_image_task(ImageId=image_id, Bucket="vault")
    lab.emulator.advance(100_000)
    assert lab.tasks()[0]["StoreTaskState"] == "Completed"


def test_a_restore_is_refused_without_a_right_to_start_snapshots(
    lab: Lab, refusal: Refusals
) -> None:
    key = lab.stored(lab.image())
    forbid(lab, "ebs:StartSnapshot")
    with refusal:
        lab.client("ec2", key=KEY).create_restore_image_task(
            Bucket="vault", ObjectKey=key, Name="new"
        )
    assert "ebs:StartSnapshot" in refusal.message


@pytest.mark.parametrize("action", ["ebs:PutSnapshotBlock", "ebs:CompleteSnapshot"])
def test_a_restore_fails_without_a_right_to_fill_snapshots(lab: Lab, action: str) -> None:
    key = lab.stored(lab.image())
    forbid(lab, action)
    restored = lab.client("ec2", key=KEY).create_restore_image_task(
        Bucket="vault", ObjectKey=key, Name="new"
    )
    lab.emulator.advance(100_000)
    image = lab.described(restored["ImageId"])
    assert image["State"] == "failed"
    assert action in image["StateReason"]["Message"]


def test_a_grant_is_for_aws_resources(lab: Lab, refusal: Refusals) -> None:
    key = lab.stored(lab.image())
    own = lab.client("kms").create_key()["KeyMetadata"]["Arn"]
    lab.emulator.scenario(encryption_by_default=True)
    lab.ec2.modify_ebs_default_kms_key_id(KmsKeyId=own)
    for value, fits in (("false", False), ("true", True)):
        others = {"Effect": "Allow", "NotAction": "kms:CreateGrant", "Resource": "*"}
        for_aws = {"Bool": {"kms:GrantIsForAWSResource": value}}
        allow(lab, others, granting("kms:CreateGrant", own, **for_aws))
        ec2 = lab.client("ec2", key=KEY)
        values = {"Bucket": "vault", "ObjectKey": key, "Name": f"new-{value}"}
        if fits:
            assert ec2.create_restore_image_task(**values)["ImageId"].startswith("ami-")
            continue
        with refusal:
            ec2.create_restore_image_task(**values)
        assert "kms:CreateGrant" in refusal.message


def encrypt_bucket(lab: Lab) -> None:
    by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": BUCKET_KEY}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": by_default}]}
    lab.s3.put_bucket_encryption(Bucket="vault", ServerSideEncryptionConfiguration=rules)


@pytest.mark.parametrize(
    ("action", "call", "values"),
    [
        ("kms:GenerateDataKey", "put_object", {"Body": b"y"}),
        ("kms:Decrypt", "get_object", {}),
    ],
)
def test_s3_uses_the_key_of_a_bucket_in_the_callers_name(
    lab: Lab, refusal: Refusals, action: str, call: str, values: dict[str, Any]
) -> None:
    encrypt_bucket(lab)
    lab.s3.put_object(Bucket="vault", Key="a", Body=b"x")
    through = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    forbid(lab, action, Condition=through)
    s3 = lab.client("s3", key=KEY)
    with refusal:
        getattr(s3, call)(Bucket="vault", Key="a", **values)
    assert action in refusal.message
    assert s3.head_object(Bucket="vault", Key="a")["ContentLength"] == 1


def test_other_services_are_refused_too_but_for_the_question_who_one_is(
    lab: Lab, refusal: Refusals
) -> None:
    allow(lab)
    assert lab.client("sts", key=KEY).get_caller_identity()["Account"] == "123456789012"
    with refusal:
        lab.client("iam", key=KEY).list_users()
    assert (refusal.code, refusal.status) == ("AccessDenied", 403)


def test_users_and_roles_of_iam_have_what_is_attached_to_them(lab: Lab, refusal: Refusals) -> None:
    iam = lab.client("iam")
    seeing = json.dumps({"Version": "2012-10-17", "Statement": [granting("ec2:DescribeImages")]})
    managed = iam.create_policy(PolicyName="seeing", PolicyDocument=seeing)["Policy"]["Arn"]
    iam.create_user(UserName="eve")
    key = iam.create_access_key(UserName="eve")["AccessKey"]["AccessKeyId"]
    lab.emulator.scenario(enforce_iam=True)
    with refusal:
        lab.client("ec2", key=key).describe_images()
    assert "user/eve is not authorized" in refusal.message
    iam.attach_user_policy(UserName="eve", PolicyArn=managed)
    assert lab.client("ec2", key=key).describe_images()["Images"] == []
    iam.put_user_policy(UserName="eve", PolicyName="inline", PolicyDocument=seeing)
    with refusal:
        lab.client("ec2", key=key).describe_snapshots()
    assert refusal.code == "UnauthorizedOperation"
    assert lab.ec2.describe_snapshots()["Snapshots"] == []


def test_a_policy_without_a_statement_is_refused(lab: Lab) -> None:
    with pytest.raises(EmulatorError, match="a policy document with a Statement is needed"):
        lab.emulator.scenario(policies={KEY: [{"Version": "2012-10-17"}]})


@pytest.fixture
def keyed(lab: Lab) -> Lab:
    """A bucket under a key, with an object that has tags, and an upload that is under way."""
    encrypt_bucket(lab)
    lab.s3.put_object(Bucket="vault", Key="a", Body=b"x", Tagging="a=b", ChecksumAlgorithm="SHA256")
    return lab


FROM_A = {"CopySource": "vault/a"}


@pytest.mark.parametrize(
    ("action", "call", "values"),
    [
        ("s3:PutObject", "create_multipart_upload", {}),
        ("s3:PutObjectTagging", "create_multipart_upload", {"Tagging": "a=b"}),
        ("kms:GenerateDataKey", "create_multipart_upload", {}),
        ("s3:PutObject", "upload_part", {"Body": b"x"}),
        ("kms:Decrypt", "upload_part", {"Body": b"x"}),
        ("s3:GetObject", "upload_part_copy", FROM_A),
        ("s3:PutObject", "upload_part_copy", FROM_A),
        ("s3:ListMultipartUploadParts", "list_parts", {}),
        ("s3:AbortMultipartUpload", "abort_multipart_upload", {}),
        ("s3:GetObject", "copy_object", FROM_A),
        ("s3:GetObjectTagging", "copy_object", FROM_A),
        ("s3:PutObject", "copy_object", FROM_A),
        ("s3:PutObjectTagging", "copy_object", FROM_A),
        ("kms:Decrypt", "copy_object", FROM_A),
        ("kms:GenerateDataKey", "copy_object", FROM_A),
    ],
)
def test_rights_of_uploads_and_copies(
    keyed: Lab, refusal: Refusals, action: str, call: str, values: dict[str, Any]
) -> None:
    place = {"Bucket": "vault", "Key": "b", **values}
    if call not in ("create_multipart_upload", "copy_object"):
        begun = keyed.s3.create_multipart_upload(Bucket="vault", Key="b")
        place["UploadId"] = begun["UploadId"]
    if "upload_part" in call:
        place["PartNumber"] = 1
    s3 = forbid(keyed, action).client("s3", key=KEY)
    with refusal:
        getattr(s3, call)(**place)
    assert refusal.code == "AccessDenied"
    assert f"perform: {action}" in refusal.message
    keyed.emulator.scenario(policies={})
    getattr(s3, call)(**place)


def test_listing_uploads_is_a_right_of_its_own(keyed: Lab, refusal: Refusals) -> None:
    s3 = forbid(keyed, "s3:ListBucketMultipartUploads").client("s3", key=KEY)
    with refusal:
        s3.list_multipart_uploads(Bucket="vault")
    assert refusal.code == "AccessDenied"


def test_checksums_need_the_key(keyed: Lab, refusal: Refusals) -> None:
    s3 = forbid(keyed, "kms:Decrypt").client("s3", key=KEY)
    assert s3.head_object(Bucket="vault", Key="a")["ContentLength"] == 1
    with refusal:
        s3.head_object(Bucket="vault", Key="a", ChecksumMode="ENABLED")
    assert refusal.status == 403


def test_versions_have_rights_of_their_own(keyed: Lab, refusal: Refusals) -> None:
    versioning = {"Status": "Enabled"}
    keyed.s3.put_bucket_versioning(Bucket="vault", VersioningConfiguration=versioning)
    version = keyed.s3.put_object(Bucket="vault", Key="v", Body=b"x")["VersionId"]
    s3 = forbid(keyed, "s3:GetObjectVersion").client("s3", key=KEY)
    s3.get_object(Bucket="vault", Key="v")
    with refusal:
        s3.get_object(Bucket="vault", Key="v", VersionId=version)
    assert refusal.code == "AccessDenied"
    with refusal:
        s3.copy_object(Bucket="vault", Key="w", CopySource=f"vault/v?versionId={version}")
    assert "s3:GetObjectVersion" in refusal.message
