# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects as S3 takes them in one piece and shows them: parts by number, conditions, checksums.

moto shows a part's own headers for an object's, and checks no checksum.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.core.common_types import TYPE_RESPONSE
from moto.s3.models import FakeKey
from moto.s3.responses import S3Response
from werkzeug.datastructures import Headers

from . import objects
from .checksums import checked
from .object_parts import checksum_of, parts_of, set_checksum
from .s3_refusals import S3Refusal, not_readable


class ObjectResponse(S3Response):
    """moto's S3 with objects that are what they were uploaded as."""

    def put_object(self) -> TYPE_RESPONSE:
        checksum = checked(self.headers, self.body or b"", self.raw_body)
        status, headers, body = super().put_object()
        item = objects.find_object(self.bucket_name, self.parse_key_name())
        if item is not None:
            set_checksum(item, checksum)
        return status, headers | dict([checksum.header] if checksum else []), body

    def _get_key(self, validate_storage_class: bool = True) -> tuple[FakeKey, bool]:
        """Only the body of an archived object cannot be read; moto hides its tags too."""
        item, not_modified = super()._get_key(validate_storage_class=False)
        if self.data["Action"] == "GetObject" and objects.archived(item):
            raise not_readable()
        return item, not_modified

    def get_object(self) -> TYPE_RESPONSE:
        number = self._get_int_param("partNumber")
        self.querystring.pop("partNumber", None)
        status, headers, body = super().get_object()
        if status != 200:
            return status, headers, body
        item, _not_modified = self._get_key()
        headers |= _checksum_headers(item, self.headers, number)
        if not number:
            return status, headers, body
        first, last = _extent(item, number)
        headers |= _part_headers(item, first, last)
        return 206, headers, body[first : last + 1]

    def head_object(
        self, bucket_name: str, query: dict[str, Any], key_name: str, headers: Any
    ) -> TYPE_RESPONSE:
        kept = {name: values for name, values in query.items() if name != "partNumber"}
        status, shown, body = super().head_object(bucket_name, kept, key_name, _quoted(headers))
        if status != 200:
            return status, shown, body
        version = query.get("versionId", [None])[0]
        item: Any = objects.find_version(bucket_name, key_name, version)
        number = int(query["partNumber"][0]) if "partNumber" in query else None
        shown |= _checksum_headers(item, headers, number)
        if number is None:
            return status, shown, body
        first, last = _extent(item, number)
        return 206, shown | _part_headers(item, first, last), body


def _quoted(headers: Any) -> Any:
    """With the condition in the form that moto compares."""
    quoted = Headers(list(headers.items()))
    for name in ("If-Match", "If-None-Match"):
        if quoted.get(name):
            quoted[name] = f'"{quoted[name].strip(chr(34))}"'
    return quoted


def _checksum_headers(
    item: FakeKey, headers: Mapping[str, str], number: int | None
) -> dict[str, str]:
    """Of the object or of a part of it: shown to those who ask, and not for a range."""
    parts = parts_of(item)
    of_part = number is not None and 0 < number <= len(parts)
    checksum = parts[number - 1].checksum if number and of_part else checksum_of(item)
    asked = headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    if checksum is None or not asked or headers.get("range"):
        return {}
    kind = "COMPOSITE" if parts else "FULL_OBJECT"
    return dict([checksum.header, ("x-amz-checksum-type", kind)])


def _extent(item: FakeKey, number: int) -> tuple[int, int]:
    """First and last byte of a part; an object in one piece is its own first part."""
    sizes = [part.size for part in parts_of(item)] or [item.size]
    if not 1 <= number <= len(sizes):
        message = "The requested partnumber is not satisfiable"
        raise S3Refusal("InvalidPartNumber", message, 416)
    first = sum(sizes[: number - 1])
    return first, first + sizes[number - 1] - 1


def _part_headers(item: FakeKey, first: int, last: int) -> dict[str, str]:
    parts = parts_of(item)
    headers = {"content-length": str(last + 1 - first)}
    if item.size:
        headers["content-range"] = f"bytes {first}-{last}/{item.size}"
    if parts:
        headers["x-amz-mp-parts-count"] = str(len(parts))
    return headers
