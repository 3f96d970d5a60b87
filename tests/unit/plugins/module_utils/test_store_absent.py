# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deleting stored images: a test per row of the table, then what is done."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._fleet import Phase
from ansible_collections.amistore.aws.plugins.module_utils._store import results
from ansible_collections.amistore.aws.plugins.module_utils._store_absent import (
    AbsentEntry,
    Holding,
    Removal,
    why_not_delete,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.unit.cloud import BUCKET, Cloud, Refusal, Thing, forbidden, forbidden_head
from tests.unit.decision_tables import rows

WEB, DB = "ami-0abcdef1", "ami-0abcdef2"
KEY, MANIFEST = f"dr/{WEB}.bin", f"dr/{WEB}.json"
OURS = b'{"format_version": 1, "object_key": "dr/x.bin"}'
RECORD, EVIDENCE = f"dr/{WEB}.copy.json", f"dr/{WEB}.verified.json"
OUR_RECORD = b'{"copy": {"etag": "1"}, "object_key": "dr/x.bin"}'
OUR_EVIDENCE = b'{"schema": 1, "object_key": "dr/x.bin", "etag": "1"}'

EITHER = (False, True)
VERSIONED = {"any": (None, False, True), "yes": (True,), "no or unknown": (None, False)}
WORDS = {"any": EITHER, "yes": (True,), "no": (False,), "there": (True,), "not there": (False,)}
TASKS = {"InProgress": True, "none": False}
MUST_STAY = ("error: AWS can't cancel", "error: the last copy")


@dataclass(frozen=True)
class Case:
    holding: Holding
    force: bool


def cases(row: tuple[str, ...]) -> list[Case]:
    """Return every observation that a row of the docstring's table is about."""
    task, stored, versioned, exists, force, _decision = row
    combinations = itertools.product(
        WORDS[stored], VERSIONED[versioned], WORDS[exists], WORDS[force]
    )
    return [
        Case(Holding(there, TASKS[task], keeps, image), forced)
        for there, keeps, image, forced in combinations
    ]


TABLE = rows(why_not_delete)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: ", ".join(row[:5]))
def test_the_decision_of_a_row(row: tuple[str, ...]) -> None:
    for case in cases(row):
        refused = bool(why_not_delete(case.holding, case.force))
        assert refused is (row[5] in MUST_STAY), case


def test_every_observation_has_exactly_one_row() -> None:
    assert len(TABLE) == 6
    covered = [case for row in TABLE for case in cases(row)]
    assert len(covered) == len(set(covered)) == 2 * 2 * 3 * 2 * 2


def test_a_running_task_is_told() -> None:
    text = why_not_delete(Holding(True, True, True, True), force=True)
    assert "in progress, and AWS cannot cancel it" in text


@pytest.mark.parametrize(
    ("keeps", "told"),
    [(False, "is not versioned"), (None, "may not be versioned (s3:GetBucketVersioning")],
)
def test_the_last_copy_is_told_with_the_way_out(keeps: bool | None, told: str) -> None:
    text = why_not_delete(Holding(True, False, keeps, False), force=False)
    assert text.startswith("this is the last copy: the AMI is gone")
    assert told in text
    assert "force: true" in text


# What is done


@dataclass
class Removing:
    """One removal of stored images under the prefix dr."""

    ec2: Any
    bucket: Bucket

    def __call__(self, *image_ids: str, **options: bool) -> list[AbsentEntry]:
        removal = Removal(self.ec2, self.bucket, **options)
        entries = removal.entries(image_ids, "dr")
        removal.run(entries)
        return entries


@pytest.fixture
def remove(ec2: Any, bucket: Bucket) -> Removing:
    return Removing(ec2, bucket)


def shown(entry: AbsentEntry) -> dict[str, Any]:
    return results([entry], BUCKET)[0]


