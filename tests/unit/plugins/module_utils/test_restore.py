# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring against a small AWS in memory: what is looked at, done, and taken for an end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, Answer
from ansible_collections.amistore.aws.plugins.module_utils._fleet import Phase
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Limits, Rate
from ansible_collections.amistore.aws.plugins.module_utils._restore import (
    ETAG_TAG,
    LOCATION_TAG,
    RestoreEntry,
    RestoreOperation,
    RestoreOptions,
    results,
    tag_diffs,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.unit.cloud import (
    ACCOUNT,
    BUCKET,
    NOON,
    Cloud,
    Refusal,
    Thing,
    forbidden,
    forbidden_head,
    to_dict,
    to_list,
)
from tests.unit.cloud import (
    Answer as Item,
)

WEB, HOLDER = "ami-0abcdef1", "ami-0000beef"
KEY, MANIFEST = f"{WEB}.bin", f"{WEB}.json"


@dataclass
class Restoring:
    """One run's operation; the engine's part is played by the tests."""

    ec2: Any
    bucket: Bucket
    cloud: Cloud
    options: dict[str, Any] = field(default_factory=dict)
    operation: RestoreOperation = field(init=False)

    def __post_init__(self) -> None:
        options = RestoreOptions(BUCKET, **self.options)
        self.operation = RestoreOperation(self.ec2, self.ec2, self.bucket, options)

    def observe(self, name: str | None = "web", **details: Any) -> RestoreEntry:
        entry = RestoreEntry(KEY, object_key=KEY, name=name, **details)
        self.operation.observe([entry])
        return entry

    def start(self, entry: RestoreEntry) -> None:
        """Start as the engine does, which counts an accepted start."""
        assert entry.phase is Phase.READY
        assert self.operation.start(entry).answer is Answer.ACCEPTED
        entry.phase, entry.changed = Phase.RUNNING, True

    def started(self, **details: Any) -> RestoreEntry:
        entry = self.observe(**details)
        self.start(entry)
        return entry

    def look(self, entry: RestoreEntry) -> None:
        self.operation.look([entry])

    @property
    def warnings(self) -> list[str]:
        return self.operation.warnings


RestoringWith = Callable[..., Restoring]


@pytest.fixture
def restoring_with(ec2: Any, bucket: Bucket, cloud: Cloud) -> RestoringWith:
    cloud.objects[KEY] = Thing()
    return lambda **options: Restoring(ec2, bucket, cloud, options)


@pytest.fixture
def restoring(restoring_with: RestoringWith) -> Restoring:
    return restoring_with()


def proof(cloud: Cloud) -> dict[str, str]:
    return {LOCATION_TAG: f"{BUCKET}/{KEY}", ETAG_TAG: cloud.objects[KEY].etag}


def add_holder(cloud: Cloud, state: str = "available", name: str = "web", **details: Any) -> Item:
    """Register an AMI restored from this very object, as an earlier run left it."""
    marked = proof(cloud)
    return cloud.add_image(
        HOLDER,
        name,
        state=state,
        tags=marked | details.pop("tags", {}),
        snapshot={"tags": marked},
        **details,
    )


def write_manifest(cloud: Cloud, name: str | None = "web", encrypted: bool = False) -> None:
    disk = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "Encrypted": encrypted}}
    document = {"format_version": 1, "image": {"Name": name, "BlockDeviceMappings": [disk]}}
    cloud.objects[MANIFEST] = Thing(json.dumps(document).encode())


def shown(entry: RestoreEntry) -> dict[str, Any]:
    return results([entry], BUCKET)[0]


