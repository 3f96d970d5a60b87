# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bucket's policy: our own statements among those of others, which stay."""

from __future__ import annotations

import fnmatch
import json
import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies

from ansible_collections.amistore.aws.plugins.module_utils._bucket_baseline import (
    Audience,
    Baseline,
)

Statement = t.Mapping[str, t.Any]
Policy = t.Mapping[str, t.Any]

OWN_SID = "Amistore"
TLS_FOR_ALL = "1.2"

_READ = ("s3:GetBucketLocation", "s3:GetObject", "s3:GetObjectTagging", "s3:ListBucket")
_WRITE = ("s3:AbortMultipartUpload", "s3:PutObject", "s3:PutObjectTagging")
_GRANTED = {"restore": _READ, "store": (*_READ, *_WRITE)}

# EC2 reads and writes the bucket in the caller's name, and such a request carries no network of
# the caller's. https://docs.aws.amazon.com/IAM/latest/UserGuide/access_forward_access_sessions.html
_NETWORK_KEYS = ("aws:sourcevpc", "aws:sourcevpce", "aws:vpcsourceip", "aws:sourcevpcarn")
_EXEMPTION_KEYS = ("aws:viaawsservice", "aws:calledvia", "aws:calledviafirst", "aws:calledvialast")
# Headers that CreateStoreImageTask leaves no way to ask for.
_HEADER_KEYS = (
    "s3:x-amz-acl",
    "s3:x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:x-amz-storage-class",
)


