# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX demands of a survey before it takes it, and what it sends when one is answered.

The demands are those of the survey_spec endpoint, see
https://github.com/ansible/awx/blob/devel/awx/api/views/__init__.py (JobTemplateSurveySpec).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DEFAULT_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "text": str,
    "textarea": str,
    "password": str,
    "multiplechoice": str,
    "multiselect": (str, list),
    "integer": int,
    "float": float,
}
CHOICES = ("multiplechoice", "multiselect")


def load(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def complaints(survey: Mapping[str, Any]) -> list[str]:
    """Why AWX would refuse the survey."""
    found = [f"{key} is missing" for key in ("name", "description", "spec") if key not in survey]
    questions = survey.get("spec") or []
    if not questions:
        return [*found, "spec is empty"]
    for question in questions:
        found += [f"{question.get('variable')}: {fault}" for fault in _faults(question)]
    variables = [question.get("variable") for question in questions]
    return found + [
        f"{name} is asked twice" for name in set(variables) if variables.count(name) > 1
    ]


def _faults(question: Mapping[str, Any]) -> Iterator[str]:
    for key in ("type", "question_name", "variable"):
        if not isinstance(question.get(key), str) or not question[key].strip():
            yield f"{key} is not text"
    if not isinstance(question.get("required"), bool):
        yield "required is neither true nor false"
    if question.get("type") not in DEFAULT_TYPES:
        yield f"no such type: {question.get('type')}"
        return
    default = question.get("default", "")
    if default != "" and not isinstance(default, DEFAULT_TYPES[question["type"]]):
        yield f"default {default!r} does not fit type {question['type']}"
    for key in ("min", "max"):
        if not isinstance(question.get(key), int | None):
            yield f"{key} is not a whole number"
    if question["type"] in CHOICES:
        yield from _choice_faults(question, default)


def _choice_faults(question: Mapping[str, Any], default: Any) -> Iterator[str]:
    choices = as_list(question.get("choices"))
    defaults = as_list(default)
    if not choices:
        yield "choices are missing"
    if question["type"] == "multiplechoice" and len(defaults) > 1:
        yield "more than one default"
    if set(defaults) - set(choices):
        yield "the default is not among the choices"


def as_list(value: Any) -> list[str]:
    """Choices, which are a list or lines."""
    items = value.splitlines() if isinstance(value, str) else value or []
    return [item for item in items if item.strip()]


def answers(survey: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """The extra variables of a job: what was answered, else the default, a blank too.

    Raises KeyError for an answer to no question, ValueError where AWX would not let the job start.
    """
    questions = {question["variable"]: question for question in survey["spec"]}
    if unknown := set(given) - set(questions):
        raise KeyError(f"not asked: {', '.join(sorted(unknown))}")
    sent = {name: question.get("default", "") for name, question in questions.items()} | given
    for name, question in questions.items():
        if question["required"] and sent[name] in ("", None):
            raise ValueError(f"{name} is required")
    return sent
