# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: the scenario's denials, bucket owners, bucket policies, Regions.

moto knows none of it unless IAM is switched on, and then ignores conditions.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from moto.utilities.utils import get_partition

from . import objects
from .answers import Error
from .filters import like
from .model import Refused
from .policy import Attempt, Verdict, evaluate
from .scenario import Scenario
from .wire import Request

# Where the IAM action is not called like the operation.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
_S3_ACTIONS = {
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "CompleteMultipartUpload": "s3:PutObject",
    "CopyObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "DeleteObjects": "s3:DeleteObject",
    "DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListBuckets": "s3:ListAllMyBuckets",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListObjects": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListParts": "s3:ListMultipartUploadParts",
    "PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "UploadPart": "s3:PutObject",
    "UploadPartCopy": "s3:PutObject",
}
_VERSIONED = {
    "s3:DeleteObject",
    "s3:DeleteObjectTagging",
    "s3:GetObject",
    "s3:GetObjectTagging",
    "s3:PutObjectTagging",
}
_READS_OF_ONE_OBJECT = {"GetObject", "HeadObject", "GetObjectTagging", "GetObjectAttributes"}
_CONTEXT_HEADERS = ("x-amz-acl", "x-amz-server-side-encryption", "x-amz-storage-class")

_DENIED = Error("AccessDenied", "Access Denied", 403)


class Access:
    """Decides on rights; keeps nothing."""

    def __init__(self, scenario: Callable[[], Scenario]) -> None:
        self._scenario = scenario

    def denied(self, action: str, resource: str) -> bool:
        """Whether the scenario denies an IAM action on a resource."""
        return any(
            like(action.lower(), denial.action.lower()) and like(resource, denial.resource)
            for denial in self._scenario().deny
        )

    def require_ec2(self, request: Request, action: str, resource_ids: Sequence[str]) -> None:
        """Raises Refused, with an encoded message, when an EC2 action is denied."""
        for resource in [_ec2_arn(request.region, i) for i in resource_ids] or ["*"]:
            if self.denied(action, resource):
                raise Refused("UnauthorizedOperation", _unauthorized(action, resource))

    def missing_on_behalf(
        self, request: Request, account: str, bucket: str, key: str, actions: Sequence[str]
    ) -> str | None:
        """The first right that EC2 would need from the caller and does not get.

        EC2 acts with the caller's own rights, through a forward access session:
        https://docs.aws.amazon.com/IAM/latest/UserGuide/access_forward_access_sessions.html
        """
        context = {
            **_context(request, account),
            "aws:SecureTransport": "true",
            "s3:TlsVersion": "1.3",
            "aws:ViaAWSService": "true",
            "aws:CalledVia": "ec2.amazonaws.com",
        }
        for header in _CONTEXT_HEADERS:
            context.pop(f"s3:{header}", None)
        for action in actions:
            if not self._allowed(account, action, bucket, key, context):
                return action
        return None

    def s3_error(self, request: Request, account: str) -> Error | None:
        """Why S3 refuses a request before it looks at what is asked; None when it does not."""
        bucket = objects.find_bucket(request.bucket)
        if bucket is None or request.action == "CreateBucket":
            return self._without_bucket(request, account)
        region_header = (("x-amz-bucket-region", bucket.region_name),)
        if request.region and request.region != bucket.region_name:
            return self._elsewhere(bucket.region_name, request.bucket, region_header)
        owner = request.headers.get("x-amz-expected-bucket-owner")
        if owner and owner != bucket.account_id:
            return _denied(region_header)
        context = _context(request, account)
        for action in _iam_actions(request):
            if not self._allowed(account, action, request.bucket, request.key, context):
                return _denied(region_header)
        if self._source_closed(request, account, context):
            return _denied(region_header)
        if self._hides_missing_object(request, account, context):
            return _denied(region_header)
        return None

    def _without_bucket(self, request: Request, account: str) -> Error | None:
        refused = any(
            self.denied(action, _s3_arn(request.region, request.bucket, request.key))
            for action in _iam_actions(request)
        )
        return _denied(()) if refused else None

    def _elsewhere(self, region: str, bucket: str, header: tuple[tuple[str, str], ...]) -> Error:
        if self._scenario().wrong_region_status == 400:
            message = (
                f"The authorization header is malformed; the region is wrong; expecting '{region}'"
            )
            return Error("AuthorizationHeaderMalformed", message, 400, header, {"Region": region})
        return Error(
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified "
            "endpoint. Please send all future requests to this endpoint.",
            301,
            header,
            {"Endpoint": f"{bucket}.s3.{region}.amazonaws.com", "Bucket": bucket},
        )

    def _source_closed(self, request: Request, account: str, context: dict[str, str]) -> bool:
        """Whether the source of a copy may not be read, or is not whose it is expected to be."""
        bucket, _slash, key = request.copy_source.partition("/")
        found = objects.find_bucket(bucket)
        if found is None:
            return False
        owner = request.headers.get("x-amz-source-expected-bucket-owner")
        if owner and owner != found.account_id:
            return True
        return not self._allowed(account, "s3:GetObject", bucket, key, context)

    def _hides_missing_object(
        self, request: Request, account: str, context: dict[str, str]
    ) -> bool:
        """S3 says that an object is missing only to those who may list the bucket."""
        if request.action not in _READS_OF_ONE_OBJECT:
            return False
        if objects.find_object(request.bucket, request.key):
            return False
        return not self._allowed(account, "s3:ListBucket", request.bucket, "", context)

    def _allowed(
        self, account: str, action: str, bucket: str, key: str, context: dict[str, str]
    ) -> bool:
        found: Any = objects.find_bucket(bucket)
        resource = _s3_arn(found.region_name, bucket, key)
        if self.denied(action, resource):
            return False
        verdict = Verdict.SILENT
        if found.policy:
            arn = _principal_arn(found.region_name, account)
            verdict = evaluate(found.policy, Attempt(arn, account, action, resource, context))
        if verdict is Verdict.SILENT:
            return bool(found.account_id == account)
        return verdict is Verdict.ALLOW


