# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ec2_ami_restore does when AMIs are back: compare, record evidence, share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._evidence import evidence_key
from ansible_collections.amistore.aws.plugins.modules import ec2_ami_restore
from tests.unit.cloud import (
    ACCOUNT,
    BUCKET,
    NOON,
    REGION,
    Answer,
    Cloud,
    Refusal,
    Thing,
    VirtualClock,
    forbidden,
    to_list,
)
from tests.unit.module_runner import Result, Runner

MODULE = ec2_ami_restore

WEB, DB = "ami-0abcdef1", "ami-0abcdef2"
KEYS = {WEB: f"{WEB}.bin", DB: f"{DB}.bin"}
FRIEND, STRANGER = "222222222222", "333333333333"
UNIT = "arn:aws:organizations::111122223333:ou/o-0123456789/ou-ab12-34567890"
SHARED: list[dict[str, str]] = [
    {"UserId": FRIEND},
    {"UserId": STRANGER},
    {"OrganizationalUnitArn": UNIT},
    {"Group": "all"},
]
SHARING: dict[str, Any] = {
    "launch_permissions": "restore",
    "allowed_launch_permissions": [FRIEND, UNIT],
}
EVERYBODY_NAMED = {
    "launch_permissions": "restore",
    "allowed_launch_permissions": [FRIEND, STRANGER, UNIT],
}
DATE = "Fri, 01 May 2026 12:30:00 GMT"
STRICT: dict[str, Any] = {"verify": "strict"}
RECORDING: dict[str, Any] = {"record_evidence": True}


@dataclass
class World:
    """Two stored images, and how what is restored from them comes back."""

    cloud: Cloud
    run: Runner
    clock: VirtualClock

    def __post_init__(self) -> None:
        self.alter: Callable[[Answer], None] = lambda _image: None
        for image_id, name in ((WEB, "web"), (DB, "database")):
            self.store(image_id, name)
        self.cloud.replies["HeadObject"] = self.dated
        self.clock.during_sleep = [self._complete] * 20

    def store(self, image_id: str, name: str, **changes: Any) -> None:
        thing = Thing(image_id.encode())
        image = Cloud().add_image(image_id, name, tags={"team": "a"}) | changes.pop("image", {})
        document = {
            "format_version": 1,
            "image": image,
            "launch_permissions": SHARED,
            "stored_image": {"etag": thing.etag},
        }
        self.cloud.objects[f"{image_id}.bin"] = thing
        self.cloud.objects[f"{image_id}.json"] = Thing(json.dumps(document | changes).encode())

    def dated(self, params: Answer) -> Answer:
        answer = self.cloud.usual("HeadObject")(params)
        return answer | {"ResponseMetadata": {"HTTPHeaders": {"date": DATE}}}

    def _complete(self) -> None:
        for image in self.cloud.images.values():
            if image["State"] == "pending":
                image["State"] = "available"
                image["Tags"] = to_list(
                    {"team": "a"} | {t["Key"]: t["Value"] for t in image["Tags"]}
                )
                self.alter(image)

    def restore(self, *image_ids: str, **options: Any) -> Result:
        return self.run(bucket=BUCKET, image_ids=list(image_ids or [WEB]), **options)

    def evidence(self, image_id: str = WEB) -> dict[str, Any] | None:
        thing = self.cloud.objects.get(evidence_key(KEYS[image_id]))
        return dict(json.loads(thing.body)) if thing else None

    def shared(self, image_id: str) -> list[dict[str, str]]:
        return self.cloud.permissions.get(image_id, [])


@pytest.fixture
def world(cloud: Cloud, run: Runner, clock: VirtualClock) -> World:
    return World(cloud, run, clock)


def other_boot_mode(image: Answer) -> None:
    image["BootMode"] = "uefi"


# Comparing


def test_what_comes_back_as_it_was_is_equal(world: World) -> None:
    result = world.restore(WEB, DB)
    assert [image["verification"]["equal"] for image in result["images"]] == [True, True]
    assert [image["verification"]["unknown"] for image in result["images"]] == [[], []]
    assert result.warnings == []


