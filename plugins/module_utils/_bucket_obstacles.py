# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in the way of a safe bucket that still works: refused before anything is changed."""

from __future__ import annotations

import fnmatch
import typing as t
from dataclasses import dataclass, field

from ansible_collections.amistore.aws.plugins.module_utils import (
    _bucket_denials,
    _bucket_lifecycle,
    _bucket_policy,
)
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    InputError,
    error_code,
    is_forbidden,
)
from ansible_collections.amistore.aws.plugins.module_utils._bucket_baseline import (
    MAX_BUCKET_TAGS,
    Audience,
    Baseline,
)
from ansible_collections.amistore.aws.plugins.module_utils._bucket_configuration import (
    BucketConfiguration,
)
from ansible_collections.amistore.aws.plugins.module_utils._bucket_settings import (
    AWS_KEY,
    read_encryption,
    read_object_lock,
)

_TIERED_CLASS = "INTELLIGENT_TIERING"


@dataclass(frozen=True)
class Caller:
    """Who runs the task, as STS tells it."""

    account: str
    arn: str
    organization: str | None = None
    """Its organization's id, "" if it is in none, None where that was not asked or not told."""


@dataclass
class Findings:
    """What was found: `obstacles` stop the run, `doubts` are told."""

    obstacles: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def check_name(bucket: BucketConfiguration, exists: bool) -> list[str]:
    """Return what is doubtful about the name of a bucket that exists.

    :raises InputError: when a bucket of such a name would have to be made.
    """
    if "." not in bucket.name:
        return []
    words = (
        f"The name of {bucket} has a dot: S3's certificate does not cover it as a host name, and"
        " clients that put the bucket there cannot check the server."
    )
    if not exists:
        raise InputError(f"{words} Choose a name without dots; nothing was changed.")
    return [words]


def check_maker(bucket: BucketConfiguration, baseline: Baseline, caller: Caller | None) -> None:
    """Refuse to make a bucket that would not belong to who is to own it.

    CreateBucket takes no expected owner.

    :raises InputError: says whose it would be.
    """
    owner = baseline.expected_bucket_owner
    if owner is None or (caller is not None and caller.account == owner):
        return
    whose = f"account {caller.account}, which runs this task" if caller else "an unknown account"
    raise InputError(
        f"{bucket} does not exist. It would be made in {whose}, and not in {owner}, which"
        f" expected_bucket_owner says: use credentials of {owner}. Nothing was changed."
    )


def check_caller(audience: Audience, caller: Caller | None) -> list[str]:
    """Return what is doubtful about a limit to the audience.

    :raises InputError: when it would lock out the caller.
    """
    if not audience:
        return []
    if caller is None:
        return ["STS does not tell who calls: whether the bucket's policy lets you in is not known"]
    if caller.account in audience.accounts or _is_named(caller, audience.principals):
        return []
    if audience.organizations and caller.organization is None:
        return [
            f"{caller.arn}, which runs this task, is let in only as a member of"
            f" {', '.join(audience.organizations)}, and AWS Organizations does not tell whether it"
            " is one. If it is not, the bucket's policy locks it out, and only the root user can"
            f" undo that: add {caller.account} to allowed_accounts"
        ]
    if caller.organization in audience.organizations:
        return []
    raise InputError(
        "allowed_accounts, allowed_organizations and allowed_principals do not include"
        f" {caller.arn}, which runs this task: the bucket's policy would lock it out, and only the"
        " root user could undo that. Add it. Nothing was changed."
    )


def _is_named(caller: Caller, principals: t.Iterable[str]) -> bool:
    """Tell whether a caller is among the principals; a session is that of its role, whose path it
    does not show.
    """
    arns = [caller.arn]
    service, _slash, rest = caller.arn.split(":", 5)[5].partition("/")
    if service == "assumed-role":
        start = caller.arn.replace(":sts:", ":iam:").partition(":assumed-role/")[0]
        arns = [f"{start}:role/{rest.split('/')[0]}"]
        principals = [_without_path(principal) for principal in principals]
    return any(fnmatch.fnmatchcase(arn, name) for arn in arns for name in principals)


