# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets one way copy one object between two servers, and measures the client."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.relay.contenders import Contender, Pipeline, Route, variables
from tests.benchmarks.relay.network import Network
from tests.benchmarks.relay.outcome import MIB, Outcome
from tests.benchmarks.relay.source import Source
from tests.servers.proxies import proxy
from tests.servers.server import BUCKET, BY_NAME, Server

KIB_PER_MIB = 1024
# The unit in which Linux counts what a process writes.
BLOCK = 512


class Failed(RuntimeError):
    """A way ended with an error, or the object is not what it was."""


@dataclass(frozen=True)
class Usage:
    cpu: float
    memory: float
    written: int


def run(contender: Contender, network: Network, source: Source, work: Path, data: Path) -> Outcome:
    """On a target server of its own, since deleted objects keep their room for a while."""
    with (
        BY_NAME[source.server.name](data) as target,
        seen_through(source.server.url, network) as source_url,
        seen_through(target.url, network) as target_url,
        tempfile.TemporaryDirectory(dir=work) as name,
    ):
        folder = Path(name)

        def copy(key: str, given: Path) -> tuple[float, Usage]:
            route = Route(source_url, target_url, key, folder)
            route.given.symlink_to(given)
            try:
                return measured(contender.steps(route), variables(route), folder)
            finally:
                route.given.unlink()
                route.file.unlink(missing_ok=True)

        start, _usage = copy(source.small_key, source.small)
        seconds, usage = copy(source.key, source.file)
        if contender.arrives and not is_equal(target, source):
            raise Failed(f"{contender.name}: {source.key} is not what it was")
        return Outcome(
            name=contender.name,
            network=network.name,
            size=source.size,
            seconds=seconds,
            cpu=usage.cpu,
            memory=usage.memory,
            written=usage.written,
            start=start,
        )


@contextlib.contextmanager
def seen_through(url: str, network: Network) -> Iterator[str]:
    if network.is_direct:
        yield url
        return
    with proxy(url, latency=network.latency, rate=network.rate) as between:
        yield between.url


def measured(
    steps: Sequence[Pipeline], more_variables: Mapping[str, str], folder: Path
) -> tuple[float, Usage]:
    begun = time.monotonic()
    used = [_pipeline(step, os.environ | dict(more_variables), folder) for step in steps]
    return time.monotonic() - begun, Usage(
        cpu=sum(usage.cpu for usage in used),
        memory=max(usage.memory for usage in used),
        written=sum(usage.written for usage in used),
    )


def _pipeline(commands: Pipeline, environment: Mapping[str, str], folder: Path) -> Usage:
    processes: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as stack:
        # In memory: what a program prints is not to count as written to disk.
        log = stack.enter_context(os.fdopen(os.memfd_create("log"), "w+b"))
        feed: Any = subprocess.DEVNULL
        for command in commands:
            if command.input:
                feed = stack.enter_context(tempfile.TemporaryFile())
                feed.write(command.input.encode())
                feed.seek(0)
            is_last = command is commands[-1]
            process = subprocess.Popen(
                command.words,
                env=environment,
                cwd=folder,
                stdin=feed,
                stdout=log if is_last else subprocess.PIPE,
                stderr=log,
            )
            if processes:
                # The end of the pipe that is the program's now.
                feed.close()
            feed = process.stdout
            processes.append(process)
        usages = [_wait(process) for process in processes]
        for process in processes:
            if process.returncode:
                log.seek(0)
                said = log.read().decode(errors="replace")
                raise Failed(f"{process.args!r}: {said[-2000:]}")
    return Usage(
        cpu=sum(usage.cpu for usage in usages),
        memory=sum(usage.memory for usage in usages),
        written=sum(usage.written for usage in usages),
    )


def _wait(process: subprocess.Popen[bytes]) -> Usage:
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    return Usage(cpu, usage.ru_maxrss / KIB_PER_MIB, usage.ru_oublock * BLOCK)


def is_equal(target: Server, source: Source) -> bool:
    """Whether the object at the target has the bytes of the source, whatever the way says."""
    digest = hashlib.sha256()
    body = target.client().get_object(Bucket=BUCKET, Key=source.key)["Body"]
    for chunk in iter(lambda: body.read(MIB), b""):
        digest.update(chunk)
    return digest.hexdigest() == source.sha256
