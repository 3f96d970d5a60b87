# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With exactly its policy each use of the collection works, and without any one action it does not.

An optional action's absence is a warning instead.
"""

from __future__ import annotations

import re

import pytest

from .conftest import with_key
from .needs import NEEDS, Kind, Need
from .plays import ARCHIVING, PLAYS, encrypt, first_failure
from .rendering import POLICIES, Document, actions_of, without
from .stage import Stage

Rendered = dict[str, dict[str, Document]]


def encrypted(stage: Stage, rendered: Rendered, policy: str) -> Document:
    """The policy for a bucket and snapshots that are encrypted with keys of the customer."""
    key = encrypt(stage)
    return with_key(rendered["keys"][policy], key)


@pytest.mark.parametrize("setting", ["plain", "prefix", "vault"])
@pytest.mark.parametrize("policy", POLICIES)
def test_exactly_the_policy_is_enough(
    setting: str, policy: str, stage: Stage, rendered: Rendered
) -> None:
    stage.allow(rendered[setting][policy])
    for outcome in PLAYS[policy](stage):
        assert not outcome.failed, outcome.text
        assert "refused" not in outcome.warnings
        assert "not authorized" not in outcome.warnings


@pytest.mark.parametrize("policy", POLICIES)
def test_exactly_the_policy_is_enough_with_keys(
    policy: str, stage: Stage, rendered: Rendered
) -> None:
    stage.allow(encrypted(stage, rendered, policy))
    for outcome in PLAYS[policy](stage):
        assert not outcome.failed, outcome.text
        assert "refused" not in outcome.warnings
        assert "not authorized" not in outcome.warnings


def test_with_its_policy_every_step_of_an_archive_is_taken(
    stage: Stage, rendered: Rendered
) -> None:
    """What may not be known would keep AMIs from it without a failure."""
    stage.allow(rendered["prefix"]["archive"])
    for outcome, (_end_state, step) in zip(PLAYS["archive"](stage), ARCHIVING, strict=True):
        assert step in [done for image in outcome.values["images"] for done in image["done"]]


@pytest.mark.parametrize("policy", POLICIES)
def test_every_action_of_a_policy_has_its_test(policy: str, rendered: Rendered) -> None:
    needed = [need.action for need in NEEDS if need.policy == policy]
    assert len(needed) == len(set(needed))
    assert set(needed) == actions_of(rendered["keys"][policy])


def named(need: Need) -> str:
    return f"{need.policy} {need.action} {need.kind.value}"


def words_of(action: str) -> str:
    """The action as amazon.aws's own modules call it, which leave AWS's words out."""
    return re.sub("(?<=[a-z])(?=[A-Z])", " ", action.partition(":")[2]).lower()


@pytest.mark.parametrize("need", NEEDS, ids=named)
def test_an_action_that_is_missing_is_told(need: Need, stage: Stage, rendered: Rendered) -> None:
    whole = encrypted(stage, rendered, need.policy)
    stage.allow(without(whole, need.action))
    if need.kind is Kind.OPTIONAL:
        outcomes = list(PLAYS[need.policy](stage))
        assert not [outcome.text for outcome in outcomes if outcome.failed]
        assert any(need.action in outcome.warnings for outcome in outcomes)
        return
    failed = first_failure(PLAYS[need.policy], stage)
    assert failed is not None
    assert need.action in failed.text or words_of(need.action) in failed.text
