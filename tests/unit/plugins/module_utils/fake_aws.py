# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One account in one Region that lives in virtual time: tasks go on, objects appear, calls fail.

Tasks, restores and request rates are the emulator's model. Clients raise what botocore raises.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from ansible_collections.amazon.aws.plugins.module_utils import cloud
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.emulator.limits import STORE_IN_PROGRESS
from tests.emulator.model import Place, Refused, Restores, StoreTask, StoreTasks, Work
from tests.emulator.rates import TokenBuckets
from tests.emulator.scenario import Scenario
from tests.unit.plugins.module_utils.virtual_clock import EPOCH, VirtualClock

HERE = Place("111122223333", "eu-central-1")
BUCKET = "ami-bucket"
OTHER_BUCKET = "another-bucket"
MUTATING = frozenset(
    {
        "CreateStoreImageTask",
        "CreateRestoreImageTask",
        "CreateTags",
        "DeleteTags",
        "DeregisterImage",
        "DeleteSnapshot",
        "PutObject",
        "PutObjectTagging",
    }
)

Answer = dict[str, Any]


class Kind(Enum):
    """What happens to a call instead of its answer."""

    THROTTLED = "throttled"
    SERVER_FAILED_BEFORE = "500, not executed"
    SERVER_FAILED_AFTER = "500, executed"
    LOST_BEFORE = "connection lost, not executed"
    LOST_AFTER = "connection lost, executed"
    KILLED_BEFORE = "Ctrl-C before it"
    KILLED_AFTER = "Ctrl-C after it"

    @property
    def executed(self) -> bool:
        return self in (Kind.SERVER_FAILED_AFTER, Kind.LOST_AFTER, Kind.KILLED_AFTER)

    @property
    def uncertain(self) -> bool:
        """Whether the caller goes on without knowing if the call was executed."""
        return self not in (Kind.THROTTLED, Kind.KILLED_BEFORE, Kind.KILLED_AFTER)

    def error(self, operation: str) -> BaseException:
        if self is Kind.THROTTLED:
            s3 = operation in ("HeadObject", "ListObjectsV2", "GetObject", "PutObject")
            return client_error("SlowDown" if s3 else "RequestLimitExceeded", operation)
        if self in (Kind.SERVER_FAILED_BEFORE, Kind.SERVER_FAILED_AFTER):
            return client_error("InternalError", operation)
        if self is Kind.LOST_BEFORE:
            return ConnectionClosedError(endpoint_url="https://aws.invalid")
        if self is Kind.LOST_AFTER:
            return ReadTimeoutError(endpoint_url="https://aws.invalid")
        return KeyboardInterrupt()


@dataclass(frozen=True)
class Fault:
    """Strikes `times` calls of an operation from its `nth` on, counted from 0."""

    operation: str
    nth: int
    kind: Kind
    times: int = 1


@dataclass(frozen=True)
class Call:
    """One request; `outcome` is OK, an error code, or the kind of fault."""

    time: float
    operation: str
    subject: str
    outcome: str


@dataclass
class StoredThing:
    """An S3 object, there from `since` on."""

    body: bytes
    tags: dict[str, str]
    since: float = 0.0
    begun: float | None = None
    """When its upload began, which is what S3 dates an object of many parts by."""

    @property
    def modified(self) -> datetime:
        return EPOCH + timedelta(seconds=self.since if self.begun is None else self.begun)

    @property
    def etag(self) -> str:
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()


