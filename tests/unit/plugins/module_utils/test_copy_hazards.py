# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies into a bucket that is not empty, next to the work of others and of earlier runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import State
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import Side
from tests.unit.cloud import NOON, Refusal
from tests.unit.relay import BODY, KEY, MANIFEST_KEY, PART, RECORD_KEY, Relay, failing, passing
from tests.unit.s3_in_memory import (
    SOURCE_BUCKET,
    TARGET_BUCKET,
    StoredThing,
    md5,
    sha256,
)

FORBIDDEN = Refusal("AccessDenied", "Access Denied", 403)
TAKEN = Refusal("PreconditionFailed", "At least one of the pre-conditions", 412)
KMS = {"ServerSideEncryption": "aws:kms"}


def manifest(relay: Relay, bucket: str, name: str, etag: str | None) -> None:
    document = {
        "format_version": 1,
        "bucket": bucket,
        "object_key": KEY,
        "image": {"Name": name},
        "object_tag_keys": [],
        "stored_image": {"etag": etag, "size": 1, "task_start_time": None} if etag else None,
    }
    relay.s3.put(MANIFEST_KEY, StoredThing(json.dumps(document).encode()), bucket)


def document(relay: Relay, key: str = MANIFEST_KEY) -> dict[str, Any]:
    return dict(json.loads(relay.s3.get(key).body))


# What an earlier run left without a proof


def _damaged_copy_without_proof(relay: Relay) -> None:
    relay.s3.kms = True
    relay.store()
    relay.copy()
    del relay.s3.buckets[TARGET_BUCKET][RECORD_KEY]
    relay.s3.get(KEY).body = BODY[:-1] + b"!"


def test_overwrite_replaces_a_copy_that_differs_when_it_is_read(relay: Relay) -> None:
    _damaged_copy_without_proof(relay)
    refused = relay.copy()
    assert refused.state is State.FAILED
    assert "overwrite: true" in refused.reason
    entry = relay.copy(overwrite=True)
    assert (entry.state, entry.changed) == (State.COPIED, True), entry.reason
    assert relay.s3.get(KEY).body == BODY
    assert relay.copy().changed is False


# Manifests at the destination


def test_a_replaced_object_does_not_keep_the_manifest_of_another_image(relay: Relay) -> None:
    relay.store()
    relay.s3.put(KEY, StoredThing(b"another"), TARGET_BUCKET)
    manifest(relay, TARGET_BUCKET, "another", "of another")
    assert relay.copy(overwrite=True).state is State.COPIED
    assert not relay.s3.has(MANIFEST_KEY)
    assert relay.copy().changed is False


def _keep_the_manifest_of_another_image(relay: Relay) -> None:
    """Replace an object with rights that do not suffice to remove its manifest."""
    relay.store()
    relay.s3.put(KEY, StoredThing(b"another"), TARGET_BUCKET)
    manifest(relay, TARGET_BUCKET, "another", "of another")
    relay.s3.always["DeleteObject"] = failing(FORBIDDEN)
    entry = relay.copy(overwrite=True)
    assert entry.state is State.FAILED
    assert "s3:DeleteObject" in entry.reason
    assert (relay.s3.get(KEY).body, relay.s3.has(MANIFEST_KEY)) == (BODY, True)


def test_a_manifest_that_could_not_be_removed_is_removed_later(relay: Relay) -> None:
    _keep_the_manifest_of_another_image(relay)
    assert relay.copy(overwrite=True).state is State.FAILED
    del relay.s3.always["DeleteObject"]
    assert relay.copy(overwrite=True, check_mode=True).changed
    assert relay.s3.has(MANIFEST_KEY)
    entry = relay.copy(overwrite=True)
    assert (entry.state, entry.changed) == (State.PRESENT, True)
    assert not relay.s3.has(MANIFEST_KEY)
    assert relay.copy(overwrite=True).changed is False


def test_a_copy_beside_the_manifest_of_another_image_is_warned_about(relay: Relay) -> None:
    _keep_the_manifest_of_another_image(relay)
    entry = relay.copy()
    assert (entry.state, entry.changed) == (State.PRESENT, False)
    assert any("describes another object" in warning for warning in relay.warnings)


