# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others' denials in a bucket's policy do to the requests of EC2 when it stores or restores.

EC2 reads and writes the bucket in the caller's name, and such a request carries no network of the
caller's. https://docs.aws.amazon.com/IAM/latest/UserGuide/access_forward_access_sessions.html
"""

from __future__ import annotations

import fnmatch
import typing as t
from dataclasses import dataclass

from ansible_collections.amistore.aws.plugins.module_utils._bucket_policy import (
    READ_ACTIONS,
    WRITE_ACTIONS,
    Policy,
    Statement,
    is_own,
    listed,
    name_of,
    statements_of,
)

_NETWORK_KEYS = (
    "aws:sourcevpc",
    "aws:sourcevpcarn",
    "aws:sourcevpce",
    "aws:vpceaccount",
    "aws:vpceorgid",
    "aws:vpceorgpaths",
    "aws:vpcsourceip",
)
_FORWARDED = "aws:viaawsservice"
# What is known of a request of EC2's, by condition key. None: it has no such key.
_KNOWN: dict[str, str | None] = {
    **dict.fromkeys(_NETWORK_KEYS),
    _FORWARDED: "true",
    "aws:principalisawsservice": "false",
    "aws:securetransport": "true",
}
# Headers that CreateStoreImageTask leaves no way to ask for; each stands for what begins with it.
_HEADER_KEYS = (
    "s3:object-lock-",
    "s3:requestobjecttag",
    "s3:x-amz-acl",
    "s3:x-amz-grant-",
    "s3:x-amz-server-side-encryption",
    "s3:x-amz-storage-class",
)
_ADDRESS = "aws:sourceip"


@dataclass(frozen=True)
class Place:
    """What a store or restore reaches: the bucket and the keys under the prefix."""

    bucket_arn: str
    prefix: str = ""


@dataclass(frozen=True)
class _Condition:
    """One line of a statement's condition, with its key in lower case."""

    operator: str
    key: str
    wanted: tuple[str, ...]

    @property
    def _name(self) -> str:
        return self.operator.rpartition(":")[2]

    @property
    def holds(self) -> bool | None:
        """Whether it holds for EC2's requests, None where that is not known."""
        if self.key not in _KNOWN:
            return None
        value = _KNOWN[self.key]
        if self._name == "Null":
            return (value is None) == ("true" in self.wanted)
        if value is not None:
            return (value in self.wanted) != ("Not" in self._name)
        if self.operator.startswith("For"):
            return self.operator.startswith("ForAllValues:")
        return "Not" in self._name or self._name.endswith("IfExists")

    @property
    def punishes_absence(self) -> bool:
        """Whether it holds for requests that lack the key."""
        if self._name == "Null":
            return "true" in self.wanted
        return "Not" in self._name or self._name.endswith("IfExists")


def obstacles(policy: Policy | None, place: Place) -> list[str]:
    """Return why statements of others would make every store and restore fail."""
    return [
        f"the policy's statement {name_of(statement)} denies requests {_reason(conditions)}. EC2"
        " stores and restores in the caller's name, without a network of the caller's: every store"
        ' and restore would be denied. Its condition must have {"Bool": {"aws:ViaAWSService":'
        ' "false"}}.'
        for statement, conditions in _denials(policy, place)
        if _reason(conditions) and all(condition.holds for condition in conditions)
    ]


def doubts(policy: Policy | None, place: Place) -> list[str]:
    """Return what statements of others may do to a store or restore."""
    return [
        f"The policy's statement {name_of(statement)} {text}: try a store and a restore before you"
        " rely on the bucket."
        for statement, conditions in _denials(policy, place)
        for text in _doubts_of(statement, conditions)
    ]


def _doubts_of(statement: Statement, conditions: t.Sequence[_Condition]) -> t.Iterator[str]:
    unknown = _keys(condition for condition in conditions if condition.holds is None)
    if not unknown and not _reason(conditions):
        actions = ", ".join(map(str, listed(statement.get("Action", "all but some actions"))))
        yield f"denies {actions} to everybody, and so to EC2 when it stores or restores"
    if unknown and (reason := _reason(conditions)):
        yield (
            f"denies requests {reason}, and EC2's have no network of the caller's, unless"
            f" {unknown} lets them through"
        )
    absent = [condition for condition in conditions if condition.punishes_absence]
    if headers := _keys(one for one in absent if one.key.startswith(_HEADER_KEYS)):
        yield (
            f"denies by {headers}, and whether CreateStoreImageTask sends this is not documented"
        )
    if _keys(one for one in absent if one.key == _ADDRESS):
        yield (
            f"denies by {_ADDRESS}, and EC2's requests have the caller's address only if the call"
            " to EC2 came over a public endpoint"
        )


def _reason(conditions: t.Iterable[_Condition]) -> str:
    """Return how the statement aims at what comes without a network, or by way of a service."""
    held = [condition for condition in conditions if condition.holds]
    if keys := _keys(condition for condition in held if condition.key in _NETWORK_KEYS):
        return f"from outside a VPC or endpoint ({keys})"
    if _keys(condition for condition in held if condition.key == _FORWARDED):
        return f"that an AWS service makes for somebody ({_FORWARDED})"
    return ""


def _keys(conditions: t.Iterable[_Condition]) -> str:
    return ", ".join(sorted({condition.key for condition in conditions}))


def _denials(policy: Policy | None, place: Place) -> t.Iterator[tuple[Statement, list[_Condition]]]:
    """Yield others' denials that may reach a store or restore."""
    for statement in statements_of(policy):
        if statement.get("Effect") == "Deny" and not is_own(statement):
            conditions = _conditions_of(statement)
            spared = any(condition.holds is False for condition in conditions)
            if not spared and _is_aimed(statement) and _reaches(statement, place):
                yield statement, conditions


def _conditions_of(statement: Statement) -> list[_Condition]:
    return [
        _Condition(operator, key.lower(), tuple(str(value).lower() for value in listed(wanted)))
        for operator, block in statement.get("Condition", {}).items()
        for key, wanted in block.items()
    ]


def _is_aimed(statement: Statement) -> bool:
    """Tell whether it is about everybody, or about everybody but some, and about our actions."""
    principal = statement.get("Principal")
    names = principal.get("AWS", []) if isinstance(principal, dict) else principal
    if "NotPrincipal" not in statement and "*" not in listed(names or []):
        return False
    needed = (*READ_ACTIONS, *WRITE_ACTIONS)
    if "NotAction" in statement:
        return not all(_matches(statement["NotAction"], action) for action in needed)
    return any(_matches(statement.get("Action", []), action) for action in needed)


def _matches(patterns: t.Any, action: str) -> bool:
    return any(fnmatch.fnmatchcase(action.lower(), p.lower()) for p in listed(patterns))


def _reaches(statement: Statement, place: Place) -> bool:
    """Tell whether it is about the bucket, or about keys that may begin with the prefix."""
    objects = f"{place.bucket_arn}/{place.prefix}"
    for pattern in listed(statement.get("Resource", "*")):
        begin = pattern.split("*")[0].split("?")[0]
        if fnmatch.fnmatchcase(place.bucket_arn, pattern) or objects.startswith(begin):
            return True
        if begin.startswith(objects):
            return True
    return False
