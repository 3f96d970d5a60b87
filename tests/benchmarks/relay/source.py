# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The object to copy: random bytes, in a file and at a server, stored as AWS stores an AMI."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boto3.s3.transfer import TransferConfig

from tests.benchmarks.relay.outcome import MIB
from tests.servers.server import BUCKET, BY_NAME, Server

# That of a stored image, as the number of parts in the ETags of known ones tells.
PART = 8 * MIB
METADATA = {"ami-name": "relay", "ami-owner-account": "123456789012"}


@dataclass(frozen=True)
class Source:
    server: Server
    key: str
    file: Path
    size: int
    sha256: str
    small_key: str
    small: Path


@contextlib.contextmanager
def source(server_name: str, size: int, work: Path, data: Path) -> Iterator[Source]:
    with (
        tempfile.TemporaryDirectory(dir=work) as name,
        BY_NAME[server_name](data) as server,
    ):
        file, small = Path(name) / "object", Path(name) / "small"
        small.write_bytes(b"x")
        digest = _fill(file, size)
        client = server.client()
        keys = {file: f"relay/ami-0{size:016x}.bin", small: "relay/ami-00000000000000001.bin"}
        settings = TransferConfig(multipart_chunksize=PART, max_concurrency=2)
        for path, key in keys.items():
            more = {"Metadata": METADATA}
            client.upload_file(str(path), BUCKET, key, ExtraArgs=more, Config=settings)
        yield Source(server, keys[file], file, size, digest, keys[small], small)


def _fill(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while left := size - file.tell():
            chunk = os.urandom(min(PART, left))
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()
