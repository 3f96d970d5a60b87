# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An object of at most one part: read whole, written with one request, read back."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass

from ansible_collections.amistore.aws.plugins.module_utils._copy_content import Content
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import Part
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import Proof
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_copy import (
    READ_BACK,
    CopyProver,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_source import SourceProver
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import DamagedError
from ansible_collections.amistore.aws.plugins.module_utils._copy_transfer import fetch, refuse_other
from ansible_collections.amistore.aws.plugins.module_utils._copy_unchanged import only_if_missing


class _Whole(Content):
    """Bytes in one piece, with their sums. To join chunks would hold everything twice for a moment,
    and so would botocore with `bytes`, which it copies behind the headers.
    """

    def __init__(self, size: int, md5_step: int) -> None:
        super().__init__(md5_step, whole_md5=True)
        self.body = bytearray(size)

    def _add(self, chunk: bytes) -> None:
        begin = len(self)
        super()._add(chunk)
        self.forget()
        self.body[begin : len(self)] = chunk


@dataclass(frozen=True)
class _Sent:
    """What is known of the bytes that were sent, once they are not held any more."""

    answer: t.Mapping[str, t.Any]
    checksum: str
    md5: bytes | None
    how: str
    """How they are known to be the source's."""


class Small:
    """Copies small objects through this machine."""

    def __init__(self, means: Means, source_prover: SourceProver, copy_prover: CopyProver) -> None:
        self._means = means
        self._source_prover = source_prover
        self._copy_prover = copy_prover

    def copy(self, job: Job) -> None:
        """Copy an object of at most one part with one request, and prove it.

        :raises TakenError: something came under its key meanwhile.
        :raises MismatchError: what lies there is not what was sent, and was deleted again.
        :raises CopyError: says what to do.
        """
        key, destination = job.entry.key, self._means.destination
        part = Part(1, 0, job.source.size)
        sent = self._send(job, part)
        job.entry.counts.add(parts=1)
        copy = self._copy_prover.look_at_copy(job, sent.answer)
        read_back = ""
        with contextlib.suppress(DamagedError):
            refuse_other(destination, key, sent.answer, sent.checksum, sent.md5)
            read_back = self._copy_prover.read_back(job, copy, part)
        if read_back != sent.checksum:
            problem = "what was read back differs from what was sent"
            raise self._copy_prover.discard(job, copy, problem)
        proof = Proof(sent.how, READ_BACK, 1)
        self._copy_prover.record_copied(job, copy, proof, sent.checksum)

    def _send(self, job: Job, part: Part) -> _Sent:
        """Read the object and send it; it is held in memory only as long as that takes."""
        entry, key, destination = job.entry, job.entry.key, self._means.destination
        with self._means.memory.hold(part.size):
            content, how = self._read(job, part)
            condition = only_if_missing(destination, job, "PutObject")

            def put() -> t.Any:
                entry.counts.add(sent=part.size)
                return destination.send(
                    "write",
                    "put_object",
                    key,
                    Body=content.body,
                    ChecksumSHA256=content.sha256,
                    **job.settings,
                    **condition,
                )

            answer = destination.retry("write", key, put)
            return _Sent(answer, content.sha256, content.md5, how)

    def _read(self, job: Job, part: Part) -> tuple[_Whole, str]:
        """Return the whole content, and how it is known to be the source's."""
        source, key = self._means.source, job.source.key

        def read() -> tuple[_Whole, str]:
            md5_step = (job.source.has_own_md5 and job.source.part_size) or 0
            content = fetch(source, job.source, part, _Whole(part.size, md5_step))
            job.entry.counts.add(read=len(content))
            return content, self._source_prover.of_content(job, content)

        content, how = source.retry("read", key, read)
        if how:
            return content, how
        return content, self._source_prover.read_again(job, part, content.sha256)
