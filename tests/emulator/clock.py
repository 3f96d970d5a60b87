# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Emulated time: real time, only faster, and able to jump ahead."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime


class EmulatedClock:
    """Seconds since the epoch, running at `speed` seconds per real second."""

    def __init__(
        self,
        speed: float = 1.0,
        epoch: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._epoch = epoch
        self._monotonic = monotonic
        self._speed = speed
        self.restart()

    def now(self) -> float:
        return self._base + (self._monotonic() - self._since) * self._speed

    def run_at(self, speed: float) -> None:
        """Go on from the present moment at another speed."""
        self._base, self._since, self._speed = self.now(), self._monotonic(), speed

    def restart(self) -> None:
        """Back from all jumps to real time."""
        self._base, self._since = self._epoch(), self._monotonic()

    def advance(self, seconds: float) -> None:
        self._base += seconds


def to_datetime(moment: float) -> datetime:
    """UTC without an offset and without fractions, the way moto keeps its dates."""
    return datetime.fromtimestamp(int(moment), tz=UTC).replace(tzinfo=None)


def to_text(moment: float) -> str:
    """The way EC2 writes the dates of AMIs that are text to its API."""
    return f"{to_datetime(moment).isoformat()}Z"