def _without_path(principal: str) -> str:
    start, _slash, rest = principal.partition("/")
    return f"{start}/{rest.rpartition('/')[2]}"


@dataclass(frozen=True)
class Outlook:
    """A bucket's settings by name: as they are, none for a bucket that does not exist, as they
    should be, and which of them differ.
    """

    present: t.Mapping[str, t.Any]
    wanted: t.Mapping[str, t.Any]
    drifting: t.Collection[str]


def find(
    bucket: BucketConfiguration, baseline: Baseline, outlook: Outlook, account: str | None
) -> Findings:
    """Return what a bucket and its log target stand in the way with.

    :param account: the caller's account.
    """
    found = Findings()
    found.obstacles += _of_encryption(baseline, outlook.wanted["encryption"], account)
    found.obstacles += _of_writing(outlook)
    if present := outlook.present:
        policy, rules = present["policy"], present["lifecycle"]["rules"]
        found.obstacles += [*_of_object_lock(bucket), *_of_payer(bucket)]
        found.obstacles += _of_tiers(bucket, baseline, rules)
        found.obstacles += [] if policy is None else _of_public_policy(bucket)
        place = _bucket_denials.Place(bucket.arn, baseline.lifecycle.prefix)
        found.obstacles += _bucket_denials.obstacles(policy, place)
        found.obstacles += _bucket_lifecycle.obstacles(rules, baseline.lifecycle)
        found.doubts += _bucket_denials.doubts(policy, place)
        found.doubts += _bucket_lifecycle.doubts(rules, baseline.lifecycle)
    if baseline.logging:
        target = bucket.other(baseline.logging.bucket, account)
        _look_at_log_target(target, bucket.region, found)
    return found


def _of_encryption(baseline: Baseline, rule: t.Any, account: str | None) -> t.Iterator[str]:
    """A key that members of other accounts cannot use, or that means another key to them."""
    by_default = rule["ApplyServerSideEncryptionByDefault"]
    key = by_default.get("KMSMasterKeyID")
    is_kms = by_default["SSEAlgorithm"].startswith("aws:kms")
    if not is_kms or not baseline.audience.has_others_than(account):
        return
    if key is None or key.endswith(AWS_KEY):
        yield (
            "it is encrypted with the key aws/s3, which no other account can ever use, yet other"
            " accounts are allowed. Use encryption AES256, or a KMS key of your own in kms_key_id."
        )
    elif not key.startswith("arn:"):
        yield (
            f"kms_key_id '{key}' is not an ARN, yet other accounts are allowed: S3 would look for"
            " the key in the account of whoever stores. Give the key's ARN."
        )


def _of_writing(outlook: Outlook) -> t.Iterator[str]:
    """What S3 would refuse to write, after other settings have been changed."""
    if "policy" in outlook.drifting:
        yield from _bucket_policy.obstacles_to_writing(outlook.wanted["policy"])
    if "tags" in outlook.drifting:
        count = sum(not key.startswith("aws:") for key in outlook.wanted["tags"])
        if count > MAX_BUCKET_TAGS:
            yield (
                f"it would have {count} tags with those that are there, a bucket takes at most"
                f" {MAX_BUCKET_TAGS}. Remove some, or set purge_tags: true."
            )
    locked = {"lifecycle", "versioning"} & set(outlook.drifting)
    if outlook.present and outlook.present["versioning"].get("MFADelete") == "Enabled" and locked:
        yield (
            f"MFA delete is on, with which its {' and '.join(sorted(locked))} cannot be set: S3"
            " takes no lifecycle beside it, and versioning only from the root user. Only the root"
            " user can turn MFA delete off."
        )


def _of_object_lock(bucket: BucketConfiguration) -> t.Iterator[str]:
    retention = read_object_lock(bucket).get("Rule", {}).get("DefaultRetention")
    if retention:
        yield (
            f"Object Lock has a default retention ({retention.get('Mode')}): S3 then refuses"
            " uploads without a checksum, and whether CreateStoreImageTask sends one is not"
            " documented; and a stored AMI could not be replaced before the retention ends. Store"
            " into a bucket without default retention, and copy from there into a locked one."
        )


