# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ec2_ami_store from its arguments to its result."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.modules import ec2_ami_store
from tests.unit.cloud import ACCOUNT, BUCKET, Cloud, Refusal, Thing, VirtualClock, forbidden
from tests.unit.module_runner import Runner

MODULE = ec2_ami_store

WEB, DB, UNKNOWN = "ami-0abcdef1", "ami-0abcdef2", "ami-0000dead"


@pytest.fixture
def amis(cloud: Cloud, clock: VirtualClock) -> Cloud:
    """Two AMIs, whose stores complete in the first pause."""
    cloud.add_image(WEB, "web")
    cloud.add_image(DB, "db")

    def complete() -> None:
        for task in cloud.tasks:
            cloud.complete(task, b"12345")

    clock.during_sleep = [complete]
    return cloud


# Present


def test_an_ami_is_stored(run: Runner, amis: Cloud) -> None:
    result = run(image_id=WEB, bucket=BUCKET, prefix="dr/", tags={"week": 7})
    assert not result.failed
    assert (result["changed"], result["msg"]) == (
        True,
        f"1 AMI: 1 stored in s3://{BUCKET}/dr.",
    )
    assert result.image == {
        "image_id": WEB,
        "bucket": BUCKET,
        "object_key": f"dr/{WEB}.bin",
        "manifest_key": f"dr/{WEB}.json",
        "state": "Completed",
        "progress_percentage": 100,
        "failure_reason": None,
        "task_start_time": amis.tasks[0]["TaskStartTime"].isoformat(),
        "size": 5,
        "version_id": None,
        "delete_marker": False,
        "changed": True,
    }
    assert amis.params("CreateStoreImageTask")[0]["S3ObjectTags"] == [{"Key": "week", "Value": "7"}]
    assert "permission_checked" not in result
    assert result.warnings == []


def test_the_manifest_tells_where_the_image_comes_from(run: Runner, amis: Cloud) -> None:
    run(image_id=WEB, bucket=BUCKET)
    document = json.loads(amis.objects[f"{WEB}.json"].body)
    assert document["account_id"] == ACCOUNT
    assert (document["region"], document["partition"]) == ("eu-central-1", "aws")
    assert (document["bucket"], document["object_key"]) == (BUCKET, f"{WEB}.bin")


def test_a_second_run_changes_nothing_and_creates_nothing(run: Runner, amis: Cloud) -> None:
    options: dict[str, Any] = {"image_ids": [WEB, DB], "bucket": BUCKET, "tags": {"a": "1"}}
    assert run(**options)["changed"]
    amis.calls.clear()
    second = run(**options)
    assert (second.failed, second["changed"]) == (False, False)
    assert amis.mutations() == []


def test_results_come_in_the_order_given_without_blanks_and_repeats(
    run: Runner, amis: Cloud
) -> None:
    result = run(image_ids=[DB, "", WEB, DB], bucket=BUCKET)
    assert [image["image_id"] for image in result["images"]] == [DB, WEB]


def test_a_bare_string_is_a_list(run: Runner, amis: Cloud) -> None:
    result = run(image_ids=f"{WEB},{DB}", bucket=BUCKET)
    assert [image["image_id"] for image in result["images"]] == [WEB, DB]


def test_one_bad_ami_among_good_ones_fails_alone(run: Runner, amis: Cloud) -> None:
    result = run(image_ids=[WEB, UNKNOWN, DB], bucket=BUCKET)
    assert (result.failed, result["changed"]) == (True, True)
    states = {image["image_id"]: image["state"] for image in result["images"]}
    assert states == {WEB: "Completed", UNKNOWN: "NotStarted", DB: "Completed"}
    assert result["msg"].startswith(
        f"3 AMIs: 1 failed, 2 stored in s3://{BUCKET}. {UNKNOWN}: {UNKNOWN} is not visible"
    )


def test_without_manifest_none_is_written(run: Runner, amis: Cloud) -> None:
    result = run(image_id=WEB, bucket=BUCKET, manifest=False)
    assert result.image["manifest_key"] is None
    assert list(amis.objects) == [f"{WEB}.bin"]
    assert "sts" not in run.services


