# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the policies keep out: other places, other accounts, other Regions, other ways."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ansible_collections.amistore.aws.plugins.modules import ec2_ami_restore, ec2_ami_store
from tests.emulator.policy import Attempt, ContextValue, Verdict, evaluate_identity

from .conftest import RESTORE_KEY
from .plays import BUCKET, BUCKET_KEY, PLACE, PLAYS, SNAPSHOT_KEY, plant_image, stored_image
from .rendering import Document, listed
from .stage import ACCOUNT, CALLER_KEY, OTHER_ACCOUNT, REGION, Stage

Rendered = dict[str, dict[str, Document]]

IMAGE = f"arn:aws:ec2:{REGION}::image/ami-0abcdef1"
SNAPSHOT = f"arn:aws:ec2:{REGION}::snapshot/snap-0abcdef1"
VAULT = f"arn:aws:s3:::{BUCKET}"
STORED = f"{VAULT}/dr/ami-0abcdef1.bin"
MANIFEST = f"{VAULT}/dr/ami-0abcdef1.json"
EVIDENCE = f"{VAULT}/dr/ami-0abcdef1.verified.json"
HOME = {"ec2:Region": REGION}
OURS = {"aws:ResourceAccount": ACCOUNT}
ARCHIVED_IN = "aws:ResourceTag/amistore:archived-in"
MARKED = {ARCHIVED_IN: f"{BUCKET}/dr/ami-0abcdef1.bin"}
PROVED = {"aws:ResourceTag/amistore:stored-image": f"{BUCKET}/dr/ami-0abcdef1.bin"}


@dataclass(frozen=True)
class Case:
    policy: str
    action: str
    resource: str
    context: dict[str, ContextValue] = field(default_factory=dict)

    def __str__(self) -> str:
        told = ",".join(f"{key}={value}" for key, value in self.context.items())
        return f"{self.policy} {self.action} {self.resource} {told}"


def via(service: str, region: str = REGION) -> dict[str, ContextValue]:
    return {"kms:ViaService": f"{service}.{region}.amazonaws.com"}


