# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks as jobs of AWX: run by ansible-runner, with extra variables, read from their events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import ansible_runner

from tests.emulator.client import Emulator
from tests.tools import surroundings
from tests.tools.environments import Environment

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Job:
    """What is left of a job when it has ended."""

    status: str
    events: tuple[dict[str, Any], ...]
    output: str

    @property
    def succeeded(self) -> bool:
        return self.status == "successful"

    @cached_property
    def totals(self) -> dict[str, Any]:
        """The data of the last event: counts by host, and what set_stats handed on."""
        [last] = [event for event in self.events if event["event"] == "playbook_on_stats"]
        return dict(last["event_data"])

    @property
    def artifacts(self) -> dict[str, Any]:
        return dict(self.totals["artifact_data"])

    def changed(self, host: str = "localhost") -> int:
        return int(self.totals["changed"].get(host, 0))

    def results(self, task: str) -> list[dict[str, Any]]:
        """What the task returned, once for each time and host."""
        return [
            event["event_data"]["res"]
            for event in self.events
            if event["event"] in ("runner_on_ok", "runner_on_failed")
            and event["event_data"]["task"] == task
        ]

    def shown(self, task: str) -> list[str]:
        """The lines that a person sees of a task."""
        return [line for result in self.results(task) for line in result["msg"]]

    @property
    def failure(self) -> str:
        """The message of the first task that failed."""
        failures = [e for e in self.events if e["event"] == "runner_on_failed"]
        return str(failures[0]["event_data"]["res"]["msg"])

    @property
    def largest_result(self) -> int:
        """Characters of the largest result, counted as ansible-runner does."""
        results = [e["event_data"]["res"] for e in self.events if "res" in e["event_data"]]
        return max(len(str(result)) for result in results)


class Controller:
    """Starts jobs against one emulator, or with nothing that leads to any."""

    def __init__(
        self, leg: Environment, emulator: Emulator | None, folder: Path, python: str
    ) -> None:
        """`python` is what runs modules."""
        self._leg = leg
        self._python = python
        self._leading = emulator.environment if emulator else {}
        self._folder = folder
        self._count = 0

    def run(
        self,
        play: str,
        variables: Mapping[str, Any],
        hosts: Mapping[str, Mapping[str, Any]] | None = None,
        options: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Job:
        """Run a play of the collection, or of a file. Without `hosts`, on implicit localhost.

        `environment` is added to what leads to the emulator.
        """
        self._count += 1
        folder = self._folder / f"job-{self._count}"
        folder.mkdir()
        playbook = ROOT / "playbooks" / f"{play}.yml"
        run = ansible_runner.run(
            private_data_dir=str(folder),
            playbook=str(playbook) if playbook.exists() else play,
            inventory={"all": {"hosts": {k: dict(v) for k, v in (hosts or {}).items()}}},
            extravars={"ansible_python_interpreter": self._python, **variables},
            envvars={**self._environment(), **(environment or {})},
            cmdline=options or None,
            quiet=True,
        )
        with run.stdout as shown:
            return Job(run.status, tuple(run.events), shown.read())

    def _environment(self) -> dict[str, str]:
        variables = surroundings.without_proxies(surroundings.for_ansible(self._leg))
        # The path of pytest's Python is of no use to Ansible's.
        return {**variables, "PYTHONPATH": "", **self._leading}