def test_the_image_goes_first_then_its_manifest(remove: Removing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.objects.update({KEY: Thing(), MANIFEST: Thing(OURS)})
    (entry,) = remove(WEB)
    assert [call["Key"] for call in cloud.params("DeleteObject")] == [KEY, MANIFEST]
    assert cloud.objects == {}
    assert entry.changed
    assert (shown(entry)["state"], shown(entry)["size"]) == ("Absent", None)
    assert (shown(entry)["version_id"], shown(entry)["delete_marker"]) == (None, False)


def test_all_that_lies_beside_goes_with_the_image_the_manifest_last(
    remove: Removing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.objects.update({KEY: Thing(), MANIFEST: Thing(OURS)})
    cloud.objects.update({RECORD: Thing(OUR_RECORD), EVIDENCE: Thing(OUR_EVIDENCE)})
    remove(WEB, check_mode=True)
    assert cloud.mutations() == []
    remove(WEB)
    deleted = [call["Key"] for call in cloud.params("DeleteObject")]
    assert deleted == [KEY, EVIDENCE, RECORD, MANIFEST]


@pytest.mark.parametrize(
    "left", [(EVIDENCE, RECORD, MANIFEST), (RECORD, MANIFEST), (MANIFEST,), (RECORD,)]
)
def test_what_a_deletion_that_was_cut_off_has_left_goes(
    left: tuple[str, ...], remove: Removing, cloud: Cloud
) -> None:
    contents = {EVIDENCE: OUR_EVIDENCE, RECORD: OUR_RECORD, MANIFEST: OURS}
    cloud.objects.update({key: Thing(contents[key]) for key in left})
    (entry,) = remove(WEB)
    assert (entry.changed, cloud.objects) == (True, {})


@pytest.mark.parametrize("key", [RECORD, EVIDENCE])
def test_a_stranger_beside_the_image_stays(key: str, remove: Removing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.objects.update({KEY: Thing(), key: Thing(OURS)})
    (entry,) = remove(WEB)
    assert list(cloud.objects) == [key]
    assert (entry.phase, entry.changed) == (Phase.DONE, True)


def test_nothing_goes_where_what_lies_beside_cannot_be_read(remove: Removing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.objects.update({KEY: Thing(), RECORD: Thing(OUR_RECORD)})
    cloud.denials["GetObject"] = forbidden()
    (entry,) = remove(WEB)
    assert (entry.phase, entry.changed, cloud.mutations()) == (Phase.FAILED, False, [])
    assert RECORD in entry.reason or EVIDENCE in entry.reason


@pytest.mark.parametrize("content", [b'{"my": "record"}', b"no json"])
def test_an_object_beside_the_image_that_is_no_manifest_stays(
    content: bytes, remove: Removing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.objects.update({KEY: Thing(), MANIFEST: Thing(content)})
    (entry,) = remove(WEB)
    assert list(cloud.objects) == [MANIFEST]
    assert (entry.phase, entry.changed) == (Phase.DONE, True)


def test_a_versioned_bucket_tells_the_marker(remove: Removing, cloud: Cloud) -> None:
    cloud.versioning = "Enabled"
    cloud.objects[KEY] = Thing()
    (entry,) = remove(WEB)
    assert (shown(entry)["version_id"], shown(entry)["delete_marker"]) == ("marker-1", True)


def test_the_ami_may_be_gone(remove: Removing, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing()
    (entry,) = remove(WEB, force=True)
    assert entry.phase is Phase.DONE
    assert cloud.objects == {}


def test_the_last_copy_stays(remove: Removing, cloud: Cloud) -> None:
    cloud.objects.update({KEY: Thing(), MANIFEST: Thing(OURS)})
    (entry,) = remove(WEB)
    assert cloud.mutations() == []
    assert not entry.changed
    assert (shown(entry)["state"], shown(entry)["manifest_key"]) == ("Completed", MANIFEST)
    assert "this is the last copy" in shown(entry)["failure_reason"]


@pytest.mark.parametrize(
    ("state", "may_go"),
    [("available", True), ("disabled", True), ("failed", False), ("pending", False)],
)
def test_only_an_ami_that_can_be_used_is_another_copy(
    state: str, may_go: bool, remove: Removing, cloud: Cloud
) -> None:
    cloud.add_image(WEB, state=state)
    cloud.objects[KEY] = Thing()
    remove(WEB)
    assert (KEY not in cloud.objects) is may_go


def test_a_manifest_alone_counts(remove: Removing, cloud: Cloud) -> None:
    cloud.objects[MANIFEST] = Thing(OURS)
    (entry,) = remove(WEB)
    assert entry.changed
    assert cloud.objects == {}


def test_nothing_there_is_no_change(remove: Removing, cloud: Cloud) -> None:
    (entry,) = remove(WEB)
    assert (entry.phase, entry.changed) == (Phase.DONE, False)
    assert cloud.mutations() == []
    assert shown(entry)["state"] == "Absent"


def test_a_store_into_that_key_fails_its_entry_only(remove: Removing, cloud: Cloud) -> None:
    cloud.add_image(DB)
    cloud.add_task(WEB, key=KEY)
    cloud.add_task(DB, key="else/where.bin")
    cloud.objects[f"dr/{DB}.bin"] = Thing()
    running, other = remove(WEB, DB, force=True)
    assert shown(running)["state"] == "InProgress"
    assert "AWS cannot cancel it" in running.reason
    assert (other.phase, other.changed) == (Phase.DONE, True)


def test_a_forbidden_object_fails_its_entry_only(remove: Removing, cloud: Cloud) -> None:
    cloud.faults["HeadObject"] = [forbidden_head()]
    cloud.denials["ListObjectsV2"] = forbidden()
    hidden, other = remove(WEB, DB)
    assert "S3 answered 403" in hidden.reason
    assert shown(hidden)["state"] == "NotStarted"
    assert other.phase is Phase.DONE


def test_a_refused_deletion_is_told(remove: Removing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.objects[KEY] = Thing()
    cloud.denials["DeleteObject"] = forbidden()
    (entry,) = remove(WEB)
    assert entry.reason == f"Failed to delete s3://{BUCKET}/{KEY}: AccessDenied: Access Denied"
    assert not entry.changed
    assert shown(entry)["state"] == "Completed"


def test_a_deletion_whose_answer_got_lost_counts_as_a_change(
    remove: Removing, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.objects[KEY] = Thing()
    cloud.denials["DeleteObject"] = Refusal("InternalError", status=500)
    (entry,) = remove(WEB)
    assert (entry.phase, entry.changed) == (Phase.FAILED, True)


def test_a_manifest_that_stays_behind_is_told(remove: Removing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.objects.update({KEY: Thing(), MANIFEST: Thing(OURS)})

    def only_the_image(params: dict[str, Any]) -> dict[str, Any]:
        if params["Key"] == MANIFEST:
            raise forbidden()
        return cloud.usual("DeleteObject")(params)

    cloud.replies["DeleteObject"] = only_the_image
    (entry,) = remove(WEB)
    assert (entry.phase, entry.changed) == (Phase.FAILED, True)
    assert shown(entry)["state"] == "Absent"
    assert f"s3://{BUCKET}/{MANIFEST}" in entry.reason


def test_check_mode_deletes_nothing_and_says_what_it_would(remove: Removing, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.objects.update({KEY: Thing(), MANIFEST: Thing(OURS)})
    (entry,) = remove(WEB, check_mode=True)
    assert cloud.mutations() == []
    assert (entry.changed, shown(entry)["state"]) == (True, "Absent")


def test_no_entries_are_no_question(remove: Removing, cloud: Cloud) -> None:
    assert remove() == []
    assert cloud.calls == []


def test_many_are_looked_up_in_one_call_each(remove: Removing, cloud: Cloud) -> None:
    remove(*(f"ami-{number:08x}" for number in range(30)))
    counted = {name: cloud.operations().count(name) for name in set(cloud.operations())}
    assert counted == {
        "DescribeStoreImageTasks": 1,
        "DescribeImages": 1,
        "GetBucketVersioning": 1,
        "HeadObject": 60,
        "GetObject": 60,
    }
