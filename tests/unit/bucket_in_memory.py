# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of one bucket in memory, for the Cloud of the unit tests."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any

from tests.unit.cloud import ACCOUNT, BUCKET, REGION, Answer, Cloud, Refusal

OWNER = {"ID": "75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a"}
CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


@dataclass(frozen=True)
class Kind:
    """How S3 names a setting in its calls; without `missing`, an absent one is an empty answer."""

    get: str
    put: str
    param: str
    missing: str = ""
    wrapped: bool = True
    """Whether the answer has the name of the parameter around it."""


KINDS = (
    Kind(
        "GetPublicAccessBlock",
        "PutPublicAccessBlock",
        "PublicAccessBlockConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
    ),
    Kind(
        "GetBucketOwnershipControls",
        "PutBucketOwnershipControls",
        "OwnershipControls",
        "OwnershipControlsNotFoundError",
    ),
    Kind(
        "GetBucketEncryption",
        "PutBucketEncryption",
        "ServerSideEncryptionConfiguration",
        "ServerSideEncryptionConfigurationNotFoundError",
    ),
    Kind(
        "GetObjectLockConfiguration",
        "PutObjectLockConfiguration",
        "ObjectLockConfiguration",
        "ObjectLockConfigurationNotFoundError",
    ),
    Kind("GetBucketPolicy", "PutBucketPolicy", "Policy", "NoSuchBucketPolicy"),
    Kind(
        "GetBucketLifecycleConfiguration",
        "PutBucketLifecycleConfiguration",
        "LifecycleConfiguration",
        "NoSuchLifecycleConfiguration",
        wrapped=False,
    ),
    Kind(
        "GetBucketVersioning",
        "PutBucketVersioning",
        "VersioningConfiguration",
        wrapped=False,
    ),
    Kind("GetBucketLogging", "PutBucketLogging", "BucketLoggingStatus", wrapped=False),
    Kind(
        "GetBucketNotificationConfiguration",
        "PutBucketNotificationConfiguration",
        "NotificationConfiguration",
        wrapped=False,
    ),
    Kind("GetBucketTagging", "PutBucketTagging", "Tagging", "NoSuchTagSet", wrapped=False),
    Kind(
        "GetBucketRequestPayment",
        "PutBucketRequestPayment",
        "RequestPaymentConfiguration",
        wrapped=False,
    ),
)


@dataclass
class BucketInMemory:
    """Answers a Cloud's calls about buckets; `log_bucket` is another one without settings."""

    cloud: Cloud
    values: dict[str, Any] = field(default_factory=dict)
    """By the name of the parameter that sets it."""
    account_block: dict[str, bool] | None = None
    grants: list[dict[str, Any]] = field(default_factory=list)
    public: bool = False
    tiers: list[dict[str, Any]] = field(default_factory=list)
    tiers_per_page: int = 100
    log_bucket: str = "access-logs"
    log_region: str | None = REGION
    log_values: dict[str, Any] = field(default_factory=dict)
    organization: str | None = None
    """The id of the caller's organization."""

    def __post_init__(self) -> None:
        for kind in KINDS:
            self.cloud.replies[kind.get] = lambda params, kind=kind: self._get(kind, params)
            self.cloud.replies[kind.put] = lambda params, kind=kind: self._put(kind, params)
        for operation in (
            "CreateBucket",
            "DeleteBucketTagging",
            "DescribeOrganization",
            "GetBucketAcl",
            "GetBucketLocation",
            "GetBucketPolicyStatus",
            "ListBucketIntelligentTieringConfigurations",
            "PutBucketAcl",
        ):
            self.cloud.replies[operation] = getattr(self, f"_{operation}")

    @property
    def policy(self) -> dict[str, Any]:
        return dict(json.loads(self.values["Policy"]))

    @policy.setter
    def policy(self, document: dict[str, Any]) -> None:
        self.values["Policy"] = json.dumps(document)

    @property
    def rules(self) -> list[dict[str, Any]]:
        return list(self.values["LifecycleConfiguration"]["Rules"])

    def writes(self) -> list[str]:
        """What changed the bucket or the account, or tried to."""
        starts = ("Put", "Create", "Delete")
        return [name for name in self.cloud.operations() if name.startswith(starts)]

    def _get(self, kind: Kind, params: dict[str, Any]) -> Answer:
        if "AccountId" in params:
            if self.account_block is None:
                raise Refusal(kind.missing, status=404)
            return {kind.param: dict(self.account_block)}
        if params["Bucket"] == self.log_bucket:
            return self._of_log_bucket(kind)
        if kind.param not in self.values:
            if kind.missing:
                raise Refusal(kind.missing, status=404)
            return {}
        value = copy.deepcopy(self.values[kind.param])
        return {kind.param: value} if kind.wrapped else value

    def _of_log_bucket(self, kind: Kind) -> Answer:
        if kind.param not in self.log_values:
            raise Refusal(kind.missing, status=404)
        return {kind.param: self.log_values[kind.param]}

    def _put(self, kind: Kind, params: dict[str, Any]) -> Answer:
        if "AccountId" in params:
            assert params["AccountId"] == ACCOUNT
            self.account_block = params[kind.param]
        else:
            assert params["Bucket"] == BUCKET
            self.values[kind.param] = params[kind.param]
        return {}

    def _CreateBucket(self, params: dict[str, Any]) -> Answer:
        self.cloud.buckets[params["Bucket"]] = {}
        return {}

    def _DeleteBucketTagging(self, _params: dict[str, Any]) -> Answer:
        del self.values["Tagging"]
        return {}

    def _GetBucketAcl(self, _params: dict[str, Any]) -> Answer:
        own = {"Grantee": {"Type": "CanonicalUser", **OWNER}, "Permission": "FULL_CONTROL"}
        return {"Owner": OWNER, "Grants": [own, *self.grants]}

    def _PutBucketAcl(self, params: dict[str, Any]) -> Answer:
        assert params["ACL"] == "private"
        self.grants = []
        return {}

    def _GetBucketLocation(self, params: dict[str, Any]) -> Answer:
        if params["Bucket"] != self.log_bucket:
            raise Refusal("NoSuchBucket", status=404)
        return {"LocationConstraint": self.log_region} if self.log_region else {}

    def _GetBucketPolicyStatus(self, _params: dict[str, Any]) -> Answer:
        return {"PolicyStatus": {"IsPublic": self.public}}

    def _ListBucketIntelligentTieringConfigurations(self, params: dict[str, Any]) -> Answer:
        start = int(params.get("ContinuationToken", 0))
        end = start + self.tiers_per_page
        answer: Answer = {"IntelligentTieringConfigurationList": self.tiers[start:end]}
        if end < len(self.tiers):
            answer["NextContinuationToken"] = str(end)
        return answer

    def _DescribeOrganization(self, _params: dict[str, Any]) -> Answer:
        if self.organization is None:
            raise Refusal("AWSOrganizationsNotInUseException", status=400)
        return {"Organization": {"Id": self.organization}}
