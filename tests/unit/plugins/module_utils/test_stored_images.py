# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The S3 side, checked against the service model of the installed botocore."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import urllib3.exceptions
from botocore.response import StreamingBody

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    InputError,
    error_code,
    is_transient,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import (
    LARGEST_MANIFEST,
    Bucket,
    Deletion,
    ObjectForbiddenError,
    StoredObject,
)
from tests.unit.cloud import (
    ACCOUNT,
    BUCKET,
    NOON,
    REGION,
    Cloud,
    Refusal,
    Thing,
    forbidden,
    forbidden_head,
)

KEY = "dr/ami-0abcdef1.bin"


# The bucket itself


def test_a_bucket_of_this_region_is_accepted(bucket: Bucket, cloud: Cloud) -> None:
    bucket.check(REGION)
    assert cloud.operations() == ["HeadBucket"]


def test_a_missing_bucket_is_told(s3: Any) -> None:
    with pytest.raises(InputError, match=r"^bucket 'other-bucket' does not exist\. Check"):
        Bucket(s3, "other-bucket").check(REGION)


def test_a_bucket_of_another_region_is_told_through_the_redirect(
    bucket: Bucket, cloud: Cloud
) -> None:
    cloud.bucket_region = "us-east-1"
    with pytest.raises(InputError) as caught:
        bucket.check(REGION)
    assert str(caught.value).startswith(
        f"bucket '{BUCKET}' is in Region us-east-1, the task runs in {REGION}."
    )
    assert "set region: us-east-1" in str(caught.value)


def test_a_forbidden_answer_still_tells_the_region(bucket: Bucket, cloud: Cloud) -> None:
    cloud.denials["HeadBucket"] = Refusal(
        "403", "Forbidden", 403, **{"x-amz-bucket-region": "us-east-1"}
    )
    with pytest.raises(InputError, match="is in Region us-east-1"):
        bucket.check(REGION)


def test_a_forbidden_answer_proves_nothing_else(bucket: Bucket, cloud: Cloud) -> None:
    cloud.denials["HeadBucket"] = forbidden_head()
    bucket.check(REGION)
    assert cloud.operations() == ["HeadBucket"]


def test_any_other_answer_about_the_bucket_is_an_error(bucket: Bucket, cloud: Cloud) -> None:
    cloud.denials["HeadBucket"] = Refusal("400", "Bad Request")
    with pytest.raises(AmiStoreError, match=f"Failed to look at bucket '{BUCKET}'"):
        bucket.check(REGION)


def test_the_expected_owner_is_asked_about_in_a_second_look(s3: Any, cloud: Cloud) -> None:
    Bucket(s3, BUCKET, ACCOUNT).check(REGION)
    assert cloud.params("HeadBucket") == [
        {"Bucket": BUCKET},
        {"Bucket": BUCKET, "ExpectedBucketOwner": ACCOUNT},
    ]


def test_another_owner_is_told(s3: Any, cloud: Cloud) -> None:
    cloud.bucket_owner = "444455556666"
    with pytest.raises(InputError) as caught:
        Bucket(s3, BUCKET, ACCOUNT).check(REGION)
    assert f"does not belong to account {ACCOUNT}" in str(caught.value)
    assert "Nothing was changed" in str(caught.value)


def test_without_the_right_to_look_at_the_bucket_the_owner_is_left_to_the_objects(
    s3: Any, cloud: Cloud
) -> None:
    cloud.denials["HeadBucket"] = forbidden_head()
    owned = Bucket(s3, BUCKET, ACCOUNT)
    owned.check(REGION)
    owned.head(KEY)
    assert cloud.params("HeadBucket") == [{"Bucket": BUCKET}]
    assert cloud.params("HeadObject")[0]["ExpectedBucketOwner"] == ACCOUNT


def test_another_error_about_the_owner_is_told_as_it_is(s3: Any, cloud: Cloud) -> None:
    def only_without_owner(params: dict[str, Any]) -> dict[str, Any]:
        if "ExpectedBucketOwner" in params:
            raise Refusal("400", "Bad Request")
        return cloud.usual("HeadBucket")(params)

    cloud.replies["HeadBucket"] = only_without_owner
    with pytest.raises(AmiStoreError, match="Bad Request") as caught:
        Bucket(s3, BUCKET, ACCOUNT).check(REGION)
    assert not isinstance(caught.value, InputError)


def test_every_call_on_objects_carries_the_expected_owner(s3: Any, cloud: Cloud) -> None:
    owned = Bucket(s3, BUCKET, ACCOUNT)
    cloud.objects[KEY] = Thing()
    owned.head(KEY)
    list(owned.list(""))
    owned.read(KEY)
    owned.write("x.json", b"{}")
    owned.tags(KEY)
    owned.set_tags(KEY, {"a": "b"})
    owned.delete(KEY)
    owned.keeps_versions()
    assert len(cloud.calls) == 8
    assert {call.params["ExpectedBucketOwner"] for call in cloud.calls} == {ACCOUNT}


