# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an EC2 or EBS action is done to, as a policy sees it: ARN, tags, owner.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from moto.utilities.utils import get_partition

from .policy import ContextValue
from .wire import Request

if TYPE_CHECKING:
    from .image_backend import MachineImageBackend

_NAMED_RESOURCES = ("ImageId", "SnapshotId", "ResourceId", "SourceImageId")
# Describe actions are about everything, but for those that read one attribute.
_ATTRIBUTE_READS = ("DescribeImageAttribute", "DescribeSnapshotAttribute")


@dataclass(frozen=True)
class Target:
    """One resource of an action, with the condition keys that come with it."""

    arn: str = "*"
    context: Mapping[str, ContextValue] = field(default_factory=dict)


def targets(backend: MachineImageBackend, request: Request) -> list[Target]:
    """The resources that a request names; `*` when it names none."""
    if request.action.startswith("Describe") and request.action not in _ATTRIBUTE_READS:
        return [Target()]
    tags = _given_tags(request)
    ids = [i for name in _NAMED_RESOURCES for i in request.numbered(name)]
    return [existing(backend, resource_id, tags) for resource_id in ids] or [Target()]


def existing(
    backend: MachineImageBackend, resource_id: str, given: Mapping[str, str] | None = None
) -> Target:
    """An AMI or a snapshot that is there, and the tags that are about to be put on it."""
    tags = backend.tags.get(resource_id, {})
    held = {f"{service}:ResourceTag/{k}": v for k, v in tags.items() for service in ("aws", "ec2")}
    owner = _owner(backend, resource_id)
    context = {**held, "aws:ResourceAccount": owner, "ec2:Owner": owner, **_requested(given or {})}
    return Target(_arn(backend.region_name, resource_id), context)


def new(
    backend: MachineImageBackend, kind: str, given: Mapping[str, str], action: str = ""
) -> Target:
    """An AMI or a snapshot that does not exist yet; `action` is what makes it, for CreateTags."""
    context: dict[str, ContextValue] = {**_requested(given)}
    if action:
        context["ec2:CreateAction"] = action
    arn = f"arn:{get_partition(backend.region_name)}:ec2:{backend.region_name}::{kind}/*"
    return Target(arn, context)


def _requested(tags: Mapping[str, str]) -> dict[str, ContextValue]:
    if not tags:
        return {}
    return {**{f"aws:RequestTag/{k}": v for k, v in tags.items()}, "aws:TagKeys": tuple(tags)}


def _given_tags(request: Request) -> dict[str, str]:
    """`Tag.1.Key`, `Tag.1.Value` … of CreateTags and DeleteTags."""
    return dict(_pairs(request.params))


def _pairs(params: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for name, key in params.items():
        if name.startswith("Tag.") and name.endswith(".Key"):
            yield key, params.get(f"{name.removesuffix('Key')}Value", "")


def _owner(backend: MachineImageBackend, resource_id: str) -> str:
    for other in backend.world.backends():
        if resource_id in other.amis or resource_id in other.snapshots:
            return str(other.account_id)
    return backend.account_id


def _arn(region: str, resource_id: str) -> str:
    kind = "snapshot" if resource_id.startswith("snap-") else "image"
    return f"arn:{get_partition(region)}:ec2:{region}::{kind}/{resource_id}"
