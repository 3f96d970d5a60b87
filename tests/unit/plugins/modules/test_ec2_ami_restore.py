# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ec2_ami_restore from its arguments to its result."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._restore import ETAG_TAG, LOCATION_TAG
from ansible_collections.amistore.aws.plugins.modules import ec2_ami_restore
from tests.unit.cloud import ACCOUNT, BUCKET, Cloud, Refusal, Thing, VirtualClock, to_dict
from tests.unit.module_runner import Runner

MODULE = ec2_ami_restore

WEB, DB = "ami-0abcdef1", "ami-0abcdef2"
KEY = f"dr/{WEB}.bin"
EQUAL = {
    "equal": True,
    "differences": [],
    "unknown": [],
    "reason": None,
    "stored_encrypted": False,
}


def add_stored_image(cloud: Cloud, image_id: str, name: str, encrypted: bool = False) -> None:
    stored = Thing(image_id.encode())
    document = {
        "format_version": 1,
        "image": Cloud().add_image(image_id, name, encrypted=encrypted),
        "stored_image": {"etag": stored.etag},
    }
    cloud.objects[f"dr/{image_id}.bin"] = stored
    cloud.objects[f"dr/{image_id}.json"] = Thing(json.dumps(document).encode())


@pytest.fixture
def stored(cloud: Cloud, clock: VirtualClock) -> Cloud:
    """Two stored images; what is restored becomes available in the first pause."""
    add_stored_image(cloud, WEB, "web")
    add_stored_image(cloud, DB, "database")

    def complete() -> None:
        for image in cloud.images.values():
            image["State"] = "available"

    clock.during_sleep = [complete]
    return cloud


# One and many


def test_a_stored_image_is_restored(run: Runner, stored: Cloud) -> None:
    result = run(object_key=KEY, bucket=BUCKET, name="web-restored", tags={"team": "a"})
    assert not result.failed
    assert (result["changed"], result["msg"]) == (
        True,
        f"1 AMI: 1 restored from s3://{BUCKET}.",
    )
    (image_id,) = stored.images
    assert result.image == {
        "object_key": KEY,
        "bucket": BUCKET,
        "image_id": image_id,
        "name": "web-restored",
        "state": "available",
        "state_reason": None,
        "snapshot_ids": list(stored.snapshots),
        "encrypted": False,
        "progress_percentage": 100,
        "changed": True,
        "verification": EQUAL,
        "evidence": None,
        "launch_permissions": None,
    }
    assert to_dict(stored.images[image_id]["Tags"]) == {
        LOCATION_TAG: f"{BUCKET}/{KEY}",
        ETAG_TAG: stored.objects[KEY].etag,
        "team": "a",
    }
    assert result.warnings == []


@pytest.mark.parametrize(
    "way",
    [
        {"image_ids": [WEB, DB], "prefix": "dr/"},
        {"image_ids": [WEB, "", DB, WEB], "prefix": "dr"},
        {"all": True, "prefix": "dr"},
        {"stored_images": [{"object_key": KEY}, {"object_key": f"dr/{DB}.bin"}]},
    ],
    ids=["image_ids", "image_ids with blanks", "all", "stored_images"],
)
def test_many_are_restored_under_the_names_in_their_manifests_and_kept_after(
    way: dict[str, Any], run: Runner, stored: Cloud
) -> None:
    first = run(bucket=BUCKET, **way)
    assert (first.failed, first["changed"]) == (False, True)
    assert [image["name"] for image in first["images"]] == ["web", "database"]
    assert [image["state"] for image in first["images"]] == ["available", "available"]
    stored.calls.clear()
    second = run(bucket=BUCKET, **way)
    assert (second.failed, second["changed"]) == (False, False)
    assert stored.mutations() == []
    assert second["images"] == [image | {"changed": False} for image in first["images"]]