def test_a_manifest_of_another_image_is_not_put_beside_a_copy(relay: Relay) -> None:
    relay.store()
    manifest(relay, TARGET_BUCKET, "another", "of another")
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert f"s3://{TARGET_BUCKET}/{MANIFEST_KEY}" in entry.reason
    assert "overwrite: true" in entry.reason
    assert not relay.s3.has(KEY)
    assert document(relay)["image"]["Name"] == "another"


def test_the_manifest_of_a_lost_copy_serves_again(relay: Relay) -> None:
    relay.store()
    manifest(relay, SOURCE_BUCKET, "web", relay.s3.get(KEY, SOURCE_BUCKET).etag)
    relay.copy()
    del relay.s3.buckets[TARGET_BUCKET][KEY]
    del relay.s3.buckets[SOURCE_BUCKET][MANIFEST_KEY]
    entry = relay.copy()
    assert (entry.state, entry.manifest_key) == (State.COPIED, MANIFEST_KEY)
    assert document(relay)["image"]["Name"] == "web"
    assert relay.copy().changed is False


def test_the_manifest_of_another_image_is_not_replaced_unasked(relay: Relay) -> None:
    relay.store()
    manifest(relay, SOURCE_BUCKET, "web", relay.s3.get(KEY, SOURCE_BUCKET).etag)
    manifest(relay, TARGET_BUCKET, "another", "of another")
    assert relay.copy().state is State.FAILED
    assert document(relay)["image"]["Name"] == "another"
    assert relay.copy(overwrite=True).state is State.COPIED
    assert document(relay)["image"]["Name"] == "web"


def test_the_manifest_of_the_same_image_is_brought_up_to_date(relay: Relay) -> None:
    relay.store()
    etag = relay.s3.get(KEY, SOURCE_BUCKET).etag
    manifest(relay, SOURCE_BUCKET, "web", etag)
    manifest(relay, TARGET_BUCKET, "web", None)
    assert relay.copy().state is State.COPIED
    assert document(relay)["stored_image"]["etag"] == relay.s3.get(KEY).etag


def test_a_record_beside_a_manifest_with_an_outdated_one_counts(relay: Relay) -> None:
    relay.store()
    manifest(relay, SOURCE_BUCKET, "web", relay.s3.get(KEY, SOURCE_BUCKET).etag)
    relay.copy()
    del relay.s3.buckets[SOURCE_BUCKET][MANIFEST_KEY]
    relay.store(BODY[::-1])
    relay.s3.put(KEY, StoredThing.in_parts(BODY[::-1], PART), TARGET_BUCKET)
    assert relay.copy().state is State.PRESENT
    assert relay.copy().changed is False


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff", b'{"copy": 1}', b"[]"])
def test_what_is_no_record_counts_for_none(relay: Relay, content: bytes) -> None:
    relay.s3.kms = True
    relay.store()
    relay.copy()
    relay.s3.put(RECORD_KEY, StoredThing(content), TARGET_BUCKET)
    entry = relay.copy()
    assert (entry.state, entry.reason) == (State.PRESENT, "")
    assert entry.proof == {"source": "read twice", "destination": "read back", "parts_read_back": 4}
    assert relay.copy().changed is False


def test_a_manifest_of_another_object_is_not_made_to_fit(relay: Relay) -> None:
    relay.store()
    manifest(relay, SOURCE_BUCKET, "web", "of an older object")
    assert relay.copy().state is State.COPIED
    assert document(relay)["stored_image"]["etag"] == "of an older object"
    assert any("of an older object" in warning for warning in relay.warnings)
    assert relay.copy().changed is False


def test_check_mode_names_the_manifest(relay: Relay) -> None:
    relay.store()
    manifest(relay, SOURCE_BUCKET, "web", relay.s3.get(KEY, SOURCE_BUCKET).etag)
    assert relay.copy(check_mode=True).manifest_key == MANIFEST_KEY


# Objects and uploads of others