def test_purge_tags_removes_what_an_earlier_run_set(run: Runner, amis: Cloud) -> None:
    run(image_id=WEB, bucket=BUCKET)
    run(image_id=WEB, bucket=BUCKET, tags={"a": "1"})
    amis.objects[f"{WEB}.bin"].tags["theirs"] = "2"
    result = run(image_id=WEB, bucket=BUCKET, resource_tags={"b": "3"}, purge_tags=True)
    assert result["changed"]
    assert amis.objects[f"{WEB}.bin"].tags == {"theirs": "2", "b": "3"}


def test_the_expected_owner_goes_with_every_call_to_s3(run: Runner, amis: Cloud) -> None:
    run(image_id=WEB, bucket=BUCKET, expected_bucket_owner=ACCOUNT)
    calls = [call for call in amis.calls if call.params.get("Key") or "Prefix" in call.params]
    assert {call.params.get("ExpectedBucketOwner") for call in calls} == {ACCOUNT}


def test_another_owner_stops_the_run_before_anything_is_looked_at(run: Runner, amis: Cloud) -> None:
    result = run(image_id=WEB, bucket=BUCKET, expected_bucket_owner="444455556666")
    assert (result.failed, result["changed"]) == (True, False)
    assert "does not belong to account 444455556666" in result["msg"]
    assert set(amis.operations()) == {"HeadBucket"}
    assert result.image["state"] == "NotStarted"


def test_a_missing_bucket_stops_the_run(run: Runner, amis: Cloud) -> None:
    result = run(image_id=WEB, bucket="no-such-bucket")
    assert (result.failed, result["changed"]) == (True, False)
    assert result["msg"].startswith(
        "1 AMI: 1 not started. Stopped: bucket 'no-such-bucket' does not exist."
    )


def test_a_bucket_of_another_region_stops_the_run(run: Runner, amis: Cloud) -> None:
    amis.bucket_region = "us-east-1"
    result = run(image_id=WEB, bucket=BUCKET)
    assert result.failed
    assert "is in Region us-east-1, the task runs in eu-central-1" in result["msg"]


def test_a_task_that_fails_is_told_with_awss_reason(
    run: Runner, amis: Cloud, clock: VirtualClock
) -> None:
    def fail() -> None:
        amis.tasks[0].update(StoreTaskState="Failed", StoreTaskFailureReason="snapshot gone")

    clock.during_sleep = [fail]
    result = run(image_id=WEB, bucket=BUCKET)
    assert (result.failed, result["changed"]) == (True, True)
    assert result.image["state"] == "Failed"
    assert result.image["failure_reason"] == "the store task failed: snapshot gone"
    assert result.image["task_start_time"] == amis.tasks[0]["TaskStartTime"].isoformat()
    assert "the store task failed: snapshot gone" in result["msg"]


def test_without_the_right_the_decode_command_is_shown(run: Runner, amis: Cloud) -> None:
    amis.denials["CreateStoreImageTask"] = Refusal(
        "UnauthorizedOperation",
        "You are not authorized. Encoded authorization failure message: abc",
        403,
    )
    result = run(image_id=WEB, bucket=BUCKET)
    assert (result.failed, result["changed"]) == (True, False)
    assert "aws sts decode-authorization-message" in result["msg"]
    assert "--encoded-message abc" in result.image["failure_reason"]


# Waiting


def test_without_waiting_a_later_run_picks_up_what_was_started(
    run: Runner, amis: Cloud, clock: VirtualClock
) -> None:
    first = run(image_id=WEB, bucket=BUCKET, wait=False)
    assert (first.failed, first["changed"], clock.slept) == (False, True, [])
    assert first.image["state"] == "InProgress"
    assert "1 in progress. AWS goes on" in first["msg"]
    amis.calls.clear()
    second = run(image_id=WEB, bucket=BUCKET)
    assert second.image["state"] == "Completed"
    assert "CreateStoreImageTask" not in amis.operations()


