# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: the scenario's denials, callers' policies, bucket owners and policies, Regions.

moto knows none of it unless IAM is switched on, and then ignores conditions.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from moto.utilities.utils import get_partition

from . import objects
from .answers import Error
from .callers import Caller
from .ec2_targets import Target
from .encryption import KeyUse, applied, key_of, key_use
from .filters import like
from .model import Refused
from .partitions import suffix_of
from .policy import Attempt, ContextValue, Verdict, evaluate
from .scenario import Scenario
from .wire import Request

Context = Mapping[str, ContextValue]

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
_READS_WITH_KEY = {"GetObject", "HeadObject"}
_WRITES_OF_PARTS = {"UploadPart", "UploadPartCopy"}
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

    def trusts(self, caller: Caller) -> bool:
        """Whether nothing but buckets and their policies can keep this caller from anything."""
        return caller.policies is None and not self._scenario().deny

    def may(self, caller: Caller, action: str, resource: str, context: Context) -> bool:
        """Whether neither the scenario nor the caller's own policies keep it from an action."""
        return not self.denied(action, resource) and caller.may(action, resource, context)

    def require_ec2(
        self, request: Request, caller: Caller, action: str, targets: Iterable[Target]
    ) -> None:
        """Raises Refused when the caller may not do this to one of the targets."""
        for target in targets:
            context = {**context_of(request, caller), **target.context}
            if not self.may(caller, action, target.arn, context):
                raise Refused("UnauthorizedOperation", _unauthorized(caller, action, target.arn))

    def service_error(self, request: Request, caller: Caller) -> Error | None:
        """Why a service that is not modelled here refuses a request of a restricted caller."""
        action = f"{request.service}:{request.action}"
        if request.service == "sts" or caller.may(action, "*", context_of(request, caller)):
            return None
        return Error("AccessDenied", _not_authorized(caller, action, "*"), 403)

    def s3_error(self, request: Request, caller: Caller) -> Error | None:
        """Why S3 refuses a request before it looks at what is asked; None when it does not."""
        bucket = objects.find_bucket(request.bucket)
        if bucket is None or request.action == "CreateBucket":
            return self._without_bucket(request, caller)
        region_header = (("x-amz-bucket-region", bucket.region_name),)
        if request.region and request.region != bucket.region_name:
            return self._elsewhere(bucket.region_name, request.bucket, region_header)
        owner = request.headers.get("x-amz-expected-bucket-owner")
        if owner and owner != bucket.account_id:
            return _denied(region_header)
        context = context_of(request, caller)
        for action in _iam_actions(request):
            if not self.s3_allowed(caller, action, request.bucket, request.key, context):
                resource = _s3_arn(request.region, request.bucket, request.key)
                whole = {**context, "aws:ResourceAccount": str(bucket.account_id)}
                return self._refused(caller, action, resource, whole, region_header)
        closed = self._source_closed(request, caller, context)
        if closed:
            return closed
        for use in _keys_of(request, bucket):
            missing = self.missing_of_key(caller, use, context)
            if missing is not None:
                whole = {**context, **use.context}
                return self._refused(caller, missing, use.key, whole, region_header)
        if self._hides_missing_object(request, caller, context):
            return _denied(region_header)
        return None

    def missing_of_key(self, caller: Caller, use: KeyUse, context: Context) -> str | None:
        """The first KMS action that the caller lacks; key policies are not modelled."""
        whole = {**context, **use.context}
        return next((a for a in use.actions if not self.may(caller, a, use.key, whole)), None)

    def _refused(
        self,
        caller: Caller,
        action: str,
        resource: str,
        context: Context,
        header: tuple[tuple[str, str], ...],
    ) -> Error:
        """S3's refusal, which names what is missing where the caller's own policies are at fault.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html
        """
        if caller.may(action, resource, context):
            return _denied(header)
        return Error(_DENIED.code, _not_authorized(caller, action, resource), 403, header)

    def _without_bucket(self, request: Request, caller: Caller) -> Error | None:
        """What needs no bucket, or finds none, is judged by the caller's own rights alone."""
        resource = _s3_arn(request.region, request.bucket, request.key) if request.bucket else "*"
        context = context_of(request, caller)
        for action in _iam_actions(request):
            if not self.may(caller, action, resource, context):
                return _denied(())
        return None

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
            {"Endpoint": f"{bucket}.s3.{region}.{suffix_of(region)}", "Bucket": bucket},
        )

    def _source_closed(self, request: Request, caller: Caller, context: Context) -> Error | None:
        """Why the source of a copy may not be read, or is not whose it is expected to be."""
        bucket, _slash, key = request.copy_source.partition("/")
        found = objects.find_bucket(bucket)
        if found is None:
            return None
        owner = request.headers.get("x-amz-source-expected-bucket-owner")
        if owner and owner != found.account_id:
            return _denied(())
        for action in _reads_of_source(request):
            if not self.s3_allowed(caller, action, bucket, key, context):
                resource = _s3_arn(str(found.region_name), bucket, key)
                return self._refused(caller, action, resource, context, ())
        return None

    def _hides_missing_object(self, request: Request, caller: Caller, context: Context) -> bool:
        """S3 says that an object is missing only to those who may list the bucket.

        The request names no prefix, so a right to list with a condition on s3:prefix is none.
        """
        if request.action not in _READS_OF_ONE_OBJECT:
            return False
        if objects.find_object(request.bucket, request.key):
            return False
        return not self.s3_allowed(caller, "s3:ListBucket", request.bucket, "", context)

    def s3_allowed(
        self, caller: Caller, action: str, bucket: str, key: str, context: Context
    ) -> bool:
        """Whether the caller's policies and the bucket's together allow an S3 action."""
        found: Any = objects.find_bucket(bucket)
        resource = _s3_arn(found.region_name, bucket, key)
        owner = found.account_id
        whole = {**context, "aws:ResourceAccount": owner, "s3:ResourceAccount": owner}
        # A bucket's policy alone opens nothing to a restricted caller here; on AWS it can.
        if not self.may(caller, action, resource, whole):
            return False
        verdict = Verdict.SILENT
        if found.policy:
            attempt = Attempt(caller.arn, caller.account, action, resource, whole)
            verdict = evaluate(found.policy, attempt)
        if verdict is Verdict.SILENT:
            return bool(owner == caller.account)
        return verdict is Verdict.ALLOW


