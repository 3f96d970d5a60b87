# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one way took for one object."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True)
class Outcome:
    name: str
    network: str
    size: int
    """Bytes."""
    seconds: float
    """From the start of the first program to the end of the last."""
    cpu: float
    """Seconds of all the client's processes."""
    memory: float
    """MiB: the peaks of all processes that ran at the same time, added up."""
    written: int
    """Bytes that the client wrote to disk."""
    start: float
    """Seconds that the same takes for an object of one byte."""

    @property
    def throughput(self) -> float:
        """MiB per second."""
        return self.size / MIB / self.seconds

    @property
    def cpu_per_gib(self) -> float:
        return self.cpu * GIB / self.size


def in_words(size: int) -> str:
    return f"{size / GIB:g} GiB" if size >= GIB else f"{size / MIB:g} MiB"
