# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The play that archives, with the extra variables that a survey sends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.client import Emulator
from tests.playbooks import survey_rules
from tests.playbooks.jobs import Controller, Job

ROOT = Path(__file__).resolve().parents[2]
DAY = 86400
Launch = Callable[..., Job]
PRICES = {"amistore_snapshot_price": "0.05", "amistore_s3_prices": "STANDARD=0.023"}


@pytest.fixture
def archive(controller: Controller) -> Launch:
    """Starts the play with the answers of its survey."""
    survey = survey_rules.load(ROOT / "extensions" / "awx" / "surveys" / "archive.json")

    def launch(options: str = "", **given: Any) -> Job:
        answers = {"amistore_bucket": "vault", "amistore_prefix": "archive", **given}
        answers.setdefault("amistore_image_names", "old-*\r\nweb")
        report = {"amistore_report": given.pop("report")} if "report" in given else {}
        answers = {k: v for k, v in answers.items() if k != "report"}
        sent = {**survey_rules.answers(survey, **answers), **report}
        return controller.run("archive", sent, options=options)

    return launch


@pytest.fixture
def images(emulator: Emulator) -> dict[str, str]:
    """Two AMIs that nobody uses, one that somebody does, and one that was not asked for."""
    emulator.plant_buckets({"name": "vault"})
    names = ("old-1", "old-2", "web", "other")
    seeds: list[dict[str, Any]] = [{"name": name, "age": 700 * DAY} for name in names]
    seeds[2]["launched"] = [3 * DAY]
    return dict(zip(names, emulator.seed(seeds), strict=True))


def plan_of(job: Job) -> dict[str, list[str]]:
    [planned] = job.results("Plan what becomes of the AMIs")
    return {image["name"]: image["plan"] for image in planned["images"]}


def states(emulator: Emulator) -> dict[str, str]:
    return {image["name"]: image["state"] for image in emulator.images()}


def test_it_plans_stores_and_disables_and_is_done_then(
    archive: Launch, emulator: Emulator, images: dict[str, str], tmp_path: Path
) -> None:
    checked = archive("--check", amistore_end_state="disabled")
    assert checked.succeeded, checked.output
    assert set(states(emulator).values()) == {"available"}
    assert "CreateStoreImageTask" not in {
        entry["action"] for entry in emulator.log() if entry["outcome"] == "OK"
    }
    report = tmp_path / "report.json"
    job = archive(amistore_end_state="disabled", report=str(report), **PRICES)
    assert job.succeeded, job.output
    steps = ["store", "deprecate", "disable"]
    assert plan_of(job) == plan_of(checked) == {"old-1": steps, "old-2": steps, "web": []}
    told = json.loads(report.read_text())
    assert {i["image_id"] for i in told["stored"]} == {images["old-1"], images["old-2"]}
    # What was stored and what was done together are what was planned.
    assert {i["name"]: i["done"] for i in told["images"] if i["done"]} == {
        "old-1": steps[1:],
        "old-2": steps[1:],
    }
    assert states(emulator) == {
        "old-1": "disabled",
        "old-2": "disabled",
        "web": "available",
        "other": "available",
    }
    assert job.artifacts["amistore_archived_image_ids"] == [images["old-1"], images["old-2"]]
    again = archive(amistore_end_state="disabled")
    assert (again.succeeded, again.changed()) == (True, 0), again.output


@pytest.mark.every_core
def test_what_is_used_or_unknown_stays(
    archive: Launch, emulator: Emulator, images: dict[str, str]
) -> None:
    """The oldest botocore does not know the last launch."""
    for options in ("--check", ""):
        job = archive(options, amistore_image_names="web", amistore_end_state="disabled")
        assert (job.succeeded, job.changed()) == (True, 0), job.output
        assert plan_of(job) == {"web": []}
    assert states(emulator)["web"] == "available"


