# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores the same AMIs in the ways that people do today and with one task of this collection."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.comparison import contenders, race
from tests.benchmarks.comparison.scene import scene


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--only", default="")
    chosen = parser.parse_args(arguments)
    logs = Path("/tmp/g/logs"); logs.mkdir(exist_ok=True)
    the = scene(chosen.images)
    print(len(the.images), the.gib, sorted(the.failing), the.shortest_seconds, flush=True)
    for contender in contenders.ALL:
        if chosen.only not in contender.name:
            continue
        t = time.monotonic()
        o = race.run(contender, the, chosen.speed, logs)
        print(contender.name, f"real {time.monotonic()-t:.0f} wall {o.seconds:.0f} skipped {o.skipped:.0f} cpu {o.cpu:.1f} {o.requests} throttled {o.throttled} refused {o.refused} stored {len(o.stored)} lost {len(o.lost)} wrong {len(o.wrong)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
