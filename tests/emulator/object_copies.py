# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies inside S3: conditions on the source, its archive state, its size, its checksum.

moto checks none of the conditions of CopySourceIf…, and copies from archives by its own rules.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.core.common_types import TYPE_RESPONSE
from moto.s3.models import FakeKey
from moto.s3.responses import S3Response
from werkzeug.datastructures import Headers

from . import objects
from .checksums import Checksum, computed
from .object_parts import checksum_of, copied_parts
from .s3_refusals import S3Refusal, missing, not_readable, precondition_failed

LARGEST_COPY = 5 * 1024**3
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass(frozen=True)
class Source:
    """The object that a copy reads."""

    item: FakeKey
    versioned: bool

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Source:
        """Raises S3Refusal when it is not there, not as expected, or archived."""
        path, _question, query = headers["x-amz-copy-source"].partition("?")
        bucket, _slash, key = unquote(path).removeprefix("/").partition("/")
        version = parse_qs(query).get("versionId", [None])[0]
        item = objects.find_version(bucket, key, version)
        if item is None:
            raise missing(version)
        _require_conditions(item, headers)
        if objects.archived(item):
            raise not_readable()
        return cls(item, item.version_id != "null")

    @property
    def version_header(self) -> dict[str, str]:
        name = "x-amz-copy-source-version-id"
        return {name: self.item.version_id} if self.versioned else {}

    def extent(self, wanted: str | None) -> tuple[bytes, int]:
        """The bytes of a range, and how many it stands for. Raises S3Refusal."""
        if wanted is None:
            self.require_copyable_at_once()
            return self.item.value, self.item.size
        found = _RANGE.fullmatch(wanted)
        first, last = (int(found[1]), int(found[2])) if found else (1, 0)
        if first > last or last >= self.item.size:
            size = self.item.size
            message = f"Range specified is not valid for source object of size: {size}"
            raise S3Refusal("InvalidArgument", message)
        if last + 1 - first > LARGEST_COPY:
            raise _too_large()
        return self.item.value[first : last + 1], last + 1 - first

    def require_copyable_at_once(self) -> None:
        if self.item.size > LARGEST_COPY:
            raise _too_large()

    def checksum(self, wanted: str | None) -> Checksum | None:
        """The checksum of a copy: by the wanted algorithm, else by the source's."""
        of_source = checksum_of(self.item)
        algorithm = (wanted or (of_source.algorithm if of_source else "")).lower()
        return computed(algorithm, self.item.value) if algorithm else None


def _too_large() -> S3Refusal:
    message = (
        "The specified copy source is larger than the maximum allowable size for a copy source: "
        f"{LARGEST_COPY}"
    )
    return S3Refusal("InvalidRequest", message)


def _require_conditions(item: FakeKey, headers: Mapping[str, str]) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html, CopySourceIfMatch"""
    etag = item.etag.strip('"')
    wanted = headers.get("x-amz-copy-source-if-match")
    unwanted = headers.get("x-amz-copy-source-if-none-match")
    if wanted and wanted.strip('"') != etag:
        raise precondition_failed()
    if unwanted and unwanted.strip('"') == etag:
        raise precondition_failed()


class CopyResponse(S3Response):
    """moto's S3 with copies that mind their source."""

    def copy_object(self) -> TYPE_RESPONSE:
        source = Source.read(self.headers)
        source.require_copyable_at_once()
        checksum = source.checksum(self.headers.get("x-amz-checksum-algorithm"))
        # Left to moto, it would become a header of the answer that no server can send.
        self.headers = Headers([h for h in self.headers if "checksum" not in h[0].lower()])
        status, headers, body = super().copy_object()
        item: Any = objects.find_object(self.bucket_name, self.parse_key_name())
        copied_parts(source.item, item, checksum)
        text = body.decode() if isinstance(body, bytes) else body
        if checksum:
            element = f"<{checksum.element}>{checksum.value}</{checksum.element}>"
            text = text.replace("</CopyObjectResult>", f"{element}</CopyObjectResult>")
        headers["content-length"] = str(len(text.encode()))
        return status, headers, text