def test_nothing_is_taken_out_of_service_unless_told(
    archive: Launch, emulator: Emulator, images: dict[str, str]
) -> None:
    job = archive()
    assert job.succeeded, job.output
    assert plan_of(job)["old-1"] == ["store"]
    assert set(states(emulator).values()) == {"available"}
    assert emulator.requests()["CreateStoreImageTask"] == 2
    untested = archive(amistore_end_state="deregistered")
    assert untested.succeeded, untested.output
    assert set(states(emulator).values()) == {"available"}
    assert untested.artifacts["amistore_archive_untested_image_ids"] == [
        images["old-1"],
        images["old-2"],
    ]


def test_snapshots_go_a_while_after_the_ami(
    archive: Launch, emulator: Emulator, images: dict[str, str]
) -> None:
    answers = {
        "amistore_end_state": "deregistered",
        "amistore_accept_untested": "true",
        "amistore_snapshots_after_days": 7,
        **PRICES,
    }
    job = archive(**answers)
    assert job.succeeded, job.output
    assert set(states(emulator)) == {"web", "other"}
    assert "DeleteSnapshot" not in emulator.requests()
    [*_lines, total] = job.shown("Show what came of it")
    assert "Snapshots freed: 0.00 Bytes, left: " in total
    assert "Saving in a month, at most: 0.0, possible: " in total
    emulator.advance(8 * DAY)
    late = archive(**answers)
    assert late.succeeded, late.output
    assert emulator.requests()["DeleteSnapshot"] == 2
    [*_lines, total] = late.shown("Show what came of it")
    assert total.startswith("Snapshots freed: 16.00 GB")
    again = archive(**answers)
    assert (again.succeeded, again.changed()) == (True, 0), again.output


def test_what_cannot_be_stored_fails_and_keeps_nothing_else(
    archive: Launch, emulator: Emulator, images: dict[str, str]
) -> None:
    emulator.scenario(store_failures={images["old-1"]: {"reason": "planned by the test"}})
    job = archive(amistore_end_state="disabled")
    assert not job.succeeded
    assert "planned by the test" in job.output
    assert states(emulator)["old-1"] == "available"
    assert states(emulator)["old-2"] == "disabled"


def test_an_ami_that_is_not_there_fails_and_keeps_nothing_else(
    archive: Launch, emulator: Emulator, images: dict[str, str]
) -> None:
    unknown = "ami-0abcdef1234567890"
    ids = f"{images['old-1']},{unknown}"
    job = archive(amistore_image_names="", amistore_image_ids=ids, amistore_end_state="disabled")
    assert not job.succeeded
    assert f"{unknown}: this account has no such AMI" in job.failure
    [*_others, line] = job.shown("Show the plan")
    assert f"{unknown}    left as it is  (this account has no such AMI" in line
    assert states(emulator)["old-1"] == "disabled"
    assert job.artifacts["amistore_archive_failed_image_ids"] == [unknown]


@pytest.mark.parametrize(
    "given",
    [
        {"amistore_image_names": ""},
        {"amistore_image_ids": "ami-0abcdef1234567890"},
        {"amistore_all_images": "true"},
    ],
    ids=["nothing", "ids and names", "all and names"],
)
def test_which_amis_are_meant_is_not_guessed(
    given: dict[str, str], archive: Launch, emulator: Emulator
) -> None:
    job = archive(amistore_end_state="disabled", **given)
    assert not job.succeeded
    assert job.failure.startswith("Give one of these: amistore_image_ids;")
    assert emulator.requests() == {}


RETENTION = {
    "amistore_keep_newest": 1,
    "amistore_last_copies": "true",
    "amistore_family_pattern": "^(old)-[0-9]$",
}
GOING_ALL_THE_WAY = {
    "amistore_end_state": "deregistered",
    "amistore_accept_untested": "true",
    "amistore_snapshots_after_days": 7,
}


def planned_to_go(job: Job) -> dict[str, list[str]]:
    [planned] = job.results("Plan which stored images go")
    return {i["object_key"]: i["reasons"] for i in planned["images"] if i["outcome"] == "deleted"}


def kept(job: Job) -> list[list[str]]:
    [thinned] = job.results("Thin out stored images")
    return sorted(i["reasons"] for i in thinned["images"] if i["outcome"] == "kept")


