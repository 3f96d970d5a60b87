# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One AMI of an archive run, there or gone, and what the user reads about it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from datetime import datetime

from ansible_collections.amistore.aws.plugins.module_utils._archive_decide import (
    Copy,
    Plan,
    Proven,
    Step,
    Verdict,
)
from ansible_collections.amistore.aws.plugins.module_utils._archive_proof import Proof
from ansible_collections.amistore.aws.plugins.module_utils._aws import noting_change
from ansible_collections.amistore.aws.plugins.module_utils._images import Image, Snapshot

GONE = "gone"
NOTHING = Plan((), ())
NOT_ASKED = Verdict(None, ())


@dataclass
class Remnant:
    """A snapshot of an AMI that is gone."""

    snapshot: Snapshot
    plan: Plan
    not_before: datetime | None = None
    deleted: bool = False


@dataclass
class Entry:
    """One AMI: what was found, what is planned and why, what was done."""

    image_id: str
    image: Image | None = None
    """None where the AMI is gone."""
    plan: Plan = NOTHING
    verdict: Verdict = NOT_ASKED
    proof: Proof | None = None
    not_before: datetime | None = None
    """When what has to wait may be done."""
    snapshots: list[Snapshot] = field(default_factory=list)
    remnants: list[Remnant] = field(default_factory=list)
    done: list[Step] = field(default_factory=list)
    gone_since: datetime | None = None
    """When this run deregistered it, by AWS's clock."""
    error: str = ""
    wrote: bool = False
    """Anything was written, also where a step failed half-way, or its answer got lost."""

    @property
    def changed(self) -> bool:
        return self.wrote or bool(self.done)

    def writing(self) -> t.ContextManager[None]:
        """Count what happens inside as a change, also when its answer got lost."""
        return noting_change(self._note_change)

    def _note_change(self) -> None:
        self.wrote = True

    @property
    def state_before(self) -> str:
        return self.image.state if self.image else GONE

    @property
    def name(self) -> str | None:
        if self.image:
            return self.image.name
        name = self.proof.image.get("Name") if self.proof else None
        return name if isinstance(name, str) else None

    @property
    def state(self) -> str:
        """The state of the AMI after what was done."""
        if self.image is None or Step.DEREGISTER in self.done:
            return GONE
        if Step.DISABLE in self.done:
            return "disabled"
        return "available" if Step.ENABLE in self.done else self.image.state

    @property
    def snapshot_ids(self) -> list[str]:
        """The snapshots that it still has."""
        if self.image:
            return list(dict.fromkeys(self.image.snapshot_ids))
        return [r.snapshot.snapshot_id for r in self.remnants if not r.deleted]

    @property
    def kept_bytes(self) -> int | None:
        known = {s.snapshot_id: s for s in self.snapshots}
        known |= {r.snapshot.snapshot_id: r.snapshot for r in self.remnants}
        return total(size_of(known.get(snapshot_id)) for snapshot_id in self.snapshot_ids)

    @property
    def freed_bytes(self) -> int | None:
        return total(size_of(r.snapshot) for r in self.remnants if r.deleted)

    def describe(self) -> dict[str, t.Any]:
        return {
            "image_id": self.image_id,
            "name": self.name,
            "state": self.state,
            "may_go": self.verdict.may_go,
            "allowed": list(self.verdict.excused),
            "stored_image": self._stored(),
            "plan": [step.value for step in self.plan.steps],
            "done": [step.value for step in self.done],
            "reasons": list(self.plan.reasons),
            "details": list(self.proof.details) if self.proof else [],
            "not_before": _iso(self.not_before),
            "snapshot_ids": self.snapshot_ids,
            "snapshot_bytes": self.kept_bytes,
            "freed_bytes": self.freed_bytes,
            "changed": self.changed,
            "failure_reason": self.error or None,
        }

    def _stored(self) -> dict[str, t.Any] | None:
        if self.proof is None or self.proof.stored is None:
            return None
        stored = self.proof.stored
        return {
            "etag": stored.etag,
            "size": stored.size,
            "storage_class": stored.storage_class,
            "ready": self.proof.copy is Copy.READY,
            "verified": self.proof.tested is Proven.YES,
            "verified_at": _iso(self.proof.verified_at),
        }


def size_of(snapshot: Snapshot | None) -> int | None:
    """Return the bytes of data in a snapshot, None where AWS or botocore does not tell."""
    size = snapshot.raw.get("FullSnapshotSizeInBytes") if snapshot else None
    return size if isinstance(size, int) else None


def total(sizes: t.Iterable[int | None]) -> int | None:
    """Return the sum, None unless everything is known."""
    summed = 0
    for size in sizes:
        if size is None:
            return None
        summed += size
    return summed


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
