# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of AMIs and snapshots: the tables of code and guide, for all that can be."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._archive_decide import (
    Copy,
    EndState,
    Excuse,
    Found,
    Grace,
    Leftover,
    Plan,
    Protection,
    Proven,
    Service,
    Step,
    Verdict,
    decide,
    decide_leftover,
    decide_return,
    judge,
    leave,
)
from ansible_collections.amistore.aws.plugins.module_utils._usage_verdict import (
    Findings,
    Obstacle,
    Stored,
    Use,
)
from tests.unit.decision_tables import guide_rows, rows

MAY_GO = {"true": True, "false": False, "null": None}
VERDICT = ("its", "verdict")
FAULTS = ("its", "faults")
Row = tuple[str, ...]


@pytest.mark.parametrize(
    ("heading", "function", "count"),
    [
        ("| may go | stored ", decide, 14),
        ("| protection | steps", leave, 4),
        ("| disabled by ", decide_return, 4),
        ("| AMI | other AMIs ", decide_leftover, 16),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_guide_prints_the_tables_of_the_code(
    heading: str, function: Callable[..., Any], count: int
) -> None:
    assert guide_rows(heading) == rows(function)
    assert len(rows(function)) == count


def fitting(table: list[Row], cells: Row) -> list[Row]:
    return [
        row
        for row in table
        if all(cell in ("any", own) for cell, own in zip(row, cells, strict=False))
    ]


def steps_of(text: str) -> tuple[Step, ...]:
    return tuple(Step(word) for word in text.split(", ")) if text not in ("none", "") else ()


def every_image() -> Iterator[tuple[Found, EndState, Row]]:
    """Everything that can be found about an AMI, and how a table writes it."""
    places = itertools.product(
        MAY_GO, Copy, [e for e in EndState if e is not EndState.AVAILABLE], Proven, Protection
    )
    for may_go, copy, end_state, tested, protection in places:
        found = Found(Verdict(MAY_GO[may_go], VERDICT), copy, tested, protection, FAULTS)
        yield found, end_state, (may_go, copy.value, end_state.value, tested.value)


def by_table(found: Found, cells: Row, table: list[Row]) -> Plan:
    """What a reader of the tables finds."""
    row = fitting(table, cells)[0]
    (after,) = (r for r in rows(leave) if r[0] == found.protection.value)
    steps = row[4].replace("leave", after[1]).removesuffix(", none")
    reasons = {"its verdict": VERDICT, "its faults": FAULTS}.get(row[5])
    if reasons is None:
        reasons = tuple(row[5].split(", "))
        if "leave" in row[4] and after[2]:
            reasons = (*reasons, *after[2].split(", "))
    return Plan(steps_of(steps), reasons)


def test_every_combination_gets_the_plan_of_the_tables() -> None:
    table, count, leaving = guide_rows("| may go | stored "), 0, 0
    for found, end_state, cells in every_image():
        plan = decide(found, end_state)
        assert plan == by_table(found, cells, table), cells
        count, leaving = count + 1, leaving + (Step.DEREGISTER in plan.own)
    assert count == 3 * 4 * 3 * 4 * 4
    # Ready, verified or accepted, and without protection or with one that goes at once.
    assert leaving == 2 * 2


@pytest.mark.parametrize("number", range(14))
def test_every_row_decides_something(number: int) -> None:
    table = rows(decide)
    others = [row for place, row in enumerate(table) if place != number]
    assert any(
        not fitting(others, cells) or by_table(found, cells, others) != decide(found, end_state)
        for found, end_state, cells in every_image()
    )


def test_nothing_is_taken_out_of_service_that_is_unknown_or_not_ready() -> None:
    for found, end_state, _cells in every_image():
        plan = decide(found, end_state)
        if found.verdict.may_go is not True or found.copy is not Copy.READY:
            assert plan.own == ()
        if Step.DEREGISTER in plan.steps:
            assert found.tested in (Proven.YES, Proven.ACCEPTED)
        if Step.DEREGISTER in plan.steps or Step.DISABLE in plan.steps:
            assert end_state in (EndState.DISABLED, EndState.DEREGISTERED)


def test_steps_that_were_taken_are_left_out() -> None:
    for found, end_state, _cells in every_image():
        whole = decide(found, end_state)
        for step in set(Step) - {Step.STORE}:
            taken = Found(
                found.verdict,
                found.copy,
                found.tested,
                found.protection,
                found.faults,
                frozenset({step}),
            )
            assert decide(taken, end_state).steps == tuple(s for s in whole.steps if s is not step)


# Whether the use of an AMI lets it go


def every_use() -> Iterator[Findings]:
    known = (True, False, None)
    for use, shared, protected, referenced in itertools.product(Use, known, known, known):
        for obstacles in (frozenset[Obstacle](), frozenset({Obstacle.NOT_OWNED})):
            yield Findings(use, Stored.NOT_ASKED, shared, protected, referenced, obstacles)


def every_allowance() -> Iterator[frozenset[Excuse]]:
    for number in range(5):
        yield from map(frozenset, itertools.combinations(Excuse, number))


def test_nobody_can_allow_what_nobody_knows() -> None:
    for found, allowed in itertools.product(every_use(), every_allowance()):
        unknown = found.use is Use.UNKNOWN or None in (
            found.shared,
            found.protected,
            found.referenced,
        )
        verdict = judge(found, allowed)
        if unknown or found.obstacles:
            assert verdict.may_go is not True


def test_what_is_allowed_alone_is_ignored_and_told() -> None:
    for found, allowed in itertools.product(every_use(), every_allowance()):
        against = {
            Excuse.USED: found.use in (Use.USED, Use.RECENT),
            Excuse.SHARED: found.shared is True,
            Excuse.PROTECTED: found.protected is True,
            Excuse.REFERENCED: found.referenced is True,
        }
        verdict = judge(found, allowed)
        excused = {excuse for excuse, true in against.items() if true and excuse in allowed}
        names = {found.use.value if e is Excuse.USED else e.value for e in excused}
        assert set(verdict.excused) == names
        if any(true for excuse, true in against.items() if excuse not in allowed):
            assert verdict.may_go is False
            assert not names & set(verdict.reasons)


# The way back


@pytest.mark.parametrize("row", rows(decide_return), ids=" ".join)
def test_only_what_the_archive_did_is_undone(row: Row) -> None:
    steps = {
        step
        for step, cell in ((Step.DISABLE, row[0]), (Step.DEPRECATE, row[1]))
        if cell == "archive"
    }
    plan = decide_return(Service(True, True, frozenset(steps)))
    assert plan == Plan(steps_of(row[2]), (row[3],))


def test_what_is_in_service_is_left_as_it_is() -> None:
    both = frozenset({Step.DISABLE, Step.DEPRECATE})
    assert decide_return(Service(False, False, both)).steps == ()
    assert decide_return(Service(False, True, both)).steps == (Step.UNDEPRECATE,)


# The snapshots of an AMI that is gone


def every_leftover() -> Iterator[tuple[Leftover, Row]]:
    yes_and_no = (True, False)
    for there, needed, ours, grace, copy, tested in itertools.product(
        yes_and_no, yes_and_no, yes_and_no, Grace, Copy, Proven
    ):
        cells = (
            "there" if there else "gone",
            "use it" if needed else "none",
            "yes" if ours else "no",
            grace.value,
            copy.value,
            tested.value,
        )
        yield Leftover(there, needed, ours, grace, copy, tested, FAULTS), cells


def plan_of(row: Row) -> Plan:
    reasons = FAULTS if row[7] == "its faults" else (row[7],)
    return Plan(steps_of(row[6]), reasons)


def test_every_snapshot_gets_the_plan_of_the_table() -> None:
    table, deleted = guide_rows("| AMI | other AMIs "), 0
    for found, cells in every_leftover():
        plan = decide_leftover(found)
        assert plan == plan_of(fitting(table, cells)[0]), cells
        deleted += Step.DELETE_SNAPSHOTS in plan.steps
    assert deleted == 2


@pytest.mark.parametrize("number", range(16))
def test_every_row_about_snapshots_decides_something(number: int) -> None:
    table = rows(decide_leftover)
    others = [row for place, row in enumerate(table) if place != number]
    assert any(
        not fitting(others, cells) or plan_of(fitting(others, cells)[0]) != decide_leftover(found)
        for found, cells in every_leftover()
    )
