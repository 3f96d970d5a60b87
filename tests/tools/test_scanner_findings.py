# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scan is judged by what it found, and by what it should have found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.scanner.findings import (
    ACCOUNT,
    ACCOUNT_CHECK,
    CLOSED_ANYHOW,
    CLOSED_BY_ROLE,
    EXCEPTIONS,
    LOOSE,
    SAFE,
    Finding,
    judge,
    judge_account,
)

GOOD = [
    *(Finding(check, SAFE, True, "") for check in CLOSED_BY_ROLE | CLOSED_ANYHOW),
    *(Finding(check, LOOSE, False, "") for check in CLOSED_BY_ROLE),
    *(Finding(check, SAFE, False, "") for check in EXCEPTIONS),
]


def changed(check: str, resource: str, passed: bool) -> list[Finding]:
    return [
        replace(f, passed=passed, detail="told")
        if (f.check, f.resource) == (check, resource)
        else f
        for f in GOOD
    ]


def test_a_good_scan_has_no_problems() -> None:
    assert judge(GOOD) == []


@pytest.mark.parametrize("check", sorted(CLOSED_BY_ROLE | CLOSED_ANYHOW))
def test_what_is_open_is_a_problem(check: str) -> None:
    assert judge(changed(check, SAFE, False)) == [f"OPEN: {check}: told"]


def test_a_new_check_that_finds_something_is_a_problem() -> None:
    assert judge([*GOOD, Finding("new", SAFE, False, "told")]) == ["OPEN: new: told"]


def test_a_check_that_did_not_run_is_a_problem() -> None:
    absent = "s3_bucket_default_encryption"
    assert judge([f for f in GOOD if f.check != absent]) == [f"NOT CHECKED: {absent}"]


def test_a_check_that_is_content_with_a_loose_bucket_is_a_problem() -> None:
    check = "s3_bucket_object_lock"
    (problem,) = judge(changed(check, LOOSE, True))
    assert problem.startswith(f"BLIND: {check}")


def test_an_exception_that_is_none_is_a_problem() -> None:
    check = "s3_bucket_no_mfa_delete"
    (problem,) = judge(changed(check, SAFE, True))
    assert problem.startswith(f"NO EXCEPTION: {check}")


@pytest.mark.parametrize(
    ("before", "after", "good"),
    [(False, True, True), (False, False, False), (True, True, False), (None, True, False)],
)
def test_the_account_is_open_first_and_closed_then(
    before: bool | None, after: bool, good: bool
) -> None:
    found = [
        [] if passed is None else [Finding(ACCOUNT_CHECK, ACCOUNT, passed, "")]
        for passed in (before, after)
    ]
    assert (judge_account(*found) == []) is good
