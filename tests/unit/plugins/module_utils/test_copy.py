# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies from end to end against an S3 in memory: what arrives, what is proved, what is not sent
twice, and what becomes of every fault.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from urllib3.exceptions import ProtocolError, SSLError

from ansible_collections.amistore.aws.plugins.module_utils._copy_content import Content
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import CopyEntry, State
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import COPY_OF, Seen
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import lay_out
from ansible_collections.amistore.aws.plugins.module_utils._copy_plan import plan
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import StoppedError
from ansible_collections.amistore.aws.plugins.module_utils._copy_uploads import begin
from ansible_collections.amistore.aws.plugins.module_utils._copy_useful import (
    AT_FIRST,
    NEAR,
    Useful,
)
from tests.unit.cloud import NOON, Refusal
from tests.unit.relay import (
    BODY,
    KEY,
    MANIFEST_KEY,
    MIB,
    PART,
    RECORD_KEY,
    Relay,
    failing,
    passing,
)
from tests.unit.s3_in_memory import (
    SOURCE_BUCKET,
    TARGET_BUCKET,
    StoredThing,
    composite,
    sha256,
)

MANIFEST: dict[str, Any] = {
    "format_version": 1,
    "bucket": SOURCE_BUCKET,
    "object_key": KEY,
    "image": {"Name": "web", "Tags": [{"Key": "a", "Value": "b"}]},
    "object_tag_keys": ["service"],
    "stored_image": {"etag": "filled in", "size": 1, "task_start_time": "then"},
}
FORBIDDEN = Refusal("AccessDenied", "Access Denied", 403)
ELSEWHERE = "https://elsewhere.example"


def damaging(operation: str, where: int, times: int = 1000) -> Callable[..., bytes]:
    """Flip a byte of the part that begins so many bytes into the object."""
    left = [times]

    def damage(done: str, params: Any, body: bytes) -> bytes:
        begins = params.get("Range", "").startswith(f"bytes={where}-")
        hit = params.get("PartNumber") == where // PART + 1 or begins
        if done != operation or not hit or not body or not left[0]:
            return body
        left[0] -= 1
        return bytes([body[0] ^ 1]) + body[1:]

    return damage


def manifest(relay: Relay, **changes: Any) -> None:
    stored = {**MANIFEST["stored_image"], "etag": relay.s3.get(KEY, SOURCE_BUCKET).etag}
    content = json.dumps({**MANIFEST, "stored_image": stored, **changes}).encode()
    relay.s3.put(MANIFEST_KEY, StoredThing(content))


def document(relay: Relay, key: str) -> dict[str, Any]:
    return dict(json.loads(relay.s3.get(key).body))


# What arrives


@pytest.mark.parametrize("concurrency", [1, 8])
def test_content_metadata_and_tags_arrive(relay: Relay, concurrency: int) -> None:
    relay.store(
        metadata={"ami-name": "web", "ami-store-date": "2026-05-01"},
        headers={"ContentType": "application/x-ami", "CacheControl": "private"},
        tags={"service": "shop & co", "empty": ""},
    )
    entry = relay.copy(concurrency=concurrency)
    copy = relay.s3.get(KEY)
    assert (entry.state, entry.reason, entry.changed) == (State.COPIED, "", True)
    assert copy.body == BODY
    assert copy.metadata == {
        "ami-name": "web",
        "ami-store-date": "2026-05-01",
        COPY_OF: entry.identity,
    }
    assert copy.headers == {"ContentType": "application/x-ami", "CacheControl": "private"}
    assert copy.tags == {"service": "shop & co"}
    assert (entry.parts, entry.counts.parts_sent, entry.parts_reused) == (4, 4, 0)
    assert entry.counts.bytes_sent == entry.counts.bytes_read == len(BODY)


def test_the_copy_is_proved_by_the_sources_etag_and_the_servers_checks(relay: Relay) -> None:
    relay.store()
    entry = relay.copy()
    assert entry.proof == {"source": "etag", "destination": "checksums", "parts_read_back": 0}
    pieces = [BODY[start : start + PART] for start in range(0, len(BODY), PART)]
    assert entry.checksum == composite([sha256(piece) for piece in pieces])
    assert relay.s3.get(KEY).sha256 == entry.checksum


@pytest.mark.parametrize(
    ("body", "key"),
    [(b"", KEY), (b"small", KEY), (b"x", "dr/\u00e9t\u00e9 mit Leerzeichen + plus%.bin")],
)
def test_small_objects_are_sent_in_one_piece(relay: Relay, body: bytes, key: str) -> None:
    relay.store(body, key, metadata={"ami-name": "web"})
    entry = relay.copy(key)
    assert entry.state is State.COPIED, entry.reason
    assert relay.s3.get(key).body == body
    assert relay.s3.get(key).metadata["ami-name"] == "web"
    assert entry.checksum == sha256(body)
    assert entry.proof == {"source": "etag", "destination": "read back", "parts_read_back": 1}
    assert "CreateMultipartUpload" not in relay.s3.cloud.operations()


