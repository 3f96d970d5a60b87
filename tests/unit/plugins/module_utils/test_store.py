# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storing against a small AWS in memory: what is looked at, done, and taken for an end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, Answer
from ansible_collections.amistore.aws.plugins.module_utils._fleet import Phase
from ansible_collections.amistore.aws.plugins.module_utils._inputs import manifest_key
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Origin
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Limits, Rate
from ansible_collections.amistore.aws.plugins.module_utils._store import (
    LISTING_GRACE,
    LONGEST_KNOWN,
    StoreEntry,
    StoreOperation,
    StoreOptions,
    results,
    tag_diffs,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.unit.cloud import (
    ACCOUNT,
    BUCKET,
    NOON,
    REGION,
    Cloud,
    Refusal,
    Thing,
    VirtualClock,
    forbidden,
    forbidden_head,
    to_dict,
)

WEB, DB = "ami-0abcdef1", "ami-0abcdef2"
KEY, MANIFEST = f"{WEB}.bin", f"{WEB}.json"


@dataclass
class Storing:
    """One run's operation; the engine's part is played by the tests."""

    ec2: Any
    bucket: Bucket
    cloud: Cloud
    clock: VirtualClock
    options: dict[str, Any] = field(default_factory=dict)
    operation: StoreOperation = field(init=False)

    def __post_init__(self) -> None:
        self.operation = StoreOperation(
            self.ec2,
            self.ec2,
            self.bucket,
            StoreOptions(BUCKET, **self.options),
            self.clock,
            lambda key: Origin(ACCOUNT, REGION, "aws", BUCKET, key),
        )

    def observe(self, *image_ids: str) -> list[StoreEntry]:
        entries = self.operation.entries(image_ids or (WEB,))
        self.operation.observe(entries)
        return entries

    def start(self, entry: StoreEntry) -> None:
        """Start as the engine does, which counts an accepted start."""
        assert entry.phase is Phase.READY
        reply = self.operation.start(entry)
        assert reply is not None
        assert reply.answer is Answer.ACCEPTED
        entry.phase, entry.changed, entry.started_at = Phase.RUNNING, True, self.clock.now()

    def started(self) -> StoreEntry:
        (entry,) = self.observe()
        self.start(entry)
        return entry

    def survey(self, entry: StoreEntry) -> None:
        self.clock.sleep(LISTING_GRACE + 1)
        self.operation.survey([entry])

    def look(self, entry: StoreEntry) -> None:
        self.operation.look([entry])

    @property
    def warnings(self) -> list[str]:
        return self.operation.warnings

    def manifest(self, key: str = MANIFEST) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.cloud.objects[key].body)
        return document


StoringWith = Callable[..., Storing]


@pytest.fixture
def storing_with(ec2: Any, bucket: Bucket, cloud: Cloud, clock: VirtualClock) -> StoringWith:
    return lambda **options: Storing(ec2, bucket, cloud, clock, options)


@pytest.fixture
def storing(storing_with: StoringWith) -> Storing:
    return storing_with()


def shown(entry: StoreEntry) -> dict[str, Any]:
    return results([entry], BUCKET)[0]


def write_manifest(storing: Storing, etag: str | None = None, **changes: Any) -> None:
    """Leave a manifest of WEB in the bucket, as an earlier run wrote it."""
    stored = {"etag": etag, "size": 5, "task_start_time": None} if etag else None
    document = {
        "format_version": 1,
        "image": {"Name": "as it was"},
        "object_tag_keys": [],
        "stored_image": stored,
        **changes,
    }
    storing.cloud.objects[MANIFEST] = Thing(json.dumps(document).encode())


# Observe


