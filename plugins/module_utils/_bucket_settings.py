# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each setting of a bucket: how it is read, what it should be, how it is written.

A value is what S3 shows, as plain data. The wanted value is made from the present one, so that
what others have set beside ours stays.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)

from ansible_collections.amistore.aws.plugins.module_utils import (
    _bucket_lifecycle,
    _bucket_policy,
)
from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError
from ansible_collections.amistore.aws.plugins.module_utils._bucket_baseline import Baseline
from ansible_collections.amistore.aws.plugins.module_utils._bucket_configuration import (
    AccountConfiguration,
    BucketConfiguration,
)

Parts = t.Mapping[str, t.Any]

ENFORCED = "BucketOwnerEnforced"
AWS_KEY = "alias/aws/s3"
DEFAULT_SIZE_HEADER = "x-amz-transition-default-minimum-object-size"
_SIZE_PARAM = "TransitionDefaultMinimumObjectSize"
_SIZE_DEFAULT = "all_storage_classes_128K"


def _whole(value: t.Any) -> Parts:
    return {"": value}


def _each(value: t.Any) -> Parts:
    return value or {}


@dataclass(frozen=True)
class Setting:
    """One setting. `parts` are what is compared and shown, one by one."""

    name: str
    read: t.Callable[[t.Any], t.Any]
    """From the bucket, or the account."""
    wanted: t.Callable[[t.Any, Baseline, str], t.Any]
    """From the present value (None where the bucket does not exist), the baseline and the
    partition.
    """
    write: t.Callable[[t.Any, t.Any], None]
    parts: t.Callable[[t.Any], Parts] = _whole


@dataclass(frozen=True)
class Drift:
    """One part of a setting that is not as it should be; None stands for not set."""

    setting: str
    before: t.Any
    after: t.Any


