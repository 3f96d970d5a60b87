# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: survey_answers
version_added: 1.1.0
author: "amistore.aws contributors (@amistore)"
short_description: Typed values from the answers of a survey
description:
  - Surveys of AWX know no booleans and no lists, and send a blank for what was not answered. This
    filter makes the values that a playbook means, and says what is wrong in words that name the
    variable.
  - A value that has the right type already, as from a variables file, is taken as it is.
  - The playbooks of this collection read their variables with it.
positional: questions, known
options:
  _input:
    description: The answers by the names of the variables.
    type: dict
    required: true
  questions:
    description:
      - What each variable is, by its name.
      - The entry C(kind) is one of V(text), V(integer), V(boolean), V(words) (a list, from text
        parted by blanks, commas or line ends), V(lines) (a list, from text parted by commas or line
        ends), V(tags)
        (a dictionary, from lines C(key=value)), V(filters) (filters of C(DescribeImages) on tags,
        from lines C(key=value) or C(key)) and V(stored_images) (a list of dictionaries, from lines
        with an object key and, after a blank, a name).
      - Further entries are C(required), C(default), C(choices) for text and words, and C(minimum)
        for integers.
    type: dict
    required: true
  known:
    description:
      - Further variables that may be among the answers. With this, every other one is an error,
        since it is most likely misspelled.
      - Without this, answers to no question are ignored.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Read what a survey sent
  ansible.builtin.set_fact:
    given: "{{ answers | amistore.aws.survey_answers(questions) }}"
  vars:
    answers:
      amistore_bucket: my-ami-bucket
      amistore_wait: "false"
      amistore_image_ids: "ami-0abcdef1234567890, ami-0fedcba9876543210"
      amistore_wait_timeout: ""
    questions:
      amistore_bucket: {kind: text, required: true}
      amistore_wait: {kind: boolean, default: true}
      amistore_image_ids: {kind: words, default: []}
      amistore_wait_timeout: {kind: integer, default: 7200}

# given.values is {"bucket": "my-ami-bucket", "wait": false, "wait_timeout": 7200,
#                  "image_ids": ["ami-0abcdef1234567890", "ami-0fedcba9876543210"]}
# given.errors is []
"""

RETURN = r"""
_value:
  description:
    - C(values) are the values by the names of their variables without C(amistore_). What is blank
      and has no default is left out.
    - C(errors) are sentences on what is wrong with the answers.
  type: dict
  sample: {"values": {"bucket": "my-ami-bucket"}, "errors": []}
"""

import difflib
import re
import typing as t

from ansible.errors import AnsibleFilterError

NAME_PREFIX = "amistore_"
TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})


class AnswerError(ValueError):
    """An answer that can't be meant; completes "<variable> …"."""


def read_text(answer: t.Any, question: t.Mapping[str, t.Any]) -> str:
    if isinstance(answer, (list, tuple, dict, bool)):
        raise AnswerError(f"is text, not {answer!r}")
    text = str(answer).strip()
    if question.get("choices") and text not in question["choices"]:
        raise AnswerError(f"is {' or '.join(map(repr, question['choices']))}, not {text!r}")
    return text


def read_integer(answer: t.Any, question: t.Mapping[str, t.Any]) -> int:
    text = str(answer).strip()
    if isinstance(answer, bool) or not re.fullmatch(r"[+-]?[0-9]+", text):
        raise AnswerError(f"is a whole number, not {answer!r}")
    if int(text) < question.get("minimum", int(text)):
        raise AnswerError(f"is at least {question['minimum']}, not {text}")
    return int(text)


def read_boolean(answer: t.Any, question: t.Mapping[str, t.Any]) -> bool:
    word = str(answer).strip().lower()
    if word not in TRUE | FALSE:
        raise AnswerError(f"is true or false, not {answer!r}")
    return word in TRUE


def read_words(answer: t.Any, question: t.Mapping[str, t.Any]) -> list[str]:
    words = _entries(answer, r"[\s,]+")
    unknown = [word for word in words if word not in question.get("choices", words)]
    if unknown:
        raise AnswerError(f"takes {', '.join(question['choices'])}, not {unknown[0]!r}")
    return words


def read_lines(answer: t.Any, question: t.Mapping[str, t.Any]) -> list[str]:
    return _entries(answer, r"[\r\n,]+")


