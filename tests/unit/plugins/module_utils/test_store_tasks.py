# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store-task operations, checked against the service model of the installed botocore."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from ansible_collections.amistore.aws.plugins.module_utils import _store_tasks
from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, Answer
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Rate, TokenBucket
from ansible_collections.amistore.aws.plugins.module_utils._store_tasks import (
    PacedClient,
    StoreTask,
)
from tests.unit.cloud import BUCKET, NOON, Cloud, Refusal, forbidden
from tests.unit.plugins.module_utils.virtual_clock import VirtualClock

WEB, DB = "ami-0abcdef1", "ami-0abcdef2"


def ids(count: int) -> list[str]:
    return [f"ami-{number:08x}" for number in range(count)]


# Records


def test_a_task_is_read_whole() -> None:
    task = StoreTask.from_aws(
        {
            "AmiId": WEB,
            "Bucket": "mine",
            "S3objectKey": "dr/ami-0abcdef1.bin",
            "StoreTaskState": "Failed",
            "TaskStartTime": NOON,
            "ProgressPercentage": 42,
            "StoreTaskFailureReason": "snapshot deleted",
        }
    )
    assert task == StoreTask(
        WEB, "mine", "dr/ami-0abcdef1.bin", "Failed", NOON, 42, "snapshot deleted"
    )


@pytest.mark.parametrize("reason", [{}, {"StoreTaskFailureReason": ""}])
def test_no_reason_is_empty_text(reason: dict[str, str]) -> None:
    task = StoreTask.from_aws({"AmiId": WEB, "TaskStartTime": NOON, **reason})
    assert (task.failure_reason, task.progress_percentage, task.state) == ("", None, "")


@pytest.mark.parametrize(
    ("bucket", "key"),
    [("mine", "dr/web/ami-0abcdef1.bin"), ("mine/dr/web", "ami-0abcdef1.bin")],
)
def test_a_path_is_the_keys_wherever_aws_shows_it(bucket: str, key: str) -> None:
    task = StoreTask.from_aws(
        {"AmiId": WEB, "TaskStartTime": NOON, "Bucket": bucket, "S3objectKey": key}
    )
    assert (task.bucket, task.object_key) == ("mine", "dr/web/ami-0abcdef1.bin")


# CreateStoreImageTask


def test_a_start_without_prefix_and_tags(ec2: Any, cloud: Cloud) -> None:
    reply = _store_tasks.start_store_task(ec2, WEB, BUCKET, "")
    assert (reply.answer, reply.text) == (Answer.ACCEPTED, f"{WEB}.bin")
    assert cloud.params("CreateStoreImageTask") == [{"ImageId": WEB, "Bucket": BUCKET}]


def test_a_start_with_prefix_and_tags(ec2: Any, cloud: Cloud) -> None:
    reply = _store_tasks.start_store_task(ec2, WEB, BUCKET, "dr/web", {"week": "7"})
    assert reply.text == f"dr/web/{WEB}.bin"
    assert cloud.params("CreateStoreImageTask") == [
        {
            "ImageId": WEB,
            "Bucket": f"{BUCKET}/dr/web",
            "S3ObjectTags": [{"Key": "week", "Value": "7"}],
        }
    ]


def test_a_dry_run_starts_nothing(ec2: Any, cloud: Cloud) -> None:
    reply = _store_tasks.start_store_task(ec2, WEB, BUCKET, "", {}, dry_run=True)
    assert reply.answer is Answer.WOULD_SUCCEED
    assert cloud.tasks == []
    assert cloud.params("CreateStoreImageTask")[0]["DryRun"] is True


# DescribeStoreImageTasks


def test_a_listing_follows_the_pages_to_the_end_through_empty_ones(ec2: Any, cloud: Cloud) -> None:
    cloud.page_size = 1
    for number, image_id in enumerate(ids(3)):
        cloud.add_task(image_id, minutes=number)
    real, empty = cloud.usual("DescribeStoreImageTasks"), [True]

    def with_an_empty_page(params: dict[str, Any]) -> dict[str, Any]:
        if params.get("NextToken") == "1" and empty:
            empty.pop()
            return {"StoreImageTaskResults": [], "NextToken": "1"}
        return real(params)

    cloud.replies["DescribeStoreImageTasks"] = with_an_empty_page
    assert [task.image_id for task in _store_tasks.list_tasks(ec2)] == ids(3)[::-1]
    assert len(cloud.calls) == 4


def test_more_tasks_than_one_page_are_all_read(ec2: Any, cloud: Cloud) -> None:
    for number, image_id in enumerate(ids(450)):
        cloud.add_task(image_id, minutes=number)
    assert len(_store_tasks.list_tasks(ec2, ["InProgress"])) == 450
    assert [call["MaxResults"] for call in cloud.params("DescribeStoreImageTasks")] == [200] * 3


