# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request is: service, action, caller, bucket, key. Reads HTTP and decides nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

_CREDENTIAL = re.compile(
    r"Credential=(?P<key>[^/,]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request"
)

# Sub-resource of a query string -> operation, by method; S3 tells its operations apart by these.
_BUCKET_OPERATIONS = {
    "GET": {
        "location": "GetBucketLocation",
        "versioning": "GetBucketVersioning",
        "versions": "ListObjectVersions",
        "policy": "GetBucketPolicy",
        "policyStatus": "GetBucketPolicyStatus",
        "encryption": "GetBucketEncryption",
        "publicAccessBlock": "GetPublicAccessBlock",
        "ownershipControls": "GetBucketOwnershipControls",
        "lifecycle": "GetBucketLifecycleConfiguration",
        "tagging": "GetBucketTagging",
        "acl": "GetBucketAcl",
        "logging": "GetBucketLogging",
        "notification": "GetBucketNotificationConfiguration",
        "object-lock": "GetObjectLockConfiguration",
        "replication": "GetBucketReplication",
        "requestPayment": "GetBucketRequestPayment",
        "intelligent-tiering": "ListBucketIntelligentTieringConfigurations",
        "accelerate": "GetBucketAccelerateConfiguration",
        "inventory": "ListBucketInventoryConfigurations",
        "uploads": "ListMultipartUploads",
        "list-type": "ListObjectsV2",
        "": "ListObjects",
    },
    "PUT": {
        "versioning": "PutBucketVersioning",
        "policy": "PutBucketPolicy",
        "encryption": "PutBucketEncryption",
        "publicAccessBlock": "PutPublicAccessBlock",
        "ownershipControls": "PutBucketOwnershipControls",
        "lifecycle": "PutBucketLifecycleConfiguration",
        "tagging": "PutBucketTagging",
        "acl": "PutBucketAcl",
        "logging": "PutBucketLogging",
        "notification": "PutBucketNotificationConfiguration",
        "object-lock": "PutObjectLockConfiguration",
        "replication": "PutBucketReplication",
        "accelerate": "PutBucketAccelerateConfiguration",
        "requestPayment": "PutBucketRequestPayment",
        "intelligent-tiering": "PutBucketIntelligentTieringConfiguration",
        "inventory": "PutBucketInventoryConfiguration",
        "": "CreateBucket",
    },
    "DELETE": {
        "policy": "DeleteBucketPolicy",
        "encryption": "DeleteBucketEncryption",
        "publicAccessBlock": "DeletePublicAccessBlock",
        "ownershipControls": "DeleteBucketOwnershipControls",
        "lifecycle": "DeleteBucketLifecycle",
        "tagging": "DeleteBucketTagging",
        "replication": "DeleteBucketReplication",
        "": "DeleteBucket",
    },
    "HEAD": {"": "HeadBucket"},
    "POST": {"delete": "DeleteObjects", "": "PostObject"},
}
_OBJECT_OPERATIONS = {
    "GET": {
        "tagging": "GetObjectTagging",
        "acl": "GetObjectAcl",
        "attributes": "GetObjectAttributes",
        "retention": "GetObjectRetention",
        "legal-hold": "GetObjectLegalHold",
        "uploadId": "ListParts",
        "": "GetObject",
    },
    "PUT": {
        "tagging": "PutObjectTagging",
        "acl": "PutObjectAcl",
        "retention": "PutObjectRetention",
        "legal-hold": "PutObjectLegalHold",
        "partNumber": "UploadPart",
        "": "PutObject",
    },
    "DELETE": {
        "tagging": "DeleteObjectTagging",
        "uploadId": "AbortMultipartUpload",
        "": "DeleteObject",
    },
    "HEAD": {"": "HeadObject"},
    "POST": {
        "uploads": "CreateMultipartUpload",
        "uploadId": "CompleteMultipartUpload",
        "restore": "RestoreObject",
        "select": "SelectObjectContent",
        "": "PostObject",
    },
}
_COPIES = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}


