# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Others' denials, told by what they do to EC2's requests in a caller's name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._bucket_denials import (
    Place,
    doubts,
    obstacles,
)
from tests.emulator.policy import Attempt, Verdict, evaluate

BUCKET = "arn:aws:s3:::vault"
PLACE = Place(BUCKET, "dr/")
# A request that EC2 makes for somebody who called it from within a VPC.
FORWARDED = {
    "aws:SecureTransport": "true",
    "aws:ViaAWSService": "true",
    "aws:PrincipalIsAWSService": "false",
    "aws:PrincipalArn": "arn:aws:iam::111122223333:role/dr",
    "s3:TlsVersion": "1.3",
}
VPCE = {"aws:SourceVpce": "vpce-1"}
FROM_ELSEWHERE = {"StringNotEquals": VPCE}


def policy(**statement: Any) -> dict[str, Any]:
    denial = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:*"}
    everything = {"Resource": [BUCKET, f"{BUCKET}/*"]}
    return {"Version": "2012-10-17", "Statement": {**denial, **everything, **statement}}


def is_denied(document: dict[str, Any]) -> bool:
    verdicts = {
        evaluate(
            json.dumps(document),
            Attempt("arn:aws:iam::111122223333:role/dr", "111122223333", action, what, FORWARDED),
        )
        for action, what in (
            ("s3:GetObject", f"{BUCKET}/dr/ami-1.bin"),
            ("s3:PutObject", f"{BUCKET}/dr/ami-1.bin"),
            ("s3:ListBucket", BUCKET),
        )
    }
    return Verdict.DENY in verdicts


@pytest.mark.parametrize(
    "statement",
    [
        {"Condition": FROM_ELSEWHERE},
        {"Condition": {"Null": {"aws:SourceVpc": "true"}}},
        {"Condition": {"Null": {"aws:SourceVpc": True}}},
        {"Condition": {"ForAllValues:StringNotEquals": VPCE}},
        {"Condition": {"NotIpAddress": {"aws:VpcSourceIp": "10.0.0.0/8"}}},
        {"Condition": {**FROM_ELSEWHERE, "Bool": {"aws:ViaAWSService": "true"}}},
        {"Condition": {"Bool": {"aws:ViaAWSService": True}}},
        {"Condition": {**FROM_ELSEWHERE, "Bool": {"aws:PrincipalIsAWSService": "false"}}},
        {"Condition": FROM_ELSEWHERE, "Principal": {"AWS": ["arn:aws:iam::1:root", "*"]}},
        {"Condition": FROM_ELSEWHERE, "Resource": f"{BUCKET}/dr/*"},
        {"Condition": FROM_ELSEWHERE, "Resource": f"{BUCKET}/*.bin"},
        {"Condition": FROM_ELSEWHERE, "Resource": BUCKET, "Action": "s3:List*"},
        {"Condition": FROM_ELSEWHERE, "Resource": "arn:aws:s3:::va*"},
    ],
)
def test_what_denies_ec2_is_an_obstacle(statement: dict[str, Any]) -> None:
    document = policy(**statement)
    assert is_denied(document)
    (text,) = obstacles(document, PLACE)
    assert "'Theirs'" in text
    assert doubts(document, PLACE) == []


@pytest.mark.parametrize(
    "statement",
    [
        {"Condition": {**FROM_ELSEWHERE, "Bool": {"aws:ViaAWSService": "false"}}},
        {"Condition": {**FROM_ELSEWHERE, "BoolIfExists": {"aws:ViaAWSService": False}}},
        {"Condition": {"Null": {"aws:SourceVpc": "false"}}},
        {"Condition": {"StringEquals": VPCE}},
        {"Condition": {"ForAnyValue:StringEquals": VPCE}},
        {"Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Condition": FROM_ELSEWHERE, "Resource": f"{BUCKET}/reports/*"},
        {"Condition": FROM_ELSEWHERE, "Action": "s3:DeleteObject*"},
        {"Condition": FROM_ELSEWHERE, "Principal": {"AWS": "arn:aws:iam::999999999999:root"}},
        {"Condition": FROM_ELSEWHERE, "Effect": "Allow"},
    ],
)
def test_what_spares_ec2_is_let_be(statement: dict[str, Any]) -> None:
    document = policy(**statement)
    assert not is_denied(document)
    assert obstacles(document, PLACE) == doubts(document, PLACE) == []


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (
            {**FROM_ELSEWHERE, "ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::1:role/x"}},
            "unless aws:principalarn lets them through",
        ),
        (
            {**FROM_ELSEWHERE, "ForAllValues:StringNotEquals": {"aws:CalledVia": ["x"]}},
            "unless aws:calledvia lets them through",
        ),
        ({"NotIpAddress": {"aws:SourceIp": "198.51.100.0/24"}}, "over a public endpoint"),
        ({"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}, "not documented"),
        ({"Null": {"s3:RequestObjectTag/owner": "true"}}, "s3:requestobjecttag/owner"),
        ({"StringNotEqualsIfExists": {"s3:x-amz-acl": "private"}}, "s3:x-amz-acl"),
        ({"Null": {"s3:x-amz-grant-full-control": "true"}}, "not documented"),
        ({}, "denies s3:* to everybody"),
    ],
)
def test_what_may_deny_ec2_is_a_doubt(condition: dict[str, Any], words: str) -> None:
    document = policy(Condition=condition)
    assert obstacles(document, PLACE) == []
    (text,) = doubts(document, PLACE)
    assert words in text


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"s3:x-amz-server-side-encryption": "AES256"}},
        {"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}},
        {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}},
        {"StringNotEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}},
    ],
)
def test_what_asks_nothing_of_ec2_is_no_doubt(condition: dict[str, Any]) -> None:
    document = policy(Condition=condition)
    assert obstacles(document, PLACE) == doubts(document, PLACE) == []
