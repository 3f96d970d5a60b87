# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DescribeStoreImageTasks on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from .conftest import Lab, Refusals


def planted(lab: Lab, count: int, **values: Any) -> list[str]:
    """Completed tasks of AMIs that nobody knows, newest first in the returned ids."""
    ids = [f"ami-{number:08x}" for number in range(count)]
    lab.emulator.plant_tasks(
        *(
            {
                "image_id": image_id,
                "bucket": "vault",
                "state": "Completed",
                "age": 1000 + position,
                **values,
            }
            for position, image_id in enumerate(ids)
        )
    )
    return ids


def listed(lab: Lab, **values: Any) -> list[str]:
    paginator = lab.ec2.get_paginator("describe_store_image_tasks")
    pages = paginator.paginate(**values)
    return [task["AmiId"] for page in pages for task in page["StoreImageTaskResults"]]


def test_every_field_of_a_record(lab: Lab) -> None:
    image_id = lab.image()
    lab.emulator.advance(3600)
    lab.store(image_id, "vault/dr")
    task = lab.tasks()[0]
    started = task.pop("TaskStartTime")
    assert isinstance(started, datetime)
    assert abs(started.timestamp() - lab.emulator.now()) < 5
    assert task == {
        "AmiId": image_id,
        "Bucket": "vault",
        "S3objectKey": f"dr/{image_id}.bin",
        "ProgressPercentage": 0,
        "StoreTaskState": "InProgress",
        "StoreTaskFailureReason": "",
    }


def test_all_pages_newest_first(lab: Lab) -> None:
    ids = planted(lab, 250)
    assert listed(lab) == ids
    assert lab.emulator.requests()["DescribeStoreImageTasks"] == 2


def test_max_results_cuts_pages(lab: Lab) -> None:
    ids = planted(lab, 5)
    first = lab.ec2.describe_store_image_tasks(MaxResults=3)
    assert [task["AmiId"] for task in first["StoreImageTaskResults"]] == ids[:3]
    rest = lab.ec2.describe_store_image_tasks(MaxResults=3, NextToken=first["NextToken"])
    assert [task["AmiId"] for task in rest["StoreImageTaskResults"]] == ids[3:]
    assert "NextToken" not in rest


def test_empty_pages_and_late_filters_lose_nothing(lab: Lab) -> None:
    ids = planted(lab, 7)
    lab.emulator.plant_tasks({"image_id": "ami-ffffffff", "bucket": "other", "age": 5000})
    lab.emulator.scenario(page_size=2, empty_pages=2, filter_after_paging=True)
    by_state = [{"Name": "task-state", "Values": ["InProgress"]}]
    assert listed(lab, Filters=by_state) == ["ami-ffffffff"]
    assert lab.emulator.requests()["DescribeStoreImageTasks"] == 6
    assert listed(lab) == [*ids, "ami-ffffffff"]


def test_filters_by_state_and_bucket(lab: Lab) -> None:
    planted(lab, 2)
    lab.emulator.plant_tasks(
        {"image_id": "ami-aaaaaaaa", "bucket": "vault", "state": "Failed", "reason": "bad luck"},
        {"image_id": "ami-bbbbbbbb", "bucket": "other", "state": "InProgress", "percent": 40},
    )
    failed = lab.tasks(Filters=[{"Name": "task-state", "Values": ["Failed"]}])
    assert [task["StoreTaskFailureReason"] for task in failed] == ["bad luck"]
    other = lab.tasks(Filters=[{"Name": "bucket", "Values": ["other"]}])
    assert [(task["AmiId"], task["ProgressPercentage"]) for task in other] == [("ami-bbbbbbbb", 40)]


