# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All ways with one object in one network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.relay.contenders import OURS, S5CMD_DOWN, S5CMD_UP, Contender
from tests.benchmarks.relay.network import Network
from tests.benchmarks.relay.outcome import Outcome


@dataclass(frozen=True)
class Field:
    network: Network
    size: int
    """Bytes."""
    outcomes: Sequence[Outcome]
    """Of every way the same number, in the order in which they ran."""

    def names(self) -> list[str]:
        return list(dict.fromkeys(outcome.name for outcome in self.outcomes))

    def runs(self, name: str) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.name == name]

    def throughput(self, name: str) -> float:
        """MiB per second, the median of its runs."""
        return median(run.throughput for run in self.runs(name))

    @property
    def ours(self) -> list[Outcome]:
        return self.runs(OURS.name)

    def times(self, *others: Contender) -> float:
        """Our throughput by that of the fastest of the others."""
        return self.throughput(OURS.name) / max(self.throughput(way.name) for way in others)

    @property
    def of_the_bound(self) -> float:
        """Our throughput by that of the slower one of one-way transfers."""
        ways = (S5CMD_UP, S5CMD_DOWN)
        return self.throughput(OURS.name) / min(self.throughput(way.name) for way in ways)


def order(contenders: Sequence[Contender], repeats: int) -> Iterator[Contender]:
    """Forwards and backwards in turn, each pair of turns from another one on.

    What a way finds of the machine's memory depends on what ran before it.
    """
    for turn in range(repeats):
        start = turn // 2 % len(contenders)
        ways = (*contenders[start:], *contenders[:start])
        yield from reversed(ways) if turn % 2 else ways