def test_a_timeout_fails_and_says_that_aws_goes_on(
    run: Runner, amis: Cloud, clock: VirtualClock
) -> None:
    clock.during_sleep = []
    result = run(image_id=WEB, bucket=BUCKET, wait_timeout=90)
    assert (result.failed, result["changed"]) == (True, True)
    assert result["msg"] == (
        f"1 AMI: 1 in progress. {WEB}: in progress at AWS. wait_timeout (90 s) has passed."
        " AWS goes on with what is in progress; running the same task again picks everything up"
        " where it is."
    )
    assert sum(clock.slept) == pytest.approx(90)


def test_a_fleet_that_needs_longer_than_it_may_is_warned_about(
    run: Runner, cloud: Cloud, clock: VirtualClock
) -> None:
    ids = [f"ami-{number:08x}" for number in range(53)]
    for image_id in ids:
        cloud.add_image(image_id)
    result = run(image_ids=ids, bucket=BUCKET, manifest=False, wait_timeout=20)
    assert [warning for warning in result.warnings if "needs 30 s for this many AMIs" in warning]
    assert result.failed


# Nothing to do and bad input


@pytest.mark.parametrize("image_ids", [[], ["", " "]])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_an_empty_list_is_a_success_without_a_client(
    image_ids: list[str], state: str, run: Runner
) -> None:
    result = run(image_ids=image_ids, bucket=BUCKET, state=state)
    assert (result.failed, result["changed"], result["images"]) == (False, False, [])
    assert result["msg"] == "No AMIs given, nothing to do."
    assert run.services == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"image_ids": ["web", WEB]}, "Not AMI ids: 'web'."),
        ({"bucket": f"{BUCKET}/dr"}, f"bucket: '{BUCKET}' and prefix: 'dr'."),
        ({"bucket": ""}, "'bucket' is blank"),
        ({"prefix": "/dr"}, "leading or a double slash"),
        ({"prefix": "p" * 240}, "bucket and key together may have 256"),
        ({"expected_bucket_owner": "1234"}, "is not an account id"),
        ({"tags": {f"k{number}": "v" for number in range(11)}}, "11 tags given"),
        ({"tags": {"k": "v" * 257}}, "has 257 characters"),
        ({"wait_timeout": 0}, "wait_timeout 0 is not a time to wait"),
        ({"in_flight_gib": 0}, "in_flight_gib 0 leaves no room for any AMI"),
        ({"create_burst": 0}, "create_burst 0 allows no request"),
        ({"seconds_per_create": 0}, "seconds_per_create 0.0 is no pause between requests"),
    ],
)
def test_bad_input_fails_before_a_client_is_made(
    options: dict[str, Any], told: str, run: Runner
) -> None:
    result = run(**{"image_ids": [WEB], "bucket": BUCKET, **options})
    assert (result.failed, result["changed"], result["images"]) == (True, False, [])
    assert told in result["msg"]
    assert run.services == []


# Check and diff mode


def test_check_mode_predicts_a_start_and_proves_the_right(run: Runner, amis: Cloud) -> None:
    result = run(check=True, image_ids=[WEB, DB], bucket=BUCKET)
    assert (result.failed, result["changed"]) == (False, True)
    assert result["permission_checked"] is True
    assert result["msg"] == "2 AMIs: 2 would be started (check mode, nothing was changed)."
    assert [image["state"] for image in result["images"]] == ["NotStarted", "NotStarted"]
    assert [image["changed"] for image in result["images"]] == [True, True]
    dry_runs = amis.params("CreateStoreImageTask")
    assert [(call["ImageId"], call["DryRun"]) for call in dry_runs] == [(WEB, True)]
    assert amis.mutations() == []


def test_check_mode_without_a_start_sends_no_dry_run(run: Runner, amis: Cloud) -> None:
    run(image_id=WEB, bucket=BUCKET)
    amis.calls.clear()
    result = run(check=True, image_id=WEB, bucket=BUCKET)
    assert (result.failed, result["changed"], result["permission_checked"]) == (
        False,
        False,
        False,
    )
    assert "CreateStoreImageTask" not in amis.operations()


def test_check_mode_fails_without_the_right(run: Runner, amis: Cloud) -> None:
    amis.denials["CreateStoreImageTask"] = Refusal("UnauthorizedOperation", "no", 403)
    result = run(check=True, image_id=WEB, bucket=BUCKET)
    assert (result.failed, result["permission_checked"]) == (True, False)
    assert f"Stopped: {WEB}: UnauthorizedOperation: no." in result["msg"]
    assert not result["changed"]


