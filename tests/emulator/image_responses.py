# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2's answers about AMIs, snapshots, tags and EBS encryption, where moto's differ from AWS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.tags import TagResponse

from .aws_errors import answers_refusals
from .clock import to_text
from .image_backend import ImageQuery
from .image_records import Attributes, Disk, EmulatedAmi
from .limits import (
    MAX_RESOURCE_TAG_KEY,
    MAX_RESOURCE_TAG_VALUE,
    MAX_RESOURCE_TAGS,
)
from .model import Refused
from .paging import Cut, page

_NO_LIMIT = 10_000_000


def tag_map(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Key and value pairs as a dict, checked against AWS's limits for resource tags."""
    for tag in tags:
        key, value = tag["Key"], tag.get("Value") or ""
        if key.lower().startswith("aws:"):
            raise Refused(
                "InvalidParameterValue",
                f"Value ( {key} ) for parameter key is invalid. Tag keys starting with 'aws:' "
                "are reserved for internal use",
            )
        if not 1 <= len(key) <= MAX_RESOURCE_TAG_KEY:
            raise Refused("InvalidParameterValue", f"Tag key exceeds the maximum length: {key}")
        if len(value) > MAX_RESOURCE_TAG_VALUE:
            raise Refused("InvalidParameterValue", f"Tag value exceeds the maximum length: {key}")
    if len(tags) > MAX_RESOURCE_TAGS:
        raise Refused("TagLimitExceeded", "The maximum number of tags per resource is 50.")
    return {tag["Key"]: tag.get("Value") or "" for tag in tags}


def specified_tags(
    specifications: Sequence[Mapping[str, Any]], allowed: Sequence[str]
) -> dict[str, dict[str, str]]:
    """The tags of a TagSpecification by resource type. Raises Refused for other types."""
    tags: dict[str, dict[str, str]] = {}
    for specification in specifications:
        kind = specification.get("ResourceType", "")
        if kind not in allowed:
            raise Refused(
                "InvalidParameterValue",
                f"'{kind}' is not a valid taggable resource type for this operation.",
            )
        tags[kind] = tag_map(specification.get("Tags", []))
    return tags


def tag_set(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


class MachineImageResponse(AmisResponse, InstanceResponse, TagResponse):
    """Takes precedence over moto's responses."""

    def _cut(self, ids: Sequence[str]) -> Cut:
        size = self._get_param("MaxResults")
        if size is not None and ids:
            raise Refused(
                "InvalidParameterCombination",
                "You cannot specify MaxResults and a list of ids in the same request.",
            )
        cap = self.ec2_backend.world.scenario.page_size or _NO_LIMIT
        return Cut(min(int(size or _NO_LIMIT), cap))

    @answers_refusals
    def describe_images(self) -> ActionResult:
        self.error_on_dryrun()
        backend = self.ec2_backend
        query = ImageQuery(
            image_ids=self._get_param("ImageIds", []),
            owners=self._get_param("Owners", []),
            executable_users=self._get_param("ExecutableUsers", []),
            filters=self._filters_from_querystring(),
            include_disabled=bool(self._get_param("IncludeDisabled", False)),
            include_deprecated=bool(self._get_param("IncludeDeprecated", False)),
        )
        found = backend.find_images(query)
        cut = self._cut(query.image_ids)
        shown = page(found, lambda _image: True, self._get_param("NextToken"), cut)
        images = [
            {
                **image.describe(),
                "LastLaunchedTime": self._told_launch(image),
                "Tags": tag_set(backend.image_tags(image)),
            }
            for image in shown.items
        ]
        return ActionResult({"Images": images, "NextToken": shown.token})

    def _told_launch(self, image: EmulatedAmi) -> str | None:
        """AWS tells launches to the owner only."""
        if image.owner_id != self.current_account:
            return None
        launch = image.told_launch(self.ec2_backend.world.now())
        return None if launch is None else to_text(launch)

    @answers_refusals
    def describe_snapshots(self) -> ActionResult:
        self.error_on_dryrun()
        ids = self._get_param("SnapshotIds", [])
        owners = self._get_param("OwnerIds", [])
        found = self.ec2_backend.find_snapshots(ids, self._filters_from_querystring())
        if owners and not {"self", self.current_account} & set(owners):
            found = []
        shown = page(found, lambda _item: True, self._get_param("NextToken"), self._cut(ids))
        snapshots = [self._snapshot(snapshot) for snapshot in shown.items]
        return ActionResult({"Snapshots": snapshots, "NextToken": shown.token})

    def _snapshot(self, snapshot: Any) -> dict[str, Any]:
        return {
            "Description": snapshot.description,
            "Encrypted": snapshot.encrypted,
            "FullSnapshotSizeInBytes": getattr(snapshot, "full_snapshot_size_in_bytes", None),
            "KmsKeyId": snapshot.kms_key_id,
            "OwnerId": snapshot.owner_id,
            "Progress": snapshot.progress,
            "SnapshotId": snapshot.id,
            "StartTime": snapshot.start_time,
            "State": snapshot.status,
            "StateMessage": getattr(snapshot, "state_message", None),
            "StorageTier": snapshot.storage_tier,
            "Tags": tag_set(self.ec2_backend.tags.get(snapshot.id, {})),
            "VolumeId": snapshot.volume_id,
            "VolumeSize": snapshot.volume_size,
        }

    @answers_refusals
    def register_image(self) -> ActionResult:
        backend = self.ec2_backend
        tags = specified_tags(self._get_param("TagSpecifications", []), ["image"])
        disks = [self._disk(m) for m in self._get_param("BlockDeviceMappings", [])]
        backend.require_free_name(self._get_param("Name", ""))
        self.error_on_dryrun()
        image = backend.add_image(
            self._get_param("Name"),
            self._get_param("Description", ""),
            self._attributes(disks),
            disks,
            tags.get("image"),
        )
        return ActionResult({"ImageId": image.id})

    def _attributes(self, disks: Sequence[Disk]) -> Attributes:
        defaults = Attributes()
        on_ebs = any(disk.snapshot_id for disk in disks)
        return Attributes(
            architecture=self._get_param("Architecture", "i386"),
            virtualization_type=self._get_param("VirtualizationType", "paravirtual"),
            root_device_type="ebs" if on_ebs else "instance-store",
            root_device_name=self._get_param("RootDeviceName", defaults.root_device_name),
            boot_mode=self._get_param("BootMode"),
            tpm_support=self._get_param("TpmSupport"),
            imds_support=self._get_param("ImdsSupport"),
            uefi_data=self._get_param("UefiData"),
            ena_support=bool(self._get_param("EnaSupport", False)),
        )

    def _disk(self, mapping: Mapping[str, Any]) -> Disk:
        ebs = mapping.get("Ebs", {})
        snapshot_id, size = ebs.get("SnapshotId"), ebs.get("VolumeSize")
        if snapshot_id:
            self.ec2_backend.require_snapshots([snapshot_id])
            size = size or self.ec2_backend.snapshots[snapshot_id].volume_size
        return Disk(
            device=mapping["DeviceName"],
            snapshot_id=snapshot_id,
            size=size,
            volume_type=ebs.get("VolumeType", "gp2"),
            iops=ebs.get("Iops"),
            throughput=ebs.get("Throughput"),
            delete_on_termination=ebs.get("DeleteOnTermination", True),
            virtual_name=mapping.get("VirtualName"),
        )

    @answers_refusals
    def create_image(self) -> ActionResult:
        return super().create_image()

    @answers_refusals
    def copy_image(self) -> ActionResult:
        backend = self.ec2_backend
        region = self._get_param("SourceRegion")
        source = backend.world.backend(self.current_account, region).image(
            self._get_param("SourceImageId")
        )
        tags = specified_tags(self._get_param("TagSpecifications", []), ["image", "snapshot"])
        self.error_on_dryrun()
        backend.require_free_name(self._get_param("Name"))
        key = self._get_param("KmsKeyId")
        encrypted = bool(self._get_param("Encrypted", False))
        encrypted = encrypted or backend.ebs_encryption_by_default
        disks = backend.copy_disks(source, encrypted, key)
        for disk in disks:
            backend.tags[disk.snapshot_id].update(tags.get("snapshot", {}))
        image = self._copied(source, disks, tags.get("image", {}))
        return ActionResult({"ImageId": image.id})

    def _copied(
        self, source: EmulatedAmi, disks: Sequence[Disk], tags: dict[str, str]
    ) -> EmulatedAmi:
        if self._get_param("CopyImageTags", False):
            tags = {**self.ec2_backend.world.backend_of(source).image_tags(source), **tags}
        image: EmulatedAmi = self.ec2_backend.add_image(
            self._get_param("Name"),
            self._get_param("Description", source.description),
            source.attributes,
            disks,
            tags,
            source_image_id=source.id,
            source_image_region=self._get_param("SourceRegion"),
        )
        return image

    @answers_refusals
    def deregister_image(self) -> ActionResult:
        backend = self.ec2_backend
        image_id = self._get_param("ImageId")
        backend.own_image(image_id)
        self.error_on_dryrun()
        image = backend.remove_image(image_id)
        result: dict[str, Any] = {"Return": True}
        if self._get_param("DeleteAssociatedSnapshots", False):
            result["DeleteSnapshotResults"] = [
                {"SnapshotId": snapshot_id, "ReturnCode": code}
                for snapshot_id, code in backend.delete_snapshots_of(image)
            ]
        return ActionResult(result)

    @answers_refusals
    def delete_snapshot(self) -> ActionResult:
        self.error_on_dryrun()
        self.ec2_backend.delete_snapshot(self._get_param("SnapshotId"))
        return EmptyResult()

    @answers_refusals
    def disable_image(self) -> ActionResult:
        self.error_on_dryrun()
        self.ec2_backend.disable_image(self._get_param("ImageId"))
        return ActionResult({"Return": True})

    @answers_refusals
    def enable_image(self) -> ActionResult:
        self.error_on_dryrun()
        self.ec2_backend.enable_image(self._get_param("ImageId"))
        return ActionResult({"Return": True})

    @answers_refusals
    def describe_image_attribute(self) -> ActionResult:
        self.error_on_dryrun()
        image = self.ec2_backend.own_image(self._get_param("ImageId"))
        name = self._get_param("Attribute")
        if name == "launchPermission":
            values: dict[str, Any] = {"LaunchPermissions": image.launch_permissions}
        elif name == "productCodes":
            values = {"ProductCodes": []}
        elif name == "blockDeviceMapping":
            raise Refused("AuthFailure", "Unauthorized attempt to access restricted resource")
        else:
            values = self._single_attribute(image, name)
        return ActionResult({"ImageId": image.id, **values})

    def _single_attribute(self, image: EmulatedAmi, name: str) -> dict[str, Any]:
        own = image.attributes
        launch = self._told_launch(image)
        attributes: dict[str, tuple[str, str | None]] = {
            "bootMode": ("BootMode", own.boot_mode),
            "deregistrationProtection": ("DeregistrationProtection", image.protection),
            "description": ("Description", image.description),
            "imdsSupport": ("ImdsSupport", own.imds_support),
            "kernel": ("KernelId", None),
            "lastLaunchedTime": ("LastLaunchedTime", launch),
            "ramdisk": ("RamdiskId", None),
            "sriovNetSupport": ("SriovNetSupport", own.sriov_net_support),
            "tpmSupport": ("TpmSupport", own.tpm_support),
            "uefiData": ("UefiData", own.uefi_data),
        }
        if name not in attributes:
            raise Refused("InvalidRequest", "The request received was invalid")
        member, value = attributes[name]
        return {member: {"Value": value} if value is not None else {}}

    @answers_refusals
    def modify_image_attribute(self) -> ActionResult:
        image = self.ec2_backend.own_image(self._get_param("ImageId"))
        if self._get_param("Attribute") == "description" or self._get_param("Description"):
            self.error_on_dryrun()
            description = self._get_param("Description") or {"Value": self._get_param("Value")}
            image.description = description.get("Value") or ""
            return EmptyResult()
        return super().modify_image_attribute()

    @answers_refusals
    def create_tags(self) -> ActionResult:
        tag_map(self._get_param("Tags", []))
        return super().create_tags()

    @answers_refusals
    def delete_tags(self) -> ActionResult:
        return super().delete_tags()

    @answers_refusals
    def run_instances(self) -> ActionResult:
        return super().run_instances()

    def get_ebs_default_kms_key_id(self) -> ActionResult:
        self.error_on_dryrun()
        return ActionResult({"KmsKeyId": self.ec2_backend.ebs_key()})
