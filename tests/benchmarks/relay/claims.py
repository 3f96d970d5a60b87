# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is promised of a copy beside other ways, and whether a run bears it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.relay import contenders
from tests.benchmarks.relay.field import Field
from tests.benchmarks.relay.kills import Killed
from tests.benchmarks.relay.outcome import GIB, MIB, in_words

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


def claims(fields: Sequence[Field], killed: Killed | None) -> Iterator[Claim]:
    slowest = min((field.network.rate for field in fields if field.network.rate), default=0.0)
    for field in fields:
        if field.network.rate:
            # With a faster one, servers and clients on one machine may be the bound instead.
            if field.network.rate == slowest:
                yield _where_the_network_bounds(field)
        elif field.size >= JUDGED_FROM:
            yield from _where_the_servers_bound(field)
    if fields:
        yield from _of_all(fields)
    if killed:
        yield from _when_killed(killed)


def _where_the_servers_bound(field: Field) -> Iterator[Claim]:
    place = f"{in_words(field.size)}, {field.network.name}"
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
        f"{in_words(field.size)}, {field.network.name}: at least {CAPPED_TIMES:g} times as fast as"
        " both forms of `aws s3 cp`",
        field.times(contenders.AWS_PIPE, contenders.AWS_FILE),
        CAPPED_TIMES,
    )


def _of_all(fields: Sequence[Field]) -> Iterator[Claim]:
    runs = [run for field in fields for run in field.ours]
    memory, written = max(run.memory for run in runs), sum(run.written for run in runs)
    yield Claim(f"peak memory below {MEMORY:g} MiB", f"{memory:.0f} MiB", memory < MEMORY)
    yield Claim("nothing is written to disk", f"{written} bytes", written == 0)


def _when_killed(killed: Killed) -> Iterator[Claim]:
    yield Claim(
        f"killed {killed.kills} times while copying {in_words(killed.size)}: extra bytes at most"
        f" kills * concurrency * part size = {killed.most_extra / MIB:,.0f} MiB",
        f"{killed.extra / MIB:,.0f} MiB",
        killed.extra <= killed.most_extra,
    )
    yield Claim("no acknowledged part is sent again", f"{killed.sent_again}", not killed.sent_again)
    yield Claim("the result is equal", "yes" if killed.is_equal else "no", killed.is_equal)


def _at_least(words: str, measured: float, least: float) -> Claim:
    return Claim(words, f"{measured:.2f} times", measured >= least)
