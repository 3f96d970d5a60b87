# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delete stored images and what lies beside them, but never the last copy of an AMI by accident."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.amistore.aws.plugins.module_utils import _images, _store_tasks
from ansible_collections.amistore.aws.plugins.module_utils._aws import error_text
from ansible_collections.amistore.aws.plugins.module_utils._fleet import Phase
from ansible_collections.amistore.aws.plugins.module_utils._inputs import image_key, manifest_key
from ansible_collections.amistore.aws.plugins.module_utils._store import StoreEntry
from ansible_collections.amistore.aws.plugins.module_utils._store_tasks import (
    IN_PROGRESS,
    StoreTask,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_files import ours_beside
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket


@dataclass
class AbsentEntry(StoreEntry):
    """One stored image to be deleted."""

    manifest_there: bool = False

    @property
    def state(self) -> str:
        return "Absent" if self.phase is Phase.DONE or self.deletion else super().state


@dataclass(frozen=True)
class Holding:
    """What an AMI still has, where its stored image is about to go."""

    stored: bool
    in_progress: bool
    """A store task into this very key runs."""
    keeps_versions: bool | None
    """Whether the bucket keeps deleted versions; None where the caller may not know."""
    image_exists: bool


def why_not_delete(holding: Holding, force: bool) -> str:
    """Return why the stored image must stay, "" where it may go; the top row that fits counts.

    | task into the key | object    | versioned     | AMI exists | force | decision                |
    |-------------------|-----------|---------------|------------|-------|-------------------------|
    | InProgress        | any       | any           | any        | any   | error: AWS can't cancel |
    | none              | not there | any           | any        | any   | delete the manifest     |
    | none              | there     | yes           | any        | any   | delete (marker)         |
    | none              | there     | no or unknown | yes        | any   | delete                  |
    | none              | there     | no or unknown | no         | yes   | delete                  |
    | none              | there     | no or unknown | no         | no    | error: the last copy    |
    """
    if holding.in_progress:
        return (
            "a store task into this key is in progress, and AWS cannot cancel it. Run the task"
            " again when it has ended"
        )
    if not holding.stored or holding.keeps_versions or holding.image_exists or force:
        return ""
    versioning = (
        "is not versioned"
        if holding.keeps_versions is False
        else "may not be versioned (s3:GetBucketVersioning was refused)"
    )
    return (
        "this is the last copy: the AMI is gone, or not visible to this account, and the bucket"
        f" {versioning}. Set force: true to delete it all the same"
    )


@dataclass
class Removal:
    """Deletes the stored images of one task."""

    ec2: t.Any
    bucket: Bucket
    force: bool = False
    check_mode: bool = False
    warnings: list[str] = field(default_factory=list)
    _tasks: dict[tuple[str, str], StoreTask] = field(default_factory=dict)
    """Every store task in progress, by bucket and key."""

    def entries(self, image_ids: t.Iterable[str], prefix: str) -> list[AbsentEntry]:
        return [
            AbsentEntry(label=image_id, image_id=image_id, key=image_key(prefix, image_id))
            for image_id in image_ids
        ]

    def run(self, entries: t.Sequence[AbsentEntry]) -> None:
        """Delete what may be deleted; what may not fails its own entry only."""
        if not entries:
            return
        tasks = _store_tasks.list_tasks(self.ec2, [IN_PROGRESS])
        self._tasks = {(task.bucket, task.object_key): task for task in tasks}
        images = _images.images_by_id(self.ec2, [entry.image_id for entry in entries])
        keeps_versions = self.bucket.keeps_versions()
        if keeps_versions is None:
            self.warnings.append(
                "s3:GetBucketVersioning was refused, so whether what is deleted can be brought back"
                f" is unknown; {self.bucket.url()} is taken for a bucket that is not versioned."
            )
        for entry in entries:
            entry.image = images.get(entry.image_id)
            try:
                self._remove(entry, keeps_versions)
            except AnsibleAWSError as error:
                entry.fail(error_text(error))

    def _remove(self, entry: AbsentEntry, keeps_versions: bool | None) -> None:
        entry.task = self._tasks.get((self.bucket.name, entry.key))
        entry.stored = self.bucket.head(entry.key)
        entry.manifest_there = self.bucket.head(manifest_key(entry.key)) is not None
        problem = why_not_delete(
            Holding(
                stored=entry.stored is not None,
                in_progress=entry.task is not None,
                keeps_versions=keeps_versions,
                image_exists=entry.image is not None
                and entry.image.state in ("available", "disabled"),
            ),
            self.force,
        )
        if problem:
            entry.manifest_key = manifest_key(entry.key) if entry.manifest_there else None
            entry.fail(problem)
            return
        self._delete(entry)
        entry.phase = Phase.DONE

    def _delete(self, entry: AbsentEntry) -> None:
        """Delete the image first: what lies beside it harms nobody without it, and the next run
        removes it.
        """
        missing = () if entry.manifest_there else (manifest_key(entry.key),)
        beside = ours_beside(self.bucket, entry.key, missing, self.warnings.append)
        if entry.stored is not None:
            with entry.changing():
                if not self.check_mode:
                    entry.deletion = self.bucket.delete(entry.key)
            entry.stored = None
        for companion in beside:
            with entry.changing():
                if not self.check_mode:
                    self.bucket.delete(companion.key)
