# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects by part, by version, on condition; copies inside S3."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Lab, Refusals
from .test_multipart_uploads import MIB, PARTS, begin, composite, filled, sha256

WHOLE = b"".join(PARTS)


@pytest.fixture
def parted(lab: Lab) -> Any:
    """S3 with `a.bin`, which was uploaded in three parts."""
    filled(lab).complete("ETag", "ChecksumSHA256")
    return lab.s3


def test_size_and_count_of_parts(parted: Any, refusal: Refusals) -> None:
    place = {"Bucket": "vault", "Key": "a.bin", "ChecksumMode": "ENABLED"}
    second = parted.head_object(**place, PartNumber=2)
    assert (second["ContentLength"], second["PartsCount"]) == (5 * MIB, 3)
    assert second["ETag"] == parted.head_object(**place)["ETag"]
    assert second["ChecksumSHA256"] == sha256(PARTS[1])
    assert second["ResponseMetadata"]["HTTPStatusCode"] == 206
    body = parted.get_object(**place, PartNumber=3)
    assert (body["Body"].read(), body["PartsCount"]) == (b"tail", 3)
    assert body["ContentRange"] == f"bytes {10 * MIB}-{10 * MIB + 3}/{10 * MIB + 4}"
    with refusal:
        parted.head_object(**place, PartNumber=4)
    assert refusal.status == 416


def test_object_in_one_piece_is_its_own_first_part(lab: Lab) -> None:
    lab.s3.put_object(Bucket="vault", Key="one", Body=b"body")
    head = lab.s3.head_object(Bucket="vault", Key="one", PartNumber=1)
    assert head["ContentLength"] == 4
    assert "PartsCount" not in head


@pytest.mark.parametrize("call", ["head_object", "get_object"])
def test_conditions_on_the_etag(parted: Any, refusal: Refusals, call: str) -> None:
    place = {"Bucket": "vault", "Key": "a.bin"}
    etag = parted.head_object(**place)["ETag"]
    for form in (etag, etag.strip('"')):
        assert getattr(parted, call)(**place, IfMatch=form)["ETag"] == etag
    parted.put_object(**place, Body=b"other")
    with refusal:
        getattr(parted, call)(**place, IfMatch=etag)
    assert refusal.status == 412


def test_ranges_of_a_pinned_version(lab: Lab) -> None:
    versioning = {"Status": "Enabled"}
    lab.s3.put_bucket_versioning(Bucket="vault", VersioningConfiguration=versioning)
    done = filled(lab).complete("ETag", "ChecksumSHA256")
    pin = {"Bucket": "vault", "Key": "a.bin", "VersionId": done["VersionId"]}
    lab.s3.put_object(Bucket="vault", Key="a.bin", Body=b"newer")
    got = lab.s3.get_object(**pin, IfMatch=done["ETag"], Range=f"bytes={5 * MIB - 1}-{5 * MIB}")
    assert got["Body"].read() == b"ab"
    assert got["ContentRange"] == f"bytes {5 * MIB - 1}-{5 * MIB}/{len(WHOLE)}"
    assert lab.s3.head_object(**pin, PartNumber=1)["PartsCount"] == 3


def test_body_that_is_not_the_declared_one_is_refused(lab: Lab, refusal: Refusals) -> None:
    with refusal:
        lab.s3.put_object(Bucket="vault", Key="a", Body=b"body", ChecksumSHA256=sha256(b"other"))
    assert refusal.code == "BadDigest"
    with pytest.raises(ClientError):
        lab.s3.head_object(Bucket="vault", Key="a")


def test_archived_object_shows_all_but_its_body(lab: Lab, refusal: Refusals) -> None:
    lab.s3.put_object(Bucket="vault", Key="a", Body=b"body", Tagging="a=b")
    begun = begin(lab, "copy")
    for place in (("GLACIER", None), ("INTELLIGENT_TIERING", "ARCHIVE_ACCESS")):
        lab.emulator.set_storage_class("vault", "a", *place)
        assert lab.s3.get_object_tagging(Bucket="vault", Key="a")["TagSet"]
        for call in (
            lambda: lab.s3.get_object(Bucket="vault", Key="a"),
            lambda: lab.s3.copy_object(Bucket="vault", Key="b", CopySource="vault/a"),
            lambda: lab.s3.upload_part_copy(**begun.place, PartNumber=1, CopySource="vault/a"),
        ):
            with refusal:
                call()
            assert (refusal.code, refusal.status) == ("InvalidObjectState", 403)
    lab.emulator.set_storage_class("vault", "a", "GLACIER", restore="thawed")
    assert lab.s3.get_object(Bucket="vault", Key="a")["Body"].read() == b"body"


