# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an object consists of: its parts, its ETag, its checksum.

The ETag is the MD5 of the body, or of the MD5s of the parts with their number behind; under a KMS
key it is neither.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moto.s3.models import FakeKey

from .checksums import Checksum, composite

_KMS = ("aws:kms", "aws:kms:dsse")


@dataclass(frozen=True)
class Part:
    """One part of an object, as it was uploaded."""

    number: int
    size: int
    etag: str
    checksum: Checksum | None = None


def etag_of(body: bytes, encryption: str | None) -> str:
    """The ETag of a body that came in one piece, or of a part."""
    if encryption in _KMS:
        return secrets.token_hex(16)
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def etag_of_parts(parts: Sequence[Part]) -> str:
    digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def whole_checksum(parts: Sequence[Part], algorithm: str | None) -> Checksum | None:
    """The checksum of the parts' checksums; None where one of them has none."""
    checksums = [part.checksum for part in parts if part.checksum]
    if algorithm is None or len(checksums) < len(parts):
        return None
    return composite(checksums, algorithm)


def set_parts(item: FakeKey, parts: Sequence[Part], algorithm: str | None) -> None:
    """Let an object consist of these parts, with the checksum of their checksums."""
    target: Any = item
    target.emulated_parts = tuple(parts)
    set_checksum(item, whole_checksum(parts, algorithm))


def set_checksum(item: FakeKey, checksum: Checksum | None) -> None:
    target: Any = item
    target.emulated_checksum = checksum
    # moto would show its own idea of it.
    target.checksum_algorithm = target.checksum_value = None


def parts_of(item: FakeKey) -> tuple[Part, ...]:
    """The parts of an object that was uploaded in parts; none otherwise."""
    parts: tuple[Part, ...] = getattr(item, "emulated_parts", ())
    return parts


def checksum_of(item: FakeKey) -> Checksum | None:
    checksum: Checksum | None = getattr(item, "emulated_checksum", None)
    return checksum


def copied_parts(source: FakeKey, target: FakeKey, checksum: Checksum | None) -> None:
    """A copy is one piece, as large as its source, whatever body stands for it."""
    target.contentsize = source.contentsize
    target.multipart = None
    set_checksum(target, checksum)