def read_tags(answer: t.Any, question: t.Mapping[str, t.Any]) -> dict[str, str]:
    if isinstance(answer, t.Mapping):
        return {str(key): "" if value is None else str(value) for key, value in answer.items()}
    tags: dict[str, str] = {}
    for key, value in _pairs(answer):
        if value is None:
            raise AnswerError(f"has lines key=value; the line {key!r} has no equals sign")
        if tags.setdefault(key, value) != value:
            raise AnswerError(f"gives the tag {key!r} twice")
    return tags


def read_filters(answer: t.Any, question: t.Mapping[str, t.Any]) -> dict[str, list[str]]:
    """Return filters of DescribeImages: values of one key are alternatives, keys must all fit."""
    pairs = answer.items() if isinstance(answer, t.Mapping) else _pairs(answer)
    filters: dict[str, list[str]] = {}
    for key, value in pairs:
        name, found = ("tag-key", key) if value is None else (f"tag:{key}", value)
        values = found if isinstance(found, list) else [found]
        if not values:
            raise AnswerError(f"gives the tag {key!r} no values")
        filters.setdefault(str(name), []).extend(map(str, values))
    return filters


def read_stored_images(answer: t.Any, question: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return what the option of the same name of ec2_ami_restore takes."""
    if isinstance(answer, (list, tuple)) and all(isinstance(item, t.Mapping) for item in answer):
        return [dict(item) for item in answer]
    images = []
    for line in _entries(answer, r"[\r\n]+"):
        object_key, *name = line.split(maxsplit=1)
        images.append({"object_key": object_key, **({"name": name[0]} if name else {})})
    return images


def _entries(answer: t.Any, separator: str) -> list[str]:
    if isinstance(answer, (t.Mapping, bool)):
        raise AnswerError(f"is a list or text, not {answer!r}")
    parts = answer if isinstance(answer, (list, tuple)) else re.split(separator, str(answer))
    return [text for text in ("" if part is None else str(part).strip() for part in parts) if text]


def _pairs(answer: t.Any) -> t.Iterator[tuple[str, str | None]]:
    for line in _entries(answer, r"[\r\n]+"):
        key, equals, value = line.partition("=")
        if not key.strip():
            raise AnswerError(f"has lines key=value; the line {line!r} has no key")
        yield key.strip(), value.strip() if equals else None


READERS: dict[str, t.Callable[[t.Any, t.Mapping[str, t.Any]], t.Any]] = {
    "text": read_text,
    "integer": read_integer,
    "boolean": read_boolean,
    "words": read_words,
    "lines": read_lines,
    "tags": read_tags,
    "filters": read_filters,
    "stored_images": read_stored_images,
}


def is_blank(answer: t.Any) -> bool:
    """Tell an answer that was not given from one that is empty on purpose, such as {}."""
    if isinstance(answer, (list, tuple)):
        return all(is_blank(item) for item in answer)
    return answer is None or (isinstance(answer, str) and not answer.strip())


def _misspelled(answers: t.Iterable[str], known: t.Collection[str]) -> t.Iterator[str]:
    for variable in sorted(set(answers) - set(known)):
        alike = difflib.get_close_matches(variable, known, n=1, cutoff=0.8)
        hint = f"; is {alike[0]} meant?" if alike else "."
        yield f"{variable} is read by no playbook of the collection{hint}"


def survey_answers(
    answers: t.Mapping[str, t.Any],
    questions: t.Mapping[str, t.Mapping[str, t.Any]],
    known: t.Collection[str] | None = None,
) -> dict[str, t.Any]:
    """Return the values and what is wrong.

    :raises AnsibleFilterError: when the questions themselves are wrong.
    """
    values: dict[str, t.Any] = {}
    errors = [] if known is None else list(_misspelled(answers, {*questions, *known}))
    for variable, question in questions.items():
        read = READERS.get(question.get("kind", ""))
        if read is None:
            raise AnsibleFilterError(f"{variable}: kind is one of {', '.join(READERS)}.")
        name, answer = variable.removeprefix(NAME_PREFIX), answers.get(variable)
        if not is_blank(answer):
            try:
                values[name] = read(answer, question)
            except AnswerError as error:
                errors.append(f"{variable} {error}.")
        elif question.get("required"):
            errors.append(f"{variable} is required and blank.")
        elif "default" in question:
            values[name] = question["default"]
    return {"values": values, "errors": errors}


class FilterModule:
    """What Ansible asks a filter plugin for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"survey_answers": survey_answers}
