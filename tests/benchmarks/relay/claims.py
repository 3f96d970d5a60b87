# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is promised of a copy beside other ways, and whether a run bears it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.relay import contenders
from tests.benchmarks.relay.kills import Killed
from tests.benchmarks.relay.network import Network
from tests.benchmarks.relay.outcome import GIB, MIB, Outcome

LEAST_OF_THE_BOUND = 0.8
CAPPED_TIMES = 3.0
MEMORY = 512.0
# Below it, the start of a program is most of what is measured.
JUDGED_FROM = GIB


@dataclass(frozen=True)
class Claim:
    words: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class Field:
    """All ways with one object in one network."""

    network: Network
    size: int
    outcomes: Sequence[Outcome]

    @property
    def ours(self) -> Outcome:
        return self.of(contenders.OURS)

    def of(self, contender: contenders.Contender) -> Outcome:
        return next(outcome for outcome in self.outcomes if outcome.name == contender.name)

    def times(self, *others: contenders.Contender) -> float:
        """Our throughput by that of the fastest of the others."""
        return self.ours.throughput / max(self.of(other).throughput for other in others)

    @property
    def of_the_bound(self) -> float:
        """Our throughput by that of the slower one of one-way transfers."""
        ways = (contenders.S5CMD_UP, contenders.S5CMD_DOWN)
        return self.ours.throughput / min(self.of(way).throughput for way in ways)


def claims(fields: Sequence[Field], killed: Killed | None) -> Iterator[Claim]:
    for field in fields:
        if field.network.rate:
            yield _where_the_network_bounds(field)
        elif field.size >= JUDGED_FROM:
            yield from _where_nothing_bounds(field)
    yield from _of_all(fields)
    if killed:
        yield from _when_killed(killed)


def _where_nothing_bounds(field: Field) -> Iterator[Claim]:
    place = f"{_size(field.size)}, {field.network.name}"
    yield _at_least(
        f"{place}: at least {LEAST_OF_THE_BOUND:g} of the slower of s5cmd's one-way transfers",
        field.of_the_bound,
        LEAST_OF_THE_BOUND,
    )
    for words, others in (
        ("s5cmd's pipe", (contenders.S5CMD_PIPE,)),
        ("rclone", (contenders.RCLONE,)),
        ("both forms of `aws s3 cp`", (contenders.AWS_PIPE, contenders.AWS_FILE)),
    ):
        yield _at_least(f"{place}: as fast as {words}", field.times(*others), 1.0)


def _where_the_network_bounds(field: Field) -> Claim:
    return _at_least(
        f"{_size(field.size)}, {field.network.name}: at least {CAPPED_TIMES:g} times as fast as both"
        " forms of `aws s3 cp`",
        field.times(contenders.AWS_PIPE, contenders.AWS_FILE),
        CAPPED_TIMES,
    )


def _of_all(fields: Sequence[Field]) -> Iterator[Claim]:
    memory = max(field.ours.memory for field in fields)
    written = sum(field.ours.written for field in fields)
    yield Claim(f"peak memory below {MEMORY:g} MiB", f"{memory:.0f} MiB", memory < MEMORY)
    yield Claim("nothing is written to disk", f"{written} bytes", written == 0)


def _when_killed(killed: Killed) -> Iterator[Claim]:
    yield Claim(
        f"killed {killed.kills} times while copying {_size(killed.size)}: extra bytes at most"
        f" kills x concurrency x part size, {killed.most_extra / MIB:,.0f} MiB",
        f"{killed.extra / MIB:,.0f} MiB",
        killed.extra <= killed.most_extra,
    )
    yield Claim(
        "no acknowledged part is sent again", f"{killed.sent_again}", not killed.sent_again
    )
    yield Claim("the result is equal", "yes" if killed.is_equal else "no", killed.is_equal)


def _at_least(words: str, measured: float, least: float) -> Claim:
    return Claim(words, f"{measured:.2f} times", measured >= least)


def _size(count: int) -> str:
    return f"{count / GIB:g} GiB" if count >= GIB else f"{count / MIB:g} MiB"
