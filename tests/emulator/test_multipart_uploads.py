# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Multipart uploads: checksums of parts, pages, what is refused."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

import pytest

from .conftest import Lab, Refusals

MIB = 1024**2
PARTS = (b"a" * 5 * MIB, b"b" * 5 * MIB, b"tail")


def sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def composite(bodies: tuple[bytes, ...]) -> str:
    digests = b"".join(hashlib.sha256(body).digest() for body in bodies)
    return f"{sha256(digests)}-{len(bodies)}"


def etag_of(bodies: tuple[bytes, ...]) -> str:
    digests = b"".join(hashlib.md5(body).digest() for body in bodies)
    return f'"{hashlib.md5(digests).hexdigest()}-{len(bodies)}"'


@dataclass
class Upload:
    """An upload to `vault` with the answers to its parts."""

    s3: Any
    key: str
    upload_id: str
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def place(self) -> dict[str, Any]:
        return {"Bucket": "vault", "Key": self.key, "UploadId": self.upload_id}

    def put(self, number: int, body: bytes, **values: Any) -> dict[str, Any]:
        values = values or {"ChecksumSHA256": sha256(body)}
        answer = self.s3.upload_part(**self.place, PartNumber=number, Body=body, **values)
        self.answers[number] = answer
        return dict(answer)

    def complete(self, *fields: str, **values: Any) -> dict[str, Any]:
        parts = [
            {"PartNumber": number, **{name: answer[name] for name in fields or ("ETag",)}}
            for number, answer in self.answers.items()
        ]
        named = {"MultipartUpload": {"Parts": parts}}
        return dict(self.s3.complete_multipart_upload(**self.place, **named, **values))


def begin(lab: Lab, key: str = "a.bin", **values: Any) -> Upload:
    values = values or {"ChecksumAlgorithm": "SHA256"}
    answer = lab.s3.create_multipart_upload(Bucket="vault", Key=key, **values)
    return Upload(lab.s3, key, answer["UploadId"])


def filled(lab: Lab, key: str = "a.bin") -> Upload:
    upload = begin(lab, key)
    for number, body in enumerate(PARTS, 1):
        upload.put(number, body)
    return upload


def test_checksums_go_all_the_way(lab: Lab) -> None:
    upload = filled(lab)
    assert upload.answers[1]["ChecksumSHA256"] == sha256(PARTS[0])
    listed = lab.s3.list_parts(**upload.place)
    assert [part["ChecksumSHA256"] for part in listed["Parts"]] == [sha256(b) for b in PARTS]
    assert listed["ChecksumAlgorithm"] == "SHA256"
    whole = composite(PARTS)
    done = upload.complete("ETag", "ChecksumSHA256", ChecksumSHA256=whole)
    assert (done["ChecksumSHA256"], done["ETag"]) == (whole, etag_of(PARTS))
    head = lab.s3.head_object(Bucket="vault", Key="a.bin", ChecksumMode="ENABLED")
    assert (head["ChecksumSHA256"], head["ETag"]) == (whole, etag_of(PARTS))
    got = lab.s3.get_object(Bucket="vault", Key="a.bin", ChecksumMode="ENABLED")
    assert got["ChecksumSHA256"] == whole
    assert got["Body"].read() == b"".join(PARTS)
    assert "ChecksumSHA256" not in lab.s3.head_object(Bucket="vault", Key="a.bin")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"ChecksumSHA256": sha256(b"other")}, "BadDigest"),
        ({"ContentMD5": base64.b64encode(hashlib.md5(b"other").digest()).decode()}, "BadDigest"),
        ({"ChecksumSHA256": "c2hvcnQ="}, "InvalidRequest"),
        ({"ChecksumSHA1": base64.b64encode(hashlib.sha1(b"body").digest()).decode()}, "Type"),
    ],
)
def test_part_with_another_checksum_is_refused(
    lab: Lab, refusal: Refusals, values: dict[str, str], code: str
) -> None:
    upload = begin(lab)
    with refusal:
        upload.put(1, b"body", **values)
    assert code in refusal.code + refusal.message
    assert "Parts" not in lab.s3.list_parts(**upload.place)


