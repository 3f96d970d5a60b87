# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of a copy share: two sides that end at an S3 in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ansible_collections.amistore.aws.plugins.module_utils._copy import Copier
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import (
    CopyEntry,
    CopyOptions,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    DESTINATION,
    SOURCE,
    Side,
)
from tests.unit.cloud import VirtualClock, Wire
from tests.unit.s3_in_memory import SOURCE_BUCKET, TARGET_BUCKET, S3InMemory, StoredThing

MIB = 1024 * 1024
PART = 5 * MIB
KEY = "dr/ami-0abcdef1234567890.bin"
MANIFEST_KEY = "dr/ami-0abcdef1234567890.json"
RECORD_KEY = "dr/ami-0abcdef1234567890.copy.json"
BODY = b"".join(bytes([number]) * PART for number in range(3)) + b"the end"
"""Three whole parts and a short one."""


def failing(refusal: Exception) -> Callable[[Any], None]:
    def fail(_params: Any) -> None:
        raise refusal

    return fail


def passing(_params: Any) -> None:
    """Let a call through."""


class Relay:
    """Copies of one key between two buckets of an S3 in memory."""

    def __init__(self, wire: Wire, s3: S3InMemory, clock: VirtualClock) -> None:
        self.wire, self.s3, self.clock = wire, s3, clock
        self.options = CopyOptions(
            SOURCE_BUCKET, TARGET_BUCKET, method="streaming", concurrency=1, wait_timeout=3600
        )
        self.source_tls = True
        self.destination_endpoint: str | None = None
        self.warnings: list[str] = []

    def store(self, body: bytes = BODY, key: str = KEY, part: int = PART, **facts: Any) -> None:
        """Put an object at the source, uploaded in parts."""
        whole = len(body) <= part
        thing = StoredThing(body, **facts) if whole else StoredThing.in_parts(body, part, **facts)
        self.s3.put(key, thing)

    def side(self, name: str, bucket: str, deadline: float) -> Side:
        client = self.wire.clients["s3"]
        return Side(name, client, bucket, self.clock, deadline)

    def copier(self, **options: Any) -> Copier:
        wanted = replace(self.options, **options)
        deadline = self.clock.now() + wanted.wait_timeout
        source = self.side(SOURCE, SOURCE_BUCKET, deadline)
        source.verifies = self.source_tls
        destination = self.side(DESTINATION, TARGET_BUCKET, deadline)
        destination.custom_endpoint = self.destination_endpoint
        return Copier(Means(source, destination, wanted, self.clock))

    def copy(self, key: str = KEY, target: str | None = None, **options: Any) -> CopyEntry:
        copier = self.copier(**options)
        entry = CopyEntry(key, target or key)
        copier.copy(entry)
        self.warnings = copier.means.warnings
        return entry

    def bodies_read(self) -> list[str]:
        """The keys whose bodies were read, manifests and records left out."""
        keys = [params["Key"] for params in self.s3.cloud.params("GetObject")]
        return [key for key in keys if not key.endswith(".json")]