def own_statements(baseline: Baseline, partition: str) -> list[Statement]:
    """Return the statements that the baseline asks for, in a fixed order."""
    bucket = f"arn:{partition}:s3:::{baseline.bucket}"
    everything = [bucket, f"{bucket}/*"]
    statements = [
        _deny("InsecureTransport", "s3:*", everything, {"Bool": {"aws:SecureTransport": "false"}}),
        _deny("OldTls", "s3:*", everything, _tls_below(TLS_FOR_ALL)),
    ]
    if baseline.minimum_tls_version != TLS_FOR_ALL:
        # What EC2's own connection to S3 negotiates is not documented.
        by_caller = {"BoolIfExists": {"aws:ViaAWSService": "false"}}
        condition = {**_tls_below(baseline.minimum_tls_version), **by_caller}
        statements.append(_deny("OldTlsOfCallers", "s3:*", everything, condition))
    if baseline.deny_customer_keys:
        given = {"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}}
        statements.append(_deny("CustomerKeys", "s3:PutObject", f"{bucket}/*", given))
    if baseline.audience:
        statements.append(_deny("Others", "s3:*", everything, _outside(baseline.audience)))
    objects = f"{bucket}/{baseline.lifecycle.prefix}*"
    return [*statements, *_allowances(baseline.audience, partition, [bucket, objects])]


def _deny(name: str, action: str, resource: t.Any, condition: t.Mapping[str, t.Any]) -> Statement:
    return {
        "Sid": f"{OWN_SID}Deny{name}",
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": resource,
        "Condition": condition,
    }


def _tls_below(version: str) -> dict[str, t.Any]:
    return {"NumericLessThan": {"s3:TlsVersion": version}}


def _outside(audience: Audience) -> dict[str, t.Any]:
    """Return a condition that holds for callers on none of the lists.

    AWS's own services, such as log delivery, are no members of anything.
    """
    condition: dict[str, t.Any] = {"BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}
    accounts, organizations = list(audience.accounts), list(audience.organizations)
    unequal = {"aws:PrincipalAccount": accounts, "aws:PrincipalOrgID": organizations}
    if accounts or organizations:
        condition["StringNotEquals"] = {key: value for key, value in unequal.items() if value}
    if audience.principals:
        condition["ArnNotLike"] = {"aws:PrincipalArn": list(audience.principals)}
    return condition


def _allowances(audience: Audience, partition: str, resources: list[str]) -> list[Statement]:
    actions = sorted({action for grant in audience.grants for action in _GRANTED[grant]})
    if not actions:
        return []

    def allow(name: str, principal: t.Any, condition: t.Mapping[str, t.Any]) -> Statement:
        statement = {
            "Sid": f"{OWN_SID}Allow{name}",
            "Effect": "Allow",
            "Principal": principal,
            "Action": actions,
            "Resource": resources,
        }
        return {**statement, "Condition": condition} if condition else statement

    allowances = []
    if audience.accounts:
        allowances.append(allow("Accounts", _roots(partition, audience.accounts), {}))
    if audience.organizations:
        members = {"StringEquals": {"aws:PrincipalOrgID": list(audience.organizations)}}
        allowances.append(allow("Organizations", {"AWS": "*"}, members))
    if audience.principals:
        # Named by a condition: a principal that is deleted would turn into an id in the policy.
        homes = [principal.split(":")[4] for principal in audience.principals]
        named = {"ArnLike": {"aws:PrincipalArn": list(audience.principals)}}
        allowances.append(allow("Principals", _roots(partition, homes), named))
    return allowances


def _roots(partition: str, accounts: t.Iterable[str]) -> dict[str, list[str]]:
    return {"AWS": [f"arn:{partition}:iam::{account}:root" for account in sorted(set(accounts))]}


def parsed(text: str) -> Policy:
    """Return the policy that S3 answers as text."""
    return t.cast(Policy, json.loads(text))


def as_text(policy: Policy) -> str:
    """Return the policy as S3 takes it."""
    return json.dumps(policy)


def is_own(statement: Statement) -> bool:
    """Tell whether a statement is ours by its name."""
    return str(statement.get("Sid", "")).startswith(OWN_SID)


def statements_of(policy: Policy | None) -> list[Statement]:
    """Return the statements; a policy may hold a single one without a list."""
    statements = (policy or {}).get("Statement", [])
    return [statements] if isinstance(statements, dict) else list(statements)


def own_parts(policy: Policy | None) -> dict[str, Statement]:
    """Return our statements by name."""
    return {str(s["Sid"]): s for s in statements_of(policy) if is_own(s)}


def merged(policy: Policy | None, own: t.Sequence[Statement]) -> Policy:
    """Return the policy with exactly these statements of ours, and all others as they were.

    A statement of ours that says the same in other words stays as it is.
    """
    present = own_parts(policy)
    foreign = [s for s in statements_of(policy) if not is_own(s)]
    kept = [
        present[s["Sid"]] if s["Sid"] in present and _same(present[s["Sid"]], s) else s for s in own
    ]
    return {**(policy or {"Version": "2012-10-17"}), "Statement": [*foreign, *kept]}


def _same(one: Statement, other: Statement) -> bool:
    return not compare_policies(dict(one), dict(other), default_version=None)


def obstacles(policy: Policy | None) -> list[str]:
    """Return why statements of others would make every store and restore fail."""
    return [
        f"the policy's statement {_name(s)} denies requests from outside a VPC or endpoint"
        f" ({', '.join(sorted(found))}). EC2 stores and restores in the caller's name, without a"
        " network of the caller's: every store and restore would be denied. Add the condition"
        ' {"Bool": {"aws:ViaAWSService": "false"}} to it.'
        for s, required, keys in _denials(policy)
        if (found := required & set(_NETWORK_KEYS)) and not keys & set(_EXEMPTION_KEYS)
    ]


def doubts(policy: Policy | None) -> list[str]:
    """Return what statements of others may do to a store."""
    return [
        f"The policy's statement {_name(s)} denies by {', '.join(sorted(found))}. Whether"
        " CreateStoreImageTask sends this is not documented: try a store before you rely on it."
        for s, required, _keys in _denials(policy)
        if (found := required & set(_HEADER_KEYS))
    ]


def _denials(policy: Policy | None) -> t.Iterator[tuple[Statement, set[str], set[str]]]:
    """Yield others' denials that reach a store or restore, with the condition keys whose absence
    they punish, and all their condition keys.
    """
    for statement in statements_of(policy):
        if statement.get("Effect") == "Deny" and not is_own(statement) and _reaches(statement):
            blocks = statement.get("Condition", {})
            keys = [(name, key.lower()) for name, block in blocks.items() for key in block]
            required = {key for operator, key in keys if "Not" in operator or operator == "Null"}
            yield statement, required, {key for _operator, key in keys}


def _reaches(statement: Statement) -> bool:
    everybody = statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
    if not everybody and "NotPrincipal" not in statement:
        return False
    if "NotAction" in statement:
        return not all(_matches(statement["NotAction"], action) for action in (*_READ, *_WRITE))
    return any(_matches(statement.get("Action", []), action) for action in (*_READ, *_WRITE))


def _matches(patterns: str | list[str], action: str) -> bool:
    listed = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in listed)


def _name(statement: Statement) -> str:
    return f"'{statement['Sid']}'" if statement.get("Sid") else "without a Sid"
