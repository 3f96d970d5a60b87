# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection promises beside what people do today, and whether a run bears it out."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.comparison.outcome import Outcome

DESCRIBE = "DescribeStoreImageTasks"
FEWER_DESCRIBES = 10.0
LESS_CPU = 20.0
LONGEST_BESIDE_FOR_EVER = 1.02


@dataclass(frozen=True)
class Claim:
    words: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class Outcomes:
    """Those of one run, on the same AMIs."""

    ours: Outcome
    loop: Outcome
    threads: Outcome
    for_ever: Outcome

    @property
    def all(self) -> tuple[Outcome, ...]:
        return self.ours, self.loop, self.threads, self.for_ever


def claims(found: Outcomes) -> list[Claim]:
    ours, loop = found.ours, found.loop
    lost_or_wrong = Claim("no AMI lost or wrong", f"{ours.lost_or_wrong}", ours.lost_or_wrong == 0)
    below_the_loop = times(loop.seconds_per_stored, ours.seconds_per_stored)
    beside_for_ever = times(ours.seconds_per_stored, found.for_ever.seconds_per_stored)
    return [
        lost_or_wrong,
        at_least(
            f"{DESCRIBE}: at least {FEWER_DESCRIBES:g} times fewer than the thread script",
            times(found.threads.count(DESCRIBE), ours.count(DESCRIBE)),
            FEWER_DESCRIBES,
        ),
        at_least(
            f"{DESCRIBE}: at least {FEWER_DESCRIBES:g} times fewer than the loop",
            times(loop.count(DESCRIBE), ours.count(DESCRIBE)),
            FEWER_DESCRIBES,
        ),
        at_least(
            f"CPU: at least {LESS_CPU:g} times less than the loop",
            times(loop.cpu, ours.cpu),
            LESS_CPU,
        ),
        Claim(
            "time per stored AMI: below the loop",
            f"the loop takes {below_the_loop:.3f} times as long",
            below_the_loop > 1.0,
        ),
        Claim(
            f"time per stored AMI: at most {LONGEST_BESIDE_FOR_EVER} times that of the script that"
            " retries for ever",
            f"{beside_for_ever:.3f} times",
            beside_for_ever <= LONGEST_BESIDE_FOR_EVER,
        ),
    ]


def at_least(words: str, measured: float, least: float) -> Claim:
    return Claim(words, f"{measured:.1f} times", measured >= least)


def times(more: float, less: float) -> float:
    return more / less if less else float("inf")