def _keys_of(request: Request, bucket: Any) -> list[KeyUse]:
    """The KMS keys that S3 uses for a request, with the caller's rights.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
    """
    region = bucket.region_name
    if request.action in _WRITES_OF_PARTS:
        upload: Any = bucket.multiparts.get(request.params.get("uploadId", ""))
        key = upload.kms_key_id if upload and upload.sse_encryption == "aws:kms" else None
        # S3 reads the parts again before it puts them together.
        return [
            *key_use(key, region, "s3", ["kms:Decrypt"]),
            *_key_of_source(request),
        ]
    if request.action in _READS_WITH_KEY and _shows_contents(request):
        item = objects.find_version(request.bucket, request.key, request.params.get("versionId"))
        return key_use(key_of(item), region, "s3", ["kms:Decrypt"])
    if request.action in ("PutObject", "CopyObject", "CreateMultipartUpload"):
        _algorithm, key = applied(request.headers, bucket)
        return [*key_use(key, region, "s3", ["kms:GenerateDataKey"]), *_key_of_source(request)]
    return []


def _shows_contents(request: Request) -> bool:
    """A checksum is as secret as what it is of.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    """
    asked = request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    return request.action == "GetObject" or asked


def _key_of_source(request: Request) -> list[KeyUse]:
    bucket, _slash, key = request.copy_source.partition("/")
    found: Any = objects.find_bucket(bucket)
    if found is None:
        return []
    item = objects.find_version(bucket, key, request.source_version or None)
    return key_use(key_of(item), found.region_name, "s3", ["kms:Decrypt"])


def _reads_of_source(request: Request) -> list[str]:
    """A copy takes the tags along unless it is told others.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    """
    of_version = "Version" if request.source_version else ""
    read = [f"s3:GetObject{of_version}"]
    return [*read, f"s3:GetObject{of_version}Tagging"] if _copies_tags(request) else read


def _copies_tags(request: Request) -> bool:
    if request.action != "CopyObject":
        return False
    if request.headers.get("x-amz-tagging-directive", "COPY") != "COPY":
        return False
    bucket, _slash, key = request.copy_source.partition("/")
    item = objects.find_version(bucket, key, request.source_version or None)
    return item is not None and bool(objects.tags_of(item))


def _iam_actions(request: Request) -> list[str]:
    action = _S3_ACTIONS.get(request.action, f"s3:{request.action}")
    if "versionId" in request.params and action in _VERSIONED:
        action = action.replace("Object", "ObjectVersion", 1)
    tagged = request.action in ("PutObject", "CreateMultipartUpload", "CopyObject")
    if tagged and ("x-amz-tagging" in request.headers or _copies_tags(request)):
        return [action, "s3:PutObjectTagging"]
    return [action]


def context_of(request: Request, caller: Caller) -> dict[str, ContextValue]:
    """The condition keys that a request brings, whatever it is about."""
    context: dict[str, ContextValue] = {
        **principal_of(caller, request.region),
        "aws:SecureTransport": "true" if request.secure else "false",
        "aws:SourceIp": request.address,
        "aws:ViaAWSService": "false",
    }
    if request.service == "ec2":
        context["ec2:Region"] = request.region
    if request.tls_version:
        context["s3:TlsVersion"] = request.tls_version
    if "prefix" in request.params:
        context["s3:prefix"] = request.params["prefix"]
    for header in _CONTEXT_HEADERS:
        if header in request.headers:
            context[f"s3:{header}"] = request.headers[header]
    return context


def principal_of(caller: Caller, region: str) -> dict[str, ContextValue]:
    """The condition keys that say who calls, and where."""
    return {
        "aws:PrincipalAccount": caller.account,
        "aws:PrincipalArn": caller.arn,
        "aws:RequestedRegion": region,
    }


def _denied(headers: tuple[tuple[str, str], ...]) -> Error:
    return Error(_DENIED.code, _DENIED.message, _DENIED.status, headers)


def _s3_arn(region: str, bucket: str, key: str) -> str:
    path = f"{bucket}/{key}" if key else bucket
    return f"arn:{get_partition(region)}:s3:::{path}"


def _not_authorized(caller: Caller, action: str, resource: str) -> str:
    return (
        f'User: {caller.arn} is not authorized to perform: {action} on resource: "{resource}" '
        f"because no identity-based policy allows the {action} action"
    )


def _unauthorized(caller: Caller, action: str, resource: str) -> str:
    denial = {"allowed": False, "action": action, "resource": resource}
    encoded = base64.urlsafe_b64encode(zlib.compress(json.dumps(denial).encode())).decode()
    return (
        f"You are not authorized to perform this operation. User: {caller.arn} is not authorized "
        f"to perform: {action} on resource: {resource} because no identity-based policy allows "
        f"the {action} action. Encoded authorization failure message: {encoded}"
    )
