# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stored objects as S3 shows them."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from email.utils import parsedate_to_datetime

from .conftest import Lab, Refusals


def test_archived_and_thawed_object_in_head_and_list(lab: Lab) -> None:
    key = lab.stored(lab.image())
    listing = {"Bucket": "vault", "OptionalObjectAttributes": ["RestoreStatus"]}
    lab.emulator.set_storage_class("vault", key, "GLACIER")
    assert lab.s3.head_object(Bucket="vault", Key=key)["StorageClass"] == "GLACIER"
    assert "RestoreStatus" not in lab.s3.list_objects_v2(**listing)["Contents"][0]
    lab.emulator.set_storage_class("vault", key, "GLACIER", restore="thawing")
    head = lab.s3.head_object(Bucket="vault", Key=key)
    assert head["Restore"] == 'ongoing-request="true"'
    status = lab.s3.list_objects_v2(**listing)["Contents"][0]["RestoreStatus"]
    assert status == {"IsRestoreInProgress": True}
    lab.emulator.set_storage_class("vault", key, "GLACIER", restore="thawed")
    assert 'ongoing-request="false"' in lab.s3.head_object(Bucket="vault", Key=key)["Restore"]
    item = lab.s3.list_objects_v2(**listing)["Contents"][0]
    assert item["StorageClass"] == "GLACIER"
    assert item["RestoreStatus"]["RestoreExpiryDate"].year == 2060
    assert "RestoreStatus" not in lab.s3.list_objects_v2(Bucket="vault")["Contents"][0]


def test_archive_tier_of_intelligent_tiering(lab: Lab) -> None:
    key = lab.stored(lab.image())
    lab.emulator.set_storage_class("vault", key, "INTELLIGENT_TIERING", "DEEP_ARCHIVE_ACCESS")
    head = lab.s3.head_object(Bucket="vault", Key=key)
    assert head["ArchiveStatus"] == "DEEP_ARCHIVE_ACCESS"


def test_body_can_be_downloaded_and_its_real_size_shown(lab: Lab) -> None:
    lab.emulator.scenario(object_size="real")
    key = lab.stored(lab.image())
    size = lab.s3.head_object(Bucket="vault", Key=key)["ContentLength"]
    body = lab.s3.get_object(Bucket="vault", Key=key)["Body"].read()
    assert len(body) == size
    assert lab.s3.list_objects_v2(Bucket="vault")["Contents"][0]["Size"] == size


def test_body_of_a_given_size_consists_of_parts(lab: Lab) -> None:
    size = 20 * 1024**2 + 5
    lab.emulator.scenario(object_size=size)
    key = lab.stored(lab.image())
    head = lab.s3.head_object(Bucket="vault", Key=key, PartNumber=1)
    assert (head["ContentLength"], head["PartsCount"]) == (8 * 1024**2, 3)
    body = lab.s3.get_object(Bucket="vault", Key=key)["Body"].read()
    assert len(body) == size
    cuts = range(0, size, 8 * 1024**2)
    digests = b"".join(hashlib.md5(body[cut : cut + 8 * 1024**2]).digest() for cut in cuts)
    assert head["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'


def test_one_wrong_bit_makes_a_stored_image_unusable(lab: Lab, refusal: Refusals) -> None:
    lab.emulator.scenario(object_size=1_000_000)
    key = lab.stored(lab.image())
    body = lab.s3.get_object(Bucket="vault", Key=key)["Body"].read()
    wrong = body[:-40_000] + bytes([body[-40_000] ^ 1]) + body[-39_999:]
    lab.s3.put_object(Bucket="vault", Key="wrong", Body=wrong)
    with refusal:
        lab.restore("wrong", Name="wrong")
    assert "does not contain a stored AMI" in refusal.message
    lab.s3.put_object(Bucket="vault", Key="right", Body=body)
    assert lab.restore("right", Name="right")


def test_time_of_the_object_is_the_end_of_its_task(lab: Lab) -> None:
    lab.emulator.scenario(store_seconds=600, store_seconds_per_gib=0)
    key = lab.stored(lab.image())
    started = lab.tasks()[0]["TaskStartTime"]
    modified = lab.s3.head_object(Bucket="vault", Key=key)["LastModified"]
    assert 599 <= (modified - started).total_seconds() <= 601


def test_time_of_an_object_that_was_put_is_the_emulated_one(lab: Lab) -> None:
    lab.emulator.advance(40 * 86400)
    lab.s3.put_object(Bucket="vault", Key="manifest.json", Body=b"{}")
    answer = lab.s3.head_object(Bucket="vault", Key="manifest.json")
    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    assert abs(now - answer["LastModified"]) < timedelta(minutes=5)


def test_overwritten_versions_stay(lab: Lab) -> None:
    versioning = {"Status": "Enabled"}
    lab.s3.put_bucket_versioning(Bucket="vault", VersioningConfiguration=versioning)
    image_id = lab.image()
    key = lab.stored(image_id)
    deleted = lab.s3.delete_object(Bucket="vault", Key=key)
    assert deleted["DeleteMarker"] is True
    lab.stored(image_id)
    versions = lab.s3.list_object_versions(Bucket="vault")
    assert len(versions["Versions"]) == 2
    assert len(versions["DeleteMarkers"]) == 1
    assert lab.s3.get_bucket_versioning(Bucket="vault")["Status"] == "Enabled"


def test_new_bucket_is_closed_and_encrypted(lab: Lab, refusal: Refusals) -> None:
    lab.s3.create_bucket(Bucket="fresh")
    block = lab.s3.get_public_access_block(Bucket="fresh")["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    rules = lab.s3.get_bucket_ownership_controls(Bucket="fresh")["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    for _time in range(2):
        answer = lab.s3.get_bucket_encryption(Bucket="fresh")
        rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]
        assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        lab.s3.delete_bucket_encryption(Bucket="fresh")
    public = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}
    with refusal:
        lab.s3.put_bucket_policy(Bucket="fresh", Policy=json.dumps({"Statement": [public]}))
    assert refusal.code == "AccessDenied"
