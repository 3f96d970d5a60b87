# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who sends a request, and which policies say what this caller may do.

A caller without policies may do everything, as long as the scenario does not say otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.iam.access_control import (
    AssumedRoleAccessKey,
    CreateAccessKeyFailure,
    IAMUserAccessKey,
)
from moto.iam.models import Policy
from moto.utilities.utils import get_partition

from .policy import Attempt, ContextValue, Verdict, evaluate_identity
from .scenario import Scenario

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Caller:
    """An identity with its policies; None stands for one that may do everything."""

    account: str
    arn: str
    policies: tuple[Document, ...] | None = None

    def may(self, action: str, resource: str, context: Mapping[str, ContextValue]) -> bool:
        """Whether the caller's own policies allow an action."""
        if self.policies is None:
            return True
        attempt = Attempt(self.arn, self.account, action, resource, context)
        return evaluate_identity(self.policies, attempt) is Verdict.ALLOW


def identify(
    scenario: Scenario, account: str, access_key: str, region: str, token: str = ""
) -> Caller:
    """The caller behind an access key: with the scenario's policies, else with IAM's own."""
    partition = get_partition(region)
    arn = f"arn:{partition}:iam::{account}:user/emulated"
    if access_key in scenario.policies:
        return Caller(account, arn, tuple(scenario.policies[access_key]))
    if not scenario.enforce_iam:
        return Caller(account, arn)
    return _known_to_iam(account, partition, access_key, token) or Caller(account, arn)


def _known_to_iam(account: str, partition: str, access_key: str, token: str) -> Caller | None:
    """A user or an assumed role of moto's IAM with what is attached to it."""
    values: dict[str, Any] = {
        "account_id": account,
        "partition": partition,
        "access_key_id": access_key,
        "headers": {"X-Amz-Security-Token": token} if token else {},
    }
    try:
        key = AssumedRoleAccessKey(**values) if token else IAMUserAccessKey(**values)
    except CreateAccessKeyFailure:
        return None
    return Caller(account, key.arn, tuple(_document(policy) for policy in key.collect_policies()))


def _document(policy: Any) -> Document:
    """The document of a managed policy's default version, or of an inline policy."""
    if isinstance(policy, Policy):
        text = next(v.document for v in policy.versions if v.is_default)
    else:
        text = policy if isinstance(policy, str) else policy["policy_document"]
    return dict(json.loads(text))
