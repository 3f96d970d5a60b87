# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which stored images stay: the tables of the code and of the guide, for all that can be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._retention_rule import (
    SKEW,
    Deleting,
    Findings,
    Original,
    Rules,
    Unknown,
    Verdict,
    decide,
    deleting,
    is_recent,
    restrict,
    stored_at,
)
from tests.unit.cloud import NOON
from tests.unit.decision_tables import GUIDE, guide_rows, rows

HEADING = "| object | known "
EITHER = (False, True)
WHAT_IS_UNKNOWN = "what is unknown"
THE_VERDICTS = "the verdict's"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Case:
    """Everything that can be found about a stored image, as the tables write it."""

    found: Findings
    asked: bool
    gone_only: bool

    @property
    def cells(self) -> tuple[str, ...]:
        found = self.found
        marks = (found.newest, found.recent, found.newest_verified, found.locked)
        return (
            "there" if found.there else "gone",
            "no" if found.unknown else "yes",
            *("yes" if mark else "no" for mark in marks),
            found.original.value,
            "yes" if self.asked else "no",
            "yes" if self.gone_only else "no",
        )


def every_case() -> Iterator[Case]:
    subsets = [frozenset(some) for n in range(3) for some in itertools.combinations(Unknown, n)]
    for there, unknown, *marks, original, asked, only in itertools.product(
        EITHER, subsets, *[EITHER] * 4, Original, EITHER, EITHER
    ):
        yield Case(Findings(there, unknown, *marks, original), asked, only)


def by_table(case: Case, table: list[tuple[str, ...]]) -> Verdict:
    """What a reader of the table finds: the first row that fits, and those that agree with it."""
    fitting = [
        row
        for row in table
        if all(cell in ("any", own) for cell, own in zip(row[:9], case.cells, strict=True))
    ]
    kept = fitting[0][9]
    if fitting[0][10] == WHAT_IS_UNKNOWN:
        unknown = [one.value for one in Unknown if one in case.found.unknown]
        return Verdict(True, tuple(unknown))
    reasons = [reason for row in fitting if row[9] == kept for reason in row[10].split(", ")]
    return Verdict(kept == "yes", tuple(reasons))


def test_the_guide_prints_the_table_of_the_code() -> None:
    assert guide_rows(HEADING) == rows(decide)
    assert len(guide_rows(HEADING)) == 16


def test_every_combination_gets_the_verdict_that_the_guide_prints() -> None:
    table, goes = guide_rows(HEADING), 0
    for case in every_case():
        verdict = decide(case.found, case.asked, case.gone_only)
        assert verdict == by_table(case, table), case
        goes += not verdict.stays
    # Manifests: 2 x 2 without influence, for each AMI that is not elsewhere, or any AMI if all may
    # go, asked or not. Stored images: if all may go, with the AMI, asked or not, and three ways
    # without it, asked; else one.
    assert goes == 4 * (3 + 4) * 2 + (2 + 3) + 1


def test_what_is_unknown_newest_or_verified_never_goes() -> None:
    for case in every_case():
        found = case.found
        if found.unknown or found.newest or (found.there and found.newest_verified):
            assert decide(found, case.asked, case.gone_only).stays, case


def test_what_comes_back_by_itself_never_goes_where_only_gone_ones_may() -> None:
    for case in every_case():
        if case.found.there and case.found.original is not Original.GONE:
            assert decide(case.found, case.asked, gone_only=True).stays, case


def test_every_reason_is_told_to_the_user() -> None:
    module = GUIDE.parents[1] / "plugins" / "modules" / "ec2_ami_store_retention.py"
    words = {one.value for one in Unknown}
    words |= {row[3] for row in rows(restrict) if row[3] != THE_VERDICTS}
    words |= {word for row in rows(decide)[1:] for word in row[10].split(", ")}
    for text in (GUIDE.read_text(), module.read_text()):
        assert not {word for word in words if word not in text}


@pytest.mark.parametrize("row", rows(restrict), ids=", ".join)
def test_only_what_is_named_goes(row: tuple[str, ...]) -> None:
    verdict = Verdict(row[0] == "stays", ("locked",))
    for named in EITHER if row[1] == "any" else (row[1] == "yes",):
        reasons = ("locked",) if row[3] == THE_VERDICTS else (row[3],)
        assert restrict(verdict, named) == Verdict(row[2] == "yes", reasons)


@pytest.mark.parametrize(
    ("told", "modified", "stored"),
    [
        (None, None, None),
        (NOON - DAY, None, None),
        (None, NOON + SKEW * 2, None),
        (NOON - DAY, NOON + SKEW * 2, None),
        (None, NOON - DAY, NOON - DAY),
        (NOON - DAY, NOON - 2 * DAY, None),
        (NOON - 2 * DAY, NOON - DAY, NOON - 2 * DAY),
        (NOON - DAY + SKEW, NOON - DAY, NOON - DAY + SKEW),
    ],
    ids=[
        "S3 tells none",
        "S3 tells none, the manifest does",
        "S3's is in the future",
        "S3's is in the future, the manifest's is not",
        "the manifest tells none",
        "the manifest's is later than S3's",
        "the manifest's is earlier than S3's",
        "clocks may differ a little",
    ],
)
def test_when_an_image_was_stored(
    told: datetime | None, modified: datetime | None, stored: datetime | None
) -> None:
    assert stored_at(told, modified, NOON) == stored


@pytest.mark.parametrize(
    ("stored", "modified", "days", "recent"),
    [
        (40, 40, None, False),
        (1, 1, None, False),
        (40, 40, 30, False),
        (30, 30, 30, True),
        (40, 10, 30, True),
    ],
    ids=["no days", "no days and new", "before the days", "just within", "copied within"],
)
def test_the_days_count_from_the_later_date(
    stored: int, modified: int, days: int | None, recent: bool
) -> None:
    assert is_recent(NOON - stored * DAY, NOON - modified * DAY, NOON, days) is recent


@pytest.mark.parametrize(("newest", "fewest"), [(None, 1), (1, 1), (7, 7)])
def test_one_of_a_family_stays_in_any_case(newest: int | None, fewest: int) -> None:
    assert Rules(newest=newest, days=1).fewest == fewest


VERSIONS = {"its own": ("3sL4kqtJlcpX",), "none or null": (None, "null")}
KEEPS = {"any": (True, False, None), "yes": (True,), "no": (False,), "unknown": (None,)}


@pytest.mark.parametrize("row", rows(deleting), ids=", ".join)
def test_what_a_deletion_does(row: tuple[str, ...]) -> None:
    for version, keeps in itertools.product(VERSIONS[row[0]], KEEPS[row[1]]):
        assert deleting(version, keeps) is Deleting(row[2])


def test_every_version_has_exactly_one_row() -> None:
    cases = [
        case
        for row in rows(deleting)
        for case in itertools.product(VERSIONS[row[0]], KEEPS[row[1]])
    ]
    assert len(cases) == len(set(cases)) == 9