def test_storage_class_key_and_tags_are_those_asked_for(relay: Relay) -> None:
    relay.store(tags={"service": "shop", "stage": "old"})
    entry = relay.copy(storage_class="GLACIER_IR", kms_key_id="key-1", tags={"stage": "new"})
    copy = relay.s3.get(KEY)
    assert copy.headers["StorageClass"] == "GLACIER_IR"
    assert copy.encryption == {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-1"}
    assert copy.tags == {"service": "shop", "stage": "new"}
    assert relay.s3.get(RECORD_KEY).encryption["SSEKMSKeyId"] == "key-1"
    assert entry.tags_after == copy.tags


def test_the_manifest_comes_along_with_its_place_brought_up_to_date(relay: Relay) -> None:
    relay.store()
    manifest(relay)
    entry = relay.copy(target="new/ami-0abcdef1234567890.bin", tags={"owner": "me"})
    written = document(relay, "new/ami-0abcdef1234567890.json")
    copy = relay.s3.get("new/ami-0abcdef1234567890.bin")
    section = written.pop("copy")
    assert entry.manifest_key == "new/ami-0abcdef1234567890.json"
    assert written == {
        **MANIFEST,
        "bucket": TARGET_BUCKET,
        "object_key": "new/ami-0abcdef1234567890.bin",
        "object_tag_keys": ["owner", "service"],
        "stored_image": {"etag": copy.etag, "size": len(BODY), "task_start_time": "then"},
    }
    assert section["source"] == {
        "bucket": SOURCE_BUCKET,
        "object_key": KEY,
        "etag": relay.s3.get(KEY, SOURCE_BUCKET).etag,
        "version_id": None,
        "size": len(BODY),
    }
    assert section["etag"] == copy.etag
    assert section["checksum"] == entry.checksum
    assert section["proof"] == entry.proof


def test_without_a_manifest_the_record_lies_where_nobody_takes_it_for_one(relay: Relay) -> None:
    relay.store()
    entry = relay.copy()
    assert entry.manifest_key is None
    assert not relay.s3.has(MANIFEST_KEY)
    assert document(relay, RECORD_KEY)["copy"]["proof"] == entry.proof


def test_the_proof_is_written_last(relay: Relay) -> None:
    relay.store()
    manifest(relay)
    relay.copy()
    operations = relay.s3.cloud.operations()
    assert operations.index("CompleteMultipartUpload") < operations.index("PutObject")
    assert operations[-1] == "PutObject"


# The second run


@pytest.mark.parametrize("with_manifest", [True, False])
def test_second_run_changes_nothing_and_reads_no_body(relay: Relay, with_manifest: bool) -> None:
    relay.store(tags={"service": "shop"})
    if with_manifest:
        manifest(relay)
    first = relay.copy()
    relay.s3.cloud.calls.clear()
    second = relay.copy()
    assert (second.state, second.changed) == (State.PRESENT, False)
    assert (second.checksum, second.proof) == (first.checksum, first.proof)
    assert relay.bodies_read() == []
    assert not any(
        name.startswith(("Put", "Create", "Upload", "Complete", "Delete"))
        for name in relay.s3.cloud.operations()
    )


def test_tags_that_a_kept_copy_lacks_are_added(relay: Relay) -> None:
    relay.store()
    relay.copy()
    relay.s3.get(KEY).tags = {"own": "stays"}
    entry = relay.copy(tags={"stage": "new"})
    assert (entry.state, entry.changed) == (State.PRESENT, True)
    assert relay.s3.get(KEY).tags == {"own": "stays", "stage": "new"}
    assert entry.tags_before == {"own": "stays"}


def test_a_manifest_that_has_changed_at_the_source_is_brought_along(relay: Relay) -> None:
    relay.store()
    manifest(relay)
    relay.copy()
    manifest(relay, launch_permissions=[])
    entry = relay.copy()
    assert (entry.state, entry.changed) == (State.PRESENT, True)
    assert document(relay, MANIFEST_KEY)["launch_permissions"] == []
    assert relay.copy().changed is False


def test_a_source_that_was_stored_again_is_not_taken_for_its_old_copy(relay: Relay) -> None:
    relay.store()
    relay.copy()
    relay.store(BODY[::-1])
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "overwrite: true" in entry.reason
    assert relay.s3.get(KEY).body == BODY


def test_overwrite_replaces_what_is_not_proved(relay: Relay) -> None:
    relay.store()
    relay.s3.put(KEY, StoredThing(b"another"), TARGET_BUCKET)
    assert relay.copy().state is State.FAILED
    assert relay.s3.get(KEY).body == b"another"
    assert relay.copy(overwrite=True).state is State.COPIED
    assert relay.s3.get(KEY).body == BODY


def test_a_copy_that_was_overwritten_is_not_proved_any_more(relay: Relay) -> None:
    relay.store()
    relay.copy()
    relay.s3.put(KEY, StoredThing(b"another"), TARGET_BUCKET)
    assert relay.copy().state is State.FAILED


def test_equal_etags_of_the_same_parts_need_no_copy(relay: Relay) -> None:
    relay.store()
    relay.s3.put(KEY, StoredThing.in_parts(BODY, PART), TARGET_BUCKET)
    entry = relay.copy()
    assert (entry.state, entry.changed) == (State.PRESENT, True)
    assert entry.proof == {"source": "etag", "destination": "etag", "parts_read_back": 0}
    assert relay.bodies_read() == []
    assert relay.copy().changed is False


def test_equal_etags_under_kms_prove_nothing(relay: Relay) -> None:
    kms = {"ServerSideEncryption": "aws:kms"}
    relay.store(encryption=kms)
    relay.s3.put(KEY, StoredThing.in_parts(BODY, PART, encryption=kms), TARGET_BUCKET)
    assert relay.copy().state is State.FAILED


def _lose_the_record(relay: Relay) -> None:
    relay.s3.kms = True
    relay.store()
    relay.copy()
    del relay.s3.buckets[TARGET_BUCKET][RECORD_KEY]
    relay.s3.cloud.calls.clear()


def test_a_copy_whose_proof_was_not_written_is_verified_by_reading(relay: Relay) -> None:
    _lose_the_record(relay)
    entry = relay.copy()
    assert (entry.state, entry.changed) == (State.PRESENT, True)
    assert entry.proof == {"source": "read twice", "destination": "read back", "parts_read_back": 4}
    assert relay.s3.sent_parts() == []
    assert relay.copy().changed is False


def test_a_copy_that_differs_when_it_is_read_is_an_error(relay: Relay) -> None:
    _lose_the_record(relay)
    relay.s3.get(KEY).body = BODY[:-1] + b"!"
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "differs from it in part 4" in entry.reason
    assert not relay.s3.has(RECORD_KEY)


# Resume


@pytest.mark.parametrize("listed", [True, False])
def test_an_interrupted_copy_is_gone_on_with(relay: Relay, listed: bool) -> None:
    relay.s3.lists_checksums = listed
    relay.store()
    marks = 2 if listed else 4
    relay.s3.before["UploadPart"] = [passing] * (marks + 2) + [failing(FORBIDDEN)]
    first = relay.copy()
    assert first.state is State.FAILED
    assert first.changed
    assert "2 of 4 parts are at the destination" in first.reason
    assert "s3:PutObject" in first.reason
    assert not relay.s3.has(KEY)
    second = relay.copy()
    assert second.state is State.COPIED, second.reason
    assert (second.parts_reused, second.counts.parts_sent) == (2, 2)
    assert sorted(relay.s3.sent_parts()) == [1, 2, 3, 3, 4]
    assert second.counts.bytes_read == len(BODY) - 2 * PART
    assert second.proof == {"source": "etag", "destination": "checksums", "parts_read_back": 0}
    assert relay.s3.get(KEY).body == BODY
    assert relay.s3.uploads == {}


def test_many_parts_are_listed_page_by_page(relay: Relay) -> None:
    relay.store()
    relay.s3.page_size = 1
    relay.s3.before["UploadPart"] = [passing] * 5 + [failing(FORBIDDEN)]
    relay.copy()
    assert relay.copy().parts_reused == 3


def _begun_with_checksums(relay: Relay) -> list[bool]:
    """For each upload that was begun, in order, whether it was to have checksums."""
    calls = relay.s3.cloud.params("CreateMultipartUpload")
    return ["ChecksumAlgorithm" in params for params in calls]


def test_in_aws_one_upload_is_begun(relay: Relay) -> None:
    relay.store()
    assert relay.copy().state is State.COPIED
    assert _begun_with_checksums(relay) == [True]
    assert "AbortMultipartUpload" not in relay.s3.cloud.operations()


@pytest.mark.parametrize("listed", [True, False])
def test_elsewhere_an_upload_without_checksums_is_begun_beside_the_other(
    relay: Relay, listed: bool
) -> None:
    relay.destination_endpoint = ELSEWHERE
    relay.s3.lists_checksums = listed
    relay.store()
    both = threading.Barrier(2, timeout=30)
    relay.s3.always["CreateMultipartUpload"] = lambda _params: both.wait()
    entry = relay.copy()
    assert entry.state is State.COPIED, entry.reason
    assert entry.proof == {"source": "etag", "destination": "checksums", "parts_read_back": 0}
    assert bool(relay.s3.get(KEY).sha256) is listed
    assert sorted(_begun_with_checksums(relay)) == [False, True]
    assert relay.s3.cloud.operations().count("AbortMultipartUpload") == 1
    assert relay.s3.uploads == {}
    assert relay.warnings == []


def test_a_server_that_keeps_no_checksums_is_left_without_the_marked_upload(relay: Relay) -> None:
    relay.destination_endpoint = ELSEWHERE
    relay.s3.keeps_checksums = relay.s3.checks_checksums = False
    relay.store()
    entry = relay.copy()
    assert entry.state is State.COPIED, entry.reason
    assert entry.proof == {"source": "etag", "destination": "read back", "parts_read_back": 4}
    assert relay.s3.uploads == {}
    assert relay.warnings == []


def _held_until_complete(relay: Relay, operation: str, holds: Callable[[Any], bool]) -> list[bool]:
    """Hold calls until the copy is made; the list tells for each whether that came to pass."""
    complete = threading.Event()
    in_time: list[bool] = []

    def hold(params: Any) -> None:
        if holds(params):
            in_time.append(complete.wait(30))

    relay.s3.always["CompleteMultipartUpload"] = lambda _params: complete.set()
    relay.s3.always[operation] = hold
    return in_time


@pytest.mark.parametrize("listed", [True, False])
def test_nobody_waits_for_an_abort_before_the_copy_is_made(relay: Relay, listed: bool) -> None:
    relay.destination_endpoint = ELSEWHERE
    relay.s3.lists_checksums = listed
    relay.store()
    in_time = _held_until_complete(relay, "AbortMultipartUpload", lambda _params: True)
    entry = relay.copy()
    assert entry.state is State.COPIED, entry.reason
    assert in_time == [True]
    assert relay.s3.uploads == {}


def test_nobody_waits_for_an_upload_that_is_not_needed(relay: Relay) -> None:
    relay.destination_endpoint = ELSEWHERE
    relay.store()
    in_time = _held_until_complete(
        relay, "CreateMultipartUpload", lambda params: "ChecksumAlgorithm" not in params
    )
    entry = relay.copy()
    assert entry.state is State.COPIED, entry.reason
    assert in_time == [True]
    assert relay.s3.uploads == {}


def test_an_upload_without_checksums_trusts_no_server_that_takes_wrong_ones(relay: Relay) -> None:
    relay.destination_endpoint = ELSEWHERE
    relay.s3.lists_checksums = relay.s3.checks_checksums = False
    relay.store()
    entry = relay.copy()
    assert entry.proof == {"source": "etag", "destination": "read back", "parts_read_back": 4}


def test_what_a_server_does_with_wrong_checksums_is_tried_with_the_upload_that_is_used(
    relay: Relay,
) -> None:
    relay.s3.lists_checksums = False
    relay.store(encryption={"ServerSideEncryption": "aws:kms"})

    def check_only_with_algorithm(params: Any) -> None:
        upload = relay.s3.uploads[params["UploadId"]]
        relay.s3.checks_checksums = "ChecksumAlgorithm" in upload.settings

    relay.s3.always["UploadPart"] = check_only_with_algorithm
    entry = relay.copy()
    assert entry.state is State.COPIED, entry.reason
    assert entry.proof is not None
    assert (entry.proof["destination"], entry.proof["parts_read_back"]) == ("read back", 4)


def test_an_upload_whose_parts_cannot_be_listed_does_not_stay(relay: Relay) -> None:
    relay.s3.always["ListParts"] = failing(FORBIDDEN)
    relay.store()
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "s3:ListMultipartUploadParts" in entry.reason
    assert "The unfinished upload was aborted" in entry.reason
    assert relay.s3.uploads == {}


def test_a_server_that_refuses_the_upload_without_checksums_gets_the_other_one(
    relay: Relay,
) -> None:
    relay.destination_endpoint = "https://vpce-1.s3.us-east-1.vpce.amazonaws.com"

    def refuse(params: Any) -> None:
        if "ChecksumAlgorithm" not in relay.s3.uploads[params["UploadId"]].settings:
            raise Refusal("InvalidRequest", "Checksum Type mismatch occurred", 400)

    relay.s3.always["UploadPart"] = refuse
    relay.store()
    entry = relay.copy()
    assert entry.state is State.COPIED, entry.reason
    assert entry.checksum
    assert entry.checksum == relay.s3.get(KEY).sha256
    assert relay.s3.uploads == {}
    assert relay.warnings == []


def test_no_upload_is_left_where_the_one_with_checksums_cannot_be_begun(relay: Relay) -> None:
    relay.destination_endpoint = ELSEWHERE

    def refuse(params: Any) -> None:
        if "ChecksumAlgorithm" in params:
            raise FORBIDDEN

    relay.s3.always["CreateMultipartUpload"] = refuse
    relay.store()
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "s3:PutObject" in entry.reason
    assert not entry.changed
    assert _begun_with_checksums(relay).count(False) == 1
    assert relay.s3.uploads == {}


@pytest.mark.parametrize("endpoint", [None, ELSEWHERE])
def test_a_useless_upload_that_cannot_be_aborted_is_told_beside_the_copy(
    relay: Relay, endpoint: str | None
) -> None:
    relay.destination_endpoint = endpoint
    relay.s3.lists_checksums = False
    relay.s3.before["AbortMultipartUpload"] = [failing(FORBIDDEN)]
    relay.store()
    entry = relay.copy()
    assert entry.state is State.COPIED, entry.reason
    assert len(relay.s3.uploads) == 1
    (warning,) = relay.warnings
    assert warning.startswith(f"{KEY}: an unfinished upload that is of no use stays")
    assert "s3:AbortMultipartUpload" in warning


def test_a_useless_upload_is_aborted_in_more_than_one_try_though_the_copy_fails(
    relay: Relay,
) -> None:
    relay.destination_endpoint = ELSEWHERE
    real = threading.Event()

    def refuse(params: Any) -> None:
        if "ChecksumAlgorithm" in params:
            raise FORBIDDEN

    def be_busy(_params: Any) -> None:
        # By then the copy has failed.
        real.wait(0.2)
        raise Refusal("SlowDown", status=503)

    relay.s3.always["CreateMultipartUpload"] = refuse
    relay.s3.before["AbortMultipartUpload"] = [be_busy]
    relay.store()
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert relay.s3.before["AbortMultipartUpload"] == []
    assert (relay.s3.uploads, relay.warnings) == ({}, [])


def test_an_upload_that_can_be_neither_marked_nor_aborted_is_told(relay: Relay) -> None:
    relay.destination_endpoint = ELSEWHERE

    def refuse(params: Any) -> None:
        if "ChecksumAlgorithm" not in relay.s3.uploads[params["UploadId"]].settings:
            raise FORBIDDEN

    relay.s3.always["UploadPart"] = refuse
    relay.s3.always["AbortMultipartUpload"] = failing(FORBIDDEN)
    relay.store()
    entry = relay.copy()
    assert entry.state is State.COPIED, entry.reason
    (warning,) = relay.warnings
    assert "of no use stays" in warning


def test_parts_of_an_earlier_run_that_cannot_be_known_are_held_against_the_source(
    relay: Relay,
) -> None:
    relay.source_tls = False
    relay.s3.lists_checksums = False
    relay.store(encryption={"ServerSideEncryption": "aws:kms"})
    relay.s3.before["UploadPart"] = [passing] * 6 + [failing(FORBIDDEN)]
    relay.copy()
    entry = relay.copy()
    assert entry.state is State.COPIED, entry.reason
    assert entry.parts_reused == 2
    assert entry.proof == {"source": "read twice", "destination": "checksums", "parts_read_back": 2}


def test_an_upload_for_another_version_of_the_source_is_not_gone_on_with(relay: Relay) -> None:
    relay.store()
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(FORBIDDEN)]
    relay.copy()
    relay.store(BODY[::-1])
    entry = relay.copy()
    assert (entry.state, entry.parts_reused) == (State.COPIED, 0)
    assert relay.s3.get(KEY).body == BODY[::-1]


