# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CreateStoreImageTask, DescribeStoreImageTasks and CreateRestoreImageTask on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses._base_response import EC2BaseResponse

from . import choices
from .aws_errors import answers_refusals
from .clock import to_datetime
from .ec2_targets import existing, new
from .image_responses import specified_tags
from .limits import (
    MAX_OBJECT_TAG_KEY,
    MAX_OBJECT_TAG_VALUE,
    MAX_OBJECT_TAGS,
    MAX_TASK_IMAGE_IDS,
    MAX_TASK_RESULTS,
)
from .model import Refused, TaskRecord


class StoreImageResponse(EC2BaseResponse):
    """The three operations on the wire."""

    @answers_refusals
    def create_store_image_task(self) -> ActionResult:
        backend = self.ec2_backend
        image_id = self._required("ImageId")
        # An id that is no AMI is refused even to somebody without any right.
        image = backend.image(image_id)
        backend.world.authorize("ec2:CreateStoreImageTask", existing(backend, image_id))
        self.error_on_dryrun()
        image = backend.storable_image(image.id)
        tags = _object_tags(self._get_param("S3ObjectTags", []))
        key = backend.create_store_image_task(image, self._required("Bucket"), tags)
        return ActionResult({"ObjectKey": key})

    @answers_refusals
    def describe_store_image_tasks(self) -> ActionResult:
        self.error_on_dryrun()
        backend = self.ec2_backend
        image_ids = self._get_param("ImageIds", [])
        shown = backend.describe_store_image_tasks(
            image_ids,
            self._filters_from_querystring(),
            self._page_size(image_ids),
            self._get_param("NextToken"),
        )
        results = [_task_result(record) for record in shown.items]
        return ActionResult({"StoreImageTaskResults": results, "NextToken": shown.token})

    def _page_size(self, image_ids: Sequence[str]) -> int:
        size = self._get_param("MaxResults")
        self.ec2_backend.require_well_formed(image_ids)
        if len(image_ids) > MAX_TASK_IMAGE_IDS:
            raise Refused(
                "InvalidParameterValue", f"At most {MAX_TASK_IMAGE_IDS} image ids can be specified."
            )
        if size is None:
            return choices.TASK_PAGE
        if image_ids:
            raise Refused(
                "InvalidParameterCombination",
                "The parameters MaxResults and ImageIds cannot be used together.",
            )
        if not 1 <= int(size) <= MAX_TASK_RESULTS:
            raise Refused(
                "InvalidParameterValue",
                f"Value ( {size} ) for parameter maxResults is invalid. "
                f"Expecting a value between 1 and {MAX_TASK_RESULTS}.",
            )
        return int(size)

    @answers_refusals
    def create_restore_image_task(self) -> ActionResult:
        backend = self.ec2_backend
        bucket, key = self._required("Bucket"), self._required("ObjectKey")
        name = self._get_param("Name")
        given = self._get_param("TagSpecifications", [])
        tags = specified_tags(given, ["image", "snapshot"])
        image = new(backend, "image", tags.get("image", {}))
        backend.world.authorize("ec2:CreateRestoreImageTask", image)
        for kind, own in tags.items():
            target = new(backend, kind, own, "CreateRestoreImageTask")
            backend.world.authorize("ec2:CreateTags", target)
        self.error_on_dryrun()
        image_id = backend.create_restore_image_task(
            bucket, key, name, tags.get("image", {}), tags.get("snapshot", {})
        )
        return ActionResult({"ImageId": image_id})

    def _required(self, name: str) -> str:
        value = self._get_param(name)
        if not value:
            raise Refused("MissingParameter", f"The request must contain the parameter {name}")
        return str(value)


def _object_tags(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """S3 object tags as a dict. Raises Refused for what S3 would not take."""
    for tag in tags:
        key, value = tag["Key"], tag.get("Value") or ""
        bad_key = key.lower().startswith("aws:") or not 1 <= len(key) <= MAX_OBJECT_TAG_KEY
        if bad_key or len(value) > MAX_OBJECT_TAG_VALUE:
            raise Refused("InvalidParameterValue", f"The S3 object tag is not valid: {key}")
    if len(tags) > MAX_OBJECT_TAGS:
        raise Refused("InvalidParameterValue", "An S3 object can have at most 10 tags.")
    return {tag["Key"]: tag.get("Value") or "" for tag in tags}


def _task_result(record: TaskRecord) -> dict[str, Any]:
    return {
        "AmiId": record.image_id,
        "TaskStartTime": to_datetime(record.started),
        "Bucket": record.bucket,
        "S3objectKey": record.key,
        "ProgressPercentage": record.percent,
        "StoreTaskState": record.state,
        "StoreTaskFailureReason": record.reason,
    }