def test_ids_give_the_newest_task_only_and_ignore_filters(lab: Lab) -> None:
    lab.emulator.plant_tasks(
        {"image_id": "ami-aaaaaaaa", "bucket": "vault", "state": "Failed", "age": 100},
        {"image_id": "ami-aaaaaaaa", "bucket": "other", "state": "Completed", "age": 50},
    )
    nothing = [{"Name": "bucket", "Values": ["nowhere"]}]
    tasks = lab.tasks(ImageIds=["ami-aaaaaaaa"], Filters=nothing)
    assert [task["Bucket"] for task in tasks] == ["other"]


def test_tasks_older_than_31_days_are_gone(lab: Lab) -> None:
    planted(lab, 1, age=31 * 86400 + 1)
    assert lab.tasks() == []


@pytest.mark.parametrize("is_error", [False, True])
def test_unknown_id(lab: Lab, refusal: Refusals, is_error: bool) -> None:
    lab.emulator.scenario(unknown_task_image_is_error=is_error)
    if not is_error:
        assert lab.tasks(ImageIds=["ami-0123456789abcdef0"]) == []
        return
    with refusal:
        lab.tasks(ImageIds=["ami-0123456789abcdef0"])
    assert refusal.code == "InvalidAMIID.NotFound"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"ImageIds": ["web"]}, "InvalidAMIID.Malformed"),
        ({"ImageIds": [f"ami-{n:08x}" for n in range(21)]}, "InvalidParameterValue"),
        ({"ImageIds": ["ami-aaaaaaaa"], "MaxResults": 5}, "InvalidParameterCombination"),
        ({"MaxResults": 201}, "InvalidParameterValue"),
        ({"NextToken": "made-up"}, "InvalidPaginationToken"),
        ({"Filters": [{"Name": "state", "Values": ["Failed"]}]}, "InvalidParameterValue"),
    ],
)
def test_impossible_questions(
    lab: Lab, refusal: Refusals, values: dict[str, Any], code: str
) -> None:
    planted(lab, 1)
    with refusal:
        lab.tasks(**values)
    assert refusal.code == code


def test_listing_lag_and_hidden_tasks(lab: Lab) -> None:
    slow, hidden = lab.image(name="slow"), lab.image(name="hidden")
    lab.emulator.scenario(listing_lag=20, hidden_tasks=[hidden])
    lab.store(slow)
    lab.store(hidden)
    assert lab.tasks() == []
    assert lab.tasks(ImageIds=[slow]) == []
    lab.emulator.advance(20)
    assert [task["AmiId"] for task in lab.tasks()] == [slow]
    lab.emulator.advance(1000)
    assert lab.s3.list_objects_v2(Bucket="vault")["KeyCount"] == 2


def test_tasks_belong_to_an_account_and_a_region(lab: Lab) -> None:
    lab.emulator.scenario(accounts={"EMULATEDACCESSKEY002": "222222222222"})
    planted(lab, 1)
    planted(lab, 2, account="222222222222")
    planted(lab, 3, region="eu-west-1")
    other = lab.client("ec2", key="EMULATEDACCESSKEY002")
    away = lab.client("ec2", region="eu-west-1")
    counts = [
        len(client.describe_store_image_tasks()["StoreImageTaskResults"])
        for client in (lab.ec2, other, away)
    ]
    assert counts == [1, 2, 3]


def test_planted_task_with_an_end_writes_its_object(lab: Lab, refusal: Refusals) -> None:
    image_id = lab.image()
    lab.emulator.plant_buckets({"name": "other"})
    lab.emulator.plant_tasks({"image_id": image_id, "bucket": "other", "age": 50, "seconds": 100})
    with refusal:
        lab.store(image_id)
    assert "already in progress" in refusal.message
    lab.emulator.advance(50)
    assert lab.s3.list_objects_v2(Bucket="other")["KeyCount"] == 1
    assert lab.store(image_id) == f"{image_id}.bin"


def test_stock_waiter_understands_the_answers(lab: Lab) -> None:
    image_id = lab.image()
    lab.stored(image_id)
    lab.ec2.get_waiter("store_image_task_complete").wait(ImageIds=[image_id])