def test_an_upload_with_other_settings_is_not_gone_on_with(relay: Relay) -> None:
    relay.store()
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(FORBIDDEN)]
    relay.copy()
    entry = relay.copy(tags={"stage": "new"})
    assert (entry.state, entry.parts_reused) == (State.COPIED, 0)
    assert relay.s3.get(KEY).tags == {"stage": "new"}


def test_uploads_of_others_are_neither_used_nor_touched(relay: Relay) -> None:
    relay.store()
    s3 = relay.wire.clients["s3"]
    theirs = s3.create_multipart_upload(Bucket=TARGET_BUCKET, Key=KEY)["UploadId"]
    s3.upload_part(Bucket=TARGET_BUCKET, Key=KEY, UploadId=theirs, PartNumber=1, Body=BODY[:PART])
    relay.s3.uploads[theirs].initiated = NOON - timedelta(days=400)
    assert relay.copy().state is State.COPIED
    assert list(relay.s3.uploads) == [theirs]


def test_leftovers_are_aborted_after_the_stated_age(relay: Relay) -> None:
    relay.store()
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(FORBIDDEN)]
    relay.copy()
    (old,) = relay.s3.uploads.values()
    old.initiated = NOON - timedelta(days=3)
    assert relay.copy(target="other.bin", abort_unfinished_after=2).state is State.COPIED
    assert len(relay.s3.uploads) == 1
    assert relay.copy(tags={"a": "1"}, abort_unfinished_after=4).state is State.COPIED
    assert len(relay.s3.uploads) == 1
    assert relay.copy(overwrite=True).state is State.PRESENT
    relay.store(BODY[::-1])
    assert relay.copy(overwrite=True, abort_unfinished_after=2).state is State.COPIED
    assert relay.s3.uploads == {}


@pytest.mark.parametrize("lost", ["", "its record", "its record and both sums"])
def test_leftovers_are_aborted_where_the_copy_is_there_as_well(relay: Relay, lost: str) -> None:
    kms = {"ServerSideEncryption": "aws:kms"} if "sums" in lost else {}
    relay.s3.kms = bool(kms)
    relay.store(encryption=kms)
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(FORBIDDEN)]
    relay.copy()
    assert relay.copy(tags={"a": "1"}).state is State.COPIED
    if lost:
        del relay.s3.buckets[TARGET_BUCKET][RECORD_KEY]
        assert relay.copy(tags={"a": "1"}).changed
    assert not relay.copy(tags={"a": "1"}).changed
    (old,) = relay.s3.uploads.values()
    old.initiated = NOON - timedelta(days=8)
    if lost:
        del relay.s3.buckets[TARGET_BUCKET][RECORD_KEY]
    foreseen = relay.copy(tags={"a": "1"}, check_mode=True)
    assert (foreseen.state, foreseen.changed) == (State.PRESENT, True)
    assert len(relay.s3.uploads) == 1
    entry = relay.copy(tags={"a": "1"})
    assert (entry.state, entry.changed) == (State.PRESENT, True)
    assert relay.s3.uploads == {}
    assert not relay.copy(tags={"a": "1"}).changed


def test_a_leftover_that_would_fit_is_aborted_with_the_others_once_the_copy_is_there(
    relay: Relay,
) -> None:
    relay.s3.kms = True
    relay.store(encryption={"ServerSideEncryption": "aws:kms"})
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(FORBIDDEN)]
    relay.copy()
    (old,) = relay.s3.uploads.values()
    old.initiated = NOON - timedelta(days=8)
    s3 = relay.s3
    left = dict(s3.uploads)
    s3.uploads.clear()
    assert relay.copy().state is State.COPIED
    s3.uploads |= left
    del s3.buckets[TARGET_BUCKET][RECORD_KEY]
    assert relay.copy(check_mode=True).changed
    entry = relay.copy()
    assert (entry.state, entry.changed) == (State.PRESENT, True)
    assert entry.proof == {"source": "read twice", "destination": "read back", "parts_read_back": 4}
    assert s3.uploads == {}
    assert not relay.copy().changed


def test_an_upload_that_a_run_was_at_lately_is_no_leftover(relay: Relay) -> None:
    relay.store()
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(FORBIDDEN)]
    relay.copy()
    (old,) = relay.s3.uploads.values()
    old.initiated = NOON - timedelta(days=30)
    assert relay.copy(tags={"a": "1"}, abort_unfinished_after=60).state is State.COPIED
    list_parts = relay.s3.cloud.replies["ListParts"]

    def of_days_ago(days: int) -> Any:
        def answer(params: Any) -> Any:
            found = list_parts(params)
            for place, part in enumerate(found["Parts"]):
                part["LastModified"] = NOON - timedelta(days=days + place)
            return found

        return answer

    for days, left in ((6, 1), (7, 0)):
        relay.s3.cloud.replies["ListParts"] = of_days_ago(days)
        entry = relay.copy(tags={"a": "1"})
        assert (entry.state, len(relay.s3.uploads)) == (State.PRESENT, left)


def test_leftovers_that_cannot_be_looked_for_take_no_time_and_one_warning(relay: Relay) -> None:
    keys = [f"dr/ami-{number:017x}.bin" for number in range(3)]
    for key in keys:
        relay.store(key=key)
        assert relay.copy(key).state is State.COPIED
    relay.s3.always["ListMultipartUploads"] = failing(Refusal("SlowDown", status=503))
    copier, began = relay.copier(), relay.clock.now()
    for key in keys:
        entry = CopyEntry(key, key)
        copier.copy(entry)
        assert (entry.state, entry.changed) == (State.PRESENT, False)
    assert len(copier.means.warnings) == 1
    assert relay.clock.now() - began < 200


