# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of multipart uploads, as S3 writes and reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from moto.core.common_types import TYPE_RESPONSE

from .checksums import ALGORITHMS, Checksum
from .object_parts import Part
from .s3_refusals import S3Refusal

_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@dataclass(frozen=True)
class NamedPart:
    """A part as a request to complete the upload names it."""

    number: int
    etag: str
    checksum: Checksum | None


def named_parts(body: bytes) -> list[NamedPart]:
    """Raises S3Refusal for a body that names no parts."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        root = ElementTree.Element("none")
    named = [_named_part(element) for element in root if _tag(element) == "Part"]
    if not named:
        message = "The XML you provided was not well-formed or did not validate."
        raise S3Refusal("MalformedXML", message)
    return named


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _named_part(element: ElementTree.Element) -> NamedPart:
    values = {_tag(child): (child.text or "").strip() for child in element}
    checksums = [
        Checksum(algorithm, values[f"Checksum{algorithm.upper()}"])
        for algorithm in ALGORITHMS
        if f"Checksum{algorithm.upper()}" in values
    ]
    etag = values["ETag"].strip('"')
    return NamedPart(int(values["PartNumber"]), etag, checksums[0] if checksums else None)


def agreed_checksum(algorithm: str | None) -> dict[str, str]:
    if algorithm is None:
        return {}
    return {"ChecksumAlgorithm": algorithm.upper(), "ChecksumType": "COMPOSITE"}


def upload_element(upload: Any) -> str:
    initiated = upload.emulated_terms.initiated.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    fields = {
        "Key": upload.key_name,
        "UploadId": upload.id,
        "StorageClass": upload.storage,
        "Initiated": initiated,
        **agreed_checksum(upload.emulated_terms.algorithm),
    }
    return f"<Upload>{elements(fields)}</Upload>"


def part_element(part: Part, stored: Any) -> str:
    fields = {
        "PartNumber": part.number,
        "LastModified": stored.last_modified_ISO8601,
        "ETag": f'"{part.etag}"',
        "Size": part.size,
    }
    return f"<Part>{elements(fields)}{checksum_element(part.checksum)}</Part>"


def checksum_element(checksum: Checksum | None) -> str:
    return elements({checksum.element: checksum.value}) if checksum else ""


def elements(fields: Mapping[str, Any]) -> str:
    return "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in fields.items())


def document(root: str, inner: str, headers: Mapping[str, str] | None = None) -> TYPE_RESPONSE:
    text = f'<?xml version="1.0" encoding="UTF-8"?><{root} {_NAMESPACE}>{inner}</{root}>'
    return 200, dict(headers or {}), text
