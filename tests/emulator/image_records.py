# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AMIs and snapshots that keep what they were given.

moto 5.2.5 gives every AMI one made-up snapshot of 15 GiB and forgets what RegisterImage was told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.elastic_block_store import Snapshot
from moto.ec2.utils import random_snapshot_id

from .clock import to_datetime, to_text
from .limits import LAUNCH_REPORT_DELAY_SECONDS, LAUNCHES_TOLD_SINCE

ALL = {"Group": "all"}

# The values of DeregistrationProtection, as public programs show them.
UNPROTECTED = "disabled"
PROTECTED = "enabled-without-cooldown"
PROTECTED_WITH_COOLDOWN = "enabled-with-cooldown"


@dataclass(frozen=True)
class Disk:
    """One entry of an AMI's block device mapping."""

    device: str
    snapshot_id: str | None = None
    size: int | None = None
    volume_type: str | None = "gp3"
    iops: int | None = None
    throughput: int | None = None
    delete_on_termination: bool = True
    virtual_name: str | None = None


@dataclass(frozen=True)
class Attributes:
    """What stays with an AMI when it is stored, restored or copied."""

    architecture: str = "x86_64"
    virtualization_type: str = "hvm"
    root_device_type: str = "ebs"
    root_device_name: str = "/dev/xvda"
    hypervisor: str = "xen"
    boot_mode: str | None = None
    tpm_support: str | None = None
    imds_support: str | None = None
    uefi_data: str | None = None
    ena_support: bool = True
    sriov_net_support: str = "simple"
    platform: str | None = None
    platform_details: str = "Linux/UNIX"
    usage_operation: str = "RunInstances"


@dataclass(frozen=True)
class StateReason:
    code: str
    message: str


@dataclass(frozen=True)
class PlantedReference:
    """A resource that refers to an AMI."""

    image_id: str
    resource_type: str
    arn: str


@dataclass(frozen=True)
class NoVolume:
    """What stands for the volume of a snapshot that was not taken of one.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Snapshot.html
    """

    size: int
    id: str = "vol-ffffffff"


class EmulatedSnapshot(Snapshot):
    """A snapshot with its own size, progress and state."""

    def __init__(
        self,
        ec2_backend: Any,
        size: int,
        description: str,
        started: float,
        encrypted: bool = False,
        kms_key_id: str | None = None,
        full_size: int | None = None,
    ) -> None:
        super().__init__(
            ec2_backend,
            random_snapshot_id(),
            NoVolume(size),
            description,
            encrypted,
            kms_key_id,
        )
        self.start_time = to_datetime(started)
        self.full_size = size * 1024**3 if full_size is None else full_size
        self.percent: Callable[[], int] = lambda: 100
        self.state_message: str | None = None

    @property
    def progress(self) -> str:
        return f"{self.percent()}%"

    @property
    def full_snapshot_size_in_bytes(self) -> int:
        return self.full_size


class EmulatedAmi(TaggedEC2Resource):
    """An AMI that keeps what it was given."""

    def __init__(
        self,
        ec2_backend: Any,
        image_id: str,
        name: str,
        description: str,
        attributes: Attributes,
        disks: Sequence[Disk],
        created: float,
        state: str = "available",
        source_image_id: str | None = None,
        source_image_region: str | None = None,
        source_instance_id: str | None = None,
    ) -> None:
        self.ec2_backend = ec2_backend
        self.id = image_id
        self.name = name
        self.description = description
        self.attributes = attributes
        self.disks = list(disks)
        self.created = created
        self.state = state
        self.state_reason: StateReason | None = None
        self.owner_id: str = ec2_backend.account_id
        self.launch_permissions: list[dict[str, str]] = []
        self.visible_from = created
        self.source_image_id = source_image_id
        self.source_image_region = source_image_region
        self.source_instance_id = source_instance_id
        self.kernel_id: str | None = None
        self.owner_alias: str | None = None
        self.launches: list[float] = []
        self.deprecation: float | None = None
        self.protection = UNPROTECTED
        self.protected_until: float | None = None

    @property
    def architecture(self) -> str:
        return self.attributes.architecture

    @property
    def virtualization_type(self) -> str:
        return self.attributes.virtualization_type

    @property
    def platform(self) -> str | None:
        return self.attributes.platform

    @property
    def root_device_name(self) -> str:
        return self.attributes.root_device_name

    @property
    def is_public(self) -> bool:
        return ALL in self.launch_permissions

    @property
    def snapshot_ids(self) -> list[str]:
        return [disk.snapshot_id for disk in self.disks if disk.snapshot_id]

    @property
    def gib(self) -> int:
        return sum(disk.size or 0 for disk in self.disks)

    def shared_with(self, account: str) -> bool:
        return {"UserId": account} in self.launch_permissions

    def deprecated_at(self, moment: float) -> bool:
        return self.deprecation is not None and self.deprecation <= moment

    def told_launch(self, moment: float) -> float | None:
        """The last launch that AWS tells the owner at a moment."""
        told = [
            launch
            for launch in self.launches
            if LAUNCHES_TOLD_SINCE <= launch <= moment - LAUNCH_REPORT_DELAY_SECONDS
        ]
        return max(told, default=None)

    def describe(self) -> dict[str, Any]:
        """The members of an `Image` in EC2's API."""
        own = self.attributes
        reason = self.state_reason
        return {
            "Architecture": own.architecture,
            "BlockDeviceMappings": [self._mapping(disk) for disk in self.disks],
            "BootMode": own.boot_mode,
            "CreationDate": to_datetime(self.created),
            "DeprecationTime": self.deprecation and to_text(self.deprecation),
            "DeregistrationProtection": self.protection,
            "Description": self.description or None,
            "EnaSupport": own.ena_support,
            "Hypervisor": own.hypervisor,
            "ImageId": self.id,
            "ImageOwnerAlias": self.owner_alias,
            "ImageLocation": f"{self.owner_id}/{self.name}",
            "ImageType": "machine",
            "ImdsSupport": own.imds_support,
            "Name": self.name,
            "OwnerId": self.owner_id,
            "Platform": own.platform,
            "PlatformDetails": own.platform_details,
            "Public": self.is_public,
            "RootDeviceName": own.root_device_name,
            "RootDeviceType": own.root_device_type,
            "SourceImageId": self.source_image_id,
            "SourceImageRegion": self.source_image_region,
            "SourceInstanceId": self.source_instance_id,
            "SriovNetSupport": own.sriov_net_support,
            "State": self.state,
            "StateReason": reason and {"Code": reason.code, "Message": reason.message},
            "TpmSupport": own.tpm_support,
            "UsageOperation": own.usage_operation,
            "VirtualizationType": own.virtualization_type,
        }

    def _mapping(self, disk: Disk) -> dict[str, Any]:
        if disk.snapshot_id is None and disk.virtual_name:
            return {"DeviceName": disk.device, "VirtualName": disk.virtual_name}
        snapshot = self.ec2_backend.snapshots.get(disk.snapshot_id)
        return {
            "DeviceName": disk.device,
            "Ebs": {
                "DeleteOnTermination": disk.delete_on_termination,
                "Encrypted": bool(snapshot and snapshot.encrypted),
                "Iops": disk.iops,
                "SnapshotId": disk.snapshot_id,
                "Throughput": disk.throughput,
                "VolumeSize": disk.size,
                "VolumeType": disk.volume_type,
            },
        }
