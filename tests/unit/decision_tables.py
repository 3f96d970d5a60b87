# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision tables that stand in docstrings, as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def rows(function: Callable[..., Any]) -> list[tuple[str, ...]]:
    """Return the rows of the one table in a function's docstring, without its heading."""
    lines = [line.strip() for line in (function.__doc__ or "").splitlines()]
    table = [line for line in lines if line.startswith("|") and not set(line) <= set("|-")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table[1:]]
