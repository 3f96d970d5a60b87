# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ec2_ami_store_retention from its arguments to its result."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.modules import ec2_ami_store_retention
from tests.unit.cloud import (
    ACCOUNT,
    BUCKET,
    NOON,
    REGION,
    Cloud,
    Refusal,
    Thing,
    forbidden,
    forbidden_head,
)
from tests.unit.module_runner import Result, Runner
from tests.unit.vault import DAY, Vault, image_id, key_of

MODULE = ec2_ami_store_retention
DATED = r"^(.+)-[0-9]+$"
OTHER_ACCOUNT = "444455556666"


@pytest.fixture
def vault(cloud: Cloud) -> Vault:
    return Vault(cloud)


@dataclass
class Thinner:
    """Runs the module; every run is foretold by one in check mode."""

    run: Runner
    vault: Vault

    def __call__(self, **options: Any) -> Result:
        options = {"bucket": BUCKET, "prefix": "dr", **options}
        foretold = self.run(check=True, **options)
        assert self.vault.cloud.mutations() == []
        result = self.run(**options)
        for told in ("images", "totals", "changed"):
            assert _unversioned(foretold[told]) == _unversioned(result[told])
        return result


def _unversioned(value: Any) -> Any:
    """What S3 answers to the deletion itself cannot be foretold."""
    if not isinstance(value, list):
        return value
    told_later = ("version_id", "delete_marker")
    return [{k: v for k, v in image.items() if k not in told_later} for image in value]


@pytest.fixture
def thin(run: Runner, vault: Vault) -> Thinner:
    return Thinner(run, vault)


def reasons(result: Result) -> dict[str, tuple[str, str]]:
    """What becomes of each stored image, and why, by the number of its AMI."""
    return {
        str(int(image["image_id"].removeprefix("ami-"), 16)) if image["image_id"] else "": (
            image["outcome"],
            " ".join(image["reasons"]),
        )
        for image in result["images"]
    }


NEWEST, RECENT = ("kept", "newest"), ("kept", "recent")
OLDER = ("deleted", "older")


# What goes


def test_the_newest_of_each_name_stay(thin: Thinner, vault: Vault) -> None:
    for number in (3, 1, 2, 4):
        vault.add(number)
    vault.add(5, "db")
    result = thin(keep_newest=2)
    assert not result.failed
    assert reasons(result) == {"1": NEWEST, "2": NEWEST, "3": OLDER, "4": OLDER, "5": NEWEST}
    assert result["changed"] is True
    assert result["totals"] == {
        "kept": 3,
        "deleted": 2,
        "failed": 0,
        "bytes_kept": 21,
        "bytes_freed": 14,
        "bytes_hidden": 0,
    }
    assert result["msg"] == (
        f"5 stored images in s3://{BUCKET}/dr: 3 kept, 2 deleted, 14 bytes freed."
    )
    left = sorted(vault.cloud.objects)
    assert left == sorted(f"dr/{image_id(n)}{end}" for n in (1, 2, 5) for end in (".bin", ".json"))
    assert result.warnings == []


def test_a_result_tells_all_about_an_image(thin: Thinner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2)
    newest, older = thin(keep_newest=1)["images"]
    assert older == {
        "object_key": key_of(2),
        "image_id": image_id(2),
        "name": "web",
        "family": "web",
        "owner_id": ACCOUNT,
        "region": REGION,
        "stored_at": (NOON - 2 * DAY).isoformat(),
        "size": 7,
        "verified": False,
        "outcome": "deleted",
        "reasons": ["older"],
        "details": [],
        "deletion": "final",
        "version_id": None,
        "delete_marker": False,
        "changed": True,
    }
    assert (newest["outcome"], newest["deletion"], newest["changed"]) == ("kept", None, False)


def test_all_of_the_last_days_stay(thin: Thinner, vault: Vault) -> None:
    for number in (1, 29, 30, 31, 60):
        vault.add(number)
    told = reasons(thin(keep_days=30))
    assert told == {
        "1": ("kept", "newest recent"),
        "29": RECENT,
        "30": RECENT,
        "31": OLDER,
        "60": OLDER,
    }


def test_what_either_rule_keeps_stays(thin: Thinner, vault: Vault) -> None:
    for number in (1, 2, 3):
        vault.add(number)
        vault.add(number + 50, "db")
    told = reasons(thin(keep_newest=2, keep_days=2))
    assert told["3"] == OLDER
    assert (told["51"], told["52"], told["53"]) == (NEWEST, NEWEST, OLDER)


