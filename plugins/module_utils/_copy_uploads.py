# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unfinished uploads at the destination: which are ours, what they hold, how they begin and end.

S3 does not tell what an unfinished upload was begun for. So each carries a mark: a part under the
last number in use, which is never made part of the object, and whose checksum tells source,
version, part size and settings.
"""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass, field, replace
from datetime import datetime

from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, error_code
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import (
    MARK_PART_NUMBER,
    TRIAL_PART_NUMBER,
    Layout,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import SentPart, sha256_of
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    DAMAGE_CODES,
    Side,
    UploadGoneError,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_together import together

Listed = t.Mapping[str, t.Any]
"""A part, as S3 lists it."""

MARK_SIZE = 1024
TRIAL = b"wrong"


@dataclass
class Upload:
    """An unfinished upload of ours; `parts` are those that the server has acknowledged."""

    upload_id: str
    parts: dict[int, SentPart] = field(default_factory=dict)
    initiated: datetime | None = None
    latest: datetime | None = None
    """When its last part came, its mark included."""
    marked: bool = False
    keeps_checksums: bool = True
    """The server says that it keeps the SHA-256 of parts."""
    with_checksums: bool = False
    """It was begun with checksums, and completing it takes those of all parts."""
    checks: bool = False
    """Whether the server was seen to refuse a part with a wrong checksum."""
    uses_kms: bool = False
    """Its ETags say nothing about the content."""
    listed: frozenset[int] = frozenset()
    """Parts of earlier runs: all that is known of them is what the server lists."""
    unsure: frozenset[int] = frozenset()
    """Parts of earlier runs whose checksum was made of the source anew."""
    resent: frozenset[int] = frozenset()
    """Parts that another run has sent meanwhile, with no more than the server's word for it."""

    @property
    def in_order(self) -> list[SentPart]:
        """The parts as they follow one another in the object."""
        return [self.parts[number] for number in sorted(self.parts)]


@dataclass(frozen=True)
class Unfinished:
    """The uploads under one key that carry a mark of ours."""

    fitting: Upload | None = None
    """The one for this very source, version, part size and settings, with the most parts."""
    others: tuple[Upload, ...] = ()


def mark(digest: str) -> bytes:
    return f"amistore.aws unfinished copy {digest}".ljust(MARK_SIZE).encode()


def begun(side: Side, key: str) -> list[Upload]:
    """Return all unfinished uploads under the key."""
    return list(_uploads(side, key))


def sort_out(
    side: Side, key: str, uploads: t.Iterable[Upload], digest: str, layout: Layout
) -> Unfinished:
    """Return those of the unfinished uploads under the key that carry a mark of ours."""
    fitting: list[Upload] = []
    others: list[Upload] = []
    for upload in uploads:
        try:
            listed = _listed(side, key, upload)
        except UploadGoneError:
            continue
        seen = _mark_among(listed)
        if seen is None:
            continue
        upload.marked = True
        upload.latest = max(filter(None, (one.get("LastModified") for one in listed)), default=None)
        upload.with_checksums = bool(seen.get("ChecksumSHA256"))
        if _is_mark(seen, digest):
            upload.parts = _fitting_parts(listed, layout)
            upload.listed = frozenset(upload.parts)
        # Without parts there is nothing to go on with, and another run may have just begun it.
        (fitting if upload.parts else others).append(upload)
    fitting.sort(key=lambda upload: len(upload.parts))
    best = fitting.pop() if fitting else None
    return Unfinished(best, tuple(others + fitting))


def _uploads(side: Side, key: str) -> t.Iterator[Upload]:
    params: dict[str, t.Any] = {"Prefix": key}
    while True:
        try:
            page = side.call(
                "list the unfinished uploads of", "list_multipart_uploads", for_key=key, **params
            )
        except UploadGoneError:
            # So answers rclone where there are none.
            return
        for item in page.get("Uploads") or []:
            if item["Key"] == key:
                yield Upload(item["UploadId"], initiated=item.get("Initiated"))
        if not page.get("IsTruncated"):
            return
        params["KeyMarker"] = page["NextKeyMarker"]
        params["UploadIdMarker"] = page["NextUploadIdMarker"]


def _mark_among(listed: t.Iterable[Listed]) -> Listed | None:
    found = {item["PartNumber"]: item for item in listed}
    trial, last = found.get(TRIAL_PART_NUMBER), found.get(MARK_PART_NUMBER)
    # An upload of others may have as many parts, but none before the last is so small.
    if last is None or last["Size"] != MARK_SIZE or (trial and trial["Size"] != len(TRIAL)):
        return None
    return last


def _is_mark(item: Listed, digest: str) -> bool:
    content = mark(digest)
    told = item.get("ChecksumSHA256")
    if told:
        return bool(told == sha256_of(content))
    return bool(_plain(item) == hashlib.md5(content, usedforsecurity=False).hexdigest())


def _fitting_parts(listed: t.Iterable[Listed], layout: Layout) -> dict[int, SentPart]:
    sizes = {part.number: part.size for part in layout.parts}
    return {
        item["PartNumber"]: SentPart(
            item["PartNumber"], item["Size"], _plain(item), item.get("ChecksumSHA256")
        )
        for item in listed
        if item["Size"] == sizes.get(item["PartNumber"])
    }


