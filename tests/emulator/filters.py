# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2 filters: names to values, `*` and `?` as wildcards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from .limits import MAX_FILTER_VALUES
from .model import Refused

T = TypeVar("T")
Values = Callable[[T, str], Iterable[Any] | None]


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    parts = re.split(r"(\\?[*?])", text)
    meanings = {"*": ".*", "?": ".", "\\*": r"\*", "\\?": r"\?"}
    return re.compile("".join(meanings.get(p, re.escape(p)) for p in parts), re.DOTALL)


def like(value: str, pattern: str) -> bool:
    """Whether a value fits a pattern with `*` and `?`; a backslash makes them literal."""
    return _pattern(pattern).fullmatch(value) is not None


def as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def check(filters: Mapping[str, Sequence[str]]) -> None:
    """Raises Refused for more values than one call may carry."""
    if any(len(values) > MAX_FILTER_VALUES for values in filters.values()):
        raise Refused(
            "FilterLimitExceeded",
            f"The maximum number of filter values specified on a single call is "
            f"{MAX_FILTER_VALUES}.",
        )


def matching(
    filters: Mapping[str, Sequence[str]], values_of: Callable[[T, str], Iterable[Any] | None]
) -> Callable[[T], bool]:
    """A test whether an item fits all filters.

    `values_of` gives the item's values for a filter name, or None for a name that the action
    does not know, which raises Refused.
    """
    check(filters)

    def fits(item: T) -> bool:
        for name, patterns in filters.items():
            values = values_of(item, name)
            if values is None:
                raise Refused("InvalidParameterValue", f"The filter '{name}' is invalid")
            if not any(like(as_text(v), p) for v in values if v is not None for p in patterns):
                return False
        return True

    return fits
