# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fails when too few lines, or too few branches, of a coverage report in JSON were reached."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

FLOOR = 95.0


def shares(totals: Mapping[str, float]) -> dict[str, float]:
    """Percent of lines and of branches that were reached; a report without any reaches none."""
    lines, branches = totals["num_statements"], totals["num_branches"]
    return {
        "lines": 100.0 * totals["covered_lines"] / lines if lines else 0.0,
        "branches": 100.0 * totals["covered_branches"] / branches if branches else 0.0,
    }


def main(report: str) -> int:
    found = shares(json.loads(Path(report).read_text())["totals"])
    for kind, share in found.items():
        print(f"{kind} of plugins/ covered: {share:.2f} % (at least {FLOOR:g} %)")
    return 0 if min(found.values()) >= FLOOR else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