def drift_of(setting: Setting, present: t.Any, wanted: t.Any) -> list[Drift]:
    """Return the parts that differ, in the order of the wanted ones."""
    before, after = setting.parts(present), setting.parts(wanted)
    names = [*after, *(name for name in before if name not in after)]
    return [
        Drift(f"{setting.name}.{name}" if name else setting.name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]


# ACLs, which end where the owner of the bucket owns all objects


def _read_grants(bucket: BucketConfiguration) -> t.Any:
    """Return the grants to others than the owner, which S3 wants gone before ACLs are turned
    off.
    """
    if _read_ownership(bucket) == ENFORCED:
        return []
    answer = bucket.read("ACL", "get_bucket_acl")
    owner = answer["Owner"]["ID"]
    return [grant for grant in answer["Grants"] if grant["Grantee"].get("ID") != owner]


def _write_private_acl(bucket: BucketConfiguration, _value: t.Any) -> None:
    bucket.write("ACL", "put_bucket_acl", ACL="private")


def _read_ownership(bucket: BucketConfiguration) -> t.Any:
    answer = bucket.read(
        "object ownership",
        "get_bucket_ownership_controls",
        "OwnershipControlsNotFoundError",
    )
    rules = answer.get("OwnershipControls", {}).get("Rules", [])
    return rules[0]["ObjectOwnership"] if rules else None


def _write_ownership(bucket: BucketConfiguration, value: t.Any) -> None:
    controls = {"Rules": [{"ObjectOwnership": value}]}
    bucket.write("object ownership", "put_bucket_ownership_controls", OwnershipControls=controls)


# Public access

_CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


def _read_public_access_block(bucket: BucketConfiguration) -> t.Any:
    answer = bucket.read(
        "public access block", "get_public_access_block", "NoSuchPublicAccessBlockConfiguration"
    )
    return answer.get("PublicAccessBlockConfiguration", {})


def _write_public_access_block(bucket: BucketConfiguration, value: t.Any) -> None:
    bucket.write(
        "public access block", "put_public_access_block", PublicAccessBlockConfiguration=value
    )


# Encryption


def read_encryption(bucket: BucketConfiguration) -> t.Any:
    """Return the rule of the default encryption, None where there is none."""
    answer = bucket.read(
        "encryption", "get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError"
    )
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    return rules[0] if rules else None


def _wanted_encryption(present: t.Any, baseline: Baseline, _partition: str) -> t.Any:
    rule = present or {}
    by_default = rule.get("ApplyServerSideEncryptionByDefault", {})
    algorithm = by_default.get("SSEAlgorithm")
    wanted = baseline.encryption
    if wanted is None:
        return present if algorithm else _rule_with(rule, {"SSEAlgorithm": "AES256"}, False)
    if wanted.algorithm == "AES256":
        same = algorithm == "AES256"
        return present if same else _rule_with(rule, {"SSEAlgorithm": "AES256"}, False)
    # Two layers of encryption are more than what is asked for, and have no bucket key.
    kept = algorithm if str(algorithm).startswith("aws:kms") else "aws:kms"
    if algorithm == kept and _serves_as(by_default.get("KMSMasterKeyID"), wanted.kms_key_id):
        return {**rule, "BucketKeyEnabled": True} if kept == "aws:kms" else rule
    key = {"KMSMasterKeyID": wanted.kms_key_id} if wanted.kms_key_id else {}
    return _rule_with(rule, {"SSEAlgorithm": kept, **key}, kept == "aws:kms")


def _rule_with(rule: Parts, by_default: Parts, bucket_key: bool) -> dict[str, t.Any]:
    return {
        **rule,
        "ApplyServerSideEncryptionByDefault": by_default,
        "BucketKeyEnabled": bucket_key,
    }


def _serves_as(present: str | None, wanted: str | None) -> bool:
    """Tell whether the key that is there, None for aws/s3, is what is asked for.

    Any is, if none is named. An ARN is what its id or alias asks for, and not the other way round:
    S3 looks for a key without an ARN in the account of whoever stores.
    """
    if wanted is None or present == wanted:
        return True
    if present is None:
        return wanted.rpartition(":")[2] == AWS_KEY
    return present.startswith("arn:") and present.endswith((f":key/{wanted}", f":{wanted}"))


def _write_encryption(bucket: BucketConfiguration, value: t.Any) -> None:
    bucket.write(
        "encryption",
        "put_bucket_encryption",
        ServerSideEncryptionConfiguration={"Rules": [value]},
    )


def _encryption_parts(value: t.Any) -> Parts:
    if not value:
        return {}
    by_default = value.get("ApplyServerSideEncryptionByDefault", {})
    kms = str(by_default.get("SSEAlgorithm", "")).startswith("aws:kms")
    bucket_key = {"bucket_key_enabled": bool(value.get("BucketKeyEnabled"))} if kms else {}
    return {
        "algorithm": by_default.get("SSEAlgorithm"),
        "kms_key_id": by_default.get("KMSMasterKeyID"),
        **bucket_key,
    }


# Versioning and Object Lock


def _read_versioning(bucket: BucketConfiguration) -> t.Any:
    answer = bucket.read("versioning", "get_bucket_versioning")
    return {name: answer[name] for name in ("Status", "MFADelete") if name in answer}


def _wanted_versioning(present: t.Any, baseline: Baseline, _partition: str) -> t.Any:
    return {**(present or {}), "Status": "Enabled"} if baseline.versioning else present


def _write_versioning(bucket: BucketConfiguration, value: t.Any) -> None:
    status = {"Status": value["Status"]}
    bucket.write("versioning", "put_bucket_versioning", VersioningConfiguration=status)


def read_object_lock(bucket: BucketConfiguration) -> t.Any:
    """Return the Object Lock configuration, {} where there is none."""
    answer = bucket.read(
        "Object Lock",
        "get_object_lock_configuration",
        "ObjectLockConfigurationNotFoundError",
    )
    return answer.get("ObjectLockConfiguration", {})


def _wanted_object_lock(present: t.Any, baseline: Baseline, _partition: str) -> t.Any:
    return {**(present or {}), "ObjectLockEnabled": "Enabled"} if baseline.object_lock else present


def _write_object_lock(bucket: BucketConfiguration, value: t.Any) -> None:
    bucket.write("Object Lock", "put_object_lock_configuration", ObjectLockConfiguration=value)


# Policy


def _read_policy(bucket: BucketConfiguration) -> t.Any:
    answer = bucket.read("policy", "get_bucket_policy", "NoSuchBucketPolicy")
    return _bucket_policy.parsed(answer["Policy"]) if answer else None


def _wanted_policy(present: t.Any, baseline: Baseline, partition: str) -> t.Any:
    return _bucket_policy.merged(present, _bucket_policy.own_statements(baseline, partition))


def _write_policy(bucket: BucketConfiguration, value: t.Any) -> None:
    bucket.write("policy", "put_bucket_policy", Policy=_bucket_policy.as_text(value))


# Lifecycle


def _read_lifecycle(bucket: BucketConfiguration) -> t.Any:
    answer = bucket.read(
        "lifecycle", "get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"
    )
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return {
        # Told by a header, so that an older botocore sees it too.
        "smallest": headers.get(DEFAULT_SIZE_HEADER, _SIZE_DEFAULT),
        "rules": [_bucket_lifecycle.as_shown(_undated(rule)) for rule in answer.get("Rules", [])],
    }


def _undated(value: t.Any) -> t.Any:
    """Return the same with dates as text, which S3 takes as well."""
    if isinstance(value, dict):
        return {key: _undated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_undated(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _wanted_lifecycle(present: t.Any, baseline: Baseline, _partition: str) -> t.Any:
    lifecycle = present or {"smallest": _SIZE_DEFAULT, "rules": []}
    own = _bucket_lifecycle.own_rules(baseline.lifecycle)
    return {**lifecycle, "rules": _bucket_lifecycle.merged(lifecycle["rules"], own)}


def _write_lifecycle(bucket: BucketConfiguration, value: t.Any) -> None:
    method, smallest = "put_bucket_lifecycle_configuration", {}
    if value["smallest"] != _SIZE_DEFAULT:
        if not bucket.takes(method, _SIZE_PARAM):
            raise AmiStoreError(
                message=f"The lifecycle of {bucket} lets small objects change their storage class"
                f" ({value['smallest']}), which this botocore cannot keep when it writes the"
                " lifecycle: update botocore"
            )
        smallest = {_SIZE_PARAM: value["smallest"]}
    bucket.write("lifecycle", method, LifecycleConfiguration={"Rules": value["rules"]}, **smallest)


def _lifecycle_parts(value: t.Any) -> Parts:
    return _bucket_lifecycle.own_parts(value["rules"]) if value else {}


# Access log


def _read_logging(bucket: BucketConfiguration) -> t.Any:
    return bucket.read("access logging", "get_bucket_logging").get("LoggingEnabled")


def _wanted_logging(present: t.Any, baseline: Baseline, _partition: str) -> t.Any:
    if baseline.logging is None:
        return present
    target = {
        "TargetBucket": baseline.logging.bucket,
        "TargetPrefix": baseline.logging.prefix,
    }
    return {**(present or {}), **target}


def _write_logging(bucket: BucketConfiguration, value: t.Any) -> None:
    bucket.write(
        "access logging", "put_bucket_logging", BucketLoggingStatus={"LoggingEnabled": value}
    )


def _logging_parts(value: t.Any) -> Parts:
    kept = ("TargetBucket", "TargetPrefix")
    return {name: value[name] for name in kept if name in value} if value else {}


# Events

_EVENT_KINDS = (
    "TopicConfigurations",
    "QueueConfigurations",
    "LambdaFunctionConfigurations",
    "EventBridgeConfiguration",
)


def _read_notifications(bucket: BucketConfiguration) -> t.Any:
    answer = bucket.read("notifications", "get_bucket_notification_configuration")
    return {kind: answer[kind] for kind in _EVENT_KINDS if kind in answer}


def _wanted_notifications(present: t.Any, baseline: Baseline, _partition: str) -> t.Any:
    return {**(present or {}), "EventBridgeConfiguration": {}} if baseline.eventbridge else present


def _write_notifications(bucket: BucketConfiguration, value: t.Any) -> None:
    # Others' destinations are written back as they were, whether they still exist or not.
    bucket.write(
        "notifications",
        "put_bucket_notification_configuration",
        NotificationConfiguration=value,
        SkipDestinationValidation=True,
    )


def _notification_parts(value: t.Any) -> Parts:
    return _whole("Enabled" if "EventBridgeConfiguration" in (value or {}) else None)


# Tags


def _read_tags(bucket: BucketConfiguration) -> t.Any:
    answer = bucket.read("tags", "get_bucket_tagging", "NoSuchTagSet")
    return boto3_tag_list_to_ansible_dict(answer.get("TagSet", []))


def _wanted_tags(present: t.Any, baseline: Baseline, _partition: str) -> t.Any:
    if baseline.tags is None:
        return present
    kept = {
        key: value
        for key, value in (present or {}).items()
        if not baseline.purge_tags or key.startswith("aws:")
    }
    return {**kept, **baseline.tags}


def _write_tags(bucket: BucketConfiguration, value: t.Any) -> None:
    if value:
        tag_set = ansible_dict_to_boto3_tag_list(value)
        bucket.write("tags", "put_bucket_tagging", Tagging={"TagSet": tag_set})
    else:
        bucket.write("tags", "delete_bucket_tagging")


# The whole account


def _read_account_block(account: AccountConfiguration) -> t.Any:
    answer = account.read(
        "public access block", "get_public_access_block", "NoSuchPublicAccessBlockConfiguration"
    )
    return answer.get("PublicAccessBlockConfiguration", {})


def _wanted_account_block(present: t.Any, baseline: Baseline, _partition: str) -> t.Any:
    return _CLOSED if baseline.block_account_public_access else present


def _write_account_block(account: AccountConfiguration, value: t.Any) -> None:
    account.write(
        "public access block", "put_public_access_block", PublicAccessBlockConfiguration=value
    )


ACCOUNT_SETTING = Setting(
    "account_public_access_block",
    _read_account_block,
    _wanted_account_block,
    _write_account_block,
    _each,
)

# In the order in which they are written: closed first, then the rest.
SETTINGS = (
    Setting(
        "public_access_block",
        _read_public_access_block,
        lambda _present, _baseline, _partition: _CLOSED,
        _write_public_access_block,
        _each,
    ),
    Setting(
        "acl_grants",
        _read_grants,
        lambda _present, _baseline, _partition: [],
        _write_private_acl,
        lambda value: _whole(value or []),
    ),
    Setting(
        "object_ownership",
        _read_ownership,
        lambda _present, _baseline, _partition: ENFORCED,
        _write_ownership,
    ),
    Setting(
        "encryption", read_encryption, _wanted_encryption, _write_encryption, _encryption_parts
    ),
    Setting(
        "versioning",
        _read_versioning,
        _wanted_versioning,
        _write_versioning,
        lambda value: _whole((value or {}).get("Status")),
    ),
    Setting(
        "object_lock",
        read_object_lock,
        _wanted_object_lock,
        _write_object_lock,
        lambda value: _whole((value or {}).get("ObjectLockEnabled")),
    ),
    Setting("policy", _read_policy, _wanted_policy, _write_policy, _bucket_policy.own_parts),
    Setting("lifecycle", _read_lifecycle, _wanted_lifecycle, _write_lifecycle, _lifecycle_parts),
    Setting("logging", _read_logging, _wanted_logging, _write_logging, _logging_parts),
    Setting(
        "eventbridge",
        _read_notifications,
        _wanted_notifications,
        _write_notifications,
        _notification_parts,
    ),
    Setting("tags", _read_tags, _wanted_tags, _write_tags, _each),
)
