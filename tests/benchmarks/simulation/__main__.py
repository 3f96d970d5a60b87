# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores and restores simulated fleets, and compares the time with the least that AWS allows.

Fails when a fleet takes longer than 1.05 times the lower bound (beside somebody
who takes half of everything: 1.15 times what is left), when AWS has to throttle an undisturbed run,
or when an AMI is lost. The same seeds give the same numbers everywhere.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from statistics import median

from tests.benchmarks.simulation.judge import Case, Result, faults_of
from tests.benchmarks.simulation.mixes import MIXES, fleet
from tests.benchmarks.simulation.orders import ORDERS
from tests.benchmarks.simulation.play import play, play_restore

HALF = 0.5
# Nothing is promised for the mixes that are not judged, and thousands of AMIs take long.
LARGEST_UNJUDGED = 500
SHOWN_ACTIONS = (
    "CreateStoreImageTask",
    "DescribeStoreImageTasks",
    "ListObjectsV2",
    "HeadObject",
    "GetObject",
    "PutObject",
)


def simulate(case: Case) -> Result:
    images = fleet(MIXES[case.mix], case.count, case.seed)
    if case.restore:
        return Result(case, play_restore(images))
    return Result(case, play(images, case.share, ORDERS[case.order]))


def told(result: Result) -> Result:
    """Show those who wait that another one has ended."""
    case = result.case
    print(f"{case.name}, {case.order}: {result.outcome.ratio:.3f}", file=sys.stderr)
    return result


def grouped(results: Iterable[Result]) -> Iterator[tuple[Case, list[Result]]]:
    """The results of all seeds together, under the first of them."""
    groups: dict[tuple[str, int, float], list[Result]] = {}
    for result in results:
        case = result.case
        groups.setdefault((case.mix, case.count, case.share), []).append(result)
    for group in groups.values():
        yield group[0].case, group


def table(results: Iterable[Result]) -> Iterator[str]:
    yield (
        f"{'fleet':16}{'hours':>7}{'makespan / bound':>18}{'throttled':>11}{'peak GiB':>10}"
        f"{'notice':>8}{'failed':>8}"
    )
    yield f"{'':16}{'':7}{'median':>9}{'worst':>9}"
    for case, group in grouped(results):
        outcomes = [result.outcome for result in group]
        ratios = [outcome.ratio for outcome in outcomes]
        promised = " " if group[0].largest_ratio else "*"
        yield (
            f"{case.fleet:16}"
            f"{median(o.makespan for o in outcomes) / 3600:7.1f}"
            f"{median(ratios):9.3f}{max(ratios):9.3f}{promised}"
            f"{sum(o.throttled for o in outcomes):10}{max(o.peak_gib for o in outcomes):10}"
            f"{max(o.notice for o in outcomes):6.1f} s{sum(o.failed for o in outcomes):8}"
        )


def requests(results: Iterable[Result]) -> Iterator[str]:
    yield f"{'requests per AMI':16}" + "".join(f"{name:>{len(name) + 2}}" for name in SHOWN_ACTIONS)
    for case, group in grouped(results):
        total = sum((result.outcome.requests for result in group), Counter[str]())
        images = case.count * len(group)
        yield f"{case.fleet:16}" + "".join(
            f"{total[name] / images:{len(name) + 2}.2f}" for name in SHOWN_ACTIONS
        )


def comparison(results: Sequence[Result]) -> Iterator[str]:
    yield f"{'order of starts':16}" + "".join(f"{order:>9}" for order in ORDERS)
    ratios: dict[tuple[str, int], dict[str, list[float]]] = {}
    for result in results:
        case = result.case
        row = ratios.setdefault((case.mix, case.count), {})
        row.setdefault(case.order, []).append(result.outcome.ratio)
    for (mix, count), row in ratios.items():
        yield f"{f'{count} {mix}':16}" + "".join(f"{median(row[order]):9.3f}" for order in ORDERS)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-simulation OPTIONS=", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 100, 500, 2000])
    parser.add_argument("--shared-counts", type=int, nargs="*", default=[100, 500])
    parser.add_argument("--restore-counts", type=int, nargs="*", default=[500])
    parser.add_argument("--order-counts", type=int, nargs="*", default=[100, 500])
    parser.add_argument("--mixes", nargs="+", choices=MIXES, default=list(MIXES))
    parser.add_argument("--seeds", type=int, default=5, help="how many fleets of each kind")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    chosen, begun = parse(arguments), time.monotonic()
    seeds = range(chosen.seeds)
    judged = [mix for mix in chosen.mixes if MIXES[mix].judged]
    alone = [
        Case(*each)
        for each in product(chosen.mixes, chosen.counts, seeds)
        if each[0] in judged or each[1] <= LARGEST_UNJUDGED
    ]
    shared = [Case(*each, HALF) for each in product(judged, chosen.shared_counts, seeds)]
    restores = [Case(*each, restore=True) for each in product(judged, chosen.restore_counts, seeds)]
    orders = [
        Case(mix, count, seed, order=order)
        for mix, count, seed, order in product(chosen.mixes, chosen.order_counts, seeds, ORDERS)
    ]
    with ProcessPoolExecutor(chosen.jobs) as pool:
        running = [pool.map(simulate, cases) for cases in (alone, shared, restores, orders)]
        results, results_shared, results_restores, results_orders = [
            list(map(told, cases)) for cases in running
        ]
    print("\n".join(table(results)), end="\n\n")
    print("\n".join(requests(results)), end="\n\n")
    if shared:
        print("Beside somebody who takes half of every bucket and of the room:")
        print("\n".join(table(results_shared)), end="\n\n")
    if restores:
        print("Restored, with half the room:")
        print("\n".join(table(results_restores)), end="\n\n")
    if orders:
        print("\n".join(comparison(results_orders)), end="\n\n")
    print("* nothing is promised: too few to be judged, or sizes that do not fill the pipe")
    faults = faults_of([*results, *results_shared, *results_restores])
    print("\n".join(f"FAILED: {fault}" for fault in faults) or "passed")
    print(f"{time.monotonic() - begun:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
