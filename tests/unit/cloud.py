# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small AWS in memory behind real botocore clients.

botocore checks every request and every answer against the service model of the installed version,
so a parameter that the oldest supported botocore does not know fails the test. Nothing moves by
itself: a test changes the world between two steps.
"""

from __future__ import annotations

import contextlib
import copy
import fnmatch
import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.response import StreamingBody
from botocore.validate import validate_parameters

REGION = "eu-central-1"
ACCOUNT = "111122223333"
BUCKET = "ami-bucket"
SERVICES = ("ec2", "organizations", "s3", "s3control", "sts")
MUTATING = (
    "CreateStoreImageTask",
    "CreateRestoreImageTask",
    "CreateTags",
    "DeleteTags",
    "DeregisterImage",
    "DeleteSnapshot",
    "ModifyImageAttribute",
    "PutObject",
    "PutObjectTagging",
    "DeleteObjectTagging",
    "DeleteObject",
)
NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)

Answer = dict[str, Any]
Handler = Callable[[dict[str, Any]], Answer]


class Refusal(Exception):
    """An error answer of AWS."""

    def __init__(self, code: str, message: str = "", status: int = 400, **headers: str) -> None:
        super().__init__(code)
        self.code, self.message, self.status = code, message or f"about {code}", status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def forbidden() -> Refusal:
    return Refusal("AccessDenied", "Access Denied", 403)


def forbidden_head() -> Refusal:
    """A HEAD answer has no body, so botocore takes the status for the code."""
    return Refusal("403", "Forbidden", 403)


def missing_head() -> Refusal:
    return Refusal("404", "Not Found", 404)


@dataclass
class Thing:
    """An S3 object."""

    body: bytes = b"image"
    tags: dict[str, str] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)
    restore_status: dict[str, Any] | None = None
    modified: datetime = NOON
    """As a listing shows it."""

    @property
    def etag(self) -> str:
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Call:
    operation: str
    params: dict[str, Any]


@dataclass
class Cloud:
    """One account in one Region, and everything that it was asked."""

    images: dict[str, Answer] = field(default_factory=dict)
    snapshots: dict[str, Answer] = field(default_factory=dict)
    permissions: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    uefi_data: dict[str, str] = field(default_factory=dict)
    tasks: list[Answer] = field(default_factory=list)
    buckets: dict[str, dict[str, Thing]] = field(default_factory=lambda: {BUCKET: {}})
    bucket_region: str = REGION
    bucket_owner: str = ACCOUNT
    versioning: str | None = None
    encrypts_by_default: bool = True
    page_size: int = 1000
    faults: dict[str, list[Exception]] = field(default_factory=dict)
    """By operation, what its next calls answer instead."""
    denials: dict[str, Exception] = field(default_factory=dict)
    """By operation, what every call answers instead."""
    replies: dict[str, Handler] = field(default_factory=dict)
    """By operation, what answers every call in place of this class."""
    calls: list[Call] = field(default_factory=list)
    _last_number: int = 0

    # What a test asks and does

    def operations(self) -> list[str]:
        return [call.operation for call in self.calls]

    def params(self, operation: str) -> list[dict[str, Any]]:
        return [call.params for call in self.calls if call.operation == operation]

    def mutations(self) -> list[str]:
        """Return what changed the world, or tried to; a DryRun does not."""
        return [
            call.operation
            for call in self.calls
            if call.operation in MUTATING and not call.params.get("DryRun")
        ]

    @property
    def objects(self) -> dict[str, Thing]:
        return self.buckets[BUCKET]

    def add_image(self, image_id: str, name: str = "web", **details: Any) -> Answer:
        """Register an AMI of two disks, with their snapshots."""
        disks = [
            {
                "DeviceName": device,
                "Ebs": {
                    "SnapshotId": self.add_snapshot(size, **details.get("snapshot", {})),
                    "VolumeSize": size,
                    "VolumeType": "gp3",
                    "DeleteOnTermination": True,
                    "Encrypted": bool(details.get("encrypted")),
                },
            }
            for device, size in (("/dev/xvda", 8), ("/dev/xvdb", 20))
        ]
        self.images[image_id] = {
            "ImageId": image_id,
            "Name": name,
            "OwnerId": details.get("owner", ACCOUNT),
            "State": details.get("state", "available"),
            "CreationDate": f"{NOON:%Y-%m-%dT%H:%M:%S.000Z}",
            "Architecture": "x86_64",
            "RootDeviceName": "/dev/xvda",
            "RootDeviceType": details.get("root", "ebs"),
            "VirtualizationType": details.get("virtualization", "hvm"),
            "Tags": to_list(details.get("tags", {})),
            "BlockDeviceMappings": [
                *disks,
                {"DeviceName": "/dev/sdc", "VirtualName": "ephemeral0"},
            ],
        }
        if "reason" in details:
            self.images[image_id]["StateReason"] = details["reason"]
        return self.images[image_id]

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def add_snapshot(self, size: int, tags: dict[str, str] | None = None, **details: Any) -> str:
        snapshot_id = f"snap-{self._next_number():017x}"
        self.snapshots[snapshot_id] = {
            "SnapshotId": snapshot_id,
            "VolumeSize": size,
            "Progress": "100%",
            "Encrypted": False,
            "StartTime": NOON,
            "Tags": to_list(tags or {}),
            **details,
        }
        return snapshot_id

    def add_task(
        self,
        image_id: str,
        state: str = "InProgress",
        key: str | None = None,
        bucket: str = BUCKET,
        minutes: float = 0,
        **details: Any,
    ) -> Answer:
        """Record a store task that began so many minutes after noon; newest first, as AWS does."""
        task = {
            "AmiId": image_id,
            "Bucket": bucket,
            "S3objectKey": key or f"{image_id}.bin",
            "StoreTaskState": state,
            "TaskStartTime": NOON + timedelta(minutes=minutes),
            **details,
        }
        self.tasks.insert(0, task)
        self.tasks.sort(key=lambda item: item["TaskStartTime"], reverse=True)
        return task

    def complete(self, task: Answer, body: bytes = b"image") -> None:
        task["StoreTaskState"] = "Completed"
        self.buckets[task["Bucket"]][task["S3objectKey"]] = Thing(body)

    def answer(self, operation: str, params: dict[str, Any]) -> Answer:
        self.calls.append(Call(operation, params))
        if queue := self.faults.get(operation):
            raise queue.pop(0)
        if operation in self.denials:
            raise self.denials[operation]
        owner = params.get("ExpectedBucketOwner", self.bucket_owner)
        if owner != self.bucket_owner:
            raise forbidden_head() if operation.startswith("Head") else forbidden()
        return (self.replies.get(operation) or self.usual(operation))(params)

    def usual(self, operation: str) -> Handler:
        """Return what answers an operation by default, for a reply that builds on it."""
        handler: Handler = getattr(self, f"_{operation}")
        return handler

    # EC2

    def _DescribeImages(self, params: dict[str, Any]) -> Answer:
        assert params["IncludeDisabled"]
        images = list(self.images.values())
        if params.get("Owners") == ["self"]:
            images = [image for image in images if image["OwnerId"] == ACCOUNT]
        return {"Images": _filtered(images, params["Filters"], self._image_fields)}

    @staticmethod
    def _image_fields(image: Answer) -> dict[str, str]:
        return {"image-id": image["ImageId"], "name": image["Name"], "state": image["State"]}

    def _DescribeSnapshots(self, params: dict[str, Any]) -> Answer:
        found = _filtered(
            list(self.snapshots.values()),
            params["Filters"],
            lambda item: {
                "snapshot-id": item["SnapshotId"],
                **{f"tag:{tag['Key']}": tag["Value"] for tag in item["Tags"]},
            },
        )
        return {"Snapshots": found}

    def _DescribeImageAttribute(self, params: dict[str, Any]) -> Answer:
        if self.images[params["ImageId"]]["OwnerId"] != ACCOUNT:
            raise Refusal("AuthFailure", "Not authorized for image", 403)
        if params["Attribute"] == "uefiData":
            value = self.uefi_data.get(params["ImageId"])
            return {"ImageId": params["ImageId"], "UefiData": {"Value": value} if value else {}}
        permissions = self.permissions.get(params["ImageId"], [])
        return {"ImageId": params["ImageId"], "LaunchPermissions": permissions}

    def _ModifyImageAttribute(self, params: dict[str, Any]) -> Answer:
        there = self.permissions.setdefault(params["ImageId"], [])
        there += [each for each in params["LaunchPermission"]["Add"] if each not in there]
        return {}

    def _DescribeStoreImageTasks(self, params: dict[str, Any]) -> Answer:
        if "ImageIds" in params:
            assert len(params["ImageIds"]) <= 20
            assert "MaxResults" not in params
            newest: dict[str, Answer] = {}
            for task in self.tasks:
                newest.setdefault(task["AmiId"], task)
            return {"StoreImageTaskResults": [newest[i] for i in params["ImageIds"] if i in newest]}
        found = _filtered(
            self.tasks,
            params["Filters"],
            lambda task: {"task-state": task["StoreTaskState"], "bucket": task["Bucket"]},
        )
        start = int(params.get("NextToken", 0))
        size = min(self.page_size, params["MaxResults"])
        page: Answer = {"StoreImageTaskResults": found[start : start + size]}
        if start + size < len(found):
            page["NextToken"] = str(start + size)
        return page

    def _CreateStoreImageTask(self, params: dict[str, Any]) -> Answer:
        if params.get("DryRun"):
            raise Refusal("DryRunOperation", "Request would have succeeded", 412)
        bucket, _slash, prefix = params["Bucket"].partition("/")
        key = f"{prefix}/{params['ImageId']}.bin" if prefix else f"{params['ImageId']}.bin"
        newest = max((task["TaskStartTime"] for task in self.tasks), default=NOON)
        minutes = (newest - NOON) / timedelta(minutes=1) + 1
        self.add_task(params["ImageId"], key=key, bucket=bucket, minutes=minutes)
        return {"ObjectKey": key}

    def _CreateRestoreImageTask(self, params: dict[str, Any]) -> Answer:
        if params.get("DryRun"):
            raise Refusal("DryRunOperation", "Request would have succeeded", 412)
        kinds = {
            item["ResourceType"]: to_dict(item["Tags"]) for item in params["TagSpecifications"]
        }
        image_id = f"ami-{self._next_number():017x}"
        self.add_image(
            image_id,
            params["Name"],
            state="pending",
            tags=kinds["image"],
            snapshot={"tags": kinds["snapshot"], "Progress": "0%"},
        )
        return {"ImageId": image_id}

    def _resource(self, resource_id: str) -> Answer:
        return self.images.get(resource_id) or self.snapshots[resource_id]

    def _CreateTags(self, params: dict[str, Any]) -> Answer:
        for resource_id in params["Resources"]:
            item = self._resource(resource_id)
            item["Tags"] = to_list(to_dict(item["Tags"]) | to_dict(params["Tags"]))
        return {}

    def _DeleteTags(self, params: dict[str, Any]) -> Answer:
        gone = {tag["Key"] for tag in params["Tags"]}
        for resource_id in params["Resources"]:
            item = self._resource(resource_id)
            item["Tags"] = [tag for tag in item["Tags"] if tag["Key"] not in gone]
        return {}

    def _DeregisterImage(self, params: dict[str, Any]) -> Answer:
        del self.images[params["ImageId"]]
        return {}

    def _DeleteSnapshot(self, params: dict[str, Any]) -> Answer:
        del self.snapshots[params["SnapshotId"]]
        return {}

    def _GetEbsEncryptionByDefault(self, params: dict[str, Any]) -> Answer:
        return {"EbsEncryptionByDefault": self.encrypts_by_default}

    def _GetCallerIdentity(self, params: dict[str, Any]) -> Answer:
        return {"Account": ACCOUNT, "UserId": "AIDAEXAMPLE", "Arn": f"arn:aws:iam::{ACCOUNT}:root"}

    # S3

    def _HeadBucket(self, params: dict[str, Any]) -> Answer:
        if params["Bucket"] not in self.buckets:
            raise missing_head()
        headers = {"x-amz-bucket-region": self.bucket_region}
        if self.bucket_region != REGION:
            raise Refusal("301", "Moved Permanently", 301, **headers)
        return {"ResponseMetadata": {"HTTPHeaders": headers}}

    def _thing(self, params: dict[str, Any], refusal: Refusal) -> Thing:
        try:
            return self.buckets[params["Bucket"]][params["Key"]]
        except KeyError:
            raise refusal from None

    def _HeadObject(self, params: dict[str, Any]) -> Answer:
        thing = self._thing(params, missing_head())
        facts = {"ContentLength": len(thing.body), "ETag": f'"{thing.etag}"', "LastModified": NOON}
        return facts | thing.head

    def _ListObjectsV2(self, params: dict[str, Any]) -> Answer:
        things = self.buckets[params["Bucket"]]
        keys = sorted(key for key in things if key.startswith(params.get("Prefix", "")))
        start = int(params.get("ContinuationToken", 0))
        end = start + self.page_size
        page: Answer = {
            "Contents": [_listed(key, things[key], params) for key in keys[start:end]],
            "IsTruncated": end < len(keys),
        }
        if page["IsTruncated"]:
            page["NextContinuationToken"] = str(end)
        return page

    def _GetObject(self, params: dict[str, Any]) -> Answer:
        thing = self._thing(params, Refusal("NoSuchKey", "The key does not exist.", 404))
        return {"Body": StreamingBody(io.BytesIO(thing.body), len(thing.body))}

    def _PutObject(self, params: dict[str, Any]) -> Answer:
        thing = Thing(params["Body"])
        self.buckets[params["Bucket"]][params["Key"]] = thing
        return {"ETag": f'"{thing.etag}"'}

    def _GetObjectTagging(self, params: dict[str, Any]) -> Answer:
        thing = self._thing(params, Refusal("NoSuchKey", "The key does not exist.", 404))
        return {"TagSet": to_list(thing.tags)}

    def _PutObjectTagging(self, params: dict[str, Any]) -> Answer:
        thing = self._thing(params, Refusal("NoSuchKey", "The key does not exist.", 404))
        thing.tags = to_dict(params["Tagging"]["TagSet"])
        return {}

    def _DeleteObjectTagging(self, params: dict[str, Any]) -> Answer:
        thing = self._thing(params, Refusal("NoSuchKey", "The key does not exist.", 404))
        thing.tags = {}
        return {}

    def _DeleteObject(self, params: dict[str, Any]) -> Answer:
        self.buckets[params["Bucket"]].pop(params["Key"], None)
        if self.versioning == "Enabled":
            return {"VersionId": "marker-1", "DeleteMarker": True}
        return {}

    def _GetBucketVersioning(self, params: dict[str, Any]) -> Answer:
        return {"Status": self.versioning} if self.versioning else {}


def to_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def to_dict(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _filtered(items: list[Answer], filters: list[Answer], fields: Any) -> list[Answer]:
    """Return the items that every filter lets through; values may hold wildcards, as in EC2."""
    for condition in filters:
        assert 0 < len(condition["Values"]) <= 200
    return [
        item
        for item in items
        if all(
            any(
                fnmatch.fnmatchcase(fields(item).get(one["Name"], ""), value)
                for value in one["Values"]
            )
            for one in filters
        )
    ]


def _listed(key: str, thing: Thing, params: dict[str, Any]) -> Answer:
    item: Answer = {
        "Key": key,
        "Size": len(thing.body),
        "ETag": f'"{thing.etag}"',
        "LastModified": thing.modified,
        "StorageClass": thing.head.get("StorageClass", "STANDARD"),
    }
    if thing.restore_status and params.get("OptionalObjectAttributes") == ["RestoreStatus"]:
        item["RestoreStatus"] = thing.restore_status
    return item


class Wire:
    """Real clients whose requests end at whatever Cloud is plugged in."""

    def __init__(self) -> None:
        self.cloud = Cloud()
        self._sent = threading.local()
        self._session = botocore.session.Session()
        self._session.set_credentials("AKIAEMULATEDEMULATED", "emulated/emulated/emulated")
        self.clients = {service: self._client(service, REGION) for service in SERVICES}

    def _client(self, service: str, region: str) -> Any:
        config = Config(retries={"total_max_attempts": 1})
        client = self._session.create_client(service, region_name=region, config=config)
        self.lead_here(client)
        return client

    def lead_here(self, client: Any) -> None:
        """Let the requests of a client end at the Cloud that is plugged in."""
        client.meta.events.register_first("before-parameter-build.*.*", self._keep)
        client.meta.events.register("before-call.*.*", self._respond)

    def elsewhere(self) -> Any:
        """Return a client for S3 of another partition, which ends here too."""
        return self._client("s3", "us-gov-west-1")

    def _keep(self, params: dict[str, Any], **_context: Any) -> None:
        body = params.get("Body")
        if hasattr(body, "read"):
            params = {**params, "Body": b"".join(iter(body.read, b""))}
        self._sent.params = copy.deepcopy(params)

    def _respond(self, model: Any, **_context: Any) -> tuple[AWSResponse, Answer]:
        try:
            answer = self.cloud.answer(model.name, self._sent.params)
        except Refusal as refusal:
            return _http(refusal.status), {
                "Error": {"Code": refusal.code, "Message": refusal.message},
                "ResponseMetadata": {
                    "HTTPStatusCode": refusal.status,
                    "HTTPHeaders": refusal.headers,
                },
            }
        stream = {key: value for key, value in answer.items() if key == "Body"}
        plain = copy.deepcopy({key: value for key, value in answer.items() if key != "Body"})
        metadata = plain.pop("ResponseMetadata", {"HTTPHeaders": {}})
        if model.output_shape:
            validate_parameters(plain, model.output_shape)
        return _http(200), {**plain, **stream, "ResponseMetadata": metadata}


def _http(status: int) -> AWSResponse:
    return AWSResponse(None, status, {}, None)


class VirtualClock:
    """Time that passes only in sleep, which also lets the world move."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []
        self.during_sleep: list[Any] = []
        """What happens in the next sleeps, one by one; None for nothing."""

    def now(self) -> float:
        return self.time

    def date(self) -> datetime:
        return NOON + timedelta(seconds=self.time)

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.slept.append(seconds)
        if self.during_sleep and (happen := self.during_sleep.pop(0)):
            happen()


@contextlib.contextmanager
def plugged(wire: Wire, cloud: Cloud) -> Iterator[Cloud]:
    before, wire.cloud = wire.cloud, cloud
    try:
        yield cloud
    finally:
        wire.cloud = before
