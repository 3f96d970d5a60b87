# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an archive run tells: what was done, what stays and why, what it saves."""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass

from ansible_collections.amistore.aws.plugins.module_utils._archive_decide import Step
from ansible_collections.amistore.aws.plugins.module_utils._archive_entry import (
    Entry,
    size_of,
    total,
)
from ansible_collections.amistore.aws.plugins.module_utils._archive_wish import Prices
from ansible_collections.amistore.aws.plugins.module_utils._report import MOST_NAMED

GIB = 1024**3


@dataclass(frozen=True)
class ArchiveReport:
    """The end of a run, told by what its entries say."""

    entries: t.Sequence[Entry]
    prices: Prices
    checked: bool
    stopped_by: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.stopped_by) or any(entry.error for entry in self.entries)

    @property
    def changed(self) -> bool:
        return any(entry.changed for entry in self.entries)

    @property
    def result(self) -> dict[str, t.Any]:
        return {
            "changed": self.changed,
            "msg": self.message,
            "images": [entry.describe() for entry in self.entries],
            "totals": self.totals,
        }

    @property
    def message(self) -> str:
        parts = [self._counts()] if self.entries or not self.stopped_by else []
        if self.stopped_by:
            parts.append(f"Stopped: {self.stopped_by.rstrip('.')}.")
        failed = [entry for entry in self.entries if entry.error]
        parts += [f"{e.image_id}: {e.error.rstrip('.')}." for e in failed[:MOST_NAMED]]
        if len(failed) > MOST_NAMED:
            parts.append(f"And {len(failed) - MOST_NAMED} more, see 'images'.")
        return " ".join(parts)

    def _counts(self) -> str:
        if not self.entries:
            return "No AMIs, nothing to do."
        steps = Counter(step for entry in self.entries for step in entry.done)
        open_stores = sum(Step.STORE in entry.plan.steps for entry in self.entries)
        failed = sum(bool(entry.error) for entry in self.entries)
        kept = sum(
            not (entry.done or entry.error or Step.STORE in entry.plan.steps)
            for entry in self.entries
        )
        counts = [
            f"{failed} failed" if failed else "",
            *(f"{_PAST[step]} {steps[step]}" for step in Step if steps[step]),
            f"{open_stores} to be stored first" if open_stores else "",
            f"{kept} left as they are" if kept else "",
        ]
        number = len(self.entries)
        would = " (check mode, nothing was changed)" if self.checked else ""
        return (
            f"{number} AMI{'' if number == 1 else 's'}: {', '.join(filter(None, counts))}{would}."
        )

    @property
    def totals(self) -> dict[str, t.Any]:
        """What the snapshots hold and cost; None where a size or a price is not known."""
        freed = [entry for entry in self.entries if any(r.deleted for r in entry.remnants)]
        going = [entry for entry in self.entries if entry.verdict.may_go or entry.remnants]
        freed_bytes = total(entry.freed_bytes for entry in freed)
        return {
            "snapshot_bytes_kept": total(_kept_sizes(self.entries)),
            "snapshot_bytes_freed": freed_bytes,
            "stored_bytes": total(_stored_size(e) for e in self.entries if _is_stored(e)),
            "monthly_saving": self._saving(freed_bytes, freed),
            "monthly_saving_possible": self._saving(
                total([*_kept_sizes(going), freed_bytes]), going
            ),
        }

    def _saving(self, freed_bytes: int | None, entries: t.Sequence[Entry]) -> float | None:
        """Return what the snapshots cost less what the stored images cost, at most."""
        if freed_bytes is None or self.prices.snapshots is None:
            return None
        saved = freed_bytes / GIB * self.prices.snapshots
        for entry in entries:
            stored = entry.proof.stored if entry.proof else None
            price = self.prices.by_class.get(stored.storage_class) if stored else None
            if stored is None or price is None:
                return None
            saved -= stored.size / GIB * price
        return round(saved, 2)

    @property
    def diff(self) -> list[dict[str, t.Any]]:
        """What changes of each AMI, in the form of diff mode."""
        return [
            {
                "before_header": entry.image_id,
                "after_header": entry.image_id,
                "before": {
                    "state": entry.state_before,
                    "snapshot_ids": _all_snapshots(entry),
                },
                "after": {
                    "state": entry.state,
                    "snapshot_ids": entry.snapshot_ids,
                    "done": [step.value for step in entry.done],
                },
            }
            for entry in self.entries
            if entry.done
        ]


def _kept_sizes(entries: t.Iterable[Entry]) -> t.Iterable[int | None]:
    """Return the size of each snapshot that is left, once, however many AMIs use it."""
    sizes: dict[str, int | None] = {}
    for entry in entries:
        known = {s.snapshot_id: s for s in entry.snapshots}
        known |= {r.snapshot.snapshot_id: r.snapshot for r in entry.remnants}
        for snapshot_id in entry.snapshot_ids:
            sizes[snapshot_id] = size_of(known.get(snapshot_id))
    return sizes.values()


def _is_stored(entry: Entry) -> bool:
    return entry.proof is not None and entry.proof.stored is not None


def _stored_size(entry: Entry) -> int | None:
    return entry.proof.stored.size if entry.proof and entry.proof.stored else None


def _all_snapshots(entry: Entry) -> list[str]:
    return entry.snapshot_ids + [r.snapshot.snapshot_id for r in entry.remnants if r.deleted]


_PAST = {
    Step.STORE: "stored",
    Step.DEPRECATE: "deprecated",
    Step.DISABLE: "disabled",
    Step.MARK_SNAPSHOTS: "snapshots marked of",
    Step.UNPROTECT: "protection taken from",
    Step.DEREGISTER: "deregistered",
    Step.DATE_SNAPSHOTS: "snapshots dated of",
    Step.FORGET_DATE: "snapshot dates forgotten of",
    Step.DELETE_SNAPSHOTS: "snapshots deleted of",
    Step.ENABLE: "enabled",
    Step.UNDEPRECATE: "deprecation cancelled of",
}
