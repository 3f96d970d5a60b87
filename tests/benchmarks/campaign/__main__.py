# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs stores and restores of made-up fleets under faults, and fails when a rule was broken.

Each seed makes up a fleet, an account with others in it, and troubles; the same seed always makes
up the same. After the seeds, defects are planted one by one, and each must be caught.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from tests.benchmarks.campaign.defects import DEFECTS, MOST_SEEDS, Defect
from tests.benchmarks.campaign.trial import Verdict, try_seed
from tests.benchmarks.campaign.troubles import Trouble

SEEDS = 2000
LEAST_FIRED = 50
REPEAT = 'make campaign OPTIONS="--seed {seed}"'


def campaign(seeds: Iterable[int]) -> list[Verdict]:
    verdicts = []
    for seed in seeds:
        verdict = try_seed(seed)
        verdicts.append(verdict)
        if verdict.broken:
            print(f"seed {seed}: {verdict.broken}\n  {REPEAT.format(seed=seed)}", flush=True)
    return verdicts


def fired(verdicts: Sequence[Verdict]) -> Counter[Trouble]:
    return sum((verdict.fired for verdict in verdicts), Counter[Trouble]())


def catch(defect: Defect) -> Verdict:
    """Return the verdict of the first seed that catches it, of the last seed where none does."""
    with defect.plant():
        for seed in range(MOST_SEEDS):
            verdict = try_seed(seed)
            if verdict.broken:
                break
    return verdict


def report(verdicts: Sequence[Verdict]) -> list[str]:
    """What happened, and after FAILED what must not be; broken rules are told already."""
    counts = fired(verdicts)
    broken = sum(bool(verdict.broken) for verdict in verdicts)
    lines = [f"  {counts[trouble]:8}  {trouble.value}" for trouble in Trouble]
    lines.append(
        f"{len(verdicts)} seeds, {sum(verdict.runs for verdict in verdicts)} runs of a task,"
        f" {sum(verdict.requests for verdict in verdicts)} requests; rules broken: {broken}"
    )
    rare = [trouble.value for trouble in Trouble if counts[trouble] < LEAST_FIRED]
    if rare and len(verdicts) >= SEEDS:
        lines.append(f"FAILED: less than {LEAST_FIRED} times: {'; '.join(rare)}")
    return lines + (["FAILED: rules were broken"] if broken else [])


def catch_all() -> list[str]:
    lines = []
    for name, defect in DEFECTS.items():
        verdict = catch(defect)
        seen = f"seed {verdict.seed}" if verdict.broken else "FAILED: not caught"
        lines.append(f"  {name:18}{seen:12}{defect.what}")
        print(lines[-1], flush=True)
    return lines


def tell(seed: int) -> int:
    """Print the story of one seed."""
    verdict = try_seed(seed, tell=True)
    print("\n".join(verdict.story))
    print(f"BROKEN: {verdict.broken}" if verdict.broken else "every rule held")
    return 1 if verdict.broken else 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.benchmarks.campaign", description=__doc__
    )
    parser.add_argument("--seed", type=int, help="tell the story of one seed, and nothing else")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many (default: {SEEDS})")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    chosen = parse(arguments)
    if chosen.seed is not None:
        return tell(chosen.seed)
    begun = time.process_time()
    lines = report(campaign(range(chosen.first, chosen.first + chosen.seeds)))
    print("\n".join(lines))
    print("planted defects, and the first seed that catches each:")
    lines += catch_all()
    print(f"{time.process_time() - begun:.0f} s of CPU")
    failed = any("FAILED" in line for line in lines)
    print("failed" if failed else "passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
