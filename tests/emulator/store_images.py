# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The three operations that moto lacks, for one account and Region of its EC2.

A backend mixin in moto's own way of dividing the work; its answers are in
`store_image_responses`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from moto.ec2.utils import random_ami_id

from . import choices, objects
from .blob import NotAStoredImage, StoredDisk, StoredImage, unpack
from .callers import Caller
from .filters import matching
from .image_backend import MachineImageBackend
from .image_records import Attributes, Disk, EmulatedAmi, StateReason
from .limits import MAX_STORABLE_GIB
from .model import Place, Refused, TaskRecord, Work
from .paging import Cut, Page, page
from .scenario import Alteration, Failure

_TASK_FILTERS = {"task-state": "state", "bucket": "bucket"}


@dataclass(frozen=True)
class Payload:
    """What a store task will write, taken when it started."""

    image: StoredImage
    tags: dict[str, str]
    snapshot_ids: tuple[str, ...]
    snapshots_of: Place
    caller: Caller
    """In whose name AWS reads the snapshots."""


class StoreImageBackend(MachineImageBackend):
    """The three operations for one account and Region."""

    @property
    def place(self) -> Place:
        return Place(self.account_id, self.region_name)

    def storable_image(self, image_id: str) -> EmulatedAmi:
        """The AMI to be stored. Raises Refused for what the limitations page excludes."""
        image = self.image(image_id)
        about = {"image_id": image_id, "root_device_type": image.attributes.root_device_type}
        if image.owner_id != self.account_id and not image.shared_with(self.account_id):
            raise Refused.by(choices.IMAGE_NOT_SHARED, **about)
        if image.state != "available":
            raise Refused.by(choices.IMAGE_NOT_READY, image_id=image_id, state=image.state)
        if image.attributes.root_device_type != "ebs":
            raise Refused.by(choices.IMAGE_NOT_EBS, **about)
        if image.virtualization_type == "paravirtual":
            raise Refused.by(choices.IMAGE_PARAVIRTUAL, **about)
        if image.gib > MAX_STORABLE_GIB:
            raise Refused.by(choices.IMAGE_TOO_BIG, **about)
        return image

    def create_store_image_task(
        self, image: EmulatedAmi, bucket_and_path: str, tags: dict[str, str]
    ) -> str:
        """Start to store; the key of the object that will appear. Raises Refused."""
        bucket, _slash, path = bucket_and_path.partition("/")
        key = "/".join(part for part in (*path.split("/"), f"{image.id}.bin") if part)
        self._require_bucket(bucket)
        closed = self.world.missing_for_store(bucket, key, tagged=bool(tags))
        if closed and not self.world.scenario.late_access_errors:
            raise Refused.by(choices.BUCKET_CLOSED, action=closed)
        self._require(self.world.forward.for_reading_tags(self.world.caller, self.region_name))
        payload = self.payload(image, tags)
        task = self.world.stores.start(self.place, image.id, bucket, key, image.gib, payload)
        if closed:
            task.break_off(self.world.now(), choices.REASON_BUCKET_CLOSED)
        return key

    def _require(self, missing: str | None) -> None:
        """Raises Refused for a right that EC2 would need in the caller's name."""
        if missing:
            raise Refused.by(choices.RIGHT_MISSING, action=missing)

    def _require_bucket(self, name: str) -> None:
        """Raises Refused for a bucket that is missing or in another Region."""
        if not name or ":" in name:
            raise Refused.by(choices.BUCKET_NAME_BAD, bucket=name)
        bucket = objects.find_bucket(name)
        if bucket is None:
            raise Refused.by(choices.BUCKET_MISSING, bucket=name)
        if bucket.region_name != self.region_name:
            raise Refused.by(choices.BUCKET_ELSEWHERE, bucket=name, region=bucket.region_name)

    def payload(self, image: EmulatedAmi, tags: dict[str, str]) -> Payload:
        """What a store task of this AMI will write."""
        origin = self.world.backend_of(image)
        visible = origin.account_id == self.account_id
        return Payload(
            image=StoredImage(
                image_id=image.id,
                region=self.region_name,
                owner=image.owner_id,
                registered=image.created,
                stored=self.world.now(),
                name=image.name,
                description=image.description,
                attributes=asdict(image.attributes),
                tags=self.image_tags(image),
                disks=tuple(_stored_disk(disk, origin, visible) for disk in image.disks),
            ),
            tags={**self.world.scenario.service_object_tags, **tags},
            snapshot_ids=tuple(image.snapshot_ids),
            snapshots_of=origin.place,
            caller=self.world.caller,
        )

    def describe_store_image_tasks(
        self,
        image_ids: Sequence[str],
        task_filters: Mapping[str, Sequence[str]],
        size: int,
        token: str | None,
    ) -> Page[TaskRecord]:
        """The records that DescribeStoreImageTasks shows. Raises Refused."""
        scenario = self.world.scenario
        if image_ids:
            if scenario.unknown_task_image_is_error:
                for image_id in image_ids:
                    self.image(image_id)
            return Page(self.world.stores.newest_records(self.place, image_ids), None)
        fits = matching(task_filters, _task_values)
        cut = Cut(
            min(size, scenario.page_size or size),
            scenario.empty_pages,
            scenario.filter_after_paging,
        )
        return page(self.world.stores.records(self.place), fits, token, cut)

    def create_restore_image_task(
        self,
        bucket: str,
        key: str,
        name: str | None,
        tags: dict[str, str],
        snapshot_tags: dict[str, str],
    ) -> str:
        """Start to restore; the id of the new AMI. Raises Refused."""
        self._require_bucket(bucket)
        closed = self.world.missing_for_restore(bucket, key)
        if closed:
            raise Refused.by(choices.BUCKET_CLOSED, action=closed)
        stored = self._altered(_stored_image(bucket, key), key)
        name = stored.name if name is None else name
        self.require_free_name(name)
        self._require(self.world.forward.for_reading_tags(self.world.caller, self.region_name))
        self._require(
            self.world.forward.for_new_snapshots(self.world.caller, self, self._default_key())
        )
        self.world.restores.admit_new(self.place, stored.gib)
        return self._land(stored, bucket, key, name, tags, snapshot_tags)

    def _altered(self, stored: StoredImage, key: str) -> StoredImage:
        """What comes back of it, which the scenario may want to differ."""
        planned = self.world.scenario.restore_alterations
        names = (key, stored.image_id, "*")
        return alter(stored, next((planned[name] for name in names if name in planned), None))

    def _default_key(self) -> str | None:
        """The key that new snapshots are encrypted with; None while that is off."""
        backend: Any = self
        return self.ebs_key() if backend.get_ebs_encryption_by_default() else None

    def _land(
        self,
        stored: StoredImage,
        bucket: str,
        key: str,
        name: str,
        tags: dict[str, str],
        snapshot_tags: dict[str, str],
    ) -> str:
        """Put the pending AMI and its pending snapshots on record."""
        image_id = random_ami_id()
        scenario = self.world.scenario
        restore = self.world.restores.start(
            self.place, image_id, bucket, key, stored.gib, stored.image_id, self.world.caller
        )
        image = self.add_image(
            name,
            stored.description,
            Attributes(**stored.attributes),
            [self._landing_disk(d, restore, image_id, snapshot_tags) for d in stored.disks],
            _merged(stored.tags, tags, scenario.blob_tags_win),
            image_id=image_id,
            state="pending",
            source_image_id=stored.image_id,
            source_image_region=stored.region,
        )
        image.visible_from = self.world.now() + scenario.image_lag
        return image.id

    def _landing_disk(
        self, disk: StoredDisk, restore: Work, image_id: str, tags: dict[str, str]
    ) -> Disk:
        values = asdict(disk)
        stored_tags, _description = values.pop("tags"), values.pop("description")
        if disk.size is None:
            return Disk(**values)
        # EBS direct APIs decide alone on encryption: by default, with the default key, or not.
        # https://docs.aws.amazon.com/ebs/latest/userguide/ebsapis-using-encryption.html
        backend: Any = self
        snapshot = self.add_snapshot(
            disk.size,
            f"Restored for {image_id} from {restore.bucket}/{restore.key}",
            _merged(stored_tags, tags, self.world.scenario.blob_tags_win),
            encrypted=backend.get_ebs_encryption_by_default(),
        )
        snapshot.status = "pending"
        world = self.world
        snapshot.percent = lambda: restore.percent(world.now())
        return Disk(snapshot_id=snapshot.id, **values)

    def finish_restore(self, restore: Work) -> None:
        """Make the AMI available, or failed with its reason."""
        image = self.amis.get(restore.image_id)
        if image is None:
            return
        self._see_rights(restore, image)
        failure = restore.failure
        image.state = "failed" if failure else "available"
        if failure and failure.reason:
            image.state_reason = StateReason(choices.RESTORE_FAILED_CODE, failure.reason)
        for snapshot_id in image.snapshot_ids:
            snapshot = self.snapshots.get(snapshot_id)
            if snapshot is not None:
                # Snapshots have no state "failed".
                snapshot.status = "error" if failure else "completed"
                snapshot.state_message = failure.reason or None if failure else None

    def _see_rights(self, restore: Work, image: EmulatedAmi) -> None:
        """Let a restore fail whose caller may not fill the snapshots."""
        caller: Caller = restore.payload
        missing = self.world.forward.for_filling_snapshots(caller, self, image.snapshot_ids)
        if missing and restore.failure is None:
            restore.failure = Failure(choices.REASON_RIGHT_MISSING.format(action=missing))