ALLOWED = (
    Case("copy_source", "s3:GetObject", MANIFEST, {**OURS}),
    Case("copy_source", "kms:Decrypt", BUCKET_KEY, via("s3")),
    Case("copy_destination", "s3:PutObject", f"{VAULT}/dr/prod/ami-0abcdef1.bin", {**OURS}),
    Case("copy_destination", "s3:ListBucketMultipartUploads", VAULT, {**OURS}),
    Case("store", "s3:PutObject", STORED, {**OURS}),
    Case("store", "s3:PutObject", MANIFEST, {**OURS}),
    Case("store", "s3:PutObject", f"{VAULT}/dr/prod/ami-0abcdef1.bin", {**OURS}),
    Case("store", "s3:ListBucket", VAULT, {**OURS, "s3:prefix": "dr/ami-"}),
    Case("store", "ec2:DescribeImages", "*", {**HOME}),
    Case("store", "kms:Decrypt", SNAPSHOT_KEY, via("ebs")),
    Case("store", "kms:Decrypt", SNAPSHOT_KEY, via("ec2")),
    Case("restore", "s3:GetObject", f"{VAULT}/dr/copied-under-another-name", {**OURS}),
    Case("restore", "ec2:CreateTags", IMAGE, {"aws:TagKeys": ("Name",)}),
    Case(
        "restore",
        "ec2:CreateTags",
        f"arn:aws:ec2:{REGION}::image/*",
        {
            "aws:TagKeys": ("Name", "amistore:stored-image"),
            "ec2:CreateAction": "CreateRestoreImageTask",
        },
    ),
    Case("restore", "ec2:CreateTags", SNAPSHOT, {**PROVED, "aws:TagKeys": ("amistore:etag",)}),
    Case("restore", "ec2:ModifyImageAttribute", IMAGE, {**PROVED}),
    Case("restore", "s3:PutObject", EVIDENCE, {**OURS}),
    Case("restore", "s3:PutObject", f"{VAULT}/dr/copied.verified.json", {**OURS}),
    Case("restore", "ec2:DeregisterImage", IMAGE, {**PROVED}),
    Case("restore", "ec2:DeleteSnapshot", SNAPSHOT, {**PROVED}),
    Case(
        "restore",
        "kms:CreateGrant",
        RESTORE_KEY,
        {**via("ec2"), "kms:GrantIsForAWSResource": "true"},
    ),
    Case("cleanup", "s3:DeleteObject", STORED, {**OURS}),
    Case("archive", "ec2:DeregisterImage", IMAGE),
    Case("archive", "ec2:DeleteSnapshot", SNAPSHOT, {**MARKED}),
    Case("archive", "ec2:CreateTags", IMAGE, {"aws:TagKeys": ("amistore:archive",)}),
    Case("archive", "ec2:CreateTags", SNAPSHOT, {"aws:TagKeys": ("amistore:deregistered-at",)}),
    Case("archive", "s3:GetObject", MANIFEST, {**OURS}),
)
KEPT_OUT = (
    Case("archive", "ec2:DeleteSnapshot", SNAPSHOT),
    Case("archive", "ec2:DeleteSnapshot", SNAPSHOT, {ARCHIVED_IN: "other/dr/ami-1.bin"}),
    Case("archive", "ec2:CreateTags", IMAGE, {"aws:TagKeys": ("Name",)}),
    Case("archive", "ec2:CreateTags", SNAPSHOT, {"aws:TagKeys": ("amistore:stored-image",)}),
    Case("archive", "s3:DeleteObject", STORED, {**OURS}),
    Case("archive", "s3:PutObject", MANIFEST, {**OURS}),
    Case("archive", "s3:GetObject", STORED, {"aws:ResourceAccount": OTHER_ACCOUNT}),
    Case("archive", "ssm:GetParameters", f"arn:aws:ssm:{REGION}:{OTHER_ACCOUNT}:parameter/a"),
    Case("copy_source", "s3:PutObject", STORED, {**OURS}),
    Case("copy_source", "s3:GetObject", f"{VAULT}/dr/notes.txt", {**OURS}),
    Case("copy_source", "s3:GetObject", STORED, {"aws:ResourceAccount": OTHER_ACCOUNT}),
    Case("copy_source", "s3:ListBucket", VAULT, {**OURS, "s3:prefix": "drill/"}),
    Case("copy_source", "kms:GenerateDataKey", BUCKET_KEY, via("s3")),
    Case("copy_destination", "s3:DeleteObject", STORED, {**OURS}),
    Case("copy_destination", "s3:PutObject", f"{VAULT}/other/ami-0abcdef1.bin", {**OURS}),
    Case("copy_destination", "s3:PutObject", STORED, {"aws:ResourceAccount": OTHER_ACCOUNT}),
    Case("copy_destination", "s3:AbortMultipartUpload", f"{VAULT}/dr/notes.txt", {**OURS}),
    Case("copy_destination", "kms:Decrypt", BUCKET_KEY, via("ebs")),
    Case("store", "s3:PutObject", STORED),
    Case("store", "s3:PutObject", STORED, {"aws:ResourceAccount": OTHER_ACCOUNT}),
    Case("store", "s3:PutObject", f"{VAULT}/ami-0abcdef1.bin", {**OURS}),
    Case("store", "s3:PutObject", f"{VAULT}/dr/notes.txt", {**OURS}),
    Case("store", "s3:PutObject", f"{VAULT}/dr/an-ami-list.json", {**OURS}),
    Case("store", "s3:PutObject", f"{VAULT}-2/dr/ami-0abcdef1.bin", {**OURS}),
    Case("store", "s3:DeleteObject", STORED, {**OURS}),
    Case("store", "s3:ListBucket", VAULT, {**OURS}),
    Case("store", "s3:ListBucket", VAULT, {**OURS, "s3:prefix": ""}),
    Case("store", "s3:ListBucket", VAULT, {**OURS, "s3:prefix": "drill/"}),
    Case("store", "ec2:DescribeImages", "*", {"ec2:Region": "eu-west-1"}),
    Case("store", "ec2:CreateStoreImageTask", "arn:aws:ec2:eu-west-1::image/ami-0abcdef1"),
    Case("store", "ec2:CreateRestoreImageTask", f"arn:aws:ec2:{REGION}::image/*"),
    Case("store", "kms:Decrypt", SNAPSHOT_KEY),
    Case("store", "kms:Decrypt", SNAPSHOT_KEY, via("s3")),
    Case("store", "kms:Decrypt", SNAPSHOT_KEY, via("ebs", "eu-west-1")),
    Case("store", "kms:Decrypt", BUCKET_KEY, via("ebs")),
    Case("store", "kms:Decrypt", RESTORE_KEY, via("ebs")),
    Case("restore", "s3:PutObject", STORED, {**OURS}),
    Case("restore", "s3:PutObject", MANIFEST, {**OURS}),
    Case("restore", "s3:PutObject", EVIDENCE, {"aws:ResourceAccount": OTHER_ACCOUNT}),
    Case("restore", "s3:PutObject", f"{VAULT}/ami-0abcdef1.verified.json", {**OURS}),
    Case("restore", "s3:DeleteObject", EVIDENCE, {**OURS}),
    Case("restore", "ec2:ModifyImageAttribute", IMAGE),
    Case(
        "restore",
        "ec2:ModifyImageAttribute",
        IMAGE,
        {"aws:ResourceTag/amistore:stored-image": "other/dr/ami-0abcdef1.bin"},
    ),
    Case("restore", "s3:GetObject", STORED, {"aws:ResourceAccount": OTHER_ACCOUNT}),
    Case("restore", "s3:GetObject", f"{VAULT}/ami-0abcdef1.bin", {**OURS}),
    Case("restore", "ec2:CreateTags", IMAGE, {"aws:TagKeys": ("Name", "amistore:stored-image")}),
    Case("restore", "ec2:CreateTags", IMAGE, {"aws:TagKeys": ("Amistore:Stored-Image",)}),
    Case("restore", "ec2:CreateTags", SNAPSHOT, {"aws:TagKeys": ("amistore:etag",)}),
    Case("restore", "ec2:CreateTags", SNAPSHOT, {"aws:TagKeys": ("AMISTORE:STORED-IMAGE",)}),
    Case("restore", "ec2:DeleteTags", IMAGE, {"aws:TagKeys": ("Name",)}),
    Case("restore", "ec2:DeregisterImage", IMAGE),
    Case(
        "restore",
        "ec2:DeregisterImage",
        IMAGE,
        {"aws:ResourceTag/amistore:stored-image": "other/dr/ami-0abcdef1.bin"},
    ),
    Case("restore", "ec2:DeleteSnapshot", SNAPSHOT),
    Case("restore", "kms:CreateGrant", RESTORE_KEY, via("ec2")),
    Case("restore", "kms:Encrypt", RESTORE_KEY),
    Case("restore", "kms:GenerateDataKey", BUCKET_KEY, via("ebs")),
    Case("cleanup", "ec2:DeregisterImage", IMAGE),
    Case("cleanup", "ec2:DeleteSnapshot", SNAPSHOT),
    Case("cleanup", "s3:DeleteObject", f"{VAULT}/dr/notes.txt", {**OURS}),
    Case("cleanup", "s3:DeleteObjectVersion", STORED, {**OURS}),
    Case("cleanup", "s3:PutObject", STORED, {**OURS}),
)