def test_a_difference_is_reported_and_no_error(world: World) -> None:
    world.alter = other_boot_mode
    result = world.restore()
    assert not result.failed
    assert result.image["verification"]["equal"] is False
    assert result.image["verification"]["differences"] == [
        {"field": "boot_mode", "expected": None, "actual": "uefi"}
    ]
    (warning,) = result.warnings
    assert f"it is restored as {result.image['image_id']}, but it differs from its" in warning
    assert "boot_mode is 'uefi', was None" in warning


def test_many_that_differ_are_warned_of_in_short(world: World) -> None:
    world.alter = other_boot_mode
    for number in range(12):
        world.store(f"ami-0abcd{number:03}", f"name-{number}")
    result = world.run(bucket=BUCKET, all=True)
    assert len(result["images"]) == 14
    assert len(result.warnings) == 11
    assert "And 4 more AMIs that differ from their manifests" in result.warnings[-1]


def test_strict_makes_a_difference_an_error_and_the_ami_stays(world: World) -> None:
    world.alter = lambda image: other_boot_mode(image) if image["Name"] == "web" else None
    result = world.restore(WEB, DB, **STRICT)
    web, database = result["images"]
    assert (result.failed, result["changed"]) == (True, True)
    assert result["msg"].startswith(f"2 AMIs: 1 failed, 1 restored from s3://{BUCKET}.")
    assert web["state_reason"] == (
        f"it is restored as {web['image_id']}, which stays for inspection, but it differs from its"
        " manifest: boot_mode is 'uefi', was None"
    )
    assert web["state_reason"] in result["msg"]
    assert (web["state"], database["state"]) == ("available", "available")
    assert web["image_id"] in world.cloud.images
    assert database["state_reason"] is None
    assert "DeregisterImage" not in world.cloud.operations()


def test_strict_fails_again_on_what_is_kept_and_changes_nothing(world: World) -> None:
    world.alter = other_boot_mode
    first = world.restore(**STRICT)
    world.cloud.calls.clear()
    for check in (False, True):
        again = world.restore(check=check, **STRICT)
        assert (again.failed, again["changed"]) == (True, False)
        assert again.image["image_id"] == first.image["image_id"]
    assert world.cloud.mutations() == []


def test_without_a_manifest_nothing_is_compared(world: World) -> None:
    del world.cloud.objects[f"{WEB}.json"]
    options: dict[str, Any] = {"object_key": KEYS[WEB], "name": "web"}
    result = world.run(bucket=BUCKET, **options)
    assert not result.failed
    assert result.image["verification"]["equal"] is None
    assert result.image["verification"]["reason"] == "it has no manifest"
    assert (
        world.run(bucket=BUCKET, **options, **STRICT)
        .image["state_reason"]
        .endswith("it was not compared with its manifest: it has no manifest")
    )


def test_with_a_manifest_that_cannot_be_read_nothing_is_compared(world: World) -> None:
    world.cloud.objects[f"{WEB}.json"] = Thing(b"{")
    result = world.run(bucket=BUCKET, object_key=KEYS[WEB], name="web")
    assert not result.failed
    assert "is not JSON" in result.image["verification"]["reason"]


def test_what_is_not_waited_for_is_not_compared(world: World) -> None:
    result = world.restore(wait=False)
    assert result.image["state"] == "pending"
    assert result.image["verification"] == {
        "equal": None,
        "differences": [],
        "unknown": [],
        "reason": "it is not available yet, and the task does not wait for it (wait: false)",
        "stored_encrypted": None,
    }


def test_what_is_there_already_is_compared_without_waiting(world: World) -> None:
    world.restore()
    assert world.restore(wait=False).image["verification"]["equal"] is True


def test_strict_takes_no_manifest_that_does_not_tell_what_counts(world: World) -> None:
    world.store(WEB, "web", stored_image=None)
    result = world.restore(WEB, DB, **STRICT, **SHARING)
    web, database = result["images"]
    assert result.failed
    assert web["verification"]["equal"] is True
    assert web["state_reason"] == (
        f"it is restored as {web['image_id']}, which stays for inspection, but not known, and so"
        " not compared: etag"
    )
    assert world.shared(web["image_id"]) == []
    assert world.shared(database["image_id"])


