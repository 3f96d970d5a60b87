# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unfinished uploads of earlier runs that nobody will go on with: they are found and aborted.

They cost no more than money, so that they hold up nothing: once one cannot be looked for or
aborted, a warning says so, and the run does not try again.
"""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import replace

from ansible_collections.amistore.aws.plugins.module_utils import _copy_uploads
from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, error_text
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import SMALLEST_PART
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import Side, StoppedError
from ansible_collections.amistore.aws.plugins.module_utils._copy_uploads import Upload


class Leftovers:
    """Finds and aborts what earlier runs have left under one key after another."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._given_up = False

    def find(self, job: Job) -> None:
        """Find the unfinished uploads for a key whose object is there, so that nobody has yet."""
        if self._given_up or job.source.size <= SMALLEST_PART:
            return
        with self._telling(job) as destination:
            key = job.entry.key
            old = [one for one in _copy_uploads.begun(destination, key) if self._is_old(one)]
            job.unfinished = _copy_uploads.sort_out(destination, key, old, job.digest, job.layout)

    def of(self, job: Job, kept: bool) -> list[Upload]:
        """Return the uploads that are old and of no use.

        :param kept: the object is there and stays, so that the one to go on with is of none either.
        """
        fitting = (job.unfinished.fitting,) if kept and job.unfinished.fitting else ()
        return [upload for upload in (*job.unfinished.others, *fitting) if self._is_old(upload)]

    def abort(self, job: Job, kept: bool) -> None:
        """Abort the uploads that are old and of no use."""
        for upload in self.of(job, kept):
            if not self._given_up:
                with self._telling(job) as destination:
                    _copy_uploads.abort(destination, job.entry.key, upload)
                    job.entry.changed = True

    def _is_old(self, upload: Upload) -> bool:
        """Tell whether nothing has come for so long that no run can be at it any more."""
        days, now = self._means.options.abort_unfinished_after, self._means.clock.date()
        moments = [moment for moment in (upload.initiated, upload.latest) if moment]
        return bool(moments) and (now - max(moments)).days >= days

    @contextlib.contextmanager
    def _telling(self, job: Job) -> t.Iterator[Side]:
        """Give the destination, without patience for outages; what fails becomes a warning."""
        try:
            yield replace(self._means.destination, patient=False)
        except StoppedError:
            raise
        except AmiStoreError as error:
            self._given_up = True
            self._means.warnings.append(
                f"{job.entry.key}: unfinished uploads of earlier runs, which S3 charges for, may"
                f" stay at the destination, and this run looks for no others: {error_text(error)}"
            )