def verdict(case: Case, rendered: Rendered) -> Verdict:
    document = rendered["keys"][case.policy]
    attempt = Attempt("arn:aws:iam::1:user/me", ACCOUNT, case.action, case.resource, case.context)
    return evaluate_identity([document], attempt)


@pytest.mark.parametrize("case", ALLOWED, ids=str)
def test_what_the_modules_do_is_let_in(case: Case, rendered: Rendered) -> None:
    assert verdict(case, rendered) is Verdict.ALLOW


@pytest.mark.parametrize("case", KEPT_OUT, ids=str)
def test_anything_else_is_kept_out(case: Case, rendered: Rendered) -> None:
    assert verdict(case, rendered) is not Verdict.ALLOW


@pytest.mark.parametrize("setting", ["surveyed", "cn-north-1"])
def test_without_evidence_a_restore_only_reads_the_bucket(setting: str, rendered: Rendered) -> None:
    statements = rendered[setting]["restore"]["Statement"]
    actions = {
        action
        for statement in statements
        if "s3" in str(statement)
        for action in listed(statement["Action"])
    }
    assert actions - {"kms:Decrypt"} == {"s3:GetObject", "s3:GetObjectTagging", "s3:ListBucket"}


def take_the_bucket(stage: Stage) -> None:
    """Let a stranger own the bucket's name, and open it to us."""
    stage.client("s3").delete_bucket(Bucket=BUCKET)
    opened = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": ACCOUNT},
            "Action": "s3:*",
            "Resource": [VAULT, f"{VAULT}/*"],
        },
    }
    stage.emulator.plant_buckets({"name": BUCKET, "owner": OTHER_ACCOUNT, "policy": opened})


def test_a_bucket_of_an_account_that_is_not_listed_is_refused(
    stage: Stage, rendered: Rendered
) -> None:
    take_the_bucket(stage)
    image_id = plant_image(stage)
    stage.allow(rendered["prefix"]["store"])
    outcome = stage.run(ec2_ami_store, image_ids=[image_id], **PLACE)
    assert outcome.failed
    assert "S3 answered 403" in outcome.values["msg"]
    assert "CreateStoreImageTask" not in stage.emulator.requests()
    assert stage.emulator.tasks() == []