@pytest.mark.parametrize("operation", ["AbortMultipartUpload", "ListMultipartUploads"])
def test_leftovers_that_cannot_be_aborted_are_told_and_hold_up_nothing(
    relay: Relay, operation: str
) -> None:
    relay.store()
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(FORBIDDEN)]
    relay.copy()
    (old,) = relay.s3.uploads.values()
    old.initiated = NOON - timedelta(days=8)
    if operation == "ListMultipartUploads":
        assert relay.copy(tags={"a": "1"}, abort_unfinished_after=9).state is State.COPIED
    relay.s3.always[operation] = failing(FORBIDDEN)
    entry = relay.copy(tags={"a": "1"})
    assert entry.state in (State.COPIED, State.PRESENT), entry.reason
    (warning,) = relay.warnings
    assert warning.startswith(f"{KEY}: unfinished uploads of earlier runs")
    assert f"s3:{operation}".replace("ListM", "ListBucketM") in warning


def test_a_wrong_upload_that_cannot_be_aborted_is_told(relay: Relay) -> None:
    relay.store()
    relay.s3.on_the_way = damaging("GetObject", 2 * PART)
    relay.s3.always["AbortMultipartUpload"] = failing(FORBIDDEN)
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "does not have the checksum that S3 gives for the source" in entry.reason
    assert "The unfinished upload was not aborted" in entry.reason


def test_leftovers_stay_where_so_many_days_are_asked_for_that_none_is_so_old(relay: Relay) -> None:
    relay.store()
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(FORBIDDEN)]
    relay.copy()
    (old,) = relay.s3.uploads.values()
    old.initiated = NOON.replace(year=2020)
    entry = relay.copy(tags={"a": "1"}, abort_unfinished_after=10**12)
    assert (entry.state, entry.reason) == (State.COPIED, "")
    assert list(relay.s3.uploads.values()) == [old]


def test_nothing_unfinished_stays_when_it_is_not_wanted(relay: Relay) -> None:
    relay.store()
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(FORBIDDEN)]
    entry = relay.copy(keep_unfinished=False)
    assert entry.state is State.FAILED
    assert "The unfinished upload was aborted" in entry.reason
    assert relay.s3.uploads == {}


def test_with_a_server_that_keeps_no_checksums_nothing_unfinished_stays(relay: Relay) -> None:
    relay.s3.keeps_checksums = relay.s3.checks_checksums = False
    relay.store()
    relay.s3.before["UploadPart"] = [passing] * 2 + [failing(FORBIDDEN)]
    assert relay.copy().state is State.FAILED
    assert relay.s3.uploads == {}


# Damage


def test_a_byte_flipped_on_the_way_to_the_destination_is_sent_again(relay: Relay) -> None:
    relay.store()
    relay.s3.on_the_way = damaging("UploadPart", PART, times=1)
    entry = relay.copy()
    assert entry.state is State.COPIED
    assert relay.s3.get(KEY).body == BODY
    assert entry.counts.bytes_sent == len(BODY) + PART


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("kms", [True, False])
@pytest.mark.parametrize("versioned", [True, False])
def test_a_byte_flipped_at_a_server_that_ignores_checksums_never_succeeds(
    relay: Relay, keeps: bool, kms: bool, versioned: bool
) -> None:
    relay.s3.checks_checksums, relay.s3.keeps_checksums = False, keeps
    relay.s3.kms, relay.s3.versioned = kms, versioned
    relay.store()
    relay.s3.put(KEY, StoredThing(b"before"), TARGET_BUCKET)
    relay.s3.on_the_way = damaging("UploadPart", PART)
    entry = relay.copy(overwrite=True)
    assert entry.state is State.FAILED
    assert "again" in entry.reason
    left = relay.s3.buckets[TARGET_BUCKET][KEY]
    assert [thing.body for thing in left] == ([b"before"] if versioned or not kms else [])
    assert not relay.s3.has(RECORD_KEY)


def test_a_server_that_ignores_checksums_is_read_back(relay: Relay) -> None:
    relay.s3.checks_checksums = False
    relay.store()
    entry = relay.copy()
    assert entry.state is State.COPIED, entry.reason
    assert entry.proof == {"source": "etag", "destination": "read back", "parts_read_back": 4}
    assert entry.counts.bytes_read == 2 * len(BODY)


@pytest.mark.parametrize("damaged", [True, False])
def test_an_etag_that_changes_is_no_matter_where_all_is_read_back(
    relay: Relay, damaged: bool
) -> None:
    relay.s3.keeps_checksums = relay.s3.checks_checksums = False
    relay.s3.renames_etags = relay.s3.kms = True
    relay.store()
    if damaged:
        relay.s3.on_the_way = damaging("UploadPart", PART)
    entry = relay.copy()
    assert entry.state is (State.FAILED if damaged else State.COPIED)
    assert ("It may be somebody else's, so it was not deleted" in entry.reason) is damaged
    assert relay.s3.has(RECORD_KEY) is not damaged


def test_what_has_another_etag_than_it_was_made_with_is_held_against_the_source(
    relay: Relay,
) -> None:
    relay.s3.renames_etags = True
    relay.store()
    entry = relay.copy()
    assert (entry.state, entry.changed) == (State.PRESENT, True), entry.reason
    assert entry.proof == {
        "source": "read twice",
        "destination": "read back",
        "parts_read_back": 4,
    }


def test_what_overwrites_the_copy_as_soon_as_it_is_complete_is_told(relay: Relay) -> None:
    relay.store()
    complete = relay.s3.cloud.replies["CompleteMultipartUpload"]

    def overwritten(params: Any) -> Any:
        answer = complete(params)
        relay.s3.put(KEY, StoredThing(b"another"), TARGET_BUCKET)
        return answer

    relay.s3.cloud.replies["CompleteMultipartUpload"] = overwritten
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "deleted or overwritten as soon as it was complete" in entry.reason
    assert relay.s3.get(KEY).body == b"another"


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("told", [True, False])
def test_another_stretch_of_the_source_than_the_one_asked_for_is_not_taken(
    relay: Relay, tls: bool, told: bool
) -> None:
    relay.source_tls = tls
    relay.store(encryption={"ServerSideEncryption": "aws:kms"})
    get = relay.s3.cloud.replies["GetObject"]

    def shifted(params: Any) -> Any:
        second = params.get("Range", "").startswith(f"bytes={PART}-")
        answer = get({**params, "Range": f"bytes=0-{PART - 1}"} if second else params)
        if second and not told:
            del answer["ContentRange"]
        return answer

    relay.s3.cloud.replies["GetObject"] = shifted
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert f"instead of bytes={PART}-{2 * PART - 1}" in entry.reason
    assert not relay.s3.has(KEY)
    relay.s3.cloud.replies["GetObject"] = get
    assert relay.copy().state is State.COPIED
    assert relay.s3.get(KEY).body == BODY


def test_a_small_object_that_arrives_damaged_is_deleted_again(relay: Relay) -> None:
    relay.s3.checks_checksums = False
    relay.store(b"small")
    relay.s3.on_the_way = lambda operation, _params, body: (
        b"smell" if operation == "PutObject" else body
    )
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "It was deleted again" in entry.reason
    assert not relay.s3.has(KEY)


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("part_size", [None, 2 * PART])
def test_a_byte_flipped_on_the_way_from_the_source_is_seen_by_its_etag(
    relay: Relay, tls: bool, part_size: int | None
) -> None:
    relay.source_tls = tls
    relay.store()
    relay.s3.on_the_way = damaging("GetObject", 2 * PART)
    entry = relay.copy(part_size=part_size)
    assert entry.state is State.FAILED
    assert "does not have the checksum that S3 gives for the source" in entry.reason
    assert not relay.s3.has(KEY)
    assert relay.s3.uploads == {}
    relay.s3.on_the_way = lambda _operation, _params, body: body
    assert relay.copy(part_size=part_size).state is State.COPIED


def test_a_byte_flipped_once_is_seen_without_an_etag_by_reading_twice(relay: Relay) -> None:
    relay.source_tls = False
    relay.store(encryption={"ServerSideEncryption": "aws:kms"})
    relay.s3.on_the_way = damaging("GetObject", PART, times=1)
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "reading it twice gave different bytes" in entry.reason
    assert not relay.s3.has(KEY)
    assert relay.copy().proof == {
        "source": "read twice",
        "destination": "checksums",
        "parts_read_back": 0,
    }


@pytest.mark.parametrize("body", [BODY, b"small"])
def test_a_checksum_that_s3_keeps_of_the_source_is_used(relay: Relay, body: bytes) -> None:
    relay.source_tls = False
    pieces = [body[start : start + PART] for start in range(0, len(body), PART)]
    checksum = composite([sha256(piece) for piece in pieces]) if len(pieces) > 1 else sha256(body)
    relay.store(body, encryption={"ServerSideEncryption": "aws:kms"}, sha256=checksum)
    proof = relay.copy().proof
    assert proof is not None
    assert proof["source"] == "sha256"
    wrong = sha256(b"other") + ("-4" if len(pieces) > 1 else "")
    relay.store(body, "b.bin", encryption={"ServerSideEncryption": "aws:kms"}, sha256=wrong)
    entry = relay.copy("b.bin")
    assert entry.state is State.FAILED
    assert "does not have the checksum that S3 gives for" in entry.reason
    assert not relay.s3.has("b.bin")
    assert relay.s3.uploads == {}


