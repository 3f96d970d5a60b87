# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How what was sent is known to be at the destination: by its checksums, by its ETag, or by reading
it back. What is not what was sent is deleted again.
"""

from __future__ import annotations

import typing as t

from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, error_text
from ansible_collections.amistore.aws.plugins.module_utils._copy_beside import Beside
from ansible_collections.amistore.aws.plugins.module_utils._copy_content import Content
from ansible_collections.amistore.aws.plugins.module_utils._copy_equal import (
    checksum_of_upload,
    etag_of_upload,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import SERVER_SIDE, State
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import Seen, look
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import Part
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import (
    Proof,
    composite_sha256,
    same_checksum,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_source import (
    READ_TWICE,
    Evidence,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    GOES_ON,
    MismatchError,
    TakenError,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_transfer import fetch, plain_etag
from ansible_collections.amistore.aws.plugins.module_utils._copy_uploads import Upload

READ_BACK = "read back"


class CopyProver:
    """Holds what lies at the destination against what was sent, and has the proof recorded."""

    def __init__(self, means: Means, beside: Beside) -> None:
        self._means = means
        self._beside = beside

    def look_at_copy(
        self, job: Job, answer: t.Mapping[str, t.Any], read_back: bool = False
    ) -> Seen:
        """Return the object that was just made.

        :param answer: of the call that made it.
        :param read_back: every byte of it is read back, so that an ETag other than the answer's,
            which some servers give, is no error.
        :raises MismatchError: it has another size, and was deleted again.
        :raises TakenError: it is not there any more; another run may have made what is.
        """
        entry, destination = job.entry, self._means.destination
        copy = look(destination, entry.key)
        etag, version = plain_etag(answer), answer.get("VersionId")
        job.surely_ours = copy is not None and copy.etag == (etag or copy.etag)
        if (
            copy is None
            or not (job.surely_ours or read_back)
            or version not in (None, "null", copy.version_id)
        ):
            raise TakenError(
                message=f"destination {destination.bucket.url(entry.key)} was deleted or"
                " overwritten as soon as it was complete. Another copy of the same key may be"
                f" under way. {GOES_ON}"
            )
        if copy.size != job.source.size:
            raise self.discard(job, copy, f"it has {copy.size} bytes instead of {job.source.size}")
        return copy

    def prove_parts(
        self,
        job: Job,
        upload: Upload,
        copy: Seen,
        answer: t.Mapping[str, t.Any],
        evidence: Evidence,
    ) -> None:
        """Prove that the object was made of the parts that were sent, and record it.

        :param answer: of the call that made it.
        :raises MismatchError: it was not, and was deleted again.
        """
        ours = checksum_of_upload(upload)
        told = answer.get("ChecksumSHA256") or copy.sha256
        if ours and told and not same_checksum(ours, told):
            raise self.discard(job, copy, f"its checksum is {told} instead of {ours}")
        confirmed = bool(ours and told) or copy.etag == etag_of_upload(upload)
        doubtful = _doubtful(job, upload, confirmed, evidence.by_etags)
        if doubtful:
            self._read_parts_back(job, upload, copy, doubtful)
        if len(doubtful) == job.layout.count:
            there = READ_BACK
        elif job.entry.method == SERVER_SIDE and evidence.how == "etag":
            there = "etag"
        else:
            there = "s3" if job.is_trusted_to_s3 else "checksums"
        self.record_copied(job, copy, Proof(evidence.how, there, len(doubtful)), ours or told)

    def _read_parts_back(self, job: Job, upload: Upload, copy: Seen, parts: list[Part]) -> None:
        stream = self._means.streaming(job)

        def compare(part: Part) -> None:
            wanted = _known_sha256(upload, part) or stream.sum_up(part)
            if self.read_back(job, copy, part) != wanted:
                raise MismatchError(
                    message=f"part {part.number} read back differs from what was sent"
                )

        try:
            self._means.each(parts, compare)
        except MismatchError as error:
            raise self.discard(job, copy, error_text(error)) from error

    def read_back(self, job: Job, copy: Seen, part: Part) -> str:
        """Return the checksum of a part of the copy, read back.

        :raises CopyError: says what to do.
        """
        destination = self._means.destination
        what = f"read back part {part.number} of"
        with self._means.memory.hold(part.size):
            content = destination.retry(
                what, copy.key, lambda: fetch(destination, copy, part, Content())
            )
        job.entry.counts.add(read=len(content))
        return content.sha256

    def verify(self, job: Job) -> None:
        """Read both objects, since an earlier run made the copy and did not come to prove it.

        :raises MismatchError: they differ.
        """
        stream, copy = self._means.streaming(job), t.cast(Seen, job.present)
        checksums: dict[int, str] = {}
        way_out = "Look at it; set overwrite: true to replace it"
        if self._means.options.overwrite:
            way_out = "Running the same task again replaces it"

        def compare(part: Part) -> None:
            checksums[part.number] = stream.sum_up(part)
            if self.read_back(job, copy, part) != checksums[part.number]:
                url = self._means.destination.bucket.url(copy.key)
                raise MismatchError(
                    message=f"destination {url} passes for a copy of the source that no run has"
                    f" proved, and differs from it in part {part.number}. {way_out}"
                )

        parts = job.layout.parts or [Part(1, 0, 0)]
        self._means.each(parts, compare)
        checksum = composite_sha256([checksums[part.number] for part in parts])
        proof = Proof(READ_TWICE, READ_BACK, len(parts))
        self._beside.write_record(job, copy, proof, checksum, job.layout.part_size)

    def discard(self, job: Job, copy: Seen, problem: str) -> MismatchError:
        """Delete exactly the object that this run has made, and return the error to raise."""
        key, destination = job.entry.key, self._means.destination
        url = destination.bucket.url(key)
        destination.halt.clear()
        try:
            now = look(destination, key)
            if not job.surely_ours:
                told = "It may be somebody else's, so it was not deleted: do not use it"
            elif now is None or (now.etag, now.version_id) != (copy.etag, copy.version_id):
                told = "It is not there any more, so nothing was deleted"
            else:
                version = {"VersionId": copy.version_id} if copy.version_id else {}
                destination.call("delete", "delete_object", key, **version)
                told = "It was deleted again"
        except AmiStoreError as error:
            told = f"It could not be deleted ({error_text(error)}): do not use it, delete it"
        job.entry.changed = True
        return MismatchError(
            message=f"destination {url} is not what was sent: {problem}. {told}. Running the same"
            " task again copies it anew"
        )

    def record_copied(self, job: Job, copy: Seen, proof: Proof, checksum: str | None) -> None:
        """Record the proof of the object that this run has made: now it counts as copied.

        :raises CopyError: says what to do.
        """
        self._beside.write_record(job, copy, proof, checksum, job.layout.part_size)
        job.entry.state = State.COPIED


def _known_sha256(upload: Upload, part: Part) -> str | None:
    """Return the checksum of what was sent, None where only the server tells one.

    A server that does not hold it against what is sent tells that of whatever came.
    """
    if part.number in upload.listed - upload.unsure and not upload.checks:
        return None
    return upload.parts[part.number].sha256


def _doubtful(job: Job, upload: Upload, confirmed: bool, by_etags: bool) -> list[Part]:
    """Return the parts that must be read back, since no word of the server can be trusted."""
    by_s3 = job.is_trusted_to_s3 or (by_etags and job.entry.method == SERVER_SIDE)
    if not by_s3 and not (upload.checks and confirmed):
        return job.layout.parts
    doubtful = set(upload.resent)
    if not (by_s3 or by_etags):
        doubtful |= {part.number for part in upload.in_order if part.sha256 is None}
        doubtful |= upload.unsure
    return [part for part in job.layout.parts if part.number in doubtful]
