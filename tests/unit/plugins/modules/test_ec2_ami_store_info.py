# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ec2_ami_store_info from its arguments to its result."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.modules import ec2_ami_store_info
from tests.unit.cloud import ACCOUNT, BUCKET, Cloud, Refusal, Thing, forbidden
from tests.unit.module_runner import Runner

MODULE = ec2_ami_store_info

WEB, DB = "ami-0abcdef1", "ami-0abcdef2"


@pytest.fixture
def history(cloud: Cloud) -> Cloud:
    cloud.add_task(WEB, "Failed", minutes=1, StoreTaskFailureReason="no")
    cloud.add_task(WEB, "Completed", key=f"dr/{WEB}.bin", minutes=2)
    cloud.add_task(DB, "InProgress", bucket="other", minutes=3, ProgressPercentage=42)
    cloud.objects[f"dr/{WEB}.bin"] = Thing(tags={"a": "1"}, head={"ServerSideEncryption": "AES256"})
    cloud.objects[f"dr/{WEB}.json"] = Thing(json.dumps({"format_version": 1}).encode())
    return cloud


def test_without_options_all_tasks_are_listed(run: Runner, history: Cloud) -> None:
    result = run()
    assert (result.failed, result["changed"]) == (False, False)
    states = [task["state"] for task in result["store_tasks"]]
    assert states == ["InProgress", "Completed", "Failed"]
    assert "stored_images" not in result
    assert run.services == ["ec2"]


@pytest.mark.parametrize(
    ("options", "states"),
    [
        ({"image_id": WEB}, ["Completed"]),
        ({"image_ids": [WEB, DB]}, ["InProgress", "Completed"]),
        ({"task_state": "Failed"}, ["Failed"]),
        ({"image_id": WEB, "task_state": "Failed"}, ["Failed"]),
        ({"bucket": BUCKET}, ["Completed", "Failed"]),
        ({"bucket": BUCKET, "prefix": "dr"}, ["Completed"]),
        ({"image_ids": ["", " "]}, ["InProgress", "Completed", "Failed"]),
    ],
)
def test_everything_asked_for_is_combined(
    options: dict[str, Any], states: list[str], run: Runner, history: Cloud
) -> None:
    assert [task["state"] for task in run(**options)["store_tasks"]] == states


def test_with_a_bucket_its_stored_images_are_listed(run: Runner, history: Cloud) -> None:
    result = run(bucket=BUCKET, prefix="dr/", expected_bucket_owner=ACCOUNT)
    (image,) = result["stored_images"]
    assert (image["object_key"], image["image_id"]) == (f"dr/{WEB}.bin", WEB)
    assert image["restorable"] is True
    listing = history.params("ListObjectsV2")[0]
    assert listing["ExpectedBucketOwner"] == ACCOUNT


def test_more_is_told_on_request(run: Runner, history: Cloud) -> None:
    result = run(bucket=BUCKET, include=["tags", "encryption", "manifest"])
    (image,) = result["stored_images"]
    assert image["tags"] == {"a": "1"}
    assert image["encryption"]["server_side_encryption"] == "AES256"
    assert image["manifest"] == {"format_version": 1}


def test_a_tiered_image_is_restorable_or_not_as_far_as_known(run: Runner, cloud: Cloud) -> None:
    cloud.objects[f"{WEB}.bin"] = Thing(head={"StorageClass": "INTELLIGENT_TIERING"})
    assert run(bucket=BUCKET)["stored_images"][0]["restorable"] is None


def test_an_unreadable_manifest_is_warned_about(run: Runner, history: Cloud) -> None:
    history.objects[f"dr/{WEB}.json"] = Thing(b"no")
    result = run(bucket=BUCKET, include=["manifest"])
    assert result["stored_images"][0]["manifest"] is None
    assert any("is not JSON" in text for text in result.warnings)


def test_nothing_found_is_no_error(run: Runner, cloud: Cloud) -> None:
    result = run(bucket=BUCKET, image_id=WEB)
    assert (result.failed, result["store_tasks"], result["stored_images"]) == (False, [], [])


def test_check_mode_is_the_same(run: Runner, history: Cloud) -> None:
    options: dict[str, Any] = {"bucket": BUCKET, "include": ["tags"]}
    checked, done = run(check=True, **options), run(**options)
    assert checked["stored_images"] == done["stored_images"]
    assert checked["store_tasks"] == done["store_tasks"]
    assert history.mutations() == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"image_ids": ["web"]}, "Not AMI ids: 'web'."),
        ({"bucket": "a/b"}, "holds a path"),
        ({"prefix": "//"}, "leading or a double slash"),
        ({"expected_bucket_owner": "1"}, "is not an account id"),
    ],
)
def test_bad_input_fails_before_a_client_is_made(
    options: dict[str, str], told: str, run: Runner
) -> None:
    result = run(**options)
    assert (result.failed, result["changed"]) == (True, False)
    assert told in result["msg"]
    assert run.services == []


@pytest.mark.parametrize("options", [{"task_state": "Gone"}, {"include": ["everything"]}])
def test_unknown_choices_are_refused(options: dict[str, Any], run: Runner) -> None:
    result = run(**options)
    assert result.failed
    assert "must be one" in result["msg"]


def test_a_bucket_of_another_region_is_told(run: Runner, cloud: Cloud) -> None:
    cloud.bucket_region = "us-east-1"
    assert "is in Region us-east-1" in run(bucket=BUCKET)["msg"]


def test_a_refusal_is_told_with_awss_words(run: Runner, cloud: Cloud) -> None:
    cloud.denials["DescribeStoreImageTasks"] = Refusal("UnauthorizedOperation", "no", 403)
    assert run()["msg"] == "Failed to list the store tasks: UnauthorizedOperation: no"


def test_a_forbidden_listing_names_the_right(run: Runner, cloud: Cloud) -> None:
    cloud.denials["ListObjectsV2"] = forbidden()
    assert "needed is s3:ListBucket" in run(bucket=BUCKET)["msg"]