def test_over_tls_a_source_without_sums_is_trusted(relay: Relay) -> None:
    relay.store(encryption={"ServerSideEncryption": "aws:kms"})
    entry = relay.copy()
    assert entry.proof == {"source": "tls", "destination": "checksums", "parts_read_back": 0}
    assert entry.counts.bytes_read == len(BODY)


def test_under_a_kms_key_the_etag_of_the_source_is_checked_here(relay: Relay) -> None:
    relay.store()
    entry = relay.copy(kms_key_id="key-1")
    assert entry.proof == {"source": "etag", "destination": "checksums", "parts_read_back": 0}
    relay.s3.kms = True
    relay.store(BODY[::-1], "other.bin")
    relay.s3.on_the_way = damaging("GetObject", PART)
    assert relay.copy("other.bin", kms_key_id="key-1").state is State.FAILED


def test_a_short_read_is_read_again(relay: Relay) -> None:
    relay.store()
    cut = [3]

    def shorten(operation: str, _params: Any, body: bytes) -> bytes:
        if operation == "GetObject" and cut[0] and len(body) == PART:
            cut[0] -= 1
            return body[:-1]
        return body

    relay.s3.on_the_way = shorten
    assert relay.copy().state is State.COPIED
    assert cut == [0]
    assert relay.s3.get(KEY).body == BODY


