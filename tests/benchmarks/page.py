# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts what a benchmark has measured into a page of the documentation."""

from __future__ import annotations

from pathlib import Path


def put(page: Path, begin: str, made: str, end: str) -> None:
    """Replace what stands between the two marks."""
    before, _begin, rest = page.read_text().partition(begin)
    _old, _end, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n\n{made}\n\n{end}{after}")
