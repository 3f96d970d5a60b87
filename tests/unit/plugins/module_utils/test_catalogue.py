# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Store tasks and stored images, narrowed down to what the user asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, InputError
from ansible_collections.amistore.aws.plugins.module_utils._catalogue import (
    Selection,
    catalogue,
    select_tasks,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.unit.cloud import ACCOUNT, BUCKET, NOON, Cloud, Thing, forbidden

WEB, DB = "ami-0abcdef1", "ami-0abcdef2"
KEY = f"dr/{WEB}.bin"


# The selection


def params(**given: Any) -> dict[str, Any]:
    names = ("image_ids", "task_state", "bucket", "prefix", "expected_bucket_owner")
    return {**dict.fromkeys(names), **given}


def test_nothing_asked_for_is_everything() -> None:
    assert Selection.from_params(params(bucket=" ", image_ids=[""])) == Selection()


def test_a_selection_is_cleaned() -> None:
    given = params(
        image_ids=[WEB, "", WEB],
        task_state="Failed",
        bucket=f" {BUCKET} ",
        prefix="dr/",
        expected_bucket_owner=ACCOUNT,
    )
    assert Selection.from_params(given) == Selection((WEB,), "Failed", BUCKET, "dr", ACCOUNT)


@pytest.mark.parametrize(
    "given",
    [
        {"image_ids": ["web"]},
        {"bucket": "arn:aws:s3:::x"},
        {"prefix": "/dr"},
        {"expected_bucket_owner": "1"},
    ],
)
def test_bad_values_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Selection.from_params(params(**given))


# Store tasks


def selected(ec2: Any, **wanted: Any) -> list[tuple[str, str, str]]:
    tasks = select_tasks(ec2, Selection(**wanted))
    return [(task["image_id"], task["bucket"], task["state"]) for task in tasks]


@pytest.fixture
def history(cloud: Cloud) -> None:
    """Three days of storing."""
    cloud.add_task(WEB, "Failed", minutes=1, StoreTaskFailureReason="no")
    cloud.add_task(WEB, "Completed", key=KEY, minutes=2)
    cloud.add_task(WEB, "Completed", bucket="other", minutes=3)
    cloud.add_task(DB, "InProgress", minutes=4, ProgressPercentage=42)


@pytest.mark.usefixtures("history")
def test_all_tasks_come_newest_first(ec2: Any) -> None:
    assert selected(ec2) == [
        (DB, BUCKET, "InProgress"),
        (WEB, "other", "Completed"),
        (WEB, BUCKET, "Completed"),
        (WEB, BUCKET, "Failed"),
    ]


@pytest.mark.usefixtures("history")
def test_a_task_is_told_whole(ec2: Any) -> None:
    newest = select_tasks(ec2, Selection())[0]
    assert newest == {
        "image_id": DB,
        "bucket": BUCKET,
        "object_key": f"{DB}.bin",
        "state": "InProgress",
        "progress_percentage": 42,
        "failure_reason": None,
        "task_start_time": NOON.replace(minute=4).isoformat(),
    }
    (failed,) = select_tasks(ec2, Selection(task_state="Failed"))
    assert failed["failure_reason"] == "no"


@pytest.mark.usefixtures("history")
def test_ids_alone_give_the_newest_task_of_each(ec2: Any, cloud: Cloud) -> None:
    assert selected(ec2, image_ids=(WEB, DB)) == [
        (DB, BUCKET, "InProgress"),
        (WEB, "other", "Completed"),
    ]
    assert cloud.params("DescribeStoreImageTasks") == [{"ImageIds": [WEB, DB]}]


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"image_ids": (WEB,), "bucket": BUCKET}, ["Completed", "Failed"]),
        ({"image_ids": (WEB,), "task_state": "Failed"}, ["Failed"]),
        ({"bucket": BUCKET, "task_state": "Completed"}, ["Completed"]),
        ({"bucket": "other"}, ["Completed"]),
        ({"prefix": "dr"}, ["Completed"]),
        ({"prefix": "d"}, []),
        ({"image_ids": (WEB,), "prefix": "dr"}, []),
        ({"image_ids": ("ami-00000000",)}, []),
        ({"bucket": "unknown"}, []),
    ],
)
def test_everything_asked_for_is_combined(
    wanted: dict[str, Any], found: list[str], ec2: Any
) -> None:
    """AWS ignores filters beside ids; with ids alone it tells the newest task only."""
    assert [state for _image, _bucket, state in selected(ec2, **wanted)] == found


# Stored images


def listed(bucket: Bucket, *include: str, **wanted: Any) -> list[dict[str, Any]]:
    return catalogue(bucket, Selection(bucket=BUCKET, **wanted), include, pytest.fail)


