# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of an S3 in memory, with versions, parts, checksums and conditions, for the Cloud.

Both sides of a copy end here. What goes wrong is put in from outside: `before` runs ahead of a
call and may refuse it or change the world, `on_the_way` may damage a body.
"""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ConnectionClosedError
from botocore.response import StreamingBody

from tests.unit.cloud import NOON, Answer, Cloud, Refusal, missing_head, to_dict, to_list

SOURCE_BUCKET = "source-bucket"
TARGET_BUCKET = "target-bucket"
PLAIN_HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "StorageClass",
)


def md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def composite(checksums: list[str]) -> str:
    joined = b"".join(base64.b64decode(checksum) for checksum in checksums)
    return f"{sha256(joined)}-{len(checksums)}"


@dataclass
class StoredThing:
    """A version of an object."""

    body: bytes
    etag: str = ""
    part_sizes: list[int] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    headers: Answer = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    sha256: str | None = None
    version_id: str | None = None
    encryption: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.etag = self.etag or md5(self.body).hex()
        self.part_sizes = self.part_sizes or [len(self.body)]

    @classmethod
    def in_parts(cls, body: bytes, size: int, **facts: Any) -> StoredThing:
        """Return an object as it is after an upload in parts of this size."""
        return cls.of([body[start : start + size] for start in range(0, len(body), size)], **facts)

    @classmethod
    def of(cls, pieces: list[bytes], **facts: Any) -> StoredThing:
        """Return an object as it is after an upload of these parts."""
        etag = f"{md5(b''.join(map(md5, pieces))).hex()}-{len(pieces)}"
        return cls(b"".join(pieces), etag, [len(piece) for piece in pieces], **facts)


@dataclass
class BegunUpload:
    upload_id: str
    key: str
    settings: Answer
    initiated: datetime
    parts: dict[int, tuple[bytes, str, str | None]] = field(default_factory=dict)
    """By number: body, ETag, checksum."""


@dataclass
class S3InMemory:
    """Answers a Cloud's calls about objects."""

    cloud: Cloud
    versioned: bool = False
    keeps_checksums: bool = True
    checks_checksums: bool = True
    lists_checksums: bool = True
    renames_etags: bool = False
    """The ETag of an object in parts is another one as soon as it is looked at."""
    kms: bool = False
    """The ETags of what is written say nothing about its content."""
    page_size: int = 1000
    buckets: dict[str, dict[str, list[StoredThing]]] = field(default_factory=dict)
    """By bucket and key, the versions, newest last."""
    uploads: dict[str, BegunUpload] = field(default_factory=dict)
    before: dict[str, list[Callable[[Answer], None]]] = field(default_factory=dict)
    """By operation, what happens ahead of its next calls, one each."""
    always: dict[str, Callable[[Answer], None]] = field(default_factory=dict)
    """By operation, what happens ahead of every call."""
    on_the_way: Callable[[str, Answer, bytes], bytes] = lambda _operation, _params, body: body
    """What becomes of the body of a GET or of an upload."""
    as_file: Callable[[bytes], io.BytesIO] = io.BytesIO
    """How the body of a GET comes in."""
    moment: datetime = NOON
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: Any = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.buckets = {SOURCE_BUCKET: {}, TARGET_BUCKET: {}}
        self.cloud.buckets |= {SOURCE_BUCKET: {}, TARGET_BUCKET: {}}
        for name in dir(self):
            if name.startswith("_") and name[1:2].isupper():
                self.cloud.replies[name[1:]] = self._reply(name[1:])

    def _reply(self, operation: str) -> Callable[[Answer], Answer]:
        handler = getattr(self, f"_{operation}")

        def answer(params: Answer) -> Answer:
            if queue := self.before.get(operation):
                queue.pop(0)(params)
            if operation in self.always:
                self.always[operation](params)
            with self._lock:
                return dict(handler(params))

        return answer

    # What a test does and asks

    def put(self, key: str, thing: StoredThing, bucket: str = SOURCE_BUCKET) -> StoredThing:
        versions = self.buckets[bucket].setdefault(key, [])
        if self.versioned:
            thing.version_id = f"v{next(self._numbers)}"
        else:
            versions.clear()
        versions.append(thing)
        return thing

    def get(self, key: str, bucket: str = TARGET_BUCKET) -> StoredThing:
        return self.buckets[bucket][key][-1]

    def has(self, key: str, bucket: str = TARGET_BUCKET) -> bool:
        return bool(self.buckets[bucket].get(key))

    def sent_parts(self) -> list[int]:
        """The numbers of the parts that were sent, marks and trials left out."""
        sent = [params["PartNumber"] for params in self.cloud.params("UploadPart")]
        return [number for number in sent if number < 9_998]

    # S3

    def _thing(self, params: Answer, refusal: Refusal) -> StoredThing:
        if params["Bucket"] not in self.buckets:
            raise Refusal("NoSuchBucket", status=404)
        versions = self.buckets[params["Bucket"]].get(params["Key"]) or []
        wanted = params.get("VersionId")
        found = [thing for thing in versions if wanted in (None, thing.version_id)]
        if not found:
            raise refusal
        thing = found[-1]
        if params.get("IfMatch", f'"{thing.etag}"') != f'"{thing.etag}"':
            raise Refusal("PreconditionFailed", status=412)
        return thing

    def _HeadBucket(self, params: Answer) -> Answer:
        if params["Bucket"] not in self.buckets:
            raise missing_head()
        return self.cloud.usual("HeadBucket")(params)

    def _HeadObject(self, params: Answer) -> Answer:
        thing = self._thing(params, missing_head())
        facts = {**thing.headers, **thing.encryption, "Metadata": dict(thing.metadata)}
        if params.get("ChecksumMode") and thing.sha256:
            facts["ChecksumSHA256"] = thing.sha256
        if thing.version_id:
            facts["VersionId"] = thing.version_id
        size = len(thing.body)
        if "PartNumber" in params:
            size = thing.part_sizes[params["PartNumber"] - 1]
            facts["PartsCount"] = len(thing.part_sizes)
        return facts | {"ContentLength": size, "ETag": f'"{thing.etag}"', "LastModified": NOON}

    def _GetObject(self, params: Answer) -> Answer:
        thing = self._thing(params, Refusal("NoSuchKey", status=404))
        if thing.headers.get("StorageClass") in ("GLACIER", "DEEP_ARCHIVE"):
            raise Refusal("InvalidObjectState", status=403)
        body = thing.body
        told: Answer = {}
        if "Range" in params:
            span = params["Range"].removeprefix("bytes=")
            start, end = span.split("-")
            told["ContentRange"] = f"bytes {span}/{len(body)}"
            body = body[int(start) : int(end) + 1]
        length = len(body)
        body = self.on_the_way("GetObject", params, body)
        return told | {
            "Body": StreamingBody(self.as_file(body), length),
            "ContentLength": length,
            "ETag": f'"{thing.etag}"',
        }

    def _ListObjectsV2(self, params: Answer) -> Answer:
        things = self.buckets[params["Bucket"]]
        return {
            "Contents": [
                {
                    "Key": key,
                    "Size": len(things[key][-1].body),
                    "ETag": f'"{things[key][-1].etag}"',
                    "LastModified": NOON,
                }
                for key in sorted(things)
                if key.startswith(params.get("Prefix", "")) and things[key]
            ],
            "IsTruncated": False,
        }

    def _refuse_wrong(self, params: Answer, body: bytes) -> None:
        told = params.get("ChecksumSHA256")
        if self.checks_checksums and told and told != sha256(body):
            raise Refusal("BadDigest", "The SHA256 you specified did not match", 400)

    def _made(self, body: bytes, settings: Answer, **facts: Any) -> StoredThing:
        encryption = {}
        if self.kms or settings.get("ServerSideEncryption") == "aws:kms":
            encryption = {
                "ServerSideEncryption": "aws:kms",
                "SSEKMSKeyId": settings.get("SSEKMSKeyId", "default"),
            }
        return StoredThing(
            body,
            metadata=dict(settings.get("Metadata") or {}),
            headers={name: settings[name] for name in PLAIN_HEADERS if name in settings},
            tags=dict(urllib.parse.parse_qsl(settings.get("Tagging", ""))),
            encryption=encryption,
            **facts,
        )

    def _etag(self, content: bytes) -> str:
        # With KMS, the same content has another one each time it is sent.
        return md5(b"%d" % next(self._numbers) if self.kms else content).hex()

    def _refuse_taken(self, params: Answer) -> None:
        if params.get("IfNoneMatch") == "*" and self.has(params["Key"], params["Bucket"]):
            raise Refusal("PreconditionFailed", "At least one of the pre-conditions", 412)

    def _PutObject(self, params: Answer) -> Answer:
        body = self.on_the_way("PutObject", params, params["Body"])
        self._refuse_wrong(params, body)
        self._refuse_taken(params)
        checksum = params.get("ChecksumSHA256") if self.keeps_checksums else None
        made = self._made(body, params, sha256=checksum, etag=self._etag(body))
        self.put(params["Key"], made, params["Bucket"])
        answer: Answer = {"ETag": f'"{made.etag}"'}
        return answer | ({"ChecksumSHA256": checksum} if checksum else {})

    def _CreateMultipartUpload(self, params: Answer) -> Answer:
        upload_id = f"upload-{next(self._numbers)}"
        self.uploads[upload_id] = BegunUpload(upload_id, params["Key"], params, self.moment)
        answer: Answer = {"UploadId": upload_id, **self._made(b"", params).encryption}
        if self.keeps_checksums and "ChecksumAlgorithm" in params:
            answer["ChecksumAlgorithm"] = params["ChecksumAlgorithm"]
        return answer

    def _upload(self, params: Answer) -> BegunUpload:
        try:
            return self.uploads[params["UploadId"]]
        except KeyError:
            raise Refusal("NoSuchUpload", status=404) from None

    def _UploadPart(self, params: Answer) -> Answer:
        upload = self._upload(params)
        body = self.on_the_way("UploadPart", params, bytes(params["Body"]))
        self._refuse_wrong(params, body)
        checksum = params.get("ChecksumSHA256") if self.keeps_checksums else None
        etag = self._etag(body)
        upload.parts[params["PartNumber"]] = (body, etag, checksum)
        answer: Answer = {"ETag": f'"{etag}"', **self._made(b"", {}).encryption}
        return answer | ({"ChecksumSHA256": checksum} if checksum else {})

    def _UploadPartCopy(self, params: Answer) -> Answer:
        upload = self._upload(params)
        start, end = params["CopySourceRange"].removeprefix("bytes=").split("-")
        body = self._copy_source(params).body[int(start) : int(end) + 1]
        checksum = sha256(body) if self.keeps_checksums else None
        etag = self._etag(body)
        upload.parts[params["PartNumber"]] = (body, etag, checksum)
        result = {"ETag": f'"{etag}"'}
        return {"CopyPartResult": result | ({"ChecksumSHA256": checksum} if checksum else {})}

    def _copy_source(self, params: Answer) -> StoredThing:
        given = {**params["CopySource"], "IfMatch": params["CopySourceIfMatch"]}
        return self._thing(given, Refusal("NoSuchKey", status=404))

    def _CopyObject(self, params: Answer) -> Answer:
        self._refuse_taken(params)
        assert params["MetadataDirective"] == params["TaggingDirective"] == "REPLACE"
        body = self._copy_source(params).body
        made = self._made(body, params, sha256=sha256(body), etag=self._etag(body))
        self.put(params["Key"], made, params["Bucket"])
        return {"CopyObjectResult": {"ETag": f'"{made.etag}"', "ChecksumSHA256": made.sha256}}

    def _ListMultipartUploads(self, params: Answer) -> Answer:
        after = params.get("UploadIdMarker", "")
        found = [
            upload
            for upload in self.uploads.values()
            if upload.key.startswith(params["Prefix"]) and upload.upload_id > after
        ]
        page = found[: self.page_size]
        answer: Answer = {
            "Uploads": [
                {"UploadId": item.upload_id, "Key": item.key, "Initiated": item.initiated}
                for item in page
            ],
            "IsTruncated": len(found) > len(page),
        }
        if answer["IsTruncated"]:
            answer["NextKeyMarker"] = page[-1].key
            answer["NextUploadIdMarker"] = page[-1].upload_id
        return answer

    def _ListParts(self, params: Answer) -> Answer:
        upload = self._upload(params)
        after = params.get("PartNumberMarker", 0)
        if after and after not in upload.parts:
            # So does rclone; SeaweedFS gives the wrong ones.
            raise ConnectionClosedError(endpoint_url="https://s3.example")
        numbers = sorted(number for number in upload.parts if number > after)
        page = numbers[: self.page_size]
        answer: Answer = {
            "Parts": [self._listed(upload, number) for number in page],
            "IsTruncated": len(numbers) > len(page),
        }
        if answer["IsTruncated"]:
            answer["NextPartNumberMarker"] = page[-1]
        return answer

    def _listed(self, upload: BegunUpload, number: int) -> Answer:
        body, etag, checksum = upload.parts[number]
        item: Answer = {"PartNumber": number, "Size": len(body), "ETag": f'"{etag}"'}
        if checksum and self.lists_checksums and "ChecksumAlgorithm" in upload.settings:
            item["ChecksumSHA256"] = checksum
        return item

    def _CompleteMultipartUpload(self, params: Answer) -> Answer:
        upload = self._upload(params)
        self._refuse_taken(params)
        listed = params["MultipartUpload"]["Parts"]
        if not self.keeps_checksums and len(listed) != len(upload.parts):
            # As with rclone, which keeps none.
            raise Refusal("InvalidPart", status=400)
        parts = []
        for place, item in enumerate(listed, start=1):
            assert item["PartNumber"] == place
            body, etag, checksum = upload.parts[place]
            if item["ETag"] != f'"{etag}"':
                raise Refusal("InvalidPart", status=400)
            if "ChecksumAlgorithm" in upload.settings and self.keeps_checksums:
                if item.get("ChecksumSHA256") != checksum:
                    raise Refusal("InvalidRequest", "The checksum of a part is missing", 400)
            else:
                checksum = None
            assert place == len(listed) or len(body) >= 5 * 1024 * 1024
            parts.append((body, etag, checksum))
        checksums = [checksum for _body, _etag, checksum in parts if checksum]
        made = self._made(
            b"".join(body for body, _etag, _checksum in parts),
            upload.settings,
            sha256=composite(checksums) if len(checksums) == len(parts) else None,
            etag=f"{md5(b''.join(bytes.fromhex(p[1]) for p in parts)).hex()}-{len(parts)}",
            part_sizes=[len(part[0]) for part in parts],
        )
        del self.uploads[params["UploadId"]]
        self.put(params["Key"], made, params["Bucket"])
        answer: Answer = {"ETag": f'"{made.etag}"'}
        if self.renames_etags:
            made.etag = md5(made.body).hex()
        return answer | ({"ChecksumSHA256": made.sha256} if made.sha256 else {})

    def _AbortMultipartUpload(self, params: Answer) -> Answer:
        self._upload(params)
        del self.uploads[params["UploadId"]]
        return {}

    def _GetObjectTagging(self, params: Answer) -> Answer:
        thing = self._thing(params, Refusal("NoSuchKey", status=404))
        return {"TagSet": to_list(thing.tags)}

    def _PutObjectTagging(self, params: Answer) -> Answer:
        thing = self._thing(params, Refusal("NoSuchKey", status=404))
        thing.tags = to_dict(params["Tagging"]["TagSet"])
        return {}

    def _DeleteObject(self, params: Answer) -> Answer:
        versions = self.buckets[params["Bucket"]].get(params["Key"]) or []
        wanted = params.get("VersionId")
        versions[:] = [v for v in versions if wanted and v.version_id != wanted]
        return {}
