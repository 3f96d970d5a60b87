# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A byte that is altered on its way never ends as success, whatever the server checks itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.servers.conftest import MIB, PART_MIB, Between, between
from tests.servers.proxies import fault
from tests.servers.server import Server

PART = PART_MIB * MIB
PLACES = {"first byte": 0, "middle": PART // 2, "last byte": PART - 1}
ALWAYS = 1000
# What is always altered is tried again until then.
SECONDS = 6


def assert_not_a_wrong_success(both: Between, key: str, content: bytes, result: Any) -> None:
    """Either it failed and says for which key, or what arrived is equal after all."""
    [image] = result["images"]
    if result.get("failed"):
        assert image["state"] == "Failed"
        assert key in result["msg"]
    else:
        assert both.arrived(key) == content


@pytest.mark.parametrize("target", ["seaweedfs", "rclone"])
@pytest.mark.parametrize("times", [1, ALWAYS], ids=["once", "always"])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_byte_of_a_part_altered_on_its_way_to_the_target(
    running: dict[tuple[str, str], Server],
    content: bytes,
    key: str,
    target: str,
    times: int,
    place: int,
) -> None:
    altered = [fault("request", r"^PUT .*partNumber=2\b", place, "flip", times)]
    servers = running["seaweedfs", "source"], running[target, "target"]
    with between(*servers, at_target=altered) as both:
        both.put(content, key)
        result = both.copy(key, wait_timeout=SECONDS)
        assert_not_a_wrong_success(both, key, content, result)
        assert times == 1 or result["failed"]


@pytest.mark.parametrize("source", ["seaweedfs", "rclone"])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_byte_of_a_part_altered_on_its_way_from_the_source(
    running: dict[tuple[str, str], Server], content: bytes, key: str, source: str, place: int
) -> None:
    range_of_second = rf"(?i)^GET [\s\S]*range: bytes={PART}-"
    altered = [fault("answer", range_of_second, place, "flip")]
    servers = running[source, "source"], running["seaweedfs", "target"]
    with between(*servers, at_source=altered) as both:
        both.put(content, key)
        assert_not_a_wrong_success(both, key, content, both.copy(key, wait_timeout=SECONDS))


@pytest.mark.parametrize("target", ["seaweedfs", "rclone"])
def test_a_path_that_always_alters_the_source_never_ends_as_success(
    running: dict[tuple[str, str], Server], content: bytes, key: str, target: str
) -> None:
    altered = [fault("answer", r"(?i)^GET [\s\S]*range: bytes=0-", 77, "flip", ALWAYS)]
    servers = running["seaweedfs", "source"], running[target, "target"]
    with between(*servers, at_source=altered) as both:
        both.put(content, key)
        result = both.copy(key, wait_timeout=SECONDS)
        assert result["failed"]
        assert key in result["msg"]
        assert not both.is_there(key)


@pytest.mark.parametrize("target", ["seaweedfs", "rclone"])
def test_a_small_object_altered_on_its_way_to_the_target(
    running: dict[tuple[str, str], Server], content: bytes, key: str, target: str
) -> None:
    small = content[:MIB]
    altered = [fault("request", r"^PUT .*\.bin", MIB // 2, "flip", ALWAYS)]
    servers = running["seaweedfs", "source"], running[target, "target"]
    with between(*servers, at_target=altered) as both:
        both.put(small, key)
        result = both.copy(key, wait_timeout=SECONDS)
        assert result["failed"]
        assert not both.is_there(key)
