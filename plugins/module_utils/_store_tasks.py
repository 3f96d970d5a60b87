# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store-task operations of EC2: CreateStoreImageTask and DescribeStoreImageTasks."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
)

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    NO_ANSWER,
    AmiStoreError,
    Reply,
    call_aws,
    error_code,
    send_create,
)
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Clock, TokenBucket

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeStoreImageTasks.html
MAX_IDS_PER_CALL = 20
PAGE_SIZE = 200

# As often as botocore sends a request whose answer gets lost.
ATTEMPTS = 5

IN_PROGRESS = "InProgress"
FAILED = "Failed"
COMPLETED = "Completed"
TASK_STATES = (IN_PROGRESS, COMPLETED, FAILED)


@dataclass(frozen=True)
class StoreTask:
    """One store task as AWS records it; identified by AMI, bucket and start time."""

    image_id: str
    bucket: str
    object_key: str
    state: str
    start_time: datetime
    progress_percentage: int | None = None
    failure_reason: str = ""

    @classmethod
    def from_aws(cls, item: t.Mapping[str, t.Any]) -> StoreTask:
        # Whether a path is shown in Bucket or in S3objectKey is not documented: read both as one
        # location.
        location = f"{item.get('Bucket', '')}/{item.get('S3objectKey') or ''}"
        bucket, _slash, key = location.partition("/")
        return cls(
            image_id=item["AmiId"],
            bucket=bucket,
            object_key=key,
            state=item.get("StoreTaskState", ""),
            start_time=item["TaskStartTime"],
            progress_percentage=item.get("ProgressPercentage"),
            failure_reason=item.get("StoreTaskFailureReason") or "",
        )


@dataclass(frozen=True)
class PacedClient:
    """Asks for store tasks within the rate that AWS allows; every page and every attempt counts.

    :param client: one that does not retry by itself.
    """

    client: t.Any
    rate: TokenBucket
    clock: Clock

    def describe_store_image_tasks(self, **params: t.Any) -> dict[str, t.Any]:
        for attempt in range(1, ATTEMPTS):
            try:
                return self._send(params)
            except NO_ANSWER:
                self.clock.sleep(2.0**attempt)
        return self._send(params)

    def _send(self, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        delay = self.rate.delay(self.clock.now())
        if delay > 0.0:
            self.clock.sleep(delay)
        try:
            return t.cast("dict[str, t.Any]", self.client.describe_store_image_tasks(**params))
        finally:
            self.rate.spend(self.clock.now())


def start_store_task(
    client: t.Any,
    image_id: str,
    bucket: str,
    prefix: str,
    tags: t.Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> Reply:
    """Send CreateStoreImageTask once; the reply's text is the object key that AWS chose.

    :param client: one that does not retry by itself.
    """
    params: dict[str, t.Any] = {
        "ImageId": image_id,
        "Bucket": f"{bucket}/{prefix}" if prefix else bucket,
    }
    if tags:
        params["S3ObjectTags"] = ansible_dict_to_boto3_tag_list(tags)
    if dry_run:
        params["DryRun"] = True
    return send_create(client.create_store_image_task, "ObjectKey", **params)


def list_tasks(
    client: t.Any, states: t.Collection[str] = (), bucket: str | None = None
) -> list[StoreTask]:
    """Return the tasks of the last 31 days, newest first, through all pages, the empty ones too."""
    tasks: list[StoreTask] = []
    params = _selection(states, bucket)
    while True:
        page = call_aws("list the store tasks", client.describe_store_image_tasks, **params)
        tasks.extend(map(StoreTask.from_aws, page.get("StoreImageTaskResults", [])))
        if not page.get("NextToken"):
            return tasks
        params["NextToken"] = page["NextToken"]


def few_tasks(
    client: t.Any, states: t.Collection[str] = (), bucket: str | None = None
) -> list[StoreTask] | None:
    """Return what `list_tasks` does where one page holds it all, None where more pages follow."""
    params = _selection(states, bucket)
    page = call_aws("list the store tasks", client.describe_store_image_tasks, **params)
    if page.get("NextToken"):
        return None
    return [StoreTask.from_aws(item) for item in page.get("StoreImageTaskResults", [])]


def _selection(states: t.Collection[str], bucket: str | None) -> dict[str, t.Any]:
    filters = [{"Name": "task-state", "Values": sorted(states)}] if states else []
    if bucket:
        filters.append({"Name": "bucket", "Values": [bucket]})
    return {"Filters": filters, "MaxResults": PAGE_SIZE}


def newest_tasks(client: t.Any, image_ids: t.Sequence[str]) -> dict[str, StoreTask]:
    """Return the newest task of each AMI that has one, in whatever bucket.

    AWS ignores filters when ids are given and shows one task per AMI: https://github.com/aws/aws-
    sdk/issues/601
    """
    newest: dict[str, StoreTask] = {}
    for start in range(0, len(image_ids), MAX_IDS_PER_CALL):
        for task in _describe_ids(client, image_ids[start : start + MAX_IDS_PER_CALL]):
            known = newest.get(task.image_id)
            if known is None or task.start_time > known.start_time:
                newest[task.image_id] = task
    return newest


def _describe_ids(client: t.Any, image_ids: t.Sequence[str]) -> list[StoreTask]:
    """Ask for the tasks of at most 20 AMIs; an id that EC2 no longer knows does not cost the
    others their answer.
    """
    try:
        page = call_aws(
            "list the store tasks of the AMIs",
            client.describe_store_image_tasks,
            ImageIds=list(image_ids),
        )
    except AmiStoreError as error:
        if error_code(error) not in ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"):
            raise
        if len(image_ids) == 1:
            return []
        half = len(image_ids) // 2
        return _describe_ids(client, image_ids[:half]) + _describe_ids(client, image_ids[half:])
    return [StoreTask.from_aws(item) for item in page.get("StoreImageTaskResults", [])]