def _iam_actions(request: Request) -> list[str]:
    action = _S3_ACTIONS.get(request.action, f"s3:{request.action}")
    if "versionId" in request.params and action in _VERSIONED:
        action = action.replace("Object", "ObjectVersion", 1)
    tagged = request.action in ("PutObject", "CreateMultipartUpload")
    if tagged and "x-amz-tagging" in request.headers:
        return [action, "s3:PutObjectTagging"]
    return [action]


def _context(request: Request, account: str) -> dict[str, str]:
    context = {
        "aws:SecureTransport": "true" if request.secure else "false",
        "aws:SourceIp": request.address,
        "aws:PrincipalAccount": account,
        "aws:PrincipalArn": _principal_arn(request.region, account),
        "aws:ViaAWSService": "false",
    }
    if request.tls_version:
        context["s3:TlsVersion"] = request.tls_version
    if "prefix" in request.params:
        context["s3:prefix"] = request.params["prefix"]
    for header in _CONTEXT_HEADERS:
        if header in request.headers:
            context[f"s3:{header}"] = request.headers[header]
    return context


def _denied(headers: tuple[tuple[str, str], ...]) -> Error:
    return Error(_DENIED.code, _DENIED.message, _DENIED.status, headers)


def _principal_arn(region: str, account: str) -> str:
    return f"arn:{get_partition(region)}:iam::{account}:user/emulated"


def _s3_arn(region: str, bucket: str, key: str) -> str:
    path = f"{bucket}/{key}" if key else bucket
    return f"arn:{get_partition(region)}:s3:::{path}"


def _ec2_arn(region: str, resource_id: str) -> str:
    kind = "snapshot" if resource_id.startswith("snap-") else "image"
    return f"arn:{get_partition(region)}:ec2:{region}::{kind}/{resource_id}"


def _unauthorized(action: str, resource: str) -> str:
    denial = {"allowed": False, "action": action, "resource": resource}
    encoded = base64.urlsafe_b64encode(zlib.compress(json.dumps(denial).encode())).decode()
    return (
        f"You are not authorized to perform this operation. User is not authorized to perform: "
        f"{action} on resource: {resource} because no identity-based policy allows the action. "
        f"Encoded authorization failure message: {encoded}"
    )