def _of_payer(bucket: BucketConfiguration) -> t.Iterator[str]:
    payer = bucket.read("request payment", "get_bucket_request_payment").get("Payer")
    if payer == "Requester":
        yield (
            "it is a Requester Pays bucket: callers of other accounts must agree to pay with each"
            " request, and CreateStoreImageTask and CreateRestoreImageTask have no way to. Set the"
            " payer to BucketOwner."
        )


def _of_tiers(
    bucket: BucketConfiguration, baseline: Baseline, rules: t.Sequence[t.Any]
) -> t.Iterator[str]:
    wanted = baseline.lifecycle
    tiered = wanted.storage_class == _TIERED_CLASS or _bucket_lifecycle.moves_to(
        rules, _TIERED_CLASS, wanted.prefix
    )
    if not tiered or wanted.allow_archive:
        return
    for configuration in _tier_configurations(bucket):
        scope = configuration.get("Filter", {})
        if configuration.get("Status") == "Enabled" and _bucket_lifecycle.is_in_scope(
            scope, wanted.prefix
        ):
            yield (
                f"its Intelligent-Tiering configuration '{configuration['Id']}' moves objects into"
                " archive tiers, from where CreateRestoreImageTask cannot read them. Remove it, use"
                " GLACIER_IR, or set allow_archive: true if a restore may wait for a thaw by hand."
            )


def _tier_configurations(bucket: BucketConfiguration) -> t.Iterator[t.Mapping[str, t.Any]]:
    method = "list_bucket_intelligent_tiering_configurations"
    page: dict[str, str] = {}
    while True:
        answer = bucket.read("Intelligent-Tiering", method, **page)
        yield from answer.get("IntelligentTieringConfigurationList", [])
        if not answer.get("NextContinuationToken"):
            return
        page = {"ContinuationToken": answer["NextContinuationToken"]}


def _of_public_policy(bucket: BucketConfiguration) -> t.Iterator[str]:
    answer = bucket.read("policy status", "get_bucket_policy_status", "NoSuchBucketPolicy")
    if answer.get("PolicyStatus", {}).get("IsPublic"):
        yield (
            "its policy makes it public by a statement that is not ours. S3 refuses to write such"
            " a policy once public access is blocked. Remove the statement, or limit it by a"
            " condition such as aws:PrincipalOrgID."
        )


def _look_at_log_target(target: BucketConfiguration, region: str, found: Findings) -> None:
    try:
        found.obstacles += _of_log_region(target, region)
        found.obstacles += _of_log_retention(target)
        found.doubts += _of_log_encryption(target)
    except AmiStoreError as error:
        if error_code(error) in ("404", "NoSuchBucket"):
            found.obstacles.append(f"the log target, {target}, does not exist: create it first.")
        elif is_forbidden(error):
            found.doubts.append(
                f"The log target, {target}, could not be looked at. It must be in the same Region"
                " and account, without a default retention."
            )
        else:
            raise


def _of_log_region(target: BucketConfiguration, region: str) -> t.Iterator[str]:
    location = target.read("Region", "get_bucket_location").get("LocationConstraint")
    if _region_of(location) != region:
        yield (
            f"the log target, {target}, is in Region {_region_of(location)}: S3 writes access logs"
            f" to a bucket of the same Region only, which is {region}."
        )


def _of_log_retention(target: BucketConfiguration) -> t.Iterator[str]:
    if read_object_lock(target).get("Rule", {}).get("DefaultRetention"):
        yield (
            f"the log target, {target}, has Object Lock with a default retention: S3 cannot deliver"
            " access logs there."
        )


def _of_log_encryption(target: BucketConfiguration) -> t.Iterator[str]:
    by_default = (read_encryption(target) or {}).get("ApplyServerSideEncryptionByDefault", {})
    if str(by_default.get("SSEAlgorithm")).startswith("aws:kms"):
        yield (
            f"The log target, {target}, is encrypted with a KMS key, while S3's guide asks for"
            " S3's own keys there: see whether logs arrive."
        )


def _region_of(location: str | None) -> str:
    return {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}.get(location, str(location))
