# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that break and runs that are killed: the next one goes on, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.relay.kills import kill_and_finish
from tests.benchmarks.relay.source import source
from tests.servers.conftest import MIB, PART_MIB, between
from tests.servers.proxies import fault
from tests.servers.server import Server

PART = PART_MIB * MIB


@pytest.mark.parametrize("target", ["seaweedfs", "rclone"])
@pytest.mark.parametrize("at", [0, PART // 2], ids=["before the body", "within the body"])
def test_a_connection_that_breaks_while_a_part_is_sent(
    running: dict[tuple[str, str], Server], content: bytes, key: str, target: str, at: int
) -> None:
    broken = [fault("request", r"^PUT .*partNumber=[23]\b", at, "cut", 2)]
    servers = running["seaweedfs", "source"], running[target, "target"]
    with between(*servers, at_target=broken) as both:
        both.put(content, key)
        [image] = both.copy(key)["images"]
        assert image["state"] == "Copied"
        assert both.arrived(key) == content


@pytest.mark.parametrize("at", [0, PART // 2], ids=["before the body", "within the body"])
def test_a_connection_that_breaks_while_the_source_is_read(
    running: dict[tuple[str, str], Server], content: bytes, key: str, at: int
) -> None:
    broken = [fault("answer", r"(?i)^GET [\s\S]*range: bytes=", at, "cut", 3)]
    servers = running["seaweedfs", "source"], running["seaweedfs", "target"]
    with between(*servers, at_source=broken) as both:
        both.put(content, key)
        [image] = both.copy(key)["images"]
        assert image["state"] == "Copied"
        assert both.arrived(key) == content


def test_killed_again_and_again_it_sends_no_acknowledged_part_twice(tmp_path: Path) -> None:
    with source("seaweedfs", 192 * MIB, tmp_path, tmp_path) as here:
        killed = kill_and_finish(here, 4, concurrency=2, part_mib=8, data=tmp_path, seed=5)
    assert killed.is_equal
    assert killed.sent_again == 0
    assert killed.extra <= killed.most_extra


def test_killed_where_nothing_can_be_gone_on_with_it_begins_anew(tmp_path: Path) -> None:
    with source("rclone", 64 * MIB, tmp_path, tmp_path) as here:
        killed = kill_and_finish(here, 1, concurrency=2, part_mib=8, data=tmp_path, seed=5)
    assert killed.is_equal