def test_strict_and_no_wait_are_refused_before_anything_is_changed(world: World) -> None:
    result = world.restore(wait=False, **STRICT)
    assert (result.failed, result["changed"]) == (True, False)
    assert "wait: false does not wait for it" in result["msg"]
    assert world.cloud.calls == []


def test_what_is_not_restored_is_not_compared(world: World) -> None:
    del world.cloud.objects[KEYS[WEB]]
    result = world.restore(WEB, DB)
    reasons = [image["verification"]["reason"] for image in result["images"]]
    assert reasons == ["it is not restored", None]


def test_a_run_that_ends_early_says_that_nothing_was_compared(world: World) -> None:
    world.cloud.denials["HeadBucket"] = Refusal("ExpiredToken")
    result = world.restore()
    assert result.failed
    assert result.image["verification"]["reason"] == "the run ended before"


def test_check_mode_compares_what_is_there_with_the_tags_as_they_would_be(world: World) -> None:
    world.restore()
    result = world.restore(check=True, tags={"team": "b"}, **STRICT)
    assert (result.failed, result["changed"]) == (False, True)
    assert result.image["verification"]["equal"] is True


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"tags": {"own": "1"}}, {"team": "a", "own": "1"}),
        ({"tags": {"own": "1"}, "purge_tags": True}, {"own": "1"}),
    ],
)
def test_tags_that_the_run_brings_in_line_are_no_difference(
    world: World, options: dict[str, Any], left: dict[str, str]
) -> None:
    world.restore()
    result = world.restore(**options)
    assert result.image["verification"]["equal"] is True
    tags = world.cloud.images[result.image["image_id"]]["Tags"]
    assert {t["Key"]: t["Value"] for t in tags if not t["Key"].startswith("amistore:")} == left


def test_a_lost_tag_is_a_difference(world: World) -> None:
    world.alter = lambda image: image.update(Tags=[t for t in image["Tags"] if t["Key"] != "team"])
    assert world.restore().image["verification"]["differences"] == [
        {"field": "tags.team", "expected": "a", "actual": None}
    ]


# UEFI data


@pytest.fixture
def uefi(world: World) -> World:
    """A stored image that boots by UEFI, and comes back doing so."""
    digest = "7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069"
    world.store(WEB, "web", image={"BootMode": "uefi"}, uefi_data_sha256=digest)
    world.alter = other_boot_mode
    return world


@pytest.mark.parametrize(("data", "equal"), [("Hello World!", True), ("other", False)])
def test_uefi_data_is_compared(uefi: World, data: str, equal: bool) -> None:
    uefi.cloud.replies["DescribeImageAttribute"] = lambda params: {
        "ImageId": params["ImageId"],
        "UefiData": {"Value": data},
    }
    result = uefi.restore()
    assert result.image["verification"]["equal"] is equal


def test_uefi_data_that_may_not_be_read_is_unknown(uefi: World) -> None:
    uefi.store(DB, "database", image={"BootMode": "uefi"}, uefi_data_sha256="x")
    uefi.cloud.denials["DescribeImageAttribute"] = Refusal("UnauthorizedOperation")
    result = uefi.restore(WEB, DB, **STRICT)
    assert not result.failed
    assert [i["verification"]["unknown"] for i in result["images"]] == [["uefi_data"]] * 2
    (warning,) = [w for w in result.warnings if "UEFI" in w]
    assert "ec2:DescribeImageAttribute was refused" in warning


def test_uefi_data_that_aws_does_not_tell_is_unknown(uefi: World) -> None:
    uefi.cloud.denials["DescribeImageAttribute"] = Refusal("InternalError", "down", 500)
    result = uefi.restore()
    assert result.image["verification"]["unknown"] == ["uefi_data"]
    (warning,) = [w for w in result.warnings if "UEFI" in w]
    assert "InternalError: down" in warning


