# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table at the end of the demo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEADINGS = ("AMI", "was", "stored as", "is now", "disks", "as in the manifest")


def lines_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of the table, from what the restore play found by comparison."""
    cells = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    disks = row["disks"].values()
    differences = [what for what in ("name", "tags", "disks") if row[f"{what}_same"] is not True]
    return (
        row["name"],
        row["former_image_id"],
        row["object_key"],
        row["image_id"],
        f"{len(disks)}, {sum(disks)} GiB",
        f"differs: {', '.join(differences)}" if differences else "name, tags, disks, sizes",
    )
