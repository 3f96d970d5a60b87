# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of a simulated run, in words where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

from ansible_collections.amistore.aws.plugins.module_utils._pacing import (
    RESTORE_LIMITS,
    STORE_LIMITS,
)
from tests.benchmarks.simulation.mixes import MIXES
from tests.benchmarks.simulation.play import Outcome

# From this size on, the beginning and the end of a run weigh little.
SMALLEST_JUDGED = 100
# Half the room is as tight for a hundred servers as the rate.
SMALLEST_RESTORE_JUDGED = 500
LARGEST_RATIO = 1.05
LARGEST_SHARED_RATIO = 1.15
LONGEST_NOTICE = 15.0


@dataclass(frozen=True)
class Case:
    """One fleet under one order, perhaps beside somebody else."""

    mix: str
    count: int
    seed: int
    share: float = 0.0
    order: str = "ours"
    restore: bool = False

    @property
    def fleet(self) -> str:
        return f"{self.count} {self.mix}"

    @property
    def name(self) -> str:
        beside = f" beside {self.share:.0%} of others" if self.share else ""
        return f"{self.fleet}, seed {self.seed}{beside}{', restored' if self.restore else ''}"


@dataclass(frozen=True)
class Result:
    case: Case
    outcome: Outcome

    @property
    def largest_ratio(self) -> float | None:
        """What makespan by bound may be; None where nothing is promised."""
        case = self.case
        smallest = SMALLEST_RESTORE_JUDGED if case.restore else SMALLEST_JUDGED
        if not MIXES[case.mix].judged or case.count < smallest:
            return None
        return LARGEST_SHARED_RATIO if case.share else LARGEST_RATIO

    @property
    def in_flight(self) -> int:
        return (RESTORE_LIMITS if self.case.restore else STORE_LIMITS).in_flight

    def faults(self) -> list[str]:
        outcome, largest = self.outcome, self.largest_ratio
        found = {
            f"makespan is {outcome.ratio:.3f} times the bound": largest and outcome.ratio > largest,
            f"{outcome.throttled} throttled answers": outcome.throttled and not self.case.share,
            f"{outcome.lost} AMIs lost": outcome.lost,
            f"{outcome.peak_gib} GiB in flight": outcome.peak_gib > self.in_flight,
            f"ends noticed after {outcome.notice:.1f} s": outcome.notice > LONGEST_NOTICE,
        }
        return [f"{self.case.name}: {words}" for words, is_so in found.items() if is_so]


def faults_of(results: Sequence[Result]) -> list[str]:
    """What must not be, of any run and of the runs together."""
    found = [fault for result in results for fault in result.faults()]
    return found + _more_describes(results)


def _more_describes(results: Sequence[Result]) -> list[str]:
    """Fleets that ask DescribeStoreImageTasks more often per AMI than smaller ones."""
    faults = []
    for mix in sorted({result.case.mix for result in results if MIXES[result.case.mix].judged}):
        alone = [
            result
            for result in results
            if result.case.mix == mix and not result.case.share and not result.case.restore
        ]
        per_image = {
            count: mean(r.outcome.describes_per_image for r in alone if r.case.count == count)
            for count in sorted({r.case.count for r in alone})
        }
        for (small, few), (large, more) in pairwise(per_image.items()):
            if more >= few:
                faults.append(
                    f"{large} {mix}: {more:.3f} DescribeStoreImageTasks per AMI, {few:.3f} of"
                    f" {small}"
                )
    return faults