def test_a_listing_is_filtered_by_aws(ec2: Any, cloud: Cloud) -> None:
    cloud.add_task(WEB, "Failed")
    cloud.add_task(WEB, "Failed", bucket="other", minutes=1)
    cloud.add_task(DB, "InProgress", minutes=2)
    found = _store_tasks.list_tasks(ec2, {"Failed", "Completed"}, BUCKET)
    assert [(task.image_id, task.bucket) for task in found] == [(WEB, BUCKET)]
    assert cloud.params("DescribeStoreImageTasks")[0]["Filters"] == [
        {"Name": "task-state", "Values": ["Completed", "Failed"]},
        {"Name": "bucket", "Values": [BUCKET]},
    ]


def test_nothing_listed_is_an_empty_list(ec2: Any, cloud: Cloud) -> None:
    assert _store_tasks.list_tasks(ec2, ["InProgress"]) == []


def test_the_newest_task_of_each_ami_is_asked_for_in_twenties(ec2: Any, cloud: Cloud) -> None:
    for number, image_id in enumerate(ids(45)):
        cloud.add_task(image_id, "Failed", minutes=number)
        cloud.add_task(image_id, "Completed", minutes=number + 100)
    newest = _store_tasks.newest_tasks(ec2, ids(45))
    assert list(newest) == ids(45)
    assert {task.state for task in newest.values()} == {"Completed"}
    assert [len(call["ImageIds"]) for call in cloud.params("DescribeStoreImageTasks")] == [
        20,
        20,
        5,
    ]


def test_the_newest_counts_in_whatever_order_aws_answers(ec2: Any, cloud: Cloud) -> None:
    """Should AWS ever show more than one task per AMI, the newest is taken."""
    for minutes in (1, 2, 0):
        cloud.add_task(WEB, minutes=minutes)
    tasks = [cloud.tasks[1], cloud.tasks[0], cloud.tasks[2]]
    answer = {"StoreImageTaskResults": tasks}
    cloud.replies["DescribeStoreImageTasks"] = lambda _params: answer
    assert _store_tasks.newest_tasks(ec2, [WEB])[WEB].start_time == NOON + timedelta(minutes=2)


def test_no_ids_are_no_question(ec2: Any, cloud: Cloud) -> None:
    assert _store_tasks.newest_tasks(ec2, []) == {}
    assert cloud.calls == []


@pytest.mark.parametrize("code", ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"])
def test_an_id_that_ec2_has_forgotten_costs_the_others_nothing(
    code: str, ec2: Any, cloud: Cloud
) -> None:
    for image_id in ids(7):
        cloud.add_task(image_id)
    gone = ids(7)[4]
    real = cloud.usual("DescribeStoreImageTasks")

    def strict(params: dict[str, Any]) -> dict[str, Any]:
        if gone in params["ImageIds"]:
            raise Refusal(code)
        return real(params)

    cloud.replies["DescribeStoreImageTasks"] = strict
    assert sorted(_store_tasks.newest_tasks(ec2, ids(7))) == [i for i in ids(7) if i != gone]


def test_any_other_refusal_is_an_error(ec2: Any, cloud: Cloud) -> None:
    cloud.denials["DescribeStoreImageTasks"] = forbidden()
    with pytest.raises(AmiStoreError, match="Failed to list the store tasks of the AMIs"):
        _store_tasks.newest_tasks(ec2, [WEB])
    with pytest.raises(AmiStoreError, match="Failed to list the store tasks"):
        _store_tasks.list_tasks(ec2)


# Paced


class Once:
    """A client that sends each request once, and loses the connection as often as it is told."""

    def __init__(self, clock: VirtualClock, pages: int = 1, losses: int = 0) -> None:
        self.clock, self.pages, self.losses = clock, pages, losses
        self.moments: list[float] = []

    def describe_store_image_tasks(self, **params: Any) -> dict[str, Any]:
        self.moments.append(self.clock.now())
        if len(self.moments) <= self.losses:
            raise ConnectionClosedError(endpoint_url="https://ec2")
        last = len(self.moments) == self.pages + self.losses
        return {"StoreImageTaskResults": []} | ({} if last else {"NextToken": "more"})


def paced(client: Once) -> PacedClient:
    return PacedClient(client, TokenBucket(Rate(burst=2, seconds_per_request=2.0)), client.clock)


def test_every_page_counts_for_the_request_rate() -> None:
    client = Once(VirtualClock(), pages=5)
    _store_tasks.list_tasks(paced(client))
    assert client.moments == [0.0, 0.0, 2.0, 4.0, 6.0]


def test_a_lost_question_is_asked_again_and_counts_as_well() -> None:
    client = Once(VirtualClock(), losses=4)
    assert _store_tasks.list_tasks(paced(client)) == []
    assert client.moments == [0.0, 2.0, 6.0, 14.0, 30.0]


def test_a_question_that_is_lost_five_times_is_an_error() -> None:
    client = Once(VirtualClock(), losses=5)
    with pytest.raises(AmiStoreError):
        _store_tasks.list_tasks(paced(client))
    assert len(client.moments) == 5
