# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An account's AMIs and snapshots in a Region: finding, adding, removing.

moto 5.2.5 answers a list of AMI ids as long as one of them is known, sees no other account's
AMIs, and lets snapshots of registered AMIs be deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from moto.ec2.utils import random_ami_id

from . import filters
from .image_records import Attributes, Disk, EmulatedAmi, EmulatedSnapshot
from .limits import MAX_NAME_LENGTH, MIN_NAME_LENGTH
from .model import Refused

if TYPE_CHECKING:
    from .world import World

_IMAGE_ID = re.compile(r"ami-[0-9a-f]{8,17}")


@dataclass(frozen=True)
class ImageQuery:
    """Which AMIs DescribeImages is asked for."""

    image_ids: Sequence[str] = ()
    owners: Sequence[str] = ()
    executable_users: Sequence[str] = ()
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    include_disabled: bool = False
    include_deprecated: bool = False


@dataclass(frozen=True)
class Deregistered:
    """An AMI that is gone, and since when."""

    image: EmulatedAmi
    moment: float


class MachineImageBackend:
    """Takes precedence over moto's AMI and snapshot backends."""

    world: ClassVar[World]
    account_id: str
    region_name: str
    amis: dict[str, Any]
    snapshots: dict[str, Any]
    tags: dict[str, dict[str, str]]

    def __init__(self) -> None:
        self.deregistered: dict[str, Deregistered] = {}

    def add_image(
        self,
        name: str,
        description: str,
        attributes: Attributes,
        disks: Sequence[Disk],
        tags: Mapping[str, str] | None = None,
        image_id: str | None = None,
        **values: Any,
    ) -> EmulatedAmi:
        """Put an AMI on record. Raises Refused when its name is taken."""
        self.require_free_name(name)
        image = EmulatedAmi(
            self,
            image_id or random_ami_id(),
            name,
            description,
            attributes,
            disks,
            created=self.world.now(),
            **values,
        )
        self.amis[image.id] = image
        self.tags[image.id].update(tags or {})
        return image

    def add_snapshot(
        self,
        size: int,
        description: str,
        tags: Mapping[str, str] | None = None,
        encrypted: bool = False,
        kms_key_id: str | None = None,
        full_size: int | None = None,
    ) -> EmulatedSnapshot:
        """Put a completed snapshot on record, with the default key when none is given."""
        if encrypted and kms_key_id is None:
            kms_key_id = self.ebs_key()
        snapshot = EmulatedSnapshot(
            self, size, description, self.world.now(), encrypted, kms_key_id, full_size
        )
        self.snapshots[snapshot.id] = snapshot
        self.tags[snapshot.id].update(tags or {})
        return snapshot

    def ebs_key(self) -> str:
        """The ARN of the account's default key for EBS in this Region."""
        backend: Any = self
        return backend.default_kms_key_id or backend._create_default_encryption_key()

    def require_free_name(self, name: str) -> None:
        """Raises Refused for a name that is malformed or belongs to another AMI."""
        if not MIN_NAME_LENGTH <= len(name) <= MAX_NAME_LENGTH:
            raise Refused(
                "InvalidAMIName.Malformed",
                "AMI names must be between 3 and 128 characters long, and may contain letters, "
                "numbers, '(', ')', '.', '-', '/' and '_'",
            )
        now, lag = self.world.now(), self.world.scenario.name_lag
        holders = list(self.amis.values())
        holders += [d.image for d in self.deregistered.values() if now < d.moment + lag]
        holder = next((image for image in holders if image.name == name), None)
        if holder is not None:
            raise Refused(
                "InvalidAMIName.Duplicate",
                f"AMI name {name} is already in use by AMI {holder.id}",
            )

    def require_well_formed(self, image_ids: Iterable[str]) -> None:
        for image_id in image_ids:
            if not _IMAGE_ID.fullmatch(image_id):
                raise Refused(
                    "InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")'
                )

    def image(self, image_id: str) -> EmulatedAmi:
        """One AMI that this account may see. Raises Refused as DescribeImages does."""
        return self.find_images(ImageQuery(image_ids=[image_id], include_disabled=True))[0]

    def find_images(self, query: ImageQuery) -> list[EmulatedAmi]:
        """The AMIs that a query asks for. One unknown id refuses the whole call."""
        self.require_well_formed(query.image_ids)
        fits = filters.matching(query.filters, self._image_values)
        visible = {image.id: image for image in self._visible_images()}
        self._require_known(query.image_ids, visible)
        images = [visible[i] for i in dict.fromkeys(query.image_ids)] or list(visible.values())
        if not query.include_disabled:
            images = [image for image in images if image.state != "disabled"]
        if not query.include_deprecated and not query.image_ids:
            images = [image for image in images if self._lists(image)]
        if query.owners:
            images = [image for image in images if self._owned_by(image, query.owners)]
        if query.executable_users:
            images = [i for i in images if self._executable_by(i, query.executable_users)]
        return [image for image in images if fits(image)]

    def _visible_images(self) -> list[EmulatedAmi]:
        now = self.world.now()
        shown = self.world.scenario.deregistered_visible
        own = list(self.amis.values())
        own += [d.image for d in self.deregistered.values() if now < d.moment + shown]
        others = self.world.images_shared_with(self.account_id, self.region_name)
        return [image for image in (*own, *others) if image.visible_from <= now]

    def _require_known(self, image_ids: Sequence[str], visible: Mapping[str, Any]) -> None:
        unknown = [i for i in image_ids if i not in visible and i not in self.deregistered]
        if unknown:
            listed = ", ".join(unknown)
            plural = len(unknown) > 1
            raise Refused(
                "InvalidAMIID.NotFound",
                f"The image id{'s' * plural} '[{listed}]' do{'es' * (not plural)} not exist",
            )
        gone = [i for i in image_ids if i not in visible]
        if gone:
            raise Refused(
                "InvalidAMIID.Unavailable",
                f"The image ID '{gone[0]}' is no longer available",
            )

    def _lists(self, image: EmulatedAmi) -> bool:
        """Deprecated AMIs are listed to their owner only."""
        own = image.owner_id == self.account_id
        return own or not image.deprecated_at(self.world.now())

    def _owned_by(self, image: EmulatedAmi, owners: Sequence[str]) -> bool:
        return image.owner_id in [self.account_id if o == "self" else o for o in owners]

    def _executable_by(self, image: EmulatedAmi, users: Sequence[str]) -> bool:
        named = [self.account_id if user == "self" else user for user in users]
        if "all" in named and image.is_public:
            return True
        return any(image.shared_with(user) for user in named)

    def _image_values(self, image: EmulatedAmi, name: str) -> Iterable[Any] | None:
        shown = image.describe()
        if name in _PLAIN_IMAGE_FILTERS:
            return [shown[_PLAIN_IMAGE_FILTERS[name]]]
        if name.startswith("block-device-mapping."):
            return _mapping_values(shown["BlockDeviceMappings"], name.split(".", 1)[1])
        reason = image.state_reason
        if name == "state-reason-code":
            return [reason and reason.code]
        if name == "state-reason-message":
            return [reason and reason.message]
        if name == "owner-alias":
            return []
        return tag_values(self.image_tags(image), name)

    def image_tags(self, image: EmulatedAmi) -> dict[str, str]:
        """The tags that this account put on an AMI: nobody sees another account's tags."""
        return dict(self.tags.get(image.id, {}))

    def describe_images(
        self,
        ami_ids: list[str] | None = None,
        filters: dict[str, Any] | None = None,
        exec_users: list[str] | None = None,
        owners: list[str] | None = None,
    ) -> list[Any]:
        """The form in which moto's other parts ask for AMIs."""
        return self.find_images(
            ImageQuery(ami_ids or (), owners or (), exec_users or (), filters or {}, True, True)
        )

    def own_image(self, image_id: str) -> EmulatedAmi:
        """An AMI that this account owns. Raises Refused for any other."""
        image = self.image(image_id)
        if image.owner_id != self.account_id:
            raise Refused("AuthFailure", f"Not authorized for image:{image_id}")
        if image_id not in self.amis:
            raise Refused(
                "InvalidAMIID.Unavailable", f"The image ID '{image_id}' is no longer available"
            )
        return image

    def remove_image(self, ami_id: str) -> EmulatedAmi:
        """Deregister an AMI; its snapshots stay."""
        image = self.own_image(ami_id)
        del self.amis[ami_id]
        image.state = "deregistered"
        self.deregistered[ami_id] = Deregistered(image, self.world.now())
        return image

    def delete_snapshots_of(self, image: EmulatedAmi) -> list[tuple[str, str]]:
        """Delete what no other AMI uses; the return code of each as DeregisterImage gives it."""
        results = []
        for snapshot_id in image.snapshot_ids:
            used = self.users_of(snapshot_id) or snapshot_id not in self.snapshots
            results.append((snapshot_id, "skipped" if used else "success"))
            if not used:
                del self.snapshots[snapshot_id]
        return results

    def users_of(self, snapshot_id: str) -> list[str]:
        """The registered AMIs that need a snapshot."""
        return [i.id for i in self.amis.values() if snapshot_id in i.snapshot_ids]

    def delete_snapshot(self, snapshot_id: str) -> Any:
        self.require_snapshots([snapshot_id])
        users = self.users_of(snapshot_id)
        if users:
            raise Refused(
                "InvalidSnapshot.InUse",
                f"The snapshot {snapshot_id} is currently in use by {users[0]}",
            )
        return self.snapshots.pop(snapshot_id)

    def require_snapshots(self, snapshot_ids: Iterable[str]) -> None:
        for snapshot_id in snapshot_ids:
            if not snapshot_id.startswith("snap-"):
                raise Refused(
                    "InvalidParameterValue",
                    f"Value ({snapshot_id}) for parameter snapshotId is "
                    "invalid. Expected: 'snap-...'.",
                )
            if snapshot_id not in self.snapshots:
                raise Refused(
                    "InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist."
                )

    def find_snapshots(
        self, snapshot_ids: Sequence[str], snapshot_filters: Mapping[str, Sequence[str]]
    ) -> list[Any]:
        """The account's snapshots. One unknown id refuses the whole call."""
        self.require_snapshots(snapshot_ids)
        snapshots = [self.snapshots[i] for i in dict.fromkeys(snapshot_ids)]
        snapshots = snapshots or list(self.snapshots.values())
        fits = filters.matching(snapshot_filters, self._snapshot_values)
        return [snapshot for snapshot in snapshots if fits(snapshot)]

    def _snapshot_values(self, snapshot: Any, name: str) -> Iterable[Any] | None:
        if name in _SNAPSHOT_FILTERS:
            return [getattr(snapshot, _SNAPSHOT_FILTERS[name])]
        return tag_values(dict(self.tags.get(snapshot.id, {})), name)

    def disable_image(self, ami_id: str) -> None:
        image = self.own_image(ami_id)
        image.state = "disabled"
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/disable-an-ami.html
        image.launch_permissions = []

    def enable_image(self, ami_id: str) -> None:
        self.own_image(ami_id).state = "available"

    def create_image(
        self,
        instance_id: str,
        name: str,
        description: str,
        tag_specifications: list[dict[str, Any]],
    ) -> Any:
        backend: Any = self
        instance = backend.get_instance(instance_id)
        tags = {s["ResourceType"]: _tag_dict(s["Tags"]) for s in tag_specifications}
        disks = []
        for device, block in instance.block_device_mapping.items():
            volume = backend.get_volume(block.volume_id)
            note = f"Created by CreateImage({instance_id})"
            snapshot = self.add_snapshot(volume.size, note, tags.get("snapshot"), volume.encrypted)
            disks.append(Disk(device, snapshot.id, volume.size, volume.volume_type))
        attributes = Attributes(
            architecture=instance.architecture,
            root_device_name=instance.root_device_name,
            platform=instance.platform,
        )
        return self.add_image(
            name,
            description,
            attributes,
            disks,
            tags.get("image"),
            source_instance_id=instance_id,
            source_image_id=instance.image_id,
            source_image_region=self.region_name,
        )

    def copy_disks(self, source: EmulatedAmi, encrypted: bool, key: str | None) -> list[Disk]:
        """New snapshots for a copy of an AMI, encrypted if the old ones are or if asked for."""
        origin = self.world.backend_of(source)
        disks = []
        for disk in source.disks:
            if disk.snapshot_id is None:
                disks.append(disk)
                continue
            old = origin.snapshots[disk.snapshot_id]
            note = f"Copied for DestinationAmi from SourceAmi {source.id}"
            secret = encrypted or old.encrypted
            new = self.add_snapshot(old.volume_size, note, None, secret, key if secret else None)
            disks.append(replace(disk, snapshot_id=new.id))
        return disks