def test_the_newest_of_a_family_stays_however_old(thin: Thinner, vault: Vault) -> None:
    vault.add(400)
    vault.add(500)
    assert reasons(thin(keep_days=1)) == {"400": NEWEST, "500": OLDER}


def test_a_second_run_changes_nothing(thin: Thinner, vault: Vault, run: Runner) -> None:
    for number in (1, 2, 3):
        vault.add(number)
    thin(keep_newest=1)
    vault.cloud.calls.clear()
    again = run(bucket=BUCKET, prefix="dr", keep_newest=1)
    assert (again.failed, again["changed"]) == (False, False)
    assert reasons(again) == {"1": NEWEST}
    assert vault.cloud.mutations() == []
    assert "diff" not in again


def test_an_empty_place_is_no_failure(thin: Thinner) -> None:
    result = thin(keep_newest=1)
    assert (result.failed, result["changed"], result["images"]) == (False, False, [])
    assert "0 stored images" in result["msg"]


def test_diff_mode_shows_the_keys(run: Runner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2)
    for check in (True, False):
        result = run(check=check, diff=True, bucket=BUCKET, prefix="dr", keep_newest=1)
        (diff,) = result["diff"]
        assert diff["before"] == f"{key_of(1)}\n{key_of(2)}\n"
        assert diff["after"] == f"{key_of(1)}\n"


def test_check_mode_says_so(run: Runner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2)
    result = run(check=True, bucket=BUCKET, keep_newest=1)
    assert result["msg"].endswith("7 bytes freed (check mode, nothing was changed).")
    assert len(vault.cloud.objects) == 4


# Families


def test_names_of_one_pattern_are_a_family(thin: Thinner, vault: Vault) -> None:
    vault.add(1, "web-2026")
    vault.add(2, "web-2025")
    vault.add(3, "db-2025")
    result = thin(keep_newest=1, family_pattern=DATED)
    assert reasons(result) == {"1": NEWEST, "2": OLDER, "3": NEWEST}
    assert [image["family"] for image in result["images"]] == ["web", "web", "db"]


def test_values_of_a_tag_are_families(thin: Thinner, vault: Vault) -> None:
    shop = {"Tags": [{"Key": "service", "Value": "shop"}]}
    for number in (1, 2):
        vault.add(number, f"web-{number}", image=shop)
    vault.add(3, "web-3")
    assert reasons(thin(keep_newest=1, family_tag="service")) == {
        "1": NEWEST,
        "2": OLDER,
        "3": NEWEST,
    }


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"image": {"OwnerId": OTHER_ACCOUNT}},
        {"document": {"region": "us-gov-west-1"}},
        {"folder": "dr/weekly"},
    ],
    ids=["account", "Region", "folder"],
)
def test_images_from_elsewhere_are_another_family(
    elsewhere: dict[str, Any], thin: Thinner, vault: Vault
) -> None:
    vault.add(1)
    vault.add(2, **elsewhere)
    assert reasons(thin(keep_newest=1)) == {"1": NEWEST, "2": NEWEST}


def test_folders_can_be_taken_together(thin: Thinner, vault: Vault) -> None:
    vault.add(1, folder="dr/2026-04-30")
    vault.add(2, folder="dr/2026-04-29")
    assert reasons(thin(keep_newest=1, across_folders=True)) == {"1": NEWEST, "2": OLDER}


def test_only_what_lies_under_the_prefix_is_looked_at(thin: Thinner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2, folder="drill")
    vault.add(3, folder="")
    assert list(reasons(thin(keep_newest=1))) == ["1"]
    assert list(reasons(thin(keep_newest=1, prefix=""))) == ["3", "1", "2"]


# What is verified, held, or the last copy


def test_the_newest_that_is_verified_stays_too(thin: Thinner, vault: Vault) -> None:
    for number in (1, 2, 3, 4):
        key = vault.add(number)
        if number > 2:
            vault.verify(key)
    result = thin(keep_newest=1)
    assert reasons(result) == {
        "1": NEWEST,
        "2": OLDER,
        "3": ("kept", "newest_verified"),
        "4": OLDER,
    }
    assert [image["verified"] for image in result["images"]] == [False, False, True, True]
    assert not [key for key in vault.cloud.objects if image_id(4) in key]


@pytest.mark.parametrize(
    "evidence", [{"etag": "other"}, {"object_key": "else/where.bin"}], ids=["object", "place"]
)
def test_evidence_of_another_verifies_nothing(
    evidence: dict[str, str], thin: Thinner, vault: Vault
) -> None:
    vault.add(1)
    vault.verify(vault.add(2), **evidence)
    assert reasons(thin(keep_newest=1))["2"] == OLDER


