# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our statements of a bucket's policy, judged as AWS judges them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._bucket_baseline import (
    Audience,
    Baseline,
    Lifecycle,
)
from ansible_collections.amistore.aws.plugins.module_utils._bucket_policy import (
    as_text,
    merged,
    own_statements,
)
from tests.emulator.policy import Attempt, Verdict, evaluate

OWNER, MEMBER, STRANGER = "111122223333", "444455556666", "777788889999"
ORGANIZATION = "o-a1b2c3d4e5"
ROLE = f"arn:aws:iam::{MEMBER}:role/dr/restorer"
SECURE = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}


def verdict(
    baseline: Baseline,
    account: str = OWNER,
    action: str = "s3:GetObject",
    key: str = "dr/ami-1.bin",
    arn: str = "",
    **context: str,
) -> Verdict:
    """Judge a request over TLS 1.3, unless the context says otherwise."""
    arn = arn or f"arn:aws:iam::{account}:user/somebody"
    circumstances: dict[str, Any] = {
        **SECURE,
        "aws:PrincipalAccount": account,
        "aws:PrincipalArn": arn,
        "aws:PrincipalIsAWSService": "false",
        **{name.replace("__", ":").replace("_", "-"): value for name, value in context.items()},
    }
    resource = f"arn:aws:s3:::{baseline.bucket}" + (f"/{key}" if key else "")
    policy = json.dumps(merged(None, own_statements(baseline, "aws")))
    return evaluate(policy, Attempt(arn, account, action, resource, circumstances))


def test_only_tls_of_today_is_let_in() -> None:
    baseline = Baseline("vault")
    assert verdict(baseline) is Verdict.SILENT
    assert verdict(baseline, aws__SecureTransport="false") is Verdict.DENY
    assert verdict(baseline, s3__TlsVersion="1.1") is Verdict.DENY
    assert verdict(baseline, s3__TlsVersion="1.2") is Verdict.SILENT
    assert verdict(baseline, key="", action="s3:ListBucket", s3__TlsVersion="1.0") is Verdict.DENY


def test_tls_1_3_is_asked_of_callers_but_not_of_ec2_in_their_name() -> None:
    baseline = Baseline("vault", minimum_tls_version="1.3")
    old = {"s3__TlsVersion": "1.2"}
    assert verdict(baseline, **old) is Verdict.DENY
    assert verdict(baseline, **old, aws__ViaAWSService="false") is Verdict.DENY
    assert verdict(baseline, **old, aws__ViaAWSService="true") is Verdict.SILENT
    ancient = {"s3__TlsVersion": "1.1", "aws__ViaAWSService": "true"}
    assert verdict(baseline, **ancient) is Verdict.DENY


def test_a_key_of_the_uploader_is_refused() -> None:
    key = "s3:x-amz-server-side-encryption-customer-algorithm"
    for wanted, denied in ((True, Verdict.DENY), (False, Verdict.SILENT)):
        statements = own_statements(Baseline("vault", deny_customer_keys=wanted), "aws")
        attempt = Attempt("arn", OWNER, "s3:PutObject", "arn:aws:s3:::vault/x", SECURE)
        with_key = Attempt(
            "arn", OWNER, "s3:PutObject", "arn:aws:s3:::vault/x", {**SECURE, key: "AES256"}
        )
        policy = json.dumps(merged(None, statements))
        assert evaluate(policy, attempt) is Verdict.SILENT
        assert evaluate(policy, with_key) is denied


@pytest.mark.parametrize(
    ("audience", "member"),
    [
        (Audience(accounts=(OWNER, MEMBER)), {"account": MEMBER}),
        (
            Audience(organizations=(ORGANIZATION,)),
            {"account": MEMBER, "aws__PrincipalOrgID": ORGANIZATION},
        ),
        (Audience(principals=(ROLE,)), {"account": MEMBER, "arn": ROLE}),
        (
            Audience(principals=(ROLE.replace("restorer", "*"),)),
            {"account": MEMBER, "arn": ROLE},
        ),
        (Audience(accounts=(OWNER,), principals=(ROLE,)), {"account": OWNER}),
    ],
    ids=["account", "organization", "role", "roles by pattern", "either list"],
)
def test_an_audience_limits_and_grants_on_request(
    audience: Audience, member: dict[str, str]
) -> None:
    baseline = Baseline("vault", audience=audience)
    assert verdict(baseline, **member) is Verdict.SILENT
    assert verdict(baseline, account=STRANGER) is Verdict.DENY
    assert verdict(baseline, account=STRANGER, action="s3:PutBucketPolicy") is Verdict.DENY
    delivery = {"account": "", "aws__PrincipalIsAWSService": "true"}
    assert verdict(baseline, **delivery) is Verdict.SILENT