_PLAIN_IMAGE_FILTERS = {
    "architecture": "Architecture",
    "boot-mode": "BootMode",
    "creation-date": "CreationDate",
    "description": "Description",
    "ena-support": "EnaSupport",
    "hypervisor": "Hypervisor",
    "image-id": "ImageId",
    "image-type": "ImageType",
    "is-public": "Public",
    "name": "Name",
    "owner-id": "OwnerId",
    "platform": "Platform",
    "root-device-name": "RootDeviceName",
    "root-device-type": "RootDeviceType",
    "source-image-id": "SourceImageId",
    "source-image-region": "SourceImageRegion",
    "source-instance-id": "SourceInstanceId",
    "state": "State",
    "virtualization-type": "VirtualizationType",
}
_MAPPING_FILTERS = {
    "delete-on-termination": "DeleteOnTermination",
    "encrypted": "Encrypted",
    "snapshot-id": "SnapshotId",
    "volume-size": "VolumeSize",
    "volume-type": "VolumeType",
}
_SNAPSHOT_FILTERS = {
    "description": "description",
    "encrypted": "encrypted",
    "owner-id": "owner_id",
    "progress": "progress",
    "snapshot-id": "id",
    "start-time": "start_time",
    "status": "status",
    "storage-tier": "storage_tier",
    "volume-id": "volume_id",
    "volume-size": "volume_size",
}


def _mapping_values(mappings: Iterable[dict[str, Any]], name: str) -> list[Any] | None:
    if name == "device-name":
        return [mapping["DeviceName"] for mapping in mappings]
    if name not in _MAPPING_FILTERS:
        return None
    return [mapping.get("Ebs", {}).get(_MAPPING_FILTERS[name]) for mapping in mappings]


def tag_values(tags: Mapping[str, str], name: str) -> list[str | None] | None:
    """The values for the tag filters; None for any other filter name."""
    if name.startswith("tag:"):
        return [tags.get(name.removeprefix("tag:"))]
    return list(tags) if name == "tag-key" else None


def _tag_dict(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in tags}
