# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The body of a stored image: opaque to everyone but a restore, which needs nothing else."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from dataclasses import asdict, dataclass, field
from typing import Any

from .choices import COMPRESSED_SHARE

MAGIC = b"EMULATED-AMI\x00\x02"
_LENGTH = 8
_DIGEST = hashlib.sha256().digest_size


class NotAStoredImage(ValueError):
    """The object's body was not written by a store task."""


@dataclass(frozen=True)
class StoredDisk:
    """One entry of the block device mapping with what its snapshot held."""

    device: str
    size: int | None = None
    volume_type: str | None = None
    iops: int | None = None
    throughput: int | None = None
    delete_on_termination: bool = True
    virtual_name: str | None = None
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredImage:
    """All that comes back from an object: everything but ids, sharing and encryption keys."""

    image_id: str
    region: str
    owner: str
    registered: float
    stored: float
    name: str
    description: str
    attributes: dict[str, Any]
    tags: dict[str, str]
    disks: tuple[StoredDisk, ...]

    @property
    def gib(self) -> int:
        return sum(disk.size or 0 for disk in self.disks)


def pack(image: StoredImage, least: int = 0) -> bytes:
    """The body, filled up to so many bytes with what stands for the contents of disks."""
    text = gzip.compress(json.dumps(asdict(image), sort_keys=True).encode(), mtime=0)
    start = MAGIC + len(text).to_bytes(_LENGTH, "big") + text
    filling = max(0, least - len(start) - _DIGEST)
    whole = start + random.Random(image.image_id).randbytes(filling)
    return whole + hashlib.sha256(whole).digest()


def unpack(body: bytes) -> StoredImage:
    """Raises NotAStoredImage for anything that `pack` did not make, to the last bit."""
    if not body.startswith(MAGIC):
        raise NotAStoredImage("not a stored AMI")
    if hashlib.sha256(body[:-_DIGEST]).digest() != body[-_DIGEST:]:
        raise NotAStoredImage("a damaged stored AMI")
    start = len(MAGIC) + _LENGTH
    size = int.from_bytes(body[len(MAGIC) : start], "big")
    values = json.loads(gzip.decompress(body[start : start + size]))
    disks = tuple(StoredDisk(**disk) for disk in values.pop("disks"))
    return StoredImage(disks=disks, **values)


def believable_size(gib: int) -> int:
    """About as many bytes as a compressed AMI of this size has."""
    return int(gib * 1024**3 * COMPRESSED_SHARE)
