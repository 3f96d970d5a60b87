# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which customer managed KMS keys an action needs, and through which service it uses them.

The keys that AWS manages itself ask no caller for rights: their key policies allow all of the
account that go through the service.
https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from moto.kms.models import kms_backends
from moto.s3.models import FakeBucket, FakeKey

from .partitions import suffix_of
from .policy import ContextValue

_MANAGED = ("alias/aws/ebs", "alias/aws/s3")


@dataclass(frozen=True)
class KeyUse:
    """Actions with one key, through one service."""

    key: str
    actions: Sequence[str]
    context: Mapping[str, ContextValue] = field(default_factory=dict)


def key_use(key: str | None, region: str, service: str, actions: Sequence[str]) -> list[KeyUse]:
    """What is needed of this key; nothing where there is none, or where AWS manages it."""
    if not key or _managed_by_aws(key):
        return []
    account = "".join(key.split(":")[4:5])
    context: dict[str, ContextValue] = {"kms:ViaService": f"{service}.{region}.{suffix_of(region)}"}
    if account:
        context |= {"aws:ResourceAccount": account, "kms:CallerAccount": account}
    return [KeyUse(key, actions, context)]


def default_key(bucket: FakeBucket) -> str | None:
    """The key that a bucket encrypts new objects with; None for S3's own keys."""
    rule: Mapping[str, Any] = (bucket.encryption or {}).get("Rule", {})
    by_default = rule.get("ApplyServerSideEncryptionByDefault", {})
    return by_default.get("KMSMasterKeyID") if by_default.get("SSEAlgorithm") != "AES256" else None


def applied(headers: Mapping[str, str], bucket: FakeBucket) -> tuple[str | None, str | None]:
    """The algorithm and key for a new object: as the request says, else as the bucket does."""
    name = "x-amz-server-side-encryption"
    if headers.get(name):
        return headers[name], headers.get(f"{name}-aws-kms-key-id")
    rule: Mapping[str, Any] = (bucket.encryption or {}).get("Rule", {})
    by_default = rule.get("ApplyServerSideEncryptionByDefault", {})
    return by_default.get("SSEAlgorithm"), by_default.get("KMSMasterKeyID")


def key_of(item: FakeKey | None) -> str | None:
    """The key that an object is encrypted with."""
    return item.kms_key_id if item is not None and item.encryption == "aws:kms" else None


def _managed_by_aws(key: str) -> bool:
    if key in _MANAGED:
        return True
    return any(
        known.arn == key and set(_MANAGED) & set(known.aliases)
        for regions in list(kms_backends.values())
        for backend in list(regions.values())
        for known in backend.keys.values()
    )