def alter(stored: StoredImage, alteration: Alteration | None) -> StoredImage:
    """A stored AMI with other attributes, sizes and tags."""
    if alteration is None:
        return stored
    changed = {name: value for name, value in asdict(alteration).items() if value is not None}
    sizes, lost = changed.pop("sizes"), changed.pop("lost_tags")
    return replace(
        stored,
        attributes={**stored.attributes, **changed},
        tags={key: value for key, value in stored.tags.items() if key not in lost},
        disks=tuple(replace(disk, size=sizes.get(disk.device, disk.size)) for disk in stored.disks),
    )


def _merged(stored: dict[str, str], given: dict[str, str], stored_win: bool) -> dict[str, str]:
    return {**given, **stored} if stored_win else {**stored, **given}


def _stored_disk(disk: Disk, origin: StoreImageBackend, tags_visible: bool) -> StoredDisk:
    snapshot = origin.snapshots.get(disk.snapshot_id) if disk.snapshot_id else None
    values = asdict(disk)
    del values["snapshot_id"]
    if snapshot is None:
        return StoredDisk(**{**values, "size": None})
    tags = dict(origin.tags.get(snapshot.id, {})) if tags_visible else {}
    return StoredDisk(**values, description=snapshot.description, tags=tags)


def _stored_image(bucket: str, key: str) -> StoredImage:
    item = objects.find_object(bucket, key)
    if item is None:
        raise Refused.by(choices.OBJECT_MISSING, key=key)
    if objects.archived(item):
        raise Refused.by(choices.OBJECT_ARCHIVED, key=key)
    try:
        return unpack(item.value)
    except NotAStoredImage as error:
        raise Refused.by(choices.OBJECT_UNREADABLE, key=key) from error


def _task_values(record: TaskRecord, name: str) -> list[str] | None:
    return [getattr(record, _TASK_FILTERS[name])] if name in _TASK_FILTERS else None
