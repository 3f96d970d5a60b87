# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start an emulator from a test, and tell it what to do. Needs the standard library only."""

from __future__ import annotations

import json
import os
import shlex
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

PYTHON_VARIABLE = "AMISTORE_EMULATOR_PYTHON"
ROOT = Path(__file__).resolve().parents[2]
_STOP_SECONDS = 10.0


class EmulatorError(RuntimeError):
    """The emulator did not start, or refused a control call."""


class Emulator:
    """A context manager around one emulator process.

    `environment` is what an AWS client needs to talk to it, and nothing else.
    """

    def __init__(
        self,
        scenario: Mapping[str, Any] | None = None,
        seed: str | Sequence[Mapping[str, Any]] | None = None,
        speed: float | None = None,
        python: str | None = None,
        partition: str = "aws",
    ) -> None:
        self._scenario = scenario
        self._seed = seed
        self._speed = speed
        self._partition = partition
        self._python = python or os.environ.get(PYTHON_VARIABLE) or sys.executable
        self._process: subprocess.Popen[str] | None = None
        self.environment: dict[str, str] = {}

    @property
    def url(self) -> str:
        return self.environment["AWS_ENDPOINT_URL"]

    @property
    def ca_bundle(self) -> str:
        return self.environment["AWS_CA_BUNDLE"]

    def __enter__(self) -> Emulator:
        self._start()
        try:
            if self._scenario:
                self.scenario(**self._scenario)
            if self._seed:
                self.seed(self._seed)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self) -> None:
        command = [self._python, "-m", "tests.emulator", "--parent-pid", str(os.getpid())]
        command += ["--partition", self._partition]
        if self._speed is not None:
            command += ["--speed", str(self._speed)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.environment = self._read_exports()

    def _read_exports(self) -> dict[str, str]:
        """The variables that the process prints once it listens."""
        assert self._process is not None
        assert self._process.stdout is not None
        variables: dict[str, str] = {}
        for line in self._process.stdout:
            name, _equals, value = line.removeprefix("export ").partition("=")
            variables[name] = shlex.split(value)[0]
            if name == "AMISTORE_EMULATOR_URL":
                return variables
        code = self._process.wait()
        self.stop()
        raise EmulatorError(f"{self._python} -m tests.emulator ended with exit code {code}")

    def stop(self) -> None:
        """End the process; it removes its own files."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._process = None

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        context = ssl.create_default_context(cafile=self.ca_bundle)
        handlers = urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
        return urllib.request.build_opener(*handlers)

    def call(self, method: str, path: str, content: Any = None) -> Any:
        """One control call. Raises EmulatorError with the emulator's own words."""
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self.url}/emulator{path}", body, method=method)
        try:
            with self._opener.open(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise EmulatorError(error.read().decode()) from error

    def scenario(self, **changes: Any) -> dict[str, Any]:
        """Set these scenario keys anew; the whole scenario."""
        return dict(self.call("POST", "/scenario", changes))

    def reset_scenario(self) -> dict[str, Any]:
        """Back to the scenario that the process started with."""
        return dict(self.call("POST", "/scenario/reset", {}))

    def reset(self) -> None:
        """Forget AMIs, buckets, tasks, requests, scenario changes and jumps in time."""
        self.call("POST", "/reset", {})

    def seed(self, images: str | Sequence[Mapping[str, Any]]) -> list[str]:
        """Register AMIs, or the three of `demo`; their ids."""
        content = images if isinstance(images, str) else list(images)
        return list(self.call("POST", "/images", content)["image_ids"])

    def images(self) -> list[dict[str, Any]]:
        """All registered AMIs of all accounts."""
        return list(self.call("GET", "/images"))

    def set_image_state(self, image_id: str, state: str, reason: str | None = None) -> None:
        content = {"image_id": image_id, "state": state, "reason": reason}
        self.call("POST", "/image-state", content)

    def plant_tasks(self, *tasks: Mapping[str, Any]) -> None:
        """Put store tasks of the past, or of somebody else, on record."""
        self.call("POST", "/tasks", list(tasks))

    def tasks(self) -> list[dict[str, Any]]:
        """All store tasks as they are, whatever is hidden from the accounts."""
        return list(self.call("GET", "/tasks"))

    def plant_references(self, *references: Mapping[str, Any]) -> None:
        """Let resources that are not emulated refer to AMIs."""
        self.call("POST", "/references", list(references))

    def plant_buckets(self, *buckets: Mapping[str, Any]) -> None:
        """Create buckets, in any account and Region."""
        self.call("POST", "/buckets", list(buckets))

    def set_storage_class(
        self,
        bucket: str,
        key: str,
        storage_class: str,
        archive_status: str | None = None,
        restore: str | None = None,
    ) -> None:
        """Archive an object; `restore` is `thawing` or `thawed`."""
        content = {
            "bucket": bucket,
            "key": key,
            "class": storage_class,
            "archive_status": archive_status,
            "restore": restore,
        }
        self.call("POST", "/storage-class", content)

    def requests(self) -> dict[str, int]:
        """How many requests of each action since the last reset."""
        return dict(self.call("GET", "/requests"))

    def outcomes(self) -> dict[str, dict[str, int]]:
        """How often each action had which outcome: OK, an error code, dropped."""
        return dict(self.call("GET", "/outcomes"))

    def traffic(self) -> dict[str, dict[str, int]]:
        """How many bytes of bodies each action `received` and `sent`."""
        return dict(self.call("GET", "/traffic"))

    def log(self) -> list[dict[str, Any]]:
        """The requests in order, with emulated time, caller, AMIs, key and outcome."""
        return list(self.call("GET", "/log"))

    def reset_requests(self) -> None:
        self.call("POST", "/requests/reset", {})

    def advance(self, seconds: float) -> float:
        """Let emulated time jump ahead; the new time."""
        return float(self.call("POST", "/advance", {"seconds": seconds})["now"])

    def now(self) -> float:
        """Emulated time in seconds since the epoch."""
        return float(self.call("GET", "")["now"])
