# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time that passes only when somebody waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 5, 1, tzinfo=UTC)


class VirtualClock:
    """A clock of the engine; `sleeps` holds every pause in seconds."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self.sleeps: list[float] = []

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0.0, "a pause of no length is a busy loop"
        self.sleeps.append(seconds)
        self._now += seconds

    def date(self) -> datetime:
        return EPOCH + timedelta(seconds=self._now)

    def pass_by(self, seconds: float) -> None:
        """Let time go by that nobody asked for: the latency of a call."""
        self._now += seconds
