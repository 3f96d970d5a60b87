# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What EC2 tells about AMIs that may be archived: their launches, origin, state and sharing."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timezone

from ansible_collections.amazon.aws.plugins.module_utils.ec2 import describe_image_attribute

from ansible_collections.amistore.aws.plugins.module_utils._aws import answered_at, call_aws
from ansible_collections.amistore.aws.plugins.module_utils._images import (
    FAILED_STATES,
    MAX_FILTER_VALUES,
    PENDING_STATES,
    Image,
)
from ansible_collections.amistore.aws.plugins.module_utils._usage_verdict import (
    Launches,
    Obstacle,
)

# AWS advises to ask for AMIs in pages; no smaller limit on their size is documented.
PAGE_SIZE = 200

Filter = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Sdk:
    """What the installed botocore knows of EC2; anything else is unknown, whatever AWS answers."""

    image_fields: frozenset[str]
    snapshot_fields: frozenset[str]
    calls: frozenset[str]

    @classmethod
    def of(cls, client: t.Any) -> Sdk:
        model = client.meta.service_model
        return cls(
            image_fields=frozenset(model.shape_for("Image").members),
            snapshot_fields=frozenset(model.shape_for("Snapshot").members),
            calls=frozenset(client.meta.method_to_api_mapping),
        )


@dataclass(frozen=True)
class Choice:
    """Which AMIs are asked for."""

    image_ids: tuple[str, ...]
    filters: tuple[Filter, ...]
    owners: tuple[str, ...]


@dataclass(frozen=True)
class OwnedImage:
    """An AMI, and whether it belongs to this account."""

    image: Image
    owned: bool


@dataclass
class Sight:
    """The AMIs that were found, in the order asked for, and the time on AWS's clock."""

    images: list[OwnedImage] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    time: datetime | None = None


def see_images(client: t.Any, choice: Choice) -> Sight:
    """Return the AMIs, and the ids that were asked for and not found.

    What AWS lists for the owner `self` belongs to this account, which needs no other proof.
    """
    sight = Sight()
    own = _describe(client, choice, {"Owners": ["self"]}, sight)
    others: dict[str, Image] = {}
    if choice.image_ids:
        rest = tuple(image_id for image_id in choice.image_ids if image_id not in own)
        if rest:
            others = _describe(client, Choice(rest, choice.filters, ()), {}, sight)
    else:
        foreign = [owner for owner in choice.owners if owner != "self"]
        if foreign:
            others = _describe(client, choice, {"Owners": foreign}, sight)
    kept = own if choice.image_ids or "self" in choice.owners else _both(own, others)
    found = {**others, **kept}
    order = choice.image_ids or sorted(found, key=lambda i: (found[i].name, i))
    sight.images = [OwnedImage(found[i], i in own) for i in order if i in found]
    sight.missing = [image_id for image_id in choice.image_ids if image_id not in found]
    return sight


def _both(own: t.Mapping[str, Image], others: t.Mapping[str, Image]) -> dict[str, Image]:
    return {image_id: image for image_id, image in own.items() if image_id in others}


def _describe(
    client: t.Any, choice: Choice, owners: t.Mapping[str, t.Any], sight: Sight
) -> dict[str, Image]:
    found: dict[str, Image] = {}
    for filters in _filter_sets(choice):
        params: dict[str, t.Any] = {
            "Filters": filters,
            "IncludeDeprecated": True,
            "IncludeDisabled": True,
            "MaxResults": PAGE_SIZE,
            **owners,
        }
        while True:
            page = call_aws("describe the AMIs", client.describe_images, **params)
            sight.time = sight.time or answered_at(page)
            found.update((item["ImageId"], Image.from_aws(item)) for item in page["Images"])
            if not page.get("NextToken"):
                break
            params["NextToken"] = page["NextToken"]
    # AWS goes on to list an AMI for a while after it was deregistered.
    return {i: image for i, image in found.items() if image.state != "deregistered"}


