# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Multipart uploads with a checksum for each part, pages, and the errors that S3 has for them.

moto neither checks nor keeps checksums of parts, gives no pages of uploads, dates every upload back
to 2010, and breaks when an upload is gone.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from xml.sax.saxutils import escape

from moto.core.common_types import TYPE_RESPONSE
from moto.s3.models import FakeKey, FakeMultipart
from moto.s3.responses import S3Response
from moto.s3.utils import metadata_from_headers

from . import choices, objects
from .checksums import Checksum, checked, computed, declared
from .clock import to_datetime
from .encryption import applied
from .object_copies import Source
from .object_parts import Part, etag_of, etag_of_parts, set_parts, whole_checksum
from .s3_refusals import S3Refusal, no_such_upload, precondition_failed
from .upload_documents import (
    NamedPart,
    agreed_checksum,
    checksum_element,
    document,
    elements,
    named_parts,
    part_element,
    upload_element,
)

if TYPE_CHECKING:
    from .world import World

MOST_PARTS = 10_000
SMALLEST_PART = 5 * 1024**2
_PAGE = 1000


@dataclass(frozen=True)
class Terms:
    """What was agreed on when an upload was created."""

    initiated: datetime
    algorithm: str | None


class MultipartResponse(S3Response):
    """moto's S3 with uploads of its own."""

    world: ClassVar[World]

    def _key_response_post(
        self, request: Any, body: bytes, bucket_name: str, query: dict[str, Any], key_name: str
    ) -> TYPE_RESPONSE:
        if "uploads" in query:
            return self._create_upload(key_name)
        if "uploadId" in query:
            return self._complete_upload(key_name, body)
        return super()._key_response_post(request, body, bucket_name, query, key_name)

    def _create_upload(self, key: str) -> TYPE_RESPONSE:
        bucket = self.backend.get_bucket(self.bucket_name)
        encryption, kms_key = applied(self.headers, bucket)
        upload: Any = self.backend.create_multipart_upload(
            self.bucket_name,
            key,
            kept_metadata(self.headers),
            self.headers.get("x-amz-storage-class", "STANDARD"),
            self._tagging_from_headers(self.headers),
            self._acl_from_headers(self.headers),
            encryption or "",
            kms_key or "",
        )
        algorithm = self.headers.get("x-amz-checksum-algorithm", "").lower() or None
        upload.emulated_terms = Terms(to_datetime(self.world.now()), algorithm)
        headers = _encryption_headers(upload)
        if algorithm:
            headers["x-amz-checksum-algorithm"] = algorithm.upper()
            headers["x-amz-checksum-type"] = "COMPOSITE"
        names = f"<Bucket>{self.bucket_name}</Bucket><Key>{escape(key)}</Key>"
        inner = f"{names}<UploadId>{upload.id}</UploadId>"
        return document("InitiateMultipartUploadResult", inner, headers)

    def _upload(self) -> Any:
        """The upload that a request is about. Raises S3Refusal when it is gone."""
        bucket = self.backend.get_bucket(self.bucket_name)
        upload = bucket.multiparts.get(self._get_param("uploadId"))
        if upload is None or upload.key_name != self.parse_key_name():
            raise no_such_upload()
        return upload

    def _part_number(self) -> int:
        number = int(self._get_param("partNumber"))
        if not 1 <= number <= MOST_PARTS:
            message = f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive"
            raise S3Refusal("InvalidArgument", message)
        return number

    def _put_part(
        self, upload: FakeMultipart, number: int, body: bytes, checksum: Checksum | None
    ) -> Any:
        part = _put_part(upload, number, body, checksum)
        part.last_modified = to_datetime(self.world.now())
        return part

    def upload_part(self) -> TYPE_RESPONSE:
        upload, number = self._upload(), self._part_number()
        body = self.body or b""
        checksum = checked(self.headers, body, self.raw_body)
        _require_agreed(checksum, upload.emulated_terms.algorithm)
        part = self._put_part(upload, number, body, checksum)
        headers = {"ETag": part.etag, "content-length": "0", **_encryption_headers(upload)}
        return 200, headers | dict([checksum.header] if checksum else []), ""

    def upload_part_copy(self) -> TYPE_RESPONSE:
        upload, number = self._upload(), self._part_number()
        source = Source.read(self.headers)
        body, size = source.extent(self.headers.get("x-amz-copy-source-range"))
        algorithm = upload.emulated_terms.algorithm
        checksum = computed(algorithm, body) if algorithm else None
        part = self._put_part(upload, number, body, checksum)
        part.contentsize = size
        changed = f"<LastModified>{part.last_modified_ISO8601}</LastModified>"
        inner = f"{changed}<ETag>{escape(part.etag)}</ETag>{checksum_element(checksum)}"
        headers = {**_encryption_headers(upload), **source.version_header}
        return document("CopyPartResult", inner, headers)

    def list_parts(self) -> TYPE_RESPONSE:
        upload = self._upload()
        marker = self._get_int_param("part-number-marker", 0)
        most = min(self._get_int_param("max-parts", _PAGE), _PAGE)
        later = [_part_of(upload, number) for number in sorted(upload.parts) if number > marker]
        shown, algorithm = later[:most], upload.emulated_terms.algorithm
        fields = {
            "Bucket": self.bucket_name,
            "Key": upload.key_name,
            "UploadId": upload.id,
            "StorageClass": upload.storage,
            "PartNumberMarker": marker,
            "NextPartNumberMarker": shown[-1].number if shown else marker,
            "MaxParts": most,
            "IsTruncated": "true" if len(later) > most else "false",
            **agreed_checksum(algorithm),
        }
        inner = "".join(part_element(part, upload.parts[part.number]) for part in shown)
        return document("ListPartsResult", elements(fields) + inner)

    def list_multipart_uploads(self) -> TYPE_RESPONSE:
        bucket = self.backend.get_bucket(self.bucket_name)
        prefix = self._get_param("prefix", "")
        uploads = sorted(
            (upload for upload in bucket.multiparts.values() if upload.key_name.startswith(prefix)),
            key=_order,
        )
        most = min(self._get_int_param("max-uploads", _PAGE), _PAGE)
        later = self._after_markers(uploads)
        shown = later[:most]
        fields = {
            "Bucket": self.bucket_name,
            "Prefix": prefix,
            "KeyMarker": self._get_param("key-marker", ""),
            "UploadIdMarker": self._get_param("upload-id-marker", ""),
            "NextKeyMarker": shown[-1].key_name if shown else "",
            "NextUploadIdMarker": shown[-1].id if shown else "",
            "MaxUploads": most,
            "IsTruncated": "true" if len(later) > most else "false",
        }
        inner = "".join(map(upload_element, shown))
        return document("ListMultipartUploadsResult", elements(fields) + inner)

    def _after_markers(self, uploads: Sequence[Any]) -> list[Any]:
        """The uploads behind the key, or behind the upload of that key, that a page ended with."""
        key, upload_id = self._get_param("key-marker", ""), self._get_param("upload-id-marker", "")
        if not key:
            return list(uploads)
        ended = next((u for u in uploads if u.key_name == key and u.id == upload_id), None)
        if ended is None:
            return [upload for upload in uploads if upload.key_name > key]
        return list(uploads[uploads.index(ended) + 1 :])

    def _complete_upload(self, key: str, body: bytes) -> TYPE_RESPONSE:
        existing: Any = objects.find_object(self.bucket_name, key)
        if getattr(existing, "emulated_upload", None) == self._get_param("uploadId"):
            # Completing again what was completed is no error.
            return self._completed(existing)
        upload = self._upload()
        self._require_preconditions(existing)
        named = named_parts(body)
        parts = _chosen(upload, named)
        _require_order_and_size(named, parts)
        algorithm = upload.emulated_terms.algorithm
        _require_part_checksums(named, algorithm)
        item = self._assemble(upload, parts, algorithm)
        return self._completed(item)

    def _require_preconditions(self, existing: FakeKey | None) -> None:
        if self.headers.get("If-None-Match") == "*" and existing is not None:
            raise precondition_failed()
        wanted = self.headers.get("If-Match")
        if wanted and (existing is None or existing.etag.strip('"') != wanted.strip('"')):
            raise precondition_failed()

    def _assemble(self, upload: Any, parts: Sequence[Part], algorithm: str | None) -> FakeKey:
        size = sum(part.size for part in parts)
        announced = self.headers.get("x-amz-mp-object-size")
        if announced and int(announced) != size:
            message = "The provided 'x-amz-mp-object-size' header does not match what was computed."
            raise S3Refusal("InvalidRequest", message)
        _require_whole_checksum(declared(self.headers), parts, algorithm)
        item: Any = self.backend.put_object(
            self.bucket_name,
            upload.key_name,
            b"".join(upload.parts[part.number].value for part in parts),
            storage=upload.storage,
            etag=etag_of_parts(parts),
            encryption=upload.sse_encryption or None,
            kms_key_id=upload.kms_key_id or None,
            disable_notification=True,
        )
        item.contentsize = size
        item.set_metadata(upload.metadata)
        item.emulated_upload = upload.id
        set_parts(item, parts, algorithm)
        self.backend.put_object_tagging(item, upload.tags)
        del self.backend.get_bucket(self.bucket_name).multiparts[upload.id]
        return item

    def _completed(self, item: Any) -> TYPE_RESPONSE:
        headers = {
            name: value
            for name, value in item.response_dict.items()
            if name.startswith(("x-amz-server-side", "x-amz-version"))
        }
        inner = elements({"Bucket": self.bucket_name, "Key": item.name, "ETag": item.etag})
        inner += checksum_element(item.emulated_checksum)
        inner += "<ChecksumType>COMPOSITE</ChecksumType>" if item.emulated_checksum else ""
        return document("CompleteMultipartUploadResult", inner, headers)