@pytest.mark.parametrize("body", [BODY, b"small"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_what_appears_during_the_copy_stays_where_no_condition_protects_it(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, body: bytes, overwrite: bool
) -> None:
    monkeypatch.setattr(Side, "takes", lambda *_names: False)
    relay.store(body)
    if overwrite:
        relay.s3.put(KEY, StoredThing(b"may go"), TARGET_BUCKET)

    def appear(params: Any) -> None:
        if params["Bucket"] == SOURCE_BUCKET:
            relay.s3.put(KEY, StoredThing(b"another"), TARGET_BUCKET)

    relay.s3.always["GetObject"] = lambda params: (
        None if params["Key"].endswith(".json") else appear(params)
    )
    entry = relay.copy(overwrite=overwrite, keep_unfinished=False)
    assert entry.state is State.FAILED
    assert "Something else was written" in entry.reason
    assert relay.s3.get(KEY).body == b"another"
    assert relay.s3.uploads == {}


@pytest.mark.parametrize("asks", [True, False])
def test_what_was_sent_is_not_lost_to_what_appears_during_the_copy(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, asks: bool
) -> None:
    relay.store()

    def appear(params: Any) -> None:
        relay.s3.put(KEY, StoredThing(b"another"), TARGET_BUCKET)
        if asks:
            raise TAKEN

    monkeypatch.setattr(Side, "takes", lambda *_names: False)
    # The last look before the completion comes after all reading.
    operation = "CompleteMultipartUpload" if asks else "UploadPart"
    relay.s3.before[operation] = [appear]
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "Something else was written" in entry.reason
    assert "the unfinished upload stays for the next run" in entry.reason
    assert relay.copy().state is State.FAILED
    assert relay.s3.get(KEY).body == b"another"
    again = relay.copy(overwrite=True)
    assert (again.state, again.parts_reused, again.counts.parts_sent) == (State.COPIED, 4, 0)
    assert relay.s3.get(KEY).body == BODY
    assert relay.s3.uploads == {}


def test_an_upload_is_given_up_where_its_source_has_changed_as_well(relay: Relay) -> None:
    relay.s3.kms = True
    relay.store()

    def other_run(_params: Any) -> None:
        assert relay.copy(part_size=2 * PART).state is State.COPIED
        del relay.s3.buckets[TARGET_BUCKET][RECORD_KEY]
        relay.store(BODY[::-1])
        raise TAKEN

    relay.s3.before["CompleteMultipartUpload"] = [other_run]
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert f"source s3://{SOURCE_BUCKET}/{KEY}" in entry.reason
    assert relay.s3.uploads == {}


def test_an_upload_is_given_up_where_another_run_was_first(relay: Relay) -> None:
    relay.store()

    def other_run(_params: Any) -> None:
        assert relay.copy(part_size=2 * PART).state is State.COPIED
        raise TAKEN

    relay.s3.before["CompleteMultipartUpload"] = [other_run]
    entry = relay.copy()
    assert (entry.state, relay.s3.get(KEY).body) == (State.PRESENT, BODY)
    assert relay.s3.uploads == {}


def test_an_upload_that_is_of_no_use_and_cannot_be_aborted_is_told(relay: Relay) -> None:
    relay.store()

    def other_run(_params: Any) -> None:
        assert relay.copy(part_size=2 * PART).state is State.COPIED
        relay.s3.always["AbortMultipartUpload"] = failing(FORBIDDEN)
        raise TAKEN

    relay.s3.before["CompleteMultipartUpload"] = [other_run]
    entry = relay.copy()
    assert entry.state is State.PRESENT
    (warning,) = relay.warnings
    assert "is of no use any more, and was not aborted" in warning


def test_a_large_upload_of_others_is_not_taken_for_an_old_one_of_ours(relay: Relay) -> None:
    relay.store()
    s3 = relay.wire.clients["s3"]
    theirs = s3.create_multipart_upload(Bucket=TARGET_BUCKET, Key=KEY)["UploadId"]
    for number, size in ((9_998, PART), (9_999, 1024)):
        part = {"Bucket": TARGET_BUCKET, "Key": KEY, "UploadId": theirs, "PartNumber": number}
        s3.upload_part(**part, Body=b"x" * size)
    relay.s3.uploads[theirs].initiated = NOON.replace(year=2020)
    assert relay.copy().state is State.COPIED
    assert list(relay.s3.uploads) == [theirs]


def test_an_upload_without_parts_does_not_stay(relay: Relay) -> None:
    relay.store()
    relay.s3.always["UploadPartCopy"] = failing(FORBIDDEN)
    entry = relay.copy(method="auto")
    assert (entry.state, entry.method) == (State.COPIED, "streaming")
    assert relay.s3.uploads == {}


# Proofs


def _send_a_damaged_part_unprotected(relay: Relay) -> None:
    relay.store(encryption=KMS)
    relay.source_tls = False
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(FORBIDDEN)]

    def damage(operation: str, params: Any, body: bytes) -> bytes:
        first = operation == "GetObject" and params.get("Range", "").startswith("bytes=0-")
        return bytes([body[0] ^ 1]) + body[1:] if first else body

    relay.s3.on_the_way = damage
    assert relay.copy().state is State.FAILED
    relay.s3.on_the_way = lambda _operation, _params, body: body


def test_parts_that_came_unprotected_are_not_trusted_when_tls_is_used_later(relay: Relay) -> None:
    _send_a_damaged_part_unprotected(relay)
    relay.source_tls = True
    assert relay.copy().state is State.COPIED
    assert relay.s3.get(KEY).body == BODY


def test_parts_that_came_unprotected_are_not_trusted_when_s3_copies_the_rest(relay: Relay) -> None:
    _send_a_damaged_part_unprotected(relay)
    entry = relay.copy(method="server_side")
    assert entry.state is State.FAILED
    assert "different bytes" in entry.reason
    assert not relay.s3.has(KEY)
    assert relay.copy(method="server_side").proof == {
        "source": "s3",
        "destination": "s3",
        "parts_read_back": 0,
    }
    assert relay.s3.get(KEY).body == BODY


@pytest.mark.parametrize(
    ("checks", "proved", "read_back"), [(True, "checksums", 0), (False, "read back", 4)]
)
def test_parts_of_an_unprotected_run_that_s3_goes_on_with_are_read_again(
    relay: Relay, checks: bool, proved: str, read_back: int
) -> None:
    relay.store(encryption=KMS)
    relay.source_tls = False
    relay.s3.checks_checksums = checks
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(FORBIDDEN)]
    assert relay.copy().state is State.FAILED
    entry = relay.copy(method="server_side")
    assert (entry.state, entry.parts_reused, entry.method) == (State.COPIED, 2, "server_side")
    assert entry.proof == {
        "source": "read twice",
        "destination": proved,
        "parts_read_back": read_back,
    }


