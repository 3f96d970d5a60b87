# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bucket's policy: our own statements among those of others, which stay."""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies

from ansible_collections.amistore.aws.plugins.module_utils._bucket_baseline import (
    Audience,
    Baseline,
)

Statement = t.Mapping[str, t.Any]
Policy = t.Mapping[str, t.Any]

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/add-bucket-policy.html
MAX_BYTES = 20 * 1024
# What is left of a principal that was deleted.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
_UNIQUE_ID = re.compile(r"A[A-Z]{3}[A-Z0-9]{12,}")

_ROOT = re.compile(r"arn:[a-z-]+:iam::([0-9]{12}):root")

OWN_SID = "Amistore"
TLS_FOR_ALL = "1.2"

READ_ACTIONS = ("s3:GetBucketLocation", "s3:GetObject", "s3:GetObjectTagging", "s3:ListBucket")
# Those of EC2 in the caller's name, as far as known.
WRITE_ACTIONS = ("s3:AbortMultipartUpload", "s3:PutObject", "s3:PutObjectTagging")
_GRANTED = {
    "restore": READ_ACTIONS,
    "store": (*READ_ACTIONS, *WRITE_ACTIONS, "s3:DeleteObjectTagging"),
}


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
    """Return the policy as S3 takes it, as short as it can be."""
    return json.dumps(policy, ensure_ascii=False, separators=(",", ":"))


def obstacles_to_writing(policy: Policy) -> t.Iterator[str]:
    """Yield why S3 would refuse this policy."""
    size = len(as_text(policy).encode())
    if size > MAX_BYTES:
        yield (
            f"its policy would have {size} bytes, S3 takes {MAX_BYTES}. Shorten the lists of"
            " allowed accounts and principals, for example by allowed_organizations, or the"
            " statements of others."
        )
    for statement in statements_of(policy):
        gone = [name for name in _principals_of(statement) if _UNIQUE_ID.fullmatch(name)]
        if gone:
            yield (
                f"the policy's statement {name_of(statement)} is about {', '.join(gone)}, the id of"
                " a role or user that was deleted, and S3 refuses to write a policy with one."
                " Remove it from the statement."
            )


def _principals_of(statement: Statement) -> list[str]:
    named = [statement.get("Principal"), statement.get("NotPrincipal")]
    return [
        str(name)
        for principal in named
        if isinstance(principal, dict)
        for name in listed(principal.get("AWS", []))
    ]


def is_own(statement: Statement) -> bool:
    """Tell whether a statement is ours by its name."""
    return str(statement.get("Sid", "")).startswith(OWN_SID)


def statements_of(policy: Policy | None) -> list[Statement]:
    """Return the statements; a policy may hold a single one without a list."""
    return listed((policy or {}).get("Statement", []))


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
    return not compare_policies(_short_roots(one), _short_roots(other), default_version=None)


def _short_roots(value: t.Any) -> t.Any:
    """Return the same with accounts by their id, as compare_policies has them in one partition."""
    if isinstance(value, dict):
        return {key: _short_roots(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short_roots(item) for item in value]
    root = _ROOT.fullmatch(value) if isinstance(value, str) else None
    return root.group(1) if root else value


def listed(value: t.Any) -> list[t.Any]:
    """Return what a policy may write as one value or as a list of them."""
    return list(value) if isinstance(value, list) else [value]


def name_of(statement: Statement) -> str:
    """Return what a message calls the statement."""
    return f"'{statement['Sid']}'" if statement.get("Sid") else "without a Sid"
