# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts our operations into moto and our answers in place of moto's."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote
from xml.sax.saxutils import unescape

import moto.core.responses
import moto.ec2.urls
import moto.s3.urls
from moto.core.common_types import TYPE_RESPONSE
from moto.core.utils import method_names_from_class
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.responses import EC2Response
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket, FakeKey, S3Backend

from . import new_buckets
from .bucket_documents import BucketDocumentsResponse
from .clock import to_datetime
from .image_responses import MachineImageResponse
from .image_usage import ImageUsageBackend
from .image_usage_responses import ImageUsageResponse
from .multipart_uploads import MultipartResponse
from .object_bodies import ObjectResponse
from .object_copies import CopyResponse
from .object_parts import etag_of
from .objects import THAWED, bucket_backend, find_bucket, find_object
from .s3_refusals import S3Refusal
from .store_image_responses import StoreImageResponse
from .store_images import StoreImageBackend
from .world import World

_EXPIRY = "Fri, 31 Dec 2060 00:00:00 GMT"


class EmulatedEC2Backend(StoreImageBackend, ImageUsageBackend, EC2Backend):
    """moto's EC2 with AMIs that last."""

    def __init__(self, region_name: str, account_id: str) -> None:
        EC2Backend.__init__(self, region_name, account_id)
        ImageUsageBackend.__init__(self)
        self.ebs_encryption_by_default = self.world.scenario.encryption_by_default

    @property
    def _url_module(self) -> Any:
        return moto.ec2.urls


class EmulatedEC2Response(
    StoreImageResponse, ImageUsageResponse, MachineImageResponse, EC2Response
):
    """moto's EC2 with the operations that it lacks."""


class EmulatedS3Response(MultipartResponse, ObjectResponse, CopyResponse, BucketDocumentsResponse):
    """moto's S3, which forgets some of what it is asked for."""

    _for_owner = False

    @property
    def backend(self) -> S3Backend:
        """Objects are kept with their bucket; moto keeps their tags with whoever wrote them."""
        if self._for_owner and find_bucket(self.bucket_name):
            return bucket_backend(self.bucket_name)
        return super().backend

    def _key_response(self, request: Any, full_url: str) -> TYPE_RESPONSE:
        self._for_owner = True
        try:
            return super()._key_response(request, full_url)
        except S3Refusal as refusal:
            return refusal.answer()
        finally:
            self._for_owner = False

    def list_objects_v2(self) -> TYPE_RESPONSE:
        """With RestoreStatus for those who ask for it."""
        status, headers, body = super().list_objects_v2()
        wanted = self.headers.get("x-amz-optional-object-attributes", "")
        if "RestoreStatus" not in wanted:
            return status, headers, body
        text = body.decode() if isinstance(body, bytes) else body
        bucket = self.bucket_name

        def with_status(entry: re.Match[str]) -> str:
            item = find_object(bucket, _unescaped(entry["key"]))
            return entry[0] + _restore_status(getattr(item, "emulated_restore", None))

        return status, headers, re.sub(r"<Key>(?P<key>[^<]*)</Key>", with_status, text)


def _unescaped(key: str) -> str:
    return unquote(unescape(key))


def _restore_status(restore: str | None) -> str:
    if restore is None:
        return ""
    thawing = "false" if restore == THAWED else "true"
    expiry = (
        "" if restore != THAWED else "<RestoreExpiryDate>2060-12-31T00:00:00Z</RestoreExpiryDate>"
    )
    return (
        f"<RestoreStatus><IsRestoreInProgress>{thawing}</IsRestoreInProgress>{expiry}"
        "</RestoreStatus>"
    )


def _with_archive_headers(moto_headers: property) -> property:
    """FakeKey.response_dict with the archive headers that `set_storage_class` decided on."""

    def headers(item: FakeKey) -> dict[str, Any]:
        shown: dict[str, Any] = moto_headers.__get__(item)
        status = getattr(item, "emulated_archive_status", None)
        restore = getattr(item, "emulated_restore", None)
        if status:
            shown["x-amz-archive-status"] = status
        if restore == THAWED:
            shown["x-amz-restore"] = f'ongoing-request="false", expiry-date="{_EXPIRY}"'
        elif restore:
            shown["x-amz-restore"] = 'ongoing-request="true"'
        return shown

    return property(headers)


def _as_kept(put: Callable[..., FakeKey]) -> Callable[..., FakeKey]:
    """S3Backend.put_object with the ETag that the object's encryption leaves it, and its date."""

    @functools.wraps(put)
    def put_object(backend: S3Backend, *args: Any, **kwargs: Any) -> FakeKey:
        item: Any = put(backend, *args, **kwargs)
        if item._etag is None:
            item._etag = etag_of(item.value, item.encryption)
        item.last_modified = to_datetime(MultipartResponse.world.now())
        return cast("FakeKey", item)

    return put_object


_REPLACEMENTS: tuple[tuple[object, str, object], ...] = (
    # Bucket policies are judged before moto sees a request, with their conditions.
    (FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL),
    (FakeKey, "response_dict", _with_archive_headers(FakeKey.__dict__["response_dict"])),
    (S3Backend, "put_object", _as_kept(S3Backend.put_object)),
    # moto reads its module of S3 paths anew, which would bring back its own answers.
    (S3Backend, "_url_module", property(lambda _backend: moto.s3.urls)),
    # moto inspects its 700 EC2 methods anew for each request.
    (moto.core.responses, "method_names_from_class", functools.cache(method_names_from_class)),
)


def install(world: World) -> None:
    """Let moto serve this world. Once in a process."""
    StoreImageBackend.world = world
    MultipartResponse.world = world
    ec2_backends.backend = EmulatedEC2Backend
    moto.ec2.urls.url_paths = {"{0}/": EmulatedEC2Response.dispatch}
    moto.s3.urls.url_paths = {
        path: getattr(EmulatedS3Response, handler.__name__)
        for path, handler in moto.s3.urls.url_paths.items()
    }
    for owner, name, replacement in (*_REPLACEMENTS, *new_buckets.REPLACEMENTS):
        setattr(owner, name, replacement)
