# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores a fleet of AMIs in one task under AWS's own request rates, then once more, and counts.

Fails when AWS had to throttle anything, when DescribeStoreImageTasks was sent more than once in 30
seconds after the first start, or when the second run sent a create request.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.emulator.client import Emulator

BUCKET = "fleet-of-amis"
CREATE = "CreateStoreImageTask"
DESCRIBE = "DescribeStoreImageTasks"
SECONDS_BETWEEN_DESCRIBES = 30.0
# https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
CREATE_BURST = 50
SECONDS_PER_CREATE = 10.0
STORE_SECONDS = 30.0
STORE_SECONDS_PER_GIB = 6.0
THROTTLED = ("RequestLimitExceeded", "SlowDown", "Throttling")

Request = Mapping[str, Any]


@dataclass(frozen=True)
class Fleet:
    """How many AMIs of how many GiB."""

    count: int
    gib: int

    @property
    def image_ids(self) -> list[str]:
        return [f"ami-{number:017x}" for number in range(1, self.count + 1)]

    @property
    def task_seconds(self) -> float:
        return STORE_SECONDS + self.gib * STORE_SECONDS_PER_GIB

    @property
    def shortest_seconds(self) -> float:
        """What AWS's request rate and one task take, whoever asks."""
        return max(0, self.count - CREATE_BURST) * SECONDS_PER_CREATE + self.task_seconds

    def seeds(self) -> list[dict[str, Any]]:
        return [
            {
                "image_id": image_id,
                "name": f"fleet-{number:03}",
                "volumes": [{"device": "/dev/xvda", "size": self.gib}],
            }
            for number, image_id in enumerate(self.image_ids)
        ]


@dataclass(frozen=True)
class Run:
    """One run of the playbook as the user and as AWS saw it."""

    seconds: float
    result: Mapping[str, Any]
    requests: Sequence[Request]

    def of(self, action: str) -> list[Request]:
        return [request for request in self.requests if request["action"] == action]

    def pauses_between_describes(self) -> list[float]:
        """Seconds before each DescribeStoreImageTasks that was sent after the first start."""
        started = min((request["time"] for request in self.of(CREATE)), default=float("inf"))
        moments = [request["time"] for request in self.of(DESCRIBE)]
        return [later - earlier for earlier, later in pairwise(moments) if later > started]

    def throttled(self) -> list[Request]:
        return [request for request in self.requests if request["outcome"] in THROTTLED]

    def not_stored(self) -> list[str]:
        images = self.result["images"]
        return [image["image_id"] for image in images if image["state"] != "Completed"]


def playbook(
    image_ids: Sequence[str], result: Path, options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    store = {"image_ids": list(image_ids), "bucket": BUCKET, **options}
    keep = {"content": "{{ stored | to_json }}", "dest": str(result), "mode": "0600"}
    return [
        {
            "name": "Store the fleet",
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable},
            "tasks": [
                {
                    "name": "Store all AMIs in one task",
                    "amistore.aws.ec2_ami_store": store,
                    "register": "stored",
                },
                {"name": "Keep the result", "ansible.builtin.copy": keep},
            ],
        }
    ]


def play(emulator: Emulator, image_ids: Sequence[str], folder: Path, **options: Any) -> Run:
    emulator.reset_requests()
    book, result = folder / "store.json", folder / "result.json"
    result.unlink(missing_ok=True)
    book.write_text(json.dumps(playbook(image_ids, result, options)))
    program = Path(sys.executable).parent / "ansible-playbook"
    begun = time.monotonic()
    subprocess.run(
        [str(program), "-i", "localhost,", str(book)],
        cwd=folder,
        env=os.environ | emulator.environment,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    seconds = time.monotonic() - begun
    return Run(seconds, json.loads(result.read_text()), emulator.log())


def faults_of(first: Run, second: Run) -> list[str]:
    """What must not be, in words."""
    shortest = min(first.pauses_between_describes(), default=SECONDS_BETWEEN_DESCRIBES)
    creates = len(second.of(CREATE))
    found = {
        f"{len(first.throttled())} throttled answers in the first run": first.throttled(),
        f"{len(second.throttled())} throttled answers in the second run": second.throttled(),
        f"{DESCRIBE} after {shortest:.1f} s": shortest < SECONDS_BETWEEN_DESCRIBES,
        f"{creates} {CREATE} in the second run": creates,
        "a second run that says it changed something": second.result["changed"],
        f"not stored: {', '.join(first.not_stored())}": first.not_stored(),
    }
    return [words for words, is_so in found.items() if is_so]


def counts(runs: Iterable[Run]) -> list[str]:
    """A table of the requests of each run by action."""
    columns = [Counter(request["action"] for request in run.requests) for run in runs]
    actions = sorted(set().union(*columns))
    lines = [f"  {'requests':28}{'first run':>12}{'second run':>12}"]
    lines += [
        f"  {action:28}" + "".join(f"{column[action]:12}" for column in columns)
        for action in actions
    ]
    return lines


def report(fleet: Fleet, first: Run, second: Run) -> list[str]:
    pauses = first.pauses_between_describes()
    makespan = first.requests[-1]["time"] - first.of(CREATE)[0]["time"]
    return [
        *counts([first, second]),
        f"  throttled answers: {len(first.throttled())} and {len(second.throttled())}",
        f"  {DESCRIBE} after the first start: {len(pauses)}, each"
        f" {', '.join(f'{pause:.1f}' for pause in pauses) or 0} s after the one before it",
        f"  from the first start to the last request: {makespan:.0f} s;"
        f" AWS's request rate and one task take {fleet.shortest_seconds:.0f} s",
        f"  whole plays: {first.seconds:.0f} s and {second.seconds:.0f} s",
    ]


def parse(arguments: Sequence[str]) -> Fleet:
    parser = argparse.ArgumentParser(prog="python3 -m tests.benchmarks.fleet", description=__doc__)
    parser.add_argument("--images", type=int, default=60, help="how many AMIs (default: 60)")
    parser.add_argument("--gib", type=int, default=8, help="the size of each (default: 8)")
    chosen = parser.parse_args(arguments)
    return Fleet(chosen.images, chosen.gib)


def main(arguments: Sequence[str]) -> int:
    fleet = parse(arguments)
    scenario = {
        "rates": "aws",
        "store_seconds": STORE_SECONDS,
        "store_seconds_per_gib": STORE_SECONDS_PER_GIB,
    }
    print(
        f"{fleet.count} AMIs of {fleet.gib} GiB, one task, AWS's request rates in real time:"
        f" about {fleet.shortest_seconds + 30:.0f} s",
        flush=True,
    )
    with Emulator(scenario) as emulator, tempfile.TemporaryDirectory() as folder:
        emulator.seed(fleet.seeds())
        emulator.plant_buckets({"name": BUCKET})
        first = play(emulator, fleet.image_ids, Path(folder))
        second = play(emulator, fleet.image_ids, Path(folder))
    print("\n".join(report(fleet, first, second)))
    faults = faults_of(first, second)
    print("\n".join(f"FAILED: {fault}" for fault in faults) or "passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
