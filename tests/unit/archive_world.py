# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An account whose AMIs are archived, in memory, and what may never happen to it.

EC2 takes AMIs out of service here, and everything that is called passes one gate, where a test can
let the run die or fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

from ansible_collections.amistore.aws.plugins.module_utils._evidence import Evidence, evidence_key
from tests.unit.cloud import ACCOUNT, BUCKET, NOON, REGION, Cloud, Thing
from tests.unit.usage_ec2 import Answer, Ec2, moment, refusal

PREFIX = "dr"
WRITES = frozenset(
    {
        "CreateTags",
        "DeleteSnapshot",
        "DeregisterImage",
        "DisableImage",
        "DisableImageDeprecation",
        "DisableImageDeregistrationProtection",
        "EnableImage",
        "EnableImageDeprecation",
    }
)
COOLDOWN = timedelta(hours=24)
Gate = Callable[[str, str], None]


class Killed(BaseException):
    """The process ends here."""


def no_gate(_when: str, _operation: str) -> None:
    """Let every call pass."""


@dataclass
class ArchiveEc2(Ec2):
    """EC2 with the calls that take AMIs out of service."""

    gate: Gate = no_gate
    launch_permissions_lost: list[str] = field(default_factory=list)
    cooling: dict[str, datetime] = field(default_factory=dict)
    deregistered_at: dict[str, datetime] = field(default_factory=dict)
    deleted_at: dict[str, datetime] = field(default_factory=dict)
    """By snapshot."""

    @property
    def time(self) -> datetime:
        assert self.now is not None
        return self.now

    def writes(self) -> list[str]:
        return [name for name, _params in self.calls if name in WRITES]

    def tags(self, resource_id: str) -> dict[str, str]:
        item = self.images.get(resource_id) or self.snapshots[resource_id]
        return {tag["Key"]: tag["Value"] for tag in item.get("Tags", [])}

    def snapshot_of(self, image_id: str) -> str:
        (mapping,) = self.images[image_id]["BlockDeviceMappings"]
        return str(mapping["Ebs"]["SnapshotId"])

    def _note(self, operation: str, params: Answer, *parts: str) -> None:
        self.gate("before", operation)
        super()._note(operation, params, *parts)

    def _image(self, params: Answer) -> Answer:
        image_id = params["ImageId"]
        if image_id not in self.images:
            raise refusal("InvalidAMIID.Unavailable")
        return self.images[image_id]

    def _done(self, operation: str) -> Answer:
        self.gate("after", operation)
        headers = {"date": format_datetime(self.time, usegmt=True)}
        return {"Return": True, "ResponseMetadata": {"HTTPHeaders": headers}}

    def _describe_snapshots(self, params: Answer) -> Answer:
        (condition,) = params["Filters"]
        if condition["Name"] == "snapshot-id":
            return super()._describe_snapshots(params)
        self._note("DescribeSnapshots", params)
        assert params["OwnerIds"] == ["self"]
        key = condition["Name"].removeprefix("tag:")
        wanted = condition["Values"]
        if condition["Name"] == "tag-key":
            (key,), wanted = wanted, None
        found = []
        for snapshot_id, snapshot in self.snapshots.items():
            tags = self.tags(snapshot_id)
            if key in tags and (wanted is None or tags[key] in wanted):
                found.append(snapshot)
        return {"Snapshots": found}

    def create_tags(self, **params: Any) -> Answer:
        self._note("CreateTags", params, *params["Resources"])
        for resource_id in params["Resources"]:
            item = self.images.get(resource_id) or self.snapshots[resource_id]
            old = {tag["Key"]: tag["Value"] for tag in item.get("Tags", [])}
            new = {tag["Key"]: tag["Value"] for tag in params["Tags"]}
            item["Tags"] = [{"Key": k, "Value": v} for k, v in {**old, **new}.items()]
        return self._done("CreateTags")

    def enable_image_deprecation(self, **params: Any) -> Answer:
        self._note("EnableImageDeprecation", params, params["ImageId"])
        assert params["DeprecateAt"] > self.time
        text = params["DeprecateAt"].strftime("%Y-%m-%dT%H:%M:00.000Z")
        self._image(params)["DeprecationTime"] = text
        return self._done("EnableImageDeprecation")

    def disable_image_deprecation(self, **params: Any) -> Answer:
        self._note("DisableImageDeprecation", params)
        del self._image(params)["DeprecationTime"]
        return self._done("DisableImageDeprecation")

    def disable_image(self, **params: Any) -> Answer:
        self._note("DisableImage", params, params["ImageId"])
        self._image(params)["State"] = "disabled"
        if self.permissions.pop(params["ImageId"], []):
            self.launch_permissions_lost.append(params["ImageId"])
        return self._done("DisableImage")

    def enable_image(self, **params: Any) -> Answer:
        self._note("EnableImage", params)
        self._image(params)["State"] = "available"
        return self._done("EnableImage")

    def disable_image_deregistration_protection(self, **params: Any) -> Answer:
        self._note("DisableImageDeregistrationProtection", params)
        image = self._image(params)
        if image["DeregistrationProtection"] == "enabled-with-cooldown":
            self.cooling[image["ImageId"]] = self.time + COOLDOWN
        image["DeregistrationProtection"] = "disabled"
        return self._done("DisableImageDeregistrationProtection")

    def deregister_image(self, **params: Any) -> Answer:
        self._note("DeregisterImage", params, params["ImageId"])
        assert set(params) == {"ImageId"}
        image_id = self._image(params)["ImageId"]
        protected = self.images[image_id].get("DeregistrationProtection") != "disabled"
        if protected or self.cooling.get(image_id, self.time) > self.time:
            raise refusal("OperationNotPermitted")
        del self.images[image_id]
        self.deregistered_at[image_id] = self.time
        return self._done("DeregisterImage")

    def delete_snapshot(self, **params: Any) -> Answer:
        snapshot_id = params["SnapshotId"]
        self._note("DeleteSnapshot", params, snapshot_id)
        if snapshot_id not in self.snapshots:
            raise refusal("InvalidSnapshot.NotFound")
        for image in self.images.values():
            for mapping in image["BlockDeviceMappings"]:
                if mapping["Ebs"]["SnapshotId"] == snapshot_id:
                    raise refusal("InvalidSnapshot.InUse")
        del self.snapshots[snapshot_id]
        self.deleted_at[snapshot_id] = self.time
        return self._done("DeleteSnapshot")