def tags_of(cloud: Cloud, entry: RestoreEntry) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return the tags of the restored AMI and of each of its snapshots."""
    image = cloud.images[str(entry.image_id)]
    ids = [disk["Ebs"]["SnapshotId"] for disk in image["BlockDeviceMappings"] if "Ebs" in disk]
    return to_dict(image["Tags"]), [to_dict(cloud.snapshots[one]["Tags"]) for one in ids]


# The stored image


def test_a_missing_object_fails_its_entry(restoring: Restoring, cloud: Cloud) -> None:
    del cloud.objects[KEY]
    entry = restoring.observe()
    assert entry.phase is Phase.FAILED
    assert entry.reason.startswith(f"s3://{BUCKET}/{KEY} does not exist. Check the key")
    assert shown(entry)["state"] == "NotStarted"
    assert cloud.operations() == ["HeadObject"]


def test_a_forbidden_object_fails_its_entry(restoring: Restoring, cloud: Cloud) -> None:
    cloud.denials["HeadObject"] = forbidden_head()
    entry = restoring.observe()
    assert entry.phase is Phase.FAILED
    assert "S3 answered 403" in entry.reason
    assert "s3:GetObject" in entry.reason


def test_one_bad_stored_image_leaves_the_others_alone(restoring: Restoring, cloud: Cloud) -> None:
    bad = RestoreEntry("x", object_key="x.bin", name="x-name")
    good = RestoreEntry(KEY, object_key=KEY, name="web")
    restoring.operation.observe([bad, good])
    assert (bad.phase, good.phase) == (Phase.FAILED, Phase.READY)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ({"StorageClass": "GLACIER"}, "the object is archived (GLACIER) and cannot be read"),
        ({"StorageClass": "DEEP_ARCHIVE"}, "is archived (DEEP_ARCHIVE)"),
        (
            {"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "DEEP_ARCHIVE_ACCESS"},
            "is archived (DEEP_ARCHIVE_ACCESS)",
        ),
        (
            {"StorageClass": "GLACIER", "Restore": 'ongoing-request="true"'},
            "is archived (GLACIER) and S3 is bringing it back",
        ),
    ],
)
def test_an_archived_object_fails_its_entry(
    head: dict[str, str], told: str, restoring: Restoring, cloud: Cloud
) -> None:
    cloud.objects[KEY] = Thing(head=head)
    entry = restoring.observe()
    assert entry.phase is Phase.FAILED
    assert told in entry.reason
    assert ("aws s3api restore-object" in entry.reason) is ("Restore" not in head)


def test_an_archived_object_that_is_restored_already_is_no_concern(
    restoring: Restoring, cloud: Cloud
) -> None:
    cloud.objects[KEY] = Thing(head={"StorageClass": "GLACIER"})
    add_holder(cloud)
    assert restoring.observe().phase is Phase.DONE


# The manifest and the name


def test_the_manifest_gives_the_name_and_the_size(restoring: Restoring, cloud: Cloud) -> None:
    write_manifest(cloud, "web-1")
    entry = restoring.observe(name=None)
    assert (entry.name, entry.size, entry.phase) == ("web-1", 8, Phase.READY)
    assert entry.label == f"{KEY} as 'web-1'"


def test_a_name_given_wins_over_the_manifests(restoring: Restoring, cloud: Cloud) -> None:
    write_manifest(cloud, "web-1")
    assert restoring.observe(name="mine").name == "mine"


def test_with_a_name_no_manifest_is_needed(restoring: Restoring) -> None:
    entry = restoring.observe()
    assert (entry.phase, entry.size) == (Phase.READY, 0)
    assert restoring.warnings == []


@pytest.mark.parametrize("name", [None, ""])
def test_without_any_name_the_entry_fails(
    name: str | None, restoring: Restoring, cloud: Cloud
) -> None:
    write_manifest(cloud, name)
    entry = restoring.observe(name=None)
    assert entry.phase is Phase.FAILED
    assert f"s3://{BUCKET}/{MANIFEST} gives none" in entry.reason
    assert f"object_key: {KEY!r} and a name" in entry.reason


def test_two_images_without_a_name_share_none(restoring: Restoring, cloud: Cloud) -> None:
    cloud.objects["copy.bin"] = Thing()
    entries = [RestoreEntry(key, object_key=key) for key in (KEY, "copy.bin")]
    restoring.operation.observe(entries)
    assert [entry.phase for entry in entries] == [Phase.FAILED, Phase.FAILED]


def test_a_name_in_a_manifest_that_aws_would_refuse_fails_the_entry(
    restoring: Restoring, cloud: Cloud
) -> None:
    write_manifest(cloud, "n" * 129)
    entry = restoring.observe(name=None)
    assert "an AMI name has 3 to 128" in entry.reason


@pytest.mark.parametrize(
    ("content", "told"), [(b"no", "is not JSON"), (b'{"format_version": 9}', "update")]
)
def test_an_unreadable_manifest_is_warned_about_and_done_without(
    content: bytes, told: str, restoring: Restoring, cloud: Cloud
) -> None:
    cloud.objects[MANIFEST] = Thing(content)
    assert restoring.observe().phase is Phase.READY
    assert told in restoring.warnings[0]
    assert restoring.warnings[0].endswith("The restore goes on without a manifest.")


def test_a_forbidden_manifest_is_warned_about_and_done_without(
    restoring: Restoring, cloud: Cloud
) -> None:
    write_manifest(cloud, "web")
    cloud.denials["GetObject"] = forbidden()
    assert restoring.observe().phase is Phase.READY
    assert "Failed to read" in restoring.warnings[0]


def test_a_manifest_that_is_missing_is_no_forbidden_one(restoring: Restoring, cloud: Cloud) -> None:
    """S3 answers 403 where the right to list holds for a prefix only."""
    cloud.denials["GetObject"] = forbidden()
    assert restoring.observe().phase is Phase.READY
    assert not [warning for warning in restoring.warnings if "Failed to read" in warning]


def test_a_manifest_that_s3_cannot_give_now_is_asked_for_again(
    restoring: Restoring, cloud: Cloud
) -> None:
    """Without it the guard of encrypted disks would be blind."""
    cloud.denials["GetObject"] = Refusal("InternalError", status=500)
    entry = restoring.observe()
    assert entry.phase is Phase.UNSURE
    assert "InternalError" in entry.reason
    del cloud.denials["GetObject"]
    restoring.operation.observe([entry])
    assert (entry.phase, entry.reason) == (Phase.READY, "")


def test_a_name_that_two_manifests_give_fails_those_two_only(
    restoring: Restoring, cloud: Cloud
) -> None:
    write_manifest(cloud, "web")
    cloud.objects["copy.bin"] = Thing()
    cloud.objects["other.bin"] = Thing()
    entries = [
        RestoreEntry(KEY, object_key=KEY),
        RestoreEntry("copy.bin", object_key="copy.bin", name="web"),
        RestoreEntry("other.bin", object_key="other.bin", name="other"),
    ]
    restoring.operation.observe(entries)
    assert [entry.phase for entry in entries] == [Phase.FAILED, Phase.READY, Phase.READY]
    assert entries[0].reason.startswith("2 stored images of this task have the name 'web'")
    assert cloud.mutations() == []


def test_an_object_that_was_replaced_before_the_start_is_looked_at_again(
    restoring: Restoring, cloud: Cloud
) -> None:
    entry = restoring.observe(name="web")
    cloud.objects[KEY] = Thing(b"another image")
    reply = restoring.operation.start(entry)
    assert (reply.answer, entry.stored) == (Answer.BUSY, None)
    assert "has changed since it was looked at" in reply.text
    assert cloud.params("CreateRestoreImageTask") == []


def test_an_object_that_was_replaced_under_the_restore_is_no_proof(
    restoring: Restoring, cloud: Cloud
) -> None:
    entry = restoring.started()
    restoring.operation.look([entry])
    cloud.objects[KEY] = Thing(b"another image")
    cloud.images[entry.image_id]["State"] = "available"
    restoring.operation.look([entry])
    assert entry.phase is Phase.FAILED
    assert "was replaced while" in entry.reason
    assert cloud.objects[KEY].etag in entry.reason


def test_an_ami_that_is_gone_is_given_up_after_three_looks(
    restoring: Restoring, cloud: Cloud
) -> None:
    entry = restoring.started()
    restoring.operation.look([entry])
    del cloud.images[entry.image_id]
    restoring.operation.look([entry])
    restoring.operation.look([entry])
    assert entry.phase is Phase.RUNNING
    restoring.operation.look([entry])
    assert entry.phase is Phase.FAILED
    assert (
        entry.reason == f"{entry.image_id} is gone: somebody deregistered it while it was restored"
    )


def test_an_ami_that_was_never_shown_is_waited_for(restoring: Restoring, cloud: Cloud) -> None:
    entry = restoring.started()
    image = cloud.images.pop(entry.image_id)
    for _look in range(4):
        restoring.operation.look([entry])
    assert entry.phase is Phase.RUNNING
    assert "the Allowed AMIs setting can hide it" in entry.reason
    cloud.images[entry.image_id] = {**image, "State": "available"}
    restoring.operation.look([entry])
    assert (entry.phase, entry.reason) == (Phase.DONE, "")


@pytest.mark.parametrize("content", [b"{", b'{"format_version": 99}', b'{"format_version": 1}'])
def test_a_manifest_that_does_not_tell_of_encryption_stops_the_restore(
    content: bytes, restoring: Restoring, cloud: Cloud
) -> None:
    cloud.encrypts_by_default = False
    cloud.objects[MANIFEST] = Thing(content)
    entry = restoring.observe(name="web")
    assert entry.phase is Phase.FAILED
    assert "EBS encryption by default is off" in entry.reason
    assert "allow_unencrypted: true" in entry.reason


def test_a_manifest_that_does_not_tell_is_no_matter_where_encryption_is_on(
    restoring: Restoring, cloud: Cloud
) -> None:
    cloud.objects[MANIFEST] = Thing(b"{")
    cloud.encrypts_by_default = True
    assert restoring.observe(name="web").phase is Phase.READY


def test_tags_that_cannot_be_written_now_are_tried_again(
    restoring: Restoring, cloud: Cloud
) -> None:
    entry = restoring.started()
    cloud.images[entry.image_id].update(State="available", Tags=[])
    cloud.denials["CreateTags"] = Refusal("InternalError", status=500)
    restoring.operation.look([entry])
    assert entry.phase is Phase.RUNNING
    assert "but: " in entry.reason
    del cloud.denials["CreateTags"]
    restoring.operation.look([entry])
    assert (entry.phase, entry.reason) == (Phase.DONE, "")


# The guard of encrypted disks


def test_encrypted_disks_do_not_come_back_in_the_clear(restoring: Restoring, cloud: Cloud) -> None:
    cloud.encrypts_by_default = False
    write_manifest(cloud, encrypted=True)
    entry = restoring.observe()
    assert entry.phase is Phase.FAILED
    assert entry.reason.startswith("the AMI was encrypted, and EBS encryption by default is off")
    assert "allow_unencrypted: true" in entry.reason


def test_encrypted_disks_come_back_where_ebs_encrypts(restoring: Restoring, cloud: Cloud) -> None:
    write_manifest(cloud, encrypted=True)
    assert restoring.observe().phase is Phase.READY


def test_the_user_may_take_encrypted_disks_in_the_clear(
    restoring_with: RestoringWith, cloud: Cloud
) -> None:
    cloud.encrypts_by_default = False
    write_manifest(cloud, encrypted=True)
    assert restoring_with(allow_unencrypted=True).observe().phase is Phase.READY


def test_disks_that_were_not_encrypted_are_no_concern(restoring: Restoring, cloud: Cloud) -> None:
    cloud.encrypts_by_default = False
    write_manifest(cloud)
    assert restoring.observe().phase is Phase.READY
    assert "GetEbsEncryptionByDefault" not in cloud.operations()


def test_without_a_manifest_the_user_is_warned(restoring: Restoring, cloud: Cloud) -> None:
    cloud.encrypts_by_default = False
    assert restoring.observe().phase is Phase.READY
    assert "its disks come back unencrypted" in restoring.warnings[0]


def test_the_setting_is_asked_for_once_in_a_run(restoring: Restoring, cloud: Cloud) -> None:
    cloud.objects["copy.bin"] = Thing()
    entries = [
        RestoreEntry(key, object_key=key, name=name)
        for key, name in ((KEY, "one"), ("copy.bin", "two"))
    ]
    restoring.operation.observe(entries)
    assert cloud.operations().count("GetEbsEncryptionByDefault") == 1


def test_a_setting_that_may_not_be_read_stops_the_run(restoring: Restoring, cloud: Cloud) -> None:
    cloud.denials["GetEbsEncryptionByDefault"] = forbidden()
    with pytest.raises(AnsibleAWSError, match="EBS encryption by default"):
        restoring.observe()


def test_an_image_that_is_there_already_is_kept_whatever_the_setting(
    restoring: Restoring, cloud: Cloud
) -> None:
    cloud.encrypts_by_default = False
    write_manifest(cloud, encrypted=True)
    add_holder(cloud)
    assert restoring.observe().phase is Phase.DONE


# Start


def test_a_start_names_and_proves_what_it_makes(restoring: Restoring, cloud: Cloud) -> None:
    entry = restoring.started(tags={"team": "a"})
    (sent,) = cloud.params("CreateRestoreImageTask")
    assert (sent["Bucket"], sent["ObjectKey"], sent["Name"]) == (BUCKET, KEY, "web")
    wanted = proof(cloud) | {"team": "a"}
    assert tags_of(cloud, entry) == (wanted, [wanted, wanted])
    assert shown(entry)["image_id"] == entry.image_id
    assert shown(entry)["state"] == "pending"


def test_snapshots_may_have_tags_of_their_own(restoring: Restoring, cloud: Cloud) -> None:
    entry = restoring.started(tags={"team": "a"}, snapshot_tags={"kind": "disk"})
    wanted = proof(cloud) | {"kind": "disk"}
    assert tags_of(cloud, entry) == (proof(cloud) | {"team": "a"}, [wanted, wanted])


def test_empty_snapshot_tags_leave_the_proof_alone(restoring: Restoring, cloud: Cloud) -> None:
    entry = restoring.started(tags={"team": "a"}, snapshot_tags={})
    assert tags_of(cloud, entry)[1] == [proof(cloud), proof(cloud)]


def test_a_refused_start_names_no_ami(restoring: Restoring, cloud: Cloud) -> None:
    cloud.denials["CreateRestoreImageTask"] = Refusal("RequestLimitExceeded", "slow", 503)
    entry = restoring.observe()
    assert restoring.operation.start(entry).answer is Answer.THROTTLED
    assert (shown(entry)["image_id"], shown(entry)["state"]) == (None, "NotStarted")


def test_the_restores_of_others_count_in_size_and_anything_pending_as_traffic(
    restoring: Restoring, cloud: Cloud
) -> None:
    cloud.add_image("ami-00000001", "copy", state="pending")["BlockDeviceMappings"].pop(0)
    cloud.add_image("ami-00000002", "r", state="pending", tags={LOCATION_TAG: "theirs/x.bin"})
    entry = restoring.started()
    restoring.operation.survey([entry])
    assert (restoring.operation.foreign_tasks, restoring.operation.foreign_size) == (2, 28)


# Wait


def test_a_restore_is_followed_to_its_end(restoring: Restoring, cloud: Cloud) -> None:
    entry = restoring.started()
    restoring.look(entry)
    assert (entry.phase, shown(entry)["state"]) == (Phase.RUNNING, "pending")
    cloud.images[str(entry.image_id)]["State"] = "available"
    restoring.look(entry)
    assert (entry.phase, shown(entry)["state"]) == (Phase.DONE, "available")
    assert shown(entry)["progress_percentage"] == 100
    assert shown(entry)["snapshot_ids"] == list(cloud.snapshots)
    assert shown(entry)["encrypted"] is False


def test_an_ami_that_is_not_shown_yet_proves_nothing(restoring: Restoring, cloud: Cloud) -> None:
    entry = restoring.started()
    hidden = cloud.images.pop(str(entry.image_id))
    restoring.look(entry)
    assert (entry.phase, shown(entry)["state"]) == (Phase.RUNNING, "pending")
    cloud.images[str(entry.image_id)] = {**hidden, "State": "available"}
    restoring.look(entry)
    assert entry.phase is Phase.DONE


@pytest.mark.parametrize("state", ["failed", "error", "invalid", "deregistered", "disabled"])
@pytest.mark.parametrize(
    ("reason", "told"),
    [({"Code": "Client.Bad", "Message": "broken"}, "Client.Bad: broken"), ({}, "AWS gave no")],
)
def test_a_restore_that_ended_badly_is_told_with_awss_reason(
    state: str, reason: dict[str, str], told: str, restoring: Restoring, cloud: Cloud
) -> None:
    entry = restoring.started()
    cloud.images[str(entry.image_id)].update(State=state, StateReason=reason)
    restoring.look(entry)
    assert (entry.phase, entry.changed) == (Phase.FAILED, True)
    assert f"ended in state {state!r}: {told}" in shown(entry)["state_reason"]
    assert shown(entry)["state"] == state


def test_the_progress_is_that_of_the_snapshots_by_their_sizes(
    restoring: Restoring, cloud: Cloud
) -> None:
    entry = restoring.started()
    small, large = cloud.snapshots.values()
    small["Progress"], large["Progress"] = "100%", "30%"
    restoring.look(entry)
    restoring.operation.survey([entry])
    assert shown(entry)["progress_percentage"] == (8 * 100 + 20 * 30) // 28


def test_an_ami_that_shows_no_disks_yet_keeps_the_manifests_size(
    restoring: Restoring, cloud: Cloud
) -> None:
    write_manifest(cloud)
    entry = restoring.started()
    cloud.images[str(entry.image_id)]["BlockDeviceMappings"] = []
    restoring.look(entry)
    assert entry.size == 8


def test_progress_without_snapshots_is_none(restoring: Restoring, cloud: Cloud) -> None:
    entry = restoring.started()
    cloud.snapshots.clear()
    restoring.look(entry)
    restoring.operation.survey([entry])
    assert shown(entry)["progress_percentage"] == 0


def test_tags_inside_the_stored_image_do_not_win_for_long(
    restoring: Restoring, cloud: Cloud
) -> None:
    """AWS puts back the tags that were stored; whether they beat ours is not documented."""
    entry = restoring.started(tags={"team": "a"})
    image = cloud.images[str(entry.image_id)]
    image.update(State="available", Tags=to_list({"team": "old", "stored": "1", ETAG_TAG: "old"}))
    restoring.look(entry)
    assert tags_of(cloud, entry)[0] == proof(cloud) | {"team": "a", "stored": "1"}


# An AMI of that name


def test_a_restore_that_is_under_way_is_followed(restoring: Restoring, cloud: Cloud) -> None:
    add_holder(cloud, "pending")
    entry = restoring.observe()
    assert (entry.phase, entry.changed, entry.image_id) == (Phase.RUNNING, False, HOLDER)
    assert entry.size == 28
    assert (restoring.operation.foreign_tasks, restoring.operation.foreign_size) == (0, 0)
    assert shown(entry)["progress_percentage"] == 100


def test_a_restore_under_way_gets_its_tags_when_it_is_there(
    restoring: Restoring, cloud: Cloud
) -> None:
    image = add_holder(cloud, "pending")
    entry = restoring.observe(tags={"team": "a"})
    assert (entry.changed, cloud.mutations()) == (False, [])
    image["State"] = "available"
    restoring.look(entry)
    assert entry.changed
    assert tags_of(cloud, entry)[0] == proof(cloud) | {"team": "a"}


@pytest.mark.parametrize("wait", [True, False])
def test_check_mode_of_a_restore_under_way_predicts_the_tags_of_a_run_that_waits(
    wait: bool, restoring_with: RestoringWith, cloud: Cloud
) -> None:
    add_holder(cloud, "pending")
    entry = restoring_with(check_mode=True, wait=wait).observe(tags={"team": "a"})
    assert (entry.phase, entry.changed) == (Phase.RUNNING, wait)
    assert cloud.mutations() == []


def test_check_mode_that_cannot_foresee_the_tags_says_so(
    restoring_with: RestoringWith, cloud: Cloud
) -> None:
    add_holder(cloud, "pending")
    cloud.faults["DescribeSnapshots"] = [forbidden()]
    restoring = restoring_with(check_mode=True)
    assert restoring.observe().phase is Phase.RUNNING
    assert "Failed to describe the snapshots" in restoring.warnings[0]


def test_a_second_run_changes_nothing(restoring: Restoring, cloud: Cloud) -> None:
    add_holder(cloud)
    entry = restoring.observe()
    assert (entry.phase, entry.changed, entry.image_id) == (Phase.DONE, False, HOLDER)
    assert cloud.mutations() == []
    assert tag_diffs([entry]) == []


def test_a_stranger_of_that_name_is_an_error(restoring: Restoring, cloud: Cloud) -> None:
    cloud.add_image(HOLDER)
    entry = restoring.observe()
    assert (entry.phase, shown(entry)["image_id"]) == (Phase.FAILED, None)
    assert f"taken by {HOLDER} (available)" in entry.reason
    assert cloud.mutations() == []


def test_somebody_elses_ami_of_that_name_does_not_matter(
    restoring: Restoring, cloud: Cloud
) -> None:
    cloud.add_image(HOLDER, owner="444455556666", tags=proof(cloud))
    assert restoring.observe().phase is Phase.READY


def test_an_adopted_ami_gets_the_tags_asked_for_but_never_the_proof(
    restoring_with: RestoringWith, cloud: Cloud
) -> None:
    cloud.add_image(HOLDER, tags={"theirs": "1"})
    entry = restoring_with(adopt=True).observe(tags={"team": "a"})
    assert (entry.phase, entry.changed, entry.image_id) == (Phase.DONE, True, HOLDER)
    assert tags_of(cloud, entry) == (
        {"theirs": "1", "team": "a"},
        [{"team": "a"}, {"team": "a"}],
    )


def test_an_adopted_ami_without_tags_asked_for_is_left_alone(
    restoring_with: RestoringWith, cloud: Cloud
) -> None:
    cloud.add_image(HOLDER)
    entry = restoring_with(adopt=True).observe()
    assert (entry.phase, entry.changed) == (Phase.DONE, False)
    assert cloud.mutations() == []


def test_a_failed_restore_of_ours_makes_way_with_its_own_snapshots(
    restoring: Restoring, cloud: Cloud
) -> None:
    add_holder(cloud, "failed")
    first, second = cloud.snapshots
    cloud.snapshots[second]["Tags"] = to_list({"theirs": "1"})
    entry = restoring.observe()
    assert (entry.phase, entry.changed) == (Phase.READY, False)
    restoring.start(entry)
    assert cloud.mutations() == ["DeregisterImage", "DeleteSnapshot", "CreateRestoreImageTask"]
    assert HOLDER not in cloud.images
    assert first not in cloud.snapshots
    assert second in cloud.snapshots
    assert entry.image_id in cloud.images


def test_a_failed_stranger_is_never_touched(restoring_with: RestoringWith, cloud: Cloud) -> None:
    cloud.add_image(HOLDER, state="failed")
    entry = restoring_with(adopt=True).observe()
    assert entry.phase is Phase.FAILED
    assert cloud.mutations() == []


def test_a_removal_that_is_refused_starts_nothing(restoring: Restoring, cloud: Cloud) -> None:
    add_holder(cloud, "failed")
    cloud.denials["DeregisterImage"] = forbidden()
    entry = restoring.observe()
    with pytest.raises(AnsibleAWSError, match="deregister"):
        restoring.operation.start(entry)
    assert cloud.mutations() == ["DeregisterImage"]
    assert not entry.changed


def test_a_snapshot_that_stays_behind_is_warned_about(restoring: Restoring, cloud: Cloud) -> None:
    add_holder(cloud, "failed")
    cloud.denials["DeleteSnapshot"] = Refusal("InvalidSnapshot.InUse", "in use")
    entry = restoring.started()
    assert entry.phase is Phase.RUNNING
    assert len(restoring.warnings) == 2
    assert restoring.warnings[0].endswith("The snapshot of the failed restore stays.")


def test_a_refused_start_after_a_removal_still_counts_as_a_change(
    restoring: Restoring, cloud: Cloud
) -> None:
    add_holder(cloud, "failed")
    entry = restoring.observe()
    cloud.denials["CreateRestoreImageTask"] = Refusal("UnauthorizedOperation", "no", 403)
    assert restoring.operation.start(entry).answer is Answer.FAILED
    assert entry.changed
    assert restoring.operation.start(entry).answer is Answer.FAILED
    assert cloud.operations().count("DeregisterImage") == 1


# What counts for the request rate


def test_what_an_earlier_run_has_started_is_told_once(restoring: Restoring, cloud: Cloud) -> None:
    add_holder(cloud, "pending")["CreationDate"] = "2026-05-01T12:02:00.000Z"
    assert restoring.observe().phase is Phase.RUNNING
    assert restoring.operation.starts_seen() == [NOON + timedelta(minutes=2)]
    assert restoring.operation.starts_seen() == []


def test_what_this_run_has_started_is_not_told(restoring: Restoring, cloud: Cloud) -> None:
    entry = restoring.started()
    for image in cloud.images.values():
        image["CreationDate"] = "2026-05-01T12:02:00.000Z"
    restoring.operation.survey([entry])
    assert restoring.operation.starts_seen() == []


# Credentials that AWS accepts no longer


def test_refused_credentials_fail_no_stored_image(restoring: Restoring, cloud: Cloud) -> None:
    cloud.denials["HeadObject"] = Refusal("400", "Bad Request")
    cloud.denials["ListObjectsV2"] = Refusal("ExpiredToken", "The provided token has expired.")
    entry = RestoreEntry(KEY, object_key=KEY, name="web")
    with pytest.raises(AmiStoreError):
        restoring.operation.observe([entry])
    assert entry.phase is Phase.UNSURE


def test_refused_credentials_at_the_end_leave_the_ami_to_the_next_run(
    restoring: Restoring, cloud: Cloud
) -> None:
    entry = restoring.started(tags={"Team": "web"})
    [image] = cloud.images.values()
    image["State"], image["Tags"] = "available", []
    cloud.denials["CreateTags"] = Refusal("RequestExpired", "Request has expired.")
    with pytest.raises(AmiStoreError):
        restoring.look(entry)
    assert entry.phase is Phase.RUNNING


# An answer that got lost


@pytest.mark.parametrize(
    ("state", "phase"), [("pending", Phase.RUNNING), ("available", Phase.DONE)]
)
def test_a_lost_answer_whose_ami_is_there_counts_as_this_runs_start(
    state: str, phase: Phase, restoring: Restoring, cloud: Cloud
) -> None:
    entry = restoring.observe()
    entry.answer_lost = True
    add_holder(cloud, state)
    restoring.operation.observe([_unsure(entry)])
    assert (entry.phase, entry.changed, entry.image_id) == (phase, True, HOLDER)


def test_a_lost_answer_of_a_request_that_was_not_executed_starts_again(
    restoring: Restoring, cloud: Cloud
) -> None:
    entry = restoring.observe()
    entry.answer_lost = True
    heads = cloud.operations().count("HeadObject")
    restoring.operation.observe([_unsure(entry)])
    assert (entry.phase, entry.changed) == (Phase.READY, False)
    assert cloud.operations().count("HeadObject") == heads


def _unsure(entry: RestoreEntry) -> RestoreEntry:
    entry.phase = Phase.UNSURE
    return entry


def test_entries_that_have_ended_are_not_decided_again(restoring: Restoring, cloud: Cloud) -> None:
    del cloud.objects[KEY]
    restoring.observe()
    assert "DescribeImages" not in cloud.operations()


# Tags


def test_tags_are_reconciled_on_the_ami_and_its_snapshots(
    restoring: Restoring, cloud: Cloud
) -> None:
    add_holder(cloud, tags={"stored": "1", "team": "old"})
    entry = restoring.observe(tags={"team": "a"})
    wanted = proof(cloud) | {"team": "a"}
    assert tags_of(cloud, entry) == (wanted | {"stored": "1"}, [wanted, wanted])
    assert entry.changed
    assert cloud.mutations() == ["CreateTags"] * 3
    diffs = {diff["before_header"]: diff for diff in tag_diffs([entry])}
    assert list(diffs) == [HOLDER, *cloud.snapshots]
    assert diffs[HOLDER]["before"]["team"] == "old"
    assert diffs[HOLDER]["after"] == wanted | {"stored": "1"}


def test_purging_removes_the_stored_tags_but_never_the_proof(
    restoring_with: RestoringWith, cloud: Cloud
) -> None:
    add_holder(cloud, tags={"stored": "1", "aws:made": "by-aws"})
    entry = restoring_with(purge_tags=True).observe(tags={"team": "a"})
    assert tags_of(cloud, entry)[0] == proof(cloud) | {"team": "a", "aws:made": "by-aws"}
    assert tag_diffs([entry])[0]["after"] == tags_of(cloud, entry)[0]


def test_purging_without_tags_removes_nothing(restoring_with: RestoringWith, cloud: Cloud) -> None:
    add_holder(cloud, tags={"stored": "1"})
    entry = restoring_with(purge_tags=True).observe()
    assert not entry.changed
    assert cloud.mutations() == []


def test_purging_by_empty_tags_removes_all_but_the_proof(
    restoring_with: RestoringWith, cloud: Cloud
) -> None:
    add_holder(cloud, tags={"stored": "1"})
    entry = restoring_with(purge_tags=True).observe(tags={})
    assert entry.changed
    assert cloud.mutations() == ["DeleteTags"]
    assert tags_of(cloud, entry)[0] == proof(cloud)


def test_purging_by_snapshot_tags_leaves_the_amis_tags_alone(
    restoring_with: RestoringWith, cloud: Cloud
) -> None:
    add_holder(cloud, tags={"stored": "1"})
    for snapshot in cloud.snapshots.values():
        snapshot["Tags"] += to_list({"stored": "1"})
    entry = restoring_with(purge_tags=True).observe(snapshot_tags={})
    assert tags_of(cloud, entry) == (
        proof(cloud) | {"stored": "1"},
        [proof(cloud), proof(cloud)],
    )


def test_a_proof_that_a_snapshot_lacks_is_written_again(restoring: Restoring, cloud: Cloud) -> None:
    add_holder(cloud)
    first = next(iter(cloud.snapshots.values()))
    first["Tags"] = []
    entry = restoring.observe()
    assert entry.changed
    assert tags_of(cloud, entry)[1] == [proof(cloud), proof(cloud)]


def test_refused_tags_fail_the_entry_that_is_restored(restoring: Restoring, cloud: Cloud) -> None:
    add_holder(cloud)
    cloud.denials["CreateTags"] = forbidden()
    entry = restoring.observe(tags={"team": "a"})
    assert (entry.phase, entry.changed) == (Phase.FAILED, False)
    assert entry.reason.startswith(f"it is restored as {HOLDER}, but: Failed to tag {HOLDER}")
    assert shown(entry)["state"] == "available"


# Check mode


def test_check_mode_of_a_start_makes_nothing_and_says_what_it_would(
    restoring_with: RestoringWith, cloud: Cloud
) -> None:
    restoring = restoring_with(check_mode=True)
    entry = restoring.observe()
    assert restoring.operation.try_permission(entry).answer is Answer.WOULD_SUCCEED
    assert (entry.phase, entry.changed) == (Phase.READY, True)
    assert cloud.params("CreateRestoreImageTask")[0]["DryRun"] is True
    assert cloud.mutations() == []


def test_check_mode_removes_no_failed_restore(restoring_with: RestoringWith, cloud: Cloud) -> None:
    add_holder(cloud, "failed")
    restoring = restoring_with(check_mode=True)
    entry = restoring.observe()
    restoring.operation.try_permission(entry)
    assert entry.changed
    assert cloud.mutations() == []


def test_check_mode_shows_the_tags_it_would_write(
    restoring_with: RestoringWith, cloud: Cloud
) -> None:
    add_holder(cloud, tags={"stored": "1"})
    entry = restoring_with(check_mode=True, purge_tags=True).observe(tags={"team": "a"})
    assert entry.changed
    assert cloud.mutations() == []
    assert tag_diffs([entry])[0]["after"] == proof(cloud) | {"team": "a"}


# Options


def test_options_are_cleaned() -> None:
    params = {
        "bucket": f" {BUCKET} ",
        "expected_bucket_owner": ACCOUNT,
        "purge_tags": True,
        "adopt": True,
        "allow_unencrypted": True,
        "wait_timeout": 60,
        "wait": False,
        "in_flight_gib": 300,
        "create_burst": 20,
        "seconds_per_create": 5.0,
        "verify": "report",
        "record_evidence": True,
        "launch_permissions": "restore",
        "allowed_launch_permissions": [ACCOUNT, " "],
    }
    assert RestoreOptions.from_params(params, True) == RestoreOptions(
        BUCKET,
        ACCOUNT,
        True,
        True,
        True,
        60,
        Limits(Rate(20, 5.0), 300),
        True,
        False,
        record_evidence=True,
        restores_permissions=True,
        allowed=frozenset({("UserId", ACCOUNT)}),
    )
