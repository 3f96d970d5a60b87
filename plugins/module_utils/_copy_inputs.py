# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a copy is asked for: options, objects, and what is told about each."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from enum import Enum

from ansible_collections.amistore.aws.plugins.module_utils._aws import InputError
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import (
    LARGEST_PART,
    MIB,
    SMALLEST_PART,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_transfer import Counts
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    check_location,
    clean_bucket,
    clean_bucket_owner,
    clean_image_ids,
    clean_object_tags,
    clean_prefix,
    given,
    image_id_of,
    image_key,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import StoredObject

AUTO, SERVER_SIDE, STREAMING = "auto", "server_side", "streaming"
METHODS = (AUTO, SERVER_SIDE, STREAMING)
# Those that CreateRestoreImageTask can read.
STORAGE_CLASSES = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR")
WAYS = ("object_keys", "image_ids", "all")
MOST_CONCURRENCY = 256


class State(Enum):
    """What became of one object."""

    NOT_COPIED = "NotCopied"
    COPIED = "Copied"
    PRESENT = "Present"
    FAILED = "Failed"


@dataclass
class CopyEntry:
    """One object, its two keys, and what became of it; sizes in bytes."""

    source_key: str
    key: str
    state: State = State.NOT_COPIED
    reason: str = ""
    changed: bool = False
    identity: str = ""
    """A digest of the source as it was seen."""
    manifest_key: str | None = None
    size: int | None = None
    parts: int = 0
    parts_reused: int = 0
    counts: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    method: str | None = None
    method_reason: str = ""
    checksum: str | None = None
    proof: t.Mapping[str, t.Any] | None = None
    tags_before: dict[str, str] = field(default_factory=dict)
    tags_after: dict[str, str] = field(default_factory=dict)

    def fail(self, reason: str) -> None:
        self.state, self.reason = State.FAILED, reason


@dataclass(frozen=True)
class CopyOptions:
    """The options of a task, cleaned; times in seconds, sizes in bytes."""

    source_bucket: str
    bucket: str
    source_prefix: str = ""
    prefix: str | None = None
    """What takes the place of `source_prefix`; None keeps the keys."""
    source_expected_bucket_owner: str | None = None
    expected_bucket_owner: str | None = None
    overwrite: bool = False
    tags: t.Mapping[str, str] | None = None
    storage_class: str | None = None
    kms_key_id: str | None = None
    method: str = AUTO
    concurrency: int = 64
    memory: int = 400 * MIB
    part_size: int | None = None
    wait_timeout: int = 86400
    keep_unfinished: bool = True
    abort_unfinished_after: int = 7
    """Days."""
    check_mode: bool = False

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], check_mode: bool) -> CopyOptions:
        """Return the options of a task.

        :raises InputError: names the value that is wrong.
        """
        prefix = given(params["prefix"])
        return cls(
            source_bucket=clean_bucket(params["source_bucket"], "source_bucket"),
            bucket=clean_bucket(params["bucket"]),
            source_prefix=clean_prefix(params["source_prefix"], "source_prefix"),
            prefix=None if prefix is None else clean_prefix(prefix),
            source_expected_bucket_owner=clean_bucket_owner(
                params["source_expected_bucket_owner"], "source_expected_bucket_owner"
            ),
            expected_bucket_owner=clean_bucket_owner(params["expected_bucket_owner"]),
            overwrite=params["overwrite"],
            tags=clean_object_tags(params["tags"]),
            storage_class=given(params["storage_class"]),
            kms_key_id=given(params["kms_key_id"]),
            method=params["method"],
            concurrency=_clean_concurrency(params["concurrency"]),
            memory=_clean_memory(params["memory"]),
            part_size=_clean_part_size(params["part_size"]),
            wait_timeout=_clean_wait_timeout(params["wait_timeout"]),
            keep_unfinished=params["keep_unfinished"],
            abort_unfinished_after=_clean_days(params["abort_unfinished_after"]),
            check_mode=check_mode,
        )

    def key_of(self, source_key: str) -> str:
        """Return the key that an object gets at the destination.

        :raises InputError: when it does not lie under `source_prefix`.
        """
        start = f"{self.source_prefix}/" if self.source_prefix else ""
        if not source_key.startswith(start):
            raise InputError(
                f"object_keys: {source_key!r} does not lie under source_prefix"
                f" {self.source_prefix!r}."
            )
        if self.prefix is None:
            return source_key
        return f"{self.prefix}/{source_key[len(start) :]}"

    @property
    def encryption(self) -> dict[str, str]:
        """The parameters that have S3 encrypt what is written with the task's key."""
        if not self.kms_key_id:
            return {}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key_id}


