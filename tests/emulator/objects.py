# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The S3 side of store and restore, on moto's buckets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, S3Backend, s3_backends

from .choices import PART_BYTES
from .clock import to_datetime
from .object_parts import Part, etag_of, etag_of_parts, set_parts

ARCHIVE_CLASSES = ("GLACIER", "DEEP_ARCHIVE")
THAWED = "thawed"


def find_bucket(name: str) -> FakeBucket | None:
    """The bucket of this name, whichever account it belongs to."""
    return bucket_backend(name).buckets[name] if name in s3_backends.bucket_accounts else None


def bucket_backend(name: str) -> S3Backend:
    """The account's part of S3 that holds an existing bucket."""
    partition, account = s3_backends.bucket_accounts[name]
    return s3_backends[account][partition]


def find_object(bucket: str, key: str) -> FakeKey | None:
    """The current version of an object; None when it is missing or deleted."""
    found = find_bucket(bucket)
    item = found.keys.get(key) if found else None
    return None if item is None or isinstance(item, FakeDeleteMarker) else item


def find_version(bucket: str, key: str, version: str | None) -> FakeKey | None:
    """One version of an object, or the current one; None when it is missing or deleted."""
    if version is None:
        return find_object(bucket, key)
    found = find_bucket(bucket)
    versions = found.keys.getlist(key, []) if found else []
    return next((item for item in versions if _is_version(item, version)), None)


def _is_version(item: Any, version: str) -> bool:
    return isinstance(item, FakeKey) and item.version_id == version


def tags_of(item: FakeKey) -> dict[str, str]:
    tagger = s3_backends[item.account_id][item.partition].tagger
    return dict(tagger.get_tag_dict_for_resource(item.arn))


def copies_of(bucket: str, image_id: str, delete_markers_count: bool) -> Iterator[str]:
    """The keys under which a bucket holds an AMI, under any path.

    AWS refuses "multiple copies of an AMI in the same S3 bucket"; that another path of the
    same bucket counts is how we read it.
    """
    found = find_bucket(bucket)
    for key in list(found.keys) if found else []:
        if key.rpartition("/")[2] != f"{image_id}.bin":
            continue
        if delete_markers_count or find_object(bucket, key):
            yield key


def archived(item: FakeKey) -> bool:
    """Whether S3 would answer InvalidObjectState to a read."""
    restored = getattr(item, "emulated_restore", None) == THAWED
    tier = getattr(item, "emulated_archive_status", None)
    return not restored and (item.storage_class in ARCHIVE_CLASSES or bool(tier))


def write_stored_image(
    bucket: FakeBucket,
    key: str,
    body: bytes,
    shown_size: int | None,
    tags: dict[str, str],
    metadata: dict[str, str],
    moment: float,
) -> FakeKey:
    """Put the finished object into the bucket, as a completed multipart upload.

    With a size to show that is not the body's, its parts are made up.
    """
    backend = bucket_backend(bucket.name)
    item = backend.put_object(bucket.name, key, body, disable_notification=True)
    size = max(len(body), shown_size or 0)
    parts = _parts(body, size, item.encryption)
    set_parts(item, parts, algorithm=None)
    _set_etag(item, etag_of_parts(parts))
    item.contentsize = size
    item.last_modified = to_datetime(moment)
    item.set_metadata({f"x-amz-meta-{name}": value for name, value in metadata.items()})
    if tags:
        backend.put_object_tagging(item, tags)
    return item


def _parts(body: bytes, size: int, encryption: str | None) -> list[Part]:
    starts = range(0, size, PART_BYTES)
    return [
        Part(
            number,
            min(PART_BYTES, size - start),
            etag_of(body[start : start + PART_BYTES], encryption),
        )
        for number, start in enumerate(starts, 1)
    ]


def _set_etag(item: Any, etag: str) -> None:
    item._etag = etag


def set_storage_class(
    item: FakeKey, storage_class: str, archive_status: str | None, restore: str | None
) -> None:
    """Archive an object, or let it thaw: `restore` is `thawing`, `thawed` or None."""
    state: Any = item
    state.set_storage_class(storage_class)
    state.emulated_archive_status = archive_status
    state.emulated_restore = restore


def let_happen(event: str, bucket: str, key: str) -> None:
    """What somebody else does to an object while it is being read or written."""
    _EVENTS[event](bucket, key)


def _abort_uploads(bucket: str, key: str) -> None:
    """What a lifecycle rule does to unfinished uploads."""
    uploads = bucket_backend(bucket).get_bucket(bucket).multiparts
    for upload_id in [name for name, upload in uploads.items() if upload.key_name == key]:
        del uploads[upload_id]


def _change_object(bucket: str, key: str) -> None:
    """Overwrite an object with another one of the same size and with the same metadata."""
    item = find_object(bucket, key)
    if item is None:
        return
    body = bytes(byte ^ 255 for byte in item.value[:1]) + item.value[1:]
    changed = bucket_backend(bucket).put_object(bucket, key, body, disable_notification=True)
    changed.set_metadata(dict(item.metadata))


def _delete_object(bucket: str, key: str) -> None:
    bucket_backend(bucket).delete_object(bucket, key)


_EVENTS = {
    "abort_uploads": _abort_uploads,
    "change_object": _change_object,
    "delete_object": _delete_object,
}
