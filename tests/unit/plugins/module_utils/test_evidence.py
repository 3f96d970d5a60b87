# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence that a stored image restores: when it counts, how it is read and written."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils import _evidence, _manifest
from ansible_collections.amistore.aws.plugins.module_utils._evidence import (
    Evidence,
    EvidenceError,
    Restored,
    Unreadable,
    covers,
    evidence_key,
    make_evidence,
    read_evidence,
    write_evidence,
)
from ansible_collections.amistore.aws.plugins.module_utils._inputs import image_id_of
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.unit.cloud import (
    ACCOUNT,
    BUCKET,
    NOON,
    REGION,
    Answer,
    Cloud,
    Refusal,
    Thing,
    forbidden,
)
from tests.unit.decision_tables import rows

KEY = "dr/ami-0abcdef1.bin"
EVIDENCE_KEY = "dr/ami-0abcdef1.verified.json"
ETAG = Thing().etag
DATE = "Fri, 01 May 2026 12:00:00 GMT"
DAY = timedelta(days=1)
RESTORED = Restored("ami-0beef", ACCOUNT, REGION, NOON - timedelta(hours=1))


def evidence(**changes: Any) -> Evidence:
    whole = Evidence(
        bucket=BUCKET,
        object_key=KEY,
        etag=ETAG,
        version_id=None,
        image_id="ami-0beef",
        account_id=ACCOUNT,
        region=REGION,
        restored_at=NOON - timedelta(hours=1),
        verified_at=NOON,
        collection_version="1.1.0",
    )
    return replace(whole, **changes)


def write(bucket: Bucket) -> Evidence:
    made = make_evidence(bucket, KEY, ETAG, RESTORED)
    write_evidence(bucket, made)
    return made


@pytest.fixture
def stored(cloud: Cloud) -> dict[str, Thing]:
    """The objects of the bucket, the stored image among them; S3's answers have a date."""
    cloud.objects[KEY] = Thing()

    def dated(params: Answer) -> Answer:
        answer = cloud.usual("HeadObject")(params)
        return answer | {"ResponseMetadata": {"HTTPHeaders": {"date": DATE}}}

    cloud.replies["HeadObject"] = dated
    return cloud.objects


# The key


def test_it_lies_beside_the_manifest() -> None:
    assert evidence_key(KEY) == EVIDENCE_KEY
    assert evidence_key("copies/golden") == "copies/golden.verified.json"


def test_it_is_neither_a_stored_image_nor_a_manifest(bucket: Bucket, cloud: Cloud) -> None:
    content = evidence().dump()
    assert image_id_of(EVIDENCE_KEY) is None
    assert not _manifest.is_ours(content)
    with pytest.raises(_manifest.ManifestError):
        _manifest.parse(content, "here")


# When it counts: a test per row


def test_the_table_has_these_rows() -> None:
    assert [row[-1] for row in rows(covers)] == ["no", "no", "no", "yes"]


def test_that_of_another_object_never_counts() -> None:
    assert not covers(evidence(etag="another"), ETAG, NOON, 30)


@pytest.mark.parametrize("name", ["restored_at", "verified_at"])
def test_before_the_days_it_counts_no_longer(name: str) -> None:
    inside, outside = NOON - 30 * DAY, NOON - 30 * DAY - timedelta(seconds=1)
    fresh = evidence(restored_at=NOON)
    assert covers(replace(fresh, **{name: inside}), ETAG, NOON, 30)
    assert not covers(replace(fresh, **{name: outside}), ETAG, NOON, 30)


@pytest.mark.parametrize("name", ["restored_at", "verified_at"])
def test_what_is_in_the_future_does_not_count(name: str) -> None:
    skew = NOON + timedelta(minutes=15)
    assert covers(replace(evidence(), **{name: skew}), ETAG, NOON, 30)
    later = skew + timedelta(seconds=1)
    assert not covers(replace(evidence(), **{name: later}), ETAG, NOON, 30)


def test_what_was_restored_and_verified_within_the_days_counts() -> None:
    assert covers(evidence(), ETAG, NOON + timedelta(hours=1), 1)


# Reading


def test_none_is_none(bucket: Bucket, stored: dict[str, Thing]) -> None:
    assert read_evidence(bucket, KEY) is None


