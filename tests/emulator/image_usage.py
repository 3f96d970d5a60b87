# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an account's AMIs are used and kept in a Region: launches, references, ancestry, protection.

moto 5.2.5 has none of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moto.utilities.utils import get_partition

from . import choices
from .ec2_targets import Target, existing
from .image_backend import MachineImageBackend
from .image_records import (
    PROTECTED,
    PROTECTED_WITH_COOLDOWN,
    UNPROTECTED,
    EmulatedAmi,
    PlantedReference,
)
from .limits import (
    INSTANCE_STATES,
    MAX_DEPRECATION_SECONDS,
    MAX_PUBLIC_DEPRECATION_SECONDS,
    MAX_REFERENCED_IMAGES,
    MAX_TEMPLATE_VERSIONS,
    PROTECTION_COOLDOWN_SECONDS,
    REFERENCE_RIGHTS,
    TEMPLATE_VERSIONS,
)
from .model import Refused

# What is read of other services is not emulated; one of each kind stands for all.
_READ_RESOURCES = {
    "imagebuilder:GetContainerRecipe": "container-recipe/any/1.0.0",
    "ssm:GetParameters": "parameter/any",
}


@dataclass(frozen=True)
class ReferenceQuery:
    """Which resources DescribeImageReferences looks at, with the options of their types."""

    image_ids: Sequence[str]
    types: Mapping[str, Mapping[str, Sequence[str]]]


