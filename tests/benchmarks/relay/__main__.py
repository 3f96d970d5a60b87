# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies objects from one S3 server to another with the module and in other ways.

The servers are those of other projects, the network between is made by proxies. Then kills the
module again and again in the middle of a copy. Fails when something promised does not hold.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks import page
from tests.benchmarks.relay import chart, contenders, race, table
from tests.benchmarks.relay.claims import Claim, claims
from tests.benchmarks.relay.field import Field, order
from tests.benchmarks.relay.kills import Killed, kill_and_finish
from tests.benchmarks.relay.network import DIRECT, PROXY_ALONE, Network, capped, delayed
from tests.benchmarks.relay.outcome import MIB
from tests.benchmarks.relay.results import Between, Results, load
from tests.benchmarks.relay.source import Source, source
from tests.servers.server import BY_NAME

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / ".build" / "relay"
KEPT = FOLDER / "results.json"
PAGE = ROOT / "docs" / "relay-performance.md"
CHART = ROOT / "docs" / "relay-performance.svg"
BEGIN, END = "<!-- begin: made by make bench-relay -->", "<!-- end: made by make bench-relay -->"
KILL_CONCURRENCY, KILL_PART_MIB = 4, 8


def measure(chosen: argparse.Namespace) -> Results:
    meetings = [(DIRECT, size) for size in chosen.sizes]
    meetings += [(delayed(wait), chosen.delayed_size) for wait in chosen.delays]
    meetings += [(capped(rate), chosen.capped_size) for rate in chosen.caps]
    fields, between = [], None
    for size in dict.fromkeys(size for _network, size in meetings):
        with source(chosen.server, size * MIB, FOLDER, chosen.data) as here:
            # The first run pays for memory that the machine has not used for a while.
            race.run(contenders.S5CMD_UP, DIRECT, here, FOLDER, chosen.data)
            networks = [network for network, its_size in meetings if its_size == size]
            fields += [_field(chosen, network, here) for network in networks]
            between = between or _between(networks, here, chosen.data)
    return Results(
        server=chosen.server,
        cores=os.cpu_count() or 1,
        fields=fields,
        between=between,
        killed=_killed(chosen) if chosen.kills else None,
    )


def _field(chosen: argparse.Namespace, network: Network, here: Source) -> Field:
    outcomes = []
    # A cap leaves little to chance, and much to wait for.
    repeats = 1 if network.rate else chosen.repeats
    for way in order(contenders.ALL, repeats):
        outcome = race.run(way, network, here, FOLDER, chosen.data)
        print(
            f"{here.size // MIB} MiB, {network.name}: {way.name}: {outcome.throughput:.1f} MiB/s",
            flush=True,
        )
        outcomes.append(outcome)
    return Field(network, here.size, outcomes)


def _between(networks: Sequence[Network], here: Source, data: Path) -> Between | None:
    if all(network.is_direct for network in networks):
        return None
    direct, through = (
        race.run(contenders.S5CMD_DOWN, network, here, FOLDER, data).throughput
        for network in (DIRECT, PROXY_ALONE)
    )
    return Between(direct, through)


def _killed(chosen: argparse.Namespace) -> Killed:
    with source(chosen.server, chosen.kill_size * MIB, FOLDER, chosen.data) as here:
        seed = int(time.time())
        print(f"{chosen.kills} kills, seed {seed}", flush=True)
        concurrency, part = KILL_CONCURRENCY, KILL_PART_MIB
        return kill_and_finish(here, chosen.kills, concurrency, part, chosen.data, seed)


def judged(results: Results) -> list[Claim]:
    return list(claims(results.fields, results.killed))


def report(results: Results) -> Iterator[str]:
    yield table.about(results)
    yield ""
    for found in results.fields:
        yield from table.field(found)
        yield ""
    yield from table.promises(judged(results))


def write_docs(results: Results) -> None:
    """Put the tables between the marks of the page, and the chart beside it."""
    page.put(PAGE, BEGIN, "\n".join(report(results)), END)
    CHART.write_text(chart.svg(results.fields))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-relay OPTIONS=", description=__doc__)
    parser.add_argument(
        "--sizes", nargs="*", type=int, default=[64, 3072], metavar="MIB", help="without a proxy"
    )
    parser.add_argument("--delayed-size", type=int, default=3072, metavar="MIB")
    parser.add_argument("--capped-size", type=int, default=1024, metavar="MIB")
    parser.add_argument("--delays", nargs="*", type=float, default=[20, 80], metavar="MS")
    parser.add_argument("--caps", nargs="*", type=float, default=[5], metavar="MIB_PER_S")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--kill-size", type=int, default=1024, metavar="MIB")
    parser.add_argument("--server", choices=sorted(BY_NAME), default="seaweedfs")
    parser.add_argument(
        "--data",
        type=Path,
        default=FOLDER,
        help="where both servers keep objects; /dev/shm takes the disk out of the comparison",
    )
    parser.add_argument("--docs", action="store_true", help="write tables and chart into docs")
    parser.add_argument("--last", action="store_true", help="show the last results again")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    chosen = parse(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not chosen.last:
        measure(chosen).save(KEPT)
    results = load(KEPT)
    print("\n".join(report(results)))
    if chosen.docs:
        write_docs(results)
    return 0 if all(claim.holds for claim in judged(results)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
