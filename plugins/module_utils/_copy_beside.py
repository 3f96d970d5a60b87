# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies beside a copy: the manifest with the record of the proof, or the record alone; read,
judged and written.
"""

from __future__ import annotations

import typing as t

from ansible_collections.amistore.aws.plugins.module_utils import _copy_record
from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, error_text
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import CopyEntry
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import Seen
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import Proof, sha256_of
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    CopyError,
    StoppedError,
)
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    copy_record_key,
    manifest_key,
)
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Manifest


class Beside:
    """Reads and writes what lies beside the copies."""

    def __init__(self, means: Means) -> None:
        self._means = means

    # Read

    def read_manifest(self, entry: CopyEntry) -> Manifest | None:
        """Return the manifest at the destination, None where there is none.

        :raises CopyError: for something else under its key, unless it may be overwritten.
        """
        try:
            return _copy_record.read_manifest(self._means.destination, entry.key)
        except AmiStoreError as error:
            if not self._means.options.overwrite or isinstance(error, StoppedError):
                raise
            self._means.warnings.append(f"{entry.key}: {error_text(error)}. It is overwritten.")
            return None

    def read_record(self, job: Job) -> None:
        """Learn what an earlier run has recorded about the object at the destination.

        :raises CopyError: says what to do.
        """
        job.record = None
        if job.present is not None:
            job.record = _copy_record.read_record(
                self._means.destination, job.present, job.present_manifest
            )

    # Judge

    def warn_of_another_image(self, job: Job) -> None:
        """Warn of a manifest at the source that was written for another object."""
        if job.manifest and _copy_record.describes_another(job.manifest, job.source.etag):
            self._means.warnings.append(
                f"{job.source.key}: the manifest describes an object with ETag"
                f" {job.manifest.etag}, the stored image has {job.source.etag}. A restore gives it"
                " the name that the manifest tells."
            )

    def see_to_manifest(self, job: Job) -> None:
        """Let no copy come to lie beside the manifest of another image.

        :raises CopyError: there is one, and it may not be replaced.
        """
        there, key = job.present_manifest, manifest_key(job.entry.key)
        if there is None:
            return
        record, bucket = _copy_record.record_in(there), self._means.source.bucket.name
        if job.manifest is None and record and _copy_record.is_of(record, bucket, job.source):
            start_time = there.task_start_time
            job.manifest = there.completed(job.source.etag, job.source.size, start_time)
        elif self._means.options.overwrite:
            job.removes_manifest = job.manifest is None
        elif job.manifest is None or not (record or _same_image(job.manifest, there)):
            url = self._means.destination.bucket.url(key)
            raise CopyError(
                message=f"destination {url} is the manifest of another stored image, and a restore"
                " would take it for that of the copy. Look at it; move it away, or set overwrite:"
                " true to have it replaced or removed"
            )

    def doubt_manifest(self, job: Job) -> None:
        """See to the manifest of another object beside a copy that stays: have it removed where it
        may be, else warn.

        :raises CopyError: as `see_to_manifest` does.
        """
        if not _is_beside_anothers(job):
            return
        if self._means.options.overwrite:
            self.see_to_manifest(job)
            return
        self._means.warnings.append(
            f"{job.entry.key}: the manifest beside it describes another object. A restore gives it"
            " the name that the manifest tells; set overwrite: true to have it removed."
        )

    def stale_manifest(self, job: Job) -> bytes | None:
        """Return the manifest of a kept object as it should be, None where it is so or there is
        none.
        """
        if job.manifest is None or job.record is None:
            return None
        wanted = self._manifest(job, t.cast(Seen, job.present), job.record)
        job.entry.manifest_key = manifest_key(job.entry.key)
        section = _copy_record.SECTION
        if job.present_manifest is None:
            return wanted.dump()
        present = dict(job.present_manifest.document)
        same = {**wanted.document, section: None} == {**present, section: None}
        return None if same and section in present else wanted.dump()

    # Write

    def write_stale_manifest(self, job: Job) -> None:
        """Write the manifest of a kept object where it is not as it should be.

        :raises CopyError: says what to do.
        """
        if (stale := self.stale_manifest(job)) is not None:
            self._write(job, manifest_key(job.entry.key), stale)

    def write_record(
        self, job: Job, copy: Seen, proof: Proof, checksum: str | None, part_size: int | None
    ) -> None:
        """Write the proof, as the very last thing.

        :raises CopyError: says what to do.
        """
        entry = job.entry
        record = _copy_record.make(
            self._means.source.bucket.name,
            job.source,
            copy,
            checksum,
            part_size,
            proof,
            self._means.clock.date().isoformat(),
        )
        destination = self._means.destination
        if job.manifest is not None:
            entry.manifest_key = manifest_key(entry.key)
            content = self._manifest(job, copy, record).dump()
            self._write(job, entry.manifest_key, content)
        else:
            content = _copy_record.lone_record(record, destination.bucket.name, copy)
            self._write(job, copy_record_key(entry.key), content)
            self.remove_manifest(job)
        entry.checksum, entry.proof, entry.changed = checksum, proof.as_dict(), True

    def remove_manifest(self, job: Job) -> None:
        """Remove the manifest of another object, where that was decided.

        :raises CopyError: says what to do.
        """
        if job.removes_manifest:
            key = manifest_key(job.entry.key)
            self._means.destination.call("delete", "delete_object", key)
            job.entry.changed = True

    def _manifest(self, job: Job, copy: Seen, record: _copy_record.Record) -> Manifest:
        return _copy_record.manifest_of_copy(
            t.cast(Manifest, job.manifest),
            record,
            self._means.destination.bucket.name,
            copy,
            # Those that an earlier run has given stay ours when this one gives none.
            {*(self._means.options.tags or ()), *_own_tag_keys(job.present_manifest)},
        )

    def _write(self, job: Job, key: str, content: bytes) -> None:
        destination = self._means.destination
        with destination.explaining("write", key):
            destination.bucket.write(
                key,
                content,
                ChecksumSHA256=sha256_of(content),
                **self._means.options.encryption,
            )
        job.entry.changed = True


def _same_image(one: Manifest, other: Manifest) -> bool:
    return one.document.get("image") == other.document.get("image")


def _is_beside_anothers(job: Job) -> bool:
    """Tell whether what lies at the destination has the manifest of another object beside it."""
    there, present = job.present_manifest, job.present
    if job.manifest or there is None or present is None:
        return False
    return _copy_record.describes_another(there, present.etag)


def _own_tag_keys(manifest: Manifest | None) -> t.Iterable[str]:
    return manifest.object_tag_keys if manifest else ()
