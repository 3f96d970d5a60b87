# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy alters what it is told to and nothing else, is as slow as told, and remembers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from tests.servers.message import Head, body_of_answer
from tests.servers.proxies import fault, proxy
from tests.servers.server import BUCKET, Server, rclone

CONTENT = Random(1).randbytes(1 << 20)
# One byte more than is read: a range of all is answered like a request without one.
STORED = CONTENT + b"."
WHERE = {"Bucket": BUCKET, "Key": "object"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with rclone(tmp_path_factory.mktemp("server")) as started:
        yield started


def read(client: Any) -> bytes:
    answer = client.get_object(**WHERE, Range=f"bytes=0-{len(CONTENT) - 1}")
    body: bytes = answer["Body"].read()
    return body


def test_what_passes_is_what_was_sent(server: Server) -> None:
    with proxy(server.url) as between:
        client = server.client(between.url)
        client.put_object(**WHERE, Body=STORED)
        assert read(client) == CONTENT
        assert server.client().get_object(**WHERE)["Body"].read() == STORED
        assert client.head_object(**WHERE)["ContentLength"] == len(STORED)
        assert [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET)["Contents"]]


def test_every_request_is_remembered(server: Server) -> None:
    with proxy(server.url) as between:
        client = server.client(between.url)
        client.put_object(**WHERE, Body=STORED)
        read(client)
        with pytest.raises(ClientError):
            client.head_object(Bucket=BUCKET, Key="not there")
        first, second, third = between.exchanges()
        assert (first.method, first.sent, first.status) == ("PUT", len(STORED), 200)
        assert (second.method, second.answered) == ("GET", len(CONTENT))
        assert second.range == f"bytes=0-{len(CONTENT) - 1}"
        with between.journal.open("a") as journal:
            journal.write('{"method": "half a li')
        assert len(between.exchanges()) == 3
        assert (third.method, third.status) == ("HEAD", 404)
        between.forget()
        assert between.exchanges() == []


@pytest.mark.parametrize("at", [0, 1000, len(CONTENT) - 1])
def test_a_flip_alters_one_byte_of_one_answer(server: Server, at: int) -> None:
    server.client().put_object(**WHERE, Body=STORED)
    with proxy(server.url, faults=[fault("answer", "^GET", at, "flip")]) as between:
        client = server.client(between.url)
        found = read(client)
        assert [place for place in range(len(CONTENT)) if found[place] != CONTENT[place]] == [at]
        assert read(client) == CONTENT


def test_a_flip_alters_what_the_server_gets(server: Server) -> None:
    with proxy(server.url, faults=[fault("request", "partNumber=1", 5, "flip")]) as between:
        client = server.client(between.url)
        etags = []
        for _attempt in range(2):
            upload = client.create_multipart_upload(**WHERE)["UploadId"]
            part = {**WHERE, "PartNumber": 1, "UploadId": upload}
            etags.append(client.upload_part(**part, Body=CONTENT)["ETag"].strip('"'))
        altered, whole = etags
        assert altered != whole == hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("at", [0, 1000])
def test_a_cut_ends_the_connection(server: Server, at: int) -> None:
    server.client().put_object(**WHERE, Body=STORED)
    with proxy(server.url, faults=[fault("answer", "^GET", at, "cut", 2)]) as between:
        client = server.client(between.url)
        with pytest.raises((BotoCoreError, HTTPClientError)):
            read(client)


def test_a_request_takes_the_latency_longer(server: Server) -> None:
    with proxy(server.url, latency=0.2) as between:
        client = server.client(between.url)
        client.head_bucket(Bucket=BUCKET)
        begun = time.monotonic()
        client.head_bucket(Bucket=BUCKET)
        assert 0.2 <= time.monotonic() - begun < 0.4


def test_a_connection_is_as_slow_as_its_rate(server: Server) -> None:
    server.client().put_object(**WHERE, Body=STORED)
    with proxy(server.url, rate=2 << 20) as between:
        client = server.client(between.url)
        begun = time.monotonic()
        assert read(client) == CONTENT
        assert 0.45 <= time.monotonic() - begun < 0.9


def test_a_proxy_leaves_nothing(server: Server) -> None:
    with proxy(server.url) as between:
        folder = between.journal.parent
        assert folder.is_dir()
    assert not Path(folder).exists()


def test_heads_tell_where_messages_end() -> None:
    asked = Head(b"HEAD /a?b=c HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    answer = Head(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n")
    assert (asked.method, asked.target, asked.length, asked.expects) == ("HEAD", "/a?b=c", 5, True)
    assert (answer.status, body_of_answer(asked, answer)) == (200, 0)
    got = Head(b"GET / HTTP/1.1\r\n\r\n")
    assert body_of_answer(got, answer) == 7
    assert body_of_answer(got, Head(b"HTTP/1.1 200 OK\r\n\r\n")) is None
    assert body_of_answer(got, Head(b"HTTP/1.1 204 No Content\r\n\r\n")) == 0
