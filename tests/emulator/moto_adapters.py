# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the model needs of S3 and EC2, on moto's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import choices, objects
from .blob import believable_size, pack
from .model import StoreTask, Work
from .store_images import Payload

if TYPE_CHECKING:
    from .world import World


class MotoStorage:
    """What the model's store tasks need, on moto's S3 and EC2."""

    def __init__(self, world: World) -> None:
        self._world = world

    def holds(self, bucket: str, image_id: str) -> bool:
        markers_count = self._world.scenario.delete_marker_blocks_store
        return any(objects.copies_of(bucket, image_id, markers_count))

    def obstacle(self, task: StoreTask) -> str | None:
        """A snapshot that was deleted, or a right that was withdrawn, during the task."""
        if task.payload is None:
            return None
        payload: Payload = task.payload
        place = payload.snapshots_of
        backend = self._world.backend(place.account, place.region)
        gone = next((s for s in payload.snapshot_ids if s not in backend.snapshots), None)
        if gone:
            return choices.REASON_SNAPSHOT_GONE.format(snapshot_id=gone)
        forward = self._world.forward
        missing = forward.for_reading_snapshots(payload.caller, backend, payload.snapshot_ids)
        return choices.REASON_RIGHT_MISSING.format(action=missing) if missing else None

    def write(self, task: StoreTask) -> str | None:
        if task.payload is None:
            return None
        bucket = objects.find_bucket(task.bucket)
        if bucket is None:
            return choices.REASON_BUCKET_GONE
        scenario = self._world.scenario
        believable = scenario.object_size == "believable"
        least = scenario.object_size if isinstance(scenario.object_size, int) else 0
        objects.write_stored_image(
            bucket,
            task.key,
            pack(task.payload.image, least),
            believable_size(task.gib) if believable else None,
            task.payload.tags,
            dict(scenario.service_metadata),
            task.ends,
        )
        return None


class MotoLanding:
    """What the model's restores need, on moto's EC2."""

    def __init__(self, world: World) -> None:
        self._world = world

    def finish(self, restore: Work) -> None:
        place = restore.place
        self._world.backend(place.account, place.region).finish_restore(restore)
