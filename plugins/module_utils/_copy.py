# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copy stored images: what is observed, what is decided about it, what is done, and its proof."""

from __future__ import annotations

import contextlib
import threading
import typing as t
import urllib.parse
from dataclasses import replace
from datetime import timedelta

from ansible_collections.amistore.aws.plugins.module_utils import (
    _copy_record,
    _copy_uploads,
)
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    InputError,
    error_text,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_beside import Beside
from ansible_collections.amistore.aws.plugins.module_utils._copy_content import Content
from ansible_collections.amistore.aws.plugins.module_utils._copy_decide import (
    Action,
    Decision,
    Observed,
    decide,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_equal import (
    are_equal,
    surely_differ,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import (
    SERVER_SIDE,
    STREAMING,
    CopyEntry,
    CopyOptions,
    State,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import (
    COPY_OF,
    Seen,
    look,
    metadata_of_copy,
    source_identity,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import (
    DEFAULT_PART,
    LARGEST_COPY_OBJECT,
    Layout,
    Part,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_plan import plan
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import (
    Proof,
    SentPart,
    is_multipart,
    md5_of,
    sha256_of,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_copy import (
    READ_BACK,
    CopyProver,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_source import SourceProver
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    CopyError,
    DamagedError,
    MismatchError,
    Side,
    SourceChangedError,
    StoppedError,
    TakenError,
    UploadGoneError,
    thaw_advice,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_tags import Tags
from ansible_collections.amistore.aws.plugins.module_utils._copy_together import together
from ansible_collections.amistore.aws.plugins.module_utils._copy_transfer import (
    SERVER_SIDE_AT_FIRST,
    ServerSide,
    fetch,
    refuse_other,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_unchanged import (
    only_if_missing,
    see_destination_again,
    see_source_again,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_uploads import Upload
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    manifest_key,
)
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Clock

# Another run that completed the same object writes its proof a moment later.
LOOKS_FOR_PROOF = 5
PAUSE_FOR_PROOF = 2.0


# S3 does not let these credentials copy from there, or does not copy at all.
REFUSED_CODES = frozenset(
    {"403", "501", "AccessDenied", "Forbidden", "InvalidRequest", "NotImplemented"}
)


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
        self._source_prover = SourceProver(means)
        self._copy_prover = CopyProver(means, self._beside)
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

    def _make(self, job: Job) -> None:
        self._abort_leftovers(job)
        self._copy(job)

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
            entry.method, entry.method_reason = self._method(job)
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

    def _abort_leftovers(self, job: Job) -> None:
        """Abort unfinished uploads of ours for this key that nobody will go on with."""
        oldest = self.clock.date() - timedelta(days=self.options.abort_unfinished_after)
        for upload in job.unfinished.others:
            if upload.initiated and upload.initiated <= oldest:
                _copy_uploads.abort(self.destination, job.entry.key, upload)
                job.entry.changed = True

    def _method(self, job: Job) -> tuple[str, str]:
        """Return how the object is copied, and why so."""
        if self.options.method == STREAMING:
            return STREAMING, "asked for"
        obstacle = self._why_not_server_side(job)
        if not obstacle:
            return SERVER_SIDE, "the destination's credentials can read the source"
        if self.options.method == SERVER_SIDE:
            raise CopyError(
                message=f"source {self.source.bucket.url(job.source.key)} cannot be copied by S3"
                f" itself: {obstacle}. Set method: auto or streaming"
            )
        return STREAMING, obstacle

    def _why_not_server_side(self, job: Job) -> str:
        source, destination = self.source, self.destination
        if source.client.meta.partition != destination.client.meta.partition:
            return "the two sides are in different partitions"
        if source.custom_endpoint != destination.custom_endpoint:
            return "the two sides are behind different endpoints"
        through = replace(source, client=destination.client)
        try:
            seen = look(through, job.source.key)
        except AmiStoreError as error:
            return f"the destination's credentials cannot read the source ({error_text(error)})"
        if seen is None or (seen.etag, seen.size) != (job.source.etag, job.source.size):
            return "the destination's credentials do not see the same object at the source"
        return ""

    def _copy(self, job: Job) -> None:
        entry = job.entry
        entry.method, entry.method_reason = self._method(job)
        entry.tags_after = dict(job.tags)
        try:
            if entry.method == SERVER_SIDE and self._copy_server_side(job):
                return
            if job.layout.count <= 1:
                self._copy_small(job)
            else:
                self._copy_in_parts(job)
        except (UploadGoneError, CopyError) as error:
            if not _may_be_there(error):
                raise
            self._settle(job, error)

    # In one piece

    def _copy_small(self, job: Job) -> None:
        """Copy an object of at most one part with one request."""
        entry, key = job.entry, job.entry.key
        part = Part(1, 0, job.source.size)
        content, how = self._read_small(job, part)
        checksum = sha256_of(content)
        condition = only_if_missing(self.destination, job, "PutObject")

        def put() -> t.Any:
            entry.counts.add(sent=part.size)
            return self.destination.send(
                "write",
                "put_object",
                key,
                Body=content,
                ChecksumSHA256=checksum,
                **job.settings,
                **condition,
            )

        answer = self.destination.retry("write", key, put)
        entry.counts.add(parts=1)
        copy = self._copy_prover.look_at_copy(job, answer)
        read_back = ""
        with contextlib.suppress(DamagedError):
            refuse_other(self.destination, key, answer, checksum, md5_of(content))
            read_back = self._copy_prover.read_back(job, copy, part)
        if read_back != checksum:
            raise self._copy_prover.discard(
                job, copy, "what was read back differs from what was sent"
            )
        self._copy_prover.record_copied(job, copy, Proof(how, READ_BACK, 1), checksum)

    def _read_small(self, job: Job, part: Part) -> tuple[bytes, str]:
        """Return the whole content, and how it is known to be the source's."""
        key = job.source.key

        def read() -> tuple[bytes, str]:
            content = fetch(self.source, job.source, part, Content())
            job.entry.counts.add(read=len(content))
            whole = b"".join(iter(content.read, b""))
            return whole, self._source_prover.of_content(job, whole)

        content, how = self.source.retry("read", key, read)
        if how:
            return content, how
        return content, self._source_prover.read_again(job, part, sha256_of(content))

    # In parts

    def _copy_in_parts(self, job: Job) -> None:
        stream = self._means.streaming(job)
        with contextlib.closing(stream.ahead):
            if job.unfinished.fitting is None:
                stream.read_ahead(job.layout.parts, 2 * self._pace.limit)
            upload = self._upload(job)
            stream = replace(stream, md5_step=self._md5_step(job, upload))
            self._send_parts(job, upload, stream.send)

    def _upload(self, job: Job) -> Upload:
        """Return the upload to go on with, a new one where there is none."""
        upload = job.unfinished.fitting
        if upload is not None:
            return self._mark(job, upload)
        job.entry.changed = True
        key = job.entry.key
        upload = _copy_uploads.begin(self.destination, key, job.settings)
        self._mark(job, upload)
        if upload.marked and not _copy_uploads.lists_checksums(self.destination, key, upload):
            useless = upload
            begun, aborted = together(
                lambda: _copy_uploads.begin_like(self.destination, key, job.settings, useless),
                lambda: _copy_uploads.abort(self.destination, key, useless),
            )
            upload = begun()
            aborted()
            self._mark(job, upload)
        return upload

    def _mark(self, job: Job, upload: Upload) -> Upload:
        try:
            _copy_uploads.put_mark(self.destination, job.entry.key, upload, job.digest)
        except UploadGoneError:
            raise
        except AmiStoreError as error:
            raise self._interrupted(job, upload, upload.parts, error) from error
        return upload

    def _md5_step(self, job: Job, upload: Upload) -> int:
        """Return the size of the stretches whose MD5 sums are needed, 0 for none.

        Where the parts are the source's own and the ETags are MD5 sums, the destination makes them.
        """
        layout = job.layout
        if job.source.has_own_md5 and layout.follows_source:
            needed = upload.uses_kms or not layout.equals_source
            return t.cast(int, layout.source_part_size) if needed else 0
        return 0

    def _send_parts(
        self, job: Job, upload: Upload, send: t.Callable[[Part, Upload], SentPart]
    ) -> None:
        """Send what is missing, prove it, make the object of it."""
        entry = job.entry
        earlier = frozenset(upload.parts)
        entry.parts, entry.parts_reused = job.layout.count, len(earlier)
        missing = [part for part in job.layout.parts if part.number not in earlier]
        own: dict[int, SentPart] = {}

        def work(part: Part) -> None:
            own[part.number] = send(part, upload)

        try:
            self._means.each(missing, work)
            upload.parts = {**upload.parts, **own}
            evidence = self._source_prover.of_parts(job, upload)
            for look_again in together(
                lambda: see_source_again(self.source, job),
                lambda: see_destination_again(self.destination, job),
            ):
                look_again()
            answer = _copy_uploads.complete(
                self.destination, entry.key, upload, create_only=job.present is None
            )
        except (SourceChangedError, MismatchError):
            self._abort(job, upload)
            raise
        except UploadGoneError:
            raise
        except AmiStoreError as error:
            if _may_be_there(error):
                self._abort(job, upload)
                raise
            raise self._interrupted(job, upload, {**upload.parts, **own}, error) from error
        copy = self._copy_prover.look_at_copy(job, answer, read_back=not upload.marked)
        self._copy_prover.prove_parts(job, upload, copy, answer, evidence)

    def _interrupted(
        self, job: Job, upload: Upload, parts: t.Mapping[int, SentPart], error: AmiStoreError
    ) -> AmiStoreError:
        """Return the error with what becomes of the unfinished upload."""
        kind = StoppedError if isinstance(error, StoppedError) else CopyError
        text, code = error_text(error).rstrip("."), getattr(error, "code", "")
        # Without parts there is nothing to go on with, and no later run would take it up.
        if upload.marked and self.options.keep_unfinished and parts:
            return kind(
                code=code,
                message=f"{text}. {len(parts)} of {job.layout.count} parts are at the destination;"
                " the unfinished upload stays for the next run",
            )
        told = self._abort(job, upload)
        return kind(code=code, message=f"{text}. The unfinished upload was {told}")

    def _abort(self, job: Job, upload: Upload) -> str:
        self.destination.halt.clear()
        try:
            _copy_uploads.abort(self.destination, job.entry.key, upload)
        except AmiStoreError as error:
            return f"not aborted ({error_text(error)})"
        return "aborted"

    def _settle(self, job: Job, error: AmiStoreError) -> None:
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

    # By S3 itself

    def _copy_server_side(self, job: Job) -> bool:
        """Let S3 copy the object; False where it refuses to and streaming may do it."""
        entry = job.entry
        if not job.source.size:
            entry.method, entry.method_reason = STREAMING, "an empty object has nothing to copy"
            return False
        server = ServerSide(self.source, self.destination, job.source, entry.key, entry.counts)
        try:
            if self._fits_one_request(job):
                self._copy_whole(job, server)
            else:
                self._pace.begin(SERVER_SIDE_AT_FIRST)
                self._send_parts(job, self._upload(job), server.send)
        except CopyError as error:
            if self.options.method == SERVER_SIDE or not _refused(error):
                raise
            entry.method = STREAMING
            entry.method_reason = f"S3 refused to copy it itself: {error_text(error)}"
            self.destination.halt.clear()
            plan(self._means, job)
            return False
        return True

    def _fits_one_request(self, job: Job) -> bool:
        """Parts are worth it only where they give an ETag that proves the copy."""
        if job.source.size > LARGEST_COPY_OBJECT or job.unfinished.fitting:
            return False
        by_parts = job.source.has_own_md5 and is_multipart(job.source.etag)
        return not (by_parts and job.layout.equals_source and job.layout.count > 1)

    def _copy_whole(self, job: Job, server: ServerSide) -> None:
        directives = {"MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}
        answer = server.copy_whole(
            ChecksumAlgorithm="SHA256",
            **directives,
            **job.settings,
            **only_if_missing(self.destination, job, "CopyObject"),
        )
        see_source_again(self.source, job)
        result = answer.get("CopyObjectResult") or {}
        copy = self._copy_prover.look_at_copy(job, result)
        equal = are_equal(job.source, copy)
        if not equal and surely_differ(job.source, copy):
            raise self._copy_prover.discard(
                job, copy, f"its ETag is {copy.etag} instead of {job.source.etag}"
            )
        proof = Proof("etag", "etag") if equal else Proof("s3", "s3")
        self._copy_prover.record_copied(
            job, copy, proof, result.get("ChecksumSHA256") or copy.sha256
        )


def _may_be_there(error: AmiStoreError) -> bool:
    """Tell whether the object may have been made meanwhile, by another run or unseen by this."""
    return isinstance(error, (TakenError, UploadGoneError))


def _refused(error: CopyError) -> bool:
    return error.code in REFUSED_CODES