def kept_metadata(headers: Mapping[str, str]) -> Any:
    """What S3 keeps of a request's headers and shows again; moto keeps the signature's hash too."""
    metadata = metadata_from_headers(dict(headers))
    for name in [name for name in metadata if str(name).lower().startswith("x-amz-c")]:
        del metadata[name]
    metadata.pop("content-md5", None)
    return metadata


def _put_part(upload: FakeMultipart, number: int, body: bytes, checksum: Checksum | None) -> Any:
    part: Any = upload.set_part(number, body)
    part._etag = etag_of(body, upload.sse_encryption)
    part.emulated_checksum = checksum
    return part


def _part_of(upload: Any, number: int) -> Part:
    part = upload.parts[number]
    return Part(number, part.contentsize, part.etag.strip('"'), part.emulated_checksum)


def _encryption_headers(upload: Any) -> dict[str, str]:
    name = "x-amz-server-side-encryption"
    headers = {name: upload.sse_encryption} if upload.sse_encryption else {}
    if upload.kms_key_id:
        headers[f"{name}-aws-kms-key-id"] = upload.kms_key_id
    return headers


def _require_agreed(checksum: Checksum | None, algorithm: str | None) -> None:
    """Reported, such as https://github.com/apache/opendal/pull/4533."""
    actual = checksum.algorithm if checksum else None
    if algorithm is None and not choices.UNAGREED_PART_CHECKSUM_IS_ERROR:
        return
    if actual != algorithm:
        message = (
            f"Checksum Type mismatch occurred, expected checksum Type: {algorithm or 'null'}, "
            f"actual checksum Type: {actual or 'null'}"
        )
        raise S3Refusal("InvalidRequest", message)


