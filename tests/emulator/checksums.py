# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checksums of bodies: what a request declares, checked against what arrived.

moto repeats what it is told. Sources:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .s3_refusals import S3Refusal

HEADER = "x-amz-checksum-"
ALGORITHMS = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")
_SIGNED_HASH = re.compile(r"[0-9a-f]{64}")
_TRAILER = re.compile(rb"x-amz-checksum-(\w+):([A-Za-z0-9+/=]+)\s*\Z")


@dataclass(frozen=True)
class Checksum:
    """A checksum in the form of its header: `sha256` and base64."""

    algorithm: str
    value: str

    @property
    def header(self) -> tuple[str, str]:
        return f"{HEADER}{self.algorithm}", self.value

    @property
    def element(self) -> str:
        """The name of its XML element, such as ChecksumSHA256."""
        return f"Checksum{self.algorithm.upper()}"


def _crc32(body: bytes) -> bytes:
    return binascii.crc32(body).to_bytes(4, "big")


# The two others need awscrt; they are taken on trust.
_COMPUTED: dict[str, Callable[[bytes], bytes]] = {
    "crc32": _crc32,
    "sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "sha256": lambda body: hashlib.sha256(body).digest(),
}


def computed(algorithm: str, body: bytes) -> Checksum | None:
    """The checksum of a body; None for an algorithm that cannot be computed here."""
    digest = _COMPUTED.get(algorithm)
    return Checksum(algorithm, base64.b64encode(digest(body)).decode()) if digest else None


def composite(checksums: Iterable[Checksum], algorithm: str) -> Checksum | None:
    """The checksum of checksums that an object of several parts has, with their number."""
    values = [base64.b64decode(checksum.value) for checksum in checksums]
    whole = computed(algorithm, b"".join(values))
    return Checksum(algorithm, f"{whole.value}-{len(values)}") if whole else None


def declared(headers: Mapping[str, str], raw_body: bytes = b"") -> Checksum | None:
    """The checksum in a request's headers or behind its chunks. Raises S3Refusal for two."""
    found = [
        Checksum(algorithm, headers[HEADER + algorithm])
        for algorithm in ALGORITHMS
        if HEADER + algorithm in headers
    ]
    if len(found) > 1:
        raise S3Refusal(
            "InvalidRequest",
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        )
    if not found and "x-amz-trailer" in headers:
        trailer = _TRAILER.search(raw_body[-200:])
        found = [Checksum(trailer[1].decode(), trailer[2].decode())] if trailer else []
    return found[0] if found else None


def checked(headers: Mapping[str, str], body: bytes, raw_body: bytes) -> Checksum | None:
    """The declared checksum of a body. Raises S3Refusal when the body is another one."""
    _require_signed_hash(headers, body)
    _require_md5(headers, body)
    checksum = declared(headers, raw_body)
    if checksum is None:
        return None
    _require_form(checksum)
    actual = computed(checksum.algorithm, body)
    if actual is not None and actual != checksum:
        name = checksum.algorithm.upper()
        message = f"The {name} you specified did not match the calculated checksum."
        raise S3Refusal("BadDigest", message)
    return checksum


def _require_form(checksum: Checksum) -> None:
    try:
        digest = base64.b64decode(checksum.value, validate=True)
    except ValueError:
        digest = b""
    sizes = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}
    if len(digest) != sizes[checksum.algorithm]:
        raise S3Refusal("InvalidRequest", f"Value for {checksum.header[0]} header is invalid.")


def _require_signed_hash(headers: Mapping[str, str], body: bytes) -> None:
    signed = headers.get("x-amz-content-sha256", "")
    if _SIGNED_HASH.fullmatch(signed) and hashlib.sha256(body).hexdigest() != signed:
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise S3Refusal("XAmzContentSHA256Mismatch", message)


def _require_md5(headers: Mapping[str, str], body: bytes) -> None:
    given = headers.get("content-md5")
    if given is None:
        return
    actual = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    if given != actual:
        message = "The Content-MD5 you specified did not match what we received."
        raise S3Refusal("BadDigest", message)