def test_copy_at_once(parted: Any) -> None:
    parted.put_object_tagging(
        Bucket="vault", Key="a.bin", Tagging={"TagSet": [{"Key": "team", "Value": "sre"}]}
    )
    copied = parted.copy_object(Bucket="vault", Key="b", CopySource="vault/a.bin")
    etag = f'"{hashlib.md5(WHOLE).hexdigest()}"'
    result = copied["CopyObjectResult"]
    assert (result["ETag"], result["ChecksumSHA256"]) == (etag, sha256(WHOLE))
    head = parted.head_object(Bucket="vault", Key="b", ChecksumMode="ENABLED", PartNumber=1)
    assert (head["ETag"], head["ContentLength"]) == (etag, len(WHOLE))
    assert "PartsCount" not in head
    assert parted.get_object_tagging(Bucket="vault", Key="b")["TagSet"]
    parted.copy_object(Bucket="vault", Key="c", CopySource="vault/a.bin", ChecksumAlgorithm="SHA1")
    head = parted.head_object(Bucket="vault", Key="c", ChecksumMode="ENABLED")
    assert head["ChecksumSHA1"] == base64.b64encode(hashlib.sha1(WHOLE).digest()).decode()


def test_copy_in_parts(lab: Lab, parted: Any, refusal: Refusals) -> None:
    upload = begin(lab, "b")
    source = {"CopySource": "vault/a.bin"}
    for number, extent in ((1, f"0-{5 * MIB - 1}"), (2, f"{5 * MIB}-{len(WHOLE) - 1}")):
        answer = parted.upload_part_copy(
            **upload.place, **source, PartNumber=number, CopySourceRange=f"bytes={extent}"
        )
        upload.answers[number] = answer["CopyPartResult"]
    with refusal:
        extent = f"bytes=0-{len(WHOLE)}"
        parted.upload_part_copy(**upload.place, **source, PartNumber=3, CopySourceRange=extent)
    assert refusal.code == "InvalidArgument"
    done = upload.complete("ETag", "ChecksumSHA256")
    assert done["ChecksumSHA256"] == composite((PARTS[0], PARTS[1] + PARTS[2]))
    assert parted.get_object(Bucket="vault", Key="b")["Body"].read() == WHOLE


def test_copy_on_condition(lab: Lab, parted: Any, refusal: Refusals) -> None:
    etag = parted.head_object(Bucket="vault", Key="a.bin")["ETag"]
    pin = {"CopySource": "vault/a.bin", "CopySourceIfMatch": etag}
    parted.copy_object(Bucket="vault", Key="b", **pin)
    upload = begin(lab, "c")
    parted.upload_part_copy(**upload.place, PartNumber=1, **pin)
    parted.put_object(Bucket="vault", Key="a.bin", Body=b"other")
    with refusal:
        parted.copy_object(Bucket="vault", Key="b", **pin)
    assert refusal.status == 412
    with refusal:
        parted.upload_part_copy(**upload.place, PartNumber=2, **pin)
    assert refusal.status == 412


def test_copy_of_what_is_not_there(lab: Lab, refusal: Refusals) -> None:
    upload = begin(lab, "c")
    with refusal:
        lab.s3.copy_object(Bucket="vault", Key="b", CopySource="vault/none")
    assert refusal.code == "NoSuchKey"
    with refusal:
        lab.s3.upload_part_copy(**upload.place, PartNumber=1, CopySource="vault/none")
    assert refusal.code == "NoSuchKey"


def test_more_than_five_gib_is_copied_in_parts_only(lab: Lab, refusal: Refusals) -> None:
    key = lab.stored(lab.image(volumes=[{"device": "/dev/xvda", "size": 20}]))
    size = lab.s3.head_object(Bucket="vault", Key=key)["ContentLength"]
    assert size > 5 * 1024**3
    with refusal:
        lab.s3.copy_object(Bucket="vault", Key="b", CopySource=f"vault/{key}")
    assert "maximum allowable size" in refusal.message
    upload, half = begin(lab, "b"), size // 2
    for number, extent in ((1, f"0-{half - 1}"), (2, f"{half}-{size - 1}")):
        answer = lab.s3.upload_part_copy(
            **upload.place,
            PartNumber=number,
            CopySource=f"vault/{key}",
            CopySourceRange=f"bytes={extent}",
        )
        upload.answers[number] = answer["CopyPartResult"]
    upload.complete("ETag", "ChecksumSHA256")
    head = lab.s3.head_object(Bucket="vault", Key="b", PartNumber=2)
    assert head["ContentLength"] == size - half
    assert lab.restore("b", Name="again")


def test_objects_written_by_another_account_keep_their_tags(lab: Lab) -> None:
    theirs = "EMULATEDACCESSKEY002"
    lab.emulator.scenario(accounts={theirs: "210987654321"})
    allow = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}
    bucket = {"name": "open", "policy": {"Statement": [allow]}}
    lab.emulator.plant_buckets(bucket)
    writer = lab.client("s3", key=theirs)
    writer.put_object(Bucket="open", Key="a", Body=b"", Tagging="team=sre")
    for reader in (lab.s3, writer):
        assert reader.get_object_tagging(Bucket="open", Key="a")["TagSet"]