@pytest.mark.parametrize(
    "head",
    [
        {"ObjectLockLegalHoldStatus": "ON"},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": NOON + DAY},
    ],
    ids=["legal hold", "retention"],
)
def test_what_s3_holds_stays(head: dict[str, Any], thin: Thinner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2, head=head)
    assert reasons(thin(keep_newest=1))["2"] == ("kept", "locked")


def test_what_s3_held_once_goes(thin: Thinner, vault: Vault) -> None:
    past = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": NOON - DAY}
    vault.add(1)
    vault.add(2, head={**past, "ObjectLockLegalHoldStatus": "OFF"})
    assert reasons(thin(keep_newest=1))["2"] == OLDER


@pytest.mark.parametrize(
    ("asked", "told"),
    [(False, ("kept", "last_copy")), (True, ("deleted", "older last_copy"))],
    ids=["kept", "asked for"],
)
def test_the_last_copy_of_an_ami_goes_only_when_asked_for(
    asked: bool, told: tuple[str, str], thin: Thinner, vault: Vault
) -> None:
    vault.add(1, original=False)
    vault.add(2, original=False)
    assert reasons(thin(keep_newest=1, last_copies=asked)) == {"1": NEWEST, "2": told}


@pytest.mark.parametrize(
    ("state", "told"),
    [("disabled", OLDER), ("failed", ("kept", "last_copy"))],
)
def test_an_ami_counts_that_can_be_used_again(
    state: str, told: tuple[str, str], thin: Thinner, vault: Vault
) -> None:
    vault.add(1)
    vault.add(2)
    vault.cloud.images[image_id(2)]["State"] = state
    assert reasons(thin(keep_newest=1))["2"] == told


# Only what no later run stores again

GONE: dict[str, Any] = {"keep_newest": 1, "last_copies": True, "gone_only": True}


def test_what_is_gone_goes(thin: Thinner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2, original=False)
    assert reasons(thin(**GONE)) == {"1": NEWEST, "2": ("deleted", "older last_copy")}


@pytest.mark.parametrize("state", ["available", "disabled", "pending", "failed"])
def test_an_ami_in_any_state_keeps_its_stored_image(
    state: str, thin: Thinner, vault: Vault
) -> None:
    vault.add(1)
    vault.add(2)
    vault.cloud.images[image_id(2)]["State"] = state
    result = thin(**GONE)
    assert reasons(result)["2"] == ("kept", "image_there")
    assert result["changed"] is False


@pytest.mark.parametrize("other", [{"OwnerId": OTHER_ACCOUNT}, {}], ids=["account", "Region"])
def test_what_is_of_elsewhere_stays(other: dict[str, str], thin: Thinner, vault: Vault) -> None:
    document = {} if other else {"region": "ap-south-2"}
    for number in (1, 2):
        vault.add(number, original=False, image=other, document=document)
    assert reasons(thin(**GONE))["2"] == ("kept", "elsewhere")
    usual = {**GONE, "gone_only": False}
    vault.cloud.calls.clear()
    assert reasons(thin(**usual))["2"] == ("deleted", "older last_copy")


def test_where_nobody_tells_the_account_all_stays(thin: Thinner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2, original=False)
    vault.cloud.denials["GetCallerIdentity"] = Refusal("AccessDenied", status=403)
    assert reasons(thin(**GONE))["2"] == ("kept", "elsewhere")


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({}, ("kept", "snapshots")),
        ({"amistore:archived-in": f"other/{key_of(2)}"}, ("deleted", "older last_copy")),
        ({"amistore:archived-snapshot": "snap-1"}, ("deleted", "older last_copy")),
    ],
    ids=["waiting", "marked for another bucket", "a copy"],
)
def test_snapshots_that_wait_keep_the_stored_image(
    tags: dict[str, str], told: tuple[str, str], thin: Thinner, vault: Vault
) -> None:
    vault.add(1)
    vault.add(2, original=False)
    snapshot_id = vault.cloud.add_snapshot(8)
    mark = {
        "amistore:archived-image": image_id(2),
        "amistore:archived-in": f"{BUCKET}/{key_of(2)}",
        "amistore:archived-snapshot": snapshot_id,
        **tags,
    }
    vault.cloud.snapshots[snapshot_id]["Tags"] = [{"Key": k, "Value": v} for k, v in mark.items()]
    assert reasons(thin(**GONE))["2"] == told


