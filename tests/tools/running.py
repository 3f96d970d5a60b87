# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs checks, some at a time, and tells how each ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

from tests.tools.checks import Check, Step
from tests.tools.places import LOGS

# No check comes near it; one that does hangs.
CHECK_SECONDS = 1800
TAIL_LINES = 40


class Outcome(Enum):
    PASSED = "passed"
    FAILED = "FAILED"
    NOT_RUN = "NOT RUN"


@dataclass(frozen=True)
class Result:
    check: Check
    outcome: Outcome
    seconds: float
    remark: str = ""


class Processes:
    """What is running now, so that an interrupt ends it."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, step: Step, log: IO[bytes], seconds: float) -> int:
        with self._lock:
            if self._stopped:
                return 1
            process = subprocess.Popen(
                step.command,
                cwd=step.folder,
                env=step.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            log.write(f"\nstopped after {seconds:.0f} s\n".encode())
            return 1
        finally:
            _end(process)
            with self._lock:
                self._running.discard(process)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process's whole group: also what it left behind."""
    for how, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


def log_of(check: Check) -> Path:
    return LOGS / f"{check.name}.log"


@contextlib.contextmanager
def only_one(check: Check) -> Iterator[None]:
    """Hold off the same check of another `make`: both would work in the same folders."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with open(LOGS / f"{check.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run_check(check: Check, processes: Processes) -> Result:
    start = time.monotonic()
    with only_one(check), open(log_of(check), "wb", buffering=0) as log:
        try:
            outcome = _run_steps(check, processes, log)
        except (OSError, subprocess.CalledProcessError, RuntimeError) as error:
            log.write(f"{error}\n".encode())
            outcome = Outcome.FAILED
    return Result(check, outcome, time.monotonic() - start)


def _run_steps(check: Check, processes: Processes, log: IO[bytes]) -> Outcome:
    deadline = time.monotonic() + CHECK_SECONDS
    for step in check.steps():
        log.write(f"$ {' '.join(step.command)}\n".encode())
        if processes.run(step, log, max(1.0, deadline - time.monotonic())) != 0:
            return Outcome.FAILED
    return Outcome.PASSED


def run_all(checks: Sequence[Check], at_a_time: int) -> list[Result]:
    """Run the checks in their order, one that reads another's results after that one."""
    waiting, results = list(checks), list[Result]()
    running: dict[Future[Result], Check] = {}
    processes = Processes()
    with ThreadPoolExecutor(at_a_time) as pool:
        try:
            while waiting or running:
                unfinished = {check.name for check in (*waiting, *running.values())}
                ready = [check for check in waiting if check.after not in unfinished]
                for check in ready[: at_a_time - len(running)]:
                    waiting.remove(check)
                    running[pool.submit(run_check, check, processes)] = check
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    running.pop(future)
                    results.append(future.result())
                    report(results[-1])
        except KeyboardInterrupt:
            processes.stop()
            raise
    return results


def report(result: Result) -> None:
    print(f"{result.outcome.value:8}{result.seconds:7.1f} s  {result.check.what}", flush=True)
    if result.outcome is Outcome.FAILED:
        lines = log_of(result.check).read_text(errors="replace").splitlines()
        print(f"--- the end of {log_of(result.check)}")
        print("\n".join(lines[-TAIL_LINES:]))
        print("---", flush=True)


def summary(results: Sequence[Result]) -> str:
    """A table of all results, and a last line for machines."""
    width = max(len(result.check.what) for result in results)
    lines = [
        f"{result.check.what:{width}}  {result.outcome.value:8}{result.seconds:7.1f} s"
        + (f"  {result.remark}" if result.remark else "")
        for result in results
    ]
    count = dict.fromkeys(Outcome, 0)
    for result in results:
        count[result.outcome] += 1
    last = f"{count[Outcome.PASSED]} passed, {count[Outcome.FAILED]} failed"
    if skipped := count[Outcome.NOT_RUN]:
        last += f", {skipped} skipped"
    return "\n".join([*lines, last])
