# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What counts as equal: the sums that S3 and we make of the same bytes."""

from __future__ import annotations

import base64
import hashlib
import re
import typing as t
from dataclasses import dataclass

_MD5_ETAG = re.compile(r"[0-9a-f]{32}(?:-([1-9][0-9]*))?")


@dataclass(frozen=True)
class Proof:
    """How the copy was proved to be equal to the source."""

    source: str
    """How what was read is known to be what the source holds: `etag` (the MD5 sums of its parts
    give its ETag), `sha256` (S3's own checksum), `tls` (pinned, exact lengths, TLS), `read twice`,
    `s3` (S3 copied within its own storage).
    """
    destination: str
    """How what was sent is known to be there: `checksums` (the server refuses a wrong SHA-256 and
    confirmed each), `etag`, `sha256`, `read back`, `s3`.
    """
    parts_read_back: int = 0

    def as_dict(self) -> dict[str, t.Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class SentPart:
    """A part that the destination has acknowledged."""

    number: int
    size: int
    etag: str
    sha256: str | None = None
    """In base64, ours or the one that the server lists; None where neither is known."""
    md5s: tuple[bytes, ...] = ()
    """Of the source's own parts within it; empty where they were not made."""


def parts_in_etag(etag: str) -> int:
    """Return how many parts an ETag made of MD5 sums stands for, 0 for another kind of ETag; one
    for the ETag of a part.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html: with a dash, it is the MD5 sum
    of the parts' sums.
    """
    match = _MD5_ETAG.fullmatch(etag)
    if not match:
        return 0
    return int(match.group(1) or 0) or 1


def etag_of(md5s: t.Sequence[bytes], multipart: bool) -> str:
    """Return the ETag that S3 gives an object whose parts have these MD5 sums."""
    if not multipart:
        return md5s[0].hex() if len(md5s) == 1 else ""
    joined = hashlib.md5(b"".join(md5s), usedforsecurity=False).hexdigest()
    return f"{joined}-{len(md5s)}"


def is_multipart(etag: str) -> bool:
    return "-" in etag


def sha256_of(content: bytes) -> str:
    """Return the checksum as S3 writes it."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def md5_of(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def composite_sha256(checksums: t.Sequence[str | None]) -> str | None:
    """Return S3's checksum of an object whose parts have these; None while one is unknown."""
    known = [base64.b64decode(checksum) for checksum in checksums if checksum]
    if len(known) < len(checksums):
        return None
    joined = base64.b64encode(hashlib.sha256(b"".join(known)).digest()).decode()
    return f"{joined}-{len(known)}"


def same_checksum(ours: str | None, told: str | None) -> bool:
    """Tell whether a server's checksum is ours; the number of parts may be left out."""
    return bool(ours and told) and (told == ours or told == str(ours).rpartition("-")[0])