class ImageUsageBackend(MachineImageBackend):
    """The calls about the use of AMIs for one account and Region."""

    def __init__(self) -> None:
        super().__init__()
        self.planted_references: list[PlantedReference] = []

    def run_instances(self, image_id: str, *args: Any, **kwargs: Any) -> Any:
        """Launch, which the AMI remembers, whoever owns it."""
        inherited: Any = super()
        reservation = inherited.run_instances(image_id, *args, **kwargs)
        for image in self._visible_images():
            if image.id == image_id:
                image.launches.append(self.world.now())
        return reservation

    def find_references(self, query: ReferenceQuery) -> list[PlantedReference]:
        """What refers to these AMIs in this account and Region. Raises Refused."""
        self._check_references(query)
        for kind in query.types:
            self._authorize_look_at(kind)
        found = [
            *self._instances(query.types.get("ec2:Instance")),
            *self._templates(query.types.get("ec2:LaunchTemplate")),
            *(r for r in self.planted_references if r.resource_type in query.types),
        ]
        return [reference for reference in found if reference.image_id in query.image_ids]

    def _check_references(self, query: ReferenceQuery) -> None:
        self.require_well_formed(query.image_ids)
        if not 1 <= len(query.image_ids) <= MAX_REFERENCED_IMAGES:
            raise Refused("InvalidParameterValue", "Between 1 and 10 image ids are needed.")
        if not query.types:
            raise Refused(
                "MissingParameter",
                "Either IncludeAllResourceTypes or ResourceTypes must be specified.",
            )
        unknown = [kind for kind in query.types if kind not in REFERENCE_RIGHTS]
        if unknown:
            raise Refused("InvalidParameterValue", f"Invalid resource type: {unknown[0]}")

    def _authorize_look_at(self, kind: str) -> None:
        """EC2 looks at other resources in the caller's name."""
        for action in REFERENCE_RIGHTS[kind]:
            name = _READ_RESOURCES.get(action, "")
            via = Target(
                arn=f"{self._account_arn(action.partition(':')[0])}:{name}" if name else "*",
                context={"aws:CalledVia": ("ec2-images.amazonaws.com",)},
            )
            self.world.authorize(action, via)

    def _account_arn(self, service: str) -> str:
        region = self.region_name
        return f"arn:{get_partition(region)}:{service}:{region}:{self.account_id}"

    def _instances(self, options: Mapping[str, Sequence[str]] | None) -> Iterator[PlantedReference]:
        if options is None:
            return
        backend: Any = self
        states = options.get("state-name", INSTANCE_STATES)
        for instance in backend.all_instances():
            if instance.state in states:
                arn = self._arn("instance", instance.id)
                yield PlantedReference(instance.image_id, "ec2:Instance", arn)

    def _templates(self, options: Mapping[str, Sequence[str]] | None) -> Iterator[PlantedReference]:
        if options is None:
            return
        (depth,) = options.get("version-depth", [str(TEMPLATE_VERSIONS)])
        if not depth.isdigit() or not 1 <= int(depth) <= MAX_TEMPLATE_VERSIONS:
            raise Refused("InvalidParameterValue", f"Invalid version-depth: {depth}")
        backend: Any = self
        for template in backend.launch_templates.values():
            newest = template.versions[-int(depth) :]
            for image_id in dict.fromkeys(version.image_id for version in newest):
                arn = self._arn("launch-template", template.id)
                yield PlantedReference(image_id, "ec2:LaunchTemplate", arn)

    def _arn(self, kind: str, name: str) -> str:
        return f"{self._account_arn('ec2')}:{kind}/{name}"

    def ancestry(self, image_id: str) -> list[EmulatedAmi]:
        """The AMI, its source, and so on, as far as this account sees them. Raises Refused."""
        chain = [self.image(image_id)]
        while (source := self._source_of(chain[-1])) and source not in chain:
            chain.append(source)
        return chain

    def _source_of(self, image: EmulatedAmi) -> EmulatedAmi | None:
        if not image.source_image_id or not image.source_image_region:
            return None
        there = self.world.backend(self.account_id, image.source_image_region)
        visible = {seen.id: seen for seen in there._visible_images()}
        return visible.get(image.source_image_id)

    def deprecate(self, image_id: str, moment: float) -> None:
        """Deprecate at a moment, rounded to the minute. Raises Refused for one out of bounds."""
        image, now = self.own_image(image_id), self.world.now()
        latest = now + MAX_DEPRECATION_SECONDS
        if image.is_public:
            latest = image.created + MAX_PUBLIC_DEPRECATION_SECONDS
        if not now <= moment <= latest:
            raise Refused("InvalidParameterValue", "The deprecation time is out of bounds.")
        image.deprecation = round(moment / 60) * 60

    def keep_undeprecated(self, image_id: str) -> None:
        self.own_image(image_id).deprecation = None

    def protect(self, image_id: str, with_cooldown: bool) -> str:
        """Keep an AMI from being deregistered; the value that AWS answers."""
        image = self.own_image(image_id)
        image.protection = PROTECTED_WITH_COOLDOWN if with_cooldown else PROTECTED
        image.protected_until = None
        return image.protection

    def unprotect(self, image_id: str) -> str:
        """Let an AMI be deregistered, at once or after the cooldown."""
        image = self.own_image(image_id)
        if image.protection == PROTECTED_WITH_COOLDOWN:
            image.protected_until = self.world.now() + PROTECTION_COOLDOWN_SECONDS
        image.protection = UNPROTECTED
        return image.protection

    def remove_image(self, ami_id: str) -> EmulatedAmi:
        """Deregister an AMI. Raises Refused for one that is protected."""
        image = self.own_image(ami_id)
        until = image.protected_until
        if image.protection != UNPROTECTED or (until is not None and self.world.now() < until):
            raise Refused.by(choices.IMAGE_PROTECTED, image_id=ami_id)
        return super().remove_image(ami_id)

    def delete_snapshots_of(self, image: EmulatedAmi) -> list[tuple[str, str]]:
        """Delete what no other AMI uses, as far as the caller may."""
        kept: list[tuple[str, str]] = []
        for disk in list(image.disks):
            if disk.snapshot_id and not self._may_delete(disk.snapshot_id):
                kept.append((disk.snapshot_id, "missing-permissions"))
                image.disks.remove(disk)
        return [*super().delete_snapshots_of(image), *kept]

    def _may_delete(self, snapshot_id: str) -> bool:
        try:
            self.world.authorize("ec2:DeleteSnapshot", existing(self, snapshot_id))
        except Refused:
            return False
        return True
