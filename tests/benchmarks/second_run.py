# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times the task that finds a whole fleet stored already, against the emulator.

Fails when it calls EC2, lists more than two pages per thousand AMIs, reads a manifest, changes
something, or takes longer than 15 seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import boto3

from tests.benchmarks.fleet import BUCKET, Fleet, Run, play
from tests.emulator.client import Emulator

LONGEST_SECONDS = 15.0
AMIS_PER_PAGE = 500
"""A page holds a thousand keys, and an AMI has two: its stored image and its manifest."""
# A manifest that is written sooner after its object is read once more.
SECONDS_TO_THE_MANIFEST = 31.0
MANIFEST = {"format_version": 1, "stored_image": {"etag": "not read", "size": 5}}
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


def children_cpu() -> float:
    """Seconds that the programs which have ended took of the processor."""
    spent = os.times()
    return spent.children_user + spent.children_system


def put(emulator: Emulator, keys: Sequence[str], content: bytes) -> None:
    """Leave these objects in the bucket; the AMIs that they are of are gone."""
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=emulator.url,
        verify=emulator.ca_bundle,
        aws_access_key_id=emulator.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=emulator.environment["AWS_SECRET_ACCESS_KEY"],
    )
    for key in keys:
        client.put_object(Bucket=BUCKET, Key=key, Body=content)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make bench-second-run OPTIONS=", description=__doc__)
    parser.add_argument("--images", type=int, default=1000, help="how many AMIs (default: 1000)")
    fleet = Fleet(parser.parse_args(arguments).images, gib=8)
    with Emulator() as emulator, tempfile.TemporaryDirectory() as folder:
        emulator.plant_buckets({"name": BUCKET})
        put(emulator, [f"{image_id}.bin" for image_id in fleet.image_ids], b"image")
        time.sleep(SECONDS_TO_THE_MANIFEST)
        manifest = json.dumps(MANIFEST).encode()
        put(emulator, [f"{image_id}.json" for image_id in fleet.image_ids], manifest)
        before = children_cpu()
        again = play(emulator, fleet.image_ids, Path(folder))
    actions = Counter(request["action"] for request in again.requests)
    told = ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))
    print(
        f"{fleet.count} AMIs stored already: {again.seconds:.1f} s for the whole play,"
        f" {children_cpu() - before:.1f} s of it CPU; {told}"
    )
    faults = faults_of(again, fleet.count)
    print("\n".join(f"FAILED: {fault}" for fault in faults) or "passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
