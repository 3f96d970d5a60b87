# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the unit tests share: clients of an AWS in memory, virtual time, modules run in process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.unit.cloud import BUCKET, Cloud, VirtualClock, Wire, plugged
from tests.unit.module_runner import Runner
from tests.unit.relay import Relay
from tests.unit.s3_in_memory import S3InMemory


@pytest.fixture(scope="session")
def wire() -> Wire:
    return Wire()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of retried calls, which take no time."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


@pytest.fixture
def cloud(wire: Wire, slept: list[float]) -> Iterator[Cloud]:
    with plugged(wire, Cloud()) as fresh:
        yield fresh


@pytest.fixture
def ec2(wire: Wire, cloud: Cloud) -> Any:
    return wire.clients["ec2"]


@pytest.fixture
def s3(wire: Wire, cloud: Cloud) -> Any:
    return wire.clients["s3"]


@pytest.fixture
def bucket(s3: Any) -> Bucket:
    return Bucket(s3, BUCKET)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def memory(cloud: Cloud) -> S3InMemory:
    return S3InMemory(cloud)


@pytest.fixture
def relay(wire: Wire, memory: S3InMemory, clock: VirtualClock) -> Relay:
    return Relay(wire, memory, clock)


@pytest.fixture
def run(
    request: pytest.FixtureRequest,
    wire: Wire,
    cloud: Cloud,
    clock: VirtualClock,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Runner:
    """Run the module that the test file is about, its constant MODULE."""
    return Runner(request.module.MODULE, wire, cloud, clock, capsys, monkeypatch)
