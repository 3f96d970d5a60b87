# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The snapshots of AMIs that an earlier run deregistered: found by their tags, deleted after the
grace time.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ansible_collections.amistore.aws.plugins.module_utils import _archive_calls as calls
from ansible_collections.amistore.aws.plugins.module_utils import _archive_marks as marks
from ansible_collections.amistore.aws.plugins.module_utils._archive_decide import (
    Copy,
    Grace,
    Leftover,
    Plan,
    Proven,
    Step,
    decide_leftover,
)
from ansible_collections.amistore.aws.plugins.module_utils._archive_entry import Entry, Remnant
from ansible_collections.amistore.aws.plugins.module_utils._archive_proof import Proof, Prover
from ansible_collections.amistore.aws.plugins.module_utils._archive_wish import Wish
from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError
from ansible_collections.amistore.aws.plugins.module_utils._evidence import SKEW
from ansible_collections.amistore.aws.plugins.module_utils._images import Snapshot, set_tags
from ansible_collections.amistore.aws.plugins.module_utils._inputs import image_id_of

_UNSEEN = Proof(Copy.UNKNOWN, Proven.UNKNOWN)


@dataclass(frozen=True)
class _View:
    """The marked snapshots by AMI, which of the AMIs exist, and who else needs the snapshots."""

    by_image: dict[str, list[Snapshot]]
    there: set[str]
    users: dict[str, set[str]]
    now: datetime
    """AWS's clock."""


