# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is there: store tasks and stored images, narrowed down to what the user asks for."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.amistore.aws.plugins.module_utils import _manifest, _store_tasks
from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, error_code
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    clean_bucket,
    clean_bucket_owner,
    clean_image_ids,
    clean_prefix,
    given,
    image_id_of,
    manifest_key,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import (
    Bucket,
    StoredObject,
)


@dataclass(frozen=True)
class Selection:
    """What the user asks for; all of it is combined here, since AWS ignores filters beside ids."""

    image_ids: tuple[str, ...] = ()
    task_state: str | None = None
    bucket: str | None = None
    prefix: str = ""
    expected_bucket_owner: str | None = None

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Selection:
        """Return the selection of a task.

        :raises InputError: names the value that is wrong.
        """
        return cls(
            image_ids=tuple(clean_image_ids(params["image_ids"] or ())),
            task_state=params["task_state"],
            bucket=clean_bucket(params["bucket"]) if given(params["bucket"]) else None,
            prefix=clean_prefix(params["prefix"]),
            expected_bucket_owner=clean_bucket_owner(params["expected_bucket_owner"]),
        )

    def takes_key(self, object_key: str) -> bool:
        return object_key.startswith(f"{self.prefix}/") if self.prefix else True

    def takes_image(self, image_id: str) -> bool:
        return not self.image_ids or image_id in self.image_ids

    def takes_task(self, task: _store_tasks.StoreTask) -> bool:
        return (
            self.takes_image(task.image_id)
            and self.task_state in (None, task.state)
            and self.bucket in (None, task.bucket)
            and self.takes_key(task.object_key)
        )


def select_tasks(ec2: t.Any, selection: Selection) -> list[dict[str, t.Any]]:
    """Return the store tasks that fit, newest first."""
    if selection.image_ids and not (selection.bucket or selection.task_state):
        tasks: t.Iterable[_store_tasks.StoreTask] = _store_tasks.newest_tasks(
            ec2, selection.image_ids
        ).values()
    else:
        states = [selection.task_state] if selection.task_state else []
        tasks = _store_tasks.list_tasks(ec2, states, selection.bucket)
    fitting = filter(selection.takes_task, tasks)
    return [
        {
            "image_id": task.image_id,
            "bucket": task.bucket,
            "object_key": task.object_key,
            "state": task.state,
            "progress_percentage": task.progress_percentage,
            "failure_reason": task.failure_reason or None,
            "task_start_time": task.start_time.isoformat(),
        }
        for task in sorted(fitting, key=lambda task: task.start_time, reverse=True)
    ]


def catalogue(
    bucket: Bucket,
    selection: Selection,
    include: t.Collection[str],
    warn: t.Callable[[str], None],
) -> list[dict[str, t.Any]]:
    """Return the stored images that fit, in key order, from the listing and what `include` adds."""
    start = f"{selection.prefix}/" if selection.prefix else ""
    images = []
    for stored in bucket.list(start, with_restore_status=True):
        image_id = image_id_of(stored.key)
        if image_id and selection.takes_image(image_id):
            images.append(_describe(bucket, stored, image_id, include, warn))
    return images


def _describe(
    bucket: Bucket,
    stored: StoredObject,
    image_id: str,
    include: t.Collection[str],
    warn: t.Callable[[str], None],
) -> dict[str, t.Any]:
    extra: dict[str, t.Any] = {}
    # What was deleted since it was listed is told as the listing told it.
    if "tags" in include:
        extra["tags"] = _tags(bucket, stored.key)
    if "encryption" in include:
        stored = bucket.head(stored.key) or stored
        extra["encryption"] = dict(stored.encryption)
    if "manifest" in include:
        extra["manifest"] = _manifest_document(bucket, stored.key, warn)
    return {
        "object_key": stored.key,
        "image_id": image_id,
        "size": stored.size,
        "last_modified": stored.last_modified.isoformat() if stored.last_modified else None,
        "storage_class": stored.storage_class,
        "restorable": stored.restorable,
        **extra,
    }


def _tags(bucket: Bucket, object_key: str) -> dict[str, str]:
    try:
        return bucket.tags(object_key)
    except AmiStoreError as error:
        if error_code(error) != "NoSuchKey":
            raise
        return {}


def _manifest_document(
    bucket: Bucket, object_key: str, warn: t.Callable[[str], None]
) -> dict[str, t.Any] | None:
    key = manifest_key(object_key)
    content = bucket.read(key)
    if content is None:
        return None
    try:
        return dict(_manifest.parse(content, bucket.url(key)).document)
    except _manifest.ManifestError as error:
        warn(f"{error.message}.")
        return None
