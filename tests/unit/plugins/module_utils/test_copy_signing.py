# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part is handed out once, so nothing may want to read it before it is sent."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, send_once
from ansible_collections.amistore.aws.plugins.module_utils._copy_clients import (
    client_config,
    send_at_once,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_content import CHUNK, Content
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import sha256_of
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import is_passing

BODY = b"a part" * CHUNK


class Answer(io.BytesIO):
    def stream(self, **_options: Any) -> list[bytes]:
        return [self.read()]


class Sent:
    """A client whose requests go nowhere; the last one is kept as it would be sent."""

    def __init__(self, url: str, aws_config: dict[str, Any]) -> None:
        self.client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="AKIAEMULATEDEMULATED",
            aws_secret_access_key="emulated",
            config=Config(**client_config({"aws_config": aws_config}, 4)),
        )
        send_at_once(self.client)
        self.client.meta.events.register("before-send.s3", self._keep)
        self.headers: dict[str, str] = {}
        self.body = b""
        self.fault: Exception | None = None
        self.answer = b""

    def _keep(self, request: Any, **_context: Any) -> AWSResponse:
        self.headers.clear()
        if self.fault:
            raise self.fault
        for name, value in request.headers.items():
            self.headers[name.lower()] = value.decode() if isinstance(value, bytes) else value
        body = request.body if hasattr(request.body, "read") else io.BytesIO(request.body)
        self.body = b"".join(iter(lambda: body.read(CHUNK), b""))
        return AWSResponse(request.url, 200, {}, Answer(self.answer))


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://127.0.0.1:9"])
@pytest.mark.parametrize(
    "aws_config",
    [
        {},
        {"signature_version": "s3v4"},
        {"signature_version": "s3"},
        {"s3": {"payload_signing_enabled": True}},
        {"s3": {"addressing_style": "path", "payload_signing_enabled": True}},
        {"retries": {"max_attempts": 5, "mode": "adaptive"}},
    ],
)
def test_a_part_is_sent_whole_whatever_the_user_configures(
    url: str, aws_config: dict[str, Any]
) -> None:
    content = Content()
    content.take_in(io.BytesIO(BODY))
    sent = Sent(url, aws_config)
    sent.client.upload_part(
        Bucket="vault",
        Key="key",
        UploadId="upload",
        PartNumber=1,
        Body=content,
        ChecksumSHA256=content.sha256,
    )
    assert sent.body == BODY
    assert sent.headers["content-length"] == str(len(BODY))
    assert sent.headers["x-amz-checksum-sha256"] == content.sha256
    assert "transfer-encoding" not in sent.headers
    assert "expect" not in sent.headers
    if aws_config.get("signature_version") != "s3":
        assert sent.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        assert "x-amz-checksum-sha256" in sent.headers["authorization"]


def test_a_server_that_has_closed_the_connection_is_asked_first() -> None:
    sent = Sent("https://127.0.0.1:9", {})
    asked = []
    closed = ConnectionClosedError(endpoint_url="https://127.0.0.1:9")
    for fault in (None, closed, None, None):
        sent.fault = fault
        content = Content()
        content.take_in(io.BytesIO(BODY))
        with contextlib.suppress(ConnectionClosedError):
            sent.client.upload_part(
                Bucket="vault",
                Key="key",
                UploadId="upload",
                PartNumber=1,
                Body=content,
                ChecksumSHA256=content.sha256,
            )
        asked.append("expect" in sent.headers)
    assert asked == [False, False, True, False]


def test_a_manifest_is_sent_without_asking_first() -> None:
    sent = Sent("https://127.0.0.1:9", {})
    sum_of_body = sha256_of(BODY)
    sent.client.put_object(Bucket="vault", Key="key", Body=BODY, ChecksumSHA256=sum_of_body)
    assert sent.body == BODY
    assert "expect" not in sent.headers


def test_a_fault_that_s3_tells_after_it_has_answered_200_passes() -> None:
    sent = Sent("https://127.0.0.1:9", {})
    sent.answer = b"<Error><Code>InternalError</Code><Message>Try again.</Message></Error>"
    parts = {"Parts": [{"PartNumber": 1, "ETag": "etag"}]}
    with pytest.raises(AmiStoreError) as failed:
        send_once(
            "complete",
            sent.client.complete_multipart_upload,
            Bucket="vault",
            Key="key",
            UploadId="upload",
            MultipartUpload=parts,
        )
    assert is_passing(failed.value)


@pytest.mark.parametrize("url", ["https://127.0.0.1:9", "http://127.0.0.1:9"])
@pytest.mark.parametrize("body", [BODY, b""])
def test_an_object_in_one_piece_is_sent_whole(url: str, body: bytes) -> None:
    sent = Sent(url, {})
    checksum = sha256_of(body)
    sent.client.put_object(Bucket="vault", Key="key", Body=bytearray(body), ChecksumSHA256=checksum)
    assert (sent.body or b"") == body
    assert sent.headers["content-length"] == str(len(body))
    assert sent.headers["x-amz-checksum-sha256"] == checksum
    assert "transfer-encoding" not in sent.headers
