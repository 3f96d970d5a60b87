# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores three AMIs, loses them, restores them from the bucket alone, and does it all again.

The plays are those of the collection and know nothing of the emulator; CONTRIBUTING.md says how to
run them against an account of your own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.demo.table import lines_of
from tests.emulator.client import Emulator

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ROOT / "playbooks"
HERE = Path(__file__).resolve().parent
BUCKET = "amistore-demo"
# Fast enough to watch, slow enough to see progress: seconds for the service, and per GiB.
SCENARIO = {
    "store_seconds": 8.0,
    "store_seconds_per_gib": 0.08,
    "restore_seconds": 8.0,
    "restore_seconds_per_gib": 0.08,
}
CREATE_ACTIONS = ("CreateStoreImageTask", "CreateRestoreImageTask")


class DemoError(RuntimeError):
    """Something did not go as the demo promises."""


class Demo:
    """One run of the demo against one emulator."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self._emulator = emulator
        self._report = folder / "report.json"
        self._image_ids = [image["image_id"] for image in emulator.images()]
        self._variables = {
            "amistore_bucket": BUCKET,
            "amistore_prefix": "demo",
            "ansible_python_interpreter": sys.executable,
        }

    def run(self) -> None:
        """Play the story; raises DemoError where it ends otherwise than promised."""
        self._tell("A bucket")
        self._play(HERE / "prepare.yml")
        self._tell("Store three AMIs")
        self._store()
        self._tell("The disaster: the originals and their snapshots are deleted")
        self._play(HERE / "disaster.yml", demo_lost_image_ids=self._image_ids)
        self._tell("Restore from the bucket alone, and compare with the manifests")
        self._restore()
        creates = self._creates()
        self._tell("Both plays again: nothing may change")
        changed = self._store() + self._restore()
        self._conclude(changed, self._creates() - creates)

    def _store(self) -> int:
        return self._play(PLAYBOOKS / "store.yml", amistore_image_ids=self._image_ids)

    def _restore(self) -> int:
        return self._play(PLAYBOOKS / "restore.yml", amistore_report=str(self._report))

    def _play(self, playbook: Path, **variables: Any) -> int:
        """Run a playbook, shown as it runs; the number of tasks that changed something."""
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            "localhost,",
            "-e",
            json.dumps({**self._variables, **variables}),
            str(playbook),
        ]
        shown = run_shown(command, _environment(self._emulator.environment))
        recap = re.search(r"changed=(\d+)", shown)
        if recap is None:
            raise DemoError(f"{playbook.name} printed no recap")
        return int(recap[1])

    def _creates(self) -> int:
        requests = self._emulator.requests()
        return sum(requests.get(action, 0) for action in CREATE_ACTIONS)

    def _conclude(self, changed: int, creates: int) -> None:
        rows = json.loads(self._report.read_text())
        print()
        print("\n".join(lines_of(rows)))
        print(
            f"\nRun again: {changed} tasks changed something, {creates} create requests were sent."
        )
        if changed or creates:
            raise DemoError("the second run was not without change")
        if len(rows) != len(self._image_ids):
            raise DemoError(f"{len(rows)} of {len(self._image_ids)} AMIs came back")

    def _tell(self, chapter: str) -> None:
        print(f"\n=== {chapter} ===", flush=True)


def run_shown(command: Sequence[str], variables: Mapping[str, str]) -> str:
    """Run a program, pass its output on as it comes, and return it."""
    shown = []
    with subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            shown.append(line)
    if process.returncode:
        raise DemoError(f"{Path(command[-1]).name} ended with exit code {process.returncode}")
    return "".join(shown)


def _environment(aws: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without its own AWS settings, so that no account is ever touched."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return own | {
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
        "ANSIBLE_FORCE_COLOR": str(sys.stdout.isatty()),
        **aws,
    }


def main() -> int:
    began = time.monotonic()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            Emulator(seed="demo", scenario=SCENARIO) as emulator,
        ):
            Demo(emulator, Path(folder)).run()
    except DemoError as error:
        print(f"\nThe demo failed: {error}.", file=sys.stderr)
        return 1
    print(f"Everything is stopped again. It took {time.monotonic() - began:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
