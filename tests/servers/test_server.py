# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers listen on loopback only, and end with whoever started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.server import BUCKET, BY_NAME, Server

KINDS = ("seaweedfs", "rclone")
PATIENCE_SECONDS = 15.0
STARTS_ONE = """
import sys, time
from pathlib import Path
from tests.servers.server import BY_NAME
with BY_NAME[sys.argv[1]](Path(sys.argv[2])) as server:
    print(server.process_id, flush=True)
    time.sleep(600)
"""


def programs_of(keeper: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()]


def lives(process_id: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


def wait_for(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with BY_NAME[request.param](tmp_path) as started:
        yield started


def test_a_server_keeps_objects_and_listens_on_loopback_only(server: Server) -> None:
    client = server.client()
    client.put_object(Bucket=BUCKET, Key="kept", Body=b"bytes")
    assert client.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"bytes"
    addresses = {address for pid in programs_of(server.process_id) for address in listening(pid)}
    assert addresses
    assert addresses <= {"0100007F"}


def listening(process_id: int) -> set[str]:
    """Addresses at which the process takes connections, as /proc/net/tcp writes them."""
    sockets = set[str]()
    for descriptor in Path(f"/proc/{process_id}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(descriptor)
            sockets.add(target.removeprefix("socket:[").removesuffix("]"))
    found = set[str]()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process_id}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                found.add(fields[1].partition(":")[0])
    return found


def test_a_server_leaves_nothing(tmp_path: Path) -> None:
    before = set(Path("/tmp").glob("seaweedfs-*.sock"))
    with BY_NAME["seaweedfs"](tmp_path) as started:
        programs = programs_of(started.process_id)
    assert not any(map(lives, programs))
    assert list(tmp_path.iterdir()) == []
    ours = set(Path("/tmp").glob("seaweedfs-*.sock")) - before
    assert not [path for path in ours if not in_use(path)]


def in_use(path: Path) -> bool:
    return str(path) in Path("/proc/net/unix").read_text()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_ends_with_its_parent(kind: str, how: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS_ONE, kind, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        keeper = int(parent.stdout.readline())
        programs = programs_of(keeper)
        assert programs
        # The whole group: what a terminal or a time limit does.
        os.killpg(parent.pid, signal.SIGTERM) if how is signal.SIGTERM else parent.kill()
    wait_for(lambda: not any(map(lives, programs)))
    wait_for(lambda: list(tmp_path.iterdir()) == [])