@dataclass
class World:
    """The account, with its bucket."""

    ec2: ArchiveEc2
    cloud: Cloud

    @property
    def objects(self) -> dict[str, Thing]:
        return self.cloud.buckets[BUCKET]

    def key(self, image_id: str, ending: str = ".bin") -> str:
        return f"{PREFIX}/{image_id}{ending}"

    def store(self, image_id: str, **changes: Any) -> Thing:
        """Put the AMI's stored image into the bucket, with its manifest."""
        thing = Thing(f"blob of {image_id}".encode())
        self.objects[self.key(image_id)] = thing
        manifest = {
            "format_version": 1,
            "object_key": self.key(image_id),
            "image": json.loads(json.dumps(self.ec2.images[image_id], default=str)),
            "stored_image": {"etag": thing.etag, "size": len(thing.body)},
            **changes,
        }
        self.objects[self.key(image_id, ".json")] = Thing(json.dumps(manifest).encode())
        return thing

    def verify(self, image_id: str, days_ago: float = 1, **changes: Any) -> None:
        """Put down that the stored image was restored and found equal."""
        key = self.key(image_id)
        when = self.ec2.time - timedelta(days=days_ago)
        facts: dict[str, Any] = {
            "bucket": BUCKET,
            "object_key": key,
            "etag": self.objects[key].etag,
            "version_id": None,
            "image_id": "ami-0beef",
            "account_id": ACCOUNT,
            "region": REGION,
            "restored_at": when,
            "verified_at": when,
            "collection_version": "1.1.0",
        }
        self.objects[evidence_key(key)] = Thing(Evidence(**{**facts, **changes}).dump())

    def add(
        self, number: int = 1, stored: bool = True, verified: bool = True, **values: Any
    ) -> str:
        """An AMI that was last launched long ago, stored and verified unless told otherwise."""
        image_id = self.ec2.add(number, **{"LastLaunchedTime": moment(400), **values})
        if stored:
            self.store(image_id)
            if verified:
                self.verify(image_id)
        return image_id

    def pass_days(self, days: float) -> None:
        self.ec2.now = self.ec2.time + timedelta(days=days)

    def verify_all(self) -> None:
        for key in [key for key in self.objects if key.endswith(".verified.json")]:
            self.verify(key.removeprefix(f"{PREFIX}/").removesuffix(".verified.json"))


def fresh_world(cloud: Cloud) -> World:
    return World(ArchiveEc2(now=NOON), cloud)