def _listed(side: Side, key: str, upload: Upload) -> list[Listed]:
    """Return the parts of an upload.

    From the first on, though the mark is the last: asked for those behind a number, SeaweedFS goes
    by their names, and rclone breaks the connection where there are none.
    """
    what = "list the parts of the unfinished upload of"
    listed: list[Listed] = []
    params: dict[str, t.Any] = {}
    while True:
        page = side.call(what, "list_parts", key, UploadId=upload.upload_id, **params)
        listed += page.get("Parts") or []
        if not page.get("IsTruncated"):
            return listed
        params["PartNumberMarker"] = page["NextPartNumberMarker"]


def _plain(item: Listed) -> str:
    return str(item["ETag"]).strip('"')


def begin(
    side: Side, key: str, settings: t.Mapping[str, t.Any], with_checksums: bool = True
) -> Upload:
    """Begin an upload.

    :param with_checksums: have the server keep the checksums of the parts for the object.
    """
    algorithm = {"ChecksumAlgorithm": "SHA256"} if with_checksums else {}
    what = "begin the upload of"
    answer = side.call(what, "create_multipart_upload", key, **algorithm, **settings)
    kind = answer.get("ServerSideEncryption") or settings.get("ServerSideEncryption") or ""
    kept = answer.get("ChecksumAlgorithm") == "SHA256"
    return Upload(
        answer["UploadId"],
        keeps_checksums=kept or not with_checksums,
        with_checksums=kept,
        uses_kms=str(kind).startswith("aws:kms"),
    )


def lists_checksums(side: Side, key: str, upload: Upload) -> bool:
    """Tell whether the server will tell a later run the checksums of parts.

    Without them, that run could not complete an upload that was begun with checksums.
    """
    seen = _mark_among(_listed(side, key, upload))
    return bool(seen and seen.get("ChecksumSHA256"))


def put_mark(side: Side, key: str, upload: Upload, digest: str) -> None:
    """Mark an upload, and find out whether the server looks at checksums at all.

    Where it keeps none, the upload stays without a mark, and no later run can know it for ours:
    rclone makes no object of an upload that has a part beside those of the object.
    """
    if not upload.keeps_checksums:
        return
    content = mark(digest)
    what = "mark the upload of"
    marked, refused = together(
        lambda: side.call(
            what,
            "upload_part",
            key,
            UploadId=upload.upload_id,
            PartNumber=MARK_PART_NUMBER,
            Body=content,
            ChecksumSHA256=sha256_of(content),
        ),
        lambda: upload.checks or side.retry(what, key, lambda: _refuses(side, key, upload)),
    )
    answer = marked()
    upload.checks = refused() and answer.get("ChecksumSHA256") == sha256_of(content)
    upload.uses_kms |= str(answer.get("ServerSideEncryption") or "").startswith("aws:kms")
    upload.marked = True


def _refuses(side: Side, key: str, upload: Upload) -> bool:
    """Tell whether the server refuses a part with a wrong checksum; it belongs to no object."""
    try:
        side.send(
            "mark the upload of",
            "upload_part",
            key,
            UploadId=upload.upload_id,
            PartNumber=TRIAL_PART_NUMBER,
            Body=TRIAL,
            ChecksumSHA256=sha256_of(b"right"),
        )
    except AmiStoreError as error:
        if error_code(error) in DAMAGE_CODES:
            return True
        raise
    return False


def complete(side: Side, key: str, upload: Upload, create_only: bool) -> dict[str, t.Any]:
    """Make the object of the parts.

    :param create_only: fail when something is under the key by now, where botocore can say so.
    """
    parts = []
    for part in upload.in_order:
        entry = {"PartNumber": part.number, "ETag": f'"{part.etag}"'}
        if upload.with_checksums and part.sha256:
            entry["ChecksumSHA256"] = part.sha256
        parts.append(entry)
    return t.cast(
        "dict[str, t.Any]",
        side.call(
            "complete the upload of",
            "complete_multipart_upload",
            key,
            UploadId=upload.upload_id,
            MultipartUpload={"Parts": parts},
            **only_if_missing(side, "CompleteMultipartUpload", create_only),
        ),
    )


def take_over(side: Side, key: str, upload: Upload) -> bool:
    """Take over the ETags of parts that another run has sent meanwhile.

    Two runs that go on with one upload send the same parts, and with KMS a part that is sent again
    has another ETag.

    :return: whether there was anything to take over; never where a part is missing or another one.
    """
    listed = {item["PartNumber"]: item for item in _listed(side, key, upload)}
    taken: dict[int, SentPart] = {}
    untold: set[int] = set()
    for number, part in upload.parts.items():
        item = listed.get(number)
        told = item.get("ChecksumSHA256") if item else None
        if item is None or item["Size"] != part.size or told not in (None, part.sha256):
            return False
        if _plain(item) != part.etag:
            taken[number] = replace(part, etag=_plain(item))
            if not told:
                untold.add(number)
    upload.parts = {**upload.parts, **taken}
    upload.resent |= untold
    return bool(taken)


def only_if_missing(side: Side, operation: str, create_only: bool) -> dict[str, str]:
    """Return the condition that nothing is under the key, where the installed botocore knows it."""
    return {"IfNoneMatch": "*"} if create_only and side.takes(operation, "IfNoneMatch") else {}


def abort(side: Side, key: str, upload: Upload) -> None:
    """Give up an upload of ours, with all its parts."""
    try:
        side.call(
            "abort the unfinished upload of",
            "abort_multipart_upload",
            key,
            UploadId=upload.upload_id,
        )
    except UploadGoneError:
        return
