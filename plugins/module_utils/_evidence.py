# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The evidence beside a stored image: an AMI was restored from this very object, and what came back
was compared with the manifest.

A stored image that exists is not yet a backup that restores. Who deletes the original on the
strength of the stored image asks for this.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    COLLECTION_VERSION,
    AmiStoreError,
    answered_at,
    error_text,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket

SCHEMA = 1
SUFFIX = ".verified.json"
# How far AWS's own clocks may be apart: it accepts signatures of requests within this.
SKEW = timedelta(minutes=15)


class EvidenceError(AmiStoreError):
    """The evidence could not be written, or would not have been true."""


@dataclass(frozen=True)
class Restored:
    """The AMI that was restored and compared; `created` by AWS's clock."""

    image_id: str
    account_id: str | None
    region: str
    created: datetime


@dataclass(frozen=True)
class Evidence:
    """What the object says; both times by AWS's clock."""

    bucket: str
    object_key: str
    etag: str
    version_id: str | None
    """None where the bucket is not versioned."""
    image_id: str
    account_id: str | None
    region: str
    restored_at: datetime
    """When the restore began: the object could be read then."""
    verified_at: datetime
    collection_version: str

    def dump(self) -> bytes:
        """Return it as readable JSON."""
        document = {"schema": SCHEMA, **asdict(self)}
        for name in ("restored_at", "verified_at"):
            document[name] = document[name].isoformat()
        return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


@dataclass(frozen=True)
class Unreadable:
    """Something is there, or may be, and what it says is not known."""

    reason: str
    replaceable: bool = False
    """Whether it is evidence all the same, of another place: a copy that came along."""


@dataclass(frozen=True)
class Recorded:
    """What became of the evidence of one restore."""

    verified_at: datetime | None = None
    reason: str = ""
    """Why there is none of this restore."""

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "verified_at": self.verified_at.isoformat() if self.verified_at else None,
            "reason": self.reason or None,
        }


def evidence_key(object_key: str) -> str:
    """Return the key of the evidence beside a stored image; the manifest's is built the same
    way.
    """
    return object_key.removesuffix(".bin") + SUFFIX


def covers(evidence: Evidence, etag: str, now: datetime, within_days: float) -> bool:
    """Tell whether this very object was restored and verified within the last days.

    | ETag    | restored and verified      | covers |
    |---------|----------------------------|--------|
    | another | any                        | no     |
    | same    | either before the days     | no     |
    | same    | either in the future       | no     |
    | same    | both within the days       | yes    |

    The days count from the older of the two: to compare an old restore once more shows nothing new
    about the object.

    :param now: by AWS's clock, which may differ from that of the answer with the evidence by SKEW.
    """
    if evidence.etag != etag:
        return False
    ages = (now - evidence.restored_at, now - evidence.verified_at)
    return min(ages) >= -SKEW and max(ages) <= timedelta(days=within_days)


def read_evidence(bucket: Bucket, object_key: str) -> Evidence | Unreadable | None:
    """Return the evidence beside a stored image, None where S3 says that there is none."""
    key = evidence_key(object_key)
    try:
        content = bucket.read(key)
    except AnsibleAWSError as error:
        return Unreadable(error_text(error))
    if content is None:
        return None
    found = parse(content, bucket.url(key))
    if isinstance(found, Unreadable) or (found.bucket, found.object_key) == (
        bucket.name,
        object_key,
    ):
        return found
    return Unreadable(
        f"{bucket.url(key)} was written for s3://{found.bucket}/{found.object_key}, not for the"
        " object beside it",
        replaceable=True,
    )


def write_evidence(
    bucket: Bucket, object_key: str, etag: str, restored: Restored, dry_run: bool = False
) -> Evidence:
    """Write that a restore of this object was found equal to its manifest, just now.

    The object is looked at first: what has another ETag by now was not restored.

    :param dry_run: look only, write nothing.
    :raises EvidenceError: when it would not be true.
    """
    answer = bucket.head_answer(object_key)
    seen = None if answer is None else bucket.stored_object(object_key, answer).etag
    if answer is None or seen != etag:
        became = "is gone" if answer is None else f"was replaced (ETag {etag}, now {seen})"
        raise EvidenceError(f"{bucket.url(object_key)} {became}, so nothing is proved about it")
    now = answered_at(answer)
    if now is None:
        raise EvidenceError("S3's answer has no date, so when this was verified is not known")
    evidence = Evidence(
        bucket=bucket.name,
        object_key=object_key,
        etag=etag,
        version_id=_version(answer),
        image_id=restored.image_id,
        account_id=restored.account_id,
        region=restored.region,
        restored_at=restored.created,
        verified_at=now,
        collection_version=COLLECTION_VERSION,
    )
    if not dry_run:
        bucket.write(evidence_key(object_key), evidence.dump())
    return evidence


def parse(content: bytes, where: str) -> Evidence | Unreadable:
    """Read evidence, wherever it lies.

    :param where: names the object in the reason.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        return Unreadable(f"{where} is not JSON: {error}")
    if not isinstance(document, dict) or not isinstance(document.get("schema"), int):
        return Unreadable(f"{where} is not evidence of amistore.aws: it has no schema")
    if document["schema"] > SCHEMA:
        return Unreadable(
            f"{where} has schema {document['schema']}, this version of amistore.aws reads up to"
            f" {SCHEMA}: update the collection"
        )
    try:
        return _evidence(document)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        return Unreadable(f"{where} is damaged: {error}")


def _evidence(document: t.Mapping[str, t.Any]) -> Evidence:
    texts = ("bucket", "object_key", "etag", "image_id", "region", "collection_version")
    wrong = [name for name in texts if not (document[name] and isinstance(document[name], str))]
    if wrong:
        raise ValueError(f"no text in {', '.join(wrong)}")
    return Evidence(
        **{name: document[name] for name in texts},
        version_id=document["version_id"],
        account_id=document["account_id"],
        restored_at=_moment(document["restored_at"]),
        verified_at=_moment(document["verified_at"]),
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment.astimezone(timezone.utc)


def _version(answer: t.Mapping[str, t.Any]) -> str | None:
    """Return the version of the object; what a suspended bucket overwrites has none."""
    version = answer.get("VersionId")
    return None if version in (None, "null") else str(version)