def test_check_mode_warns_when_the_right_could_not_be_proved(run: Runner, amis: Cloud) -> None:
    amis.denials["CreateStoreImageTask"] = Refusal("RequestLimitExceeded", "slow", 503)
    result = run(check=True, image_id=WEB, bucket=BUCKET)
    assert (result.failed, result["changed"], result["permission_checked"]) == (
        False,
        True,
        False,
    )
    assert any("The permission could not be checked" in text for text in result.warnings)


def test_diff_shows_the_object_tags(run: Runner, amis: Cloud) -> None:
    run(image_id=WEB, bucket=BUCKET)
    result = run(check=True, diff=True, image_id=WEB, bucket=BUCKET, tags={"a": "1"})
    assert result["diff"] == [
        {
            "before_header": f"{WEB}.bin",
            "after_header": f"{WEB}.bin",
            "before": {},
            "after": {"a": "1"},
        }
    ]


# Absent


def test_a_stored_image_is_deleted_with_its_manifest(run: Runner, amis: Cloud) -> None:
    run(image_id=WEB, bucket=BUCKET, prefix="dr")
    result = run(image_id=WEB, bucket=BUCKET, prefix="dr", state="absent")
    assert (result.failed, result["changed"]) == (False, True)
    assert result["msg"] == f"1 AMI: 1 absent from s3://{BUCKET}/dr."
    assert (result.image["state"], result.image["size"]) == ("Absent", None)
    assert amis.objects == {}
    again = run(image_id=WEB, bucket=BUCKET, prefix="dr", state="absent")
    assert (again.failed, again["changed"]) == (False, False)


def test_check_mode_of_a_deletion_deletes_nothing(run: Runner, amis: Cloud) -> None:
    amis.objects[f"{WEB}.bin"] = Thing()
    result = run(check=True, image_id=WEB, bucket=BUCKET, state="absent")
    assert (result["changed"], result["permission_checked"]) == (True, False)
    assert amis.mutations() == []


def test_the_last_copy_goes_by_force_only(run: Runner, cloud: Cloud) -> None:
    cloud.objects[f"{WEB}.bin"] = Thing()
    refused = run(image_id=WEB, bucket=BUCKET, state="absent")
    assert (refused.failed, refused["changed"]) == (True, False)
    assert "this is the last copy" in refused["msg"]
    forced = run(image_id=WEB, bucket=BUCKET, state="absent", force=True)
    assert (forced.failed, forced["changed"]) == (False, True)


def test_a_versioned_bucket_answers_with_its_marker(run: Runner, cloud: Cloud) -> None:
    cloud.versioning = "Enabled"
    cloud.objects[f"{WEB}.bin"] = Thing()
    image = run(image_id=WEB, bucket=BUCKET, state="absent").image
    assert (image["version_id"], image["delete_marker"]) == ("marker-1", True)


def test_a_deletion_checks_the_bucket_first(run: Runner, cloud: Cloud) -> None:
    cloud.bucket_region = "us-east-1"
    result = run(image_id=WEB, bucket=BUCKET, state="absent")
    assert (result.failed, result["changed"]) == (True, False)
    assert "is in Region us-east-1" in result["msg"]
    assert cloud.mutations() == []


def test_a_versioning_that_may_not_be_read_is_warned_about(run: Runner, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.objects[f"{WEB}.bin"] = Thing()
    cloud.denials["GetBucketVersioning"] = forbidden()
    result = run(image_id=WEB, bucket=BUCKET, state="absent")
    assert (result.failed, result["changed"]) == (False, True)
    assert "s3:GetBucketVersioning was refused" in result.warnings[0]


def test_a_deletion_that_may_not_see_the_tasks_stops(run: Runner, cloud: Cloud) -> None:
    cloud.objects[f"{WEB}.bin"] = Thing()
    cloud.denials["DescribeStoreImageTasks"] = forbidden()
    result = run(image_id=WEB, bucket=BUCKET, state="absent", force=True)
    assert result.failed
    assert "Stopped: Failed to list the store tasks: AccessDenied" in result["msg"]
    assert cloud.mutations() == []