def _filter_sets(choice: Choice) -> t.Iterator[list[Filter]]:
    """Yield the filters of each call; one unknown id among ImageIds would fail the whole call."""
    if not choice.image_ids:
        yield list(choice.filters)
    for start in range(0, len(choice.image_ids), MAX_FILTER_VALUES):
        chunk = list(choice.image_ids[start : start + MAX_FILTER_VALUES])
        yield [{"Name": "image-id", "Values": chunk}, *choice.filters]


def read_time(text: t.Any) -> datetime | None:
    """Return the moment that AWS writes as text; None for anything else."""
    for form in ("%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%SZ"):
        try:
            return datetime.strptime(str(text), form).replace(tzinfo=timezone.utc)
        except ValueError:
            continue
    return None


def launches_of(item: OwnedImage, sdk: Sdk) -> Launches:
    """Return what is told about launches, which AWS tells the owner only."""
    text = item.image.raw.get("LastLaunchedTime")
    last = read_time(text) if text else None
    told = item.owned and "LastLaunchedTime" in sdk.image_fields and bool(last or not text)
    return Launches(told, last, read_time(item.image.raw.get("CreationDate")))


def protection_of(item: OwnedImage, sdk: Sdk) -> bool | None:
    """Return whether the AMI is protected from being deregistered; None where that is not told.

    Every value but one is taken for protection: which of them a cooldown leaves is not documented.
    """
    if not item.owned or "DeregistrationProtection" not in sdk.image_fields:
        return None
    told = item.image.raw.get("DeregistrationProtection")
    return None if not told else told != "disabled"


def obstacles_to(item: OwnedImage) -> frozenset[Obstacle]:
    """Return why this AMI cannot be archived at all."""
    image = item.image
    unavailable = image.state in (*PENDING_STATES, *FAILED_STATES, "deregistered")
    unstorable = image.root_device_type != "ebs" or image.virtualization_type == "paravirtual"
    found = {
        Obstacle.NOT_OWNED: not item.owned,
        Obstacle.NOT_AVAILABLE: unavailable,
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-store-restore.html
        Obstacle.NOT_STORABLE: unstorable,
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/deregister-ami.html
        Obstacle.MANAGED_BY_BACKUP: image.raw.get("ImageOwnerAlias") == "aws-backup-vault",
    }
    return frozenset(obstacle for obstacle, there in found.items() if there)


def launch_permission_count(client: t.Any, image_id: str) -> int | None:
    """Return how many launch permissions an AMI has, None where AWS does not tell any.

    :raises AnsibleAWSError: when AWS refuses to tell.
    """
    answer = describe_image_attribute(client, image_id, "launchPermission")
    # amazon.aws answers {} for an AMI that has gone meanwhile.
    permissions = answer.get("LaunchPermissions")
    return None if permissions is None else len(permissions)


@dataclass(frozen=True)
class Ancestor:
    """One AMI of a chain, with the AMI that it was made from."""

    image_id: str
    source_image_id: str | None
    source_image_region: str | None
    owner_alias: str | None
    created: datetime | None

    @classmethod
    def from_aws(cls, item: t.Mapping[str, t.Any]) -> Ancestor:
        return cls(
            image_id=item.get("ImageId", ""),
            source_image_id=item.get("SourceImageId") or None,
            source_image_region=item.get("SourceImageRegion") or None,
            owner_alias=item.get("ImageOwnerAlias") or None,
            created=item.get("CreationDate"),
        )


def ancestry(client: t.Any, image_id: str) -> tuple[Ancestor, ...]:
    """Return the chain from this AMI to its root, as far as AWS knows it."""
    answer = call_aws(
        f"get the ancestry of {image_id}", client.get_image_ancestry, ImageId=image_id
    )
    return tuple(map(Ancestor.from_aws, answer.get("ImageAncestryEntries", [])))
