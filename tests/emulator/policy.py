# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies of buckets and of callers with their conditions, which moto ignores.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .filters import as_text, like

ContextValue = str | tuple[str, ...]
"""The value of a condition key, or the values of one that has several, such as aws:TagKeys."""


class Verdict(Enum):
    """What a policy says about a request."""

    ALLOW = "allow"
    DENY = "deny"
    SILENT = "silent"


@dataclass(frozen=True)
class Attempt:
    """A request as a policy sees it: who, what, on what, under which circumstances."""

    principal_arn: str
    account: str
    action: str
    resource: str
    context: Mapping[str, ContextValue] = field(default_factory=dict)


def evaluate(document: str | bytes, attempt: Attempt) -> Verdict:
    """What a resource's policy says, whose statements name principals."""
    statements = _listed(json.loads(document).get("Statement"))
    return _verdict(
        statement
        for statement in statements
        if _concerns(statement, attempt) and _principal_fits(statement, attempt)
    )


def evaluate_identity(documents: Iterable[Mapping[str, Any]], attempt: Attempt) -> Verdict:
    """What the policies of a caller say together, whose statements name no principal."""
    return _verdict(
        statement
        for document in documents
        for statement in _listed(document.get("Statement"))
        if _concerns(statement, attempt)
    )


def _verdict(statements: Iterable[Mapping[str, Any]]) -> Verdict:
    """An explicit deny wins; without any statement that fits, a policy is silent."""
    effects = {statement.get("Effect") for statement in statements}
    if "Deny" in effects:
        return Verdict.DENY
    return Verdict.ALLOW if "Allow" in effects else Verdict.SILENT


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _concerns(statement: Mapping[str, Any], attempt: Attempt) -> bool:
    return (
        _fits(statement, "Action", attempt.action, fold=True)
        and _fits(statement, "Resource", attempt.resource)
        and _conditions_hold(statement.get("Condition", {}), attempt.context)
    )


def _fits(statement: Mapping[str, Any], element: str, value: str, fold: bool = False) -> bool:
    def any_like(patterns: Iterable[str]) -> bool:
        if fold:
            return any(like(value.lower(), pattern.lower()) for pattern in patterns)
        return any(like(value, pattern) for pattern in patterns)

    if f"Not{element}" in statement:
        return not any_like(_listed(statement[f"Not{element}"]))
    return any_like(_listed(statement.get(element)))


def _principal_fits(statement: Mapping[str, Any], attempt: Attempt) -> bool:
    if "NotPrincipal" in statement:
        return not _names(statement["NotPrincipal"], attempt)
    return _names(statement.get("Principal"), attempt)


def _names(principal: Any, attempt: Attempt) -> bool:
    if principal == "*":
        return True
    names = _listed(principal.get("AWS")) if isinstance(principal, Mapping) else []
    root = f":iam::{attempt.account}:root"
    return any(
        name in ("*", attempt.account, attempt.principal_arn) or name.endswith(root)
        for name in names
    )


def _conditions_hold(conditions: Mapping[str, Any], context: Mapping[str, ContextValue]) -> bool:
    present = {key.lower(): value for key, value in context.items()}
    return all(
        _condition_holds(operator, present.get(key.lower()), _listed(wanted))
        for operator, block in conditions.items()
        for key, wanted in block.items()
    )


def _condition_holds(operator: str, value: ContextValue | None, wanted: list[Any]) -> bool:
    quantifier, _colon, name = operator.rpartition(":")
    if name == "Null":
        return (value is None) == (as_text(wanted[0]) == "true")
    if_exists = name.endswith("IfExists")
    negated, test = _OPERATORS[name.removesuffix("IfExists")]

    def holds(single: str) -> bool:
        return any(test(single, as_text(item)) for item in wanted) != negated

    if quantifier:
        values = (value,) if isinstance(value, str) else value or ()
        return _QUANTIFIERS[quantifier](map(holds, values))
    if value is None:
        return if_exists or negated
    # AWS does not say what an operator without a quantifier makes of several values.
    return isinstance(value, str) and holds(value)


_QUANTIFIERS: dict[str, Callable[[Iterable[bool]], bool]] = {
    "ForAnyValue": any,
    "ForAllValues": all,
}


def _number(test: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda value, wanted: test(float(value), float(wanted))


def _equal(value: str, wanted: str) -> bool:
    return value == wanted


def _equal_folded(value: str, wanted: str) -> bool:
    return value.lower() == wanted.lower()


def _in_network(value: str, wanted: str) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)


# Operator: whether it is the negation of its test, and the test of one value.
_OPERATORS: dict[str, tuple[bool, Callable[[str, str], bool]]] = {
    "Bool": (False, _equal_folded),
    "StringEquals": (False, _equal),
    "StringNotEquals": (True, _equal),
    "StringEqualsIgnoreCase": (False, _equal_folded),
    "StringNotEqualsIgnoreCase": (True, _equal_folded),
    "StringLike": (False, like),
    "StringNotLike": (True, like),
    "ArnEquals": (False, like),
    "ArnLike": (False, like),
    "ArnNotEquals": (True, like),
    "ArnNotLike": (True, like),
    "IpAddress": (False, _in_network),
    "NotIpAddress": (True, _in_network),
    "NumericEquals": (False, _number(lambda value, wanted: value == wanted)),
    "NumericNotEquals": (True, _number(lambda value, wanted: value == wanted)),
    "NumericLessThan": (False, _number(lambda value, wanted: value < wanted)),
    "NumericLessThanEquals": (False, _number(lambda value, wanted: value <= wanted)),
    "NumericGreaterThan": (False, _number(lambda value, wanted: value > wanted)),
    "NumericGreaterThanEquals": (False, _number(lambda value, wanted: value >= wanted)),
}
