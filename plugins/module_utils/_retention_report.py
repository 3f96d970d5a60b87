# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run that thins out stored images tells the user."""

from __future__ import annotations

import typing as t

from ansible_collections.amistore.aws.plugins.module_utils._inputs import manifest_key
from ansible_collections.amistore.aws.plugins.module_utils._report import MOST_NAMED
from ansible_collections.amistore.aws.plugins.module_utils._retention_images import RetainedEntry
from ansible_collections.amistore.aws.plugins.module_utils._retention_rule import Deleting

KEPT, DELETED, FAILED = "kept", "deleted", "failed"


def outcome_of(entry: RetainedEntry) -> str:
    if entry.failure:
        return FAILED
    return KEPT if entry.verdict.stays else DELETED


def results(entries: t.Iterable[RetainedEntry]) -> list[dict[str, t.Any]]:
    """Return what the user gets per stored image: one shape in every case."""
    return [_result(entry) for entry in entries]


def _result(entry: RetainedEntry) -> dict[str, t.Any]:
    family, deletion = entry.family, entry.deletion
    return {
        "object_key": entry.key,
        "image_id": entry.image_id,
        "name": entry.name,
        "family": family.value if family else None,
        "owner_id": family.owner_id if family else None,
        "region": family.region if family else None,
        "stored_at": entry.stored_at.isoformat() if entry.stored_at else None,
        "size": entry.stored.size if entry.stored else None,
        "verified": entry.verified,
        "outcome": outcome_of(entry),
        "reasons": list(entry.verdict.reasons),
        "details": ([entry.failure] if entry.failure else []) + entry.details,
        "deletion": entry.deleting.value if entry.gone and entry.deleting else None,
        "version_id": deletion.version_id if deletion else None,
        "delete_marker": bool(deletion and deletion.delete_marker),
        "changed": entry.changed,
    }


def totals(entries: t.Sequence[RetainedEntry]) -> dict[str, int]:
    """Return the counts, and bytes of stored images."""
    outcomes = [outcome_of(entry) for entry in entries]
    gone = [entry for entry in entries if entry.gone]
    freed = [entry for entry in gone if entry.deleting is Deleting.FINAL]
    return {
        **{outcome: outcomes.count(outcome) for outcome in (KEPT, DELETED, FAILED)},
        "bytes_kept": sum(entry.size for entry in entries if not entry.gone),
        "bytes_freed": sum(entry.size for entry in freed),
        "bytes_hidden": sum(entry.size for entry in gone) - sum(entry.size for entry in freed),
    }


def message(entries: t.Sequence[RetainedEntry], url: str, check_mode: bool, stopped_by: str) -> str:
    """Return the counts, then what needs attention."""
    counts = totals(entries)
    parts = [_counts(counts, len(entries), url, check_mode)] if entries or not stopped_by else []
    if counts["bytes_hidden"]:
        parts.append(
            f"{counts['bytes_hidden']} bytes of it stay in the bucket behind delete markers, as"
            " far as S3 tells, until a lifecycle rule removes noncurrent versions."
        )
    if stopped_by:
        parts.append(f"Stopped: {stopped_by.rstrip('.')}.")
    failed = [entry for entry in entries if entry.failure]
    parts += [f"{entry.key}: {entry.failure.rstrip('.')}." for entry in failed[:MOST_NAMED]]
    if len(failed) > MOST_NAMED:
        parts.append(f"And {len(failed) - MOST_NAMED} more, see 'images'.")
    return " ".join(parts)


def _counts(counts: t.Mapping[str, int], number: int, url: str, check_mode: bool) -> str:
    images = f"{number} stored image{'' if number == 1 else 's'} in {url}"
    would = " (check mode, nothing was changed)" if check_mode else ""
    told = [f"{counts[FAILED]} failed"] if counts[FAILED] else []
    told.append(f"{counts[KEPT]} kept")
    told.append(f"{counts[DELETED]} deleted, {counts['bytes_freed']} bytes freed{would}")
    return f"{images}: {', '.join(told)}."


def what_is_unknown(entries: t.Iterable[RetainedEntry]) -> list[str]:
    """Return a warning where something stays because it is not known well enough."""
    unknown = [entry for entry in entries if entry.unknown]
    if not unknown:
        return []
    named = [f"{entry.key} ({', '.join(_words(entry))})" for entry in unknown[:MOST_NAMED]]
    more = f" and {len(unknown) - MOST_NAMED} more" if len(unknown) > MOST_NAMED else ""
    return [
        f"{len(unknown)} of the stored images stay because something about them is unknown:"
        f" {', '.join(named)}{more}. See 'details' of each."
    ]


def _words(entry: RetainedEntry) -> list[str]:
    return sorted(unknown.value for unknown in entry.unknown)


def diff(entries: t.Sequence[RetainedEntry], url: str) -> list[dict[str, t.Any]]:
    """Return the stored images before and after, in the form of diff mode."""
    if not any(entry.changed for entry in entries):
        return []
    before = [_there(entry) for entry in entries]
    after = [_there(entry) for entry in entries if not _has_gone(entry)]
    return [
        {
            "before_header": url,
            "after_header": url,
            "before": "".join(f"{key}\n" for key in before),
            "after": "".join(f"{key}\n" for key in after),
        }
    ]


def _there(entry: RetainedEntry) -> str:
    return entry.key if entry.stored else manifest_key(entry.key)


def _has_gone(entry: RetainedEntry) -> bool:
    return entry.gone or (entry.stored is None and outcome_of(entry) == DELETED)
