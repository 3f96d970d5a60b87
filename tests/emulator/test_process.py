# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process: how it starts, what it prints, when it ends, what it leaves behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .client import PYTHON_VARIABLE, ROOT, Emulator, EmulatorError

PYTHON = os.environ.get(PYTHON_VARIABLE) or sys.executable
COMMAND = [PYTHON, "-m", "tests.emulator"]
NAMES = {
    "AWS_ENDPOINT_URL",
    "AWS_CA_BUNDLE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AMISTORE_EMULATOR_URL",
}


def eventually(test: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if test():
            return True
        time.sleep(0.05)
    return False


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_environment_is_complete_and_files_go_with_the_process() -> None:
    with Emulator(seed="demo", speed=60, scenario={"listing_lag": 3}) as emulator:
        assert set(emulator.environment) == NAMES
        assert emulator.url.startswith("https://127.0.0.1:")
        assert len(emulator.images()) == 3
        bundle = Path(emulator.ca_bundle)
        assert bundle.exists()
        before = emulator.now()
        time.sleep(0.1)
        assert emulator.now() - before >= 6
    assert not bundle.parent.exists()


def test_files_and_directory_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "scenario.yml").write_text("store_seconds: 7\nspeed: 3\n", encoding="utf-8")
    (tmp_path / "seed.json").write_text(json.dumps([{"name": "from a file"}]), encoding="utf-8")
    certificates = tmp_path / "certificates"
    arguments = ["--scenario", tmp_path / "scenario.yml", "--seed", tmp_path / "seed.json"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments), "--directory", str(certificates)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        emulator = Emulator()
        emulator.environment = read_exports(process)
        assert emulator.ca_bundle == str(certificates / "emulator-ca.pem")
        assert emulator.call("GET", "/scenario")["store_seconds"] == 7
        assert [image["name"] for image in emulator.images()] == ["from a file"]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        close(process)
    assert list(certificates.iterdir()) == []


def read_exports(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout
    lines = [process.stdout.readline() for _name in NAMES]
    return dict(shlex.split(line)[1].split("=", 1) for line in lines)


def close(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    process.stdout.close()


def test_bad_scenario_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("store_second: 7\n", encoding="utf-8")
    run = subprocess.run(
        [*COMMAND, "--scenario", str(tmp_path / "bad.yml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "store_second" in run.stderr
    assert run.stdout == ""


def test_client_says_when_the_start_fails() -> None:
    with pytest.raises(EmulatorError, match="exit code"), Emulator(python="/bin/false"):
        pass


def test_process_ends_with_its_parent() -> None:
    """The parent prints the emulator's pid and dies without a word to it."""
    parent = (
        "import os, subprocess, sys\n"
        f"p = subprocess.Popen({COMMAND!r}, cwd={str(ROOT)!r}, stdout=subprocess.PIPE)\n"
        "p.stdout.readline()\n"
        "print(p.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    run = subprocess.run([PYTHON, "-c", parent], capture_output=True, text=True, check=True)
    assert eventually(lambda: is_gone(int(run.stdout)))


def test_background_returns_when_ready_and_ends_with_the_given_process() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as sleeper:
        run = subprocess.run(
            [*COMMAND, "--background", "--parent-pid", str(sleeper.pid)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        variables = dict(shlex.split(line)[1].split("=", 1) for line in run.stdout.splitlines())
        emulator = Emulator()
        emulator.environment = variables
        assert emulator.images() == []
        sleeper.kill()
    assert eventually(lambda: not Path(variables["AWS_CA_BUNDLE"]).exists())


def test_background_needs_to_know_whom_it_serves() -> None:
    run = subprocess.run(
        [*COMMAND, "--background"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "--parent-pid" in run.stderr
