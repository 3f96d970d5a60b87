# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an AMI may be archived: the tables of the code and of the guide, for all that can be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._usage_verdict import (
    Findings,
    Launches,
    Obstacle,
    Stored,
    Use,
    Verdict,
    decide,
    use_of,
)
from tests.unit.cloud import NOON
from tests.unit.decision_tables import guide_rows, rows

HEADING = "| kind | use "
KNOWN = {"yes": True, "no": False, "unknown": None}
VERDICTS = {"true": True, "false": False, "null": None}
ITS_OBSTACLES = "its obstacles"
NINETY_DAYS_AND_THE_DELAY = timedelta(days=91)


@dataclass(frozen=True)
class Case:
    """Everything that can be found about an AMI, as the tables write it."""

    obstacles: frozenset[Obstacle]
    use: str
    stored: str
    shared: str
    protected: str
    referenced: str

    @property
    def cells(self) -> tuple[str, ...]:
        kind = "unfit" if self.obstacles else "fit"
        return (kind, self.use, self.stored, self.shared, self.protected, self.referenced)

    @property
    def findings(self) -> Findings:
        return Findings(
            Use(self.use),
            Stored(self.stored),
            KNOWN[self.shared],
            KNOWN[self.protected],
            KNOWN[self.referenced],
            self.obstacles,
        )


def every_case() -> Iterator[Case]:
    subsets = [frozenset(some) for n in range(5) for some in itertools.combinations(Obstacle, n)]
    uses, stored = [use.value for use in Use], [state.value for state in Stored]
    yield from itertools.starmap(
        Case, itertools.product(subsets, uses, stored, KNOWN, KNOWN, KNOWN)
    )


def by_table(case: Case, table: list[tuple[str, ...]]) -> Verdict:
    """What a reader of the table finds: the first row that fits, and those that agree with it."""
    fitting = [
        row
        for row in table
        if all(cell in ("any", own) for cell, own in zip(row[:6], case.cells, strict=True))
    ]
    verdict = fitting[0][6]
    reasons: list[str] = []
    for row in fitting:
        if row[6] == verdict and row[7] == ITS_OBSTACLES:
            reasons += [obstacle.value for obstacle in Obstacle if obstacle in case.obstacles]
        elif row[6] == verdict:
            reasons += row[7].split(", ")
    return Verdict(VERDICTS[verdict], tuple(reasons))


def test_the_guide_prints_the_table_of_the_code() -> None:
    assert guide_rows(HEADING) == rows(decide)
    assert len(guide_rows(HEADING)) == 17


def test_every_combination_gets_the_verdict_that_the_guide_prints() -> None:
    table, count, archivable = guide_rows(HEADING), 0, 0
    for case in every_case():
        verdict = decide(case.findings)
        assert verdict == by_table(case, table), case
        count, archivable = count + 1, archivable + (verdict.archivable is True)
    assert count == 16 * 5 * 4 * 3 * 3 * 3
    assert archivable == 2 * 3


@pytest.mark.parametrize("row", rows(decide), ids=lambda row: f"{row[6]} {row[7]}")
def test_every_row_decides_something(row: tuple[str, ...]) -> None:
    """A row whose absence changed nothing would only look like a rule."""
    others = [other for other in rows(decide) if other != row]
    assert any(
        not _fits_any(case, others) or by_table(case, others) != decide(case.findings)
        for case in every_case()
    )


def _fits_any(case: Case, table: list[tuple[str, ...]]) -> bool:
    return any(
        all(cell in ("any", own) for cell, own in zip(row[:6], case.cells, strict=True))
        for row in table
    )


def test_nothing_unknown_is_ever_archivable() -> None:
    for case in every_case():
        unknown = {case.use, case.stored, case.shared, case.protected, case.referenced}
        if "unknown" in unknown:
            assert decide(case.findings).archivable is not True


BEGIN = NOON - NINETY_DAYS_AND_THE_DELAY
A_SECOND = timedelta(seconds=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
TOLD_SINCE = datetime(2017, 5, 1, tzinfo=UTC)
USES = [
    ("not told", "any", Launches(False, None, LONG_AGO), "unknown"),
    ("within the days", "any", Launches(True, BEGIN + A_SECOND, LONG_AGO), "used"),
    ("before the days", "any", Launches(True, BEGIN, LONG_AGO), "unused"),
    ("none", "unknown", Launches(True, None, None), "unknown"),
    ("none", "within the days", Launches(True, None, BEGIN + A_SECOND), "recent"),
    ("none", "before May 2017", Launches(True, None, TOLD_SINCE - A_SECOND), "unknown"),
    ("none", "before the days", Launches(True, None, BEGIN), "never"),
]


@pytest.mark.parametrize("case", USES, ids=lambda case: f"{case[0]}, made {case[1]}")
def test_the_use_of_a_row(case: tuple[str, str, Launches, str]) -> None:
    assert use_of(case[2], NOON, 90).value == case[3]


def test_the_uses_are_those_of_the_docstring() -> None:
    assert rows(use_of) == [(launches, made, use) for launches, made, _case, use in USES]


@pytest.mark.parametrize(
    ("launches", "use"),
    [
        (Launches(False, NOON, NOON), Use.UNKNOWN),
        (Launches(True, NOON + A_SECOND, LONG_AGO), Use.USED),
        (Launches(True, TOLD_SINCE, TOLD_SINCE - A_SECOND), Use.UNUSED),
        (Launches(True, None, TOLD_SINCE), Use.NEVER),
        (Launches(True, None, NOON - timedelta(hours=1)), Use.RECENT),
    ],
)
def test_the_use_at_the_edges(launches: Launches, use: Use) -> None:
    assert use_of(launches, NOON, 90) is use


def test_a_day_of_disuse_takes_a_day_more_since_launches_are_told_late() -> None:
    launched = NOON - timedelta(hours=47)
    assert use_of(Launches(True, launched, LONG_AGO), NOON, 1) is Use.USED
    assert use_of(Launches(True, launched, LONG_AGO), NOON + timedelta(hours=1), 1) is Use.UNUSED
