# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that live as long as the tests, and objects of random bytes in them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from tests.servers import module
from tests.servers.proxies import Proxy, proxy
from tests.servers.server import BUCKET, BY_NAME, Server

MIB = 1 << 20
PART_MIB = 5
METADATA = {"ami-name": "web 1", "ami-owner-account": "123456789012"}


@pytest.fixture(scope="session")
def running() -> Iterator[dict[tuple[str, str], Server]]:
    """A source and a target of each kind; started when asked for."""
    with contextlib.ExitStack() as stack:
        yield _Started(stack)


class _Started(dict[tuple[str, str], Server]):
    def __init__(self, stack: contextlib.ExitStack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, kind_and_side: tuple[str, str]) -> Server:
        kind, _side = kind_and_side
        self[kind_and_side] = self._stack.enter_context(BY_NAME[kind]())
        return self[kind_and_side]


@dataclass(frozen=True)
class Between:
    """Two servers, each behind a proxy that remembers."""

    source: Server
    target: Server
    source_proxy: Proxy
    target_proxy: Proxy

    def put(self, content: bytes, key: str, part_mib: int = PART_MIB) -> None:
        """Store an object at the source as AWS does it, in parts."""
        client = self.source.client()
        if len(content) <= part_mib * MIB:
            client.put_object(Bucket=BUCKET, Key=key, Body=content, Metadata=METADATA)
            return
        there = {"Bucket": BUCKET, "Key": key}
        upload = client.create_multipart_upload(**there, Metadata=METADATA)["UploadId"]
        parts = []
        step = part_mib * MIB
        for number, start in enumerate(range(0, len(content), step), 1):
            body = content[start : start + step]
            answer = client.upload_part(**there, UploadId=upload, PartNumber=number, Body=body)
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        client.complete_multipart_upload(**there, UploadId=upload, MultipartUpload={"Parts": parts})

    def arguments(self, key: str, **more: Any) -> dict[str, Any]:
        base = module.arguments(self.source_proxy.url, self.target_proxy.url, [key])
        return base | {"part_size": PART_MIB, "concurrency": 3} | more

    def copy(self, key: str, **more: Any) -> dict[str, Any]:
        return module.run(self.arguments(key, **more))

    def arrived(self, key: str) -> bytes:
        body: bytes = self.target.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def is_there(self, key: str) -> bool:
        listed = self.target.client().list_objects_v2(Bucket=BUCKET, Prefix=key)
        return any(item["Key"] == key for item in listed.get("Contents", ()))


@contextlib.contextmanager
def between(source: Server, target: Server, **faults: Any) -> Iterator[Between]:
    """The servers by way of proxies; `source` and `target` are faults of the one before each."""
    with (
        proxy(source.url, faults=faults.get("at_source", ())) as before_source,
        proxy(target.url, faults=faults.get("at_target", ())) as before_target,
    ):
        yield Between(source, target, before_source, before_target)


_numbers = itertools.count(1)


@pytest.fixture
def key() -> str:
    """One that no other test uses."""
    return f"tests/ami-{next(_numbers):017x}.bin"


@pytest.fixture(scope="session")
def content() -> bytes:
    """Three parts and a bit."""
    return Random(5).randbytes(3 * PART_MIB * MIB + 12345)
