# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bucket policies with conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from .policy import Attempt, ContextValue, Verdict, evaluate, evaluate_identity

ME = "arn:aws:iam::123456789012:user/me"
OBJECT = "arn:aws:s3:::vault/a.bin"


def judged(context: Mapping[str, ContextValue] | None = None, **statement: Any) -> Verdict:
    """What a policy of one statement says about a GetObject of ours."""
    whole = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", **statement}
    policy = json.dumps({"Version": "2012-10-17", "Statement": whole})
    return evaluate(policy, Attempt(ME, "123456789012", "s3:GetObject", OBJECT, context or {}))


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ({}, Verdict.DENY),
        ({"Effect": "Allow"}, Verdict.ALLOW),
        ({"Action": "S3:getobject"}, Verdict.DENY),
        ({"Action": ["s3:PutObject", "s3:Get*"]}, Verdict.DENY),
        ({"Action": "s3:PutObject"}, Verdict.SILENT),
        ({"Resource": "arn:aws:s3:::vault/*"}, Verdict.DENY),
        ({"Resource": "arn:aws:s3:::other/*"}, Verdict.SILENT),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}, Verdict.DENY),
        ({"Principal": {"AWS": ["123456789012"]}}, Verdict.DENY),
        ({"Principal": {"AWS": ME}}, Verdict.DENY),
        ({"Principal": {"AWS": "arn:aws:iam::222222222222:root"}}, Verdict.SILENT),
        ({"Principal": {"Service": "s3.amazonaws.com"}}, Verdict.SILENT),
    ],
)
def test_statement_concerns_the_attempt(statement: dict[str, Any], verdict: Verdict) -> None:
    assert judged(**statement) is verdict


def test_negated_elements() -> None:
    attempt = Attempt(ME, "123456789012", "s3:GetObject", OBJECT)

    def verdict(**statement: Any) -> Verdict:
        return evaluate(json.dumps({"Statement": [{"Effect": "Deny", **statement}]}), attempt)

    assert verdict(Principal="*", NotAction="s3:Put*", Resource="*") is Verdict.DENY
    assert verdict(Principal="*", NotAction="s3:Get*", Resource="*") is Verdict.SILENT
    assert verdict(Principal="*", Action="*", NotResource=OBJECT) is Verdict.SILENT
    assert verdict(NotPrincipal={"AWS": ME}, Action="*", Resource="*") is Verdict.SILENT


def test_explicit_deny_wins() -> None:
    statements = [
        {"Effect": effect, "Principal": "*", "Action": "*", "Resource": "*"}
        for effect in ("Deny", "Allow")
    ]
    attempt = Attempt(ME, "123456789012", "s3:GetObject", OBJECT)
    assert evaluate(json.dumps({"Statement": statements}), attempt) is Verdict.DENY


@pytest.mark.parametrize(
    ("condition", "context", "applies"),
    [
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": "true"}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": "false"}, True),
        ({"Bool": {"aws:SecureTransport": False}}, {"aws:securetransport": "false"}, True),
        ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, {"s3:TlsVersion": "1.3"}, False),
        ({"NumericLessThan": {"s3:TlsVersion": 1.2}}, {"s3:TlsVersion": "1.1"}, True),
        ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, {}, False),
        (
            {"StringEquals": {"aws:PrincipalAccount": ["1", "2"]}},
            {"aws:PrincipalAccount": "2"},
            True,
        ),
        ({"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}, {}, True),
        ({"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}}, {}, True),
        ({"StringNotLike": {"aws:PrincipalArn": "*:user/m*"}}, {"aws:PrincipalArn": ME}, False),
        ({"StringEqualsIfExists": {"aws:SourceVpce": "v"}}, {}, True),
        ({"Null": {"s3:x-amz-server-side-encryption": "true"}}, {}, True),
        ({"Null": {"s3:x-amz-acl": "true"}}, {"s3:x-amz-acl": "private"}, False),
        (
            {"ForAnyValue:StringLike": {"aws:TagKeys": "own:*"}},
            {"aws:TagKeys": ("Name", "own:x")},
            True,
        ),
        ({"ForAnyValue:StringLike": {"aws:TagKeys": "own:*"}}, {"aws:TagKeys": ("Name",)}, False),
        ({"ForAnyValue:StringLike": {"aws:TagKeys": "own:*"}}, {}, False),
        (
            {"ForAnyValue:StringNotLike": {"aws:TagKeys": "own:*"}},
            {"aws:TagKeys": ("own:x",)},
            False,
        ),
        (
            {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}},
            {"aws:TagKeys": ("a", "b")},
            True,
        ),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": "a"}}, {"aws:TagKeys": ("a", "b")}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": "a"}}, {}, True),
        ({"StringEquals": {"aws:TagKeys": "a"}}, {"aws:TagKeys": ("a",)}, False),
        ({"ArnLike": {"aws:PrincipalArn": "arn:*:user/*"}}, {"aws:PrincipalArn": ME}, True),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, {"aws:SourceIp": "127.0.0.1"}, True),
        ({"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, {"aws:SourceIp": "127.0.0.1"}, False),
    ],
)
def test_conditions(
    condition: dict[str, Any], context: Mapping[str, ContextValue], applies: bool
) -> None:
    expected = Verdict.DENY if applies else Verdict.SILENT
    assert judged(context, Condition=condition) is expected


def test_policies_of_a_caller_are_judged_together_and_name_no_principal() -> None:
    attempt = Attempt(ME, "123456789012", "s3:GetObject", OBJECT)
    allow = {
        "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::vault/*"}
    }
    deny = {"Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": OBJECT}]}
    assert evaluate_identity([], attempt) is Verdict.SILENT
    assert evaluate_identity([{"Statement": []}, allow], attempt) is Verdict.ALLOW
    assert evaluate_identity([allow, deny], attempt) is Verdict.DENY
