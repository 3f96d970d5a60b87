# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An object of at most one part: read whole, written with one request, read back."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.amistore.aws.plugins.module_utils._copy_content import Content
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import Part
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import (
    Proof,
    md5_of,
    sha256_of,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_copy import (
    READ_BACK,
    CopyProver,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_source import SourceProver
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import DamagedError
from ansible_collections.amistore.aws.plugins.module_utils._copy_transfer import fetch, refuse_other
from ansible_collections.amistore.aws.plugins.module_utils._copy_unchanged import only_if_missing


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
        entry, key, destination = job.entry, job.entry.key, self._means.destination
        part = Part(1, 0, job.source.size)
        content, how = self._read(job, part)
        checksum = sha256_of(content)
        condition = only_if_missing(destination, job, "PutObject")

        def put() -> t.Any:
            entry.counts.add(sent=part.size)
            return destination.send(
                "write",
                "put_object",
                key,
                Body=content,
                ChecksumSHA256=checksum,
                **job.settings,
                **condition,
            )

        answer = destination.retry("write", key, put)
        entry.counts.add(parts=1)
        copy = self._copy_prover.look_at_copy(job, answer)
        read_back = ""
        with contextlib.suppress(DamagedError):
            refuse_other(destination, key, answer, checksum, md5_of(content))
            read_back = self._copy_prover.read_back(job, copy, part)
        if read_back != checksum:
            problem = "what was read back differs from what was sent"
            raise self._copy_prover.discard(job, copy, problem)
        self._copy_prover.record_copied(job, copy, Proof(how, READ_BACK, 1), checksum)

    def _read(self, job: Job, part: Part) -> tuple[bytes, str]:
        """Return the whole content, and how it is known to be the source's."""
        source, key = self._means.source, job.source.key

        def read() -> tuple[bytes, str]:
            content = fetch(source, job.source, part, Content())
            job.entry.counts.add(read=len(content))
            whole = b"".join(iter(content.read, b""))
            return whole, self._source_prover.of_content(job, whole)

        content, how = source.retry("read", key, read)
        if how:
            return content, how
        return content, self._source_prover.read_again(job, part, sha256_of(content))
