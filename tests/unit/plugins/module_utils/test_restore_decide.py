# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided about one stored image that is to be restored: a test per row of the table."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._images import Image
from ansible_collections.amistore.aws.plugins.module_utils._restore import (
    ETAG_TAG,
    LOCATION_TAG,
    Action,
    decide,
    proof_of,
    proves,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import StoredObject
from tests.unit.cloud import to_list
from tests.unit.decision_tables import rows

PROOF = {LOCATION_TAG: "mine/ami-0abcdef1.bin", ETAG_TAG: "e1"}
STRANGERS = {
    "carries no proof of a restore": {},
    "was restored from s3://theirs/x.bin": {LOCATION_TAG: "theirs/x.bin", ETAG_TAG: "e1"},
    "another ETag": PROOF | {ETAG_TAG: "e2"},
}
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Image.html
STATES = (
    "pending",
    "available",
    "invalid",
    "deregistered",
    "transient",
    "failed",
    "error",
    "disabled",
)


def holder(state: str, tags: dict[str, str]) -> Image:
    item = {"ImageId": "ami-0000beef", "Name": "web", "State": state, "Tags": to_list(tags)}
    return Image.from_aws(item)


@dataclass(frozen=True)
class Row:
    name: str
    holders: tuple[Image | None, ...]
    adopt: tuple[bool, ...]
    action: Action


def ours(*states: str) -> tuple[Image, ...]:
    return tuple(holder(state, PROOF) for state in states)


def strangers(*states: str) -> tuple[Image, ...]:
    return tuple(holder(state, tags) for tags in STRANGERS.values() for state in states)


EITHER = (False, True)
NOT_AVAILABLE = tuple(state for state in STATES if state != "available")
TABLE = [
    Row("none, or deregistered", (None,), EITHER, Action.START),
    Row("ours, pending or transient", ours("pending", "transient"), EITHER, Action.ATTACH),
    Row("ours, available", ours("available"), EITHER, Action.KEEP),
    Row(
        "ours, failed, error or invalid",
        ours("failed", "error", "invalid"),
        EITHER,
        Action.REPLACE,
    ),
    Row("ours, disabled or anything else", ours("disabled", "brand-new"), EITHER, Action.FAIL),
    Row("no proof or another, available, adopt", strangers("available"), (True,), Action.KEEP),
    Row("no proof or another", strangers(*NOT_AVAILABLE), EITHER, Action.FAIL),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_the_decision_of_a_row(row: Row) -> None:
    for image in row.holders:
        for adopt in row.adopt:
            assert decide(image, PROOF, adopt).action is row.action


def test_the_rows_are_those_of_the_docstring() -> None:
    assert [cells[0] for cells in rows(decide)] == [row.name for row in TABLE]


@pytest.mark.parametrize("state", NOT_AVAILABLE)
@pytest.mark.parametrize("adopt", EITHER)
def test_a_stranger_that_is_not_available_is_never_touched(state: str, adopt: bool) -> None:
    for image in strangers(state):
        assert decide(image, PROOF, adopt).action is Action.FAIL


@pytest.mark.parametrize("told", STRANGERS)
def test_a_name_that_is_taken_names_the_holder_and_where_it_came_from(told: str) -> None:
    decision = decide(holder("available", STRANGERS[told]), PROOF)
    assert decision.action is Action.FAIL
    assert "the name 'web' is taken by ami-0000beef (available)" in decision.reason
    assert told in decision.reason
    assert decision.reason.endswith("set adopt: true if that AMI is the one you want")


def test_a_failed_stranger_is_the_users_to_deregister() -> None:
    reason = decide(holder("failed", {}), PROOF, adopt=True).reason
    assert reason.endswith("deregister it yourself if nobody needs it")
    assert "adopt" not in reason


def test_an_ami_of_ours_that_is_disabled_is_named() -> None:
    reason = decide(holder("disabled", PROOF), PROOF).reason
    assert "ami-0000beef, which is in state 'disabled'" in reason
    assert "Enable or deregister it" in reason


def test_the_proof_is_the_place_and_the_content() -> None:
    assert proof_of("mine", StoredObject("ami-0abcdef1.bin", 5, "e1")) == PROOF


@pytest.mark.parametrize("key", [LOCATION_TAG, ETAG_TAG])
def test_half_a_proof_is_none(key: str) -> None:
    assert proves(holder("available", PROOF | {"else": "x"}), PROOF)
    assert not proves(holder("available", {key: PROOF[key]}), PROOF)
