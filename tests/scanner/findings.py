# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scanner found, held against what it should find."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SAFE = "arn:aws:s3:::example-vault"
LOOSE = "arn:aws:s3:::example-loose"
ACCOUNT = "arn:aws:s3:us-east-1:123456789012:account"

# What stays open on the safe bucket, and why; docs/security.md says so, too.
EXCEPTIONS = {
    "s3_bucket_cross_region_replication": "needs a second Region",
    "s3_bucket_no_mfa_delete": "only the root user can turn MFA delete on",
}
# What the role closes.
CLOSED_BY_ROLE = frozenset(
    {
        "s3_bucket_acl_prohibited",
        "s3_bucket_event_notifications_enabled",
        "s3_bucket_kms_encryption",
        "s3_bucket_level_public_access_block",
        "s3_bucket_lifecycle_enabled",
        "s3_bucket_object_lock",
        "s3_bucket_object_versioning",
        "s3_bucket_secure_transport_policy",
        "s3_bucket_server_access_logging_enabled",
    }
)
# Good on both buckets, as on every new bucket of AWS, or nothing that a bucket could be loose in.
CLOSED_ANYHOW = frozenset(
    {
        "s3_bucket_cross_account_access",
        "s3_bucket_default_encryption",
        "s3_bucket_policy_public_write_access",
        "s3_bucket_public_access",
        "s3_bucket_public_list_acl",
        "s3_bucket_public_write_acl",
    }
)
# What the role closes for the whole account on request, and what it is told by.
ACCOUNT_CHECK = "s3_account_level_public_access_blocks"


@dataclass(frozen=True)
class Finding:
    """One check of one resource."""

    check: str
    resource: str
    passed: bool
    detail: str


def read_findings(path: Path) -> list[Finding]:
    """The findings of a report in the OCSF format."""
    return [
        Finding(
            check=entry["metadata"]["event_code"],
            resource=resource["uid"],
            passed=entry["status_code"] == "PASS",
            detail=entry["status_detail"],
        )
        for entry in json.loads(path.read_text())
        for resource in entry["resources"]
    ]


def judge(findings: Sequence[Finding]) -> list[str]:
    """What is not as it should be of the buckets, one sentence each."""
    passed = {(f.resource, f.check) for f in findings if f.passed}
    failed = {(f.resource, f.check) for f in findings if not f.passed}
    return [*_still_open(findings), *_unproved(passed, failed), *_stale(failed)]


def judge_account(before: Iterable[Finding], after: Iterable[Finding]) -> list[str]:
    """What is not as it should be of the account, which is open at first."""
    states = [
        [f.passed for f in findings if (f.resource, f.check) == (ACCOUNT, ACCOUNT_CHECK)]
        for findings in (before, after)
    ]
    return [] if states == [[False], [True]] else [f"NOT CLOSED: {ACCOUNT_CHECK}: {states}"]


def _still_open(findings: Iterable[Finding]) -> list[str]:
    return [
        f"OPEN: {f.check}: {f.detail}"
        for f in findings
        if not f.passed and f.resource == SAFE and f.check not in EXCEPTIONS
    ]


def _unproved(passed: set[tuple[str, str]], failed: set[tuple[str, str]]) -> list[str]:
    """Checks that did not run, or that are content with a loose bucket."""
    checked = {check for place, check in passed | failed if place == SAFE}
    loose = {check for place, check in failed if place == LOOSE}
    return [
        *(f"NOT CHECKED: {c}" for c in sorted((CLOSED_BY_ROLE | CLOSED_ANYHOW) - checked)),
        *(
            f"BLIND: {check} finds nothing in a bucket without the role"
            for check in sorted(CLOSED_BY_ROLE - loose)
        ),
    ]


def _stale(failed: set[tuple[str, str]]) -> list[str]:
    return [
        f"NO EXCEPTION: {check} is not open, so it needs none"
        for check in sorted(EXCEPTIONS)
        if (SAFE, check) not in failed
    ]


def table_of(findings: Iterable[Finding]) -> str:
    """The checks of the safe bucket, beside the loose one."""
    words = {(f.resource, f.check): "passed" if f.passed else "OPEN" for f in findings}
    checks = sorted({check for resource, check in words if resource in (SAFE, LOOSE)})
    lines = [f"{'check':44}{'with the role':15}without"]
    for check in checks:
        safe, loose = (words.get((place, check), "-") for place in (SAFE, LOOSE))
        lines.append(f"{check:44}{safe:15}{loose:9}{EXCEPTIONS.get(check, '')}".rstrip())
    return "\n".join(lines)
