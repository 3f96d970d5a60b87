# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One archive run: look, plan, and do what is planned, with a new look before each point of no
return.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.amistore.aws.plugins.module_utils import _archive_calls as calls
from ansible_collections.amistore.aws.plugins.module_utils import _archive_marks as marks
from ansible_collections.amistore.aws.plugins.module_utils._archive_decide import (
    Copy,
    EndState,
    Found,
    Plan,
    Protection,
    Service,
    Step,
    Verdict,
    decide,
    decide_return,
    judge,
)
from ansible_collections.amistore.aws.plugins.module_utils._archive_entry import Entry
from ansible_collections.amistore.aws.plugins.module_utils._archive_proof import Prover
from ansible_collections.amistore.aws.plugins.module_utils._archive_remnants import Remnants
from ansible_collections.amistore.aws.plugins.module_utils._archive_wish import Wish
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    error_text,
    refuses_caller,
)
from ansible_collections.amistore.aws.plugins.module_utils._images import Image, set_tags
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from ansible_collections.amistore.aws.plugins.module_utils._usage import Survey
from ansible_collections.amistore.aws.plugins.module_utils._usage_images import (
    Choice,
    OwnedImage,
    Sight,
)
from ansible_collections.amistore.aws.plugins.module_utils._usage_report import Judge

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deregistration-protection.html, and a
# little more, since AWS begins to count after this run has asked for the time.
COOLDOWN = timedelta(hours=24, minutes=5)


@dataclass(frozen=True)
class View:
    """AMIs at one moment, and what judges their use."""

    sight: Sight
    judge: Judge
    now: datetime
    """AWS's clock."""