def test_gone_ones_are_last_copies(thin: Thinner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2, original=False)
    vault.add(3)
    result = thin(keep_newest=1, gone_only=True)
    assert [reasons(result)[n] for n in "23"] == [("kept", "last_copy"), ("kept", "image_there")]


def test_only_those_that_are_named_go(thin: Thinner, vault: Vault) -> None:
    for number in (1, 2, 3):
        vault.add(number)
    result = thin(keep_newest=1, object_keys=[key_of(3), key_of(1)])
    assert reasons(result) == {"1": NEWEST, "2": ("kept", "not_named"), "3": OLDER}
    vault.cloud.calls.clear()
    assert thin(keep_newest=1, object_keys=[])["changed"] is False
    assert reasons(thin(keep_newest=1))["2"] == OLDER


def test_an_ami_that_another_account_shares_is_no_original(thin: Thinner, vault: Vault) -> None:
    """That account can deregister it, or share it no longer, at any time."""
    for number in (1, 2):
        vault.add(number, image={"OwnerId": OTHER_ACCOUNT})
        vault.cloud.images[image_id(number)]["OwnerId"] = OTHER_ACCOUNT
    assert reasons(thin(keep_newest=1)) == {"1": NEWEST, "2": ("kept", "last_copy")}


def test_the_last_of_a_family_stays_though_asked(thin: Thinner, vault: Vault) -> None:
    vault.add(1, original=False)
    assert reasons(thin(keep_newest=1, last_copies=True)) == {"1": NEWEST}


# What is unknown


DAMAGED = [
    ("manifest_missing", {"manifest": None}),
    ("manifest_unreadable", {"manifest": b"no json"}),
    ("manifest_unreadable", {"manifest": b'{"format_version": 99, "object_key": "x"}'}),
    ("manifest_of_another", {"image": {"ImageId": image_id(9)}}),
    ("manifest_of_another", {"document": {"stored_image": {"etag": "other"}}}),
    ("family_unknown", {"image": {"Name": ""}}),
    ("family_unknown", {"image": {"OwnerId": None}}),
    ("family_unknown", {"document": {"region": None}}),
    ("date_unknown", {"modified": NOON + DAY}),
    ("date_unknown", {"document": {"stored_image": {"task_start_time": "yesterday"}}}),
    (
        "date_unknown",
        {"document": {"stored_image": {"task_start_time": "0001-01-01T00:00:00+23:00"}}},
    ),
    ("date_unknown", {"document": {"stored_image": {"task_start_time": "2026-04-01T00:00:00"}}}),
    ("date_unknown", {"document": {"stored_image": {"task_start_time": NOON.isoformat()}}}),
]


@pytest.mark.parametrize(("reason", "details"), DAMAGED, ids=lambda value: str(value)[:60])
def test_what_is_unknown_stays_and_takes_nobodys_place(
    reason: str, details: dict[str, Any], thin: Thinner, vault: Vault
) -> None:
    vault.add(1, **details)
    vault.add(2)
    vault.add(3)
    result = thin(keep_newest=1)
    assert reasons(result) == {"1": ("kept", reason), "2": NEWEST, "3": OLDER}
    assert any(f"{key_of(1)} ({reason})" in text for text in result.warnings)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"family_pattern": DATED}, "web"), ({"family_pattern": "^web(-x)?"}, "web")],
    ids=["no match", "an empty group"],
)
def test_a_name_that_does_not_fit_the_pattern_stays(
    options: dict[str, str], name: str, thin: Thinner, vault: Vault
) -> None:
    vault.add(1, name)
    vault.add(2, name)
    told = reasons(thin(keep_newest=1, **options))
    assert set(told.values()) == {("kept", "family_unknown")}


def test_an_ami_without_the_tag_stays(thin: Thinner, vault: Vault) -> None:
    vault.add(1, image={"Tags": []})
    vault.add(2, image={"Tags": None})
    told = reasons(thin(keep_newest=1, family_tag="service"))
    assert set(told.values()) == {("kept", "family_unknown")}


def test_a_key_that_aws_does_not_give_stays(thin: Thinner, vault: Vault) -> None:
    vault.cloud.objects["dr/backup.bin"] = Thing(modified=NOON - 900 * DAY)
    vault.cloud.objects["dr/notes.txt"] = Thing(modified=NOON - 900 * DAY)
    vault.cloud.objects["dr/notes.json"] = Thing(modified=NOON - 900 * DAY)
    result = thin(keep_newest=1)
    assert reasons(result) == {"": ("kept", "foreign")}
    assert result.image["object_key"] == "dr/backup.bin"


