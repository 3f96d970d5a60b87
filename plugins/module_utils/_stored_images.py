# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The S3 side: the stored images of one bucket, their tags, their manifests."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass, field
from datetime import datetime

from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    InputError,
    answered_at,
    call_aws,
    error_code,
    is_forbidden,
    refuses_caller,
)

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html: these need
# RestoreObject first.
ARCHIVE_CLASSES = ("GLACIER", "DEEP_ARCHIVE")
TIERED_CLASS = "INTELLIGENT_TIERING"
# In bytes. The manifest of an AMI with every disk and tag that AWS allows stays far below.
LARGEST_MANIFEST = 10 * 1024 * 1024


@dataclass(frozen=True)
class StoredObject:
    """What S3 tells about an object; sizes in bytes."""

    key: str
    size: int
    etag: str
    last_modified: datetime | None = None
    storage_class: str = "STANDARD"
    archive_status: str | None = None
    thawed: bool = False
    """A temporary readable copy of an archived object exists."""
    thawing: bool = False
    listed: bool = False
    """Seen in a listing, which does not show the archive status of Intelligent-Tiering."""
    encryption: t.Mapping[str, t.Any] = field(default_factory=dict)
    customer_key: bool = False
    """Encrypted with a key that only the caller has (SSE-C)."""

    @property
    def restorable(self) -> bool | None:
        """Whether CreateRestoreImageTask can read it now; None where a listing does not tell."""
        if self.thawed:
            return True
        if self.storage_class == TIERED_CLASS and self.listed:
            return None
        return self.storage_class not in ARCHIVE_CLASSES and not self.archive_status


class ObjectForbiddenError(AmiStoreError):
    """S3 answered 403: the object may not be looked at."""

    seen: StoredObject | None = None
    """The object, where a listing shows it; otherwise whether it exists stays unknown."""


@dataclass(frozen=True)
class Deletion:
    """What S3 answered to a DELETE."""

    version_id: str | None
    delete_marker: bool