def test_stored_images_have_their_own_names_and_tags(run: Runner, stored: Cloud) -> None:
    images = [
        {"object_key": KEY, "name": "one", "tags": {"own": "1"}},
        {"object_key": KEY, "name": "two", "snapshot_tags": {}},
    ]
    result = run(bucket=BUCKET, stored_images=images, tags={"all": "1"})
    one, two = (stored.images[image["image_id"]] for image in result["images"])
    assert (one["Name"], two["Name"]) == ("one", "two")
    assert "own" in to_dict(one["Tags"])
    assert "all" in to_dict(two["Tags"])


def test_one_bad_stored_image_among_good_ones_fails_alone(run: Runner, stored: Cloud) -> None:
    result = run(bucket=BUCKET, image_ids=[WEB, "ami-0000dead"], prefix="dr")
    assert (result.failed, result["changed"]) == (True, True)
    assert [image["state"] for image in result["images"]] == ["available", "NotStarted"]
    assert f"s3://{BUCKET}/dr/ami-0000dead.bin does not exist" in result["msg"]
    assert result["images"][1]["image_id"] is None


def test_two_keys_for_one_name_stop_before_anything_is_touched(run: Runner, stored: Cloud) -> None:
    images = [{"object_key": key, "name": "web"} for key in (KEY, f"dr/{DB}.bin")]
    result = run(bucket=BUCKET, stored_images=images)
    assert (result.failed, result["changed"]) == (True, False)
    assert f"One name for several AMIs: 'web' for {KEY} and dr/{DB}.bin" in result["msg"]
    assert stored.calls == []


def test_two_manifests_of_one_name_are_not_restored(run: Runner, stored: Cloud) -> None:
    add_stored_image(stored, DB, "web")
    result = run(bucket=BUCKET, all=True, prefix="dr")
    assert (result.failed, result["changed"]) == (True, False)
    assert result["msg"].startswith("2 AMIs: 2 failed.")
    assert "2 stored images of this task have the name 'web'" in result["msg"]
    assert stored.mutations() == []


def test_all_that_finds_nothing_says_so(run: Runner, cloud: Cloud) -> None:
    result = run(bucket=BUCKET, all=True, prefix="typo")
    assert (result.failed, result["changed"], result["images"]) == (False, False, [])
    (warning,) = result.warnings
    assert f"No stored image lies directly under prefix 'typo' in s3://{BUCKET}" in warning


def test_all_without_the_right_to_list_stops(run: Runner, stored: Cloud) -> None:
    stored.denials["ListObjectsV2"] = Refusal("AccessDenied", "Access Denied", 403)
    result = run(bucket=BUCKET, all=True, prefix="dr")
    assert (result.failed, result["changed"], result["images"]) == (True, False, [])
    assert "needed is s3:ListBucket" in result["msg"]


# Options


def test_a_stranger_is_adopted_on_request_only(run: Runner, stored: Cloud) -> None:
    stored.add_image("ami-0000beef", "web")
    refused = run(bucket=BUCKET, image_id=WEB, prefix="dr")
    assert (refused.failed, refused["changed"]) == (True, False)
    assert "taken by ami-0000beef" in refused["msg"]
    adopted = run(bucket=BUCKET, image_id=WEB, prefix="dr", adopt=True)
    assert (adopted.failed, adopted["changed"]) == (False, False)
    assert adopted.image["image_id"] == "ami-0000beef"


def test_encrypted_disks_come_back_in_the_clear_on_request_only(run: Runner, stored: Cloud) -> None:
    stored.encrypts_by_default = False
    add_stored_image(stored, WEB, "web", encrypted=True)
    refused = run(bucket=BUCKET, image_id=WEB, prefix="dr")
    assert (refused.failed, refused["changed"]) == (True, False)
    assert "allow_unencrypted: true" in refused["msg"]
    assert run(bucket=BUCKET, image_id=WEB, prefix="dr", allow_unencrypted=True)["changed"]


