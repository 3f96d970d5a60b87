# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults, rates and the record of requests."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError

from .conftest import Lab, Refusals


def test_error_in_the_form_of_each_service(lab: Lab, refusal: Refusals) -> None:
    lab.emulator.scenario(
        faults=[
            {"action": "DescribeImages", "error": "InternalError", "message": "try again"},
            {"action": "ListObjectsV2", "error": "SlowDown"},
            {"action": "HeadObject", "error": "InternalError"},
            {"action": "GetCallerIdentity", "error": "Throttling"},
        ]
    )
    with refusal:
        lab.ec2.describe_images()
    assert (refusal.code, refusal.status, refusal.message) == ("InternalError", 500, "try again")
    with refusal:
        lab.s3.list_objects_v2(Bucket="vault")
    assert (refusal.code, refusal.status) == ("SlowDown", 503)
    with refusal:
        lab.s3.head_object(Bucket="vault", Key="a")
    assert (refusal.code, refusal.status) == ("500", 500)
    with refusal:
        lab.client("sts").get_caller_identity()
    assert refusal.code == "Throttling"


@pytest.mark.parametrize(
    ("action", "call", "values"),
    [
        ("GetObject", "get_object", {"Key": "a"}),
        ("HeadObject", "head_object", {"Key": "a"}),
        ("PutObject", "put_object", {"Key": "a"}),
        ("DeleteObject", "delete_object", {"Key": "a"}),
        ("GetObjectTagging", "get_object_tagging", {"Key": "a"}),
        ("PutObjectTagging", "put_object_tagging", {"Key": "a", "Tagging": {"TagSet": []}}),
        ("CopyObject", "copy_object", {"Key": "b", "CopySource": "vault/a"}),
        ("CreateMultipartUpload", "create_multipart_upload", {"Key": "a"}),
        ("ListObjectsV2", "list_objects_v2", {}),
        ("ListObjectVersions", "list_object_versions", {}),
        ("HeadBucket", "head_bucket", {}),
        ("GetBucketVersioning", "get_bucket_versioning", {}),
        ("GetBucketLocation", "get_bucket_location", {}),
        ("GetBucketPolicy", "get_bucket_policy", {}),
    ],
)
def test_s3_operations_are_told_apart(
    lab: Lab, refusal: Refusals, action: str, call: str, values: dict[str, Any]
) -> None:
    lab.emulator.scenario(faults=[{"action": action, "error": "InternalError"}])
    with refusal:
        getattr(lab.s3, call)(Bucket="vault", **values)
    assert refusal.status == 500
    assert lab.emulator.requests() == {action: 1}


def test_connection_cut_before_the_request_is_done(lab: Lab) -> None:
    image_id = lab.image()
    lab.emulator.scenario(faults=[{"action": "Create*", "drop": "before", "times": 1}])
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        lab.store(image_id)
    assert lab.tasks() == []
    assert lab.store(image_id) == f"{image_id}.bin"


def test_connection_cut_after_the_request_is_done(lab: Lab, refusal: Refusals) -> None:
    image_id = lab.image()
    lab.emulator.scenario(faults=[{"action": "Create*", "drop": "after", "times": 1}])
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        lab.store(image_id)
    assert len(lab.tasks()) == 1
    with refusal:
        lab.store(image_id)
    assert "already in progress" in refusal.message
    assert lab.emulator.outcomes()["CreateStoreImageTask"] == {"dropped": 1, "InvalidRequest": 1}


def test_upload_cut_after_it_is_done(lab: Lab) -> None:
    lab.emulator.scenario(faults=[{"action": "PutObject", "drop": "after", "key": "*.json"}])
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        lab.s3.put_object(Bucket="vault", Key="a.json", Body=b"{}")
    assert lab.s3.get_object(Bucket="vault", Key="a.json")["Body"].read() == b"{}"


def test_rates_hold_per_region_and_action_and_refill_in_emulated_time(
    lab: Lab, refusal: Refusals
) -> None:
    lab.emulator.scenario(rates={"DescribeStoreImageTasks": [2, 0.001]})
    for _call in range(2):
        lab.tasks()
    with refusal:
        lab.tasks()
    assert (refusal.code, refusal.status) == ("RequestLimitExceeded", 503)
    lab.ec2.describe_images()
    lab.client("ec2", region="eu-west-1").describe_store_image_tasks()
    lab.emulator.advance(1000)
    assert lab.tasks() == []
    assert lab.emulator.outcomes()["DescribeStoreImageTasks"] == {
        "OK": 4,
        "RequestLimitExceeded": 1,
    }


def test_log_tells_each_request_in_order(lab: Lab) -> None:
    image_id = lab.image()
    lab.store(image_id, "vault/dr")
    lab.emulator.advance(500)
    lab.s3.head_object(Bucket="vault", Key=f"dr/{image_id}.bin")
    with pytest.raises(ClientError):
        lab.restore("missing.bin", Name="new")
    create, head, restore = lab.emulator.log()
    assert (create["action"], create["image_ids"]) == ("CreateStoreImageTask", [image_id])
    assert (create["account"], create["region"]) == ("123456789012", "us-east-1")
    assert (head["action"], head["key"], head["outcome"]) == (
        "HeadObject",
        f"dr/{image_id}.bin",
        "OK",
    )
    assert (restore["bucket"], restore["key"]) == ("vault", "missing.bin")
    assert (restore["status"], restore["outcome"]) == (400, "InvalidParameterValue")
    assert head["time"] - create["time"] >= 500
    lab.emulator.reset_requests()
    assert lab.emulator.log() == []


def test_action_that_nobody_knows(lab: Lab, refusal: Refusals) -> None:
    with refusal:
        lab.ec2.list_images_in_recycle_bin()
    assert refusal.code == "InvalidAction"