def test_it_is_read_as_it_was_written(bucket: Bucket, stored: dict[str, Thing]) -> None:
    written = write(bucket)
    assert read_evidence(bucket, KEY) == written == evidence()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (b"{", "is not JSON"),
        (b"[1]", "it has no schema"),
        ({"schema": "1"}, "it has no schema"),
        ({"schema": 2}, "has schema 2, this version of amistore.aws reads up to 1: update"),
        ({"etag": None}, "is damaged: no text in etag"),
        ({"image_id": 3}, "is damaged: no text in image_id"),
        ({"verified_at": None}, "is damaged: "),
        ({"verified_at": "yesterday"}, "is damaged: "),
        ({"verified_at": "0001-01-01T00:00:00+23:00"}, "is damaged: "),
        ({"restored_at": "2026-05-01T12:00:00"}, "has no time zone"),
        ({"restored_at": "0001-01-01T00:00:00+14:00"}, "is damaged: "),
    ],
)
def test_what_is_damaged_is_told_and_hides_nothing(
    bucket: Bucket, stored: dict[str, Thing], changes: Any, told: str
) -> None:
    whole = json.loads(evidence().dump())
    body = changes if isinstance(changes, bytes) else json.dumps(whole | changes).encode()
    stored[EVIDENCE_KEY] = Thing(body)
    found = read_evidence(bucket, KEY)
    assert isinstance(found, Unreadable)
    assert told in found.reason
    assert not found.replaceable


@pytest.mark.parametrize("missing", sorted(json.loads(evidence().dump())))
def test_what_lacks_a_fact_is_unreadable(
    bucket: Bucket, stored: dict[str, Thing], missing: str
) -> None:
    document = json.loads(evidence().dump())
    del document[missing]
    stored[EVIDENCE_KEY] = Thing(json.dumps(document).encode())
    assert isinstance(read_evidence(bucket, KEY), Unreadable)


@pytest.mark.parametrize("change", [{"bucket": "elsewhere"}, {"object_key": "dr/ami-0abcdef2.bin"}])
def test_a_copy_from_another_place_proves_nothing_here(
    bucket: Bucket, stored: dict[str, Thing], change: dict[str, str]
) -> None:
    stored[EVIDENCE_KEY] = Thing(evidence(**change).dump())
    found = read_evidence(bucket, KEY)
    assert isinstance(found, Unreadable)
    assert "was written for s3://" in found.reason
    assert found.replaceable


@pytest.mark.parametrize(
    "refusal", [forbidden(), Refusal("SlowDown", status=503), Refusal("ExpiredToken")]
)
def test_what_cannot_be_read_is_told_and_not_raised(
    bucket: Bucket, stored: dict[str, Thing], cloud: Cloud, refusal: Refusal
) -> None:
    stored[EVIDENCE_KEY] = Thing(evidence().dump())
    cloud.denials["GetObject"] = refusal
    found = read_evidence(bucket, KEY)
    assert isinstance(found, Unreadable)
    assert refusal.code in found.reason


# Writing


def test_the_time_is_that_of_s3(bucket: Bucket, stored: dict[str, Thing]) -> None:
    assert write(bucket).verified_at == NOON
    document = json.loads(stored[EVIDENCE_KEY].body)
    assert document["verified_at"] == "2026-05-01T12:00:00+00:00"
    assert document["schema"] == 1


@pytest.mark.parametrize(("shown", "kept"), [("v7", "v7"), ("null", None)])
def test_the_version_is_kept(
    bucket: Bucket, stored: dict[str, Thing], shown: str, kept: str | None
) -> None:
    stored[KEY].head["VersionId"] = shown
    assert write(bucket).version_id == kept


def test_it_can_be_made_without_being_written(bucket: Bucket, stored: dict[str, Thing]) -> None:
    assert make_evidence(bucket, KEY, ETAG, RESTORED) == evidence()
    assert EVIDENCE_KEY not in stored


def test_nothing_is_written_about_an_object_that_was_replaced(
    bucket: Bucket, stored: dict[str, Thing]
) -> None:
    stored[KEY] = Thing(b"newer")
    with pytest.raises(EvidenceError, match="was replaced"):
        write(bucket)
    assert EVIDENCE_KEY not in stored


def test_nothing_is_written_about_an_object_that_is_gone(
    bucket: Bucket, stored: dict[str, Thing]
) -> None:
    del stored[KEY]
    with pytest.raises(EvidenceError, match="is gone"):
        write(bucket)
    assert not stored


@pytest.mark.parametrize("date", [{}, {"date": "some day"}])
def test_without_a_date_of_s3_nothing_is_written(
    bucket: Bucket, cloud: Cloud, date: dict[str, str]
) -> None:
    cloud.objects[KEY] = Thing(head={"ResponseMetadata": {"HTTPHeaders": date}})
    with pytest.raises(EvidenceError, match="has no date"):
        write(bucket)
    assert EVIDENCE_KEY not in cloud.objects


def test_a_date_without_a_time_zone_is_universal(bucket: Bucket, cloud: Cloud) -> None:
    headers = {"date": "Fri, 01 May 2026 12:00:00 -0000"}
    cloud.objects[KEY] = Thing(head={"ResponseMetadata": {"HTTPHeaders": headers}})
    verified = write(bucket).verified_at
    assert verified == datetime.fromisoformat("2026-05-01T12:00:00+00:00")


def test_it_can_be_read_from_text_alone() -> None:
    assert _evidence.parse(evidence().dump(), "here") == evidence()
