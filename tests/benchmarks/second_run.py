# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times the task that finds a whole fleet stored already, against the emulator.

Fails when it calls EC2, lists more than two pages per thousand AMIs, reads a manifest, changes
something, or takes longer than 15 seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.fleet import BUCKET, Fleet, Run, play
from tests.emulator.client import Emulator

LONGEST_SECONDS = 15.0
AMIS_PER_PAGE = 500
"""A page holds a thousand keys, and an AMI has two: its stored image and its manifest."""
# A manifest that is written sooner after its object is read once more.
SECONDS_TO_THE_MANIFEST = 31.0
# Nothing here depends on the speed of AWS.
SCENARIO: Mapping[str, Any] = {
    "rates": None,
    "store_seconds": 1,
    "store_seconds_per_gib": 0,
    "store_in_flight_gib": None,
}
OPTIONS = {"create_burst": 10_000, "in_flight_gib": 1_000_000}
S3_ACTIONS = {"HeadBucket", "ListObjectsV2"}


def faults_of(run: Run, count: int) -> list[str]:
    """What must not be, in words."""
    actions = Counter(request["action"] for request in run.requests)
    others = sorted(set(actions) - S3_ACTIONS)
    pages = actions["ListObjectsV2"]
    found = {
        f"requests that are not needed: {', '.join(others)}": others,
        f"{pages} pages listed": pages > -(-count // AMIS_PER_PAGE),
        "it says that it changed something": run.result["changed"],
        f"not stored: {len(run.not_stored())}": run.not_stored(),
        f"it took {run.seconds:.1f} s": run.seconds > LONGEST_SECONDS,
    }
    return [words for words, is_so in found.items() if is_so]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make bench-second-run OPTIONS=", description=__doc__)
    parser.add_argument("--images", type=int, default=1000, help="how many AMIs (default: 1000)")
    fleet = Fleet(parser.parse_args(arguments).images, gib=8)
    with Emulator(SCENARIO) as emulator, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        emulator.seed(fleet.seeds())
        emulator.plant_buckets({"name": BUCKET})
        begun = time.monotonic()
        play(emulator, fleet.image_ids, folder, manifest=False, **OPTIONS)
        print(f"{fleet.count} AMIs stored: {time.monotonic() - begun:.0f} s", flush=True)
        time.sleep(SECONDS_TO_THE_MANIFEST)
        begun = time.monotonic()
        play(emulator, fleet.image_ids, folder)
        print(f"{fleet.count} manifests written: {time.monotonic() - begun:.0f} s", flush=True)
        again = play(emulator, fleet.image_ids, folder)
    actions = Counter(request["action"] for request in again.requests)
    told = ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))
    print(f"and once more: {again.seconds:.1f} s for the whole play; {told}")
    faults = faults_of(again, fleet.count)
    print("\n".join(f"FAILED: {fault}" for fault in faults) or "passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
