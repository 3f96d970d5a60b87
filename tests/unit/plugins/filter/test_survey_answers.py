# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What surveys send, and what a playbook gets from it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.amistore.aws.plugins.filter.survey_answers import FilterModule

survey_answers = FilterModule().filters()["survey_answers"]


def read(kind: str, answer: Any, **question: Any) -> Any:
    answers = survey_answers({"amistore_it": answer}, {"amistore_it": {"kind": kind, **question}})
    assert answers["errors"] == []
    return answers["values"].get("it", "left out")


def refusal(kind: str, answer: Any, **question: Any) -> str:
    answers = survey_answers({"amistore_it": answer}, {"amistore_it": {"kind": kind, **question}})
    assert answers["values"] == {}
    [error] = answers["errors"]
    return str(error)


@pytest.mark.parametrize(
    ("kind", "answer", "value"),
    [
        ("text", "  my-bucket ", "my-bucket"),
        ("text", 123456789012, "123456789012"),
        ("integer", " 7200 ", 7200),
        ("integer", 15, 15),
        ("boolean", "false", False),
        ("boolean", "True", True),
        ("boolean", "no", False),
        ("boolean", True, True),
        ("words", "a, b\nc\r\n a", ["a", "b", "c", "a"]),
        ("words", ["a", "", None, " b "], ["a", "b"]),
        ("lines", "web (old) *\r\n\n db, two,\r\n", ["web (old) *", "db", "two"]),
        ("tags", "service = shop\nempty=\na=b=c", {"service": "shop", "empty": "", "a": "b=c"}),
        ("tags", {"n": 1, "none": None}, {"n": "1", "none": ""}),
        ("tags", {}, {}),
        (
            "filters",
            "env=prod\nenv=test\nbackup",
            {"tag:env": ["prod", "test"], "tag-key": ["backup"]},
        ),
        (
            "filters",
            {"env": ["prod", "test"], "n": 1},
            {"tag:env": ["prod", "test"], "tag:n": ["1"]},
        ),
        (
            "stored_images",
            "dr/ami-1.bin\ndr/ami-2.bin  web (drill)\n",
            [{"object_key": "dr/ami-1.bin"}, {"object_key": "dr/ami-2.bin", "name": "web (drill)"}],
        ),
        ("stored_images", [{"object_key": "k", "tags": {}}], [{"object_key": "k", "tags": {}}]),
    ],
)
def test_reads_what_surveys_and_files_give(kind: str, answer: Any, value: Any) -> None:
    assert read(kind, answer) == value


@pytest.mark.parametrize("blank", ["", "  \n", None, [], ["", None]])
@pytest.mark.parametrize("kind", ["text", "integer", "boolean", "words", "lines", "tags"])
def test_a_blank_is_an_answer_not_given(kind: str, blank: Any) -> None:
    assert read(kind, blank) == "left out"
    assert read(kind, blank, default="the default") == "the default"
    assert refusal(kind, blank, required=True) == "amistore_it is required and blank."


@pytest.mark.parametrize(
    ("kind", "answer", "words"),
    [
        ("text", ["a"], "amistore_it is text, not ['a']."),
        ("integer", "soon", "amistore_it is a whole number, not 'soon'."),
        ("integer", True, "amistore_it is a whole number, not True."),
        ("integer", "1.5", "amistore_it is a whole number, not '1.5'."),
        ("boolean", "ture", "amistore_it is true or false, not 'ture'."),
        ("boolean", 2, "amistore_it is true or false, not 2."),
        ("words", {"a": 1}, "amistore_it is a list or text, not {'a': 1}."),
        ("lines", True, "amistore_it is a list or text, not True."),
        ("tags", "a=1\na=2", "amistore_it gives the tag 'a' twice."),
        ("tags", "a", "amistore_it has lines key=value; the line 'a' has no equals sign."),
        ("tags", "=a", "amistore_it has lines key=value; the line '=a' has no key."),
        ("filters", {"env": []}, "amistore_it gives the tag 'env' no values."),
        ("filters", " = a", "amistore_it has lines key=value; the line '= a' has no key."),
    ],
)
def test_says_what_is_wrong_with_which_variable(kind: str, answer: Any, words: str) -> None:
    assert refusal(kind, answer) == words


def test_a_number_has_a_least_value() -> None:
    assert read("integer", "1", minimum=1) == 1
    assert refusal("integer", "0", minimum=1) == "amistore_it is at least 1, not 0."


def test_text_and_words_have_choices() -> None:
    assert read("text", "absent", choices=["present", "absent"]) == "absent"
    assert refusal("text", "gone", choices=["present", "absent"]) == (
        "amistore_it is 'present' or 'absent', not 'gone'."
    )
    assert read("words", "a b", choices=["a", "b"]) == ["a", "b"]
    assert refusal("words", "a c", choices=["a", "b"]) == "amistore_it takes a, b, not 'c'."


def test_all_errors_are_told_at_once() -> None:
    questions = {
        "amistore_a": {"kind": "text", "required": True},
        "amistore_b": {"kind": "integer"},
    }
    answers = survey_answers({"amistore_b": "x", "amistore_other": "ignored"}, questions)
    assert len(answers["errors"]) == 2


def test_an_unknown_kind_is_a_fault_of_the_playbook() -> None:
    with pytest.raises(AnsibleFilterError, match="amistore_a: kind is one of text, "):
        survey_answers({}, {"amistore_a": {"kind": "txet"}})


def test_a_misspelled_variable_is_refused_where_the_others_are_known() -> None:
    questions = {"amistore_image_ids": {"kind": "words"}}
    answers = {"amistore_image_ids": "", "amistore_image_id": "a", "amistore_state": "absent"}
    known = ["amistore_state"]
    assert survey_answers(answers, questions)["errors"] == []
    assert survey_answers(answers, questions, known)["errors"] == [
        "amistore_image_id is read by no playbook of the collection; is amistore_image_ids meant?"
    ]
    assert survey_answers({"amistore_zzz": ""}, questions, known)["errors"] == [
        "amistore_zzz is read by no playbook of the collection."
    ]