def test_evidence_that_cannot_be_read_keeps_the_image(thin: Thinner, vault: Vault) -> None:
    vault.add(1)
    vault.beside(vault.add(2), ".verified.json", b'{"schema": 99}')
    result = thin(keep_newest=1)
    assert reasons(result)["2"] == ("kept", "evidence_unreadable")
    assert "update the collection" in result["images"][1]["details"][0]


def test_without_the_time_nothing_goes(thin: Thinner, vault: Vault) -> None:
    del vault.cloud.replies["ListObjectsV2"]
    vault.add(1)
    vault.add(2)
    assert set(reasons(thin(keep_newest=1)).values()) == {("kept", "date_unknown")}


def test_a_manifest_that_has_gone_since_it_was_listed_is_missing(run: Runner, vault: Vault) -> None:
    vault.add(1)
    vault.cloud.denials["GetObject"] = Refusal("NoSuchKey", status=404)
    result = run(bucket=BUCKET, prefix="dr", keep_newest=1)
    assert reasons(result) == {"1": ("kept", "manifest_missing")}


def refuse(cloud: Cloud, operation: str, *keys: str) -> None:
    """Let S3 refuse an operation on some keys."""
    usual = cloud.usual(operation)

    def answer(params: dict[str, Any]) -> dict[str, Any]:
        if params["Key"] in keys:
            raise forbidden_head() if operation == "HeadObject" else forbidden()
        return usual(params)

    cloud.replies[operation] = answer


def test_a_manifest_that_s3_refuses_keeps_its_image_only(thin: Thinner, vault: Vault) -> None:
    for number in (1, 2, 3):
        vault.add(number)
    refuse(vault.cloud, "GetObject", f"dr/{image_id(2)}.json")
    result = thin(keep_newest=1)
    assert reasons(result)["2"] == ("kept", "manifest_unreadable")
    assert "AccessDenied" in result["images"][1]["details"][0]
    assert reasons(result)["3"] == OLDER


@pytest.mark.parametrize("operation", ["HeadObject", "GetObject"])
def test_an_object_that_s3_refuses_keeps_its_image_only(
    operation: str, thin: Thinner, vault: Vault
) -> None:
    for number in (1, 2, 3):
        vault.record(vault.add(number))
    refuse(vault.cloud, operation, key_of(2), f"dr/{image_id(2)}.copy.json")
    told = reasons(thin(keep_newest=1))
    assert (told["2"], told["3"]) == (("kept", "object_unreadable"), OLDER)


# The order of a deletion, and what a kill leaves


def test_the_image_goes_first_and_its_manifest_last(thin: Thinner, vault: Vault) -> None:
    vault.add(1)
    key = vault.add(2)
    vault.verify(vault.add(0))
    expected = [key, vault.verify(key, etag="old"), vault.record(key), f"dr/{image_id(2)}.json"]
    thin(keep_newest=2)
    assert vault.deleted == expected


@pytest.mark.parametrize("content", [b'{"my": "record"}', b"[]", b"no json"])
def test_what_is_not_ours_beside_an_image_stays(
    content: bytes, thin: Thinner, vault: Vault
) -> None:
    vault.add(1)
    other = vault.beside(vault.add(2), ".copy.json", content)
    result = thin(keep_newest=1)
    assert [key for key in vault.cloud.objects if image_id(2) in key] == [other]
    (warning,) = result.warnings
    assert f"s3://{BUCKET}/{other} is not the record of a copy; it is left as it is." in warning


@pytest.mark.parametrize("calls", range(1, 8))
def test_a_run_that_was_killed_is_finished_by_the_next(
    calls: int, run: Runner, vault: Vault
) -> None:
    vault.verify(vault.add(1))
    for number in (2, 3):
        key = vault.add(number)
        vault.record(key)
        vault.verify(key)
    usual, left = vault.cloud.usual("DeleteObject"), iter(range(calls))

    def killed(params: dict[str, Any]) -> dict[str, Any]:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return usual(params)

    vault.cloud.replies["DeleteObject"] = killed
    options = {"bucket": BUCKET, "prefix": "dr", "keep_newest": 1}
    with pytest.raises(KeyboardInterrupt):
        run(**options)
    assert key_of(1) in vault.cloud.objects
    for number in (2, 3):
        if key_of(number) in vault.cloud.objects:
            assert f"dr/{image_id(number)}.json" in vault.cloud.objects
    del vault.cloud.replies["DeleteObject"]
    assert not run(**options).failed
    assert not [key for key in vault.cloud.objects if image_id(1) not in key]
    assert not run(**options)["changed"]