def test_checksum_that_was_not_agreed_on_is_checked_and_forgotten(
    lab: Lab, refusal: Refusals
) -> None:
    upload = begin(lab, ContentType="text/plain")
    with refusal:
        upload.put(1, b"body", ChecksumSHA256=sha256(b"other"))
    assert refusal.code == "BadDigest"
    assert upload.put(1, b"body")["ChecksumSHA256"] == sha256(b"body")
    upload.complete("ETag")
    head = lab.s3.head_object(Bucket="vault", Key="a.bin", ChecksumMode="ENABLED")
    assert "ChecksumSHA256" not in head


def test_completing_needs_every_checksum(lab: Lab, refusal: Refusals) -> None:
    upload = filled(lab)
    with refusal:
        upload.complete("ETag")
    assert "missing for part 1" in refusal.message
    with refusal:
        upload.complete("ETag", "ChecksumSHA256", ChecksumSHA256=composite(PARTS[:2]))
    assert refusal.code == "BadDigest"
    with refusal:
        upload.complete("ETag", "ChecksumSHA256", MpuObjectSize=7)
    assert refusal.code == "InvalidRequest"
    upload.answers[2] = {**upload.answers[2], "ChecksumSHA256": sha256(b"other")}
    with refusal:
        upload.complete("ETag", "ChecksumSHA256")
    assert refusal.code == "InvalidPart"


def test_small_parts_and_wrong_order_are_refused(lab: Lab, refusal: Refusals) -> None:
    upload = begin(lab)
    upload.put(1, b"small")
    upload.put(2, b"last")
    with refusal:
        upload.complete("ETag", "ChecksumSHA256")
    assert refusal.code == "EntityTooSmall"
    upload.answers = dict(reversed(upload.answers.items()))
    with refusal:
        upload.complete("ETag", "ChecksumSHA256")
    assert refusal.code == "InvalidPartOrder"
    with refusal:
        upload.put(10_001, b"x")
    assert refusal.code == "InvalidArgument"


def test_nothing_is_left_of_an_aborted_upload(lab: Lab, refusal: Refusals) -> None:
    upload = filled(lab)
    lab.s3.abort_multipart_upload(**upload.place)
    for call in (
        lambda: upload.put(4, b"more"),
        lambda: upload.complete("ETag", "ChecksumSHA256"),
        lambda: lab.s3.list_parts(**upload.place),
        lambda: lab.s3.abort_multipart_upload(**upload.place),
    ):
        with refusal:
            call()
        assert (refusal.code, refusal.status) == ("NoSuchUpload", 404)
    assert "Uploads" not in lab.s3.list_multipart_uploads(Bucket="vault")


def test_completing_again_is_no_error(lab: Lab) -> None:
    upload = filled(lab)
    first = upload.complete("ETag", "ChecksumSHA256")
    again = upload.complete("ETag", "ChecksumSHA256")
    assert first["ETag"] == again["ETag"]


def test_completing_only_where_nothing_is(lab: Lab, refusal: Refusals) -> None:
    upload = filled(lab)
    lab.s3.put_object(Bucket="vault", Key="a.bin", Body=b"there")
    with refusal:
        upload.complete("ETag", "ChecksumSHA256", IfNoneMatch="*")
    assert (refusal.code, refusal.status) == ("PreconditionFailed", 412)
    assert lab.s3.get_object(Bucket="vault", Key="a.bin")["Body"].read() == b"there"