def test_without_an_expected_owner_none_is_sent(bucket: Bucket, cloud: Cloud) -> None:
    bucket.head(KEY)
    assert cloud.calls[0].params == {"Bucket": BUCKET, "Key": KEY}


def test_urls(bucket: Bucket) -> None:
    assert (bucket.url(), bucket.url(KEY)) == (f"s3://{BUCKET}", f"s3://{BUCKET}/{KEY}")


# HEAD


def test_an_object_is_read_whole(bucket: Bucket, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing(
        b"12345",
        head={
            "StorageClass": "STANDARD_IA",
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": "arn:aws:kms:…:key/1",
            "BucketKeyEnabled": True,
        },
    )
    assert bucket.head(KEY) == StoredObject(
        key=KEY,
        size=5,
        etag=cloud.objects[KEY].etag,
        last_modified=NOON,
        storage_class="STANDARD_IA",
        encryption={
            "server_side_encryption": "aws:kms",
            "kms_key_id": "arn:aws:kms:…:key/1",
            "bucket_key_enabled": True,
        },
    )


def test_a_missing_object_is_none(bucket: Bucket, cloud: Cloud) -> None:
    assert bucket.head(KEY) is None
    assert cloud.operations() == ["HeadObject"]


def test_a_forbidden_object_is_neither_there_nor_missing(bucket: Bucket, cloud: Cloud) -> None:
    cloud.denials.update(HeadObject=forbidden_head(), ListObjectsV2=forbidden())
    with pytest.raises(ObjectForbiddenError) as caught:
        bucket.head(KEY)
    assert caught.value.seen is None
    assert f"s3://{BUCKET}/{KEY}: whether it exists is unknown" in str(caught.value)
    assert "s3:ListBucket" in str(caught.value)
    assert "s3:GetObject" in str(caught.value)


@pytest.mark.parametrize("others", [[], [f"{KEY}.copy"]])
def test_a_listing_proves_a_forbidden_object_missing(
    others: list[str], bucket: Bucket, cloud: Cloud
) -> None:
    """S3 answers 403 where the right to list holds for a prefix only."""
    cloud.objects.update({key: Thing() for key in others})
    cloud.denials["HeadObject"] = forbidden_head()
    assert bucket.head(KEY) is None
    assert cloud.params("ListObjectsV2") == [{"Bucket": BUCKET, "Prefix": KEY, "MaxKeys": 1}]


def test_a_listing_shows_a_forbidden_object(bucket: Bucket, cloud: Cloud) -> None:
    cloud.objects.update({KEY: Thing(b"12345"), f"{KEY}.copy": Thing()})
    cloud.denials["HeadObject"] = forbidden_head()
    with pytest.raises(ObjectForbiddenError, match="which exists") as caught:
        bucket.head(KEY)
    assert caught.value.seen is not None
    assert caught.value.seen.size == 5


def test_a_head_is_retried_after_a_server_fault(
    bucket: Bucket, cloud: Cloud, slept: list[float]
) -> None:
    cloud.objects[KEY] = Thing()
    cloud.faults["HeadObject"] = [Refusal("503", "Service Unavailable", 503)]
    assert bucket.head(KEY) is not None
    assert len(slept) == 1


def test_an_answer_that_is_not_s3s_is_an_error(bucket: Bucket, cloud: Cloud) -> None:
    cloud.replies["HeadObject"] = lambda _params: {"ContentLength": 5}
    with pytest.raises(AmiStoreError, match="has no ETag, so it is not S3's"):
        bucket.head(KEY)


def test_another_answer_about_an_object_is_an_error(bucket: Bucket, cloud: Cloud) -> None:
    cloud.denials["HeadObject"] = Refusal("400", "Bad Request")
    with pytest.raises(AmiStoreError, match=f"Failed to look at s3://{BUCKET}/{KEY}"):
        bucket.head(KEY)


def test_the_reason_of_a_refused_head_is_asked_for_by_a_listing(
    bucket: Bucket, cloud: Cloud
) -> None:
    cloud.denials["HeadObject"] = Refusal("400", "Bad Request")
    cloud.denials["ListObjectsV2"] = Refusal("ExpiredToken", "The provided token has expired.")
    with pytest.raises(AmiStoreError) as raised:
        bucket.head(KEY)
    assert error_code(raised.value) == "ExpiredToken"


@pytest.mark.parametrize(
    ("head", "restorable"),
    [
        ({}, True),
        ({"StorageClass": "GLACIER_IR"}, True),
        ({"StorageClass": "INTELLIGENT_TIERING"}, True),
        ({"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "ARCHIVE_ACCESS"}, False),
        ({"StorageClass": "GLACIER"}, False),
        ({"StorageClass": "DEEP_ARCHIVE"}, False),
        ({"StorageClass": "GLACIER", "Restore": 'ongoing-request="true"'}, False),
        (
            {
                "StorageClass": "GLACIER",
                "Restore": 'ongoing-request="false", expiry-date="Fri, 21 Dec 2026 00:00:00 GMT"',
            },
            True,
        ),
    ],
)
def test_what_can_be_restored_now(
    head: dict[str, str], restorable: bool, bucket: Bucket, cloud: Cloud
) -> None:
    cloud.objects[KEY] = Thing(head=head)
    stored = bucket.head(KEY)
    assert stored is not None
    assert stored.restorable is restorable
    assert stored.thawing is ("true" in head.get("Restore", ""))


# Listing


def test_a_listing_gives_the_keys_of_the_prefix_in_order_through_all_pages(
    bucket: Bucket, cloud: Cloud
) -> None:
    cloud.page_size = 2
    for number in range(5):
        cloud.objects[f"dr/ami-{number:08x}.bin"] = Thing(b"x" * number)
    cloud.objects["else/ami-00000000.bin"] = Thing()
    listed = list(bucket.list("dr/ami-"))
    assert [stored.key for stored in listed] == [f"dr/ami-{number:08x}.bin" for number in range(5)]
    assert [stored.size for stored in listed] == list(range(5))
    assert bucket.pages_listed == 3
    assert "OptionalObjectAttributes" not in cloud.calls[0].params


def test_a_listing_may_be_empty(bucket: Bucket) -> None:
    assert list(bucket.list("dr/")) == []


def test_a_key_with_odd_characters_comes_back_as_it_is(bucket: Bucket, cloud: Cloud) -> None:
    cloud.objects["dr {0}/ami-0abcdef1.bin"] = Thing()
    assert [stored.key for stored in bucket.list("dr {0}/")] == ["dr {0}/ami-0abcdef1.bin"]
    assert bucket.head("dr {0}/ami-0abcdef1.bin") is not None


def test_a_listed_object_is_the_object_that_a_head_shows(bucket: Bucket, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing(b"12345")
    (listed,), looked_at = list(bucket.list("")), bucket.head(KEY)
    assert looked_at is not None
    assert (listed.key, listed.size, listed.etag) == (
        looked_at.key,
        looked_at.size,
        looked_at.etag,
    )
    assert (listed.last_modified, listed.storage_class) == (NOON, "STANDARD")


@pytest.mark.parametrize(
    ("storage_class", "status", "restorable"),
    [
        ("STANDARD", None, True),
        ("GLACIER", None, False),
        ("INTELLIGENT_TIERING", None, None),
        ("GLACIER", {"IsRestoreInProgress": True}, False),
        ("GLACIER", {"IsRestoreInProgress": False, "RestoreExpiryDate": NOON}, True),
        ("INTELLIGENT_TIERING", {"IsRestoreInProgress": False, "RestoreExpiryDate": NOON}, True),
    ],
)
def test_what_a_listing_tells_about_archives(
    storage_class: str,
    status: dict[str, Any] | None,
    restorable: bool | None,
    bucket: Bucket,
    cloud: Cloud,
) -> None:
    cloud.objects[KEY] = Thing(head={"StorageClass": storage_class}, restore_status=status)
    (listed,) = bucket.list("", with_restore_status=True)
    assert listed.restorable is restorable
    assert cloud.calls[0].params["OptionalObjectAttributes"] == ["RestoreStatus"]


def test_a_forbidden_listing_names_the_right(bucket: Bucket, cloud: Cloud) -> None:
    cloud.denials["ListObjectsV2"] = forbidden()
    with pytest.raises(ObjectForbiddenError, match="needed is s3:ListBucket on the bucket"):
        list(bucket.list("dr/"))


def test_another_answer_to_a_listing_is_an_error(bucket: Bucket, cloud: Cloud) -> None:
    cloud.denials["ListObjectsV2"] = Refusal("NoSuchBucket", "gone", 404)
    with pytest.raises(AmiStoreError, match=f"Failed to list 'dr/' in s3://{BUCKET}"):
        list(bucket.list("dr/"))


# Content


def test_an_object_that_was_written_can_be_read(bucket: Bucket, cloud: Cloud) -> None:
    bucket.write("x.json", b'{"a": 1}')
    assert bucket.read("x.json") == b'{"a": 1}'
    assert cloud.params("PutObject")[0]["ContentType"] == "application/json"


def test_nothing_to_read_is_none(bucket: Bucket) -> None:
    assert bucket.read("x.json") is None


def test_a_forbidden_read_is_an_error(bucket: Bucket, cloud: Cloud) -> None:
    cloud.denials["GetObject"] = forbidden()
    assert bucket.read("x.json") is None
    cloud.objects["x.json"] = Thing()
    with pytest.raises(AmiStoreError, match=f"Failed to read s3://{BUCKET}/x.json"):
        bucket.read("x.json")


def test_a_read_is_forbidden_where_nothing_may_be_listed(bucket: Bucket, cloud: Cloud) -> None:
    cloud.denials.update(GetObject=forbidden(), ListObjectsV2=forbidden())
    with pytest.raises(AmiStoreError, match=f"Failed to read s3://{BUCKET}/x.json"):
        bucket.read("x.json")


class BrokenStream(io.BytesIO):
    """A connection that is lost while the content comes."""

    def read(self, *_amount: object) -> bytes:
        raise urllib3.exceptions.ProtocolError("Connection broken")


def test_a_connection_lost_while_reading_is_an_error_of_ours(bucket: Bucket, cloud: Cloud) -> None:
    stream = BrokenStream()
    cloud.replies["GetObject"] = lambda _params: {"Body": StreamingBody(stream, 99)}
    with pytest.raises(AmiStoreError, match=f"Failed to read s3://{BUCKET}/x.json") as caught:
        bucket.read("x.json")
    assert is_transient(caught.value)
    assert stream.closed


def test_a_content_cut_short_is_an_error(bucket: Bucket, cloud: Cloud) -> None:
    def cut(params: dict[str, Any]) -> dict[str, Any]:
        thing = cloud.buckets[params["Bucket"]][params["Key"]]
        return {"Body": StreamingBody(io.BytesIO(thing.body), 99)}

    cloud.objects["x.json"] = Thing(b"{")
    cloud.replies["GetObject"] = cut
    with pytest.raises(AmiStoreError, match="Failed to read"):
        bucket.read("x.json")


def test_an_object_larger_than_any_manifest_is_not_read(bucket: Bucket, cloud: Cloud) -> None:
    stream = io.BytesIO(b"x")
    size = LARGEST_MANIFEST + 1
    cloud.replies["GetObject"] = lambda _params: {
        "Body": StreamingBody(stream, size),
        "ContentLength": size,
    }
    with pytest.raises(AmiStoreError, match=f"x.json has {size} bytes, more than any manifest"):
        bucket.read("x.json")
    assert stream.closed


# Tags and deletion


def test_tags_are_replaced_as_a_whole(bucket: Bucket, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing(tags={"old": "1"})
    assert bucket.tags(KEY) == {"old": "1"}
    bucket.set_tags(KEY, {"new": "2"})
    assert bucket.tags(KEY) == {"new": "2"}


def test_no_tags_are_the_end_of_all_tags(bucket: Bucket, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing(tags={"old": "1"})
    bucket.set_tags(KEY, {})
    assert bucket.tags(KEY) == {}
    assert "PutObjectTagging" not in cloud.operations()


def test_a_deletion_tells_what_s3_answered(bucket: Bucket, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing()
    assert bucket.delete(KEY) == Deletion(None, False)
    cloud.versioning = "Enabled"
    assert bucket.delete(KEY) == Deletion("marker-1", True)
    assert cloud.objects == {}


@pytest.mark.parametrize(
    ("status", "keeps"), [(None, False), ("Suspended", False), ("Enabled", True)]
)
def test_only_an_enabled_versioning_keeps_what_is_deleted(
    status: str | None, keeps: bool, bucket: Bucket, cloud: Cloud
) -> None:
    cloud.versioning = status
    assert bucket.keeps_versions() is keeps


def test_a_versioning_that_may_not_be_read_is_unknown(bucket: Bucket, cloud: Cloud) -> None:
    cloud.denials["GetBucketVersioning"] = forbidden()
    assert bucket.keeps_versions() is None


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("GetBucketVersioning", lambda bucket: bucket.keeps_versions()),
        ("GetObjectTagging", lambda bucket: bucket.tags(KEY)),
        ("PutObjectTagging", lambda bucket: bucket.set_tags(KEY, {"a": "b"})),
        ("DeleteObjectTagging", lambda bucket: bucket.set_tags(KEY, {})),
        ("PutObject", lambda bucket: bucket.write(KEY, b"")),
        ("DeleteObject", lambda bucket: bucket.delete(KEY)),
    ],
)
def test_another_refusal_is_an_error_that_names_the_place(
    operation: str, call: Callable[[Bucket], object], bucket: Bucket, cloud: Cloud
) -> None:
    cloud.denials[operation] = Refusal("MalformedXML", "what?")
    with pytest.raises(AmiStoreError, match=f"Failed to .* s3://{BUCKET}.*MalformedXML"):
        call(bucket)