@pytest.mark.parametrize("damaged", [True, False])
def test_a_server_that_sums_up_whatever_comes_is_not_asked_what_was_sent(
    relay: Relay, damaged: bool
) -> None:
    relay.s3.checks_checksums = False
    relay.store(encryption=KMS)
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(FORBIDDEN)]
    assert relay.copy().state is State.FAILED
    (upload,) = relay.s3.uploads.values()
    if damaged:
        # The run was killed before it could see the answer to its last part.
        body = b"!" + upload.parts[2][0][1:]
        upload.parts[2] = (body, md5(body).hex(), sha256(body))
    entry = relay.copy()
    assert entry.parts_reused == 2
    assert entry.state is (State.FAILED if damaged else State.COPIED), entry.reason
    assert relay.s3.has(KEY) is not damaged
    if damaged:
        assert "part 2 read back differs from what was sent" in entry.reason
    else:
        assert entry.proof == {"source": "tls", "destination": "read back", "parts_read_back": 4}


@pytest.mark.parametrize("present", [True, False])
def test_equal_checksums_under_kms_are_no_equal_etags(relay: Relay, present: bool) -> None:
    relay.s3.kms = True
    relay.store(BODY, part=len(BODY), encryption=KMS, sha256=sha256(BODY))
    if present:
        relay.s3.put(KEY, StoredThing(BODY, "", sha256=sha256(BODY), encryption=KMS), TARGET_BUCKET)
    entry = relay.copy(method="server_side")
    assert entry.state is (State.PRESENT if present else State.COPIED)
    assert entry.proof == {"source": "sha256", "destination": "sha256", "parts_read_back": 0}


def test_what_appears_while_s3_copies_with_one_request_is_not_overwritten(relay: Relay) -> None:
    relay.store(b"small")

    def appear(_params: Any) -> None:
        relay.s3.put(KEY, StoredThing(b"another"), TARGET_BUCKET)
        raise TAKEN

    relay.s3.before["CopyObject"] = [appear]
    entry = relay.copy(method="server_side")
    assert entry.state is State.FAILED
    assert f"destination s3://{TARGET_BUCKET}/{KEY}: Something else was written" in entry.reason
    assert relay.s3.get(KEY).body == b"another"


