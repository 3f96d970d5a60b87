# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores the same AMIs with one task of this collection and in the ways that people do today.

Each way runs on an emulated AWS of its own, under AWS's own limits. While a program works, emulated
time goes on as real time does; while all of it sleeps, the time is skipped. Then measures how what
the module needs grows with the number of AMIs. Fails when something promised does not hold.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks import growth, page
from tests.benchmarks.comparison import chart, contenders, race, table
from tests.benchmarks.comparison.claims import Claim, Outcomes, claims
from tests.benchmarks.comparison.results import Results, load
from tests.benchmarks.comparison.scene import scene

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / ".build" / "comparison"
KEPT = FOLDER / "results.json"
PAGE = ROOT / "docs" / "comparison.md"
CHART = ROOT / "docs" / "comparison.svg"
BEGIN, END = "<!-- begin: made by make bench -->", "<!-- end: made by make bench -->"


def measure(images: int, speed: float) -> Results:
    polling = race.polling_share(FOLDER)
    fleet, outcomes = scene(images), []
    for contender in contenders.ALL:
        begun = time.monotonic()
        outcomes.append(race.run(contender, fleet, speed, polling, FOLDER))
        print(f"{contender.name}: {time.monotonic() - begun:.0f} s", flush=True)
    return Results(images, speed, polling, outcomes, growth.measure(growth.COUNTS, speed))


def judged(results: Results) -> list[Claim]:
    grows = growth.faults_of(results.growth)
    found = "; ".join(grows) or "no further AMI costs more among many than among few"
    linear = Claim("CPU and memory: linear in the number of AMIs or better", found, not grows)
    return [*claims(Outcomes(*results.outcomes)), linear]


def report(results: Results) -> Iterator[str]:
    yield table.about(scene(results.images), results.speed)
    yield ""
    yield from table.results(results.outcomes)
    yield ""
    yield from table.promises(judged(results))
    yield ""
    yield "The module's process while AWS stores so many AMIs already:"
    yield ""
    yield from growth.table(results.growth)


def write_docs(results: Results) -> None:
    """Put the tables between the marks of the page, and the chart beside it."""
    page.put(PAGE, BEGIN, "\n".join(report(results)), END)
    CHART.write_text(chart.svg(results.outcomes))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench OPTIONS=", description=__doc__)
    parser.add_argument("--images", type=int, default=100, help="how many AMIs (default: 100)")
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="emulated seconds per second while a program works; on a machine that is busy with"
        " other things, the share of it that is left",
    )
    parser.add_argument("--docs", action="store_true", help="write table and chart into docs")
    parser.add_argument("--last", action="store_true", help="show the last results again")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    chosen = parse(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not chosen.last:
        measure(chosen.images, chosen.speed).save(KEPT)
    results = load(KEPT)
    print("\n".join(report(results)))
    if chosen.docs:
        write_docs(results)
    return 0 if all(claim.holds for claim in judged(results)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