@dataclass(frozen=True)
class Request:
    """One request to AWS. Empty strings stand for what it does not carry."""

    method: str
    service: str
    action: str
    access_key: str
    region: str
    bucket: str
    key: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    secure: bool
    tls_version: str
    address: str

    @property
    def dry_run(self) -> bool:
        return self.params.get("DryRun", "").lower() == "true"

    @property
    def copy_source(self) -> str:
        """Bucket and key that a copy reads, without the version."""
        source = self.headers.get("x-amz-copy-source", "")
        return unquote(source.partition("?")[0]).removeprefix("/")

    @property
    def source_version(self) -> str:
        """The version of the object that a copy reads, where it names one."""
        query = self.headers.get("x-amz-copy-source", "").partition("?")[2]
        return _parsed(query).get("versionId", "")

    @property
    def body_size(self) -> int:
        """How many bytes it announces to bring, without the framing of chunks."""
        whole = self.headers["content-length"]
        return int(self.headers.get("x-amz-decoded-content-length", whole))

    @property
    def image_ids(self) -> tuple[str, ...]:
        return self.numbered("ImageId")

    def numbered(self, name: str) -> tuple[str, ...]:
        """The values of `Name`, `Name.1`, `Name.2` … of a query request."""
        pattern = re.compile(rf"{name}(\.\d+)?")
        return tuple(value for key, value in self.params.items() if pattern.fullmatch(key))


def read(environ: Mapping[str, Any], body: bytes) -> Request:
    """The request that a WSGI environment describes."""
    headers = _headers(environ)
    query = _parsed(environ.get("QUERY_STRING", ""))
    signature = (
        headers.get("authorization", "") or f"Credential={query.get('X-Amz-Credential', '')}"
    )
    scope = _CREDENTIAL.search(signature)
    service = scope["service"] if scope else "s3"
    bucket = key = action = ""
    params = query
    if service == "s3":
        bucket, key = _bucket_and_key(environ)
        action = _s3_operation(environ["REQUEST_METHOD"], bucket, key, query, headers)
    else:
        params = {**query, **_form(headers, body)}
        action = params.get("Action") or headers.get("x-amz-target", "").rpartition(".")[2]
        bucket, key = params.get("Bucket", ""), params.get("ObjectKey", "")
    socket = environ.get("werkzeug.socket")
    return Request(
        method=environ["REQUEST_METHOD"],
        service=service,
        action=action,
        access_key=scope["key"] if scope else "",
        region=scope["region"] if scope else "",
        bucket=bucket,
        key=key,
        params=params,
        headers=headers,
        secure=environ.get("wsgi.url_scheme") == "https",
        tls_version=_tls_number(socket),
        address=environ.get("REMOTE_ADDR", ""),
    )


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    named = {k[5:]: v for k, v in environ.items() if k.startswith("HTTP_")}
    named["CONTENT_TYPE"] = environ.get("CONTENT_TYPE", "")
    named["CONTENT_LENGTH"] = environ.get("CONTENT_LENGTH") or "0"
    return {name.lower().replace("_", "-"): value for name, value in named.items()}


def _parsed(text: str) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(text, keep_blank_values=True).items()}


def _form(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    if not headers["content-type"].startswith("application/x-www-form-urlencoded"):
        return {}
    return _parsed(body.decode())


def _bucket_and_key(environ: Mapping[str, Any]) -> tuple[str, str]:
    path = unquote(str(environ.get("RAW_URI", environ["PATH_INFO"])).partition("?")[0])
    bucket, _slash, key = path.lstrip("/").partition("/")
    return bucket, key


def _s3_operation(
    method: str, bucket: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> str:
    if not bucket:
        return "ListBuckets"
    operations = (_OBJECT_OPERATIONS if key else _BUCKET_OPERATIONS).get(method, {})
    name = next((n for sub, n in operations.items() if sub and sub in query), None)
    name = name or operations.get("", method)
    return _COPIES.get(name, name) if "x-amz-copy-source" in headers else name


def _tls_number(socket: Any) -> str:
    """`TLSv1.3` as `1.3`, the form of the condition key s3:TlsVersion."""
    version = getattr(socket, "version", None)
    return (version() or "").removeprefix("TLSv") if callable(version) else ""