def test_credentials_that_end_before_uefi_data_is_read_are_told(uefi: World) -> None:
    uefi.cloud.denials["DescribeImageAttribute"] = Refusal("ExpiredToken", "expired")
    result = uefi.restore()
    assert result.failed
    assert "Stopped: " in result["msg"]
    assert result.image["verification"]["reason"] == "the run ended before"


def test_uefi_data_is_not_asked_for_where_the_manifest_has_none(world: World) -> None:
    world.store(WEB, "web", image={"BootMode": "uefi"})
    world.alter = other_boot_mode
    assert world.restore().image["verification"]["unknown"] == ["uefi_data"]
    assert "DescribeImageAttribute" not in world.cloud.operations()


# Recording


def test_no_evidence_is_recorded_unless_asked_for(world: World) -> None:
    assert world.restore(**STRICT).image["evidence"] is None
    assert world.evidence() is None
    assert "PutObject" not in world.cloud.operations()


def test_evidence_of_a_proven_restore_is_recorded_once(world: World) -> None:
    result = world.restore(WEB, DB, **RECORDING)
    assert not result.failed
    assert result["images"][0]["evidence"] == {
        "verified_at": "2026-05-01T12:30:00+00:00",
        "reason": None,
    }
    written = world.evidence()
    assert written is not None
    assert written | {"collection_version": ""} == {
        "schema": 1,
        "bucket": BUCKET,
        "object_key": KEYS[WEB],
        "etag": world.cloud.objects[KEYS[WEB]].etag,
        "version_id": None,
        "image_id": result["images"][0]["image_id"],
        "account_id": ACCOUNT,
        "region": REGION,
        "restored_at": "2026-05-01T12:00:00+00:00",
        "verified_at": "2026-05-01T12:30:00+00:00",
        "collection_version": "",
    }
    world.cloud.calls.clear()
    for check in (True, False):
        again = world.restore(WEB, DB, check=check, **RECORDING)
        assert (again.failed, again["changed"]) == (False, False)
        assert [i["evidence"] for i in again["images"]] == [i["evidence"] for i in result["images"]]
    assert world.cloud.mutations() == []


def test_check_mode_tells_that_evidence_would_be_written(world: World) -> None:
    world.restore()
    world.cloud.calls.clear()
    result = world.restore(check=True, **RECORDING)
    assert (result.failed, result["changed"]) == (False, True)
    assert result.image["evidence"] == {
        "verified_at": None,
        "reason": "it would be written; check mode writes nothing",
    }
    assert world.cloud.mutations() == []
    assert world.restore(**RECORDING)["changed"]


def test_check_mode_foresees_the_evidence_of_a_restore_in_progress(world: World) -> None:
    world.restore(wait=False)
    assert world.restore(check=True)["changed"] is False
    result = world.restore(check=True, **RECORDING)
    assert result["changed"] is True
    assert result.image["evidence"]["verified_at"] is None
    assert world.restore(check=True, wait=False, **RECORDING)["changed"] is False


@pytest.mark.parametrize(
    ("store", "written"),
    [
        ({"stored_image": None}, None),
        ({"stored_image": {"etag": "other"}}, None),
        ({}, b"{}"),
        ({}, "later"),
    ],
)
def test_check_mode_foresees_no_evidence_where_none_will_be_written(
    world: World, store: dict[str, Any], written: Any
) -> None:
    if written == "later":
        world.restore(**RECORDING)
        evidence = world.evidence()
        world.cloud.images.clear()
        written = json.dumps(evidence).encode()
    world.store(WEB, "web", **store)
    if written:
        world.cloud.objects[evidence_key(KEYS[WEB])] = Thing(written)
    world.restore(wait=False)
    assert world.restore(check=True, **RECORDING)["changed"] is False
    assert world.restore(**RECORDING)["changed"] is False


