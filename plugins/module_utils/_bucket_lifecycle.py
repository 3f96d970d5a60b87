# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bucket's lifecycle: our own rules among those of others, which stay.

None of ours ever expires a current object.
"""

from __future__ import annotations

import typing as t

from ansible_collections.amistore.aws.plugins.module_utils._bucket_baseline import (
    MIN_ABORT_DAYS,
    Lifecycle,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import ARCHIVE_CLASSES

Rule = t.Mapping[str, t.Any]

OWN_ID = "amistore-"
# Manifests are smaller: they stay where they can be read at once.
MIN_TRANSITION_BYTES = 128 * 1024


def own_rules(wanted: Lifecycle) -> list[Rule]:
    """Return the rules that are asked for."""
    rules: list[Rule] = [
        _rule(
            "abort-incomplete-uploads",
            wanted,
            AbortIncompleteMultipartUpload={"DaysAfterInitiation": wanted.abort_days},
        )
    ]
    if wanted.noncurrent_days is not None:
        expiry = {"NoncurrentDays": wanted.noncurrent_days}
        rules.append(_rule("expire-old-versions", wanted, NoncurrentVersionExpiration=expiry))
    if wanted.storage_class is not None:
        transition = {"Days": wanted.transition_days, "StorageClass": wanted.storage_class}
        rule = _rule("transition", wanted, Transitions=[transition])
        rules.append({**rule, "Filter": _large_objects(wanted.prefix)})
    return rules


def _rule(name: str, wanted: Lifecycle, **action: t.Any) -> dict[str, t.Any]:
    scope = {"Filter": {"Prefix": wanted.prefix}, "Status": "Enabled"}
    return {"ID": f"{OWN_ID}{name}", **scope, **action}


def _large_objects(prefix: str) -> dict[str, t.Any]:
    size = {"ObjectSizeGreaterThan": MIN_TRANSITION_BYTES}
    return {"And": {"Prefix": prefix, **size}} if prefix else size


def is_own(rule: Rule) -> bool:
    """Tell whether a rule is ours by its id."""
    return str(rule.get("ID", "")).startswith(OWN_ID)


def own_parts(rules: t.Sequence[Rule]) -> dict[str, Rule]:
    """Return our rules by id."""
    return {rule["ID"]: rule for rule in rules if is_own(rule)}


def as_shown(rule: Rule) -> Rule:
    """Return a rule in one form: S3 answers no filter, an empty one or the prefix '' alike.

    A prefix outside of a filter is the form of old, and S3 refuses a configuration of both forms.
    """
    scope = {key: value for key, value in rule.items() if key not in ("Filter", "Prefix")}
    return {**scope, "Filter": rule.get("Filter") or {"Prefix": rule.get("Prefix") or ""}}


def merged(rules: t.Sequence[Rule], own: t.Sequence[Rule]) -> list[Rule]:
    """Return all others' rules as they were, then ours."""
    return [*(rule for rule in rules if not is_own(rule)), *own]


def obstacles(rules: t.Sequence[Rule], wanted: Lifecycle) -> list[str]:
    """Return why rules of others would break a store or restore."""
    return [text for rule in _foreign(rules, wanted.prefix) for text in _obstacles_of(rule, wanted)]


def _obstacles_of(rule: Rule, wanted: Lifecycle) -> t.Iterator[str]:
    days = rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
    if days is not None and days < MIN_ABORT_DAYS:
        yield (
            f"the lifecycle rule {_name(rule)} aborts incomplete uploads after {days} days: AWS"
            " writes a stored AMI as one multipart upload, which it would cut off. Raise it to"
            f" {MIN_ABORT_DAYS} days, or limit it to another prefix."
        )
    archives = {
        transition.get("StorageClass")
        for transition in rule.get("Transitions", [])
        if transition.get("StorageClass") in ARCHIVE_CLASSES
    }
    if archives and not wanted.allow_archive:
        yield (
            f"the lifecycle rule {_name(rule)} moves objects to {', '.join(sorted(archives))},"
            " from where CreateRestoreImageTask cannot read them. Limit it to another prefix, or"
            " set allow_archive: true if a restore may wait for a thaw by hand."
        )


def doubts(rules: t.Sequence[Rule], wanted: Lifecycle) -> list[str]:
    """Return which rules of others delete stored images some day."""
    return [
        f"The lifecycle rule {_name(rule)} deletes current objects: stored AMIs go with them."
        for rule in _foreign(rules, wanted.prefix)
        if {"Days", "Date"} & set(rule.get("Expiration", {}))
    ]


def moves_to(rules: t.Sequence[Rule], storage_class: str, prefix: str) -> bool:
    """Tell whether a rule of others moves what lies under the prefix to a storage class."""
    return any(
        transition.get("StorageClass") == storage_class
        for rule in _foreign(rules, prefix)
        for transition in rule.get("Transitions", [])
    )


def is_in_scope(scope: t.Mapping[str, t.Any], prefix: str) -> bool:
    """Tell whether a filter reaches what lies under the prefix; one for tagged objects is meant
    for those.
    """
    scope = scope.get("And", scope)
    begin = scope.get("Prefix", "")
    reached = prefix.startswith(begin) or begin.startswith(prefix)
    return reached and "Tag" not in scope and "Tags" not in scope


def _foreign(rules: t.Sequence[Rule], prefix: str) -> t.Iterator[Rule]:
    for rule in rules:
        in_scope = is_in_scope(as_shown(rule)["Filter"], prefix)
        if rule.get("Status") == "Enabled" and in_scope and not is_own(rule):
            yield rule


def _name(rule: Rule) -> str:
    return f"'{rule['ID']}'" if rule.get("ID") else "without an ID"