def test_s3_is_asked_first_and_alone_when_everything_is_there(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.objects[KEY] = Thing()
    (entry,) = storing_with(manifest=False).observe()
    assert entry.phase is Phase.DONE
    assert cloud.operations() == ["HeadObject"]


def test_only_amis_that_are_not_there_are_asked_for(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.add_image(DB)
    cloud.objects[KEY] = Thing()
    cloud.objects[MANIFEST] = Thing(b'{"format_version": 1, "stored_image": {"etag": "x"}}')
    storing.observe(WEB, DB)
    filters = [call["Filters"] for call in cloud.params("DescribeImages")]
    assert filters == [[{"Name": "image-id", "Values": [DB]}]]
    states = [call.get("Filters") for call in cloud.params("DescribeStoreImageTasks")]
    assert states == [[{"Name": "task-state", "Values": ["Failed", "InProgress"]}]]


def test_a_store_that_ends_between_the_looks_at_s3_and_ec2_is_not_started_again(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    task = cloud.add_task(WEB)
    usual = cloud.usual("DescribeStoreImageTasks")

    def ending(params: dict[str, Any]) -> dict[str, Any]:
        cloud.complete(task)
        return usual(params)

    cloud.replies["DescribeStoreImageTasks"] = ending
    (entry,) = storing.observe()
    assert storing.operation.start(entry) is None
    assert entry.phase is Phase.DONE
    assert cloud.params("CreateStoreImageTask") == []


@pytest.mark.parametrize(
    "task",
    [
        {"state": "Failed"},
        {"state": "Completed", "bucket": "elsewhere"},
        {"state": "Completed", "key": f"other/{WEB}.bin"},
    ],
    ids=["failed", "in another bucket", "under another key"],
)
def test_a_task_that_did_not_write_the_object_is_no_reason_to_look_again(
    storing: Storing, cloud: Cloud, task: dict[str, str]
) -> None:
    cloud.add_image(WEB)
    cloud.add_task(WEB, **task)
    storing.started()
    assert cloud.operations().count("HeadObject") == 1


def test_many_are_listed_instead_of_looked_at_one_by_one(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    ids = [f"ami-{number:08x}" for number in range(21)]
    for image_id in ids:
        cloud.objects[f"dr/{image_id}.bin"] = Thing()
    entries = storing_with(prefix="dr", manifest=False).observe(*ids)
    assert {entry.phase for entry in entries} == {Phase.DONE}
    assert cloud.operations() == ["ListObjectsV2"]
    assert cloud.calls[0].params["Prefix"] == "dr/ami-"


MANY = [f"ami-{number:08x}" for number in range(21)]
LATER = NOON + timedelta(minutes=5)


def put_stored(cloud: Cloud, manifest_from: datetime, **document: Any) -> None:
    """Leave 21 stored images with manifests of that age, all tagged by us."""
    content = {"format_version": 1, "object_tag_keys": ["a"], "stored_image": None, **document}
    for image_id in MANY:
        cloud.objects[f"{image_id}.bin"] = Thing(tags={"a": "1"})
        cloud.objects[f"{image_id}.json"] = Thing(
            json.dumps(content).encode(), modified=manifest_from
        )


def test_a_manifest_that_a_listing_shows_to_be_written_after_the_object_is_not_read(
    storing: Storing, cloud: Cloud
) -> None:
    put_stored(cloud, LATER)
    entries = storing.observe(*MANY)
    assert {entry.phase for entry in entries} == {Phase.DONE}
    assert [entry.manifest_key for entry in entries] == [f"{each}.json" for each in MANY]
    assert not any(entry.changed for entry in entries)
    assert cloud.operations() == ["ListObjectsV2"]


def test_a_manifest_that_was_written_when_the_task_started_is_completed(
    storing: Storing, cloud: Cloud
) -> None:
    put_stored(cloud, NOON + timedelta(seconds=30))
    entries = storing.observe(*MANY)
    assert all(entry.changed for entry in entries)
    stored = storing.manifest(f"{MANY[0]}.json")["stored_image"]
    assert stored["etag"] == cloud.objects[f"{MANY[0]}.bin"].etag


def test_a_missing_manifest_is_made_also_where_a_listing_shows_the_others(
    storing: Storing, cloud: Cloud
) -> None:
    put_stored(cloud, LATER)
    cloud.add_image(MANY[3])
    del cloud.objects[f"{MANY[3]}.json"]
    entries = storing.observe(*MANY)
    assert [entry.image_id for entry in entries if entry.changed] == [MANY[3]]
    assert cloud.operations().count("PutObject") == 1


def test_tags_that_are_as_wanted_need_no_manifest(storing_with: StoringWith, cloud: Cloud) -> None:
    put_stored(cloud, LATER)
    entries = storing_with(tags={"a": "1"}, purge_tags=True).observe(*MANY)
    assert not any(entry.changed for entry in entries)
    assert cloud.operations() == ["ListObjectsV2"] + ["GetObjectTagging"] * 21


def test_tags_that_are_not_as_wanted_are_changed_and_entered_in_the_manifest_first(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    put_stored(cloud, LATER, stored_image={"etag": Thing().etag})
    storing_with(tags={"b": "2"}).observe(*MANY)
    assert cloud.mutations()[:2] == ["PutObject", "PutObjectTagging"]
    assert len(cloud.mutations()) == 42
    assert cloud.objects[f"{MANY[0]}.bin"].tags == {"a": "1", "b": "2"}
    document = json.loads(cloud.objects[f"{MANY[0]}.json"].body)
    assert document["object_tag_keys"] == ["a", "b"]


def test_purging_reads_the_manifest_before_a_tag_is_removed_and_forgets_the_key_after(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    put_stored(cloud, LATER, stored_image={"etag": Thing().etag})
    storing_with(tags={"b": "2"}, purge_tags=True).observe(*MANY)
    assert cloud.mutations()[:3] == ["PutObject", "PutObjectTagging", "PutObject"]
    assert cloud.objects[f"{MANY[0]}.bin"].tags == {"b": "2"}
    document = json.loads(cloud.objects[f"{MANY[0]}.json"].body)
    assert document["object_tag_keys"] == ["b"]


def asked_by_ids(cloud: Cloud) -> list[list[str]]:
    calls = cloud.params("DescribeStoreImageTasks")
    return [call["ImageIds"] for call in calls if "ImageIds" in call]


def asked_by_bucket(cloud: Cloud) -> int:
    calls = cloud.params("DescribeStoreImageTasks")
    return [call.get("Filters") for call in calls].count([{"Name": "bucket", "Values": [BUCKET]}])


def test_one_page_of_the_bucket_tells_the_older_tasks_of_many(
    storing: Storing, cloud: Cloud
) -> None:
    for image_id in MANY:
        cloud.add_image(image_id)
    cloud.add_task(MANY[3], "Failed", minutes=-60)
    newer = cloud.add_task(MANY[3], "Failed", minutes=-30)
    entries = storing.observe(*MANY)
    assert asked_by_bucket(cloud) == 0
    for entry in reversed(entries):
        storing.operation.start(entry)
    assert (asked_by_bucket(cloud), asked_by_ids(cloud)) == (1, [])
    assert entries[3].older_tasks_until == newer["TaskStartTime"]


def test_where_the_bucket_has_had_many_tasks_twenty_amis_are_asked_about_at_a_time(
    storing: Storing, cloud: Cloud
) -> None:
    for image_id in MANY:
        cloud.add_image(image_id)
    for minutes in range(201):
        cloud.add_task(DB, "Completed", minutes=-minutes)
    entries = storing.observe(*MANY)
    for entry in reversed(entries):
        storing.operation.start(entry)
    assert asked_by_ids(cloud) == [[MANY[20], *MANY[:19]], [MANY[19]]]


def add_many_failures(cloud: Cloud) -> None:
    """More than one page shows."""
    for minutes in range(100, 301):
        cloud.add_task(DB, "Failed", minutes=-minutes, bucket="other")


def test_what_ran_last_is_asked_again_where_surveys_do_not_tell(
    storing: Storing, cloud: Cloud
) -> None:
    for image_id in MANY:
        cloud.add_image(image_id)
    add_many_failures(cloud)
    first, second, *_others = storing.observe(*MANY)
    storing.operation.start(first)
    storing.clock.sleep(LONGEST_KNOWN + 1.0)
    failed = cloud.add_task(MANY[1], "Failed")
    storing.operation.start(second)
    assert asked_by_ids(cloud) == [[MANY[1], *MANY[2:]]]
    assert second.older_tasks_until == failed["TaskStartTime"]


def test_surveys_tell_of_tasks_that_fail_before_a_start(storing: Storing, cloud: Cloud) -> None:
    for image_id in MANY:
        cloud.add_image(image_id)
    first, second, *_others = storing.observe(*MANY)
    storing.start(first)
    failed = cloud.add_task(MANY[1], "Failed")
    cloud.add_task(MANY[1], "Failed", minutes=-60)
    storing.survey(first)
    storing.clock.sleep(LONGEST_KNOWN)
    cloud.calls.clear()
    storing.operation.start(second)
    assert cloud.params("DescribeStoreImageTasks") == []
    assert second.older_tasks_until == failed["TaskStartTime"]


def test_what_this_run_has_asked_for_is_not_taken_for_an_older_task(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.faults["CreateStoreImageTask"] = [Refusal("InternalError", "", 500)]
    (entry,) = storing.observe(WEB)
    storing.operation.start(entry)
    cloud.add_task(WEB, "Failed")
    storing.clock.sleep(LONGEST_KNOWN + 1.0)
    storing.operation.start(entry)
    assert entry.older_tasks_until is None


def test_what_ran_last_is_asked_again_after_a_throttled_request(
    storing: Storing, cloud: Cloud
) -> None:
    """AWS has not executed it, so what shows is somebody else's."""
    cloud.add_image(WEB)
    add_many_failures(cloud)
    cloud.faults["CreateStoreImageTask"] = [Refusal("RequestLimitExceeded", "", 503)]
    (entry,) = storing.observe(WEB)
    storing.operation.start(entry)
    failed = cloud.add_task(WEB, "Failed")
    storing.clock.sleep(LONGEST_KNOWN + 1.0)
    storing.operation.start(entry)
    assert entry.older_tasks_until == failed["TaskStartTime"]


def test_failed_tasks_are_seen_beside_those_in_progress_unless_they_are_many(
    storing: Storing, cloud: Cloud
) -> None:
    """A month of failures is not read every two minutes."""
    cloud.add_image(WEB)
    for minutes in range(1, 202):
        cloud.add_task(DB, "Failed", minutes=-minutes)
    entry = storing.started()
    cloud.calls.clear()
    storing.survey(entry)
    storing.survey(entry)
    states = [call["Filters"] for call in cloud.params("DescribeStoreImageTasks")]
    assert states == [[{"Name": "task-state", "Values": ["InProgress"]}]] * 2
    assert entry.phase is Phase.RUNNING


def test_a_listing_that_needs_many_pages_gives_way_to_single_looks(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    ids = [f"ami-{number:08x}" for number in range(30)]
    for number in range(100):
        cloud.objects[f"ami-{number:08x}.bin"] = Thing()
    cloud.page_size = 30
    storing = storing_with(manifest=False)
    entries = storing.observe(*ids)
    cloud.calls.clear()
    storing.operation.look(entries)
    assert cloud.operations() == ["HeadObject"] * 30


def test_without_the_right_to_list_single_keys_are_looked_at(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    ids = [f"ami-{number:08x}" for number in range(21)]
    cloud.denials["ListObjectsV2"] = forbidden()
    for image_id in ids:
        cloud.objects[f"{image_id}.bin"] = Thing()
    entries = storing_with(manifest=False).observe(*ids)
    assert {entry.phase for entry in entries} == {Phase.DONE}
    assert cloud.operations().count("HeadObject") == 21


def test_a_key_that_may_only_be_listed_is_there_or_missing(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(DB)
    cloud.objects.update({KEY: Thing(b"12345"), MANIFEST: Thing(b"{}")})
    cloud.denials["HeadObject"] = forbidden_head()
    there, missing = storing.observe(WEB, DB)
    assert (there.phase, there.stored and there.stored.size) == (Phase.DONE, 5)
    assert missing.phase is Phase.READY


def test_a_forbidden_key_fails_its_entry_only(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(DB)
    cloud.faults["HeadObject"] = [forbidden_head()]
    cloud.denials["ListObjectsV2"] = forbidden()
    hidden, other = storing.observe(WEB, DB)
    assert (hidden.phase, hidden.changed) == (Phase.FAILED, False)
    assert "s3:ListBucket" in shown(hidden)["failure_reason"]
    assert other.phase is Phase.READY


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ({"root": "instance-store"}, "its root device is 'instance-store'; only EBS-backed"),
        ({"virtualization": "paravirtual"}, "it is paravirtual"),
        ({"state": "pending"}, "it is in state 'pending'"),
        ({"state": "transient"}, "it is in state 'transient'"),
        ({"state": "failed"}, "it is in state 'failed'"),
        ({"state": "invalid"}, "it is in state 'invalid'"),
        ({"state": "deregistered"}, "it is in state 'deregistered'"),
    ],
)
def test_an_ami_that_cannot_be_stored_fails_its_entry_only(
    details: dict[str, str], told: str, storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB, **details)
    cloud.add_image(DB)
    bad, good = storing.observe(WEB, DB)
    assert bad.phase is Phase.FAILED
    assert bad.reason.startswith(told)
    assert good.phase is Phase.READY


def test_an_unknown_ami_fails_its_entry_only(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(DB)
    unknown, good = storing.observe(WEB, DB)
    assert unknown.reason.startswith(f"{WEB} is not visible to this account in this Region")
    assert (good.phase, good.size) == (Phase.READY, 28)


def test_an_enormous_ami_is_warned_about_and_tried(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] = 5000
    (entry,) = storing.observe()
    assert entry.phase is Phase.READY
    assert storing.warnings == [
        f"{WEB} has 5020 GiB of volumes; AWS documents 5000 GB as the most it stores."
    ]


def test_the_largest_ami_that_aws_documents_is_not_warned_about(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] = 4980
    storing.observe()
    assert storing.warnings == []


def test_the_work_of_others_is_counted_by_size(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.add_image(DB)
    cloud.add_task(DB, bucket="other")
    cloud.add_task("ami-0000gone", bucket="other")
    storing.observe()
    assert (storing.operation.foreign_tasks, storing.operation.foreign_size) == (2, 28)


@pytest.mark.parametrize("place", [{"bucket": "other"}, {"key": f"else/{KEY}"}])
def test_the_same_ami_in_another_place_is_the_work_of_others(
    place: dict[str, str], storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    cloud.add_task(WEB, minutes=9, **place)
    storing.operation.survey([entry])
    assert (storing.operation.foreign_tasks, storing.operation.foreign_size) == (1, 28)


def test_this_runs_work_is_not_counted_as_others(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    storing.survey(entry)
    assert (storing.operation.foreign_tasks, storing.operation.foreign_size) == (0, 0)


# Start


def test_a_start_sends_prefix_and_tags_and_writes_the_manifest(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.add_image(WEB, "web-1", tags={"Name": "web"})
    cloud.permissions[WEB] = [{"Group": "all"}]
    storing = storing_with(prefix="dr", tags={"week": "7"})
    (entry,) = storing.observe()
    storing.start(entry)
    assert cloud.params("CreateStoreImageTask") == [
        {
            "ImageId": WEB,
            "Bucket": f"{BUCKET}/dr",
            "S3ObjectTags": [{"Key": "week", "Value": "7"}],
        }
    ]
    document = storing.manifest(f"dr/{MANIFEST}")
    assert document["image"] == cloud.images[WEB]
    assert [item["SnapshotId"] for item in document["snapshots"]] == list(cloud.snapshots)
    assert document["launch_permissions"] == [{"Group": "all"}]
    assert document["object_tag_keys"] == ["week"]
    assert document["object_key"] == f"dr/{KEY}"
    assert document["stored_image"] is None
    assert shown(entry)["manifest_key"] == f"dr/{MANIFEST}"


def test_launch_permissions_that_may_not_be_read_are_warned_about_once(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.add_image(DB)
    cloud.denials["DescribeImageAttribute"] = Refusal("UnauthorizedOperation", status=403)
    for entry in storing.observe(WEB, DB):
        storing.start(entry)
    assert storing.manifest()["launch_permissions"] is None
    (warning,) = set(storing.warnings)
    assert warning.startswith("ec2:DescribeImageAttribute was refused")


def test_a_manifest_tells_the_uefi_data_of_an_ami_that_boots_by_it(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)["BootMode"] = "uefi-preferred"
    cloud.uefi_data[WEB] = "Hello World!"
    storing.started()
    assert storing.manifest()["uefi_data_sha256"].startswith("7f83b1657ff1fc53")
    assert "Hello" not in json.dumps(storing.manifest())


def test_uefi_data_is_asked_for_only_where_an_ami_boots_by_it(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    storing.started()
    assert storing.manifest()["uefi_data_sha256"] is None
    asked = [params["Attribute"] for params in cloud.params("DescribeImageAttribute")]
    assert asked == ["launchPermission"]


def test_expired_credentials_write_no_manifest_without_launch_permissions(
    storing: Storing, cloud: Cloud
) -> None:
    """The manifest is written when the image is there, with what EC2 tells then."""
    cloud.add_image(WEB)
    cloud.permissions[WEB] = [{"Group": "all"}]
    cloud.denials["DescribeImageAttribute"] = Refusal("RequestExpired", "Request has expired.")
    entry = storing.started()
    assert MANIFEST not in cloud.objects
    (warning,) = storing.warnings
    assert "RequestExpired" in warning
    cloud.objects[KEY] = Thing()
    with pytest.raises(AnsibleAWSError, match="RequestExpired"):
        storing.look(entry)
    assert MANIFEST not in cloud.objects
    del cloud.denials["DescribeImageAttribute"]
    storing.look(entry)
    assert entry.phase is Phase.DONE
    assert storing.manifest()["launch_permissions"] == [{"Group": "all"}]


def test_snapshots_that_cannot_be_seen_are_left_out(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    first, second = cloud.snapshots
    del cloud.snapshots[first]
    storing.started()
    assert [item["SnapshotId"] for item in storing.manifest()["snapshots"]] == [second]


def test_no_manifest_is_written_when_none_is_wanted(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    entry = storing_with(manifest=False).started()
    assert cloud.mutations() == ["CreateStoreImageTask"]
    assert shown(entry)["manifest_key"] is None


def test_the_key_that_aws_chose_is_the_one_that_is_waited_for(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.replies["CreateStoreImageTask"] = lambda _params: {"ObjectKey": f"x/{KEY}"}
    entry = storing.started()
    cloud.objects[f"x/{KEY}"] = Thing()
    storing.look(entry)
    assert (entry.phase, shown(entry)["object_key"]) == (Phase.DONE, f"x/{KEY}")
    assert shown(entry)["manifest_key"] == f"x/{MANIFEST}"


def test_a_refused_start_writes_nothing(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.denials["CreateStoreImageTask"] = Refusal("UnauthorizedOperation", "no", 403)
    (entry,) = storing.observe()
    assert storing.operation.start(entry).answer is Answer.FAILED
    assert cloud.mutations() == ["CreateStoreImageTask"]


def test_a_stale_manifest_is_replaced_on_start(storing: Storing, cloud: Cloud) -> None:
    """Its object was deleted, so it describes nothing any more."""
    cloud.add_image(WEB, "as it is")
    write_manifest(storing, etag="former")
    storing.started()
    assert storing.manifest()["image"]["Name"] == "as it is"
    assert storing.manifest()["stored_image"] is None


def test_a_manifest_that_cannot_be_written_is_tried_again_when_the_object_is_there(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.faults["PutObject"] = [forbidden()]
    entry = storing.started()
    assert entry.manifest_key is None
    assert len(storing.warnings) == 1
    assert storing.warnings[0].startswith(f"{WEB}: Failed to write s3://{BUCKET}/{MANIFEST}")
    cloud.complete(cloud.tasks[0])
    storing.look(entry)
    assert (entry.phase, entry.manifest_key) == (Phase.DONE, MANIFEST)
    assert storing.manifest()["image"]["ImageId"] == WEB


# Look and survey


def test_the_object_is_the_one_proof_of_completion(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    storing.look(entry)
    assert shown(entry)["state"] == "InProgress"
    cloud.complete(cloud.tasks[0], b"12345")
    storing.look(entry)
    assert entry.phase is Phase.DONE
    assert (shown(entry)["state"], shown(entry)["size"]) == ("Completed", 5)
    assert shown(entry)["progress_percentage"] == 100


def test_a_survey_reads_the_progress(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    assert shown(entry)["progress_percentage"] is None
    cloud.tasks[0]["ProgressPercentage"] = 42
    storing.survey(entry)
    assert shown(entry)["progress_percentage"] == 42
    assert shown(entry)["task_start_time"] == cloud.tasks[0]["TaskStartTime"].isoformat()


def test_a_manifest_is_written_once_and_completed_once(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB, "as it was")
    entry = storing.started()
    storing.survey(entry)
    cloud.images[WEB]["Name"] = "changed since"
    cloud.complete(cloud.tasks[0], b"12345")
    storing.look(entry)
    document = storing.manifest()
    assert document["image"]["Name"] == "as it was"
    assert document["stored_image"] == {
        "etag": cloud.objects[KEY].etag,
        "size": 5,
        "task_start_time": cloud.tasks[0]["TaskStartTime"].isoformat(),
    }
    assert cloud.operations().count("PutObject") == 2


def test_an_object_at_the_manifests_key_that_is_none_is_left_alone(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.objects[manifest_key(KEY)] = Thing(b'{"my": "record"}')
    entry = storing.started()
    cloud.complete(cloud.tasks[0])
    storing.look(entry)
    assert cloud.objects[manifest_key(KEY)].body == b'{"my": "record"}'
    assert entry.phase is Phase.DONE
    assert any("is not a manifest" in warning for warning in storing.operation.warnings)


def test_an_empty_object_is_no_stored_image(storing: Storing, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing(b"")
    (entry,) = storing.observe()
    assert (entry.phase, entry.state) == (Phase.FAILED, "NotStarted")
    assert "is there but empty" in entry.reason


def test_a_completed_task_whose_key_may_no_longer_be_looked_at_is_told_as_that(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    storing.survey(entry)
    cloud.complete(cloud.tasks[0])
    cloud.denials.update(HeadObject=forbidden_head(), ListObjectsV2=forbidden())
    storing.survey(entry)
    assert entry.phase is Phase.FAILED
    assert "S3 answered 403" in entry.reason


def test_a_manifest_that_cannot_be_completed_now_is_tried_again(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    cloud.complete(cloud.tasks[0])
    cloud.denials["PutObject"] = Refusal("SlowDown", status=503)
    storing.look(entry)
    assert entry.phase is Phase.RUNNING
    assert "SlowDown" in entry.reason
    del cloud.denials["PutObject"]
    storing.look(entry)
    assert (entry.phase, entry.reason) == (Phase.DONE, "")
    assert storing.manifest()["stored_image"]["etag"] == cloud.objects[KEY].etag


@pytest.mark.parametrize(
    ("reason", "told"), [("snapshot deleted", "snapshot deleted"), ("", "AWS gave no reason")]
)
def test_a_task_that_aws_calls_failed_is_failed(
    reason: str, told: str, storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    cloud.tasks[0].update(StoreTaskState="Failed", StoreTaskFailureReason=reason)
    cloud.calls.clear()
    storing.survey(entry)
    assert (entry.phase, entry.changed) == (Phase.FAILED, True)
    assert cloud.operations().count("DescribeStoreImageTasks") == 2
    assert shown(entry)["failure_reason"] == f"the store task failed: {told}"
    assert shown(entry)["state"] == "Failed"


def test_a_failure_of_a_task_that_was_seen_needs_no_second_question(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    storing.survey(entry)
    cloud.tasks[0].update(StoreTaskState="Failed", StoreTaskFailureReason="today")
    cloud.calls.clear()
    storing.survey(entry)
    assert entry.reason == "the store task failed: today"
    assert cloud.operations().count("DescribeStoreImageTasks") == 1


@pytest.mark.parametrize("seen", [True, False], ids=["seen in progress", "never seen"])
def test_an_earlier_failure_that_is_listed_late_is_not_taken_for_this_runs(
    seen: bool, storing: Storing, cloud: Cloud
) -> None:
    """What a killed run had started fails unlisted; this run's task is complete, and its object
    does not show yet.
    """
    cloud.add_image(WEB)
    entry = storing.started()
    cloud.add_task(WEB, "Failed", minutes=-1, StoreTaskFailureReason="of the killed run")
    if seen:
        storing.survey(entry)
    cloud.tasks[0]["StoreTaskState"] = "Completed"
    storing.survey(entry)
    assert (entry.phase, entry.reason) == (Phase.RUNNING, "")
    cloud.objects[KEY] = Thing()
    storing.look(entry)
    assert entry.phase is Phase.DONE


def test_yesterdays_failure_is_never_taken_for_this_runs(storing: Storing, cloud: Cloud) -> None:
    """The new task is not listed yet, so AWS still shows the old one as the newest."""
    cloud.add_image(WEB)
    cloud.add_task(WEB, "Failed", StoreTaskFailureReason="yesterday")
    entry = storing.started()
    hidden = cloud.tasks.pop(0)
    cloud.calls.clear()
    storing.survey(entry)
    assert entry.phase is Phase.RUNNING
    assert cloud.operations().count("DescribeStoreImageTasks") == 2
    cloud.tasks.insert(0, hidden)
    hidden.update(StoreTaskState="Failed", StoreTaskFailureReason="today")
    storing.survey(entry)
    assert entry.reason == "the store task failed: today"


def test_a_task_that_is_not_listed_yet_says_nothing(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    cloud.tasks.clear()
    cloud.calls.clear()
    storing.operation.survey([entry])
    assert cloud.operations() == ["DescribeStoreImageTasks"]
    storing.survey(entry)
    assert entry.phase is Phase.RUNNING


def test_an_object_that_appears_between_two_looks_ends_the_task_well(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    cloud.complete(cloud.tasks[0])
    storing.survey(entry)
    assert entry.phase is Phase.DONE


def test_completed_without_an_object_is_believed_when_said_twice(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    cloud.tasks[0]["StoreTaskState"] = "Completed"
    storing.survey(entry)
    assert entry.phase is Phase.RUNNING
    storing.survey(entry)
    assert entry.phase is Phase.FAILED
    assert f"AWS calls the store task Completed, but s3://{BUCKET}/{KEY} is not" in entry.reason
    assert shown(entry)["state"] == "NotStarted"


def test_completed_with_an_object_whose_tags_cannot_be_read_yet_goes_on(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    storing = storing_with(tags={"Team": "web"})
    entry = storing.started()
    cloud.tasks[0]["StoreTaskState"] = "Completed"
    cloud.objects[KEY] = Thing()
    cloud.denials["GetObjectTagging"] = Refusal("InternalError", "wait", 500)
    for _survey in range(3):
        storing.survey(entry)
        assert (entry.phase, shown(entry)["state"]) == (Phase.RUNNING, "Completed")
    del cloud.denials["GetObjectTagging"]
    storing.survey(entry)
    assert entry.phase is Phase.DONE


def test_refused_credentials_at_the_end_leave_the_stored_image_to_the_next_run(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    storing = storing_with(tags={"Team": "web"})
    entry = storing.started()
    cloud.objects[KEY] = Thing()
    cloud.denials["GetObjectTagging"] = Refusal("ExpiredToken", "too old")
    with pytest.raises(AmiStoreError, match="read the tags"):
        storing.look(entry)
    assert (entry.phase, shown(entry)["state"]) == (Phase.RUNNING, "Completed")


def test_a_task_that_only_its_own_record_shows_in_progress_goes_on(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    usual = cloud.usual("DescribeStoreImageTasks")

    def lagging(params: dict[str, Any]) -> dict[str, Any]:
        return usual(params) if "ImageIds" in params else {"StoreImageTaskResults": []}

    cloud.replies["DescribeStoreImageTasks"] = lagging
    for _time in range(3):
        storing.survey(entry)
    assert (entry.phase, shown(entry)["state"]) == (Phase.RUNNING, "InProgress")


def test_completed_before_the_object_shows_is_waited_for(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    cloud.tasks[0]["StoreTaskState"] = "Completed"
    storing.survey(entry)
    cloud.objects[KEY] = Thing()
    storing.look(entry)
    assert entry.phase is Phase.DONE


@pytest.mark.parametrize(
    "place",
    [{"bucket": "other"}, {"key": f"else/{KEY}"}],
    ids=["another bucket", "another key of this bucket"],
)
def test_a_failure_hidden_behind_a_newer_task_is_found(
    place: dict[str, str], storing: Storing, cloud: Cloud
) -> None:
    """AWS shows the newest task per AMI only, and somebody else has started one since."""
    cloud.add_image(WEB)
    cloud.add_task(WEB, "Failed", minutes=-60, StoreTaskFailureReason="last week")
    add_many_failures(cloud)
    entry = storing.started()
    cloud.tasks[0].update(StoreTaskState="Failed", StoreTaskFailureReason="today")
    cloud.add_task(WEB, "InProgress", minutes=99, **place)
    storing.survey(entry)
    assert entry.reason == "the store task failed: today"
    assert cloud.params("DescribeStoreImageTasks")[-1]["Filters"] == [
        {"Name": "task-state", "Values": ["Failed"]},
        {"Name": "bucket", "Values": [BUCKET]},
    ]


def test_a_newer_task_elsewhere_proves_no_failure(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.add_task(WEB, "Failed", minutes=-60)
    entry = storing.started()
    del cloud.tasks[0]
    cloud.add_task(WEB, "InProgress", bucket="other", minutes=99)
    storing.survey(entry)
    assert entry.phase is Phase.RUNNING


def test_a_task_of_another_ami_in_the_bucket_proves_no_failure(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    cloud.tasks.clear()
    cloud.add_task(DB, "Failed", minutes=50)
    cloud.add_task(WEB, "InProgress", bucket="other", minutes=99)
    storing.survey(entry)
    assert entry.phase is Phase.RUNNING


# Attach and hold


def test_a_task_of_somebody_else_is_followed(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    task = cloud.add_task(WEB, ProgressPercentage=10)
    (entry,) = storing.observe()
    assert entry.phase is Phase.RUNNING
    assert shown(entry)["state"] == "InProgress"
    assert shown(entry)["progress_percentage"] == 10
    assert "CreateStoreImageTask" not in cloud.operations()
    cloud.complete(task)
    storing.look(entry)
    assert entry.phase is Phase.DONE


def test_the_failure_of_a_task_that_was_attached_to_is_this_runs(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    task = cloud.add_task(WEB)
    (entry,) = storing.observe()
    task.update(StoreTaskState="Failed", StoreTaskFailureReason="no space")
    storing.survey(entry)
    assert entry.reason == "the store task failed: no space"


def test_attaching_writes_a_manifest_only_when_none_is_there(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB, "as it is")
    cloud.add_task(WEB)
    (entry,) = storing.observe()
    assert entry.changed
    assert storing.manifest()["image"]["Name"] == "as it is"


def test_attaching_leaves_a_manifest_of_this_task_alone(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB, "as it is")
    cloud.add_task(WEB)
    write_manifest(storing)
    (entry,) = storing.observe()
    assert not entry.changed
    assert cloud.mutations() == []
    assert entry.manifest_key == MANIFEST


def test_attaching_replaces_the_manifest_of_a_former_object(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB, "as it is")
    cloud.add_task(WEB)
    write_manifest(storing, etag="former")
    storing.observe()
    assert storing.manifest()["image"]["Name"] == "as it is"


def test_attaching_leaves_an_unreadable_manifest_alone(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    task = cloud.add_task(WEB)
    cloud.objects[MANIFEST] = Thing(b"mine")
    (entry,) = storing.observe()
    assert entry.phase is Phase.RUNNING
    cloud.complete(task)
    storing.look(entry)
    assert cloud.objects[MANIFEST].body == b"mine"
    assert (entry.phase, entry.changed) == (Phase.DONE, False)
    assert [warning for warning in storing.warnings if "is not JSON" in warning]


def test_attaching_without_a_manifest_wanted_changes_nothing(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.add_task(WEB)
    (entry,) = storing_with(manifest=False).observe()
    assert not entry.changed
    assert cloud.mutations() == []


def test_an_ami_that_is_stored_elsewhere_is_held_until_that_ends(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    other = cloud.add_task(WEB, bucket="other")
    (entry,) = storing.observe()
    assert (entry.phase, entry.changed) == (Phase.HELD, False)
    assert f"s3://other/{KEY}" in entry.reason
    assert shown(entry)["state"] == "NotStarted"
    storing.survey(entry)
    assert entry.phase is Phase.HELD
    other["StoreTaskState"] = "Completed"
    storing.survey(entry)
    assert entry.phase is Phase.UNSURE
    storing.operation.observe([entry])
    assert (entry.phase, entry.reason) == (Phase.READY, "")


def test_the_foreign_tasks_failure_is_not_ours(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    other = cloud.add_task(WEB, bucket="other", minutes=5)
    (entry,) = storing.observe()
    other.update(StoreTaskState="Failed", StoreTaskFailureReason="theirs")
    storing.survey(entry)
    storing.operation.observe([entry])
    storing.start(entry)
    mine = cloud.tasks.pop(0)
    storing.survey(entry)
    assert entry.phase is Phase.RUNNING
    assert mine["Bucket"] == BUCKET


def test_a_task_into_another_key_of_the_bucket_is_an_error(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.add_task(WEB, key=f"old/{KEY}")
    (entry,) = storing.observe()
    assert entry.phase is Phase.FAILED
    assert f"s3://{BUCKET}/old/{KEY}" in entry.reason


def test_already_exists_without_our_key_is_an_error(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.objects[f"old/{KEY}"] = Thing()
    cloud.denials["CreateStoreImageTask"] = Refusal(
        "InvalidRequest", "The AMI already exists in the bucket."
    )
    (entry,) = storing.observe()
    assert storing.operation.start(entry).answer is Answer.EXISTS
    entry.exists_said = True
    storing.operation.observe([entry])
    assert entry.phase is Phase.FAILED
    assert "under another key" in entry.reason


# What counts for the request rate


def test_what_an_earlier_run_has_started_is_told_once(storing: Storing, cloud: Cloud) -> None:
    cloud.add_task(WEB, key=KEY, minutes=2)
    cloud.add_task(DB, bucket="another-bucket", minutes=1)
    (entry,) = storing.observe()
    assert entry.phase is Phase.RUNNING
    minutes = [NOON + timedelta(minutes=each) for each in (1, 2)]
    assert sorted(storing.operation.starts_seen()) == minutes
    assert storing.operation.starts_seen() == []


def test_what_this_run_has_started_is_not_told(storing: Storing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    entry = storing.started()
    storing.survey(entry)
    assert storing.operation.starts_seen() == []


# What others do meanwhile


def test_an_ami_that_others_have_begun_to_store_meanwhile_is_not_requested(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    (entry,) = storing.observe()
    cloud.add_task(WEB, bucket="another-bucket")
    storing.operation.survey([entry])
    assert storing.operation.start(entry).answer is Answer.BUSY
    assert "CreateStoreImageTask" not in cloud.operations()
    storing.operation.observe([entry])
    assert entry.phase is Phase.HELD


# An answer that got lost


def test_a_lost_answer_whose_task_runs_counts_as_this_runs_start(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.add_task(WEB, "Failed", minutes=-60)
    (entry,) = storing.observe()
    entry.answer_lost = True
    task = cloud.add_task(WEB, minutes=5)
    storing.operation.observe([entry])
    assert (entry.phase, entry.changed) == (Phase.RUNNING, True)
    assert storing.manifest()["image"]["ImageId"] == WEB
    task.update(StoreTaskState="Failed", StoreTaskFailureReason="now")
    storing.survey(entry)
    assert entry.reason == "the store task failed: now"


def test_a_lost_answer_whose_object_is_there_counts_as_a_change(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    storing = storing_with(manifest=False)
    (entry,) = storing.observe()
    entry.answer_lost = True
    cloud.objects[KEY] = Thing()
    storing.operation.observe([entry])
    assert (entry.phase, entry.changed) == (Phase.DONE, True)


def test_a_lost_answer_of_a_request_that_was_not_executed_starts_again(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    (entry,) = storing.observe()
    entry.answer_lost = True
    storing.operation.observe([entry])
    assert (entry.phase, entry.changed) == (Phase.READY, False)


# Keep: the manifest


def test_a_second_run_changes_nothing(storing: Storing, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing()
    write_manifest(storing, etag=cloud.objects[KEY].etag)
    (entry,) = storing.observe()
    assert (entry.phase, entry.changed) == (Phase.DONE, False)
    assert cloud.mutations() == []
    assert (shown(entry)["manifest_key"], shown(entry)["state"]) == (MANIFEST, "Completed")
    assert storing.warnings == []


def test_a_stored_image_without_a_manifest_gets_one_while_its_ami_exists(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.objects[KEY] = Thing(b"12345")
    (entry,) = storing.observe()
    assert (entry.phase, entry.changed) == (Phase.DONE, True)
    assert storing.manifest()["stored_image"] == {
        "etag": cloud.objects[KEY].etag,
        "size": 5,
        "task_start_time": None,
    }


def test_a_stored_image_whose_ami_is_gone_stays_without_a_manifest(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.objects[KEY] = Thing()
    (entry,) = storing.observe()
    assert (entry.phase, entry.changed) == (Phase.DONE, False)
    assert shown(entry)["manifest_key"] is None
    assert len(storing.warnings) == 1
    assert "has no manifest, and none can be made since the AMI is gone" in storing.warnings[0]


def test_a_manifest_that_was_left_incomplete_is_completed_not_rewritten(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB, "changed since")
    cloud.objects[KEY] = Thing()
    write_manifest(storing)
    (entry,) = storing.observe()
    assert entry.changed
    assert storing.manifest()["image"] == {"Name": "as it was"}
    assert storing.manifest()["stored_image"]["etag"] == cloud.objects[KEY].etag


def test_a_manifest_of_another_object_is_warned_about_and_left(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB, "changed since")
    cloud.objects[KEY] = Thing()
    write_manifest(storing, etag="other")
    (entry,) = storing.observe()
    assert (entry.phase, entry.changed) == (Phase.DONE, False)
    assert "describes an object with ETag other" in storing.warnings[0]
    assert cloud.mutations() == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"not json", "is not JSON"),
        (b"{}", "is not a manifest of amistore.aws"),
        (b'{"format_version": 99}', "update the collection"),
    ],
)
def test_an_unreadable_manifest_is_left_alone_with_a_warning(
    content: bytes, told: str, storing: Storing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.objects.update({KEY: Thing(), MANIFEST: Thing(content)})
    (entry,) = storing.observe()
    assert (entry.phase, entry.changed) == (Phase.DONE, False)
    assert cloud.objects[MANIFEST].body == content
    assert told in storing.warnings[0]
    assert storing.warnings[0].endswith("It is left as it is.")


def test_a_manifest_that_may_not_be_read_fails_the_entry_that_is_stored(
    storing: Storing, cloud: Cloud
) -> None:
    cloud.objects.update({KEY: Thing(), MANIFEST: Thing()})
    cloud.denials["GetObject"] = forbidden()
    (entry,) = storing.observe()
    assert entry.phase is Phase.FAILED
    assert entry.reason.startswith(f"it is stored as s3://{BUCKET}/{KEY}, but: Failed to read")
    assert shown(entry)["state"] == "Completed"


# Keep: the tags


def test_tags_that_are_omitted_are_left_alone(storing_with: StoringWith, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing(tags={"theirs": "1"})
    (entry,) = storing_with(manifest=False, purge_tags=True).observe()
    assert not entry.changed
    assert "GetObjectTagging" not in cloud.operations()


def test_tags_are_merged_with_those_that_are_there(storing_with: StoringWith, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing(tags={"theirs": "1", "week": "6"})
    storing = storing_with(manifest=False, tags={"week": "7"})
    (entry,) = storing.observe()
    assert entry.changed
    assert cloud.objects[KEY].tags == {"theirs": "1", "week": "7"}
    assert tag_diffs([entry]) == [
        {
            "before_header": KEY,
            "after_header": KEY,
            "before": {"theirs": "1", "week": "6"},
            "after": {"theirs": "1", "week": "7"},
        }
    ]
    (again,) = storing_with(manifest=False, tags={"week": "7"}).observe()
    assert (again.changed, tag_diffs([again])) == (False, [])


def test_purging_removes_only_what_the_manifest_lists_as_ours(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.objects[KEY] = Thing(tags={"theirs": "1", "old": "2", "week": "6"})
    storing = storing_with(tags={"week": "7"}, purge_tags=True)
    write_manifest(storing, cloud.objects[KEY].etag, object_tag_keys=["old", "week"])
    (entry,) = storing.observe()
    assert cloud.objects[KEY].tags == {"theirs": "1", "week": "7"}
    assert storing.manifest()["object_tag_keys"] == ["week"]
    assert storing.manifest()["image"] == {"Name": "as it was"}
    (again,) = storing_with(tags={"week": "7"}, purge_tags=True).observe()
    assert (entry.changed, again.changed) == (True, False)


def test_purging_without_a_manifest_removes_nothing(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.objects[KEY] = Thing(tags={"theirs": "1"})
    storing_with(tags={}, purge_tags=True).observe()
    assert cloud.objects[KEY].tags == {"theirs": "1"}


def test_purging_reads_the_manifest_even_where_none_is_to_be_written(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.objects[KEY] = Thing(tags={"theirs": "1", "old": "2"})
    storing = storing_with(tags={}, purge_tags=True, manifest=False)
    write_manifest(storing, "e", object_tag_keys=["old"])
    storing.observe()
    assert cloud.objects[KEY].tags == {"theirs": "1"}
    assert cloud.mutations() == ["PutObjectTagging"]


def test_tags_that_are_kept_stay_ours(storing_with: StoringWith, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing(tags={"old": "2"})
    storing = storing_with(tags={"week": "7"})
    write_manifest(storing, cloud.objects[KEY].etag, object_tag_keys=["old"])
    storing.observe()
    assert cloud.objects[KEY].tags == {"old": "2", "week": "7"}
    assert storing.manifest()["object_tag_keys"] == ["old", "week"]


def test_more_than_ten_tags_together_fail_the_entry(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    theirs = {f"theirs{number}": "1" for number in range(9)}
    cloud.objects[KEY] = Thing(tags=theirs)
    (entry,) = storing_with(manifest=False, tags={"a": "1", "b": "2"}).observe()
    assert (entry.phase, entry.changed) == (Phase.FAILED, False)
    assert entry.reason.startswith("2 tags and the 9 that the object has already (theirs0, ")
    assert cloud.mutations() == []
    assert tag_diffs([entry]) == []


def test_refused_tags_fail_the_entry_that_is_stored(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.objects[KEY] = Thing()
    cloud.denials["PutObjectTagging"] = forbidden()
    (entry,) = storing_with(manifest=False, tags={"a": "1"}).observe()
    assert (entry.phase, entry.changed) == (Phase.FAILED, False)
    assert "but: Failed to write the tags of" in entry.reason
    assert shown(entry)["state"] == "Completed"


def test_tags_of_a_store_of_somebody_else_are_set_when_it_is_there(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    task = cloud.add_task(WEB)
    storing = storing_with(tags={"week": "7"})
    (entry,) = storing.observe()
    cloud.complete(task)
    storing.look(entry)
    assert cloud.objects[KEY].tags == {"week": "7"}


# Check mode


def test_check_mode_of_a_start_writes_nothing_and_says_what_it_would(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    storing = storing_with(check_mode=True)
    (entry,) = storing.observe()
    assert storing.operation.try_permission(entry).answer is Answer.WOULD_SUCCEED
    assert (entry.phase, entry.changed) == (Phase.READY, True)
    assert shown(entry)["manifest_key"] == MANIFEST
    assert cloud.mutations() == []


@pytest.mark.parametrize(("wait", "changed"), [(True, True), (False, False)])
def test_check_mode_of_a_held_ami_tells_whether_this_run_would_start_it(
    wait: bool, changed: bool, storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.add_task(WEB, bucket="other")
    (entry,) = storing_with(check_mode=True, wait=wait).observe()
    assert (entry.phase, entry.changed) == (Phase.HELD, changed)


def test_check_mode_of_an_attach_says_whether_the_manifest_would_be_written(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.add_task(WEB)
    (entry,) = storing_with(check_mode=True, wait=False).observe()
    assert entry.changed
    assert cloud.mutations() == []


@pytest.mark.parametrize("wait", [True, False])
def test_check_mode_of_an_attach_says_whether_the_manifest_would_be_completed(
    wait: bool, storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.add_task(WEB)
    storing = storing_with(check_mode=True, wait=wait)
    write_manifest(storing)
    (entry,) = storing.observe()
    assert entry.changed is wait


def test_check_mode_of_a_kept_image_says_what_would_be_written(
    storing_with: StoringWith, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.objects[KEY] = Thing(tags={"theirs": "1"})
    (entry,) = storing_with(check_mode=True, tags={"week": "7"}).observe()
    assert entry.changed
    assert cloud.mutations() == []
    assert tag_diffs([entry])[0]["after"] == {"theirs": "1", "week": "7"}
    assert shown(entry)["manifest_key"] == MANIFEST


# Options


def params(**changes: Any) -> dict[str, Any]:
    return {
        "bucket": BUCKET,
        "prefix": None,
        "expected_bucket_owner": None,
        "tags": None,
        "purge_tags": False,
        "manifest": True,
        "wait": True,
        "wait_timeout": 60,
        "in_flight_gib": 2400,
        "create_burst": 20,
        "seconds_per_create": 5.0,
        **changes,
    }


def test_options_are_cleaned() -> None:
    options = StoreOptions.from_params(
        params(prefix="dr/", expected_bucket_owner=f" {ACCOUNT} ", tags={"week": 7}), True
    )
    assert options == StoreOptions(
        bucket=BUCKET,
        prefix="dr",
        expected_bucket_owner=ACCOUNT,
        tags={"week": "7"},
        wait_timeout=60,
        limits=Limits(Rate(20, 5.0), 2400),
        check_mode=True,
    )
    assert options.url == f"s3://{BUCKET}/dr"
    assert StoreOptions.from_params(params(), False).url == f"s3://{BUCKET}"


def test_tag_keys_of_a_dict_become_a_list_of_aws(storing_with: StoringWith, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    storing_with(tags={"a": "1", "b": "2"}).started()
    sent = cloud.params("CreateStoreImageTask")[0]["S3ObjectTags"]
    assert to_dict(sent) == {"a": "1", "b": "2"}