def _clean_concurrency(value: int) -> int:
    if not 1 <= value <= MOST_CONCURRENCY:
        raise InputError(
            f"concurrency {value}: give the number of parts at a time, 1 to {MOST_CONCURRENCY}."
        )
    return value


def _clean_memory(value: int) -> int:
    if value < 1:
        raise InputError(f"memory {value} holds no part: give MiB, at least 1.")
    return value * MIB


def _clean_part_size(value: int | None) -> int | None:
    if value is None:
        return None
    size = value * MIB
    if not SMALLEST_PART <= size <= LARGEST_PART:
        raise InputError(
            f"part_size {value}: S3 takes parts of {SMALLEST_PART // MIB} to"
            f" {LARGEST_PART // MIB} MiB."
        )
    return size


def _clean_wait_timeout(value: int) -> int:
    if value < 1:
        raise InputError(f"wait_timeout {value} leaves no time to copy: give seconds, at least 1.")
    return value


def _clean_days(value: int) -> int:
    if value < 1:
        raise InputError(
            f"abort_unfinished_after {value}: give days, at least 1, since another run may be at"
            " work on a younger one."
        )
    return value


def chosen_way(params: t.Mapping[str, t.Any]) -> str | None:
    """Return how the task says what to copy; None for an empty list, which asks for nothing.

    :raises InputError: when none or several ways are used.
    """
    used = [way for way in WAYS if _is_used(params, way)]
    if len(used) > 1:
        raise InputError(f"{' and '.join(used)} are both given: say what to copy in one way.")
    if used:
        return used[0]
    if any(params.get(way) is not None for way in ("object_keys", "image_ids")):
        return None
    raise InputError(f"Nothing says what to copy: give one of {', '.join(WAYS)}.")


def _is_used(params: t.Mapping[str, t.Any], way: str) -> bool:
    value = params.get(way)
    return bool(value) if way == "all" else any(given(item) for item in value or ())


def targets(params: t.Mapping[str, t.Any], options: CopyOptions) -> list[CopyEntry]:
    """Return the objects of a task that names them; `all` names none, see `found`.

    :raises InputError: names the value that is wrong.
    """
    way = chosen_way(params)
    if way == "object_keys":
        keys = [_clean_key(key) for key in params["object_keys"] if given(key)]
    elif way == "image_ids":
        ids = clean_image_ids(params["image_ids"])
        keys = [image_key(options.source_prefix, image_id) for image_id in ids]
    else:
        keys = []
    return [_entry(key, options) for key in dict.fromkeys(keys)]


def found(options: CopyOptions, listed: t.Iterable[StoredObject]) -> list[CopyEntry]:
    """Return the entries of `all`: every stored image under the prefix."""
    return [_entry(item.key, options) for item in listed if image_id_of(item.key)]


def listing_start(options: CopyOptions) -> str:
    """Return what the keys of `all` begin with."""
    return f"{options.source_prefix}/" if options.source_prefix else ""


def _entry(source_key: str, options: CopyOptions) -> CopyEntry:
    key = options.key_of(source_key)
    check_location(options.bucket, key)
    return CopyEntry(source_key, key)


def _clean_key(value: t.Any) -> str:
    key = str(value)
    if key.startswith(("/", "s3://")):
        raise InputError(
            f"object_keys: {key!r}: give the key alone, without bucket and leading slash."
        )
    if key.endswith(".json"):
        raise InputError(
            f"object_keys: {key!r} looks like a manifest, which comes along by itself: give the key"
            " of the stored image."
        )
    return key
