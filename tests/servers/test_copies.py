# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies between servers that are not AWS: the bytes, what is known of them, the second run."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.conftest import METADATA, MIB, Between, between
from tests.servers.proxies import Exchange
from tests.servers.server import BUCKET, Server

PAIRS = [("seaweedfs", "seaweedfs"), ("seaweedfs", "rclone"), ("rclone", "seaweedfs")]


@pytest.fixture(params=PAIRS, ids=" to ".join)
def pair(
    request: pytest.FixtureRequest, running: dict[tuple[str, str], Server]
) -> Iterator[Between]:
    source, target = request.param
    with between(running[source, "source"], running[target, "target"]) as both:
        yield both


def bodies_of(exchanges: list[Exchange], key: str) -> int:
    """Bytes of the object that were read."""
    path = f"/{BUCKET}/{key}"
    return sum(
        each.answered or 0
        for each in exchanges
        if each.method == "GET" and each.target.partition("?")[0] == path and not each.query
    )


def test_the_copy_has_the_bytes(pair: Between, content: bytes, key: str) -> None:
    pair.put(content, key)
    result = pair.copy(key)
    [image] = result["images"]
    assert (result["changed"], image["state"], image["size"]) == (True, "Copied", len(content))
    assert pair.arrived(key) == content
    assert image["bytes_sent"] == len(content)


# rclone forgets the metadata of what was uploaded in parts.
@pytest.mark.parametrize("pair", [p for p in PAIRS if p[1] != "rclone"], indirect=True)
def test_the_copy_has_the_metadata(pair: Between, content: bytes, key: str) -> None:
    pair.put(content[: 2 * MIB], key)
    assert pair.copy(key)["changed"]
    head = pair.target.client().head_object(Bucket=BUCKET, Key=key)
    assert METADATA.items() <= head["Metadata"].items()


def test_the_second_run_changes_nothing_and_moves_no_body(
    pair: Between, content: bytes, key: str
) -> None:
    pair.put(content, key)
    assert pair.copy(key)["changed"]
    pair.source_proxy.forget()
    pair.target_proxy.forget()
    result = pair.copy(key)
    [image] = result["images"]
    assert (result["changed"], image["state"]) == (False, "Present")
    assert (image["bytes_read"], image["bytes_sent"]) == (0, 0)
    assert bodies_of(pair.source_proxy.exchanges(), key) == 0
    assert bodies_of(pair.target_proxy.exchanges(), key) == 0
    asked = {each.method for each in pair.target_proxy.exchanges()}
    assert asked <= {"GET", "HEAD"}


def test_what_was_counted_is_what_went_over_the_wire(
    pair: Between, content: bytes, key: str
) -> None:
    pair.put(content, key)
    [image] = pair.copy(key)["images"]
    read = [*pair.source_proxy.exchanges(), *pair.target_proxy.exchanges()]
    assert bodies_of(read, key) == image["bytes_read"] >= len(content)


def test_check_mode_predicts_and_moves_nothing(pair: Between, content: bytes, key: str) -> None:
    pair.put(content, key)
    result = pair.copy(key, _ansible_check_mode=True)
    [image] = result["images"]
    assert (result["changed"], image["state"], image["size"]) == (True, "NotCopied", len(content))
    assert not pair.is_there(key)
    assert bodies_of(pair.source_proxy.exchanges(), key) == 0
    assert {each.method for each in pair.target_proxy.exchanges()} <= {"GET", "HEAD"}


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 5 * MIB + 1], ids=str)
def test_sizes_around_a_part(pair: Between, content: bytes, key: str, size: int) -> None:
    pair.put(content[:size], key)
    [image] = pair.copy(key)["images"]
    assert (image["state"], image["size"]) == ("Copied", size)
    assert pair.arrived(key) == content[:size]


def test_a_key_of_another_alphabet_with_blanks(pair: Between, content: bytes, key: str) -> None:
    named = key.replace("tests/", "Größe und 画像 + % &/")
    pair.put(content, named)
    [image] = pair.copy(named)["images"]
    assert (image["state"], image["object_key"]) == ("Copied", named)
    assert pair.arrived(named) == content


def test_something_else_under_the_key_stays(pair: Between, content: bytes, key: str) -> None:
    pair.put(content, key)
    client = pair.target.client()
    client.put_object(Bucket=BUCKET, Key=key, Body=b"of somebody else")
    result = pair.copy(key)
    assert result["failed"]
    assert key in result["msg"]
    assert pair.arrived(key) == b"of somebody else"
    assert pair.copy(key, overwrite=True)["changed"]
    assert pair.arrived(key) == content


def test_one_that_is_missing_does_not_hold_up_the_others(
    pair: Between, content: bytes, key: str
) -> None:
    pair.put(content, key)
    missing = f"{key}.not-there.bin"
    result = pair.copy(key, object_keys=[missing, key])
    states = [image["state"] for image in result["images"]]
    assert (bool(result["failed"]), states) == (True, ["Failed", "Copied"])
    assert pair.arrived(key) == content


def test_digests_tell_what_arrived(pair: Between, content: bytes, key: str) -> None:
    """The checksum that is told is that of the parts: base 64 of SHA-256, and their number."""
    pair.put(content, key)
    [image] = pair.copy(key)["images"]
    told: Any = image["checksum"]
    sizes = [5 * MIB] * 3 + [12345]
    starts = itertools.accumulate([0, *sizes[:-1]])
    digests = [
        hashlib.sha256(content[start : start + size]).digest()
        for start, size in zip(starts, sizes, strict=True)
    ]
    whole = hashlib.sha256(b"".join(digests)).digest()
    assert told in (
        f"{base64.b64encode(whole).decode()}-4",
        base64.b64encode(hashlib.sha256(content).digest()).decode(),
    )