def test_the_listing_alone_makes_the_catalogue(bucket: Bucket, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing(b"12345", head={"StorageClass": "GLACIER"})
    assert listed(bucket) == [
        {
            "object_key": KEY,
            "image_id": WEB,
            "size": 5,
            "last_modified": NOON.isoformat(),
            "storage_class": "GLACIER",
            "restorable": False,
        }
    ]
    assert cloud.operations() == ["ListObjectsV2"]


def test_an_empty_bucket_is_an_empty_list(bucket: Bucket) -> None:
    assert listed(bucket, "tags", "encryption", "manifest") == []


def test_only_stored_images_are_listed_at_any_depth_in_key_order(
    bucket: Bucket, cloud: Cloud
) -> None:
    for key in (f"{DB}.bin", KEY, f"dr/{WEB}.json", f"dr/a/b/{DB}.bin", "dr/else.bin", "drx.bin"):
        cloud.objects[key] = Thing()
    assert [image["object_key"] for image in listed(bucket)] == [
        f"{DB}.bin",
        f"dr/a/b/{DB}.bin",
        KEY,
    ]
    assert [image["object_key"] for image in listed(bucket, prefix="dr")] == [
        f"dr/a/b/{DB}.bin",
        KEY,
    ]
    assert [image["image_id"] for image in listed(bucket, image_ids=(WEB,))] == [WEB]
    assert listed(bucket, prefix="d") == []


def test_more_is_told_on_request(bucket: Bucket, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing(
        tags={"week": "7"}, head={"ServerSideEncryption": "AES256", "BucketKeyEnabled": False}
    )
    cloud.objects[f"dr/{WEB}.json"] = Thing(json.dumps({"format_version": 1, "a": 2}).encode())
    (image,) = listed(bucket, "tags", "encryption", "manifest")
    assert image["tags"] == {"week": "7"}
    assert image["encryption"] == {
        "server_side_encryption": "AES256",
        "kms_key_id": None,
        "bucket_key_enabled": False,
    }
    assert image["manifest"] == {"format_version": 1, "a": 2}


@pytest.mark.parametrize(
    ("include", "operation"),
    [("tags", "GetObjectTagging"), ("encryption", "HeadObject"), ("manifest", "GetObject")],
)
def test_each_request_costs_one_call_per_image(
    include: str, operation: str, bucket: Bucket, cloud: Cloud
) -> None:
    cloud.objects.update({KEY: Thing(), f"{DB}.bin": Thing()})
    listed(bucket, include)
    assert cloud.operations() == ["ListObjectsV2", operation, operation]


def test_encryption_also_settles_what_a_listing_cannot_tell(bucket: Bucket, cloud: Cloud) -> None:
    head = {"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "ARCHIVE_ACCESS"}
    cloud.objects[KEY] = Thing(head=head)
    assert listed(bucket)[0]["restorable"] is None
    assert listed(bucket, "encryption")[0]["restorable"] is False


@pytest.mark.parametrize("include", ["tags", "encryption", "manifest"])
def test_an_image_that_is_deleted_meanwhile_is_no_error(
    include: str, bucket: Bucket, cloud: Cloud
) -> None:
    cloud.objects[KEY] = Thing()
    real = cloud.usual("ListObjectsV2")

    def list_then_delete(given: dict[str, Any]) -> dict[str, Any]:
        page = real(given)
        cloud.objects.clear()
        return page

    cloud.replies["ListObjectsV2"] = list_then_delete
    (image,) = listed(bucket, include)
    assert image["object_key"] == KEY
    assert not image[include]


def test_no_manifest_is_null(bucket: Bucket, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing()
    assert listed(bucket, "manifest")[0]["manifest"] is None


def test_an_unreadable_manifest_is_null_with_a_warning(bucket: Bucket, cloud: Cloud) -> None:
    cloud.objects.update({KEY: Thing(), f"dr/{WEB}.json": Thing(b"no")})
    warned: list[str] = []
    (image,) = catalogue(bucket, Selection(), ["manifest"], warned.append)
    assert image["manifest"] is None
    assert len(warned) == 1
    assert warned[0].startswith(f"s3://{BUCKET}/dr/{WEB}.json is not JSON")


def test_forbidden_tags_are_an_error(bucket: Bucket, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing()
    cloud.denials["GetObjectTagging"] = forbidden()
    with pytest.raises(AmiStoreError, match="Failed to read the tags of"):
        listed(bucket, "tags")


def test_a_forbidden_listing_is_an_error(bucket: Bucket, cloud: Cloud) -> None:
    cloud.denials["ListObjectsV2"] = forbidden()
    with pytest.raises(AmiStoreError, match="s3:ListBucket"):
        listed(bucket)