def fill(vault: Vault) -> None:
    """Two families, one of them verified in its middle, and what nobody knows enough about."""
    for number in (1, 2, 3, 4):
        vault.record(vault.add(number))
    vault.verify(key_of(3))
    vault.verify(key_of(4))
    vault.add(5, "db")
    vault.add(6, "db")
    vault.add(7, "db", manifest=b"no json")


class Killed(BaseException):
    """The end of a process in the middle of its work."""


CALLS = 50
"""How many calls a whole run makes on that."""


@pytest.mark.parametrize("calls", range(CALLS + 1))
def test_a_kill_at_any_call_is_made_good_by_the_next_run(
    calls: int, run: Runner, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"bucket": BUCKET, "prefix": "dr", "keep_newest": 1}
    fill(vault)
    answer, left = vault.cloud.answer, iter(range(calls))

    def killed(operation: str, params: dict[str, Any]) -> dict[str, Any]:
        if next(left, None) is None:
            raise Killed
        return answer(operation, params)

    with monkeypatch.context() as patch:
        patch.setattr(vault.cloud, "answer", killed)
        with contextlib.suppress(Killed):
            run(**options)
            assert calls == CALLS
    kept = {key_of(number) for number in (1, 3, 5, 7)}
    assert kept <= set(vault.cloud.objects)
    assert not run(**options).failed
    left_over = {key for key in vault.cloud.objects if key.endswith(".bin")}
    assert left_over == kept
    assert len(vault.cloud.objects) == 2 * 4 + 2 + 1
    assert not run(**options)["changed"]


def test_a_manifest_left_behind_goes_when_its_image_would_have(thin: Thinner, vault: Vault) -> None:
    for number in (1, 2, 3):
        vault.add(number)
    del vault.cloud.objects[key_of(1)], vault.cloud.objects[key_of(3)]
    result = thin(keep_newest=1)
    assert reasons(result) == {"1": NEWEST, "2": NEWEST, "3": ("deleted", "leftover")}
    assert vault.deleted == [f"dr/{image_id(3)}.json"]
    assert result["totals"]["bytes_freed"] == 0


@pytest.mark.parametrize("of_whom", ["never seen", "storing", "appeared"])
def test_a_manifest_that_waits_for_its_image_stays(of_whom: str, run: Runner, vault: Vault) -> None:
    vault.add(1)
    document = {"stored_image": None} if of_whom == "never seen" else {}
    vault.add(2, document=document)
    thing = vault.cloud.objects.pop(key_of(2))
    expected = {
        "never seen": ("kept", "never_seen"),
        "storing": ("kept", "storing"),
        "appeared": ("kept", "changed_meanwhile"),
    }
    if of_whom == "storing":
        vault.cloud.add_task(image_id(2), key=key_of(2))
    if of_whom == "appeared":
        usual = vault.cloud.usual("HeadObject")

        def appear(params: dict[str, Any]) -> dict[str, Any]:
            vault.cloud.objects[key_of(2)] = thing
            return usual(params)

        vault.cloud.replies["HeadObject"] = appear
    result = run(bucket=BUCKET, prefix="dr", keep_newest=1)
    assert reasons(result)["2"] == expected[of_whom]
    assert vault.deleted == []


# What others do meanwhile


def restoring(vault: Vault, number: int) -> None:
    """Let an AMI be restored from a stored image, as ec2_ami_restore does."""
    tags = {"amistore:stored-image": f"{BUCKET}/{key_of(number)}"}
    vault.cloud.add_image(image_id(0xABC), "web-restored", state="pending", tags=tags)


def test_what_an_ami_is_being_restored_from_stays(thin: Thinner, vault: Vault) -> None:
    for number in (1, 2, 3):
        vault.add(number)
    restoring(vault, 2)
    assert reasons(thin(keep_newest=1)) == {"1": NEWEST, "2": ("kept", "restoring"), "3": OLDER}


def test_a_restore_that_begins_meanwhile_keeps_it_too(run: Runner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2)
    looks(vault, lambda: restoring(vault, 2), 2)
    result = run(bucket=BUCKET, prefix="dr", keep_newest=1)
    assert reasons(result)["2"] == ("kept", "restoring")
    assert vault.deleted == []


def looks(vault: Vault, happen: Any, at: int) -> None:
    """Let something happen before a look at an object."""
    usual, count = vault.cloud.usual("HeadObject"), iter(range(1, 100))

    def answer(params: dict[str, Any]) -> dict[str, Any]:
        if next(count) == at:
            happen()
        return usual(params)

    vault.cloud.replies["HeadObject"] = answer


