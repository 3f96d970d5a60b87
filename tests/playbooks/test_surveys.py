# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Surveys against the rules of AWX and against what the playbooks read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.playbooks import survey_rules

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ROOT / "playbooks"
SURVEYS = ROOT / "extensions" / "awx" / "surveys"
PLAYS = ("archive", "relay", "restore", "secure_bucket", "status", "store")
WORKFLOW_PLAYS = ("secure_bucket", "store", "status")
ROLE_SPEC = ROOT / "roles" / "ami_store_bucket" / "meta" / "argument_specs.yml"
# Inputs that the head of each play reads, before there are tasks.
IN_THE_HEAD = ("hosts",)


def document(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def inputs(play: str) -> dict[str, dict[str, Any]]:
    return dict(document(PLAYBOOKS / "inputs" / f"{play}.yml")["amistore__inputs"])


def role_options() -> dict[str, Any]:
    return dict(document(ROLE_SPEC)["argument_specs"]["main"]["options"])


def survey(name: str) -> dict[str, Any]:
    return survey_rules.load(SURVEYS / f"{name}.json")


def variables(name: str) -> set[str]:
    return {question["variable"] for question in survey(name)["spec"]}


def known_to(play: str) -> set[str]:
    return set(inputs(play)) | (set(role_options()) if play == "secure_bucket" else set())


def required(plays: Iterable[str]) -> set[str]:
    return {name for play in plays for name, item in inputs(play).items() if item.get("required")}


def steps_of(text: str, seen: set[str]) -> str:
    """A playbook with the text of the steps that it includes, whatever it takes to get there."""
    for name in set(re.findall(r"\b(\w+\.yml)\b", text)) - seen:
        step = PLAYBOOKS / "steps" / name
        if step.exists():
            seen.add(name)
            text += steps_of(step.read_text(), seen)
    return text


def test_every_play_and_the_workflow_have_a_survey() -> None:
    assert {path.stem for path in SURVEYS.iterdir()} == {*PLAYS, "workflow"}


@pytest.mark.parametrize("name", [*PLAYS, "workflow"])
def test_awx_takes_the_survey(name: str) -> None:
    assert survey_rules.complaints(survey(name)) == []


@pytest.mark.parametrize("play", PLAYS)
def test_every_variable_asked_for_is_read(play: str) -> None:
    assert variables(play) <= known_to(play)


def test_every_variable_of_the_workflow_is_read_by_one_of_its_plays() -> None:
    assert variables("workflow") <= set().union(*map(known_to, WORKFLOW_PLAYS))


@pytest.mark.parametrize("play", PLAYS)
def test_every_input_is_used(play: str) -> None:
    text = steps_of((PLAYBOOKS / f"{play}.yml").read_text(), set())
    for name in inputs(play):
        short = name.removeprefix("amistore_")
        place = name if short in IN_THE_HEAD else f"amistore__given.{short}"
        assert re.search(rf"\b{re.escape(place)}\b", text), f"{name} is read and never used"


@pytest.mark.parametrize("play", PLAYS)
def test_every_required_variable_is_asked_and_required(play: str) -> None:
    asked = {q["variable"] for q in survey(play)["spec"] if q["required"] and q["default"] == ""}
    assert asked == required([play])


def test_the_workflow_asks_what_its_plays_require() -> None:
    assert required(WORKFLOW_PLAYS) <= variables("workflow")


@pytest.mark.parametrize("play", PLAYS)
def test_choices_and_defaults_are_those_of_the_play(play: str) -> None:
    for question in survey(play)["spec"]:
        item = inputs(play).get(question["variable"])
        if item is None:
            continue
        kind, default = item["kind"], item.get("default", "")
        if kind == "boolean":
            assert survey_rules.as_list(question["choices"]) == ["true", "false"]
            assert question["default"] == str(default).lower()
        elif kind == "integer" and question["type"] == "integer":
            assert question["min"] == item["minimum"]
        elif "choices" in item:
            assert survey_rules.as_list(question["choices"]) == item["choices"]
        if kind in ("lines", "tags", "filters", "stored_images"):
            assert question["type"] == "textarea"


def test_lists_and_tags_have_a_text_area_for_the_role_too() -> None:
    options = role_options()
    for question in survey("secure_bucket")["spec"]:
        option = options.get(question["variable"])
        if option and option["type"] == "list":
            assert question["type"] in ("textarea", "multiselect"), question["variable"]


def test_a_job_may_take_as_long_as_a_survey_lets_it_wait() -> None:
    limit = document(SURVEYS.parent / "settings.yml")["amistore_awx_timeout"]
    # A relay waits for a store, a copy and a restore.
    waits = {"relay": {"amistore_wait_timeout": 2, "amistore_copy_timeout": 1}}
    for name in ("relay", "restore", "store", "workflow"):
        most = {question["variable"]: question.get("max") for question in survey(name)["spec"]}
        times = waits.get(name, {"amistore_wait_timeout": 1})
        assert sum(most[variable] * count for variable, count in times.items()) < limit, name


def test_what_plays_read_and_hand_on_is_known_and_nothing_else() -> None:
    handed_on = {
        name
        for play in PLAYS
        for text in [(PLAYBOOKS / f"{play}.yml").read_text()]
        for name in re.findall(r"^ {10,}(amistore_[a-z]\w*):", text.split("set_stats")[1], re.M)
    }
    known = document(PLAYBOOKS / "inputs" / "names.yml")["amistore__known"]
    assert "amistore_restored_images" in handed_on
    assert set(known) == handed_on.union(*map(inputs, PLAYS))
    assert len(known) == len(set(known))


GOOD = {"type": "text", "question_name": "Bucket", "variable": "b", "required": True}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"type": "boolean"}, "b: no such type: boolean"),
        ({"required": "true"}, "b: required is neither true nor false"),
        ({"default": 3}, "b: default 3 does not fit type text"),
        ({"question_name": ""}, "b: question_name is not text"),
        ({"min": "1"}, "b: min is not a whole number"),
        ({"type": "integer", "default": "7200"}, "b: default '7200' does not fit type integer"),
        ({"type": "multiplechoice"}, "b: choices are missing"),
        (
            {"type": "multiplechoice", "choices": "a\nb", "default": "c"},
            "b: the default is not among the choices",
        ),
    ],
)
def test_the_rules_find_what_awx_refuses(change: dict[str, Any], complaint: str) -> None:
    spec = {"name": "", "description": "", "spec": [GOOD | change]}
    assert survey_rules.complaints(spec) == [complaint]


def test_the_rules_find_a_survey_without_its_frame() -> None:
    assert survey_rules.complaints({"spec": [GOOD, GOOD]}) == [
        "name is missing",
        "description is missing",
        "b is asked twice",
    ]
