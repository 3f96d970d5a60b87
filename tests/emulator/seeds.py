# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AMIs, tasks and buckets that are there before the first request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from moto.s3.models import s3_backends
from moto.utilities.utils import get_partition

from .documents import read_document
from .image_records import ALL, UNPROTECTED, Attributes, Disk, PlantedReference, StateReason
from .model import FOREVER, Place
from .partitions import served
from .scenario import DEFAULT_ACCOUNT, Failure
from .world import World

T = TypeVar("T")

DEFAULT_REGION = served().region
_TASK_STATES = ("InProgress", "Completed", "Failed")


class SeedError(ValueError):
    """A seed with an unknown key or an impossible value."""


@dataclass(frozen=True)
class VolumeSeed:
    device: str
    size: int | None = None
    encrypted: bool = False
    kms_key_id: str | None = None
    volume_type: str | None = "gp3"
    iops: int | None = None
    throughput: int | None = None
    snapshot_tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    delete_on_termination: bool = True
    full_size: int | None = None
    virtual_name: str | None = None


@dataclass(frozen=True)
class ImageSeed:
    """An AMI that was there before.

    `age` and `launched` are how many seconds ago it was made and launched, `deprecated_in` in how
    many it will be deprecated, or has been where it is below 0.
    """

    name: str
    image_id: str | None = None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    architecture: str = "x86_64"
    virtualization_type: str = "hvm"
    root_device_type: str = "ebs"
    root_device_name: str | None = None
    boot_mode: str | None = None
    tpm_support: str | None = None
    imds_support: str | None = None
    ena_support: bool = True
    platform: str | None = None
    state: str = "available"
    state_reason: str | None = None
    public: bool = False
    shared_with: tuple[str, ...] = ()
    source_image_id: str | None = None
    source_image_region: str | None = None
    source_instance_id: str | None = None
    owner_alias: str | None = None
    age: float = 0.0
    launched: tuple[float, ...] = ()
    deprecated_in: float | None = None
    deregistration_protection: str = UNPROTECTED
    owner: str = DEFAULT_ACCOUNT
    region: str = DEFAULT_REGION
    volumes: tuple[VolumeSeed, ...] = (VolumeSeed("/dev/xvda", 8),)


@dataclass(frozen=True)
class TaskSeed:
    """A store task of the past, or of somebody else. Writes an object only if it has an end.

    `age` is how many seconds ago it started; `seconds` how long it takes in all: an
    InProgress task without it never ends.
    """

    image_id: str
    bucket: str
    state: str = "InProgress"
    key: str | None = None
    age: float = 60.0
    seconds: float | None = None
    percent: int | None = None
    reason: str = ""
    gib: int = 8
    account: str = DEFAULT_ACCOUNT
    region: str = DEFAULT_REGION


@dataclass(frozen=True)
class ReferenceSeed:
    """A resource of an account that refers to an AMI, of a kind that is not emulated."""

    image_id: str
    resource_type: str
    arn: str
    account: str = DEFAULT_ACCOUNT
    region: str = DEFAULT_REGION


@dataclass(frozen=True)
class BucketSeed:
    name: str
    owner: str = DEFAULT_ACCOUNT
    region: str = DEFAULT_REGION
    versioning: bool = False
    policy: Mapping[str, Any] | None = None


def record(kind: type[T], values: Mapping[str, Any]) -> T:
    """A seed of this kind. Raises SeedError for keys that it does not have."""
    unknown = sorted(set(values) - set(kind.__annotations__))
    if unknown:
        raise SeedError(f"{kind.__name__}: unknown keys: {', '.join(unknown)}")
    try:
        return kind(**values)
    except TypeError as error:
        raise SeedError(f"{kind.__name__}: {error}") from error


def image_seed(values: Mapping[str, Any]) -> ImageSeed:
    """An AMI's seed from JSON."""
    given = dict(values)
    if "volumes" in given:
        given["volumes"] = tuple(record(VolumeSeed, volume) for volume in given["volumes"])
    return record(ImageSeed, given)


def plant_images(world: World, seeds: Iterable[ImageSeed]) -> list[str]:
    """Register the AMIs; their ids in order. Raises Refused for a name that is taken."""
    return [_plant_image(world, seed) for seed in list(seeds)]