class Bucket:
    """One bucket, every call to which carries the expected owner."""

    def __init__(
        self,
        client: t.Any,
        name: str,
        expected_owner: str | None = None,
        send: t.Callable[..., t.Any] = call_aws,
        owner_option: str = "expected_bucket_owner",
    ) -> None:
        """Take the client that reaches the bucket.

        :param owner_option: what the user calls the expected owner of this bucket.
        """
        self._client = client
        self._send_call = send
        self.name = name
        self._expected_owner = expected_owner
        self._owner_option = owner_option
        self.pages_listed = 0
        """How many requests the last listing took: what a listing costs compared with HEADs."""
        self.listed_at: datetime | None = None
        """When S3 answered the last listing, by its own clock."""

    def check(self, region: str) -> None:
        """Prove that the bucket exists, is in the Region and has the expected owner.

        A refusal (403) proves nothing and is left to the calls on the objects, which a policy may
        allow alone; every one of them carries the expected owner.

        :raises InputError: says which of the three is wrong.
        """
        actual, may_look = self.region_of_bucket()
        if actual is not None and actual != region:
            raise InputError(
                f"bucket '{self.name}' is in Region {actual}, the task runs in {region}. AWS stores"
                " and restores only through a bucket of the same Region: set region:"
                f" {actual}, or use a bucket in {region}."
            )
        if self._expected_owner and may_look:
            self.check_owner()

    def region_of_bucket(self) -> tuple[str | None, bool]:
        """Return the bucket's Region as far as S3 tells it, and whether the caller may look at it.

        Asked without the expected owner, whose refusal would hide both.
        """
        try:
            answer = self._send_call(
                f"look at bucket '{self.name}'", self._client.head_bucket, Bucket=self.name
            )
        except AmiStoreError as error:
            if error_code(error) in ("404", "NoSuchBucket"):
                raise InputError(
                    f"bucket '{self.name}' does not exist. Check the spelling, or create it first."
                ) from error
            region = _region_header(getattr(error.exception, "response", None) or {})
            if region is None and not is_forbidden(error):
                raise
            return region, False
        return _region_header(answer), True

    def check_owner(self) -> None:
        """Prove that the bucket belongs to the account that the user expects."""
        try:
            self._send_call(
                f"look at bucket '{self.name}'",
                self._client.head_bucket,
                Bucket=self.name,
                ExpectedBucketOwner=self._expected_owner,
            )
        except AmiStoreError as error:
            if not is_forbidden(error):
                raise
            raise InputError(
                f"bucket '{self.name}' does not belong to account {self._expected_owner}, which"
                f" {self._owner_option} asks for: S3 answers 403 to a request that names this"
                " owner, and answers the same request without it. Nothing was changed."
            ) from error

    def _call(self, description: str, method: str, key: str, **params: t.Any) -> t.Any:
        return self._send(description, getattr(self._client, method), key, **params)

    def _send(
        self, description: str, call: t.Callable[..., t.Any], key: str, **params: t.Any
    ) -> t.Any:
        owner = {"ExpectedBucketOwner": self._expected_owner} if self._expected_owner else {}
        return self._send_call(
            f"{description} {self.url(key)}",
            call,
            Bucket=self.name,
            **({"Key": key} if key else {}),
            **owner,
            **params,
        )

    def url(self, key: str = "") -> str:
        """Return the s3:// form of a key, for messages."""
        return f"s3://{self.name}/{key}" if key else f"s3://{self.name}"

    def head(self, key: str) -> StoredObject | None:
        """Return the object, None where S3 says that it does not exist.

        :raises ObjectForbiddenError: on 403, unless a listing proves that the object is missing.
        """
        answer = self.head_answer(key)
        return None if answer is None else self.stored_object(key, answer)

    def head_answer(self, key: str, **params: t.Any) -> t.Mapping[str, t.Any] | None:
        """Return S3's whole answer about the object, None where it says that there is none.

        :raises ObjectForbiddenError: on 403, unless a listing proves that the object is missing.
        """
        try:
            answer = self._call("look at", "head_object", key, **params)
        except AmiStoreError as error:
            if error_code(error) in ("404", "NoSuchKey"):
                return None
            if is_forbidden(error):
                self._refuse_unless_missing(key, error)
                return None
            if error_code(error) == "400":
                self._raise_reason(key)
            raise
        if "ETag" not in answer:
            raise AmiStoreError(f"The answer for {self.url(key)} has no ETag, so it is not S3's")
        return t.cast("t.Mapping[str, t.Any]", answer)

    def stored_object(self, key: str, answer: t.Mapping[str, t.Any]) -> StoredObject:
        """Return what an answer to HEAD tells."""
        restore = answer.get("Restore", "")
        return StoredObject(
            key=key,
            size=answer["ContentLength"],
            etag=_plain_etag(answer["ETag"]),
            last_modified=answer.get("LastModified"),
            storage_class=answer.get("StorageClass", "STANDARD"),
            archive_status=answer.get("ArchiveStatus"),
            thawed='ongoing-request="false"' in restore,
            thawing='ongoing-request="true"' in restore,
            encryption={
                "server_side_encryption": answer.get("ServerSideEncryption"),
                "kms_key_id": answer.get("SSEKMSKeyId"),
                "bucket_key_enabled": answer.get("BucketKeyEnabled"),
            },
            customer_key=bool(answer.get("SSECustomerAlgorithm")),
        )

    def _is_surely_missing(self, key: str) -> bool:
        try:
            return self._list_one(key) is None
        except ObjectForbiddenError:
            return False

    def _refuse_unless_missing(self, key: str, refusal: AmiStoreError) -> None:
        """Raise ObjectForbiddenError unless a listing proves that the object does not exist.

        A request for an object carries no s3:prefix, so where the right to list has a condition on
        it, S3 answers 403 to a look at a key that does not exist.
        """
        try:
            seen = self._list_one(key)
        except ObjectForbiddenError:
            raise ObjectForbiddenError(
                f"S3 answered 403 for {self.url(key)}: whether it exists is unknown. Needed"
                " are s3:ListBucket on the bucket and s3:GetObject on the key (and a bucket"
                " policy that allows it, if another account owns the bucket)"
            ) from refusal
        if seen is None:
            return
        error = ObjectForbiddenError(
            f"S3 answered 403 for {self.url(key)}, which exists. Needed is s3:GetObject on the key"
            " (and a bucket policy that allows it, if another account owns the bucket)"
        )
        error.seen = seen
        raise error from refusal

    def _raise_reason(self, key: str) -> None:
        """Raise that S3 refuses the credentials, which it does not tell in its answer to a HEAD."""
        try:
            self._list_one(key)
        except AmiStoreError as error:
            if refuses_caller(error):
                raise

    def _list_one(self, key: str) -> StoredObject | None:
        # In key order, the key itself comes before all that begin with it.
        page = self._list_page(key, {"Prefix": key, "MaxKeys": 1})
        return next((_listed_object(i) for i in page.get("Contents", []) if i["Key"] == key), None)

    def list(self, prefix: str, with_restore_status: bool = False) -> t.Iterator[StoredObject]:
        """Yield the objects whose keys begin with `prefix`, in key order.

        :raises ObjectForbiddenError: on 403.
        """
        self.pages_listed = 0
        params: dict[str, t.Any] = {"Prefix": prefix}
        if with_restore_status:
            params["OptionalObjectAttributes"] = ["RestoreStatus"]
        while True:
            page = self._list_page(prefix, params)
            self.pages_listed += 1
            self.listed_at = answered_at(page)
            yield from map(_listed_object, page.get("Contents", []))
            if not page.get("IsTruncated"):
                return
            params["ContinuationToken"] = page["NextContinuationToken"]

    def _list_page(self, prefix: str, params: t.Mapping[str, t.Any]) -> t.Any:
        try:
            return self._call(f"list '{prefix}' in", "list_objects_v2", "", **params)
        except AmiStoreError as error:
            if is_forbidden(error):
                raise ObjectForbiddenError(
                    f"S3 answered 403 to the listing of {self.url(prefix)}: needed is"
                    " s3:ListBucket on the bucket (and a bucket"
                    " policy that allows it, if another account owns the bucket)"
                ) from error
            raise

    def read(self, key: str) -> bytes | None:
        """Return the object's content, None where it does not exist."""
        try:
            return t.cast(bytes, self._send("read", self._get_content, key))
        except AmiStoreError as error:
            if error_code(error) in ("404", "NoSuchKey"):
                return None
            if is_forbidden(error) and self._is_surely_missing(key):
                return None
            raise

    def _get_content(self, **params: t.Any) -> bytes:
        # Part of the call, since the connection can be lost while the content comes.
        answer = self._client.get_object(**params)
        with contextlib.closing(answer["Body"]) as body:
            if answer.get("ContentLength", 0) > LARGEST_MANIFEST:
                raise AmiStoreError(
                    f"{self.url(params['Key'])} has {answer['ContentLength']} bytes, more than any"
                    f" manifest ({LARGEST_MANIFEST})"
                )
            return t.cast(bytes, body.read())

    def try_reading(self, key: str, etag: str) -> None:
        """Read the first byte of this very object, which takes the key that encrypts it.

        :raises AmiStoreError: when it cannot be read, or is another object by now.
        """
        self._send("read", self._get_first_byte, key, IfMatch=f'"{etag}"')

    def _get_first_byte(self, **params: t.Any) -> None:
        answer = self._client.get_object(Range="bytes=0-0", **params)
        with contextlib.closing(answer["Body"]) as body:
            body.read()

    def write(self, key: str, content: bytes, **params: t.Any) -> None:
        """Write a small JSON object."""
        self._call(
            "write", "put_object", key, Body=content, ContentType="application/json", **params
        )

    def tags(self, key: str) -> dict[str, str]:
        """Return the object's tags."""
        answer = self._call("read the tags of", "get_object_tagging", key)
        return t.cast("dict[str, str]", boto3_tag_list_to_ansible_dict(answer["TagSet"]))

    def set_tags(self, key: str, tags: t.Mapping[str, str]) -> None:
        """Replace the object's whole tag set."""
        if not tags:
            self._call("remove the tags of", "delete_object_tagging", key)
            return
        tag_set = ansible_dict_to_boto3_tag_list(tags)
        self._call("write the tags of", "put_object_tagging", key, Tagging={"TagSet": tag_set})

    def delete(self, key: str) -> Deletion:
        """Delete the current version of the object."""
        answer = self._call("delete", "delete_object", key)
        return Deletion(answer.get("VersionId"), bool(answer.get("DeleteMarker")))

    def keeps_versions(self) -> bool | None:
        """Return whether a deleted object can be brought back; None where the caller may not
        know.
        """
        try:
            answer = self._call("read the versioning of", "get_bucket_versioning", "")
        except AmiStoreError as error:
            if is_forbidden(error):
                return None
            raise
        # A suspended bucket overwrites its null version: the deletion would be final.
        return t.cast(bool, answer.get("Status") == "Enabled")


def _region_header(answer: t.Mapping[str, t.Any]) -> str | None:
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return t.cast(t.Optional[str], headers.get("x-amz-bucket-region"))


def _plain_etag(etag: str) -> str:
    return etag.strip('"')


def _listed_object(item: t.Mapping[str, t.Any]) -> StoredObject:
    restore = item.get("RestoreStatus") or {}
    in_progress = bool(restore.get("IsRestoreInProgress"))
    return StoredObject(
        key=item["Key"],
        size=item["Size"],
        etag=_plain_etag(item["ETag"]),
        last_modified=item.get("LastModified"),
        storage_class=item.get("StorageClass", "STANDARD"),
        thawed=bool(restore) and not in_progress and "RestoreExpiryDate" in restore,
        thawing=in_progress,
        listed=True,
    )
