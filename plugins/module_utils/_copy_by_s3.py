# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies that S3 makes by itself, within its own storage: whether it can, and how."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, error_text
from ansible_collections.amistore.aws.plugins.module_utils._copy_equal import (
    are_equal,
    proof_of_equals,
    surely_differ,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import (
    SERVER_SIDE,
    STREAMING,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_multipart import Multipart
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import look
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import (
    LARGEST_COPY_OBJECT,
    MIB,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_plan import plan
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import Proof, is_multipart
from ansible_collections.amistore.aws.plugins.module_utils._copy_prove_copy import CopyProver
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    CopyError,
    SourceChangedError,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_transfer import ServerSide
from ansible_collections.amistore.aws.plugins.module_utils._copy_unchanged import (
    only_if_missing,
    see_destination_again,
    see_source_again,
)

# S3 does not let these credentials copy from there, or does not copy at all.
REFUSED_CODES = frozenset(
    {"403", "501", "AccessDenied", "Forbidden", "InvalidRequest", "NotImplemented"}
)


def choose_method(means: Means, job: Job) -> tuple[str, str]:
    """Return how the object is copied, and why so.

    :raises CopyError: it cannot be copied in the way that is asked for.
    """
    if means.options.method == STREAMING:
        return _streaming(means, "asked for")
    obstacle = _obstacle(means, job)
    if not obstacle:
        return SERVER_SIDE, "the destination's credentials can read the source"
    if means.options.method == SERVER_SIDE:
        raise CopyError(
            message=f"source {means.source.bucket.url(job.source.key)} cannot be copied by S3"
            f" itself: {obstacle}. Set method: auto or streaming"
        )
    return _streaming(means, obstacle)


def _streaming(means: Means, reason: str) -> tuple[str, str]:
    """Return that the bytes go through this machine.

    :raises CopyError: the parts that are asked for would not fit into its memory.
    """
    part_size, memory = means.options.part_size or 0, means.options.memory
    if part_size > memory:
        raise CopyError(
            message=f"part_size {part_size // MIB} is above memory {memory // MIB}, which has to"
            f" hold each part that streams ({reason}). Give more memory or a smaller part_size"
        )
    return STREAMING, reason


def _obstacle(means: Means, job: Job) -> str:
    """Return what keeps S3 from copying the object itself, "" for nothing that can be seen."""
    source, destination = means.source, means.destination
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


class ByS3:
    """Has S3 copy objects, whole or in parts."""

    def __init__(self, means: Means, copy_prover: CopyProver, multipart: Multipart) -> None:
        self._means = means
        self._copy_prover = copy_prover
        self._multipart = multipart

    def copy(self, job: Job) -> bool:
        """Let S3 copy the object; False where it refuses to and streaming may do it.

        :raises MismatchError: what S3 has made is not equal, and was deleted again.
        :raises CopyError: says what to do.
        """
        entry, means = job.entry, self._means
        if not job.source.size:
            entry.method, entry.method_reason = STREAMING, "an empty object has nothing to copy"
            return False
        server = ServerSide(means.source, means.destination, job.source, entry.key, entry.counts)
        try:
            if _fits_one_request(job):
                self._copy_whole(job, server)
            else:
                means.pace.begin(part_size=job.layout.part_size)
                self._multipart.send_parts(job, self._multipart.upload(job), server.send)
        except CopyError as error:
            if means.options.method == SERVER_SIDE or error.code not in REFUSED_CODES:
                raise
            reason = f"S3 refused to copy it itself: {error_text(error)}"
            entry.method, entry.method_reason = _streaming(means, reason)
            means.destination.halt.clear()
            plan(means, job)
            return False
        return True

    def _copy_whole(self, job: Job, server: ServerSide) -> None:
        job.entry.parts = 1
        directives = {"MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}
        condition = only_if_missing(self._means.destination, job, "CopyObject")
        try:
            answer = server.copy_whole(
                ChecksumAlgorithm="SHA256", **directives, **job.settings, **condition
            )
        except SourceChangedError:
            # S3 answers alike where the source is another one and where something came to the key.
            see_source_again(self._means.source, job)
            see_destination_again(self._means.destination, job)
            raise
        see_source_again(self._means.source, job)
        result = answer.get("CopyObjectResult") or {}
        copy = self._copy_prover.look_at_copy(job, result)
        equal = are_equal(job.source, copy)
        if not equal and surely_differ(job.source, copy):
            problem = f"its ETag is {copy.etag} instead of {job.source.etag}"
            raise self._copy_prover.discard(job, copy, problem)
        proof = proof_of_equals(job.source, copy) if equal else Proof("s3", "s3")
        checksum = result.get("ChecksumSHA256") or copy.sha256
        self._copy_prover.record_copied(job, copy, proof, checksum)


def _fits_one_request(job: Job) -> bool:
    """Parts are worth it only where they give an ETag that proves the copy."""
    if job.source.size > LARGEST_COPY_OBJECT or job.unfinished.fitting:
        return False
    by_parts = job.source.has_own_md5 and is_multipart(job.source.etag)
    return not (by_parts and job.layout.equals_source and job.layout.count > 1)
