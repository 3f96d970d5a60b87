# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copy stored images: what is observed, what is decided about it, and what is done.

Whether S3 can copy an object itself, and how it does, is in _copy_by_s3; _copy_small and
_copy_multipart stream. How source and copy are known to be equal is in _copy_prove_source and
_copy_prove_copy, and what is recorded of it in _copy_beside.
"""

from __future__ import annotations

import threading
import typing as t

from ansible_collections.amistore.aws.plugins.module_utils import _copy_record
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    InputError,
    error_text,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_beside import Beside
from ansible_collections.amistore.aws.plugins.module_utils._copy_by_s3 import ByS3, choose_method
from ansible_collections.amistore.aws.plugins.module_utils._copy_decide import (
    Action,
    Decision,
    decide,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_equal import proof_of_equals
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import (
    SERVER_SIDE,
    CopyEntry,
    State,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_leftovers import Leftovers
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_multipart import Multipart
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import Seen
from ansible_collections.amistore.aws.plugins.module_utils._copy_observe import Observer
from ansible_collections.amistore.aws.plugins.module_utils._copy_plan import plan
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_copy import CopyProver
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_source import SourceProver
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    CopyError,
    MismatchError,
    SourceChangedError,
    StoppedError,
    TakenError,
    UploadGoneError,
    thaw_advice,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_small import Small
from ansible_collections.amistore.aws.plugins.module_utils._copy_tags import Tags
from ansible_collections.amistore.aws.plugins.module_utils._inputs import manifest_key

# Another run that completed the same object writes its proof a moment later.
LOOKS_FOR_PROOF = 5
PAUSE_FOR_PROOF = 2.0


class Copier:
    """Copies objects one after another, the parts of one side by side."""

    def __init__(self, means: Means) -> None:
        self.means = means
        self._tags = Tags(means)
        self._beside = Beside(means)
        self.observer = Observer(means, self._tags, self._beside)
        source_prover = SourceProver(means)
        self._copy_prover = CopyProver(means, self._beside)
        self._small = Small(means, source_prover, self._copy_prover)
        self._multipart = Multipart(means, source_prover, self._copy_prover)
        self._leftovers = Leftovers(means)
        self._by_s3 = ByS3(means, self._copy_prover, self._multipart)

    def copy(self, entry: CopyEntry) -> None:
        """Copy one object, unless it is there; a failure is told by the entry.

        :raises StoppedError: when no other object can be copied either.
        """
        means = self.means
        began = means.clock.now()
        means.source.halt = means.destination.halt = threading.Event()
        try:
            means.check_time()
            self._handle(entry)
        except StoppedError as error:
            entry.fail(error_text(error))
            raise
        except AmiStoreError as error:
            entry.fail(error_text(error))
        finally:
            entry.seconds = round(means.clock.now() - began, 3)
            entry.changed |= bool(entry.counts.parts_sent)

    def _handle(self, entry: CopyEntry) -> None:
        self._refuse_itself(entry)
        job = self.observer.observe(entry)
        action = self._decide(job)
        if action in (Action.COPY, Action.VERIFY):
            plan(self.means, job)
            action = self._decide(job)
        else:
            self._leftovers.find(job)
        if action in (Action.COPY, Action.RESUME):
            self._beside.see_to_manifest(job)
        else:
            self._beside.doubt_manifest(job)
        self._act(job, action)

    # Refuse

    def check_prefixes(self) -> None:
        """Refuse to copy everything to where the next run would find the copies as well.

        :raises InputError: names the option to change.
        """
        options = self.means.options
        start, prefix = f"{options.source_prefix}/".lstrip("/"), options.prefix
        if prefix is not None and self.means.is_one_bucket and f"{prefix}/".startswith(start):
            raise InputError(
                f"prefix {prefix!r} lies under source_prefix {options.source_prefix!r} of the"
                " same bucket, so the next run with all would copy the copies: give another prefix"
                " or bucket."
            )

    def _refuse_itself(self, entry: CopyEntry) -> None:
        if self.means.is_one_bucket and entry.source_key == entry.key:
            raise CopyError(
                message="source and destination are the same object,"
                f" {self.means.source.bucket.url(entry.key)}: give another bucket or prefix"
            )

    # Decide

    def _decide(self, job: Job) -> Action:
        decision = decide(self.observer.facts(job))
        if decision.action is not Action.FAIL:
            return decision.action
        raise CopyError(message=self._why_not(job, decision))

    def _why_not(self, job: Job, decision: Decision) -> str:
        source = self.means.source
        if decision.reason == "archived":
            advice = thaw_advice(source, job.source.key)
            return f"source {source.bucket.url(job.source.key)} cannot be read. {advice}"
        there = job.present
        size = f"{there.size} bytes, ETag {there.etag}" if there else ""
        return (
            f"destination {self.means.destination.bucket.url(job.entry.key)} is taken by another"
            f" object ({size}; the source has {job.source.size} bytes, ETag {job.source.etag}), and"
            " nothing proves it to be a copy of the source as it is now. Look at it; set"
            " overwrite: true to replace it"
        )

    # Act

    def _act(self, job: Job, action: Action) -> None:
        entry = job.entry
        copies = action in (Action.COPY, Action.RESUME)
        entry.parts = max(1, job.layout.count) if copies else 0
        if copies and job.unfinished.fitting:
            entry.parts_reused = len(job.unfinished.fitting.parts)
        if self.means.options.check_mode:
            self._foresee(job, action)
        elif copies:
            self._make(job)
        else:
            self._keep_or_replace(job, action)

    def _foresee(self, job: Job, action: Action) -> None:
        """Tell what a run would do."""
        entry = job.entry
        if job.manifest is not None:
            entry.manifest_key = manifest_key(entry.key)
        if action in (Action.COPY, Action.RESUME):
            entry.changed = True
            entry.method, entry.method_reason = choose_method(self.means, job)
            entry.tags_after = dict(job.tags)
            return
        entry.state = State.PRESENT
        entry.changed = action is not Action.KEEP or self._beside.stale_manifest(job) is not None
        entry.changed |= job.removes_manifest or bool(self._leftovers.of(job, kept=True))
        if job.record and action is Action.KEEP:
            entry.checksum, entry.proof = job.record.checksum, dict(job.record.proof)
        entry.changed |= self._tags.reconcile(job)

    def _keep_or_replace(self, job: Job, action: Action) -> None:
        try:
            self._keep(job, action)
        except MismatchError:
            if not self.means.options.overwrite:
                raise
            self.means.destination.halt.clear()
            job.entry.parts = max(1, job.layout.count)
            self._make(job)

    def _keep(self, job: Job, action: Action) -> None:
        """Leave the object as it is; write what is missing beside it."""
        entry = job.entry
        if action is Action.RECORD:
            present = t.cast(Seen, job.present)
            proof = proof_of_equals(job.source, present)
            self._beside.write_record(job, present, proof, job.source.sha256, None)
        elif action is Action.VERIFY:
            self._copy_prover.verify(job)
        else:
            record = t.cast(_copy_record.Record, job.record)
            entry.checksum, entry.proof = record.checksum, dict(record.proof)
            self._beside.write_stale_manifest(job)
            self._beside.remove_manifest(job)
        self._leftovers.abort(job, kept=True)
        entry.state = State.PRESENT
        entry.changed |= self._tags.reconcile(job)

    def _make(self, job: Job) -> None:
        """Copy the object, unless another run comes first."""
        entry = job.entry
        self._leftovers.abort(job, kept=False)
        entry.method, entry.method_reason = choose_method(self.means, job)
        entry.tags_after = dict(job.tags)
        try:
            if entry.method == SERVER_SIDE and self._by_s3.copy(job):
                return
            if job.layout.count <= 1:
                self._small.copy(job)
            else:
                self._multipart.copy(job)
        except (TakenError, UploadGoneError) as error:
            self._settle_beside(job, error)
        finally:
            self._multipart.finish_aside()

    def _settle_beside(self, job: Job, error: CopyError) -> None:
        """Settle with what is there now, and give up an upload that is of no use to anybody then.

        :raises CopyError: it is not a copy; what becomes of the upload is told.
        """
        try:
            self._settle(job, error)
        except SourceChangedError:
            self._multipart.give_up(job)
            raise
        except AmiStoreError as failure:
            if job.upload is None:
                raise
            parts = job.upload.parts
            raise self._multipart.interrupted(job, job.upload, parts, failure) from failure
        self._multipart.give_up(job)

    def _settle(self, job: Job, error: CopyError) -> None:
        """Find out whether another run has copied the same object meanwhile.

        :raises CopyError: it has not.
        """
        self.means.destination.halt.clear()
        job.removes_manifest = False
        for attempt in range(LOOKS_FOR_PROOF):
            self.observer.look_at_destination(job)
            action = decide(self.observer.facts(job)).action
            if job.present is None or action in (Action.KEEP, Action.RECORD, Action.FAIL):
                break
            if attempt < LOOKS_FOR_PROOF - 1:
                self.means.clock.sleep(PAUSE_FOR_PROOF)
        if job.present is None or action not in (Action.KEEP, Action.RECORD, Action.VERIFY):
            raise error
        self._keep(job, action)