def test_purge_tags_removes_what_is_not_asked_for(run: Runner, stored: Cloud) -> None:
    run(bucket=BUCKET, image_id=WEB, prefix="dr", tags={"a": "1"}, snapshot_tags={"s": "1"})
    result = run(
        bucket=BUCKET,
        image_id=WEB,
        prefix="dr",
        resource_tags={"b": "2"},
        snapshot_tags={},
        purge_tags=True,
    )
    assert result["changed"]
    (image,) = stored.images.values()
    assert set(to_dict(image["Tags"])) == {LOCATION_TAG, ETAG_TAG, "b"}
    for snapshot in stored.snapshots.values():
        assert set(to_dict(snapshot["Tags"])) == {LOCATION_TAG, ETAG_TAG}


def test_the_expected_owner_goes_with_every_call_to_s3(run: Runner, stored: Cloud) -> None:
    run(bucket=BUCKET, all=True, prefix="dr", expected_bucket_owner=ACCOUNT)
    calls = [call for call in stored.calls if "Key" in call.params or "Prefix" in call.params]
    assert {call.params.get("ExpectedBucketOwner") for call in calls} == {ACCOUNT}


def test_a_bucket_of_another_region_stops_the_run(run: Runner, stored: Cloud) -> None:
    stored.bucket_region = "us-east-1"
    result = run(bucket=BUCKET, object_key=KEY)
    assert (result.failed, result["changed"]) == (True, False)
    assert "is in Region us-east-1" in result["msg"]
    assert result.image["name"] is None


# Waiting


def test_without_waiting_a_later_run_picks_up_what_was_started(
    run: Runner, stored: Cloud, clock: VirtualClock
) -> None:
    first = run(bucket=BUCKET, object_key=KEY, wait=False)
    assert (first.failed, first["changed"], clock.slept) == (False, True, [])
    assert first.image["state"] == "pending"
    stored.calls.clear()
    second = run(bucket=BUCKET, object_key=KEY)
    assert (second["changed"], second.image["state"]) == (False, "available")
    assert second.image["image_id"] == first.image["image_id"]
    assert "CreateRestoreImageTask" not in stored.operations()


def test_a_timeout_fails_and_says_that_aws_goes_on(
    run: Runner, stored: Cloud, clock: VirtualClock
) -> None:
    clock.during_sleep = []
    result = run(bucket=BUCKET, object_key=KEY, wait_timeout=45)
    assert (result.failed, result["changed"]) == (True, True)
    assert f"{KEY} as 'web': in progress at AWS" in result["msg"]
    assert "wait_timeout (45 s) has passed. AWS goes on" in result["msg"]


def test_a_restore_that_ends_badly_is_replaced_by_the_next_run(
    run: Runner, stored: Cloud, clock: VirtualClock
) -> None:
    def fail() -> None:
        for image in stored.images.values():
            image.update(State="failed", StateReason={"Code": "Server", "Message": "broken"})

    succeed = clock.during_sleep[0]
    clock.during_sleep = [fail]
    first = run(bucket=BUCKET, object_key=KEY)
    assert (first.failed, first["changed"], first.image["state"]) == (True, True, "failed")
    assert "ended in state 'failed': Server: broken" in first.image["state_reason"]
    clock.during_sleep = [succeed]
    second = run(bucket=BUCKET, object_key=KEY)
    assert (second.failed, second["changed"]) == (False, True)
    assert second.image["image_id"] != first.image["image_id"]
    assert list(stored.images) == [second.image["image_id"]]


def test_without_the_right_the_decode_command_is_shown(run: Runner, stored: Cloud) -> None:
    stored.denials["CreateRestoreImageTask"] = Refusal(
        "UnauthorizedOperation",
        "You are not authorized. Encoded authorization failure message: abc",
        403,
    )
    result = run(bucket=BUCKET, object_key=KEY)
    assert (result.failed, result["changed"]) == (True, False)
    assert "--encoded-message abc" in result.image["state_reason"]