def test_a_lost_answer_to_the_copy_with_one_request_is_no_failure(relay: Relay) -> None:
    relay.store(b"small")
    copy_object = relay.s3.cloud.replies["CopyObject"]

    def lose_answer(params: Any) -> Any:
        copy_object(params)
        relay.s3.before["CopyObject"] = [failing(TAKEN)]
        relay.s3.cloud.replies["CopyObject"] = copy_object
        raise Refusal("InternalError", status=500)

    relay.s3.cloud.replies["CopyObject"] = lose_answer
    entry = relay.copy(method="server_side")
    assert (entry.state, entry.changed) == (State.PRESENT, True), entry.reason
    assert relay.s3.get(KEY).body == b"small"
    assert relay.s3.has(RECORD_KEY)


def test_a_source_that_changes_as_s3_copies_with_one_request_is_an_error(relay: Relay) -> None:
    relay.store(b"small")

    def change(_params: Any) -> None:
        relay.store(b"other")

    relay.s3.before["CopyObject"] = [change]
    entry = relay.copy(method="server_side")
    assert entry.state is State.FAILED
    assert f"source s3://{SOURCE_BUCKET}/{KEY}" in entry.reason
    assert not relay.s3.has(KEY)


def test_a_copy_in_one_request_that_has_another_sum_is_deleted_again(relay: Relay) -> None:
    relay.store(BODY, part=len(BODY))
    copy_object = relay.s3.cloud.replies["CopyObject"]

    def damage(params: Any) -> Any:
        copy_object(params)
        relay.s3.put(KEY, StoredThing(BODY[:-1] + b"!"), TARGET_BUCKET)
        return {"CopyObjectResult": {"ETag": f'"{relay.s3.get(KEY).etag}"'}}

    relay.s3.cloud.replies["CopyObject"] = damage
    entry = relay.copy(method="server_side")
    assert entry.state is State.FAILED
    assert "is not what was sent" in entry.reason
    assert not relay.s3.has(KEY)


def test_a_source_in_parts_of_different_sizes_is_copied(relay: Relay) -> None:
    first, second = PART + 1000, PART
    pieces = [BODY[:first], BODY[first : first + second], BODY[first + second :]]
    relay.s3.put(KEY, StoredThing.of(pieces))
    entry = relay.copy()
    assert (entry.state, entry.reason) == (State.COPIED, "")
    assert relay.s3.get(KEY).body == BODY


# A source that has no room for the mark

FULL = {"note": "x" * 2000}


def _full_copy_without_proof(relay: Relay) -> None:
    relay.s3.kms = True
    relay.store(metadata=FULL)
    relay.s3.before["PutObject"] = [failing(FORBIDDEN)]
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert relay.s3.get(KEY).metadata == FULL


def test_a_copy_that_has_no_room_for_the_mark_is_verified_by_reading(relay: Relay) -> None:
    _full_copy_without_proof(relay)
    entry = relay.copy()
    assert (entry.state, entry.reason) == (State.PRESENT, "")
    assert entry.proof == {"source": "read twice", "destination": "read back", "parts_read_back": 4}
    assert relay.copy().changed is False


def test_what_looks_like_a_copy_without_the_mark_and_differs_is_an_error(relay: Relay) -> None:
    _full_copy_without_proof(relay)
    relay.s3.get(KEY).body = BODY[:-1] + b"!"
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "differs from it in part 4" in entry.reason
    assert relay.s3.get(KEY).body == BODY[:-1] + b"!"
    assert relay.copy(overwrite=True).state is State.COPIED


@pytest.mark.parametrize(
    ("of_source", "of_other"),
    [
        # Without room for the mark, a copy has just the metadata of the source.
        (FULL, {}),
        (FULL, {"note": "x" * 1999 + "y"}),
        (FULL, {"note": "short"}),
        # With room for it, a copy has the mark as well.
        ({}, {}),
        ({"note": "short"}, {"note": "short"}),
    ],
)
def test_what_has_not_the_metadata_of_a_copy_is_another_object(
    relay: Relay, of_source: dict[str, str], of_other: dict[str, str]
) -> None:
    relay.store(metadata=of_source)
    other = StoredThing.in_parts(BODY, 2 * PART, metadata=of_other)
    relay.s3.put(KEY, other, TARGET_BUCKET)
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "is taken by another object" in entry.reason
