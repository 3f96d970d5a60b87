# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An object of several parts: an upload is begun or gone on with, its parts are sent, and once they
are known to be the source's, the object is made of them.
"""

from __future__ import annotations

import contextlib
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from ansible_collections.amistore.aws.plugins.module_utils import _copy_uploads
from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, error_text
from ansible_collections.amistore.aws.plugins.module_utils._copy_ahead import MOST_AHEAD
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import Part
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import SentPart
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_copy import CopyProver
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_source import SourceProver
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    CopyError,
    MismatchError,
    SourceChangedError,
    StoppedError,
    TakenError,
    UploadGoneError,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_together import together
from ansible_collections.amistore.aws.plugins.module_utils._copy_unchanged import (
    see_destination_again,
    see_source_again,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_uploads import Upload

ABORTED = "aborted"
MOST_TAKEOVERS = 20
"""How often parts may turn out to have been sent by another run as well, each time others."""


class Multipart:
    """Copies objects part by part: streamed through this machine, or as another way sends them."""

    def __init__(self, means: Means, source_prover: SourceProver, copy_prover: CopyProver) -> None:
        self._means = means
        self._source_prover = source_prover
        self._copy_prover = copy_prover
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="beside")
        self._aside: list[Future[None]] = []
        """Aborts that nobody waits for before the parts are sent."""

    def copy(self, job: Job) -> None:
        """Stream all parts, make the object of them, and prove it.

        :raises CopyError: as `send_parts` does.
        """
        stream = self._means.streaming(job)
        with contextlib.closing(stream.ahead), self._halting_reads():
            if job.unfinished.fitting is None:
                stream.read_ahead(
                    job.layout.parts, min(MOST_AHEAD, self._means.options.concurrency)
                )
            upload = self.upload(job)
            stream = replace(stream, md5_step=_md5_step(job, upload))
            self.send_parts(job, upload, stream.send)

    @contextlib.contextmanager
    def _halting_reads(self) -> t.Iterator[None]:
        """Let no read that nobody needs any more wait out an outage of the source."""
        try:
            yield
        except BaseException:
            self._means.source.halt.set()
            raise

    # The upload

    def upload(self, job: Job) -> Upload:
        """Return the upload to go on with, a new one where there is none.

        :raises UploadGoneError: somebody has ended it.
        :raises CopyError: says what to do, and what becomes of the unfinished upload.
        """
        upload = job.unfinished.fitting
        return self._begin(job) if upload is None else self._mark(job, upload)

    def _begin(self, job: Job) -> Upload:
        """Begin an upload that a later run can go on with.

        | checksums of parts, at the server | the upload                                          |
        |-----------------------------------|-----------------------------------------------------|
        | kept and listed                   | has them, and so has the object                     |
        | kept, but not listed              | has none: a later run could not complete it if it   |
        |                                   | had                                                 |
        | not kept                          | has none and no mark, so that no later run knows it |

        AWS is in the first row. To find out takes several round trips, so that behind an
        `endpoint_url` one without checksums is begun beside the one with them. Only where it is
        needed does anybody wait for it; the one that is not needed is aborted.
        """
        without: t.Callable[[], Upload] = partial(self._begin_without, job)
        side_by_side = self._means.destination.custom_endpoint is not None
        if side_by_side:
            without = self._pool.submit(without).result
        fits = True
        try:
            upload, fits = self._begin_with_checksums(job)
        finally:
            # Not needed, or of no use to a copy that fails here.
            if side_by_side and fits:
                self._abort_aside(job, without)
        if fits:
            return upload
        self._abort_aside(job, lambda: upload)
        return without()

    def _begin_with_checksums(self, job: Job) -> tuple[Upload, bool]:
        """Return a new upload, and whether it is one to go on with."""
        key, destination = job.entry.key, self._means.destination
        upload = _copy_uploads.begin(destination, key, job.settings)
        job.entry.changed = True
        with self._interrupting(job, upload):
            _copy_uploads.put_mark(destination, key, upload, job.digest)
            fits = not upload.marked or _copy_uploads.lists_checksums(destination, key, upload)
        return upload, fits

    def _begin_without(self, job: Job) -> Upload:
        """Return a new upload without checksums for the object.

        It may be begun for nothing, so that its failure ends nothing else.
        """
        key, destination = job.entry.key, self._means.destination
        upload = _copy_uploads.begin(destination, key, job.settings, with_checksums=False)
        try:
            _copy_uploads.put_mark(destination, key, upload, job.digest)
        except AmiStoreError:
            self._abort_useless(job, lambda: upload)
            raise
        return upload

    def _abort_aside(self, job: Job, begun: t.Callable[[], Upload]) -> None:
        """Abort an upload that is of no use while the parts of another are on their way."""
        self._aside.append(self._pool.submit(self._abort_useless, job, begun))

    def _abort_useless(self, job: Job, begun: t.Callable[[], Upload]) -> None:
        """Abort an upload that is of no use.

        :param begun: returns it, or raises why there is none.
        """
        key, means = job.entry.key, self._means
        try:
            upload = begun()
        except AmiStoreError:
            return
        try:
            _copy_uploads.abort(means.destination, key, upload)
        except AmiStoreError as error:
            means.warnings.append(
                f"{key}: an unfinished upload that is of no use stays at the destination, since it"
                f" could not be aborted: {error_text(error)}"
            )

    def finish_aside(self) -> None:
        """Wait for what was to be aborted beside the copy."""
        if self._aside:
            # They are to be tried again, be it that the copy has failed.
            self._means.destination.halt.clear()
        while self._aside:
            self._aside.pop().result()

    def _mark(self, job: Job, upload: Upload) -> Upload:
        with self._interrupting(job, upload):
            _copy_uploads.put_mark(self._means.destination, job.entry.key, upload, job.digest)
        return upload

    @contextlib.contextmanager
    def _interrupting(self, job: Job, upload: Upload) -> t.Iterator[None]:
        """See to the unfinished upload where something fails."""
        try:
            yield
        except UploadGoneError:
            raise
        except AmiStoreError as error:
            raise self.interrupted(job, upload, upload.parts, error) from error

    # Its parts

    def send_parts(
        self, job: Job, upload: Upload, send: t.Callable[[Part, Upload], SentPart]
    ) -> None:
        """Send what is missing, prove it, make the object of it.

        :param send: sends one part.
        :raises UploadGoneError: somebody has ended the upload.
        :raises TakenError: something came under the key meanwhile; the upload stays with the job,
            to be given up or `interrupted`.
        :raises SourceChangedError: the source is another one by now.
        :raises MismatchError: what was sent is not the source's, or not what lies there.
        :raises CopyError: says what to do, and what becomes of the unfinished upload.
        """
        entry, means = job.entry, self._means
        earlier = frozenset(upload.parts)
        entry.parts, entry.parts_reused = job.layout.count, len(earlier)
        missing = [part for part in job.layout.parts if part.number not in earlier]
        own: dict[int, SentPart] = {}

        def work(part: Part) -> None:
            own[part.number] = send(part, upload)

        try:
            means.each(missing, work)
            upload.parts = {**upload.parts, **own}
            evidence = self._source_prover.of_parts(job, upload)
            for look_again in together(
                lambda: see_source_again(means.source, job),
                lambda: see_destination_again(means.destination, job),
            ):
                look_again()
            answer = self._complete(job, upload)
        except (SourceChangedError, MismatchError) as error:
            told = self._abort(job, upload)
            if told != ABORTED:
                told = f"{error_text(error).rstrip('.')}. The unfinished upload was {told}"
                raise type(error)(message=told, code=error.code) from error
            raise
        except UploadGoneError:
            raise
        except TakenError:
            job.upload = upload
            raise
        except AmiStoreError as error:
            raise self.interrupted(job, upload, {**upload.parts, **own}, error) from error
        copy = self._copy_prover.look_at_copy(job, answer, read_back=not upload.marked)
        self._copy_prover.prove_parts(job, upload, copy, answer, evidence)

    def _complete(self, job: Job, upload: Upload) -> dict[str, t.Any]:
        """Make the object of the parts, be it that another run has sent some of them as well."""
        key, destination = job.entry.key, self._means.destination
        create_only = job.present is None
        for _takeover in range(MOST_TAKEOVERS):
            try:
                return _copy_uploads.complete(destination, key, upload, create_only)
            except CopyError as error:
                if error.code != "InvalidPart":
                    raise
                if not _copy_uploads.take_over(destination, key, upload):
                    raise
        return _copy_uploads.complete(destination, key, upload, create_only)

    def give_up(self, job: Job) -> None:
        """Abort an upload that has all its parts, where it is of no use to anybody any more."""
        if job.upload:
            told = self._abort(job, job.upload)
            if told != ABORTED:
                self._means.warnings.append(
                    f"{job.entry.key}: the unfinished upload of this run is of no use any more, and"
                    f" was {told}"
                )

    def interrupted(
        self, job: Job, upload: Upload, parts: t.Mapping[int, SentPart], error: AmiStoreError
    ) -> AmiStoreError:
        """Return the error with what becomes of the unfinished upload."""
        kind = StoppedError if isinstance(error, StoppedError) else CopyError
        text, code = error_text(error).rstrip("."), getattr(error, "code", "")
        # Without parts there is nothing to go on with, and no later run would take it up.
        if upload.marked and self._means.options.keep_unfinished and parts:
            return kind(
                code=code,
                message=f"{text}. {len(parts)} of {job.layout.count} parts are at the destination;"
                " the unfinished upload stays for the next run",
            )
        told = self._abort(job, upload)
        return kind(code=code, message=f"{text}. The unfinished upload was {told}")

    def _abort(self, job: Job, upload: Upload) -> str:
        self._means.destination.halt.clear()
        try:
            _copy_uploads.abort(self._means.destination, job.entry.key, upload)
        except AmiStoreError as error:
            return f"not aborted ({error_text(error)})"
        return ABORTED


def _md5_step(job: Job, upload: Upload) -> int:
    """Return the size of the stretches whose MD5 sums are needed, 0 for none.

    Where the parts are the source's own and the ETags are MD5 sums, the destination makes them.
    """
    layout = job.layout
    if job.source.has_own_md5 and layout.follows_source:
        needed = upload.uses_kms or not layout.equals_source
        return t.cast(int, layout.source_part_size) if needed else 0
    return 0