class Unread(io.BytesIO):
    """A body that nobody may read."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise AssertionError(size)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_server_that_sends_the_whole_object_for_a_part_is_not_read(
    relay: Relay, concurrency: int
) -> None:
    relay.store()
    relay.s3.as_file = Unread
    get_object = relay.s3.cloud.replies["GetObject"]

    def ignore_range(params: Any) -> Any:
        return get_object({name: value for name, value in params.items() if name != "Range"})

    relay.s3.cloud.replies["GetObject"] = ignore_range
    entry = relay.copy(concurrency=concurrency)
    assert entry.state is State.FAILED
    assert f"{len(BODY)} bytes came instead of the " in entry.reason
    # Ten tries each: of both halves of those that were read ahead, and of none a second time.
    assert len(relay.bodies_read()) <= 10 * 2 * concurrency
    assert entry.counts.bytes_read == 0


def test_what_tls_finds_damaged_on_the_way_is_read_again(relay: Relay) -> None:
    damaged = [1]

    class Damaged(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if damaged and self.tell():
                damaged.clear()
                raise SSLError("bad record mac")
            return super().read(size)

    relay.store()
    relay.s3.as_file = Damaged
    entry = relay.copy()
    assert (entry.state, entry.reason) == (State.COPIED, "")
    assert relay.s3.get(KEY).body == BODY
    assert not damaged


# Faults


def test_throttling_and_server_faults_are_waited_out(relay: Relay) -> None:
    relay.store()
    faults = [
        Refusal("SlowDown", status=503),
        Refusal("InternalError", status=500),
        Refusal("RequestTimeout", status=400),
    ]
    relay.s3.before["UploadPart"] = [passing] * 3 + [failing(fault) for fault in faults]
    relay.s3.before["GetObject"] = [failing(fault) for fault in faults]
    relay.s3.before["CompleteMultipartUpload"] = [failing(fault) for fault in faults]
    assert relay.copy().state is State.COPIED
    assert relay.s3.get(KEY).body == BODY
    assert len(relay.clock.slept) == 9


@pytest.mark.parametrize("fault", [SSLError("bad record mac"), ProtocolError("broken")])
def test_an_answer_that_breaks_off_is_asked_for_again(relay: Relay, fault: Exception) -> None:
    relay.store()
    broken: set[str] = set()

    def break_off(params: Any) -> None:
        what = params.get("Range", params["Key"])
        if what not in broken:
            broken.add(what)
            raise fault

    relay.s3.always["GetObject"] = break_off
    entry = relay.copy()
    assert (entry.state, entry.reason) == (State.COPIED, "")
    assert relay.s3.get(KEY).body == BODY
    assert {MANIFEST_KEY, f"bytes=0-{PART // 2 - 1}"} <= broken


def test_throttling_lowers_the_number_of_parts_at_a_time(relay: Relay) -> None:
    relay.store()
    relay.s3.before["GetObject"] = [failing(Refusal("SlowDown", status=503))]
    copier = relay.copier(concurrency=8)
    copier.copy(entry := _entry())
    assert entry.state is State.COPIED
    assert copier.means.pace.limit < 8


def _entry() -> CopyEntry:
    return CopyEntry(KEY, KEY)


def test_throttling_ends_with_the_time_to_wait(relay: Relay) -> None:
    relay.store()
    relay.s3.always["GetObject"] = failing(Refusal("SlowDown", "Please reduce", 503))
    began = relay.clock.now()
    entry = relay.copy(wait_timeout=5)
    assert entry.state is State.FAILED
    assert "SlowDown" in entry.reason
    assert relay.clock.now() - began <= 5


def test_the_time_to_wait_ends_the_run_and_keeps_the_upload(relay: Relay) -> None:
    relay.store()

    def dawdle(_params: Any) -> None:
        relay.clock.time += 30

    relay.s3.always["UploadPart"] = dawdle
    with pytest.raises(StoppedError, match=r"wait_timeout \(100 s\) has passed.*2 of 4 parts"):
        relay.copy(wait_timeout=100)
    del relay.s3.always["UploadPart"]
    assert relay.copy().parts_reused == 2


@pytest.mark.parametrize(
    ("operation", "code", "told"),
    [
        ("GetObject", "ExpiredToken", ["source", "source_session_token", "goes on"]),
        ("UploadPart", "ExpiredToken", ["destination", "session_token", "goes on"]),
        ("UploadPart", "InvalidAccessKeyId", ["destination", "partition of region"]),
        ("CreateMultipartUpload", "PermanentRedirect", ["destination", "set region"]),
        ("GetObject", "AuthorizationHeaderMalformed", ["source", "set source_region"]),
        ("CreateMultipartUpload", "NoSuchBucket", ["destination", "does not exist"]),
    ],
)
def test_what_stops_the_whole_run_names_the_side_and_the_fix(
    relay: Relay, operation: str, code: str, told: list[str]
) -> None:
    relay.store()
    relay.s3.always[operation] = failing(Refusal(code, status=400))
    with pytest.raises(StoppedError) as stopped:
        relay.copy()
    for words in [*told, code]:
        assert words in str(stopped.value.message)


@pytest.mark.parametrize(
    ("operation", "refusal", "told"),
    [
        (
            "CreateMultipartUpload",
            Refusal("AccessDenied", "not authorized to perform: kms:GenerateDataKey", 403),
            ["destination", "kms:GenerateDataKey and kms:Decrypt"],
        ),
        ("UploadPart", Refusal("KMS.DisabledException", "is disabled"), ["kms:Decrypt"]),
        ("CreateMultipartUpload", FORBIDDEN, ["destination", "s3:PutObject", TARGET_BUCKET, KEY]),
        ("GetObject", FORBIDDEN, ["source", "s3:GetObject", SOURCE_BUCKET, KEY]),
        ("GetObjectTagging", FORBIDDEN, ["source", "s3:GetObjectTagging"]),
        ("ListMultipartUploads", FORBIDDEN, ["s3:ListBucketMultipartUploads"]),
        ("ListParts", FORBIDDEN, ["s3:ListMultipartUploadParts"]),
        ("HeadObject", Refusal("400", "Bad Request", 400), ["source", "SSE-C"]),
        ("GetObject", Refusal("InvalidObjectState", status=403), ["restore-object"]),
        ("UploadPart", Refusal("EntityTooSmall"), ["part_size"]),
        ("CompleteMultipartUpload", Refusal("EntityTooSmall"), ["part_size"]),
        ("UploadPart", Refusal("BadDigest"), ["damaged on the way"]),
    ],
)
def test_what_fails_one_object_names_side_key_and_fix(
    relay: Relay, operation: str, refusal: Refusal, told: list[str]
) -> None:
    relay.store()
    relay.s3.before["UploadPart"] = [passing, passing]
    relay.s3.always[operation] = failing(refusal)
    if operation == "UploadPart":
        relay.s3.always[operation] = lambda params: (
            None if params["PartNumber"] >= 9_998 else failing(refusal)(params)
        )
    entry = relay.copy()
    assert entry.state is State.FAILED
    for words in [*told, refusal.code]:
        assert words in entry.reason
    # No policy gives it, and no copy needs it.
    assert "s3:GetObjectVersion" not in entry.reason
    assert not relay.s3.has(KEY)


def test_a_source_that_does_not_exist(relay: Relay) -> None:
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert f"s3://{SOURCE_BUCKET}/{KEY} does not exist" in entry.reason
    assert not entry.changed


def test_an_archived_source_says_how_to_bring_it_back(relay: Relay) -> None:
    relay.store(headers={"StorageClass": "DEEP_ARCHIVE"})
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "aws s3api restore-object" in entry.reason
    assert "CreateMultipartUpload" not in relay.s3.cloud.operations()


def test_a_source_that_was_archived_after_its_copy_needs_no_bytes(relay: Relay) -> None:
    relay.store()
    relay.copy()
    relay.s3.get(KEY, SOURCE_BUCKET).headers["StorageClass"] = "DEEP_ARCHIVE"
    assert relay.copy().state is State.PRESENT


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("when", ["GetObject", "UploadPart", "HeadObject"])
@pytest.mark.parametrize("deleted", [True, False])
def test_a_source_that_changes_during_the_copy_is_an_error(
    relay: Relay, versioned: bool, when: str, deleted: bool
) -> None:
    relay.s3.versioned = versioned
    relay.store()

    def change(_params: Any) -> None:
        if deleted:
            relay.s3.buckets[SOURCE_BUCKET][KEY].clear()
        else:
            relay.store(BODY[::-1])

    calls = {"GetObject": 3, "UploadPart": 4, "HeadObject": 3}
    relay.s3.before[when] = [passing] * calls[when] + [change]
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert SOURCE_BUCKET in entry.reason
    assert not relay.s3.has(KEY)
    assert relay.s3.uploads == {}


def test_without_the_right_to_versions_the_etag_alone_pins_the_source(relay: Relay) -> None:
    relay.s3.versioned = True
    relay.store()

    def refuse_versions(params: Any) -> None:
        if "VersionId" in params and params["Bucket"] == SOURCE_BUCKET:
            raise Refusal("403", status=403)

    relay.s3.always = {"HeadObject": refuse_versions, "GetObject": refuse_versions}
    assert relay.copy().state is State.COPIED


def test_an_upload_that_somebody_aborted_is_named_and_begun_anew(relay: Relay) -> None:
    relay.store()

    def abort(_params: Any) -> None:
        relay.s3.uploads.clear()

    relay.s3.before["UploadPart"] = [passing] * 4 + [abort]
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "lifecycle rule" in entry.reason
    assert relay.copy().state is State.COPIED


def test_of_two_copies_at_once_the_second_finds_that_of_the_first(relay: Relay) -> None:
    relay.store()
    relay.s3.before["UploadPart"] = [passing] * 5 + [failing(FORBIDDEN)]
    relay.copy()

    def other_run(_params: Any) -> None:
        assert relay.copier().copy(_entry()) is None

    relay.s3.before["UploadPart"] = [passing] * 2 + [other_run]
    entry = relay.copy()
    assert entry.state is State.PRESENT, entry.reason
    assert relay.s3.get(KEY).body == BODY
    assert relay.s3.uploads == {}


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("damaged", [True, False])
def test_parts_that_another_run_sends_again_with_kms_are_taken_over(
    relay: Relay, lists: bool, damaged: bool
) -> None:
    relay.s3.kms, relay.s3.lists_checksums = True, lists
    relay.store()

    def send_again(params: Any) -> None:
        body = BODY[: PART - 1] + b"?" if damaged else BODY[:PART]
        checksum = {"ChecksumSHA256": sha256(body)} if lists else {}
        relay.wire.clients["s3"].upload_part(
            Bucket=TARGET_BUCKET,
            Key=KEY,
            UploadId=params["UploadId"],
            PartNumber=1,
            Body=body,
            **checksum,
        )

    relay.s3.before["CompleteMultipartUpload"] = [send_again, send_again]
    entry = relay.copy()
    if damaged:
        assert entry.state is State.FAILED
        assert not relay.s3.has(KEY)
    else:
        assert entry.state is State.COPIED, entry.reason
        assert entry.proof["parts_read_back"] == (0 if lists else 1)
        assert relay.s3.get(KEY).body == BODY
        assert relay.s3.uploads == {}


def test_of_two_runs_that_replace_the_same_object_with_kms_both_end_well(relay: Relay) -> None:
    relay.s3.kms = True
    relay.store()
    relay.s3.put(KEY, StoredThing(b"before"), TARGET_BUCKET)
    complete = relay.s3.cloud.replies["CompleteMultipartUpload"]

    def other_run_as_well(params: Any) -> Any:
        relay.s3.cloud.replies["CompleteMultipartUpload"] = complete
        answer = complete(params)
        relay.s3.put(KEY, StoredThing(b"before"), TARGET_BUCKET)
        assert relay.copy(overwrite=True, part_size=2 * PART).state is State.COPIED
        return answer

    relay.s3.cloud.replies["CompleteMultipartUpload"] = other_run_as_well
    entry = relay.copy(overwrite=True)
    assert (entry.state, entry.changed) == (State.PRESENT, True), entry.reason
    assert relay.s3.get(KEY).body == BODY
    assert not relay.copy().changed


@pytest.mark.parametrize(
    ("body", "operation"), [(BODY, "CompleteMultipartUpload"), (b"small", "PutObject")]
)
def test_what_appears_under_the_key_during_the_copy_is_not_overwritten(
    relay: Relay, body: bytes, operation: str
) -> None:
    relay.store(body)
    asked = "IfNoneMatch" in _inputs_of(relay, "PutObject")

    def appear(_params: Any) -> None:
        relay.s3.put(KEY, StoredThing(b"another"), TARGET_BUCKET)

    relay.s3.before[operation] = [appear]
    entry = relay.copy(keep_unfinished=False)
    assert relay.s3.uploads == {}
    # The oldest botocore cannot ask S3 for it.
    assert entry.state is (State.FAILED if asked else State.COPIED)
    assert relay.s3.get(KEY).body == (b"another" if asked else body)
    assert ("Something else was written" in entry.reason) is asked


def _inputs_of(relay: Relay, operation: str) -> set[str]:
    service = relay.wire.clients["s3"].meta.service_model
    return set(service.operation_model(operation).input_shape.members)


def test_a_lost_answer_to_the_completion_is_no_failure(relay: Relay) -> None:
    relay.store()
    complete = relay.s3.cloud.replies["CompleteMultipartUpload"]

    def lose_answer(params: Any) -> Any:
        relay.s3.cloud.replies["CompleteMultipartUpload"] = complete
        complete(params)
        raise Refusal("InternalError", status=500)

    relay.s3.cloud.replies["CompleteMultipartUpload"] = lose_answer
    entry = relay.copy()
    assert (entry.state, entry.changed) == (State.PRESENT, True)
    assert relay.s3.has(RECORD_KEY)


def test_an_object_is_not_copied_onto_itself(relay: Relay) -> None:
    relay.store()
    copier = relay.copier()
    copier.means.destination = copier.means.source
    copier.copy(entry := _entry())
    assert entry.state is State.FAILED
    assert "are the same object" in entry.reason
    assert relay.s3.cloud.calls == []


def test_too_many_tags_fail_before_anything_is_sent(relay: Relay) -> None:
    relay.store(tags={f"k{number}": "v" for number in range(8)})
    entry = relay.copy(tags={f"n{number}": "v" for number in range(3)})
    assert entry.state is State.FAILED
    assert "has 8 tags, with those of the task 11" in entry.reason
    assert "CreateMultipartUpload" not in relay.s3.cloud.operations()


@pytest.mark.parametrize("check_mode", [True, False])
def test_tags_that_a_kept_copy_has_no_room_for_are_an_error(relay: Relay, check_mode: bool) -> None:
    relay.store(tags={str(number): "x" for number in range(6)})
    relay.copy()
    relay.s3.get(KEY).tags = there = {f"own-{number}": "x" for number in range(5)}
    entry = relay.copy(check_mode=check_mode)
    assert (entry.state, entry.changed) == (State.FAILED, False)
    assert f"destination s3://{TARGET_BUCKET}/{KEY} has 5 tags" in entry.reason
    assert relay.s3.get(KEY).tags == there
    there.popitem()
    assert relay.copy(check_mode=check_mode).changed


def test_a_server_without_tags_is_no_obstacle(relay: Relay) -> None:
    relay.store()
    relay.s3.always["GetObjectTagging"] = failing(Refusal("NotImplemented", status=501))
    assert relay.copy().state is State.COPIED


def test_a_server_that_fails_to_tell_tags_is_warned_about(relay: Relay) -> None:
    relay.store(tags={"service": "shop"})
    relay.s3.always["GetObjectTagging"] = failing(Refusal("500", status=500))
    assert relay.copy().state is State.COPIED
    assert any("fails to tell tags" in warning for warning in relay.warnings)
    del relay.s3.always["GetObjectTagging"]
    assert relay.copy().changed
    assert relay.s3.get(KEY).tags == {"service": "shop"}


def test_a_destination_that_cannot_tell_tags_is_left_alone(relay: Relay) -> None:
    relay.store(tags={"service": "shop"})
    relay.copy()

    def refuse(params: Any) -> None:
        if params["Bucket"] == TARGET_BUCKET:
            raise Refusal("NotImplemented", status=501)

    relay.s3.always["GetObjectTagging"] = refuse
    entry = relay.copy()
    assert (entry.state, entry.changed) == (State.PRESENT, False)


def test_slow_parts_are_read_over_several_connections(relay: Relay) -> None:
    body = b"".join(bytes([number]) * MIB for number in range(4 * 5)) + b"the end"
    relay.store(body)

    def dawdle(params: Any) -> None:
        if params["Bucket"] == SOURCE_BUCKET and params["Key"] == KEY:
            relay.clock.time += 5

    relay.s3.always["GetObject"] = dawdle
    entry = relay.copy(concurrency=1)
    assert (entry.state, entry.parts) == (State.COPIED, 5)
    assert relay.s3.get(KEY).body == body
    ranges = [params.get("Range") for params in relay.s3.cloud.params("GetObject")]
    quarter = PART // 4
    assert {
        f"bytes={2 * PART + place * quarter}-{2 * PART + (place + 1) * quarter - 1}"
        for place in range(4)
    } <= set(ranges)


def test_the_first_parts_are_read_over_several_connections_until_one_is_known_to_be_fast(
    relay: Relay,
) -> None:
    relay.store()
    assert relay.copy(concurrency=1).state is State.COPIED
    ranges = [params["Range"] for params in relay.s3.cloud.params("GetObject") if "Range" in params]
    half = PART // 2
    assert sorted(ranges[:2]) == [f"bytes=0-{half - 1}", f"bytes={half}-{PART - 1}"]
    assert ranges[2:] == [part.range for part in lay_out(len(BODY), PART).parts[1:]]


@pytest.mark.parametrize(("seconds", "number"), [(0, NEAR), (5, 64)])
def test_what_the_first_stretches_take_tells_how_many_parts_to_move(
    relay: Relay, seconds: int, number: int
) -> None:
    relay.store()
    copier = relay.copier(concurrency=64)
    limits: list[int] = []

    def dawdle(params: Any) -> None:
        if "Range" in params:
            relay.clock.time += seconds

    relay.s3.always["GetObject"] = dawdle
    relay.s3.always["UploadPart"] = lambda _params: limits.append(copier.means.pace.limit)
    entry = CopyEntry(KEY, KEY)
    copier.copy(entry)
    assert entry.state is State.COPIED
    assert limits[-1] == number


@pytest.mark.parametrize("damage", [Refusal("PreconditionFailed", status=412), FORBIDDEN])
def test_a_stretch_that_cannot_be_read_ends_the_copy(relay: Relay, damage: Refusal) -> None:
    body = b"".join(bytes([number]) * PART for number in range(3)) + b"the end"
    relay.store(body)
    bad = f"bytes={2 * PART + PART // 4}-{2 * PART + PART // 2 - 1}"

    def dawdle(params: Any) -> None:
        relay.clock.time += 5
        if params.get("Range") == bad:
            raise damage

    relay.s3.always["GetObject"] = dawdle
    entry = relay.copy(concurrency=1)
    assert entry.state is State.FAILED
    assert damage.code in entry.reason or "overwritten" in entry.reason
    assert not relay.s3.has(KEY)


def test_parts_are_read_while_the_upload_begins(relay: Relay) -> None:
    relay.store()
    both = threading.Barrier(2, timeout=30)

    def meet(params: Any) -> None:
        if params.get("Range") in (None, f"bytes=0-{PART // 2 - 1}"):
            both.wait()

    relay.s3.always["CreateMultipartUpload"] = meet
    relay.s3.always["GetObject"] = lambda params: meet(params) if "Range" in params else None
    entry = relay.copy()
    assert (entry.state, relay.s3.get(KEY).body) == (State.COPIED, BODY)
    ranges = [params["Range"] for params in relay.s3.cloud.params("GetObject") if "Range" in params]
    assert len(ranges) == len(set(ranges))
    assert entry.counts.bytes_read == len(BODY)


def test_more_parts_move_where_the_sides_are_far_away(relay: Relay) -> None:
    relay.store()
    means = relay.copier(concurrency=64).means
    job = Job(_entry(), cast(Seen, None), lay_out(len(BODY), wanted=8 * MIB), {}, {}, None)
    means.streaming(job)
    assert means.pace.limit == NEAR
    for seconds in (0.75, 0.25, 1.0):

        def far(_params: Any, seconds: float = seconds) -> None:
            relay.clock.time += seconds

        relay.s3.always["ListObjectsV2"] = far
        for side in (means.source, means.destination):
            side.call("list", "list_objects_v2")
    assert means.source.round_trip == means.destination.round_trip == 0.25
    means.streaming(job)
    assert means.pace.limit == NEAR + 15


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_parts_are_read_ahead_than_may_move(relay: Relay, concurrency: int) -> None:
    relay.store()
    relay.s3.always["CreateMultipartUpload"] = failing(FORBIDDEN)
    entry = relay.copy(concurrency=concurrency)
    assert entry.state is State.FAILED
    assert entry.counts.bytes_read == concurrency * PART


def test_a_part_that_comes_to_its_turn_first_does_not_wait_for_those_read_ahead(
    relay: Relay,
) -> None:
    relay.store()
    copier = relay.copier(memory=2 * PART)
    job = copier.observer.observe(_entry())
    plan(copier.means, job)
    stream = copier.means.streaming(job)
    upload = begin(copier.means.destination, KEY, {})
    with contextlib.closing(stream.ahead):
        stream.read_ahead(job.layout.parts, 3)
        sending = threading.Thread(
            target=stream.send, args=(job.layout.parts[2], upload), daemon=True
        )
        sending.start()
        sending.join(10)
        assert not sending.is_alive()
    assert relay.s3.sent_parts() == [3]
    # Those before it are read ahead, as far as there is room.
    assert copier.means.memory.most_held == 2 * PART


def test_what_was_read_ahead_is_let_go_where_the_upload_cannot_begin(relay: Relay) -> None:
    relay.store()
    relay.s3.always["CreateMultipartUpload"] = failing(FORBIDDEN)
    copier = relay.copier(concurrency=4)
    copier.copy(entry := _entry())
    assert (entry.state, entry.changed) == (State.FAILED, False)
    assert copier.means.memory.most_held > PART
    with copier.means.memory.hold(copier.means.memory.limit):
        assert copier.means.memory.most_held == copier.means.memory.limit


def test_a_part_that_cannot_be_read_ahead_ends_the_copy(relay: Relay) -> None:
    relay.store()

    def refuse(params: Any) -> None:
        if "Range" in params:
            raise FORBIDDEN

    relay.s3.always["GetObject"] = refuse
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "read part 1" in entry.reason
    assert not relay.s3.has(KEY)


def test_slow_connections_are_noticed_before_the_first_part_is_through(relay: Relay) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            relay.clock.time += 0.5
            return super().read(size)

    relay.store()
    relay.s3.as_file = Slow
    limits: list[int] = []
    copier = relay.copier(concurrency=40)
    relay.s3.always["UploadPart"] = lambda params: (
        limits.append(copier.means.pace.limit) if params["PartNumber"] == 1 else None
    )
    copier.copy(entry := _entry())
    assert entry.state is State.COPIED
    assert limits == [40]


def test_nothing_is_read_ahead_for_an_upload_that_goes_on(relay: Relay) -> None:
    relay.store()
    relay.s3.always["UploadPart"] = refuse_part_three
    assert relay.copy().state is State.FAILED
    del relay.s3.always["UploadPart"]
    before = len(relay.bodies_read())
    entry = relay.copy()
    assert (entry.state, entry.parts_reused) == (State.COPIED, 2)
    # The third part in halves, and the end.
    assert len(relay.bodies_read()) - before == 2 + 1
    assert entry.counts.bytes_read == len(BODY) - 2 * PART


def refuse_part_three(params: Any) -> None:
    if params["PartNumber"] == 3:
        raise FORBIDDEN


def test_source_and_unfinished_uploads_are_looked_at_at_the_same_time(relay: Relay) -> None:
    relay.store()
    both = threading.Barrier(2, timeout=30)
    met: list[str] = []

    def meet(name: str) -> Callable[[Any], None]:
        def wait(params: Any) -> None:
            if name != "HeadObject" or params.get("PartNumber") == 1:
                both.wait()
                met.append(name)

        return wait

    relay.s3.always["HeadObject"] = meet("HeadObject")
    relay.s3.always["ListMultipartUploads"] = meet("ListMultipartUploads")
    assert relay.copy().state is State.COPIED
    assert sorted(met) == ["HeadObject", "ListMultipartUploads"]


def test_unfinished_uploads_are_not_asked_for_where_there_can_be_none(relay: Relay) -> None:
    relay.store(BODY[:PART])
    assert relay.copy().state is State.COPIED
    assert not relay.s3.cloud.params("ListMultipartUploads")


def test_a_server_that_finds_no_uploads_to_list(relay: Relay) -> None:
    relay.store()
    relay.s3.always["ListMultipartUploads"] = failing(Refusal("NoSuchUpload", status=404))
    assert relay.copy().state is State.COPIED


def test_something_else_under_the_manifests_key_is_an_error(relay: Relay) -> None:
    relay.store()
    relay.s3.put(MANIFEST_KEY, StoredThing(b"notes"))
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "is not JSON" in entry.reason
    assert not relay.s3.has(KEY)


# Check mode


def test_check_mode_foresees_a_copy_and_moves_nothing(relay: Relay) -> None:
    relay.store(tags={"service": "shop"})
    entry = relay.copy(check_mode=True)
    assert (entry.state, entry.changed, entry.parts) == (State.NOT_COPIED, True, 4)
    assert (entry.method, entry.tags_after) == ("streaming", {"service": "shop"})
    assert relay.bodies_read() == []
    assert relay.s3.cloud.mutations() == []
    assert relay.s3.uploads == {}


def test_check_mode_tells_what_an_earlier_run_has_sent(relay: Relay) -> None:
    relay.store()
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(FORBIDDEN)]
    relay.copy()
    assert relay.copy(check_mode=True).parts_reused == 2


def test_check_mode_finds_nothing_to_do_after_a_copy(relay: Relay) -> None:
    relay.store(tags={"service": "shop"})
    manifest(relay)
    relay.copy()
    entry = relay.copy(check_mode=True)
    assert (entry.state, entry.changed) == (State.PRESENT, False)
    relay.s3.get(KEY).tags.clear()
    assert relay.copy(check_mode=True).changed
    assert relay.s3.get(KEY).tags == {}


# By S3 itself


def test_s3_copies_an_object_in_parts_that_its_etag_proves(relay: Relay) -> None:
    relay.store(metadata={"ami-name": "web"}, tags={"service": "shop"})
    entry = relay.copy(method="auto")
    copy = relay.s3.get(KEY)
    assert (entry.state, entry.method) == (State.COPIED, "server_side")
    assert (copy.body, copy.etag) == (BODY, relay.s3.get(KEY, SOURCE_BUCKET).etag)
    assert copy.metadata["ami-name"] == "web"
    assert copy.tags == {"service": "shop"}
    assert entry.proof == {"source": "etag", "destination": "etag", "parts_read_back": 0}
    assert (entry.counts.bytes_read, entry.counts.bytes_sent) == (0, 0)
    assert relay.bodies_read() == []


@pytest.mark.parametrize(
    ("facts", "how"),
    [({}, "etag"), ({"encryption": {"ServerSideEncryption": "aws:kms"}}, "s3")],
)
def test_s3_copies_what_came_in_one_piece_with_one_request(
    relay: Relay, facts: dict[str, Any], how: str
) -> None:
    relay.store(BODY, part=len(BODY), metadata={"ami-name": "web"}, **facts)
    entry = relay.copy(method="server_side")
    assert relay.s3.get(KEY).body == BODY
    assert relay.s3.get(KEY).metadata["ami-name"] == "web"
    assert entry.proof == {"source": how, "destination": how, "parts_read_back": 0}
    assert "UploadPartCopy" not in relay.s3.cloud.operations()


def test_a_copy_that_s3_makes_with_one_request_has_one_part(relay: Relay) -> None:
    relay.store(encryption={"ServerSideEncryption": "aws:kms"})
    entry = relay.copy(method="server_side")
    assert (entry.state, entry.parts, entry.counts.parts_sent) == (State.COPIED, 1, 1)
    assert relay.s3.get(KEY).part_sizes == [len(BODY)]


def test_s3_is_asked_for_as_many_parts_at_a_time_as_are_streamed(relay: Relay) -> None:
    relay.store()
    limits: list[int] = []
    copier = relay.copier(method="auto", concurrency=64)
    relay.s3.always["UploadPartCopy"] = lambda _params: limits.append(copier.means.pace.limit)
    copier.copy(entry := _entry())
    assert (entry.state, entry.method) == (State.COPIED, "server_side")
    assert limits == [AT_FIRST] * entry.parts


def test_where_s3_refuses_to_copy_the_bytes_stream(relay: Relay) -> None:
    relay.store()
    relay.s3.always["UploadPartCopy"] = failing(FORBIDDEN)
    entry = relay.copy(method="auto")
    assert (entry.state, entry.method) == (State.COPIED, "streaming")
    assert "S3 refused to copy it itself" in entry.method_reason
    assert relay.s3.get(KEY).body == BODY
    relay.s3.buckets[TARGET_BUCKET].clear()
    assert relay.copy(method="server_side").state is State.FAILED


def test_a_source_that_changes_while_s3_copies_is_an_error(relay: Relay) -> None:
    relay.store()

    def change(_params: Any) -> None:
        relay.store(BODY[::-1])

    relay.s3.before["UploadPartCopy"] = [passing, change]
    entry = relay.copy(method="auto")
    assert entry.state is State.FAILED
    assert f"source s3://{SOURCE_BUCKET}/{KEY}" in entry.reason
    assert not relay.s3.has(KEY)
    assert relay.s3.uploads == {}


def test_a_copy_by_s3_is_gone_on_with(relay: Relay) -> None:
    relay.store()
    relay.s3.before["UploadPartCopy"] = [passing, passing, failing(Refusal("InvalidPart"))]
    assert relay.copy(method="auto").state is State.FAILED
    entry = relay.copy(method="auto")
    assert (entry.state, entry.parts_reused, entry.counts.parts_sent) == (State.COPIED, 2, 2)


@pytest.mark.parametrize("difference", ["partition", "endpoint", "rights"])
def test_what_s3_cannot_copy_itself_streams_and_says_why(
    relay: Relay, difference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.store()
    copier = relay.copier(method="auto")
    told = {
        "partition": "different partitions",
        "endpoint": "different endpoints",
        "rights": "cannot read the source",
    }[difference]
    if difference == "endpoint":
        copier.means.source.custom_endpoint = "https://elsewhere.example"
    if difference == "partition":
        client = relay.wire.elsewhere()
        copier.means.source.client = client
        assert client.meta.partition == "aws-us-gov"
    if difference == "rights":
        looks = [passing] * 4

        def refuse(_params: Any) -> None:
            raise Refusal("403", status=403)

        relay.s3.before["HeadObject"] = [*looks, refuse]
    copier.copy(entry := _entry())
    assert entry.state is State.COPIED, entry.reason
    assert entry.method == "streaming"
    assert told in entry.method_reason


def test_server_side_alone_fails_where_s3_cannot_do_it(relay: Relay) -> None:
    relay.store()
    copier = relay.copier(method="server_side")
    copier.means.source.custom_endpoint = "https://elsewhere.example"
    copier.copy(entry := _entry())
    assert entry.state is State.FAILED
    assert "Set method: auto or streaming" in entry.reason


def test_memory_bounds_what_is_held_at_a_time(relay: Relay) -> None:
    relay.store()
    copier = relay.copier(concurrency=8, memory=2 * PART)
    copier.copy(entry := _entry())
    assert entry.state is State.COPIED
    assert PART <= copier.means.memory.most_held <= 2 * PART


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("body", [BODY, b"small"])
def test_parts_that_are_asked_to_be_larger_than_the_memory_do_not_stream(
    relay: Relay, body: bytes, check_mode: bool
) -> None:
    relay.store(body)
    options = {"memory": 2 * PART, "part_size": 2 * PART + MIB, "check_mode": check_mode}
    entry = relay.copy(**options)
    assert entry.state is State.FAILED
    assert "part_size 11 is above memory 10" in entry.reason
    assert (relay.bodies_read(), relay.s3.uploads) == ([], {})
    assert relay.copy(**{**options, "part_size": 2 * PART}).state is not State.FAILED


def test_s3_copies_parts_larger_than_the_memory(relay: Relay) -> None:
    relay.store()
    relay.s3.always["CopyObject"] = failing(FORBIDDEN)
    refused = relay.copy(method="auto", memory=PART, part_size=2 * PART)
    assert refused.state is State.FAILED
    assert "Access Denied" in refused.reason
    assert "above memory" in refused.reason
    del relay.s3.always["CopyObject"]
    entry = relay.copy(method="auto", memory=PART, part_size=2 * PART)
    assert (entry.state, entry.method) == (State.COPIED, "server_side")


def test_a_part_that_waits_to_be_sent_again_is_not_held(relay: Relay) -> None:
    relay.store()
    held: list[int] = []
    of_others = _contents()

    def refuse(params: Any, **_context: Any) -> None:
        if params["PartNumber"] == 1 and not held:
            relay.clock.during_sleep.append(lambda: held.append(_bytes_held(of_others)))
            raise ClientError({"Error": {"Code": "SlowDown"}}, "UploadPart")

    events = relay.wire.clients["s3"].meta.events
    events.register_first("provide-client-params.s3.UploadPart", refuse)
    try:
        entry = relay.copy()
    finally:
        events.unregister("provide-client-params.s3.UploadPart", refuse)
    assert (entry.state, held) == (State.COPIED, [0])


def _contents() -> list[Content]:
    """All that anything refers to, also what earlier tests have left."""
    return [thing for thing in gc.get_objects() if isinstance(thing, Content)]


def _bytes_held(of_others: list[Content]) -> int:
    """Bytes of parts that were not handed out."""
    known = {id(content) for content in of_others}
    contents = [content for content in _contents() if id(content) not in known]
    return sum(len(chunk) for content in contents for chunk in content._chunks)


def test_a_part_larger_than_the_memory_is_let_in_alone(relay: Relay) -> None:
    relay.store()
    copier = relay.copier(concurrency=8, memory=1)
    copier.copy(entry := _entry())
    assert entry.state is State.COPIED
    assert copier.means.memory.most_held == PART


def test_as_many_parts_move_as_slow_sending_asks_for(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[tuple[int, float]]()
    foresee = Useful.foresee

    def note(useful: Useful, size: int, seconds: float, sending: bool = False) -> None:
        foresee(useful, size, seconds, sending)
        if sending:
            told.append((size, useful.number))

    def slowly(params: Any) -> None:
        if params["PartNumber"] <= 4:
            relay.clock.time += 1.0

    monkeypatch.setattr(Useful, "foresee", note)
    relay.store()
    relay.s3.always["UploadPart"] = slowly
    # One worker, since time is virtual; the number is what others would be begun for.
    copier = relay.copier(concurrency=40)
    copier.means.options = replace(copier.means.options, concurrency=1)
    copier.copy(CopyEntry(KEY, KEY))
    assert told[0] == (PART, 160 * MIB // PART)
    assert [size for size, _number in told] == [PART, PART, PART, len(BODY) - 3 * PART]