GRANTS = {
    "s3:GetObject": {"restore", "store"},
    "s3:GetObjectTagging": {"restore", "store"},
    "s3:PutObject": {"store"},
    "s3:PutObjectTagging": {"store"},
    "s3:DeleteObjectTagging": {"store"},
    "s3:AbortMultipartUpload": {"store"},
    "s3:DeleteObject": set(),
    "s3:PutObjectAcl": set(),
    "s3:PutBucketPolicy": set(),
}


@pytest.mark.parametrize("grant", ["restore", "store"])
@pytest.mark.parametrize(
    ("audience", "member"),
    [
        (Audience(accounts=(MEMBER,)), {}),
        (Audience(organizations=(ORGANIZATION,)), {"aws__PrincipalOrgID": ORGANIZATION}),
        (Audience(principals=(ROLE,)), {"arn": ROLE}),
    ],
    ids=["account", "organization", "role"],
)
def test_a_grant_allows_what_it_takes_and_no_more(
    audience: Audience, member: dict[str, str], grant: str
) -> None:
    granting = Audience(audience.accounts, audience.organizations, audience.principals, (grant,))
    baseline = Baseline("vault", audience=granting, lifecycle=Lifecycle(prefix="dr/"))
    for action, grants in GRANTS.items():
        allowed = Verdict.ALLOW if grant in grants else Verdict.SILENT
        key = "" if "Bucket" in action else "dr/ami-1.bin"
        assert verdict(baseline, MEMBER, action, key, **member) is allowed, action
        assert verdict(baseline, STRANGER, action, key) is Verdict.DENY
    assert verdict(baseline, MEMBER, "s3:ListBucket", "", **member) is Verdict.ALLOW
    elsewhere = verdict(baseline, MEMBER, "s3:GetObject", "other/ami-1.bin", **member)
    assert elsewhere is Verdict.SILENT


def test_another_role_of_the_same_account_is_granted_nothing() -> None:
    audience = Audience(accounts=(OWNER,), principals=(ROLE,), grants=("restore",))
    other = f"arn:aws:iam::{MEMBER}:role/dr/intern"
    assert verdict(Baseline("vault", audience=audience), MEMBER, arn=other) is Verdict.DENY


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_every_arn_is_of_the_partition(partition: str) -> None:
    principal = ROLE.replace("arn:aws:", f"arn:{partition}:")
    audience = Audience((OWNER,), (ORGANIZATION,), (principal,), ("store",))
    text = json.dumps(own_statements(Baseline("vault", audience=audience), partition))
    assert text.count("arn:") == text.count(f"arn:{partition}:") > 10


def _as_single(value: Any) -> Any:
    """As AWS may show it: lists of one as their only item, the others in another order."""
    if isinstance(value, dict):
        return {key: _as_single(item) for key, item in reversed(value.items())}
    if isinstance(value, list):
        return value[0] if len(value) == 1 else value[::-1]
    return value


def _as_typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_typed(item) for key, item in value.items()}
    return False if value == "false" else value


def _as_accounts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_accounts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_accounts(item) for item in value]
    return value.split(":")[4] if value.endswith(":root") else value


@pytest.mark.parametrize("rewrite", [_as_single, _as_typed, _as_accounts])
@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_our_statements_in_other_words_stay(partition: str, rewrite: Callable[[Any], Any]) -> None:
    role = ROLE.replace("arn:aws:", f"arn:{partition}:")
    for audience in (
        Audience((OWNER, MEMBER), (ORGANIZATION,), (role,), ("store",)),
        Audience((OWNER,), (), (role, f"{role}s"), ("restore",)),
    ):
        own = own_statements(Baseline("vault", audience=audience), partition)
        shown = {"Version": "2012-10-17", "Statement": [rewrite(dict(one)) for one in own]}
        assert shown["Statement"] != own
        assert merged(shown, own) == shown


def test_a_statement_that_says_something_else_is_replaced() -> None:
    own = own_statements(Baseline("vault", audience=Audience((OWNER, MEMBER))), "aws")
    for index, path in ((0, "aws:SecureTransport"), (1, "s3:TlsVersion"), (3, "aws:Principal")):
        text = json.dumps(own[index]).replace(path, f"{path}X")
        shown = {"Statement": [*own[:index], json.loads(text), *own[index + 1 :]]}
        assert merged(shown, own)["Statement"] == own
    for old, new in (("false", "true"), ("1.2", "1.0"), (MEMBER, STRANGER), ("Deny", "Allow")):
        shown = {"Statement": json.loads(json.dumps(own).replace(f'"{old}"', f'"{new}"'))}
        assert merged(shown, own)["Statement"] == own


def test_the_policy_is_written_as_short_as_it_can_be() -> None:
    assert as_text({"Version": "2012-10-17", "Id": "für"}) == '{"Version":"2012-10-17","Id":"für"}'
