# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what the module's process needs, by the number of AMIs that AWS is storing already.

The process attaches to all of them, writes their manifests and waits for the end, under AWS's own
request rates; the time in which it sleeps is skipped. Fails when an AMI more costs more among many
than among few.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.benchmarks.comparison.skipped_time import skips
from tests.benchmarks.fleet import BUCKET, Fleet
from tests.emulator.client import Emulator

MODULE = "ansible_collections.amistore.aws.plugins.modules.ec2_ami_store"
COUNTS = (1, 10, 100, 300, 1000)
GIB = 8
TASK_SECONDS = 300.0
# A measured slope is never exact. Growth with n log n would be half as much again.
MARGIN = 1.25
# Differences that come about by chance, in seconds and MiB.
CPU_NOISE = 0.2
MEMORY_NOISE = 1.0
KIB_PER_MIB = 1024


@dataclass(frozen=True)
class Need:
    """What one process needed."""

    count: int
    cpu: float
    """Seconds."""
    memory: float
    """MiB, at its peak."""


def run(count: int, speed: float) -> Need:
    fleet = Fleet(count, GIB)
    scenario = {"speed": speed, "store_in_flight_gib": None}
    with (
        Emulator(scenario) as emulator,
        tempfile.TemporaryDirectory() as name,
        skips(emulator, Path(name)) as skipped,
    ):
        emulator.seed(fleet.seeds())
        emulator.plant_buckets({"name": BUCKET})
        emulator.plant_tasks(*map(running_task, fleet.image_ids))
        variables = os.environ | emulator.environment
        variables |= skipped.variables(speed, os.environ["PYTHONPATH"])
        return needs(count, module(fleet.image_ids, variables, name))


def running_task(image_id: str) -> dict[str, Any]:
    return {"image_id": image_id, "bucket": BUCKET, "age": 1, "seconds": TASK_SECONDS, "gib": GIB}


def module(
    image_ids: Sequence[str], variables: Mapping[str, str], folder: str
) -> subprocess.Popen[bytes]:
    """The module's process alone, started as Ansible's guide on debugging modules says; with the
    folder that Ansible gives it, into which it writes its progress.

    https://docs.ansible.com/ansible/latest/dev_guide/debugging.html
    """
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    arguments = {"image_ids": list(image_ids), "bucket": BUCKET, "_ansible_tmpdir": folder}
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
    process.stdin.close()
    return process


def needs(count: int, process: subprocess.Popen[bytes]) -> Need:
    assert process.stdout is not None
    with process.stdout as output:
        result = json.load(output)
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    stored = [image for image in result.get("images", []) if image["state"] == "Completed"]
    if len(stored) != count:
        raise RuntimeError(f"{len(stored)} of {count} AMIs were stored: {result.get('msg')}")
    cpu = usage.ru_utime + usage.ru_stime
    return Need(count, cpu, usage.ru_maxrss / KIB_PER_MIB)


@dataclass(frozen=True)
class Slope:
    """What each AMI more costs between two numbers of AMIs."""

    fewer: Need
    more: Need

    @property
    def step(self) -> int:
        return self.more.count - self.fewer.count

    @property
    def cpu(self) -> float:
        """Seconds per AMI."""
        return (self.more.cpu - self.fewer.cpu) / self.step

    @property
    def memory(self) -> float:
        """MiB per AMI."""
        return (self.more.memory - self.fewer.memory) / self.step


def slopes(found: Sequence[Need]) -> list[Slope]:
    return [Slope(fewer, more) for fewer, more in pairwise(found)]


def faults_of(found: Sequence[Need]) -> list[str]:
    """What must not be, in words: the last AMIs cost more each than those before them."""
    *_others, before, last = slopes(found)
    cpu, memory = (
        max(before.cpu, CPU_NOISE / before.step),
        max(before.memory, MEMORY_NOISE / before.step),
    )
    faults = {
        f"CPU grows from {cpu:.4f} to {last.cpu:.4f} s per AMI": last.cpu > cpu * MARGIN,
        f"memory grows from {memory:.4f} to {last.memory:.4f} MiB per AMI": (
            last.memory > memory * MARGIN
        ),
    }
    return [words for words, is_so in faults.items() if is_so]


def table(found: Sequence[Need]) -> list[str]:
    """Markdown."""
    lines = [
        "| AMIs | CPU, s | peak memory, MiB | CPU per AMI more, s | memory per AMI more, MiB |",
        "|---:|---:|---:|---:|---:|",
        f"| {found[0].count} | {found[0].cpu:.2f} | {found[0].memory:.1f} | | |",
    ]
    lines += [
        f"| {slope.more.count:,} | {slope.more.cpu:.2f} | {slope.more.memory:.1f}"
        f" | {slope.cpu:.4f} | {slope.memory:.4f} |"
        for slope in slopes(found)
    ]
    return lines


def measure(counts: Iterable[int], speed: float) -> list[Need]:
    return [run(count, speed) for count in counts]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make bench-growth OPTIONS=", description=__doc__)
    parser.add_argument("--speed", type=float, default=1.0, help="of a busy machine: less than 1")
    found = measure(COUNTS, parser.parse_args(arguments).speed)
    print("\n".join(table(found)))
    faults = faults_of(found)
    print("\n".join(f"FAILED: {fault}" for fault in faults) or "passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