def test_a_later_restore_renews_the_evidence(world: World) -> None:
    world.restore(**RECORDING)
    later = f"{NOON + timedelta(days=30):%Y-%m-%dT%H:%M:%S.000Z}"
    world.alter = lambda image: image.update(CreationDate=later)
    drill = {"stored_images": [{"object_key": KEYS[WEB], "name": "web-drill"}]}
    result = world.run(bucket=BUCKET, **drill, **RECORDING)
    evidence = world.evidence()
    assert evidence is not None
    assert evidence["image_id"] == result.image["image_id"]
    assert evidence["restored_at"].startswith("2026-05-31")
    # To look at the older one once more proves nothing newer.
    assert world.restore(**RECORDING)["changed"] is False
    assert world.evidence() == evidence


def test_evidence_of_another_object_is_replaced(world: World) -> None:
    world.restore(**RECORDING)
    written = world.evidence()
    assert written is not None
    for change in ({"etag": "other"}, {"bucket": "elsewhere"}):
        body = json.dumps(written | change).encode()
        world.cloud.objects[evidence_key(KEYS[WEB])] = Thing(body)
        assert world.restore(**RECORDING)["changed"] is True
        assert world.evidence() == written


def test_what_is_no_evidence_stays_as_it_is(world: World) -> None:
    world.cloud.objects[evidence_key(KEYS[WEB])] = Thing(b"{}")
    result = world.restore(WEB, DB, **RECORDING)
    web, database = result["images"]
    assert "is not evidence of amistore.aws" in web["state_reason"]
    assert "What is there was left as it is" in web["evidence"]["reason"]
    assert "delete it if nobody needs it" in web["state_reason"]
    assert world.evidence() == {}
    assert database["evidence"]["verified_at"] is not None


@pytest.mark.parametrize("verify", ["report", "strict"])
def test_a_difference_leaves_no_evidence(world: World, verify: str) -> None:
    world.alter = other_boot_mode
    result = world.restore(verify=verify, **RECORDING)
    assert world.evidence() is None
    assert result.image["evidence"]["verified_at"] is None
    assert "it differs from its manifest" in result.image["evidence"]["reason"]


def test_what_counts_and_is_unknown_leaves_no_evidence(world: World) -> None:
    world.store(WEB, "web", stored_image=None)
    result = world.restore(**RECORDING)
    assert not result.failed
    assert result.image["evidence"]["reason"] == "not known, and so not compared: etag"
    assert world.evidence() is None


def test_evidence_that_is_missing_in_the_end_is_warned_of(world: World) -> None:
    for image_id, name in ((WEB, "web"), (DB, "database")):
        world.store(image_id, name, stored_image=None)
    for check in (False, True):
        (warning,) = world.restore(WEB, DB, check=check, **RECORDING).warnings
        assert (
            f"No evidence is recorded of 2 of the AMIs, the first is {KEYS[WEB]} as 'web': not"
            " known, and so not compared: etag."
        ) in warning


def test_what_is_told_otherwise_or_still_comes_is_not_warned_of(world: World) -> None:
    world.store(WEB, "web", launch_permissions=SHARED[:3])
    world.cloud.denials["PutObject"] = forbidden()
    assert world.restore(check=True, **RECORDING, **EVERYBODY_NAMED).warnings == []
    assert world.restore(**RECORDING, **EVERYBODY_NAMED).warnings == []
    assert world.restore(check=True, **RECORDING).warnings == []


def test_what_is_not_waited_for_is_neither_proved_nor_shared_and_says_so(world: World) -> None:
    for check in (True, False):
        proof, sharing = world.restore(wait=False, check=check, **RECORDING, **SHARING).warnings
        reason = "it is not available yet, and the task does not wait for it (wait: false)."
        assert "No evidence is recorded of 1 of the AMIs, the first is" in proof
        assert reason in proof
        assert "Launch permissions are not restored of 1 of the AMIs, the first is" in sharing
        assert reason in sharing


def test_an_adopted_ami_is_no_evidence_and_is_not_shared(world: World) -> None:
    world.cloud.add_image("ami-0000beef", "web", tags={"team": "a"})
    result = world.restore(adopt=True, **RECORDING, **SHARING)
    assert result.image["verification"]["equal"] is True
    assert "carries no proof" in result.image["evidence"]["reason"]
    assert "carries no proof" in result.image["launch_permissions"]["reason"]
    assert world.evidence() is None
    assert world.shared("ami-0000beef") == []


