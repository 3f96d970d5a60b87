# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What AWS remembers of store tasks, asked for in as few questions as it takes.

One page holds what most accounts have. Where it does not, only what is needed is asked for, since a
month of nightly fleets leaves tens of thousands of records.
"""

from __future__ import annotations

import typing as t

from ansible_collections.amistore.aws.plugins.module_utils import _store_tasks
from ansible_collections.amistore.aws.plugins.module_utils._store_tasks import (
    FAILED,
    IN_PROGRESS,
    MAX_IDS_PER_CALL,
    PacedClient,
    StoreTask,
)


class TaskRecords:
    """The store tasks of an account, seen by one that stores into `bucket`."""

    def __init__(self, client: PacedClient, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._few_failed = self._few_in_bucket = True
        self._failed: list[StoreTask] = []

    def in_progress(self) -> list[StoreTask]:
        """Return all tasks in progress, newest first; see failed ones beside them in the same page
        as long as there are few.
        """
        self._failed = []
        if self._few_failed:
            tasks = _store_tasks.few_tasks(self._client, [FAILED, IN_PROGRESS])
            if tasks is not None:
                self._failed = [task for task in tasks if task.state == FAILED]
                return [task for task in tasks if task.state == IN_PROGRESS]
            self._few_failed = False
        return _store_tasks.list_tasks(self._client, [IN_PROGRESS])

    def seen_failed(self) -> list[StoreTask]:
        """Return the failed tasks that the last question about those in progress showed."""
        return self._failed

    @property
    def shows_failed(self) -> bool:
        """Whether the questions about the tasks in progress show the failed ones as well."""
        return self._few_failed

    def failed(self) -> list[StoreTask]:
        """Return the failed tasks into the bucket, newest first."""
        return _store_tasks.list_tasks(self._client, [FAILED], self._bucket)

    def newest(self, image_ids: t.Sequence[str]) -> dict[str, StoreTask]:
        """Return the newest task of each of these AMIs that has one, in whatever bucket."""
        return _store_tasks.newest_tasks(self._client, image_ids)

    def last_of(self, image_ids: t.Sequence[str]) -> tuple[t.Collection[str], dict[str, StoreTask]]:
        """Return about which of these AMIs one question told, the first among them, and the newest
        task of each that has one; where one page tells about all, only tasks into the bucket.
        """
        if self._few_in_bucket and len(image_ids) > MAX_IDS_PER_CALL:
            tasks = _store_tasks.few_tasks(self._client, bucket=self._bucket)
            if tasks is not None:
                return image_ids, {task.image_id: task for task in reversed(tasks)}
            self._few_in_bucket = False
        asked = image_ids[:MAX_IDS_PER_CALL]
        return asked, self.newest(asked)
