# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results as tables in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from statistics import median

from tests.benchmarks.relay.claims import Claim
from tests.benchmarks.relay.field import Field
from tests.benchmarks.relay.outcome import MIB, Outcome, in_words
from tests.benchmarks.relay.results import Results

FIGURES: dict[str, Callable[[Outcome], float]] = {
    "MiB/s": lambda run: run.throughput,
    "time, s": lambda run: run.seconds,
    "CPU per GiB, s": lambda run: run.cpu_per_gib,
    "peak memory, MiB": lambda run: run.memory,
    "written to disk, MiB": lambda run: run.written / MIB,
    "one byte, s": lambda run: run.start,
}
DECIMALS = {"peak memory, MiB": 0, "written to disk, MiB": 0, "one byte, s": 2, "time, s": 2}


def about(results: Results) -> str:
    words = (
        f"Two servers ({results.server}) and the client on one machine with {results.cores} cores."
    )
    if results.between:
        words += (
            " Delays and caps are made by proxies; one that adds nothing leaves"
            f" {results.between.share:.0%} of s5cmd's download."
        )
    return words


def field(found: Field) -> Iterator[str]:
    count = len(found.ours)
    times = "one run" if count == 1 else f"medians of {count} runs"
    yield f"**{in_words(found.size)}, {found.network.name}**, {times}"
    yield ""
    yield row("", *FIGURES)
    yield "|---|" + "---:|" * len(FIGURES)
    for name in found.names():
        runs = found.runs(name)
        yield row(
            f"**{name}**" if runs == found.ours else name,
            *(_number(figure, median(map(of, runs))) for figure, of in FIGURES.items()),
        )


def _number(figure: str, value: float) -> str:
    return f"{value:,.{DECIMALS.get(figure, 1)}f}"


def promises(claims: Iterable[Claim]) -> Iterator[str]:
    yield row("promised", "measured", "")
    yield "|---|---|---|"
    for claim in claims:
        yield row(claim.words, claim.measured, "holds" if claim.holds else "**does not hold**")


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
