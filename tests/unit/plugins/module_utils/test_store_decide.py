# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided about one AMI that is to be stored: a test per row of the table."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._store import (
    Action,
    Decision,
    Presence,
    decide,
)
from ansible_collections.amistore.aws.plugins.module_utils._store_tasks import StoreTask
from tests.unit.cloud import NOON
from tests.unit.decision_tables import rows

BUCKET, KEY, IMAGE_ID = "mine", "dr/ami-0abcdef1.bin", "ami-0abcdef1"

INTO_KEY = StoreTask(IMAGE_ID, BUCKET, KEY, "InProgress", NOON)
INTO_OTHER_KEY = StoreTask(IMAGE_ID, BUCKET, "old/ami-0abcdef1.bin", "InProgress", NOON)
INTO_OTHER_BUCKET = StoreTask(IMAGE_ID, "theirs", KEY, "InProgress", NOON)
TASKS = (None, INTO_KEY, INTO_OTHER_KEY, INTO_OTHER_BUCKET)


@dataclass(frozen=True)
class Row:
    key: str
    task: str
    presence: Presence
    tasks: tuple[StoreTask | None, ...]
    exists_said: tuple[bool, ...]
    action: Action
    told: tuple[str, ...] = ()
    """What the reason must name."""


TABLE = [
    Row("there", "any", Presence.THERE, TASKS, (False, True), Action.KEEP),
    Row(
        "403",
        "any",
        Presence.FORBIDDEN,
        TASKS,
        (False, True),
        Action.FAIL,
        (f"403 for s3://{BUCKET}/{KEY}", "nothing was started", "s3:ListBucket", "s3:GetObject"),
    ),
    Row(
        "not there",
        "InProgress into this key",
        Presence.MISSING,
        (INTO_KEY,),
        (False, True),
        Action.ATTACH,
    ),
    Row(
        "not there",
        "InProgress into another key of this bucket",
        Presence.MISSING,
        (INTO_OTHER_KEY,),
        (False, True),
        Action.FAIL,
        (f"s3://{BUCKET}/old/ami-0abcdef1.bin is in progress", KEY),
    ),
    Row(
        "not there",
        "InProgress into another bucket",
        Presence.MISSING,
        (INTO_OTHER_BUCKET,),
        (False, True),
        Action.HOLD,
        (f"s3://theirs/{KEY} is in progress",),
    ),
    Row(
        "not there",
        'none, but AWS said "already exists"',
        Presence.MISSING,
        (None,),
        (True,),
        Action.FAIL,
        (f"s3://{BUCKET}/{KEY} is not there", "under another key", "delete marker"),
    ),
    Row(
        "not there",
        "none, Failed, or Completed (object deleted)",
        Presence.MISSING,
        (None,),
        (False,),
        Action.START,
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.key}, {row.task}")
def test_the_decision_of_a_row(row: Row) -> None:
    for task in row.tasks:
        for exists_said in row.exists_said:
            decision = decide(row.presence, task, BUCKET, KEY, exists_said)
            assert decision.action is row.action
            assert [part for part in row.told if part not in decision.reason] == []
            assert bool(decision.reason) is bool(row.told)


def test_the_rows_are_those_of_the_docstring() -> None:
    assert [cells[:2] for cells in rows(decide)] == [(row.key, row.task) for row in TABLE]


def test_every_observation_has_exactly_one_row() -> None:
    """The table is total, and its rows do not overlap."""
    covered = [
        (row.presence, task, said)
        for row in TABLE
        for task in row.tasks
        for said in row.exists_said
    ]
    assert len(covered) == len(set(covered)) == len(Presence) * len(TASKS) * 2


def test_nothing_said_is_nothing_said() -> None:
    assert decide(Presence.MISSING, None, BUCKET, KEY) == Decision(Action.START)