def test_pages_of_parts_with_gaps(lab: Lab) -> None:
    upload = begin(lab)
    for number in (9, 2, 7, 4):
        upload.put(number, b"part %d" % number)
    first = lab.s3.list_parts(**upload.place, MaxParts=3)
    assert [part["PartNumber"] for part in first["Parts"]] == [2, 4, 7]
    assert first["IsTruncated"] is True
    marker = first["NextPartNumberMarker"]
    second = lab.s3.list_parts(**upload.place, MaxParts=3, PartNumberMarker=marker)
    assert [part["PartNumber"] for part in second["Parts"]] == [9]
    assert second["IsTruncated"] is False


def test_pages_of_uploads_with_their_times(lab: Lab) -> None:
    old = [begin(lab, key).upload_id for key in ("b", "a", "a")]
    lab.emulator.advance(10 * 86400)
    old.append(begin(lab, "c/ä b").upload_id)
    pages = list(
        lab.s3.get_paginator("list_multipart_uploads").paginate(
            Bucket="vault", PaginationConfig={"PageSize": 1}
        )
    )
    uploads = [upload for page in pages for upload in page["Uploads"]]
    assert [upload["Key"] for upload in uploads] == ["a", "a", "b", "c/ä b"]
    assert {upload["UploadId"] for upload in uploads} == set(old)
    assert (uploads[3]["Initiated"] - uploads[0]["Initiated"]).days in (9, 10)
    narrowed = lab.s3.list_multipart_uploads(Bucket="vault", Prefix="c/")["Uploads"]
    assert [upload["Key"] for upload in narrowed] == ["c/ä b"]


def test_a_part_has_the_time_at_which_it_was_sent(lab: Lab) -> None:
    upload = begin(lab, "a")
    for number in (1, 2):
        upload.put(number, b"part")
        lab.emulator.advance(10 * 86400)
    first, second = lab.s3.list_parts(**upload.place)["Parts"]
    assert (second["LastModified"] - first["LastModified"]).days in (9, 10)


def test_metadata_tags_and_class_of_the_upload_are_the_objects(lab: Lab) -> None:
    upload = begin(
        lab,
        ChecksumAlgorithm="SHA256",
        Metadata={"ami-name": "web"},
        Tagging="team=sre",
        ContentType="application/x-ami",
        StorageClass="STANDARD_IA",
    )
    upload.put(1, b"body")
    upload.complete("ETag", "ChecksumSHA256")
    head = lab.s3.head_object(Bucket="vault", Key="a.bin")
    assert head["Metadata"] == {"ami-name": "web"}
    assert (head["ContentType"], head["StorageClass"]) == ("application/x-ami", "STANDARD_IA")
    tags = lab.s3.get_object_tagging(Bucket="vault", Key="a.bin")["TagSet"]
    assert tags == [{"Key": "team", "Value": "sre"}]


def test_etag_under_a_kms_key_is_no_md5(lab: Lab) -> None:
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/aws/s3"}
    upload = begin(lab, ChecksumAlgorithm="SHA256", **kms)
    part = upload.put(1, b"body")
    assert part["ETag"] != f'"{hashlib.md5(b"body").hexdigest()}"'
    assert part["ServerSideEncryption"] == "aws:kms"
    assert upload.complete("ETag", "ChecksumSHA256")["ETag"] != etag_of((b"body",))
    lab.s3.put_object(Bucket="vault", Key="b", Body=b"body", **kms)
    etag = lab.s3.head_object(Bucket="vault", Key="b")["ETag"]
    assert etag != f'"{hashlib.md5(b"body").hexdigest()}"'


def test_zero_parts_and_zero_bytes(lab: Lab, refusal: Refusals) -> None:
    upload = begin(lab)
    with refusal:
        lab.s3.complete_multipart_upload(**upload.place, MultipartUpload={"Parts": []})
    assert refusal.code == "MalformedXML"
    answer = lab.s3.put_object(Bucket="vault", Key="e", Body=b"", ChecksumSHA256=sha256(b""))
    assert answer["ChecksumSHA256"] == sha256(b"")
    assert lab.s3.head_object(Bucket="vault", Key="e")["ContentLength"] == 0