# Nothing to do and bad input


@pytest.mark.parametrize("way", [{"image_ids": []}, {"image_ids": [""]}, {"stored_images": []}])
def test_an_empty_list_is_a_success_without_a_client(way: dict[str, Any], run: Runner) -> None:
    result = run(bucket=BUCKET, **way)
    assert (result.failed, result["changed"], result["images"]) == (False, False, [])
    assert run.services == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "Nothing says what to restore"),
        ({"object_key": KEY, "all": True}, "object_key and all are both given"),
        ({"object_key": KEY, "name": "ab"}, "an AMI name has 3 to 128"),
        ({"object_key": KEY, "name": "n" * 129}, "an AMI name has 3 to 128"),
        ({"all": True, "name": "web"}, "name 'web' goes with object_key"),
        ({"image_ids": ["web"]}, "Not AMI ids"),
        ({"object_key": KEY, "bucket": "arn:aws:s3:::x"}, "is an ARN"),
        ({"object_key": KEY, "tags": {"amistore:etag": "x"}}, "kept for the proof of identity"),
        ({"object_key": KEY, "snapshot_tags": {"aws:x": ""}}, "snapshot_tags: the tag key"),
        ({"object_key": KEY, "wait_timeout": -1}, "is not a time to wait"),
        ({"object_key": KEY, "in_flight_gib": -1}, "in_flight_gib -1 leaves no room for any AMI"),
        ({"object_key": KEY, "create_burst": 0}, "create_burst 0 allows no request"),
        ({"object_key": KEY, "seconds_per_create": "nan"}, "seconds_per_create nan is no pause"),
    ],
)
def test_bad_input_fails_before_a_client_is_made(
    options: dict[str, Any], told: str, run: Runner
) -> None:
    result = run(**{"bucket": BUCKET, **options})
    assert (result.failed, result["changed"], result["images"]) == (True, False, [])
    assert told in result["msg"]
    assert run.services == []


# Check and diff mode


def test_check_mode_predicts_a_start_and_proves_the_right(run: Runner, stored: Cloud) -> None:
    result = run(check=True, bucket=BUCKET, all=True, prefix="dr")
    assert (result.failed, result["changed"]) == (False, True)
    assert result["permission_checked"] is True
    assert result["msg"] == "2 AMIs: 2 would be started (check mode, nothing was changed)."
    assert [call["DryRun"] for call in stored.params("CreateRestoreImageTask")] == [True]
    assert stored.mutations() == []
    assert [image["name"] for image in result["images"]] == ["web", "database"]


def test_check_mode_of_a_second_run_predicts_no_change(run: Runner, stored: Cloud) -> None:
    run(bucket=BUCKET, object_key=KEY)
    stored.calls.clear()
    result = run(check=True, bucket=BUCKET, object_key=KEY)
    assert (result["changed"], result["permission_checked"]) == (False, False)
    assert "CreateRestoreImageTask" not in stored.operations()


def test_check_mode_fails_without_the_right(run: Runner, stored: Cloud) -> None:
    stored.denials["CreateRestoreImageTask"] = Refusal("UnauthorizedOperation", "no", 403)
    result = run(check=True, bucket=BUCKET, object_key=KEY)
    assert (result.failed, result["permission_checked"]) == (True, False)
    assert "UnauthorizedOperation: no" in result["msg"]


def test_diff_shows_the_tags_of_amis_and_snapshots(run: Runner, stored: Cloud) -> None:
    run(bucket=BUCKET, object_key=KEY)
    result = run(check=True, diff=True, bucket=BUCKET, object_key=KEY, tags={"a": "1"})
    (image_id,) = stored.images
    headers = [diff["before_header"] for diff in result["diff"]]
    assert headers == [image_id, *stored.snapshots]
    for diff in result["diff"]:
        assert diff["after"] == {**diff["before"], "a": "1"}
