# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets one contender store the AMIs, on an AWS of its own, and measures it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.comparison.contenders import (
    WAYS,
    Contender,
    playbook,
    program_path,
)
from tests.benchmarks.comparison.outcome import COMPLETED, Outcome
from tests.benchmarks.comparison.scene import BUCKET, TASK_SECONDS, Scene
from tests.benchmarks.comparison.skipped_time import skips
from tests.emulator.client import Emulator

PAUSE = Path(__file__).resolve().parent / "pause.yml"
PAUSE_SECONDS = 20


def cpu_seconds(command: Sequence[str], variables: Mapping[str, str], log: Path) -> float:
    """Run it to its end, whatever that is; what its processes spent."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=variables,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def polling_share(logs: Path) -> float:
    """CPU seconds that Ansible's controller spends in a second in which its task sleeps."""
    spent = [
        cpu_seconds(playbook(PAUSE, seconds=seconds), os.environ, logs / "pause.log")
        for seconds in (0, PAUSE_SECONDS)
    ]
    return max(0.0, spent[1] - spent[0]) / PAUSE_SECONDS


def run(contender: Contender, scene: Scene, speed: float, polling: float, logs: Path) -> Outcome:
    with (
        Emulator(scene.scenario(speed)) as emulator,
        tempfile.TemporaryDirectory() as name,
        skips(emulator, Path(name)) as skipped,
    ):
        emulator.seed(scene.seeds())
        emulator.plant_buckets({"name": BUCKET})
        verdicts = Path(name) / "verdicts.json"
        command = contender.command(WAYS / contender.way, scene.image_ids, verdicts)
        variables = os.environ | emulator.environment | {"PATH": program_path()}
        variables |= skipped.variables(speed, os.environ["PYTHONPATH"])
        begun = emulator.now()
        cpu = cpu_seconds(command, variables, logs / f"{contender.way}.log")
        seconds = emulator.now() - begun
        requests = emulator.outcomes()
        # Whoever has given up may still be given credit for what AWS goes on with.
        emulator.advance(2 * TASK_SECONDS)
        return Outcome(
            name=contender.name,
            seconds=seconds,
            skipped=skipped.seconds,
            cpu=cpu,
            polling_cpu=skipped.seconds * polling if contender.polls else 0.0,
            requests=requests,
            stored=_stored(emulator),
            storable=scene.storable,
            verdicts=json.loads(verdicts.read_text()),
        )


def _stored(emulator: Emulator) -> frozenset[str]:
    return frozenset(
        task["image_id"]
        for task in emulator.tasks()
        if task["state"] == COMPLETED and task["bucket"] == BUCKET
    )
