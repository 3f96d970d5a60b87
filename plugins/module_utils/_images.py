# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The AMIs of EC2: describe them and their snapshots, restore, tag, take a failed restore away."""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timezone

from ansible_collections.amazon.aws.plugins.module_utils.ec2 import (
    describe_image_attribute,
    describe_images,
    modify_image_attribute,
)
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    Reply,
    call_aws,
    error_code,
    send_create,
)

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Filter.html: values in one filter.
MAX_FILTER_VALUES = 200

PENDING_STATES = ("pending", "transient")
FAILED_STATES = ("failed", "error", "invalid")
UEFI_BOOT_MODES = ("uefi", "uefi-preferred")
# What EC2 answers about an AMI of somebody else, and about one that has gone meanwhile.
NOT_THEIRS = ("AuthFailure", "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable")


@dataclass(frozen=True)
class Disk:
    """An EBS volume of an AMI; size in GiB."""

    device_name: str
    size: int
    snapshot_id: str | None
    encrypted: bool | None


@dataclass(frozen=True)
class Image:
    """An AMI as DescribeImages shows it."""

    image_id: str
    name: str
    owner_id: str
    state: str
    state_reason: str
    root_device_type: str
    virtualization_type: str
    tags: t.Mapping[str, str]
    disks: tuple[Disk, ...]
    raw: t.Mapping[str, t.Any] = field(repr=False, compare=False)

    @classmethod
    def from_aws(cls, item: t.Mapping[str, t.Any]) -> Image:
        mappings = [mapping for mapping in item.get("BlockDeviceMappings", []) if "Ebs" in mapping]
        reason = item.get("StateReason") or {}
        return cls(
            image_id=item["ImageId"],
            name=item.get("Name", ""),
            owner_id=item.get("OwnerId", ""),
            state=item.get("State", ""),
            state_reason=": ".join(filter(None, (reason.get("Code"), reason.get("Message")))),
            root_device_type=item.get("RootDeviceType", ""),
            virtualization_type=item.get("VirtualizationType", ""),
            tags=boto3_tag_list_to_ansible_dict(item.get("Tags", [])),
            disks=tuple(
                Disk(
                    device_name=mapping.get("DeviceName", ""),
                    size=mapping["Ebs"].get("VolumeSize", 0),
                    snapshot_id=mapping["Ebs"].get("SnapshotId"),
                    encrypted=mapping["Ebs"].get("Encrypted"),
                )
                for mapping in mappings
            ),
            raw=item,
        )

    @property
    def created(self) -> datetime | None:
        """When the AMI was registered, which a restore does first; None where AWS does not say."""
        text = str(self.raw.get("CreationDate") or "")
        try:
            return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
        except ValueError:
            return None

    @property
    def size(self) -> int:
        """The volumes' size in GiB, an upper bound of the snapshots' data."""
        return sum(disk.size for disk in self.disks)

    @property
    def snapshot_ids(self) -> list[str]:
        return [disk.snapshot_id for disk in self.disks if disk.snapshot_id]

    @property
    def boots_by_uefi(self) -> bool:
        return self.raw.get("BootMode") in UEFI_BOOT_MODES

    @property
    def encrypted(self) -> bool | None:
        """Whether every disk is encrypted; None where AWS does not say."""
        known = [disk.encrypted for disk in self.disks if disk.encrypted is not None]
        return all(known) if known else None


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of an AMI; size in GiB, progress in percent."""

    snapshot_id: str
    size: int
    progress: int
    encrypted: bool | None
    tags: t.Mapping[str, str]
    raw: t.Mapping[str, t.Any] = field(repr=False, compare=False)

    @classmethod
    def from_aws(cls, item: t.Mapping[str, t.Any]) -> Snapshot:
        progress = str(item.get("Progress") or "0").rstrip("%")
        return cls(
            snapshot_id=item["SnapshotId"],
            size=item.get("VolumeSize", 0),
            progress=int(progress) if progress.isdigit() else 0,
            encrypted=item.get("Encrypted"),
            tags=boto3_tag_list_to_ansible_dict(item.get("Tags", [])),
            raw=item,
        )


def images_by_id(client: t.Any, image_ids: t.Sequence[str]) -> dict[str, Image]:
    """Return the AMIs that exist; an unknown id does not fail the call, because it is asked for
    by filter.
    """
    return {image.image_id: image for image in _describe_by(client, "image-id", image_ids)}


def own_images_by_id(client: t.Any, image_ids: t.Sequence[str]) -> dict[str, Image]:
    """Return this account's AMIs that exist, not those that others share with it."""
    images = _describe_by(client, "image-id", image_ids, Owners=["self"])
    return {image.image_id: image for image in images}


def own_images_by_name(client: t.Any, names: t.Sequence[str]) -> dict[str, list[Image]]:
    """Return this account's AMIs of each name, those that are deregistered left out.

    A filter value may hold wildcards, so the names are compared again.
    """
    found: dict[str, list[Image]] = {name: [] for name in names}
    for image in _describe_by(client, "name", names, Owners=["self"]):
        if image.name in found and image.state != "deregistered":
            found[image.name].append(image)
    return found


