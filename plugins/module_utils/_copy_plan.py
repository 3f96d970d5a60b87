# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How an object is to be cut, and what is there of it already."""

from __future__ import annotations

from ansible_collections.amistore.aws.plugins.module_utils import _copy_uploads
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import look_closely
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import SMALLEST_PART, lay_out
from ansible_collections.amistore.aws.plugins.module_utils._copy_together import together


def plan(means: Means, job: Job) -> None:
    """Find out how the object is to be cut and what is there of it already.

    :raises SourceChangedError: the source is not what was seen any more.
    :raises InputError: for an object or a part that S3 takes in no way.
    """
    key, size = job.entry.key, job.source.size
    closely, begun = together(
        lambda: look_closely(means.source, job.source),
        lambda: _copy_uploads.begun(means.destination, key) if size > SMALLEST_PART else [],
    )
    job.source = closely()
    job.layout = lay_out(size, job.source.part_size, means.options.part_size)
    if job.layout.count > 1:
        job.unfinished = _copy_uploads.sort_out(
            means.destination, key, begun(), job.digest, job.layout
        )