def test_an_ami_without_a_date_is_no_evidence(world: World) -> None:
    world.alter = lambda image: image.update(CreationDate="")
    result = world.restore(**RECORDING)
    assert result.failed
    assert "AWS does not tell when the AMI was made" in result.image["state_reason"]
    assert world.evidence() is None


def test_evidence_that_may_not_be_written_fails_its_entry_and_no_other_result(
    world: World,
) -> None:
    world.cloud.faults["PutObject"] = [forbidden()]
    result = world.restore(WEB, DB, **RECORDING, **SHARING)
    web, database = result["images"]
    assert result.failed
    assert web["state_reason"].startswith(
        f"it is restored as {web['image_id']}, but the evidence could not be recorded: Failed to"
        f" write s3://{BUCKET}/{WEB}.verified.json: AccessDenied"
    )
    assert web["evidence"]["verified_at"] is None
    assert "AccessDenied" in web["evidence"]["reason"]
    assert web["verification"]["equal"] is True
    assert web["launch_permissions"]["shared_with"] == [FRIEND, UNIT]
    assert world.shared(web["image_id"])
    assert database["evidence"]["verified_at"] is not None
    assert world.shared(database["image_id"])


def test_both_failures_are_told(world: World) -> None:
    world.cloud.denials["PutObject"] = forbidden()
    world.cloud.denials["ModifyImageAttribute"] = Refusal("UnauthorizedOperation")
    result = world.restore(**RECORDING, **SHARING)
    assert "the evidence could not be recorded" in result.image["state_reason"]
    assert "; its launch permissions could not be restored" in result.image["state_reason"]


@pytest.mark.parametrize("check", [True, False])
def test_an_object_that_cannot_be_looked_at_again_changes_nothing(
    world: World, check: bool
) -> None:
    world.restore()

    def failing(params: Answer) -> Answer:
        # The first look is that of the restore.
        if len(world.cloud.params("HeadObject")) > 1:
            raise Refusal("InternalError", status=500)
        return world.dated(params)

    world.cloud.calls.clear()
    world.cloud.replies["HeadObject"] = failing
    result = world.restore(check=check, **RECORDING)
    assert (result.failed, result["changed"]) == (True, False)
    assert world.evidence() is None


def test_an_object_that_was_replaced_meanwhile_is_not_proved(world: World) -> None:
    world.restore()

    def replaced(params: Answer) -> Answer:
        answer = world.dated(params)
        # The first look is that of the restore.
        heads = [call for call in world.cloud.params("HeadObject") if call["Key"] == KEYS[WEB]]
        return answer | ({"ETag": '"newer"'} if len(heads) > 1 else {})

    world.cloud.calls.clear()
    world.cloud.replies["HeadObject"] = replaced
    result = world.restore(**RECORDING)
    assert "was replaced" in result.image["state_reason"]
    assert world.evidence() is None


# Sharing


def test_launch_permissions_are_left_unless_asked_for(world: World) -> None:
    result = world.restore(allowed_launch_permissions=[FRIEND])
    assert result.image["launch_permissions"] is None
    assert world.shared(result.image["image_id"]) == []
    assert "DescribeImageAttribute" not in world.cloud.operations()


def test_whom_manifest_and_task_name_may_launch(world: World) -> None:
    result = world.restore(diff=True, **SHARING)
    image_id = result.image["image_id"]
    assert result.image["launch_permissions"] == {
        "shared_with": [FRIEND, UNIT],
        "left_out": [STRANGER, "all"],
        "reason": None,
    }
    assert world.shared(image_id) == [SHARED[0], SHARED[2]]
    assert result["diff"] == [
        {
            "before_header": f"launch permissions of {image_id}",
            "after_header": f"launch permissions of {image_id}",
            "before": {"launch_permissions": []},
            "after": {"launch_permissions": [FRIEND, UNIT]},
        }
    ]
    (warning,) = result.warnings
    assert "2 launch permissions of the manifests were left out" in warning


