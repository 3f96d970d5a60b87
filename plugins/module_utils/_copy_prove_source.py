# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How what was read is known to be what the source holds: by its ETag, by S3's checksum, by TLS, or
by reading it twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.amistore.aws.plugins.module_utils._copy_content import Content
from ansible_collections.amistore.aws.plugins.module_utils._copy_equal import md5s_of_part
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import size_of_part
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import Layout, Part
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import (
    composite_sha256,
    etag_of,
    is_multipart,
    md5_of,
    parts_in_etag,
    same_checksum,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    DamagedError,
    MismatchError,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_transfer import fetch
from ansible_collections.amistore.aws.plugins.module_utils._copy_uploads import Upload

READ_TWICE = "read twice"


@dataclass(frozen=True)
class Evidence:
    """How what was sent is known to be what the source holds."""

    how: str
    """As a proof tells it."""
    by_etags: bool = False
    """It comes from the destination's own ETags, so that it covers what lies there too."""


class _Summed(Content):
    """Bytes of which no more than the sum is kept."""

    def _add(self, chunk: bytes) -> None:
        super()._add(chunk)
        self.forget()


class SourceProver:
    """Holds what was read of an object against what its source is known to be."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def of_content(self, job: Job, content: Content) -> str:
        """Return how the whole content is known to be the source's, "" where nothing tells.

        :param content: with the MD5 sums of the source's parts, where its ETag is made of those.
        :raises DamagedError: it is not the source's.
        """
        try:
            how = self._sum_of_content(job, content)
        except DamagedError:
            if not self._forgets_part_size(job):
                raise
            how = self._sum_of_content(job, content)
        return how or ("tls" if self._means.source.encrypted_in_transit else "")

    def _sum_of_content(self, job: Job, content: Content) -> str:
        """Return which of the source's sums the content has, "" where there is none to compare.

        :raises DamagedError: it does not have it.
        """
        source = job.source
        if source.has_own_md5 and (source.part_size or not source.size):
            sums = content.md5s or (md5_of(b""),)
            if etag_of(sums, is_multipart(source.etag)) != source.etag:
                raise self._damaged(job)
            return "etag"
        if source.sha256 and "-" not in source.sha256:
            if content.sha256 != source.sha256:
                raise self._damaged(job)
            return "sha256"
        return ""

    def of_parts(self, job: Job, upload: Upload) -> Evidence:
        """Return how the parts that were sent are known to be the source's.

        :raises MismatchError: they are not.
        :raises CopyError: says what to do.
        """
        try:
            evidence = self._sums_of_parts(job, upload)
        except MismatchError:
            if not self._forgets_part_size(job):
                raise
            evidence = None
        if evidence:
            return evidence
        if job.is_trusted_to_s3:
            return Evidence("s3")
        if self._means.source.encrypted_in_transit:
            return Evidence("tls")
        return self._read_parts_again(job, upload)

    def _sums_of_parts(self, job: Job, upload: Upload) -> Evidence | None:
        """Return which of the source's sums the parts have, None where there is none to compare.

        :raises MismatchError: they do not have it.
        """
        source, layout = job.source, job.layout
        parts = upload.in_order
        if source.has_own_md5 and layout.follows_source:
            own = all(part.md5s for part in parts)
            told = layout.equals_source and all(parts_in_etag(part.etag) == 1 for part in parts)
            if own or (told and not upload.uses_kms):
                sums = [md5 for part in parts for md5 in md5s_of_part(part)]
                if etag_of(sums, is_multipart(source.etag)) != source.etag:
                    raise self._wrong_sum(job)
                return Evidence("etag", by_etags=not own)
        ours = composite_sha256([part.sha256 for part in parts])
        if source.sha256 and "-" in source.sha256 and layout.equals_source and ours:
            if not same_checksum(ours, source.sha256):
                raise self._wrong_sum(job)
            return Evidence("sha256")
        return None

    def _forgets_part_size(self, job: Job) -> bool:
        """Go on as with a source whose part size is not known, where its parts differ in size.

        Only its first and last part were looked at. Where others differ from them, the sums that
        were made are those of other stretches than S3's, and say nothing about the bytes.

        :return: whether they differ; if not, a wrong sum means damage.
        :raises CopyError: says what to do.
        """
        source = job.source
        if not (is_multipart(source.etag) and source.part_size):
            return False
        even = Layout(source.size, source.part_size).parts
        sizes = self._sizes_of_parts(job, even)
        if sizes == [part.size for part in even]:
            return False
        # What does not add up is no word to go by.
        if sum(size or 0 for size in sizes) != source.size:
            self._means.warnings.append(self._untold(job))
            return False
        job.source = replace(source, part_size=None)
        job.layout = replace(job.layout, source_part_size=None)
        return True

    def _sizes_of_parts(self, job: Job, parts: list[Part]) -> list[int | None]:
        sizes: dict[int, int | None] = {}

        def look_at(part: Part) -> None:
            sizes[part.number] = size_of_part(self._means.source, job.source, part.number)

        self._means.each(parts, look_at)
        return [sizes[part.number] for part in parts]

    def read_again(self, job: Job, part: Part, checksum: str) -> str:
        """Read a part of the source once more, since nothing protects its bytes on the way.

        Whoever asks holds it in memory, so that no more of it is held here.

        :return: how the part is known to be the source's.
        :raises MismatchError: it has another checksum now.
        """
        source = self._means.source

        def read() -> str:
            content = fetch(source, job.source, part, _Summed())
            job.entry.counts.add(read=len(content))
            return content.sha256

        if source.retry("read", job.source.key, read) != checksum:
            raise self._unreliable(job)
        return READ_TWICE

    def _read_parts_again(self, job: Job, upload: Upload) -> Evidence:
        """Read the source once more, since nothing protects its bytes on the way.

        Parts of an earlier run whose checksum the server does not tell are held against what lies
        at the destination later on.
        """
        stream = self._means.streaming(job)

        def compare(part: Part) -> None:
            known = upload.parts[part.number]
            checksum = stream.sum_up(part)
            if known.sha256 is None:
                upload.parts[part.number] = replace(known, sha256=checksum)
                unsure.add(part.number)
            elif checksum != known.sha256:
                raise self._unreliable(job)

        unsure: set[int] = set()
        self._means.each(job.layout.parts, compare)
        upload.unsure = frozenset(unsure)
        return Evidence(READ_TWICE)

    def _wrong_sum(self, job: Job) -> MismatchError:
        return MismatchError(
            message=f"{self._name(job)}: what was copied does not have the checksum that S3 gives"
            " for the source. Nothing was made of it. Running the same task again copies everything"
            " anew; use https where it is not used"
        )

    def _damaged(self, job: Job) -> DamagedError:
        return DamagedError(
            message=f"{self._name(job)}: what was read does not have the checksum that S3 gives for"
            " it: it was damaged on the way, or S3 holds it so. Running the same task again reads"
            " it anew; use https where it is not used"
        )

    def _unreliable(self, job: Job) -> MismatchError:
        return MismatchError(
            message=f"{self._name(job)}: reading it twice gave different bytes. They are damaged on"
            " the way: use https. Running the same task again reads it anew"
        )

    def _untold(self, job: Job) -> str:
        return (
            f"{self._name(job)}: the server does not tell the size of each part that it was"
            " uploaded in. With parts of different sizes its checksum cannot be compared: if every"
            " run fails alike, upload it anew in parts of one size, as aws s3 cp does, and copy"
            " that."
        )

    def _name(self, job: Job) -> str:
        return f"source {self._means.source.bucket.url(job.source.key)}"
