# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2 as far as the use of AMIs goes, in memory.

It answers what the newest botocore knows, whatever is installed, or what the oldest supported one
knows. Requests are held against the service model of the installed botocore where that has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

from tests.unit.cloud import ACCOUNT, NOON, REGION

Answer = dict[str, Any]

OLD_IMAGE_FIELDS = ("ImageId", "Name", "OwnerId", "State", "CreationDate", "DeprecationTime")
NEW_IMAGE_FIELDS = (
    "LastLaunchedTime",
    "DeregistrationProtection",
    "SourceImageId",
    "SourceImageRegion",
)
OLD_CALLS = ("describe_images", "describe_snapshots", "describe_image_attribute")
NEW_CALLS = ("describe_image_references", "get_image_ancestry")
_MODEL = botocore.session.Session().get_service_model("ec2")


def image_number(number: int) -> str:
    return f"ami-{number:017x}"


def moment(days_ago: float) -> str:
    """A time before now, as EC2 writes it."""
    return (NOON - timedelta(days=days_ago)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def refusal(code: str = "UnauthorizedOperation", operation: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"about {code}"}}, operation)


@dataclass
class Ec2:
    """A client of an account whose AMIs tests set up."""

    newest: bool = True
    """Whether botocore is the newest, or the oldest that is supported."""
    images: dict[str, Answer] = field(default_factory=dict)
    snapshots: dict[str, Answer] = field(default_factory=dict)
    permissions: dict[str, list[Answer]] = field(default_factory=dict)
    references: list[Answer] = field(default_factory=list)
    denials: dict[str, Exception] = field(default_factory=dict)
    """By operation, or by operation and resource type or AMI: what AWS answers instead."""
    now: datetime | None = NOON
    page_size: int = 1000
    calls: list[tuple[str, Answer]] = field(default_factory=list)

    def __post_init__(self) -> None:
        fields = OLD_IMAGE_FIELDS + (NEW_IMAGE_FIELDS if self.newest else ())
        sizes = ("FullSnapshotSizeInBytes",) if self.newest else ()
        shapes = {
            "Image": SimpleNamespace(members=dict.fromkeys(fields)),
            "Snapshot": SimpleNamespace(members=dict.fromkeys(sizes)),
        }
        calls = OLD_CALLS + (NEW_CALLS if self.newest else ())
        self.meta = SimpleNamespace(
            region_name=REGION,
            service_model=SimpleNamespace(shape_for=shapes.__getitem__),
            method_to_api_mapping=dict.fromkeys(calls),
        )

    def add(self, number: int = 1, **values: Any) -> str:
        """An AMI of this account with one snapshot, made long ago and never launched."""
        image_id = image_number(number)
        snapshot_id = f"snap-{number:017x}"
        self.snapshots[snapshot_id] = {
            "SnapshotId": snapshot_id,
            "VolumeSize": 8,
            "FullSnapshotSizeInBytes": 5 * 1024**3,
        }
        self.images[image_id] = {
            "ImageId": image_id,
            "Name": f"web-{number:04}",
            "OwnerId": ACCOUNT,
            "State": "available",
            "RootDeviceType": "ebs",
            "VirtualizationType": "hvm",
            "CreationDate": moment(1000),
            "DeregistrationProtection": "disabled",
            "Public": False,
            "BlockDeviceMappings": [
                {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot_id, "VolumeSize": 8}}
            ],
            **values,
        }
        if not self.newest:
            for name in NEW_IMAGE_FIELDS:
                self.images[image_id].pop(name, None)
            del self.snapshots[snapshot_id]["FullSnapshotSizeInBytes"]
        return image_id

    def refer(self, image_id: str, kind: str = "ec2:Instance", name: str = "i-1") -> None:
        self.references.append(
            {"ImageId": image_id, "ResourceType": kind, "Arn": f"arn:aws:{kind}/{name}"}
        )

    def counts(self) -> Counter[str]:
        return Counter(name for name, _params in self.calls)

    def params(self, operation: str) -> list[Answer]:
        return [params for name, params in self.calls if name == operation]

    def _note(self, operation: str, params: Answer, *parts: str) -> None:
        if operation in _MODEL.operation_names:
            validate_parameters(params, _MODEL.operation_model(operation).input_shape)
        self.calls.append((operation, params))
        for key in (operation, *(f"{operation} {part}" for part in parts)):
            if key in self.denials:
                raise self.denials[key]

    def describe_images(self, **params: Any) -> Answer:
        self._note("DescribeImages", params)
        found = list(self.images.values())
        owners = params.get("Owners")
        if owners == ["self"]:
            found = [image for image in found if image["OwnerId"] == ACCOUNT]
        elif owners:
            found = [image for image in found if image["OwnerId"] in owners]
        for one in params["Filters"]:
            assert 0 < len(one["Values"]) <= 200
            found = [image for image in found if _values(image, one["Name"]) & {*one["Values"]}]
        headers = {"date": format_datetime(self.now, usegmt=True)} if self.now else {}
        metadata = {"ResponseMetadata": {"HTTPHeaders": headers}}
        return {**self._page("Images", found, params, params["MaxResults"]), **metadata}

    def _page(self, name: str, items: list[Answer], params: Answer, size: int) -> Answer:
        start = int(params.get("NextToken", 0))
        end = start + min(size, self.page_size)
        token = {"NextToken": str(end)} if end < len(items) else {}
        return {name: items[start:end], **token}

    def get_paginator(self, name: str) -> Any:
        assert name == "describe_snapshots"

        def paginate(**params: Any) -> Any:
            return SimpleNamespace(build_full_result=lambda: self._describe_snapshots(params))

        return SimpleNamespace(paginate=paginate)

    def _describe_snapshots(self, params: Answer) -> Answer:
        self._note("DescribeSnapshots", params)
        (wanted,) = params["Filters"]
        assert 0 < len(wanted["Values"]) <= 200
        return {"Snapshots": [s for i, s in self.snapshots.items() if i in wanted["Values"]]}

    def describe_image_attribute(self, **params: Any) -> Answer:
        self._note("DescribeImageAttribute", params, params["ImageId"])
        assert params["Attribute"] == "launchPermission"
        return {"LaunchPermissions": self.permissions.get(params["ImageId"], [])}

    def describe_image_references(self, **params: Any) -> Answer:
        kinds = [kind["ResourceType"] for kind in params["ResourceTypes"]]
        self._note("DescribeImageReferences", params, *kinds, *params["ImageIds"])
        assert len(params["ImageIds"]) <= 10
        found = list(self._references(params["ImageIds"], kinds))
        return self._page("ImageReferences", found, params, self.page_size)

    def _references(self, image_ids: list[str], kinds: list[str]) -> Iterator[Answer]:
        for reference in self.references:
            if reference["ImageId"] in image_ids and reference["ResourceType"] in kinds:
                yield reference

    def get_image_ancestry(self, **params: Any) -> Answer:
        self._note("GetImageAncestry", params, params["ImageId"])
        chain = []
        image_id: str | None = params["ImageId"]
        while image_id in self.images:
            image = self.images[image_id]
            image_id = image.get("SourceImageId")
            chain.append(
                {
                    "ImageId": image["ImageId"],
                    "CreationDate": NOON,
                    **({"SourceImageId": image_id} if image_id else {}),
                }
            )
        return {"ImageAncestryEntries": chain}


def _values(image: Answer, name: str) -> set[str]:
    """What a filter of DescribeImages compares."""
    if name == "block-device-mapping.snapshot-id":
        return {mapping["Ebs"]["SnapshotId"] for mapping in image["BlockDeviceMappings"]}
    if name.startswith("tag:"):
        tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
        return {tags[name.removeprefix("tag:")]} if name.removeprefix("tag:") in tags else set()
    return {image[{"image-id": "ImageId", "name": "Name"}[name]]}