def others(vault: Vault) -> Iterator[tuple[str, Any]]:
    objects = vault.cloud.objects
    yield "goes", lambda: objects.pop(key_of(2))
    yield "is replaced", lambda: objects.update({key_of(2): Thing(b"other")})
    yield "takes its place goes", lambda: objects.pop(key_of(1))
    yield "takes its place is replaced", lambda: objects.update({key_of(1): Thing(b"other")})


# The plan looks at 2; the run looks at 1, which stays, then at 2 again.
@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("which", range(4))
def test_what_has_changed_since_it_was_listed_is_left_alone(
    which: int, at: int, run: Runner, vault: Vault
) -> None:
    vault.add(1)
    vault.add(2)
    what, happen = list(others(vault))[which]
    looks(vault, happen, at)
    result = run(bucket=BUCKET, prefix="dr", keep_newest=1)
    if at == 3 and "takes its place" in what:
        assert vault.deleted  # It was there a moment ago.
        return
    assert reasons(result)["2"] == ("kept", "changed_meanwhile")
    assert vault.deleted == []
    assert not result["changed"]


def test_an_ami_that_was_deregistered_meanwhile_makes_a_last_copy(
    run: Runner, vault: Vault
) -> None:
    vault.add(1)
    vault.add(2)
    looks(vault, lambda: vault.cloud.images.pop(image_id(2)), 2)
    result = run(bucket=BUCKET, prefix="dr", keep_newest=1)
    assert reasons(result)["2"] == ("kept", "last_copy")
    assert vault.deleted == []


def test_what_stays_in_its_place_but_cannot_be_seen_keeps_it(run: Runner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2)
    refuse(vault.cloud, "HeadObject", key_of(1))
    result = run(bucket=BUCKET, prefix="dr", keep_newest=1)
    assert reasons(result)["2"] == ("kept", "changed_meanwhile")
    assert "S3 answered 403" in result["images"][1]["details"][0]


# Versions


@pytest.mark.parametrize(
    ("versioning", "version", "deletion"),
    [
        (None, None, "final"),
        ("Enabled", "3sL4kqtJlcpX", "marker"),
        ("Enabled", "null", "marker"),
        ("Suspended", "3sL4kqtJlcpX", "marker"),
        ("Suspended", "null", "final"),
        ("refused", "null", "unknown"),
    ],
)
def test_what_a_deletion_means_is_told(
    versioning: str | None, version: str | None, deletion: str, thin: Thinner, vault: Vault
) -> None:
    cloud = vault.cloud
    if versioning == "refused":
        cloud.denials["GetBucketVersioning"] = forbidden()
    else:
        cloud.versioning = versioning
    vault.add(1)
    vault.add(2, head={"VersionId": version} if version else {})
    result = thin(keep_newest=1)
    image, totals = result["images"][1], result["totals"]
    assert image["deletion"] == deletion
    assert image["delete_marker"] is (versioning == "Enabled")
    assert (totals["bytes_freed"], totals["bytes_hidden"]) == (
        (7, 0) if deletion == "final" else (0, 7)
    )
    assert ("behind delete markers" in result["msg"]) is (deletion != "final")
    assert any("s3:GetBucketVersioning" in text for text in result.warnings) is (
        versioning == "refused"
    )


# Failures


def test_a_deletion_that_is_refused_fails_its_image_only(run: Runner, vault: Vault) -> None:
    for number in (1, 2, 3):
        vault.add(number)
    refuse(vault.cloud, "DeleteObject", key_of(2))
    result = run(bucket=BUCKET, prefix="dr", keep_newest=1)
    assert result.failed
    assert result["changed"] is True
    assert reasons(result) == {"1": NEWEST, "2": ("failed", "older"), "3": OLDER}
    assert "3 stored images" in result["msg"]
    assert "1 failed, 1 kept, 1 deleted" in result["msg"]
    assert f"{key_of(2)}: Failed to delete s3://{BUCKET}/{key_of(2)}: AccessDenied" in result["msg"]
    assert (result["images"][1]["changed"], result["totals"]["bytes_kept"]) == (False, 14)


def test_a_manifest_that_stays_behind_is_told(run: Runner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2)
    refuse(vault.cloud, "DeleteObject", f"dr/{image_id(2)}.json")
    result = run(bucket=BUCKET, prefix="dr", keep_newest=1)
    image = result["images"][1]
    assert (image["outcome"], image["changed"], image["deletion"]) == ("failed", True, "final")
    assert result["totals"]["bytes_freed"] == 7


