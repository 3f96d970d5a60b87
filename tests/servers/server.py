# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""S3 servers of other projects, started for a test or a benchmark and gone with it.

They listen on loopback only, keep their data in a folder of their own, and report to nobody.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS_VARIABLE = "AMISTORE_RELAY_PROGRAMS"
"""The folder `bin` of an environment with the servers' programs."""
HOST = "127.0.0.1"
REGION = "us-east-1"
# Not credentials: they open nothing but a server that lives as long as one test.
ACCESS_KEY = "EMULATEDACCESSKEY001"
SECRET_KEY = "emulatedsecretkeythatopensnothing000000"
BUCKET = "vault"
_START_SECONDS = 60.0
_ATTEMPTS = 3
_PORTS = 8
"""Those of SeaweedFS, the most; the first is that of S3."""
_STOP_SECONDS = 10.0


class NotStarted(RuntimeError):
    """A server ended, or answered nothing in time."""


@dataclass(frozen=True)
class Server:
    """One that answers, with an empty bucket."""

    name: str
    url: str
    process_id: int
    """Of its keeper."""
    log: Path

    def client(self, url: str = "") -> Any:
        """Direct, or by way of a proxy's URL."""
        return s3_client(url or self.url)


def program(name: str) -> str:
    return str(Path(os.environ[PROGRAMS_VARIABLE]) / name)


def s3_client(url: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=5,
            read_timeout=60,
            retries={"max_attempts": 1, "mode": "standard"},
            # rclone sends the checksum of the whole with a part of it.
            response_checksum_validation="when_required",
        ),
    )


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _number in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def seaweedfs(parent: Path | None = None) -> Iterator[Server]:
    """SeaweedFS: master, volume, filer and S3 gateway in one process."""
    yield from _serve("seaweedfs", _weed, parent)


@contextlib.contextmanager
def rclone(parent: Path | None = None) -> Iterator[Server]:
    """`rclone serve s3` on a folder."""
    yield from _serve("rclone", _rclone, parent)


BY_NAME = {"seaweedfs": seaweedfs, "rclone": rclone}


@dataclass(frozen=True)
class Command:
    words: Sequence[str]
    leaves: Sequence[Path] = ()
    """What it makes outside of its folder."""


def _weed(folder: Path, free: Sequence[int]) -> Command:
    identities = folder / "identities.json"
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    identity = {"name": "test", "credentials": credentials, "actions": ["Admin"]}
    identities.write_text(json.dumps({"identities": [identity]}))
    names = ("master.port", "volume.port", "filer.port")
    more = ("master.port.grpc", "volume.port.grpc", "filer.port.grpc", "s3.port.grpc")
    port, *others = free
    ports = dict(zip((*names, *more), others, strict=True))
    options = {
        "ip": HOST,
        "ip.bind": HOST,
        "dir": str(folder),
        "filer": "true",
        "filer.localSocket": str(folder / "filer.sock"),
        # Its default is to send statistics to its makers.
        "master.telemetry": "false",
        # Small volumes, so that none is preallocated or compacted in the middle of a test.
        "master.volumeSizeLimitMB": "1024",
        "volume.max": "100",
        "volume.preStopSeconds": "0",
        "s3": "true",
        "s3.port": str(port),
        "s3.config": str(identities),
        "s3.iam": "false",
        "s3.localSocket": str(folder / "s3.sock"),
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        **{name: str(number) for name, number in ports.items()},
    }
    words = [f"-{name}={value}" for name, value in options.items()]
    sockets = [
        Path("/tmp") / f"seaweedfs-{name.partition('.')[0]}-grpc-{ports[name]}.sock"
        for name in more
    ]
    return Command([program("weed"), f"-logdir={folder}", "server", *words], sockets)


def _rclone(folder: Path, free: Sequence[int]) -> Command:
    data = folder / "data"
    data.mkdir()
    words = [
        program("rclone"),
        "serve",
        "s3",
        f"--addr={HOST}:{free[0]}",
        f"--auth-key={ACCESS_KEY},{SECRET_KEY}",
        f"--config={os.devnull}",
        f"--cache-dir={folder / 'cache'}",
        str(data),
    ]
    return Command(words)


def _serve(
    name: str, command: Callable[[Path, Sequence[int]], Command], parent: Path | None
) -> Iterator[Server]:
    with contextlib.ExitStack() as stack:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                started = _start(name, command, parent, stack)
                break
            except NotStarted:
                stack.close()
                # Somebody else may have taken a port that was free a moment ago.
                if attempt == _ATTEMPTS:
                    raise
        yield started


def _start(
    name: str,
    command: Callable[[Path, Sequence[int]], Command],
    parent: Path | None,
    stack: contextlib.ExitStack,
) -> Server:
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    # All at once, so that they differ.
    ports = free_ports(_PORTS)
    log, url = folder / "log", f"http://{HOST}:{ports[0]}"
    process = stack.enter_context(kept(folder, command(folder, ports), log))
    _wait_until_it_works(name, url, process, log)
    return Server(name, url, process.pid, log)


@contextlib.contextmanager
def kept(folder: Path, command: Command, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command's keeper; the folder is removed at the end, or when this process dies."""
    variables = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
    variables |= {"HOME": str(folder), "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    paths = os.pathsep.join(str(path) for path in (folder, *command.leaves))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.keeper", paths, *command.words],
            cwd=folder,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(_STOP_SECONDS)


def _wait_until_it_works(name: str, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    client, deadline = s3_client(url), time.monotonic() + _START_SECONDS
    while True:
        try:
            _try(client)
            return
        except ResponseParserError as error:
            raise NotStarted(f"{name}: somebody else answers") from error
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None:
                raise NotStarted(f"{name} ended by itself") from error
            if time.monotonic() > deadline:
                raise NotStarted(f"{name}: {error}\n{log.read_text()[-2000:]}") from error
            time.sleep(0.1)


def _try(client: Any) -> None:
    """Parts of a server come up one after another: what counts is that it keeps an object."""
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
    client.delete_object(Bucket=BUCKET, Key="ready")
