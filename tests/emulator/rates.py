# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Request rates: one token bucket for each account, Region and action."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from .limits import Rate


class TokenBuckets:
    """Buckets start full and refill in the time that `now` tells."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._levels: dict[Hashable, tuple[float, float]] = {}

    def take(self, key: Hashable, rate: Rate) -> bool:
        """Take one token; False, and nothing taken, when there is none."""
        now = self._now()
        level, since = self._levels.get(key, (rate.bucket, now))
        level = min(rate.bucket, level + (now - since) * rate.refill)
        granted = level >= 1
        self._levels[key] = (level - granted, now)
        return granted
