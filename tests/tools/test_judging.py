# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judges of coverage and of an import let pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tools import coverage_floor, galaxy_import


def totals(lines: int, branches: int) -> dict[str, dict[str, int]]:
    return {
        "totals": {
            "num_statements": 100,
            "covered_lines": lines,
            "num_branches": 100,
            "covered_branches": branches,
        }
    }


@pytest.mark.parametrize(
    ("lines", "branches", "code"), [(95, 95, 0), (94, 100, 1), (100, 94, 1), (0, 0, 1)]
)
def test_lines_and_branches_are_judged_apart(
    lines: int, branches: int, code: int, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps(totals(lines, branches)))
    assert coverage_floor.main(str(report)) == code


def test_nothing_measured_is_nothing_covered() -> None:
    empty = dict.fromkeys(totals(0, 0)["totals"], 0)
    assert coverage_floor.shares(empty) == {"lines": 0.0, "branches": 0.0}


def test_an_import_that_finished_quietly_passes() -> None:
    assert galaxy_import.complaints(["Importing", galaxy_import.FINISHED]) == []


@pytest.mark.parametrize("line", ["ERROR: No role readme found.", "WARNING: No changelog found."])
def test_an_error_or_a_warning_stands_against_the_artifact(line: str) -> None:
    assert galaxy_import.complaints([line, galaxy_import.FINISHED]) == [line]


def test_an_import_that_broke_off_fails() -> None:
    assert galaxy_import.complaints(["Importing"]) == ["the import did not finish"]
