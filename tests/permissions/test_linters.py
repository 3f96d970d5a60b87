# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What linters and a database of IAM's actions say about the policies."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from policy_sentry.querying.actions import get_action_data

from .conftest import SETTINGS
from .rendering import POLICIES, Document, listed

with warnings.catch_warnings():
    # It leaves its own files open, and is written for older Pythons.
    warnings.simplefilter("ignore")
    from parliament import analyze_policy_string

Rendered = dict[str, dict[str, Document]]

TEMPLATES = Path(__file__).parents[2] / "roles" / "ami_store_bucket" / "templates" / "policies"
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, without white space.
LONGEST_MANAGED_POLICY = 6144
# Every action has it, whatever the database lists:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
GLOBAL_KEYS = {"aws:CalledVia", "aws:ResourceAccount"}
# Regions whose ARNs the linter takes for malformed.
UNKNOWN_PARTITIONS = ("eusc-de-east-1",)
# Actions that came after the linter's last release; the database knows them.
NEWER_ACTIONS = ("ec2:DescribeImageReferences", "ec2:GetImageAncestry")


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SETTINGS)
def document(request: pytest.FixtureRequest, policy: str, rendered: Rendered) -> Document:
    return rendered[request.param][policy]


def statements(document: Document) -> Iterator[tuple[dict[str, Any], str, list[dict[str, Any]]]]:
    """Each statement with each of its actions and what the database knows about that."""
    for statement in document["Statement"]:
        for action in listed(statement["Action"]):
            service, _colon, name = action.partition(":")
            yield statement, action, (get_action_data(service, name) or {}).get(service, [])


def findings(document: Document) -> list[str]:
    found = analyze_policy_string(json.dumps(document), ignore_private_auditors=True).findings
    return [f"{finding.issue} {finding.detail}" for finding in found]


@pytest.mark.parametrize("setting", [name for name in SETTINGS if name not in UNKNOWN_PARTITIONS])
def test_a_linter_finds_nothing(setting: str, policy: str, rendered: Rendered) -> None:
    newer = {f"UNKNOWN_ACTION Unknown action {action}" for action in NEWER_ACTIONS}
    assert set(findings(rendered[setting][policy])) - newer == set()


@pytest.mark.parametrize("action", NEWER_ACTIONS)
def test_the_linter_does_not_know_these_actions_yet(action: str) -> None:
    """Once it does, the exception above goes."""
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    found = findings({"Version": "2012-10-17", "Statement": [statement]})
    assert found == [f"UNKNOWN_ACTION Unknown action {action}"]


@pytest.mark.parametrize(
    ("change", "issue"),
    [
        ({"Action": "ec2:StoreImage"}, "UNKNOWN_ACTION"),
        ({"Action": "ec2:CreateStoreImageTask", "Resource": "*"}, "RESOURCE_STAR"),
        ({"Action": "s3:PutObject", "Resource": "arn:aws:s3:::vault"}, "RESOURCE_MISMATCH"),
    ],
)
def test_the_linter_knows_these_services(change: dict[str, str], issue: str) -> None:
    statement = {"Effect": "Allow", "Resource": "*", **change}
    found = findings({"Version": "2012-10-17", "Statement": [statement]})
    assert any(finding.startswith(issue) for finding in found)


def test_every_action_is_known(document: Document) -> None:
    unknown = [action for _statement, action, known in statements(document) if not known]
    assert unknown == []


def test_everything_stands_for_an_action_without_resources_only(document: Document) -> None:
    for statement, action, known in statements(document):
        if "*" in listed(statement["Resource"]):
            assert {entry["resource_arn_format"] for entry in known} == {"*"}, action


def test_every_resource_is_of_a_kind_that_the_action_knows(document: Document) -> None:
    for statement, action, known in statements(document):
        kinds = [form(entry["resource_arn_format"]) for entry in known]
        for resource in listed(statement["Resource"]):
            assert any(kind.fullmatch(resource) for kind in kinds), (action, resource)


def form(arn_format: str) -> re.Pattern[str]:
    """The pattern of a format such as arn:${Partition}:ec2:${Region}::image/${ImageId}."""
    if arn_format == "*":
        return re.compile(r"\*")
    parts = re.split(r"\$\{[A-Za-z]+\}", arn_format)
    # Only an object's key may hold slashes.
    inner = "[^:]+" if arn_format.endswith("/${ObjectName}") else "[^:/]+"
    return re.compile(inner.join(map(re.escape, parts)))


def test_every_condition_is_one_that_the_action_knows(document: Document) -> None:
    for statement, action, known in statements(document):
        keys = {key for block in statement.get("Condition", {}).values() for key in block}
        possible = {key for entry in known for key in entry["condition_keys"]} | GLOBAL_KEYS
        assert {general(key) for key in keys} <= possible, action


def general(key: str) -> str:
    """The form in which the database lists a condition key that holds the key of a tag."""
    service, slash, _tag = key.partition("/")
    return f"{service}/${{TagKey}}" if slash else key


def test_actions_are_named_in_full(document: Document) -> None:
    assert [action for _statement, action, _known in statements(document) if "*" in action] == []


def test_statements_have_names_of_their_own(document: Document) -> None:
    names = [statement["Sid"] for statement in document["Statement"]]
    assert len(names) == len(set(names))


def test_a_managed_policy_can_hold_it(document: Document) -> None:
    assert len(json.dumps(document, separators=(",", ":"))) <= LONGEST_MANAGED_POLICY


def test_no_partition_is_written_into_a_template() -> None:
    templates = list(TEMPLATES.glob("*.j2"))
    assert len(templates) == len(POLICIES) + 1
    assert [path.name for path in templates if re.search(r"arn:aws\b", path.read_text())] == []