def own_pending_images(client: t.Any) -> list[Image]:
    """Return this account's AMIs that are being made now."""
    return _describe_by(client, "state", ["pending"], Owners=["self"])


def _describe_by(
    client: t.Any, filter_name: str, values: t.Sequence[str], **params: t.Any
) -> list[Image]:
    images: list[Image] = []
    for start in range(0, len(values), MAX_FILTER_VALUES):
        chunk = list(values[start : start + MAX_FILTER_VALUES])
        filters = [{"Name": filter_name, "Values": chunk}]
        # A disabled AMI still exists and still holds its name.
        images += map(
            Image.from_aws, describe_images(client, Filters=filters, IncludeDisabled=True, **params)
        )
    return images


def snapshots_by_id(client: t.Any, snapshot_ids: t.Sequence[str]) -> dict[str, Snapshot]:
    """Return the snapshots that exist and that this account may see."""
    found: dict[str, Snapshot] = {}
    for start in range(0, len(snapshot_ids), MAX_FILTER_VALUES):
        chunk = list(snapshot_ids[start : start + MAX_FILTER_VALUES])
        paginator = client.get_paginator("describe_snapshots")
        pages = paginator.paginate(Filters=[{"Name": "snapshot-id", "Values": chunk}])
        for item in call_aws("describe the snapshots", pages.build_full_result)["Snapshots"]:
            found[item["SnapshotId"]] = Snapshot.from_aws(item)
    return found


def launch_permissions(client: t.Any, image_id: str) -> list[dict[str, str]] | None:
    """Return who else may launch the AMI, None to those who do not own it.

    :raises AnsibleAWSError: also when the caller lacks the right to ask.
    """
    answer = _attribute(client, image_id, "launchPermission")
    # amazon.aws answers {} for an AMI that has gone meanwhile.
    return t.cast("list[dict[str, str]] | None", answer.get("LaunchPermissions"))


def uefi_digest(client: t.Any, image_id: str) -> str | None:
    """Return the SHA-256 of an AMI's UEFI variable store as AWS gives it, "" where it has none,
    None to those who do not own the AMI.

    :raises AnsibleAWSError: also when the caller lacks the right to ask.
    """
    answer = _attribute(client, image_id, "uefiData")
    if not answer:
        return None
    data = (answer.get("UefiData") or {}).get("Value")
    return hashlib.sha256(str(data).encode()).hexdigest() if data else ""


def _attribute(client: t.Any, image_id: str, name: str) -> t.Mapping[str, t.Any]:
    try:
        return t.cast(
            "t.Mapping[str, t.Any]", describe_image_attribute(client, image_id, name) or {}
        )
    except AnsibleAWSError as error:
        if error_code(error) in NOT_THEIRS:
            return {}
        raise


def share(client: t.Any, image_id: str, permissions: t.Sequence[t.Mapping[str, str]]) -> None:
    """Let others launch an AMI, in addition to those that may already."""
    modify_image_attribute(client, image_id, LaunchPermission={"Add": list(permissions)})


def start_restore(
    client: t.Any,
    bucket: str,
    object_key: str,
    name: str,
    image_tags: t.Mapping[str, str],
    snapshot_tags: t.Mapping[str, str],
    dry_run: bool = False,
) -> Reply:
    """Send CreateRestoreImageTask once; the reply's text is the id of the new AMI.

    :param client: one that does not retry by itself.
    """
    specifications = [
        {"ResourceType": kind, "Tags": ansible_dict_to_boto3_tag_list(tags)}
        for kind, tags in (("image", image_tags), ("snapshot", snapshot_tags))
    ]
    return send_create(
        client.create_restore_image_task,
        "ImageId",
        Bucket=bucket,
        ObjectKey=object_key,
        Name=name,
        TagSpecifications=specifications,
        **({"DryRun": True} if dry_run else {}),
    )


def encrypts_by_default(client: t.Any) -> bool:
    """Return whether EBS encryption by default is on, which alone decides how a restore encrypts
    its disks.
    """
    answer = call_aws("read the EBS encryption by default", client.get_ebs_encryption_by_default)
    return bool(answer["EbsEncryptionByDefault"])


def set_tags(client: t.Any, resource_id: str, tags: t.Mapping[str, str]) -> None:
    """Add or change tags of an AMI or a snapshot."""
    tag_list = ansible_dict_to_boto3_tag_list(tags)
    call_aws(f"tag {resource_id}", client.create_tags, Resources=[resource_id], Tags=tag_list)


def unset_tags(client: t.Any, resource_id: str, keys: t.Iterable[str]) -> None:
    """Remove tags of an AMI or a snapshot by key."""
    tags = [{"Key": key} for key in keys]
    call_aws(f"untag {resource_id}", client.delete_tags, Resources=[resource_id], Tags=tags)
