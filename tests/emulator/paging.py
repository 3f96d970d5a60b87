# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting a list into pages with opaque tokens, the way EC2 does."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .model import Refused

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page, and the token of the next one."""

    items: list[T]
    token: str | None


@dataclass(frozen=True)
class Cut:
    """How to page: records a page, empty pages before the first record, filter late or early."""

    size: int
    empty_pages: int = 0
    filter_late: bool = False


def _encode(offset: int, empty: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([offset, empty]).encode()).decode()


def _decode(token: str) -> tuple[int, int]:
    try:
        offset, empty = json.loads(base64.urlsafe_b64decode(token.encode()))
        return int(offset), int(empty)
    except (ValueError, TypeError, binascii.Error) as error:
        raise Refused("InvalidPaginationToken", "The pagination token is not valid.") from error


def page(items: Sequence[T], keep: Callable[[T], bool], token: str | None, cut: Cut) -> Page[T]:
    """The page that a token asks for. Raises Refused for a token that was never given out.

    With `filter_late` a page may hold fewer records than asked for, or none, and still be
    followed by another one.
    """
    offset, empty = _decode(token) if token else (0, 0)
    if empty < cut.empty_pages:
        return Page([], _encode(offset, empty + 1))
    rest = items if cut.filter_late else [item for item in items if keep(item)]
    end = offset + cut.size
    wanted = [item for item in rest[offset:end] if not cut.filter_late or keep(item)]
    return Page(wanted, _encode(end, empty) if end < len(rest) else None)
