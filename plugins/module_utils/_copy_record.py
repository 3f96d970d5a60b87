# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of a copy: a section of the manifest that is written beside the copy, last of all.

Without a manifest at the source, the record alone lies beside the copy, under another key, so that
nothing takes it for a manifest.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

from ansible_collections.amistore.aws.plugins.module_utils import _manifest
from ansible_collections.amistore.aws.plugins.module_utils._aws import COLLECTION_VERSION
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import Seen
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import Proof
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import Side
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    copy_record_key,
    manifest_key,
)
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Manifest

SECTION = "copy"


@dataclass(frozen=True)
class Record:
    """What the `copy` section says; sizes in bytes."""

    source: t.Mapping[str, t.Any]
    """Bucket, key, ETag, version and size of what was copied."""
    etag: str
    """Of the copy."""
    checksum: str | None
    part_size: int | None
    proof: t.Mapping[str, t.Any]
    time: str

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "collection_version": COLLECTION_VERSION,
            "source": dict(self.source),
            "etag": self.etag,
            "checksum": self.checksum,
            "part_size": self.part_size,
            "proof": dict(self.proof),
            "time": self.time,
        }


def source_facts(bucket: str, seen: Seen) -> dict[str, t.Any]:
    return {
        "bucket": bucket,
        "object_key": seen.key,
        "etag": seen.etag,
        "version_id": seen.version_id,
        "size": seen.size,
    }


def make(
    bucket: str,
    source: Seen,
    copy: Seen,
    checksum: str | None,
    part_size: int | None,
    proof: Proof,
    time: str,
) -> Record:
    return Record(
        source_facts(bucket, source), copy.etag, checksum, part_size, proof.as_dict(), time
    )


def read_manifest(side: Side, object_key: str) -> Manifest | None:
    """Return the manifest beside an object, None where there is none.

    :raises ManifestError: for something else under its key.
    """
    key = manifest_key(object_key)
    with side.explaining("read", key):
        content = side.bucket.read(key)
        return None if content is None else _manifest.parse(content, side.bucket.url(key))


def read_record(side: Side, copy: Seen, manifest: Manifest | None) -> Record | None:
    """Return the record of an earlier copy, from the manifest or alone."""
    record = record_in(manifest)
    if record is not None and record.etag == copy.etag:
        return record
    key = copy_record_key(copy.key)
    with side.explaining("read", key):
        content = side.bucket.read(key)
    return _record(_section_of(content)) or record


def record_in(manifest: Manifest | None) -> Record | None:
    return _record(manifest.document.get(SECTION)) if manifest else None


def _record(section: t.Any) -> Record | None:
    if not isinstance(section, dict):
        return None
    return Record(
        source=_mapping(section.get("source")),
        etag=str(section.get("etag") or ""),
        checksum=section.get("checksum"),
        part_size=section.get("part_size"),
        proof=_mapping(section.get("proof")),
        time=str(section.get("time") or ""),
    )


def _section_of(content: bytes | None) -> t.Any:
    try:
        document = json.loads(content) if content else None
    except (ValueError, RecursionError):
        return None
    return document.get(SECTION) if isinstance(document, dict) else None


def _mapping(value: t.Any) -> t.Mapping[str, t.Any]:
    return value if isinstance(value, dict) else {}


def fits(record: Record | None, bucket: str, source: Seen, copy: Seen | None) -> bool:
    """Tell whether a record proves that this copy was made of this source, as both are now."""
    if record is None or copy is None:
        return False
    return is_of(record, bucket, source) and record.etag == copy.etag and copy.size == source.size


def is_of(record: Record, bucket: str, source: Seen) -> bool:
    """Tell whether a record is of a copy of this source, as it is now."""
    return dict(record.source) == source_facts(bucket, source)


def manifest_of_copy(
    manifest: Manifest, record: Record, bucket: str, copy: Seen, tag_keys: t.Iterable[str]
) -> Manifest:
    """Return the source's manifest as it belongs beside the copy.

    Only what tells the place is brought up to date; everything about the image stays as it was.
    """
    keys = sorted({*manifest.object_tag_keys, *tag_keys})
    placed = Manifest(
        {
            **manifest.document,
            "bucket": bucket,
            "object_key": copy.key,
            "object_tag_keys": keys,
            SECTION: record.as_dict(),
        }
    )
    if describes_another(manifest, str(record.source["etag"])):
        return placed
    return placed.completed(copy.etag, copy.size, manifest.task_start_time)


def describes_another(manifest: Manifest, etag: str) -> bool:
    """Tell whether a manifest was written for another object than the one beside it."""
    return manifest.etag not in (None, etag)


def lone_record(record: Record, bucket: str, copy: Seen) -> bytes:
    """Return the record of a copy whose source has no manifest, as readable JSON."""
    document = {"bucket": bucket, "object_key": copy.key, SECTION: record.as_dict()}
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