def test_sharing_again_changes_nothing(world: World) -> None:
    first = world.restore(**SHARING)
    world.cloud.calls.clear()
    for check in (True, False):
        again = world.restore(check=check, diff=True, **SHARING)
        assert (again.failed, again["changed"]) == (False, False)
        assert again.image["launch_permissions"] == first.image["launch_permissions"]
        assert "diff" not in again
    assert world.cloud.mutations() == []


def test_only_what_is_missing_is_added_and_nothing_removed(world: World) -> None:
    image_id = world.restore().image["image_id"]
    world.cloud.permissions[image_id] = [{"UserId": "999999999999"}, SHARED[0]]
    result = world.restore(diff=True, **SHARING)
    (sent,) = world.cloud.params("ModifyImageAttribute")
    assert sent == {"ImageId": image_id, "LaunchPermission": {"Add": [SHARED[2]]}}
    assert result["diff"][0]["after"] == {"launch_permissions": [FRIEND, "999999999999", UNIT]}


def test_the_owner_may_launch_it_without(world: World) -> None:
    world.store(WEB, "web", launch_permissions=[{"UserId": ACCOUNT}, {"UserId": FRIEND}])
    options = {"launch_permissions": "restore", "allowed_launch_permissions": [ACCOUNT, FRIEND]}
    result = world.restore(**options)
    assert result.image["launch_permissions"]["shared_with"] == sorted([ACCOUNT, FRIEND])
    assert world.shared(result.image["image_id"]) == [{"UserId": FRIEND}]
    world.cloud.calls.clear()
    assert world.restore(**options)["changed"] is False
    assert world.cloud.mutations() == []


def test_without_an_allow_list_nobody_is_let_in(world: World) -> None:
    result = world.restore(launch_permissions="restore")
    assert result.image["launch_permissions"]["shared_with"] == []
    assert len(result.image["launch_permissions"]["left_out"]) == 4
    assert "ModifyImageAttribute" not in world.cloud.operations()


@pytest.mark.parametrize("value", ["all", "1234", "o-0123456789"])
def test_what_cannot_be_allowed_stops_before_anything_is_changed(world: World, value: str) -> None:
    result = world.restore(launch_permissions="restore", allowed_launch_permissions=[FRIEND, value])
    assert (result.failed, result["changed"]) == (True, False)
    assert repr(value) in result["msg"]
    assert world.cloud.calls == []


def test_check_mode_shares_nothing_and_tells_the_same(world: World) -> None:
    planned = world.restore(check=True, **SHARING)
    assert world.cloud.mutations() == []
    done = world.restore(**SHARING)
    assert planned.image["launch_permissions"] == done.image["launch_permissions"]


def test_check_mode_tells_the_same_about_what_is_there(world: World) -> None:
    world.restore()
    planned = world.restore(check=True, diff=True, **SHARING)
    assert planned["changed"]
    assert world.cloud.params("ModifyImageAttribute") == []
    done = world.restore(diff=True, **SHARING)
    assert planned["diff"] == done["diff"]
    assert planned.image["launch_permissions"] == done.image["launch_permissions"]


def test_check_mode_foresees_the_sharing_of_a_restore_in_progress(world: World) -> None:
    world.restore(wait=False)
    result = world.restore(check=True, **SHARING)
    assert result["changed"]
    assert result.image["launch_permissions"]["shared_with"] == [FRIEND, UNIT]
    impatient = world.restore(check=True, wait=False, **SHARING)
    assert not impatient["changed"]
    assert "not available yet" in impatient.image["launch_permissions"]["reason"]


def test_what_is_not_available_yet_is_not_shared(world: World) -> None:
    result = world.restore(wait=False, **SHARING)
    assert result.image["launch_permissions"]["shared_with"] == []
    assert "not available yet" in result.image["launch_permissions"]["reason"]
    assert world.restore(**SHARING).image["launch_permissions"]["shared_with"] == [FRIEND, UNIT]


