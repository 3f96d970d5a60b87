# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision tables that stand in docstrings and in the guide to archiving, as data."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

GUIDE = Path(__file__).parents[2] / "docs" / "archiving.md"


def rows(function: Callable[..., Any]) -> list[tuple[str, ...]]:
    """Return the rows of the one table in a function's docstring, without its heading."""
    lines = [line.strip() for line in (function.__doc__ or "").splitlines()]
    table = [line for line in lines if line.startswith("|") and not set(line) <= set("|-")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table[1:]]


def guide_rows(heading: str) -> list[tuple[str, ...]]:
    """Return the rows of the guide's table whose heading begins so."""
    lines = GUIDE.read_text().splitlines()
    (start,) = (number for number, line in enumerate(lines) if line.startswith(heading))
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    return [
        tuple(cell.replace("`", "").strip() for cell in line.strip("|").split("|"))
        for line in table
    ]