@dataclass(frozen=True)
class Remnants:
    """Finds the snapshots of one place, and deletes those that nothing keeps."""

    client: t.Any
    wish: Wish
    prover: Prover

    def find(self) -> list[Entry]:
        """Return an entry for each AMI that is gone and left snapshots.

        :raises AnsibleAWSError: when EC2 does not tell.
        """
        view = self._look(self.wish.survey.choice.image_ids)
        if view is None:
            return []
        entries = []
        for image_id, snapshots in sorted(view.by_image.items()):
            if image_id in view.there:
                continue
            proof = self._proof(image_id, snapshots, view.now)
            if self.wish.survey.choice.filters and not self.wish.takes(proof.image):
                continue
            entry = Entry(image_id, proof=None if proof is _UNSEEN else proof)
            entry.remnants = [self._judge(snapshot, proof, view) for snapshot in snapshots]
            _sum_up(entry)
            entries.append(entry)
        return entries

    def carry_out(self, entry: Entry) -> None:
        """Date what has no date, undate what is used, delete what may go; each after a look of its
        own.
        """
        for remnant in entry.remnants:
            for step in remnant.plan.steps:
                view = self._look([entry.image_id])
                fresh = self._again(entry, remnant, view).plan
                if view is None or step not in fresh.steps:
                    reasons = dict.fromkeys(("changed_meanwhile", *fresh.reasons))
                    remnant.plan = replace(remnant.plan, reasons=tuple(reasons))
                    entry.plan = replace(entry.plan, reasons=_reasons(entry))
                    continue
                snapshot_id = remnant.snapshot.snapshot_id
                with entry.writing():
                    if step is Step.DELETE_SNAPSHOTS:
                        calls.delete_snapshot(self.client, snapshot_id)
                    else:
                        dated = step is Step.DATE_SNAPSHOTS
                        told = marks.write_time(view.now) if dated else ""
                        set_tags(self.client, snapshot_id, {marks.GONE_SINCE: told})
                remnant.deleted = step is Step.DELETE_SNAPSHOTS
                if step not in entry.done:
                    entry.done.append(step)

    def _again(self, entry: Entry, remnant: Remnant, view: _View | None) -> Remnant:
        snapshot_id = remnant.snapshot.snapshot_id
        snapshots = view.by_image.get(entry.image_id, []) if view else []
        for snapshot in snapshots:
            if view and snapshot.snapshot_id == snapshot_id:
                proof = self._proof(entry.image_id, snapshots, view.now)
                return self._judge(snapshot, proof, view)
        return Remnant(remnant.snapshot, Plan((), ("changed_meanwhile",)))

    def _look(self, image_ids: t.Sequence[str]) -> _View | None:
        """Return what there is, None where no snapshot carries a mark of this place."""
        by_image: dict[str, list[Snapshot]] = {}
        for snapshot in calls.marked_snapshots(self.client, image_ids):
            image_id = self._image_id(snapshot)
            if image_id:
                by_image.setdefault(image_id, []).append(snapshot)
        if not by_image:
            return None
        there, now = calls.images_there(self.client, list(by_image))
        if now is None:
            raise AmiStoreError(
                "EC2's answer has no date, so how long AMIs have been gone cannot be told"
            )
        ids = [snapshot.snapshot_id for some in by_image.values() for snapshot in some]
        return _View(by_image, there, calls.users_of(self.client, ids), now)

    def _image_id(self, snapshot: Snapshot) -> str | None:
        """Return the AMI of a snapshot that was marked for this bucket and prefix."""
        image_id = snapshot.tags.get(marks.OF_IMAGE, "")
        key = self.prover.key(image_id)
        here = snapshot.tags.get(marks.STORED_IN) == f"{self.prover.bucket.name}/{key}"
        return image_id if here and image_id_of(key) == image_id else None

    def _proof(self, image_id: str, snapshots: t.Sequence[Snapshot], now: datetime) -> Proof:
        """Ask the bucket only where something hangs on it."""
        passed = any(self._grace(one, now)[0] is Grace.PASSED for one in snapshots)
        if passed or self.wish.survey.choice.filters:
            return self.prover.look(image_id, now)
        return _UNSEEN

    def _judge(self, snapshot: Snapshot, proof: Proof, view: _View) -> Remnant:
        image_id = snapshot.tags[marks.OF_IMAGE]
        grace, until = self._grace(snapshot, view.now)
        copy, faults = _copy_for(snapshot, proof)
        found = Leftover(
            image_there=image_id in view.there,
            needed=bool(view.users[snapshot.snapshot_id] - {image_id}),
            ours=marks.is_own(snapshot),
            grace=grace,
            copy=copy,
            tested=proof.tested,
            faults=faults,
        )
        return Remnant(snapshot, decide_leftover(found), until)

    def _grace(self, snapshot: Snapshot, now: datetime) -> tuple[Grace, datetime | None]:
        told = snapshot.tags.get(marks.GONE_SINCE)
        if not told:
            return Grace.UNSET, None
        since = marks.read_time(told)
        if since is None or since > now + SKEW:
            return Grace.UNREADABLE, None
        if self.wish.snapshots_after_days is None:
            return Grace.ENDLESS, None
        until = since + timedelta(days=self.wish.snapshots_after_days)
        return (Grace.WITHIN, until) if now < until else (Grace.PASSED, None)


def _copy_for(snapshot: Snapshot, proof: Proof) -> tuple[Copy, tuple[str, ...]]:
    """Return what the stored image is worth for this very snapshot."""
    if proof.copy is not Copy.READY or proof.stored is None:
        return proof.copy, proof.faults
    if snapshot.tags.get(marks.ETAG) != proof.stored.etag:
        return Copy.FAULTY, ("replaced",)
    if snapshot.snapshot_id not in proof.snapshot_ids:
        return Copy.FAULTY, ("not_in_manifest",)
    return Copy.READY, ()


def _reasons(entry: Entry) -> tuple[str, ...]:
    reasons = dict.fromkeys(reason for one in entry.remnants for reason in one.plan.reasons)
    return ("gone", *reasons)


def _sum_up(entry: Entry) -> None:
    """Say of the AMI what is said of its snapshots."""
    steps = dict.fromkeys(step for one in entry.remnants for step in one.plan.steps)
    entry.plan = Plan(tuple(steps), _reasons(entry))
    times = [one.not_before for one in entry.remnants if one.not_before]
    entry.not_before = max(times, default=None)