def test_stored_images_go_last_and_do_not_come_back(
    archive: Launch, emulator: Emulator, images: dict[str, str], tmp_path: Path
) -> None:
    first = archive(**GOING_ALL_THE_WAY, **RETENTION)
    assert first.succeeded, first.output
    emulator.advance(DAY)
    waiting = archive(**GOING_ALL_THE_WAY, **RETENTION)
    assert (waiting.succeeded, waiting.changed()) == (True, 0), waiting.output
    assert kept(waiting) == [["newest"], ["snapshots"]]
    emulator.advance(8 * DAY)
    late = archive(**GOING_ALL_THE_WAY, **RETENTION)
    assert late.succeeded, late.output
    # What this run has made superfluous was not in its plan.
    assert emulator.requests()["DeleteSnapshot"] == 2
    assert kept(late) == [["newest"], ["not_named"]]
    assert "DeleteObject" not in emulator.requests()

    checked = archive("--check", **GOING_ALL_THE_WAY, **RETENTION)
    assert checked.succeeded, checked.output
    assert "DeleteObject" not in emulator.requests()
    report = tmp_path / "report.json"
    job = archive(**GOING_ALL_THE_WAY, **RETENTION, report=str(report))
    assert job.succeeded, job.output
    [(gone, reasons)] = planned_to_go(checked).items()
    assert planned_to_go(job) == {gone: ["older", "last_copy"]} == {gone: reasons}
    assert job.artifacts["amistore_thinned_object_keys"] == [gone]
    told = json.loads(report.read_text())["retention"]
    assert {i["object_key"]: i["outcome"] for i in told["images"]}[gone] == "deleted"
    assert told["totals"]["bytes_freed"] > 0
    lines = job.shown("Show what came of it")
    assert any(line.startswith(gone) and "deleted" in line for line in lines)
    assert lines[-1].startswith("Stored images deleted: 1, kept: 1, failed: 0. Freed: ")
    assert lines[-1] == checked.shown("Show what came of it")[-1]

    again = archive(**GOING_ALL_THE_WAY, **RETENTION)
    assert (again.succeeded, again.changed()) == (True, 0), again.output
    assert emulator.requests()["CreateStoreImageTask"] == 2


def test_what_would_be_stored_again_stays(
    archive: Launch, emulator: Emulator, images: dict[str, str]
) -> None:
    for end_state in ("stored", "disabled"):
        assert archive(amistore_end_state=end_state, **RETENTION).succeeded
    again = archive(amistore_end_state="disabled", **RETENTION)
    assert (again.succeeded, again.changed()) == (True, 0), again.output
    assert kept(again) == [["image_there"], ["newest"]]
    assert emulator.requests()["CreateStoreImageTask"] == 2


def test_last_copies_stay_unless_told(
    archive: Launch, emulator: Emulator, images: dict[str, str]
) -> None:
    deregistered = {**GOING_ALL_THE_WAY, "amistore_snapshots_after_days": 1}
    assert archive(**deregistered).succeeded
    emulator.advance(2 * DAY)
    untold = archive(**deregistered)
    assert untold.succeeded, untold.output
    for task in ("Plan which stored images go", "Thin out stored images"):
        assert untold.results(task) == []
    careful = archive(**deregistered, **{**RETENTION, "amistore_last_copies": "false"})
    assert (careful.succeeded, careful.changed()) == (True, 0), careful.output
    assert kept(careful) == [["last_copy"], ["newest"]]
    assert "DeleteObject" not in emulator.requests()


def test_after_a_failure_nothing_is_thinned_out(
    archive: Launch, emulator: Emulator, images: dict[str, str]
) -> None:
    answers = {**GOING_ALL_THE_WAY, "amistore_snapshots_after_days": 1, **RETENTION}
    assert archive(**answers).succeeded
    emulator.advance(2 * DAY)
    assert archive(**answers).succeeded
    [late] = emulator.seed([{"name": "old-3", "age": 700 * DAY}])
    emulator.scenario(store_failures={late: {"reason": "planned by the test"}})
    job = archive(**answers)
    assert not job.succeeded
    assert len(planned_to_go(job)) == 1
    assert "DeleteObject" not in emulator.requests()
