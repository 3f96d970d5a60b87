# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is copied: an object as S3 shows it, with everything that a copy must bring along."""

from __future__ import annotations

import hashlib
import json
import typing as t
from dataclasses import dataclass, field, replace
from functools import partial

from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import parts_in_etag
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    FORBIDDEN_CODES,
    LOOK,
    CopyError,
    Side,
    StoppedError,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_together import together
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import StoredObject

# As HeadObject answers them and CreateMultipartUpload takes them.
CONTENT_HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "WebsiteRedirectLocation",
)
COPY_OF = "amistore-copy-of"
"""The user metadata that tells which object a copy was made from, as a digest."""
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html, in bytes.
MOST_METADATA = 2048
# A HEAD answer has no body, so that botocore takes its status for the code.
CANNOT_TELL_CODES = FORBIDDEN_CODES | {
    "400",
    "405",
    "416",
    "501",
    "InvalidPartNumber",
    "InvalidRange",
    "MethodNotAllowed",
    "NotImplemented",
}
"""What a server answers that does not know numbers of parts or versions, or may not tell them."""


@dataclass(frozen=True)
class Seen:
    """An object as HeadObject shows it."""

    stored: StoredObject
    version_id: str | None = None
    metadata: t.Mapping[str, str] = field(default_factory=dict)
    headers: t.Mapping[str, t.Any] = field(default_factory=dict)
    sha256: str | None = None
    """S3's own checksum, with the number of parts behind a dash where it is one of parts."""
    part_size: int | None = None
    """In bytes, of the parts that it was uploaded in; None where it is not known."""
    pinned: bool = False
    """Whether this very version may be read by its id."""
    unreadable_metadata: bool = False

    @property
    def key(self) -> str:
        return self.stored.key

    @property
    def size(self) -> int:
        return self.stored.size

    @property
    def etag(self) -> str:
        return self.stored.etag

    @property
    def has_own_md5(self) -> bool:
        """Whether the ETag is made of MD5 sums of the content; with KMS and SSE-C it is not."""
        kind = self.stored.encryption.get("server_side_encryption") or ""
        opaque = kind.startswith("aws:kms") or self.stored.customer_key
        return not opaque and parts_in_etag(self.etag) > 0

    @property
    def pin(self) -> dict[str, str]:
        """The parameters that make S3 answer with this very object or not at all."""
        version = {"VersionId": self.version_id} if self.pinned and self.version_id else {}
        return {"IfMatch": f'"{self.etag}"', **version}


def look(side: Side, key: str) -> Seen | None:
    """Return the object with everything that is known about it, None where it does not exist.

    :raises CopyError: says what to do.
    """
    with side.explaining(LOOK, key):
        answer = side.bucket.head_answer(key, ChecksumMode="ENABLED")
    if answer is None:
        return None
    return Seen(
        stored=side.bucket.stored_object(key, answer),
        version_id=_version(answer),
        metadata=dict(answer.get("Metadata") or {}),
        headers={name: answer[name] for name in CONTENT_HEADERS if answer.get(name)},
        sha256=answer.get("ChecksumSHA256"),
        unreadable_metadata=bool(answer.get("MissingMeta")),
    )


def look_closely(side: Side, seen: Seen) -> Seen:
    """Return the source of a copy, with its part size and whether its version can be pinned.

    :raises SourceChangedError: it is not what was seen any more.
    :raises CopyError: the server does not answer now. Without the part size, the copy would be cut
        in another way, and nobody would go on with an earlier run's unfinished upload.
    """
    if not seen.size:
        return seen
    version = {"VersionId": seen.version_id} if seen.version_id else {}
    count = parts_in_etag(seen.etag)
    numbers = (1, count) if count > 1 else (1,)
    looks = _look_at_parts(side, seen, numbers, version) if version else [None]
    pinned = looks[0] is not None
    if count <= 1:
        return replace(seen, pinned=pinned, part_size=seen.size)
    if not pinned:
        looks = _look_at_parts(side, seen, numbers, {})
    first, last = looks
    size = int((first or {}).get("ContentLength") or seen.size)
    known = -(-seen.size // size) == count and _is_even(seen, size, count, last)
    return replace(seen, pinned=pinned, part_size=size if known else None)


def size_of_part(side: Side, seen: Seen, number: int) -> int | None:
    """Return the size that S3 tells of a part of the source, None where it cannot tell.

    :raises CopyError: says what to do.
    """
    version = {"VersionId": seen.version_id} if seen.pinned and seen.version_id else {}
    answer = _look_at_part(side, seen, number, version)
    return int(answer["ContentLength"]) if answer else None


def _is_even(seen: Seen, size: int, count: int, last: t.Mapping[str, t.Any] | None) -> bool:
    """Tell whether the last part has the size that it has when all others are equally large, as
    far as the server tells.

    To look at the others as well would take thousands of requests. Where they are not, the sums of
    the copy do not come out, see _copy_prove_source.
    """
    return last is None or bool(last["ContentLength"] == seen.size - (count - 1) * size)


def _look_at_parts(
    side: Side, seen: Seen, numbers: t.Sequence[int], version: t.Mapping[str, t.Any]
) -> list[t.Mapping[str, t.Any] | None]:
    looks = [partial(_look_at_part, side, seen, number, version) for number in numbers]
    return [look() for look in together(*looks)]


def _look_at_part(
    side: Side, seen: Seen, number: int, version: t.Mapping[str, t.Any]
) -> t.Mapping[str, t.Any] | None:
    """Return S3's answer about a part, None where it cannot tell."""
    try:
        return t.cast(
            "t.Mapping[str, t.Any]",
            side.call(
                "look at the parts of",
                "head_object",
                seen.key,
                PartNumber=number,
                IfMatch=f'"{seen.etag}"',
                **version,
            ),
        )
    except StoppedError:
        raise
    except CopyError as error:
        # Only a convenience: without it, the ETag alone pins the source, or cannot be checked.
        if error.code in CANNOT_TELL_CODES:
            return None
        raise


def _version(answer: t.Mapping[str, t.Any]) -> str | None:
    version = answer.get("VersionId")
    return None if version in (None, "", "null") else str(version)


def source_identity(bucket: str, seen: Seen) -> str:
    """Return a digest of what a copy is made from."""
    return digest_of(
        {
            "bucket": bucket,
            "key": seen.key,
            "etag": seen.etag,
            "version_id": seen.version_id,
            "size": seen.size,
        }
    )


def digest_of(facts: t.Mapping[str, t.Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def metadata_of_copy(source_bucket: str, seen: Seen) -> dict[str, str]:
    """Return the source's user metadata and, where there is room, what it is a copy of."""
    metadata = {name: value for name, value in seen.metadata.items() if name != COPY_OF}
    marked = {**metadata, COPY_OF: source_identity(source_bucket, seen)}
    length = sum(len(name) + len(value.encode()) for name, value in marked.items())
    return marked if length <= MOST_METADATA else metadata


def may_be_made_of(source_bucket: str, seen: Seen, copy: Seen) -> bool:
    """Tell whether it is worth reading both: the object looks like a copy of this very source.

    Where there was no room to say so, it has nothing but the source's own metadata, two thousand
    bytes of them.
    """
    wanted = metadata_of_copy(source_bucket, seen)
    if copy.size != seen.size:
        return False
    if COPY_OF in wanted:
        return copy.metadata.get(COPY_OF) == wanted[COPY_OF]
    return dict(copy.metadata) == wanted
