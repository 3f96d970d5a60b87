# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked at before anything is decided about an object: both sides of it."""

from __future__ import annotations

import typing as t
import urllib.parse

from ansible_collections.amistore.aws.plugins.module_utils import _copy_record
from ansible_collections.amistore.aws.plugins.module_utils._copy_beside import Beside
from ansible_collections.amistore.aws.plugins.module_utils._copy_decide import Observed
from ansible_collections.amistore.aws.plugins.module_utils._copy_equal import are_equal
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import CopyEntry
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import (
    Seen,
    look,
    may_be_made_of,
    metadata_of_copy,
    source_identity,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import DEFAULT_PART, Layout
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import CopyError
from ansible_collections.amistore.aws.plugins.module_utils._copy_tags import Tags
from ansible_collections.amistore.aws.plugins.module_utils._copy_together import together


class Observer:
    """Looks at both sides of one object after another."""

    def __init__(self, means: Means, tags: Tags, beside: Beside) -> None:
        self._means = means
        self._tags = tags
        self._beside = beside
        self._looked_at: dict[str, list[t.Callable[[], t.Any]]] = {}
        """What was found at both sides, by the key at the destination, until it is asked for."""

    def look_ahead(self, entry: CopyEntry) -> None:
        """Look at both sides of one object already; `observe` tells what went wrong."""
        source, destination = self._means.source, self._means.destination
        self._looked_at[entry.key] = together(
            lambda: look(source, entry.source_key),
            lambda: look(destination, entry.key),
            lambda: _copy_record.read_manifest(source, entry.source_key),
            lambda: self._beside.read_manifest(entry),
            lambda: self._tags.read(source, entry.source_key),
        )

    def observe(self, entry: CopyEntry) -> Job:
        """Return one object with everything that both sides tell of it.

        :raises CopyError: the source does not exist, or cannot be looked at.
        """
        if entry.key not in self._looked_at:
            self.look_ahead(entry)
        seen, there, manifest, present_manifest, tags = self._looked_at.pop(entry.key)
        bucket = self._means.source.bucket
        source = seen()
        if source is None:
            raise CopyError(
                message=f"source {bucket.url(entry.source_key)} does not exist. Check"
                " the key; if it was deleted from a versioned bucket, remove its delete marker"
            )
        entry.size = source.size
        entry.identity = source_identity(bucket.name, source)
        if source.unreadable_metadata:
            self._means.warnings.append(
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
            protected=self._means.source.encrypted_in_transit,
        )
        self._beside.warn_of_another_image(job)
        self._beside.read_record(job)
        return job

    def _settings(self, source: Seen, tags: t.Mapping[str, str]) -> dict[str, t.Any]:
        """Return what the new object is made with, besides its content."""
        options = self._means.options
        settings: dict[str, t.Any] = {
            **source.headers,
            "Metadata": metadata_of_copy(self._means.source.bucket.name, source),
            **options.encryption,
        }
        if tags:
            settings["Tagging"] = urllib.parse.urlencode(sorted(tags.items()))
        if options.storage_class:
            settings["StorageClass"] = options.storage_class
        return settings

    def look_at_destination(self, job: Job) -> None:
        """See anew what is at the destination.

        :raises CopyError: says what to do.
        """
        job.present = look(self._means.destination, job.entry.key)
        job.present_manifest = self._beside.read_manifest(job.entry)
        self._beside.read_record(job)

    def facts(self, job: Job) -> Observed:
        """Return what was seen, as far as the decision needs it."""
        source, present = job.source, job.present
        bucket = self._means.source.bucket.name
        return Observed(
            source=True,
            readable=source.stored.restorable is not False,
            present=present is not None,
            proved=_copy_record.fits(job.record, bucket, source, present),
            equal=present is not None and are_equal(source, present),
            made_of_source=present is not None and may_be_made_of(bucket, source, present),
            overwrite=self._means.options.overwrite,
            unfinished=job.unfinished.fitting is not None,
        )