def test_ec2_itself_is_kept_from_a_bucket_that_is_not_listed(
    stage: Stage, rendered: Rendered
) -> None:
    take_the_bucket(stage)
    image_id = plant_image(stage)
    stage.allow(rendered["prefix"]["store"])
    ec2 = stage.client("ec2", CALLER_KEY)
    with pytest.raises(ec2.exceptions.ClientError, match="s3:PutObject"):
        ec2.create_store_image_task(ImageId=image_id, Bucket=f"{BUCKET}/dr")
    assert stage.emulator.tasks() == []


@pytest.mark.parametrize("spelling", ["amistore:stored-image", "AmiStore:Stored-Image"])
def test_a_production_ami_cannot_be_made_to_look_restored(
    spelling: str, stage: Stage, rendered: Rendered
) -> None:
    image_id = plant_image(stage)
    stage.allow(rendered["prefix"]["restore"], rendered["prefix"]["cleanup"])
    ec2 = stage.client("ec2", CALLER_KEY)
    proof = [{"Key": spelling, "Value": f"{BUCKET}/dr/{image_id}.bin"}]
    with pytest.raises(ec2.exceptions.ClientError, match="ec2:CreateTags"):
        ec2.create_tags(Resources=[image_id], Tags=proof)
    with pytest.raises(ec2.exceptions.ClientError, match="ec2:DeregisterImage"):
        ec2.deregister_image(ImageId=image_id)
    ec2.create_tags(Resources=[image_id], Tags=[{"Key": "team", "Value": "dr"}])


@pytest.mark.parametrize("policy", ["store", "restore"])
def test_a_bucket_of_a_listed_account_is_used(
    policy: str, stage: Stage, rendered: Rendered
) -> None:
    take_the_bucket(stage)
    stage.allow(rendered["vault"][policy])
    for outcome in PLAYS[policy](stage):
        assert not outcome.failed, outcome.text


def test_a_restore_without_the_right_to_manifests_needs_a_name_and_consent(
    stage: Stage, rendered: Rendered
) -> None:
    image_id = stored_image(stage)
    document = rendered["prefix"]["restore"]
    manifests = {"Sid": "No", "Effect": "Deny", "Action": "s3:GetObject", "Resource": "*.json"}
    stage.allow({**document, "Statement": [*listed(document["Statement"]), manifests]})
    place = {"bucket": BUCKET, "object_key": f"dr/{image_id}.bin"}
    refused = stage.run(ec2_ami_restore, name="web-restored", **place)
    assert refused.failed
    assert "s3:GetObject" in refused.values["msg"]
    outcome = stage.run(ec2_ami_restore, name="web-restored", allow_unencrypted=True, **place)
    assert not outcome.failed, outcome.text
    assert "s3:GetObject" in outcome.warnings


def test_prefixes_and_buckets_can_be_text_and_blanks_are_unset(rendered: Rendered) -> None:
    surveyed = rendered["surveyed"]["cleanup"]
    by_name = {statement["Sid"]: statement for statement in surveyed["Statement"]}
    assert by_name["ListStoredImages"]["Resource"] == [VAULT, f"{VAULT}-2"]
    assert by_name["ListStoredImages"]["Condition"] == {
        "StringEquals": {"aws:ResourceAccount": [ACCOUNT]},
        "StringLike": {"s3:prefix": ["dr/prod/*", "dr test/*"]},
    }
    assert f"{VAULT}-2/dr test/ami-*.json" in by_name["DeleteImagesAndManifests"]["Resource"]
    assert not [s for s in rendered["surveyed"]["store"]["Statement"] if "kms" in str(s)]


def test_every_prefix_of_a_list_is_let_in(rendered: Rendered) -> None:
    document = rendered["prefixes"]["store"]
    for prefix in ("dr", "drills/web"):
        wanted = {
            "s3:ListBucket": (VAULT, {**OURS, "s3:prefix": f"{prefix}/ami-0abcdef1.bin"}),
            "s3:PutObject": (f"{VAULT}/{prefix}/ami-0abcdef1.bin", OURS),
        }
        for action, (resource, context) in wanted.items():
            attempt = Attempt("arn:aws:iam::1:user/me", ACCOUNT, action, resource, context)
            assert evaluate_identity([document], attempt) is Verdict.ALLOW


def test_partitions_are_those_of_the_regions(rendered: Rendered) -> None:
    for region, partition in (
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
    ):
        for document in rendered[region].values():
            arns = [
                resource
                for statement in document["Statement"]
                for resource in listed(statement["Resource"])
                if resource != "*"
            ]
            assert {arn.split(":")[1] for arn in arns} == {partition}
            assert {arn.split(":")[3] for arn in arns} == {"", region}