@dataclass
class Archive:
    """Archives the AMIs of one task; what fails for one of them does not keep the others."""

    client: t.Any
    bucket: Bucket
    wish: Wish
    check_mode: bool
    warn: t.Callable[[str], None]
    entries: list[Entry] = field(default_factory=list)
    stopped_by: str = ""
    _warned: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.prover = Prover(
            self.bucket, self.wish.prefix, self.wish.within_days, self.wish.accept_untested
        )
        self.remnants = Remnants(self.client, self.wish, self.prover)

    def run(self) -> None:
        """Plan everything, then do it; an error that concerns all of it ends the run."""
        try:
            self.plan()
            for entry in self.entries:
                if not entry.error:
                    self._keep_to(entry)
        except AnsibleAWSError as error:
            self.stopped_by = error_text(error)

    def plan(self) -> None:
        view = self._look(self.wish.survey.choice)
        for item in view.sight.images:
            self.entries.append(self._assess(item, view))
        gone: list[Entry] = []
        if self.wish.looks_for_snapshots:
            gone = self.remnants.find()
        with_remnants = {entry.image_id for entry in gone}
        for image_id in self._not_left_out(view.sight.missing):
            if image_id not in with_remnants:
                gone.append(self._absent(image_id, view.now))
        self.entries += gone
        self._tell_what_was_hidden()

    def _not_left_out(self, image_ids: t.Sequence[str]) -> list[str]:
        """Return the AMIs that are not there; a filter may have left out some that are."""
        there: set[str] = set()
        if self.wish.survey.choice.filters:
            there, _now = calls.images_there(self.client, image_ids)
        return [image_id for image_id in image_ids if image_id not in there]

    def _tell_what_was_hidden(self) -> None:
        hidden = [e for e in self.entries if e.proof and e.proof.copy is Copy.UNKNOWN]
        if hidden:
            first = hidden[0]
            details = "; ".join(first.proof.details) if first.proof else ""
            self.warn(
                f"The stored images of {len(hidden)} of the AMIs are unknown, so these stay as they"
                f" are. The first is {first.image_id}: {details}."
            )

    def _look(self, choice: Choice) -> View:
        request = replace(self.wish.survey, choice=choice)
        survey = Survey(self.client, request, None, self._warn_once)
        sight = survey.look()
        if sight.time is None:
            raise AmiStoreError(
                "EC2's answer has no date, so how old anything is cannot be told. Nothing was"
                " changed"
            )
        return View(sight, survey.judge, sight.time)

    def _warn_once(self, warning: str) -> None:
        """What is looked at again is told once."""
        if warning not in self._warned:
            self._warned.add(warning)
            self.warn(warning)

    def _assess(self, item: OwnedImage, view: View) -> Entry:
        image = item.image
        snapshots = [
            view.judge.facts.snapshots[s]
            for s in image.snapshot_ids
            if s in view.judge.facts.snapshots
        ]
        entry = Entry(image.image_id, image, snapshots=snapshots)
        if self.wish.end_state is EndState.AVAILABLE:
            entry.plan = _way_back(item)
            return entry
        entry.verdict = judge(view.judge.findings(item), self.wish.allowed)
        if entry.verdict.may_go is not True:
            entry.plan = Plan((), entry.verdict.reasons)
            return entry
        entry.proof = self.prover.look(image.image_id, view.now)
        protection, entry.not_before = _protection(image, view.now)
        found = Found(
            verdict=entry.verdict,
            copy=entry.proof.copy,
            tested=entry.proof.tested,
            protection=protection,
            faults=entry.proof.faults,
            achieved=self._achieved(entry),
        )
        entry.plan = decide(found, self.wish.end_state)
        if "cooldown" not in entry.plan.reasons:
            entry.not_before = None
        return entry

    def _achieved(self, entry: Entry) -> frozenset[Step]:
        image, stored = entry.image, entry.proof.stored if entry.proof else None
        found = set()
        if image and image.raw.get("DeprecationTime"):
            found.add(Step.DEPRECATE)
        if image and image.state == "disabled":
            found.add(Step.DISABLE)
        if image and stored and self._marked(entry, stored.etag):
            found.add(Step.MARK_SNAPSHOTS)
        return frozenset(found)

    def _marked(self, entry: Entry, etag: str) -> bool:
        mark = self._mark(entry.image_id, etag)
        by_id = {snapshot.snapshot_id: snapshot for snapshot in entry.snapshots}
        return all(mark.is_on(by_id.get(snapshot_id)) for snapshot_id in entry.snapshot_ids)

    def _mark(self, image_id: str, etag: str) -> marks.Mark:
        return marks.Mark(image_id, self.bucket.name, self.prover.key(image_id), etag)

    def _absent(self, image_id: str, now: datetime) -> Entry:
        """An AMI that the task names and that is not there; stored, it may have been archived."""
        proof = self.prover.look(image_id, now)
        entry = Entry(image_id, proof=proof, verdict=Verdict(None, ()))
        if proof.copy is Copy.MISSING:
            entry.error = (
                "this account has no such AMI in this Region, and"
                f" {self.bucket.url(self.prover.key(image_id))} does not exist"
            )
        faults = proof.faults if proof.copy is not Copy.READY else ("stored",)
        entry.plan = Plan((), ("gone", *faults))
        return entry

    # What is done

    def _keep_to(self, entry: Entry) -> None:
        if self.check_mode:
            self._foresee(entry)
            return
        try:
            if entry.remnants:
                self.remnants.carry_out(entry)
            else:
                self._carry_out(entry)
        except AnsibleAWSError as error:
            entry.error = error_text(error)
            if refuses_caller(error):
                raise

    def _foresee(self, entry: Entry) -> None:
        entry.done = list(entry.plan.own)
        for remnant in entry.remnants:
            remnant.deleted = Step.DELETE_SNAPSHOTS in remnant.plan.steps

    def _carry_out(self, entry: Entry) -> None:
        now: datetime | None = None
        for step in entry.plan.own:
            # What was planned at the start of a long run may not hold any more.
            if now is None or step is Step.DEREGISTER:
                now = self._still_right(entry, step)
            if now is None or not self._do(entry, step, now):
                return
            entry.done.append(step)
        if entry.done and self.wish.end_state is EndState.AVAILABLE:
            # What somebody else does to it from now on is not ours to undo.
            set_tags(self.client, entry.image_id, marks.not_archived(entry.image_id))

    def _still_right(self, entry: Entry, step: Step) -> datetime | None:
        """Look again at all that the plan rests on; return AWS's time, None where it fell."""
        choice = Choice((entry.image_id,), self.wish.survey.choice.filters, ("self",))
        view = self._look(choice)
        if not view.sight.images:
            entry.plan = replace(entry.plan, reasons=("changed_meanwhile",))
            return None
        fresh = self._assess(view.sight.images[0], view)
        open_steps = [one for one in fresh.plan.steps if one not in entry.done]
        entry.image, entry.proof, entry.snapshots = fresh.image, fresh.proof, fresh.snapshots
        if open_steps[:1] != [step]:
            entry.verdict = fresh.verdict
            entry.plan = replace(entry.plan, reasons=("changed_meanwhile", *fresh.plan.reasons))
            return None
        return view.now

    def _do(self, entry: Entry, step: Step, now: datetime) -> bool:
        """Take one step; return whether the next one may follow."""
        image, image_id = entry.image, entry.image_id
        if image is None:
            return False
        if step in (Step.DEPRECATE, Step.DISABLE):
            self._remember(entry, image)
        if step is Step.MARK_SNAPSHOTS:
            return self._mark_snapshots(entry)
        if step is Step.DATE_SNAPSHOTS:
            return self._date_snapshots(entry)
        if step is Step.UNPROTECT:
            self._note_cooldown(entry, image, now)
        with entry.writing():
            if step is Step.DEPRECATE:
                calls.deprecate(self.client, image_id, now)
            elif step is Step.DISABLE:
                calls.disable(self.client, image_id)
            elif step is Step.ENABLE:
                calls.enable(self.client, image_id)
            elif step is Step.UNDEPRECATE:
                calls.cancel_deprecation(self.client, image_id)
            elif step is Step.UNPROTECT:
                calls.unprotect(self.client, image_id)
            elif step is Step.DEREGISTER:
                entry.gone_since = calls.deregister(self.client, image_id)
        return True

    def _tag(self, entry: Entry, resource_id: str, tags: t.Mapping[str, str]) -> None:
        with entry.writing():
            set_tags(self.client, resource_id, tags)

    def _remember(self, entry: Entry, image: Image) -> None:
        """Write down what is about to be done, so that it alone is undone."""
        tags = marks.service_tag(image, entry.plan.steps)
        if not tags.items() <= image.tags.items():
            self._tag(entry, image.image_id, tags)

    def _mark_snapshots(self, entry: Entry) -> bool:
        stored = entry.proof.stored if entry.proof else None
        if stored is None:
            return False
        mark = self._mark(entry.image_id, stored.etag)
        by_id = {snapshot.snapshot_id: snapshot for snapshot in entry.snapshots}
        for snapshot_id in entry.snapshot_ids:
            snapshot = by_id.get(snapshot_id)
            if not mark.is_on(snapshot):
                self._tag(entry, snapshot_id, mark.tags_for(snapshot, snapshot_id))
        return True

    def _note_cooldown(self, entry: Entry, image: Image, now: datetime) -> None:
        if _protection(image, now)[0] is Protection.SLOW:
            # Before, since nobody could tell the time after a run that ended in between.
            entry.not_before = now + COOLDOWN
            until = {marks.UNPROTECTED_UNTIL: marks.write_time(entry.not_before)}
            self._tag(entry, entry.image_id, until)

    def _date_snapshots(self, entry: Entry) -> bool:
        since = entry.gone_since
        if since is None:
            there, now = calls.images_there(self.client, [entry.image_id])
            since = None if there else now
        if since is None:
            # The next run dates them, which only lets them stay longer.
            return False
        users = calls.users_of(self.client, entry.snapshot_ids)
        for snapshot_id in entry.snapshot_ids:
            # What another AMI uses is not waiting to go.
            if not users[snapshot_id] - {entry.image_id}:
                self._tag(entry, snapshot_id, {marks.GONE_SINCE: marks.write_time(since)})
        return True


def _way_back(item: OwnedImage) -> Plan:
    image = item.image
    if not item.owned:
        return Plan((), ("not_owned",))
    service = Service(
        disabled=image.state == "disabled",
        deprecated=bool(image.raw.get("DeprecationTime")),
        by_archive=marks.steps_of(image),
    )
    return decide_return(service)


def _protection(image: Image, now: datetime) -> tuple[Protection, datetime | None]:
    """Return what protects an AMI, and until when a cooldown goes on, where that is known."""
    told = str(image.raw.get("DeregistrationProtection") or "")
    until = marks.read_time(image.tags.get(marks.UNPROTECTED_UNTIL, ""))
    slow = told == "enabled-with-cooldown"
    if told.startswith("enabled") and not slow:
        return Protection.ON, None
    # What AWS tells during a cooldown is not documented: were it the same as before, to take the
    # protection away each time would let it begin anew for ever.
    if until and now < until:
        return Protection.COOLING, until
    if slow:
        return Protection.SLOW, now + COOLDOWN
    # What else AWS may tell is not documented.
    return (Protection.NONE if told == "disabled" else Protection.COOLING), None