def _chosen(upload: Any, named: Sequence[NamedPart]) -> list[Part]:
    """The uploaded parts that are named. Raises S3Refusal for one that is not there as named."""
    for wanted in named:
        part = _part_of(upload, wanted.number) if wanted.number in upload.parts else None
        same = part is not None and part.etag == wanted.etag
        if not same or (wanted.checksum and part and part.checksum != wanted.checksum):
            message = (
                "One or more of the specified parts could not be found. The part may not have "
                "been uploaded, or the specified entity tag may not match the part's entity tag."
            )
            raise S3Refusal("InvalidPart", message)
    return [_part_of(upload, wanted.number) for wanted in named]


def _require_order_and_size(named: Sequence[NamedPart], parts: Sequence[Part]) -> None:
    numbers = [wanted.number for wanted in named]
    if numbers != sorted(set(numbers)):
        message = "The list of parts was not in ascending order."
        raise S3Refusal("InvalidPartOrder", message)
    if any(part.size < SMALLEST_PART for part in parts[:-1]):
        message = "Your proposed upload is smaller than the minimum allowed size"
        raise S3Refusal("EntityTooSmall", message)


def _require_part_checksums(named: Sequence[NamedPart], algorithm: str | None) -> None:
    """Reported, such as https://github.com/aws/aws-sdk-php/issues/2648."""
    bare = next((wanted.number for wanted in named if wanted.checksum is None), None)
    if algorithm and bare is not None:
        message = (
            f"The upload was created using a {algorithm} checksum. The complete request must "
            f"include the checksum for each part. It was missing for part {bare} in the request."
        )
        raise S3Refusal("InvalidRequest", message)


def _require_whole_checksum(
    announced: Checksum | None, parts: Sequence[Part], algorithm: str | None
) -> None:
    actual = whole_checksum(parts, algorithm)
    if announced is None or actual is None:
        return
    if announced.value not in (actual.value, actual.value.partition("-")[0]):
        message = f"The {algorithm} you specified did not match the calculated checksum."
        raise S3Refusal("BadDigest", message)


def _order(upload: Any) -> tuple[str, datetime, str]:
    return upload.key_name, upload.emulated_terms.initiated, upload.id