def _plant_image(world: World, seed: ImageSeed) -> str:
    backend = world.backend(seed.owner, seed.region)
    if seed.image_id:
        backend.require_well_formed([seed.image_id])
    backend.require_free_name(seed.name)
    disks = [_plant_volume(backend, seed, volume) for volume in seed.volumes]
    attributes = Attributes(
        architecture=seed.architecture,
        virtualization_type=seed.virtualization_type,
        root_device_type=seed.root_device_type,
        root_device_name=seed.root_device_name or seed.volumes[0].device,
        boot_mode=seed.boot_mode,
        tpm_support=seed.tpm_support,
        imds_support=seed.imds_support,
        ena_support=seed.ena_support,
        platform=seed.platform,
    )
    image = backend.add_image(
        seed.name,
        seed.description,
        attributes,
        disks,
        dict(seed.tags),
        seed.image_id,
        state=seed.state,
        source_image_id=seed.source_image_id,
        source_image_region=seed.source_image_region,
        source_instance_id=seed.source_instance_id,
    )
    now = world.now()
    image.created = now - seed.age
    image.visible_from -= seed.age
    image.launches += [now - ago for ago in seed.launched]
    image.deprecation = None if seed.deprecated_in is None else now + seed.deprecated_in
    image.protection = seed.deregistration_protection
    image.owner_alias = seed.owner_alias
    image.launch_permissions += [ALL] if seed.public else []
    image.launch_permissions += [{"UserId": account} for account in seed.shared_with]
    set_state(image, seed.state, seed.state_reason)
    return str(image.id)


def _plant_volume(backend: Any, seed: ImageSeed, volume: VolumeSeed) -> Disk:
    snapshot_id = None
    if volume.size is not None and seed.root_device_type == "ebs":
        snapshot_id = backend.add_snapshot(
            volume.size,
            volume.description or f"{seed.name} {volume.device}",
            dict(volume.snapshot_tags),
            volume.encrypted,
            volume.kms_key_id,
            volume.full_size,
        ).id
    return Disk(
        device=volume.device,
        snapshot_id=snapshot_id,
        size=volume.size,
        volume_type=volume.volume_type,
        iops=volume.iops,
        throughput=volume.throughput,
        delete_on_termination=volume.delete_on_termination,
        virtual_name=volume.virtual_name,
    )


def set_state(image: Any, state: str, reason: str | None) -> None:
    """Force an AMI into a state, with the message of its StateReason."""
    image.state = state
    image.state_reason = StateReason("Client.InternalError", reason) if reason else None


def plant_tasks(world: World, seeds: Iterable[TaskSeed]) -> int:
    """Put store tasks on record, oldest first; how many."""
    planted = sorted(seeds, key=lambda seed: seed.age, reverse=True)
    for seed in planted:
        if seed.state not in _TASK_STATES:
            raise SeedError(f"state: one of {', '.join(_TASK_STATES)} is needed")
        _plant_task(world, seed)
    return len(planted)


def _plant_task(world: World, seed: TaskSeed) -> None:
    running = seed.state == "InProgress"
    seconds = seed.seconds if seed.seconds is not None else FOREVER if running else 0.0
    place = Place(seed.account, seed.region)
    backend = world.backend(seed.account, seed.region)
    image = backend.amis.get(seed.image_id)
    ends_here = running and seconds != FOREVER and image is not None
    world.stores.add(
        place=place,
        image_id=seed.image_id,
        bucket=seed.bucket,
        key=seed.key or f"{seed.image_id}.bin",
        gib=seed.gib,
        started=world.now() - seed.age,
        duration=seconds,
        failure=Failure(seed.reason) if seed.state == "Failed" else None,
        fixed_percent=seed.percent,
        payload=backend.payload(image, {}) if ends_here else None,
        settled=not running,
    )


def plant_references(world: World, seeds: Iterable[ReferenceSeed]) -> int:
    """Let resources refer to AMIs; how many."""
    planted = list(seeds)
    for seed in planted:
        reference = PlantedReference(seed.image_id, seed.resource_type, seed.arn)
        world.backend(seed.account, seed.region).planted_references.append(reference)
    return len(planted)


def plant_buckets(seeds: Iterable[BucketSeed]) -> list[str]:
    """Create buckets in any account and Region; their names."""
    names = []
    for seed in list(seeds):
        backend = s3_backends[seed.owner][get_partition(seed.region)]
        bucket = backend.create_bucket(seed.name, seed.region)
        bucket.versioning_status = "Enabled" if seed.versioning else None
        bucket.policy = json.dumps(seed.policy).encode() if seed.policy else None
        names.append(seed.name)
    return names


def load(path: Path) -> list[ImageSeed]:
    """The AMIs of a JSON or YAML file that holds a list."""
    return [image_seed(item) for item in read_document(path)]