def test_a_lost_answer_counts_as_a_change(run: Runner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2)
    vault.cloud.denials["DeleteObject"] = Refusal("InternalError", status=500)
    result = run(bucket=BUCKET, prefix="dr", keep_newest=1)
    assert (result.failed, result["changed"]) == (True, True)


def test_credentials_that_expire_end_the_run_and_all_is_told(run: Runner, vault: Vault) -> None:
    for number in (1, 2, 3, 4):
        vault.add(number)
    usual, left = vault.cloud.usual("DeleteObject"), iter(range(2))

    def expire(params: dict[str, Any]) -> dict[str, Any]:
        if next(left, None) is None:
            raise Refusal("ExpiredToken")
        return usual(params)

    vault.cloud.replies["DeleteObject"] = expire
    result = run(bucket=BUCKET, prefix="dr", keep_newest=1)
    assert result.failed
    assert "Stopped: Failed to delete" in result["msg"]
    assert reasons(result) == {
        "1": NEWEST,
        "2": OLDER,
        "3": ("failed", "older"),
        "4": ("kept", "not_reached"),
    }


@pytest.mark.parametrize(
    "operation", ["DescribeImages", "GetObject", "HeadBucket", "HeadObject", "ListObjectsV2"]
)
def test_what_cannot_be_looked_at_ends_the_run_before_it_deletes(
    operation: str, run: Runner, vault: Vault
) -> None:
    vault.add(1)
    vault.add(2)
    vault.cloud.denials[operation] = Refusal("ExpiredToken")
    for check in (True, False):
        result = run(check=check, bucket=BUCKET, prefix="dr", keep_newest=1)
        assert result.failed
        assert "ExpiredToken" in result["msg"]
        assert not result["changed"]
        assert "deleted" not in [image["outcome"] for image in result["images"]]
    assert vault.deleted == []


def test_many_failures_are_cut_short(run: Runner, vault: Vault) -> None:
    for number in range(1, 14):
        vault.add(number)
    vault.cloud.denials["DeleteObject"] = forbidden()
    result = run(bucket=BUCKET, prefix="dr", keep_newest=1)
    assert result["msg"].count("Failed to delete") == 10
    assert "And 2 more, see 'images'." in result["msg"]


# Inputs


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "Neither keep_newest nor keep_days is given"),
        ({"keep_newest": 0}, "keep_newest 0 is out of range"),
        ({"keep_newest": 1, "keep_days": 0}, "keep_days 0 is out of range"),
        ({"keep_days": 99999}, "keep_days 99999 is out of range"),
        ({"keep_newest": 1, "family_pattern": "web"}, "has no group"),
        ({"keep_newest": 1, "family_pattern": "(web"}, "is not a regular expression"),
        (
            {"keep_newest": 1, "family_pattern": "(web)", "family_tag": "service"},
            "family_pattern and family_tag are both given",
        ),
        ({"keep_newest": 1, "bucket": "my/path"}, "holds a path"),
        ({"keep_newest": 1, "prefix": "/x"}, "leading or a double slash"),
        ({"keep_newest": 1, "expected_bucket_owner": "me"}, "not an account id"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_looked_at(
    options: dict[str, Any], words: str, run: Runner, vault: Vault
) -> None:
    result = run(**{"bucket": BUCKET, **options})
    assert result.failed
    assert words in result["msg"]
    assert vault.cloud.calls == []


def test_blanks_of_a_survey_are_none_given(thin: Thinner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2)
    result = thin(keep_newest=1, family_pattern=" ", family_tag="", expected_bucket_owner="")
    assert reasons(result) == {"1": NEWEST, "2": OLDER}


def test_the_expected_owner_goes_with_every_request(thin: Thinner, vault: Vault) -> None:
    vault.add(1)
    vault.add(2)
    assert thin(keep_newest=1, expected_bucket_owner=ACCOUNT)["changed"]
    deletions = vault.cloud.params("DeleteObject")
    assert {call["ExpectedBucketOwner"] for call in deletions} == {ACCOUNT}


# What it costs


def test_a_hundred_images_are_looked_at_in_few_calls(run: Runner, vault: Vault) -> None:
    for number in range(1, 101):
        vault.add(number)
    run(check=True, bucket=BUCKET, prefix="dr", keep_newest=90)
    operations = vault.cloud.operations()
    counted = {name: operations.count(name) for name in set(operations)}
    assert counted == {
        "HeadBucket": 1,
        "ListObjectsV2": 1,
        "GetObject": 110,
        "GetBucketVersioning": 1,
        "DescribeImages": 2,
        "HeadObject": 10,
    }
