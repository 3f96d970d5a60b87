# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision about one object: one test per row of the table, and every combination."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._copy_decide import (
    Action,
    Observed,
    decide,
)
from tests.unit.decision_tables import rows

THERE = Observed(source=True, present=True)
MISSING = Observed(source=True)
OURS = {"made_of_source": True}
EXAMPLES = {
    ("missing", "any", "any", "any"): Observed(source=False, present=True, proved=True),
    ("any", "there, proved", "any", "any"): replace(THERE, proved=True, readable=False),
    ("any", "there, equal by S3's sums", "any", "any"): replace(
        THERE, equal=True, readable=False, overwrite=True
    ),
    ("readable", "there, made of this very source", "any", "any"): replace(
        THERE, made_of_source=True, overwrite=True
    ),
    ("any", "there, anything else", "no", "any"): replace(THERE, unfinished=True),
    ("archived", "missing, or there to be overwritten", "any", "any"): replace(
        THERE, readable=False, overwrite=True
    ),
    ("readable", "missing, or there to be overwritten", "any", "ours"): replace(
        MISSING, unfinished=True
    ),
    ("readable", "missing, or there to be overwritten", "any", "none"): replace(
        THERE, overwrite=True
    ),
}
ACTIONS = {
    "fail": Action.FAIL,
    "keep": Action.KEEP,
    "record": Action.RECORD,
    "verify": Action.VERIFY,
    "resume": Action.RESUME,
    "copy": Action.COPY,
}


def test_every_row_of_the_table_has_an_example() -> None:
    assert [row[:-1] for row in rows(decide)] == list(EXAMPLES)


@pytest.mark.parametrize("row", rows(decide), ids=" / ".join)
def test_row(row: tuple[str, ...]) -> None:
    assert decide(EXAMPLES[row[:-1]]).action is ACTIONS[row[-1]]


def test_no_combination_writes_over_what_is_not_ours_unasked() -> None:
    for values in itertools.product([False, True], repeat=7):
        source, readable, proved, equal, made, unfinished, overwrite = values
        seen = Observed(
            source=source,
            readable=readable,
            present=True,
            proved=proved,
            equal=equal,
            made_of_source=made,
            unfinished=unfinished,
            overwrite=overwrite,
        )
        writes = decide(seen).action in (Action.COPY, Action.RESUME)
        assert not writes or overwrite
        assert not (writes and (proved or equal))
        assert not (writes and not readable)


def test_an_archived_source_is_the_reason_told() -> None:
    assert decide(replace(MISSING, readable=False)).reason == "archived"
