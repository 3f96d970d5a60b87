# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records what a terminal shows while twelve AMIs are stored, into docs/progress.md.

    python3 -m tests.demo.progress

It takes about six minutes: the emulator's stores last minutes, and nothing is sped up.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.emulator.client import Emulator
from tests.tools import surroundings
from tests.tools.environments import ANSIBLE12, EMULATOR, ensure
from tests.tools.places import ROOT

PAGE = ROOT / "docs" / "progress.md"
BEGIN, END = "```text\n", "```\n"
BUCKET = "my-ami-bucket"
# GiB; more than may be in flight at once, so that some wait for others.
SIZES = (8, 30, 60, 80, 100, 120, 150, 180, 200, 220, 240, 260)
SCENARIO = {"store_seconds": 60.0, "store_seconds_per_gib": 0.5}
PLAY = [
    {
        "name": "Store the AMIs of the production account",
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Store",
                "amistore.aws.ec2_ami_store": {"image_ids": "{{ image_ids }}", "bucket": BUCKET},
            }
        ],
    }
]


def record(emulator: Emulator, folder: Path) -> str:
    """Run the play in a terminal of its own; what it showed."""
    emulator.plant_buckets({"name": BUCKET})
    image_ids = emulator.seed(
        [
            {"name": f"app-{size}", "volumes": [{"device": "/dev/xvda", "size": size}]}
            for size in SIZES
        ]
    )
    (folder / "store.yml").write_text(json.dumps(PLAY))
    variables = {"image_ids": image_ids, "ansible_python_interpreter": str(ANSIBLE12.python)}
    program = str(ANSIBLE12.program("ansible-playbook"))
    command = [program, "-e", json.dumps(variables), "store.yml"]
    environment = surroundings.without_proxies(surroundings.for_ansible(ANSIBLE12))
    return in_terminal(command, folder, {**environment, **emulator.environment})


def in_terminal(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
    """Run a program as in a terminal without colours; all that appears in it."""
    ours, its = pty.openpty()
    began = time.monotonic()
    environment = {**variables, "TERM": "dumb", "ANSIBLE_NOCOLOR": "true", "COLUMNS": "80"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=its, stderr=its
    ) as process:
        os.close(its)
        shown = b""
        while part := read_part(ours):
            shown += part
            print(f"\r{time.monotonic() - began:4.0f} s, {len(shown)} bytes", end="", flush=True)
        os.close(ours)
    print()
    if process.returncode:
        raise SystemExit(f"the play failed:\n{shown.decode()}")
    return shown.decode().replace("\r\n", "\n")


def read_part(terminal: int) -> bytes:
    """The next bytes, none when the program has closed the terminal."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def replace_recording(page: str, shown: str) -> str:
    """The page with another recording."""
    before, _begin, rest = page.partition(BEGIN)
    _old, _end, after = rest.partition(END)
    lines = [line.rstrip() for line in shown.strip().splitlines()]
    return "".join([before, BEGIN, *(f"{line}\n" for line in lines), END, after])


def main() -> int:
    for environment in (ANSIBLE12, EMULATOR):
        ensure(environment)
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator(scenario=SCENARIO, python=str(EMULATOR.python)) as emulator,
    ):
        shown = record(emulator, Path(folder))
    PAGE.write_text(replace_recording(PAGE.read_text(), shown))
    print(f"recorded in {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
