# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bucket settings that S3 shows as they were written, where moto keeps a part or nothing."""

from __future__ import annotations

import re
from typing import Any

from moto.core.common_types import TYPE_RESPONSE
from moto.s3.exceptions import S3ClientError
from moto.s3.responses import S3Response

from .objects import find_bucket

_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_SMALLEST = "x-amz-transition-default-minimum-object-size"
# What a bucket shows before anything was written. A lifecycle that is missing is an error.
_DEFAULTS = {
    "notification": f"<NotificationConfiguration {_NAMESPACE}/>",
    "requestPayment": (
        f"<RequestPaymentConfiguration {_NAMESPACE}><Payer>BucketOwner</Payer>"
        "</RequestPaymentConfiguration>"
    ),
}
# moto takes a PUT of these for the creation of the bucket.
_UNKNOWN_TO_MOTO = ("requestPayment", "intelligent-tiering")


class BucketDocumentsResponse(S3Response):
    """moto's S3 with these documents."""

    def _bucket_response_put(
        self, request: Any, bucket_name: str, querystring: dict[str, Any]
    ) -> str | TYPE_RESPONSE:
        name = _document_in(querystring)
        if name is None:
            return super()._bucket_response_put(request, bucket_name, querystring)
        body = self.body.decode()
        if name == "lifecycle":
            _check_lifecycle(body)
        if name not in _UNKNOWN_TO_MOTO:
            super()._bucket_response_put(request, bucket_name, querystring)
        key = (name, querystring.get("id", [""])[0])
        headers = {_SMALLEST: request.headers.get(_SMALLEST, "all_storage_classes_128K")}
        documents_of(bucket_name)[key] = (body, headers if name == "lifecycle" else {})
        return ""

    def _bucket_response_get(
        self, bucket_name: str, querystring: dict[str, Any]
    ) -> str | TYPE_RESPONSE:
        name = _document_in(querystring)
        if name == "intelligent-tiering" and "id" not in querystring:
            return 200, {}, _list_of_tiers(bucket_name)
        if name is None:
            return super()._bucket_response_get(bucket_name, querystring)
        if name == "lifecycle":
            # Says so if there is none, or no longer.
            super()._bucket_response_get(bucket_name, querystring)
        key = (name, querystring.get("id", [""])[0])
        body, headers = documents_of(bucket_name).get(key, (_DEFAULTS.get(name, ""), {}))
        return 200, dict(headers), body


def documents_of(bucket_name: str) -> dict[tuple[str, str], tuple[str, dict[str, str]]]:
    """The documents of a bucket, by name and id, each with its headers."""
    bucket: Any = find_bucket(bucket_name)
    if not hasattr(bucket, "emulated_documents"):
        bucket.emulated_documents = {}
    documents: dict[tuple[str, str], tuple[str, dict[str, str]]] = bucket.emulated_documents
    return documents


def _document_in(querystring: dict[str, Any]) -> str | None:
    names = ("lifecycle", *_DEFAULTS, *_UNKNOWN_TO_MOTO)
    return next((name for name in names if name in querystring), None)


def _check_lifecycle(body: str) -> None:
    """Rules of the old form, with a prefix outside of a filter, do not mix with the new one.

    Reported: https://github.com/ansible/ansible/issues/53751
    """
    rules = re.findall(r"<Rule>.*?</Rule>", body, re.DOTALL)
    new = [rule for rule in rules if "<Filter" in rule]
    if new and len(new) != len(rules):
        message = "Filter element can only be used in Lifecycle V2."
        raise S3ClientError("InvalidRequest", message)


def _list_of_tiers(bucket_name: str) -> str:
    found = [
        body
        for (name, _id), (body, _h) in documents_of(bucket_name).items()
        if name == "intelligent-tiering"
    ]
    listed = "".join(re.sub(r"^<\?xml[^>]*>", "", body) for body in found)
    return (
        f"<ListBucketIntelligentTieringConfigurationsOutput {_NAMESPACE}>"
        f"<IsTruncated>false</IsTruncated>{listed}"
        "</ListBucketIntelligentTieringConfigurationsOutput>"
    )
