# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults, rates and the record of requests."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
    SSLError,
)

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


def test_body_of_an_answer_breaks_off(lab: Lab) -> None:
    lab.s3.put_object(Bucket="vault", Key="a", Body=b"x" * 100_000)
    lab.emulator.scenario(faults=[{"action": "GetObject", "drop": "middle", "times": 1}])
    body = lab.s3.get_object(Bucket="vault", Key="a")["Body"]
    assert len(body.read(50_000)) == 50_000
    with pytest.raises((IncompleteReadError, ResponseStreamingError)):
        body.read()
    assert len(lab.s3.get_object(Bucket="vault", Key="a")["Body"].read()) == 100_000
    assert lab.emulator.traffic()["GetObject"] == {"received": 0, "sent": 150_000}
    assert lab.emulator.outcomes()["GetObject"] == {"dropped": 1, "OK": 1}


def test_body_of_an_upload_breaks_off(lab: Lab) -> None:
    lab.emulator.scenario(faults=[{"action": "PutObject", "drop": "middle", "times": 1}])
    size = 8 * 1024**2
    with pytest.raises((ConnectionClosedError, HTTPClientError, SSLError)):
        lab.s3.put_object(Bucket="vault", Key="a", Body=b"x" * size)
    assert "Contents" not in lab.s3.list_objects_v2(Bucket="vault")
    assert lab.emulator.traffic()["PutObject"]["received"] in range(size // 2, size // 2 + 1000)


def test_wrong_bit_in_what_is_read(lab: Lab) -> None:
    lab.s3.put_object(Bucket="vault", Key="a", Body=b"12345678")
    extent = {"Bucket": "vault", "Key": "a", "Range": "bytes=2-5"}
    lab.emulator.scenario(faults=[{"action": "GetObject", "body": "flipped", "times": 1}])
    wrong = lab.s3.get_object(**extent)["Body"].read()
    assert [a ^ b for a, b in zip(wrong, b"3456", strict=True) if a != b] == [1]
    assert lab.s3.get_object(**extent)["Body"].read() == b"3456"


def test_wrong_bit_in_what_is_written(lab: Lab, refusal: Refusals) -> None:
    lab.emulator.scenario(faults=[{"action": "PutObject", "body": "flipped"}])
    digest = base64.b64encode(hashlib.sha256(b"12345678").digest()).decode()
    with refusal:
        lab.s3.put_object(Bucket="vault", Key="a", Body=b"12345678", ChecksumSHA256=digest)
    assert refusal.code == "XAmzContentSHA256Mismatch"
    unsigned = Config(s3={"payload_signing_enabled": False})
    with refusal:
        lab.client("s3", config=unsigned).put_object(
            Bucket="vault", Key="a", Body=b"12345678", ChecksumSHA256=digest
        )
    assert refusal.code == "BadDigest"


def test_answer_that_lacks_a_byte(lab: Lab) -> None:
    lab.s3.put_object(Bucket="vault", Key="a", Body=b"12345678")
    lab.emulator.scenario(faults=[{"action": "GetObject", "body": "short", "times": 1}])
    answer = lab.s3.get_object(Bucket="vault", Key="a", Range="bytes=0-5")
    assert (answer["ContentLength"], answer["Body"].read()) == (5, b"12345")


def test_object_changes_between_two_reads(lab: Lab, refusal: Refusals) -> None:
    lab.s3.put_object(Bucket="vault", Key="a", Body=b"12345678", Metadata={"a": "b"})
    lab.emulator.scenario(
        faults=[{"action": "GetObject", "event": "change_object", "after": 1, "times": 1}]
    )
    first = lab.s3.get_object(Bucket="vault", Key="a", Range="bytes=4-7")
    assert first["Body"].read() == b"5678"
    with refusal:
        lab.s3.get_object(Bucket="vault", Key="a", Range="bytes=4-7", IfMatch=first["ETag"])
    assert refusal.status == 412
    changed = lab.s3.get_object(Bucket="vault", Key="a")
    assert changed["Body"].read() != b"12345678"
    assert (changed["ContentLength"], changed["Metadata"]) == (8, {"a": "b"})


def test_object_and_upload_vanish_on_the_way(lab: Lab, refusal: Refusals) -> None:
    lab.s3.put_object(Bucket="vault", Key="a", Body=b"12345678")
    upload = lab.s3.create_multipart_upload(Bucket="vault", Key="b")["UploadId"]
    lab.emulator.scenario(
        faults=[
            {"action": "GetObject", "event": "delete_object", "times": 1},
            {"action": "UploadPart", "event": "abort_uploads", "times": 1},
        ]
    )
    with refusal:
        lab.s3.get_object(Bucket="vault", Key="a")
    assert refusal.code == "NoSuchKey"
    with refusal:
        lab.s3.upload_part(Bucket="vault", Key="b", UploadId=upload, PartNumber=1, Body=b"")
    assert refusal.code == "NoSuchUpload"


def test_credentials_of_one_caller_expire(lab: Lab, refusal: Refusals) -> None:
    other = "EMULATEDACCESSKEY002"
    fault = {"action": "*", "error": "ExpiredToken", "access_key": other, "after": 2}
    lab.emulator.scenario(faults=[fault])
    theirs = lab.client("s3", key=other)
    for _time in range(2):
        theirs.list_objects_v2(Bucket="vault")
    with refusal:
        theirs.list_objects_v2(Bucket="vault")
    assert (refusal.code, refusal.status) == ("ExpiredToken", 400)
    lab.s3.list_objects_v2(Bucket="vault")


def test_faults_of_one_bucket(lab: Lab, refusal: Refusals) -> None:
    lab.emulator.plant_buckets({"name": "other"})
    lab.emulator.scenario(faults=[{"action": "*", "error": "SlowDown", "bucket": "other"}])
    lab.s3.list_objects_v2(Bucket="vault")
    with refusal:
        lab.s3.list_objects_v2(Bucket="other")
    assert refusal.status == 503


def test_log_tells_parts_and_ranges(lab: Lab) -> None:
    lab.s3.put_object(Bucket="vault", Key="a", Body=b"12345678")
    upload = lab.s3.create_multipart_upload(Bucket="vault", Key="b")["UploadId"]
    lab.s3.get_object(Bucket="vault", Key="a", Range="bytes=2-5")["Body"].read()
    lab.s3.upload_part(Bucket="vault", Key="b", UploadId=upload, PartNumber=7, Body=b"body")
    read, written = lab.emulator.log()[-2:]
    assert (read["extent"], read["sent"]) == ("bytes=2-5", 4)
    assert (written["part"], written["upload_id"]) == ("7", upload)
