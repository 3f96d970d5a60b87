# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tags by which a later run knows what an earlier one did to AMIs and their snapshots.

Copies carry the tags of what they were made from, so each names the very resource that it is on.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import datetime, timezone

from ansible_collections.amistore.aws.plugins.module_utils._archive_decide import Step
from ansible_collections.amistore.aws.plugins.module_utils._images import Image, Snapshot

# On AMIs.
SERVICE = "amistore:archive"
UNPROTECTED_UNTIL = "amistore:cooldown-until"
# On snapshots.
OF_IMAGE = "amistore:archived-image"
SELF = "amistore:archived-snapshot"
STORED_IN = "amistore:archived-in"
ETAG = "amistore:archived-etag"
GONE_SINCE = "amistore:deregistered-at"

_REMEMBERED = (Step.DEPRECATE, Step.DISABLE)


def service_tag(image: Image, steps: t.Iterable[Step]) -> dict[str, str]:
    """Return the tag that tells what the archive does to an AMI, with what it did before."""
    done = {*steps_of(image), *steps}
    words = [step.value for step in _REMEMBERED if step in done]
    return {SERVICE: " ".join([image.image_id, *words])}


def steps_of(image: Image) -> frozenset[Step]:
    """Return what the archive did to this very AMI."""
    image_id, *words = image.tags.get(SERVICE, "").split() or [""]
    if image_id != image.image_id:
        return frozenset()
    return frozenset(step for step in _REMEMBERED if step.value in words)


@dataclass(frozen=True)
class Mark:
    """What a snapshot's tags say: which AMI it belonged to, and where that AMI is stored."""

    image_id: str
    bucket: str
    key: str
    etag: str

    def tags(self, snapshot_id: str) -> dict[str, str]:
        return {
            OF_IMAGE: self.image_id,
            SELF: snapshot_id,
            STORED_IN: f"{self.bucket}/{self.key}",
            ETAG: self.etag,
        }

    def is_on(self, snapshot: Snapshot | None) -> bool:
        """Tell whether a snapshot carries this very mark, and no date from an earlier time."""
        if snapshot is None or snapshot.tags.get(GONE_SINCE):
            return False
        return self.tags(snapshot.snapshot_id).items() <= snapshot.tags.items()

    def tags_for(self, snapshot: Snapshot | None, snapshot_id: str) -> dict[str, str]:
        """Return what to tag a snapshot with.

        An AMI that came back out of the Recycle Bin has snapshots with a date; were it left, a run
        that dies before it writes the new one would let them go at once.
        """
        dated = snapshot is not None and GONE_SINCE in snapshot.tags
        return {**self.tags(snapshot_id), **({GONE_SINCE: ""} if dated else {})}


def is_own(snapshot: Snapshot) -> bool:
    """Tell whether the mark was made on this snapshot, not on one that it was copied from."""
    return snapshot.tags.get(SELF) == snapshot.snapshot_id


def not_archived(image_id: str) -> dict[str, str]:
    """Return the tag of an AMI that is back in service."""
    return {SERVICE: image_id}


def write_time(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_time(text: str) -> datetime | None:
    """Return the time in a tag, None for anything that was not written by `write_time`."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