def test_what_differs_is_not_shared_with_strict_and_is_with_report(world: World) -> None:
    world.alter = other_boot_mode
    strict = world.restore(**STRICT, **SHARING)
    assert world.shared(strict.image["image_id"]) == []
    assert strict.image["launch_permissions"]["reason"] == "it failed, see state_reason"
    reported = world.restore(**SHARING)
    assert world.shared(reported.image["image_id"]) == [SHARED[0], SHARED[2]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"launch_permissions": None}, "does not tell with whom"),
        ({"launch_permissions": "all"}, "does not tell with whom"),
        ({"stored_image": {"etag": "other"}}, "was written for another object"),
    ],
)
def test_a_manifest_that_does_not_tell_shares_nothing(
    world: World, change: dict[str, Any], reason: str
) -> None:
    world.store(WEB, "web", **change)
    result = world.restore(**SHARING)
    assert not result.failed
    assert reason in result.image["launch_permissions"]["reason"]
    assert world.shared(result.image["image_id"]) == []


def test_without_a_manifest_nothing_is_shared(world: World) -> None:
    del world.cloud.objects[f"{WEB}.json"]
    result = world.run(bucket=BUCKET, object_key=KEYS[WEB], name="web", **SHARING)
    assert result.image["launch_permissions"]["reason"] == "it has no manifest"


@pytest.mark.parametrize("call", ["DescribeImageAttribute", "ModifyImageAttribute"])
def test_sharing_that_is_refused_fails_its_entry_and_no_other_result(
    world: World, call: str
) -> None:
    world.cloud.faults[call] = [Refusal("UnauthorizedOperation", "not authorized")]
    result = world.restore(WEB, DB, **SHARING)
    web, database = result["images"]
    assert result.failed
    assert web["state_reason"].startswith(
        f"it is restored as {web['image_id']}, but its launch permissions could not be restored:"
    )
    assert "UnauthorizedOperation: not authorized" in web["state_reason"]
    assert (web["state"], web["verification"]["equal"]) == ("available", True)
    assert web["launch_permissions"] == {
        "shared_with": [],
        "left_out": [STRANGER, "all"],
        "reason": "it failed, see state_reason",
    }
    assert world.shared(database["image_id"]) == [SHARED[0], SHARED[2]]
    assert world.restore(WEB, DB, **SHARING).failed is False


def test_one_that_aws_refuses_does_not_keep_out_the_others(world: World) -> None:
    def picky(params: Answer) -> Answer:
        if {"UserId": FRIEND} in params["LaunchPermission"]["Add"]:
            raise Refusal("InvalidAMIAttributeItemValue", f"Invalid value {FRIEND}")
        return world.cloud.usual("ModifyImageAttribute")(params)

    world.cloud.replies["ModifyImageAttribute"] = picky
    result = world.restore(diff=True, **SHARING)
    assert (result.failed, result["changed"]) == (True, True)
    assert (
        "its launch permissions could not be restored: not to 222222222222: "
        in (result.image["state_reason"])
    )
    assert f"InvalidAMIAttributeItemValue: Invalid value {FRIEND}" in result["msg"]
    assert result.image["launch_permissions"] == {
        "shared_with": [UNIT],
        "left_out": [STRANGER, "all"],
        "reason": "it failed, see state_reason",
    }
    assert result["diff"][0]["after"] == {"launch_permissions": [UNIT]}
    assert world.shared(result.image["image_id"]) == [SHARED[2]]
    again = world.restore(**SHARING)
    assert (again.failed, again["changed"]) == (True, False)
    assert again.image == result.image | {"changed": False}


def test_credentials_that_end_meanwhile_are_told_once(world: World) -> None:
    world.cloud.denials["ModifyImageAttribute"] = Refusal("ExpiredToken", "expired")
    result = world.restore(WEB, DB, **SHARING)
    assert result.failed
    assert "Stopped: " in result["msg"]
    assert "ExpiredToken: expired" in result["msg"]
    assert [image["verification"]["equal"] for image in result["images"]] == [True, True]
    assert len(world.cloud.params("ModifyImageAttribute")) == 1