@dataclass
class Ami:
    """An AMI with its snapshots; shown from `since` on."""

    image_id: str
    name: str
    gib: int = 8
    state: str = "available"
    reason: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    snapshot_ids: list[str] = field(default_factory=list)
    root_device_type: str = "ebs"
    since: float = 0.0
    created: float = 0.0

    def described(self) -> Answer:
        return {
            "ImageId": self.image_id,
            "Name": self.name,
            "OwnerId": HERE.account,
            "State": self.state,
            "StateReason": {"Code": "Client.Failed", "Message": self.reason} if self.reason else {},
            "RootDeviceType": self.root_device_type,
            "VirtualizationType": "hvm",
            "CreationDate": f"{EPOCH + timedelta(seconds=self.created):%Y-%m-%dT%H:%M:%S.000Z}",
            "Tags": tag_list(self.tags),
            "BlockDeviceMappings": [
                {
                    "DeviceName": f"/dev/xvd{number}",
                    "Ebs": {"VolumeSize": self.gib, "SnapshotId": each, "Encrypted": False},
                }
                for number, each in enumerate(self.snapshot_ids)
            ],
        }


@dataclass
class Disk:
    """A snapshot."""

    snapshot_id: str
    gib: int
    tags: dict[str, str] = field(default_factory=dict)


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_dict(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def client_error(code: str, operation: str, message: str = "words of AWS") -> ClientError:
    metadata = {"HTTPHeaders": {}, "HTTPStatusCode": 400}
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    return ClientError(answer, operation)


@dataclass
class FakeAws:
    """The world: `change` it, call it through `ec2` and `s3`, ask what became of it."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    scenario: Scenario = field(default_factory=lambda: Scenario(rates=None))
    faults: Sequence[Fault] = ()
    latency: float = 0.05
    object_lag: float = 0.0
    """Seconds from the end of a store task to the moment when its object is seen."""
    images: dict[str, Ami] = field(default_factory=dict)
    snapshots: dict[str, Disk] = field(default_factory=dict)
    objects: dict[tuple[str, str], StoredThing] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    """What the clients have changed, in order."""
    struck: list[tuple[str, Kind]] = field(default_factory=list)
    """The faults that came true, by operation."""
    events: list[tuple[float, Callable[[FakeAws], None]]] = field(default_factory=list)
    """What others do, and when."""
    stored_gib: dict[str, int] = field(default_factory=dict)
    """The size of the AMI in an object, by key."""
    freed_names: dict[str, float] = field(default_factory=dict)
    _seen: Counter[str] = field(default_factory=Counter)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.stores = StoreTasks(self.clock.now, lambda: self.scenario, storage=self)
        self.restores = Restores(self.clock.now, lambda: self.scenario, landing=self)
        self._rates = TokenBuckets(self.clock.now)
        self.ec2, self.s3 = Ec2(self), S3(self)

    def new_id(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers):017x}"

    @contextmanager
    def in_virtual_time(self) -> Iterator[None]:
        """Let the pauses of retried calls pass in virtual time."""
        with patch.object(cloud, "time", SimpleNamespace(sleep=self.clock.pass_by)):
            yield

    def settle(self) -> None:
        """Let everything happen that is due."""
        due = [event for event in self.events if event[0] <= self.clock.now()]
        self.events = [event for event in self.events if event not in due]
        for _moment, happen in due:
            happen(self)
        self.stores.settle()
        self.restores.settle()

    def interrupt(self, operation: str) -> Kind | None:
        """Return the fault that strikes this call."""
        number = self._seen[operation]
        self._seen[operation] += 1
        for fault in self.faults:
            if fault.operation == operation and 0 <= number - fault.nth < fault.times:
                self.struck.append((operation, fault.kind))
                return fault.kind
        return None

    def request(
        self, operation: str, subject: str, act: Callable[[], Answer], dry_run: bool = False
    ) -> Answer:
        """Answer one call, or fail as the faults, the rates and AWS's rules have it."""
        self.clock.pass_by(self.latency)
        kind = self.interrupt(operation)
        try:
            if kind and not kind.executed:
                raise kind.error(operation)
            self._admit(operation)
            self.settle()
            if dry_run:
                raise client_error("DryRunOperation", operation)
            answer = act()
            if kind:
                raise kind.error(operation)
        except BaseException as error:
            self._note(operation, subject, error)
            if isinstance(error, Refused):
                raise client_error(error.code, operation, error.message) from error
            raise
        self._note(operation, subject)
        return answer

    def _note(self, operation: str, subject: str, error: BaseException | None = None) -> None:
        outcome = type(error).__name__ if error else "OK"
        if isinstance(error, ClientError):
            outcome = error.response["Error"]["Code"]
        elif isinstance(error, Refused):
            outcome = error.code
        self.calls.append(Call(self.clock.now(), operation, subject, outcome))

    def _admit(self, operation: str) -> None:
        rate = self.scenario.rate(operation)
        s3 = "Object" in operation or "Bucket" in operation
        if rate and not s3 and not self._rates.take(operation, rate):
            raise client_error("RequestLimitExceeded", operation)

    # What the model needs of S3 and of AMIs

    def holds(self, bucket: str, image_id: str) -> bool:
        return any(
            place == bucket and key.endswith(f"{image_id}.bin") for place, key in self.objects
        )

    def obstacle(self, task: StoreTask) -> str | None:
        return None

    def write(self, task: StoreTask) -> str | None:
        body = f"{task.image_id} at {task.started}".encode()
        thing = StoredThing(
            body, dict(task.payload or {}), task.ends + self.object_lag, task.started
        )
        self.objects[task.bucket, task.key] = thing
        return None

    def finish(self, restore: Work) -> None:
        ami = self.images.get(restore.image_id)
        if ami is not None:
            ami.state = "failed" if restore.failure else "available"
            ami.reason = restore.failure.reason if restore.failure else ""

    def object_at(self, bucket: str, key: str) -> StoredThing | None:
        """Return what S3 shows now."""
        thing = self.objects.get((bucket, key))
        return thing if thing and thing.since <= self.clock.now() else None

    # What others have done before

    def add_image(self, name: str, gib: int = 8, disks: int = 1, **values: Any) -> Ami:
        image_id = values.pop("image_id", None) or self.new_id("ami")
        ids = [self.add_snapshot(gib).snapshot_id for _disk in range(disks)]
        ami = Ami(image_id, name, gib, snapshot_ids=ids, **values)
        self.images[ami.image_id] = ami
        return ami

    def add_snapshot(self, gib: int, tags: Mapping[str, str] | None = None) -> Disk:
        snapshot = Disk(self.new_id("snap"), gib, dict(tags or {}))
        self.snapshots[snapshot.snapshot_id] = snapshot
        return snapshot

    def store_elsewhere(self, image_id: str, bucket: str, key: str) -> None:
        """Let somebody else of the account start a store, unless AWS refuses."""
        image = self.images[image_id]
        if image.root_device_type != "ebs":
            return
        try:
            self.stores.start(HERE, image_id, bucket, key, image.gib)
        except Refused:
            return


@dataclass
class Pages:
    """Asks AWS only when they are read, as botocore does."""

    call: Callable[..., Answer]
    params: Mapping[str, Any]

    def build_full_result(self) -> Answer:
        return self.call(**self.params)


@dataclass
class Paginator:
    """Of an operation whose pages do not matter here."""

    call: Callable[..., Answer]

    def paginate(self, **params: Any) -> Pages:
        return Pages(self.call, params)


@dataclass
class Ec2:
    """The EC2 client."""

    aws: FakeAws

    def can_paginate(self, operation: str) -> bool:
        return operation in ("describe_images", "describe_snapshots")

    def get_paginator(self, operation: str) -> Paginator:
        return Paginator(getattr(self, operation))

    def create_store_image_task(
        self,
        ImageId: str,
        Bucket: str,
        S3ObjectTags: Sequence[Mapping[str, str]] = (),
        DryRun: bool = False,
    ) -> Answer:
        bucket, _slash, prefix = Bucket.partition("/")
        key = f"{prefix}/{ImageId}.bin" if prefix else f"{ImageId}.bin"

        def act() -> Answer:
            image = self.aws.images.get(ImageId)
            if image is None:
                raise client_error("InvalidAMIID.NotFound", "CreateStoreImageTask")
            gib = image.gib * len(image.snapshot_ids)
            self._require_at_rest(ImageId)
            tags = tag_dict(S3ObjectTags)
            self.aws.stores.start(HERE, ImageId, bucket, key, gib, payload=tags)
            self.aws.changes.append(f"store {ImageId} in {bucket}")
            return {"ObjectKey": key}

        return self.aws.request("CreateStoreImageTask", ImageId, act, DryRun)

    def _require_at_rest(self, image_id: str) -> None:
        """Refuse while an object of this AMI is on its way, though its task is called Completed."""
        if not self.aws.object_lag:
            return
        now = self.aws.clock.now()
        for (_bucket, key), thing in self.aws.objects.items():
            if key.endswith(f"{image_id}.bin") and thing.since > now:
                raise Refused("InvalidRequest", STORE_IN_PROGRESS)

    def describe_store_image_tasks(
        self,
        ImageIds: Sequence[str] = (),
        Filters: Sequence[Mapping[str, Any]] = (),
        MaxResults: int = 200,
        NextToken: str = "",
    ) -> Answer:
        assert not (ImageIds and Filters), "AWS ignores the filters"
        assert len(ImageIds) <= 20

        def act() -> Answer:
            stores = self.aws.stores
            if ImageIds:
                return {"StoreImageTaskResults": self._tasks(stores.newest_records(HERE, ImageIds))}
            wanted = {each["Name"]: each["Values"] for each in Filters}
            records = [
                record
                for record in stores.records(HERE)
                if record.state in wanted.get("task-state", (record.state,))
                and record.bucket in wanted.get("bucket", (record.bucket,))
            ]
            return self._page(self._tasks(records), NextToken, MaxResults)

        return self.aws.request("DescribeStoreImageTasks", ",".join(ImageIds), act)

    def _tasks(self, records: Sequence[Any]) -> list[Answer]:
        return [
            {
                "AmiId": record.image_id,
                "Bucket": record.bucket,
                "S3objectKey": record.key,
                "StoreTaskState": record.state,
                "StoreTaskFailureReason": record.reason,
                "ProgressPercentage": record.percent,
                "TaskStartTime": EPOCH + timedelta(seconds=record.started),
            }
            for record in records
        ]

    def _page(self, tasks: list[Answer], token: str, size: int) -> Answer:
        """Return one page; with `empty_pages`, the first ones hold nothing."""
        number = int(token or 0)
        empty = self.aws.scenario.empty_pages
        size = min(size, self.aws.scenario.page_size or size)
        start = max(0, number - empty) * size
        page = [] if number < empty else tasks[start : start + size]
        more = number < empty or start + size < len(tasks)
        token_after = {"NextToken": str(number + 1)} if more else {}
        return {"StoreImageTaskResults": page} | token_after

    def describe_images(
        self,
        Filters: Sequence[Mapping[str, Any]],
        Owners: Sequence[str] = (),
        IncludeDisabled: bool = False,
    ) -> Answer:
        values = {each["Name"]: each["Values"] for each in Filters}

        def act() -> Answer:
            found = [
                ami.described()
                for ami in self.aws.images.values()
                if ami.since <= self.aws.clock.now()
                and ami.image_id in values.get("image-id", (ami.image_id,))
                and ami.name in values.get("name", (ami.name,))
                and ami.state in values.get("state", (ami.state,))
            ]
            return {"Images": found}

        return self.aws.request("DescribeImages", "", act)

    def describe_image_attribute(self, Attribute: str, ImageId: str) -> Answer:
        return self.aws.request(
            "DescribeImageAttribute", ImageId, lambda: {"LaunchPermissions": []}
        )

    def describe_snapshots(self, Filters: Sequence[Mapping[str, Any]]) -> Answer:
        ids = Filters[0]["Values"]

        def act() -> Answer:
            found = [snap for snap in self.aws.snapshots.values() if snap.snapshot_id in ids]
            return {
                "Snapshots": [
                    {
                        "SnapshotId": snapshot.snapshot_id,
                        "VolumeSize": snapshot.gib,
                        "Progress": "50%",
                        "Encrypted": False,
                        "Tags": tag_list(snapshot.tags),
                    }
                    for snapshot in found
                ]
            }

        return self.aws.request("DescribeSnapshots", "", act)

    def get_ebs_encryption_by_default(self) -> Answer:
        answer = {"EbsEncryptionByDefault": self.aws.scenario.encryption_by_default}
        return self.aws.request("GetEbsEncryptionByDefault", "", lambda: answer)

    def create_restore_image_task(
        self,
        Bucket: str,
        ObjectKey: str,
        Name: str,
        TagSpecifications: Sequence[Mapping[str, Any]],
        DryRun: bool = False,
    ) -> Answer:
        tags = {each["ResourceType"]: tag_dict(each["Tags"]) for each in TagSpecifications}

        def act() -> Answer:
            self._require_free(Name)
            if (Bucket, ObjectKey) not in self.aws.objects:
                raise client_error("InvalidParameterValue", "CreateRestoreImageTask", "no object")
            gib = self.aws.stored_gib.get(ObjectKey, 8)
            self.aws.restores.admit_new(HERE, gib)
            ami = self._land(Name, gib, tags)
            self.aws.restores.start(HERE, ami.image_id, Bucket, ObjectKey, gib, Name)
            self.aws.changes.append(f"restore {ObjectKey} as {Name}")
            return {"ImageId": ami.image_id}

        return self.aws.request("CreateRestoreImageTask", Name, act, DryRun)

    def _require_free(self, name: str) -> None:
        taken = any(ami.name == name for ami in self.aws.images.values())
        freed = self.aws.freed_names.get(name)
        lag = self.aws.scenario.name_lag
        if taken or (freed is not None and self.aws.clock.now() < freed + lag):
            raise client_error("InvalidAMIName.Duplicate", "CreateRestoreImageTask", f"AMI {name}")

    def _land(self, name: str, gib: int, tags: Mapping[str, Mapping[str, str]]) -> Ami:
        """Register the pending AMI; [U] tags inside the stored image may win."""
        blob = {"Team": "stored"}
        given = dict(tags["image"])
        mixed = given | blob if self.aws.scenario.blob_tags_win else blob | given
        ami = self.aws.add_image(
            name,
            gib,
            state="pending",
            tags=mixed,
            since=self.aws.clock.now() + self.aws.scenario.image_lag,
            created=self.aws.clock.now(),
        )
        for snapshot_id in ami.snapshot_ids:
            self.aws.snapshots[snapshot_id].tags = dict(tags["snapshot"])
        return ami

    def deregister_image(self, ImageId: str) -> Answer:
        def act() -> Answer:
            ami = self.aws.images.pop(ImageId, None)
            if ami is None:
                raise client_error("InvalidAMIID.Unavailable", "DeregisterImage")
            self.aws.freed_names[ami.name] = self.aws.clock.now()
            self.aws.changes.append(f"deregister {ImageId}")
            return {}

        return self.aws.request("DeregisterImage", ImageId, act)

    def delete_snapshot(self, SnapshotId: str) -> Answer:
        def act() -> Answer:
            if any(SnapshotId in ami.snapshot_ids for ami in self.aws.images.values()):
                raise client_error("InvalidSnapshot.InUse", "DeleteSnapshot")
            if self.aws.snapshots.pop(SnapshotId, None) is None:
                raise client_error("InvalidSnapshot.NotFound", "DeleteSnapshot")
            self.aws.changes.append(f"delete {SnapshotId}")
            return {}

        return self.aws.request("DeleteSnapshot", SnapshotId, act)

    def create_tags(self, Resources: Sequence[str], Tags: Sequence[Mapping[str, str]]) -> Answer:
        def act() -> Answer:
            for resource in Resources:
                self._tags_of(resource).update(tag_dict(Tags))
                self.aws.changes.append(f"tag {resource}")
            return {}

        return self.aws.request("CreateTags", ",".join(Resources), act)

    def delete_tags(self, Resources: Sequence[str], Tags: Sequence[Mapping[str, str]]) -> Answer:
        def act() -> Answer:
            for resource in Resources:
                for tag in Tags:
                    self._tags_of(resource).pop(tag["Key"], None)
                self.aws.changes.append(f"untag {resource}")
            return {}

        return self.aws.request("DeleteTags", ",".join(Resources), act)

    def _tags_of(self, resource: str) -> dict[str, str]:
        known: dict[str, Ami | Disk] = {**self.aws.images, **self.aws.snapshots}
        if resource not in known:
            raise client_error("InvalidID", "CreateTags")
        return known[resource].tags


@dataclass
class S3:
    """The S3 client."""

    aws: FakeAws

    def head_object(self, Bucket: str, Key: str) -> Answer:
        def act() -> Answer:
            thing = self._there(Bucket, Key, "404", "HeadObject")
            return {"ContentLength": len(thing.body), "ETag": f'"{thing.etag}"'}

        return self.aws.request("HeadObject", Key, act)

    def _there(self, bucket: str, key: str, code: str, operation: str) -> StoredThing:
        thing = self.aws.object_at(bucket, key)
        if thing is None:
            raise client_error(code, operation)
        return thing

    def list_objects_v2(self, Bucket: str, Prefix: str, ContinuationToken: str = "") -> Answer:
        def act() -> Answer:
            keys = sorted(
                key
                for bucket, key in self.aws.objects
                if bucket == Bucket
                and key.startswith(Prefix)
                and key > ContinuationToken
                and self.aws.object_at(bucket, key)
            )
            page = keys[: self.aws.scenario.page_size or 1000]
            more = len(page) < len(keys)
            return {
                "Contents": [self._listed(Bucket, key) for key in page],
                "IsTruncated": more,
            } | ({"NextContinuationToken": page[-1]} if more else {})

        return self.aws.request("ListObjectsV2", Prefix, act)

    def _listed(self, bucket: str, key: str) -> Answer:
        thing = self.aws.objects[bucket, key]
        facts = {"Key": key, "Size": len(thing.body), "ETag": f'"{thing.etag}"'}
        return facts | {"LastModified": thing.modified}

    def get_object(self, Bucket: str, Key: str) -> Answer:
        def act() -> Answer:
            return {"Body": io.BytesIO(self._there(Bucket, Key, "NoSuchKey", "GetObject").body)}

        return self.aws.request("GetObject", Key, act)

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str) -> Answer:
        def act() -> Answer:
            self.aws.objects[Bucket, Key] = StoredThing(Body, {}, self.aws.clock.now())
            self.aws.changes.append(f"write {Key}")
            return {}

        return self.aws.request("PutObject", Key, act)

    def get_object_tagging(self, Bucket: str, Key: str) -> Answer:
        def act() -> Answer:
            thing = self._there(Bucket, Key, "NoSuchKey", "GetObjectTagging")
            return {"TagSet": tag_list(thing.tags)}

        return self.aws.request("GetObjectTagging", Key, act)

    def put_object_tagging(self, Bucket: str, Key: str, Tagging: Answer) -> Answer:
        def act() -> Answer:
            thing = self._there(Bucket, Key, "NoSuchKey", "PutObjectTagging")
            thing.tags = tag_dict(Tagging["TagSet"])
            self.aws.changes.append(f"tag {Key}")
            return {}

        return self.aws.request("PutObjectTagging", Key, act)

    def head_bucket(self, Bucket: str) -> Answer:
        headers = {"x-amz-bucket-region": HERE.region}
        answer = {"ResponseMetadata": {"HTTPHeaders": headers}}
        return self.aws.request("HeadBucket", Bucket, lambda: answer)
