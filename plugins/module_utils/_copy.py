# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copy stored images: what is observed, what is decided about it, what is done, and its proof."""

from __future__ import annotations

import threading
import typing as t
import urllib.parse

from ansible_collections.amistore.aws.plugins.module_utils import (
    _copy_record,
)
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
    Observed,
    decide,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_equal import (
    are_equal,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import (
    SERVER_SIDE,
    CopyEntry,
    CopyOptions,
    State,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_multipart import Multipart
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import (
    COPY_OF,
    Seen,
    look,
    metadata_of_copy,
    source_identity,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import (
    DEFAULT_PART,
    Layout,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_plan import plan
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import (
    Proof,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_copy import (
    CopyProver,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_source import SourceProver
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    CopyError,
    MismatchError,
    Side,
    StoppedError,
    TakenError,
    UploadGoneError,
    thaw_advice,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_small import Small
from ansible_collections.amistore.aws.plugins.module_utils._copy_tags import Tags
from ansible_collections.amistore.aws.plugins.module_utils._copy_together import together
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    manifest_key,
)
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Clock

# Another run that completed the same object writes its proof a moment later.
LOOKS_FOR_PROOF = 5
PAUSE_FOR_PROOF = 2.0


class Copier:
    """Copies objects one after another, the parts of one side by side."""

    def __init__(self, source: Side, destination: Side, options: CopyOptions, clock: Clock) -> None:
        self.source = source
        self.destination = destination
        self.options = options
        self.clock = clock
        self._means = means = Means(source, destination, options, clock)
        self.warnings, self.memory, self._pace = means.warnings, means.memory, means.pace
        self._tags, self._beside = Tags(means), Beside(means)
        source_prover = SourceProver(means)
        self._copy_prover = CopyProver(means, self._beside)
        self._small = Small(means, source_prover, self._copy_prover)
        self._multipart = Multipart(means, source_prover, self._copy_prover)
        self._by_s3 = ByS3(means, self._copy_prover, self._multipart)
        self._looked_at: dict[str, list[t.Callable[[], t.Any]]] = {}
        """What was found at both sides, by the key at the destination, until it is copied."""

    def copy(self, entry: CopyEntry) -> None:
        """Copy one object, unless it is there; a failure is told by the entry.

        :raises StoppedError: when no other object can be copied either.
        """
        began = self.clock.now()
        self.source.halt = self.destination.halt = threading.Event()
        try:
            self._means.check_time()
            self._handle(entry)
        except StoppedError as error:
            entry.fail(error_text(error))
            raise
        except AmiStoreError as error:
            entry.fail(error_text(error))
        finally:
            entry.seconds = round(self.clock.now() - began, 3)
            entry.changed |= bool(entry.counts.parts_sent)

    # Observe

    def _handle(self, entry: CopyEntry) -> None:
        self._refuse_itself(entry)
        if entry.key not in self._looked_at:
            self.look_ahead(entry)
        seen, there, manifest, present_manifest, tags = self._looked_at.pop(entry.key)
        source = seen()
        if source is None:
            raise CopyError(
                message=f"source {self.source.bucket.url(entry.source_key)} does not exist. Check"
                " the key; if it was deleted from a versioned bucket, remove its delete marker"
            )
        entry.size = source.size
        entry.identity = source_identity(self.source.bucket.name, source)
        if source.unreadable_metadata:
            self.warnings.append(
                f"{entry.source_key}: some of its metadata cannot be read over HTTP and stays"
                " behind."
            )
        wanted = self._tags.wanted(entry, tags() or {})
        job = Job(
            entry,
            source,
            Layout(source.size, DEFAULT_PART),
            self._settings(source, wanted),
            wanted,
            manifest(),
            there(),
            present_manifest(),
            protected=self.source.encrypted_in_transit,
        )
        self._beside.warn_of_another_image(job)
        self._beside.read_record(job)
        decision = self._decide(job)
        if decision.action in (Action.COPY, Action.VERIFY):
            plan(self._means, job)
            decision = self._decide(job)
        if decision.action in (Action.COPY, Action.RESUME):
            self._beside.see_to_manifest(job)
        self._act(job, decision)

    def look_ahead(self, entry: CopyEntry) -> None:
        """Look at both sides of one object already; `copy` tells what went wrong."""
        read_manifest = _copy_record.read_manifest
        self._looked_at[entry.key] = together(
            lambda: look(self.source, entry.source_key),
            lambda: look(self.destination, entry.key),
            lambda: read_manifest(self.source, entry.source_key),
            lambda: self._beside.read_manifest(entry),
            lambda: self._tags.read(self.source, entry.source_key),
        )

    def _refuse_itself(self, entry: CopyEntry) -> None:
        if self._is_one_bucket and entry.source_key == entry.key:
            raise CopyError(
                message=f"source and destination are the same object,"
                f" {self.source.bucket.url(entry.key)}: give another bucket or prefix"
            )

    def check_prefixes(self) -> None:
        """Refuse to copy everything to where the next run would find the copies as well.

        :raises InputError: names the option to change.
        """
        start, prefix = f"{self.options.source_prefix}/".lstrip("/"), self.options.prefix
        if prefix is not None and self._is_one_bucket and f"{prefix}/".startswith(start):
            raise InputError(
                f"prefix {prefix!r} lies under source_prefix {self.options.source_prefix!r} of the"
                " same bucket, so the next run with all would copy the copies: give another prefix"
                " or bucket."
            )

    @property
    def _is_one_bucket(self) -> bool:
        source, destination = (
            (side.bucket.name, side.custom_endpoint, side.client.meta.partition)
            for side in (self.source, self.destination)
        )
        return source == destination

    def _settings(self, source: Seen, tags: t.Mapping[str, str]) -> dict[str, t.Any]:
        """Return what the new object is made with, besides its content."""
        settings: dict[str, t.Any] = {
            **source.headers,
            "Metadata": metadata_of_copy(self.source.bucket.name, source),
            **self.options.encryption,
        }
        if tags:
            settings["Tagging"] = urllib.parse.urlencode(sorted(tags.items()))
        if self.options.storage_class:
            settings["StorageClass"] = self.options.storage_class
        return settings

    def _look_at_destination(self, job: Job) -> None:
        job.present = look(self.destination, job.entry.key)
        job.present_manifest = self._beside.read_manifest(job.entry)
        self._beside.read_record(job)

    def _decide(self, job: Job) -> Decision:
        decision = decide(self._observed(job))
        if decision.action is not Action.FAIL:
            return decision
        raise CopyError(message=self._why_not(job, decision))

    def _observed(self, job: Job) -> Observed:
        source, present = job.source, job.present
        return Observed(
            source=True,
            readable=source.stored.restorable is not False,
            present=present is not None,
            proved=_copy_record.fits(job.record, self.source.bucket.name, source, present),
            equal=present is not None and are_equal(source, present),
            made_of_source=present is not None
            and present.metadata.get(COPY_OF) == job.entry.identity
            and present.size == source.size,
            overwrite=self.options.overwrite,
            unfinished=job.unfinished.fitting is not None,
        )

    def _why_not(self, job: Job, decision: Decision) -> str:
        if decision.reason == "archived":
            advice = thaw_advice(self.source, job.source.key)
            return f"source {self.source.bucket.url(job.source.key)} cannot be read. {advice}"
        there = job.present
        size = f"{there.size} bytes, ETag {there.etag}" if there else ""
        return (
            f"destination {self.destination.bucket.url(job.entry.key)} is taken by another object"
            f" ({size}; the source has {job.source.size} bytes, ETag {job.source.etag}), and"
            " nothing proves it to be a copy of the source as it is now. Look at it; set"
            " overwrite: true to replace it"
        )

    # Act

    def _act(self, job: Job, decision: Decision) -> None:
        entry = job.entry
        copies = decision.action in (Action.COPY, Action.RESUME)
        entry.parts = max(1, job.layout.count) if copies else 0
        if copies and job.unfinished.fitting:
            entry.parts_reused = len(job.unfinished.fitting.parts)
        if self.options.check_mode:
            self._foresee(job, decision.action)
        elif copies:
            self._make(job)
        else:
            self._keep_or_replace(job, decision.action)

    def _keep_or_replace(self, job: Job, action: Action) -> None:
        try:
            self._keep(job, action)
        except MismatchError:
            if not self.options.overwrite:
                raise
            self.destination.halt.clear()
            job.entry.parts = max(1, job.layout.count)
            self._make(job)

    def _foresee(self, job: Job, action: Action) -> None:
        """Tell what a run would do."""
        entry = job.entry
        if job.manifest is not None:
            entry.manifest_key = manifest_key(entry.key)
        if action in (Action.COPY, Action.RESUME):
            entry.changed = True
            entry.method, entry.method_reason = choose_method(self._means, job)
            entry.tags_after = dict(job.tags)
            return
        entry.state = State.PRESENT
        entry.changed = action is not Action.KEEP or self._beside.stale_manifest(job) is not None
        if job.record and action is Action.KEEP:
            entry.checksum, entry.proof = job.record.checksum, dict(job.record.proof)
        entry.changed |= self._tags.reconcile(job)

    def _keep(self, job: Job, action: Action) -> None:
        """Leave the object as it is; write what is missing beside it."""
        entry = job.entry
        if action is Action.RECORD:
            proof = Proof("etag", "etag")
            self._beside.write_record(
                job, t.cast(Seen, job.present), proof, job.source.sha256, None
            )
        elif action is Action.VERIFY:
            self._copy_prover.verify(job)
        else:
            record = t.cast(_copy_record.Record, job.record)
            entry.checksum, entry.proof = record.checksum, dict(record.proof)
            self._beside.write_stale_manifest(job)
        entry.state = State.PRESENT
        entry.changed |= self._tags.reconcile(job)

    def _make(self, job: Job) -> None:
        """Copy the object, unless another run comes first."""
        entry = job.entry
        self._multipart.abort_leftovers(job)
        entry.method, entry.method_reason = choose_method(self._means, job)
        entry.tags_after = dict(job.tags)
        try:
            if entry.method == SERVER_SIDE and self._by_s3.copy(job):
                return
            if job.layout.count <= 1:
                self._small.copy(job)
            else:
                self._multipart.copy(job)
        except (TakenError, UploadGoneError) as error:
            self._settle(job, error)

    def _settle(self, job: Job, error: CopyError) -> None:
        """Find out whether another run has copied the same object meanwhile.

        :raises CopyError: it has not.
        """
        self.destination.halt.clear()
        job.removes_manifest = False
        for attempt in range(LOOKS_FOR_PROOF):
            self._look_at_destination(job)
            action = decide(self._observed(job)).action
            if job.present is None or action in (Action.KEEP, Action.RECORD, Action.FAIL):
                break
            if attempt < LOOKS_FOR_PROOF - 1:
                self.clock.sleep(PAUSE_FOR_PROOF)
        if job.present is None or action not in (Action.KEEP, Action.RECORD, Action.VERIFY):
            raise error
        self._keep(job, action)
