# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/permissions.md tells the user what the tests hold."""

from __future__ import annotations

import re
from pathlib import Path

from .needs import NEEDS
from .rendering import POLICIES

GUIDE = Path(__file__).parents[2] / "docs" / "permissions.md"
_ROW = re.compile(r"^\| `(?P<action>[a-z0-9]+:\w+)` \| (?P<kind>[\w ]+) \| (?P<certainty>\w+) \|")


def rows() -> list[tuple[str, str, str, str]]:
    """Policy, action, kind and certainty of each row of the guide's tables."""
    found = []
    policy = ""
    for line in GUIDE.read_text().splitlines():
        policy = line.removeprefix("### ") if line.startswith("#") else policy
        row = _ROW.match(line)
        if row:
            found.append((policy, row["action"], row["kind"], row["certainty"]))
    return found


def test_the_guide_lists_every_action_with_its_kind() -> None:
    told = rows()
    assert len(told) == len(set(told))
    held = {(n.policy, n.action, n.kind.value, n.certainty.value) for n in NEEDS}
    assert set(told) == held
    assert {policy for policy, *_rest in told} == set(POLICIES)
