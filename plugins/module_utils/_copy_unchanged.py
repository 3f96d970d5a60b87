# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The looks right before and after an object is made: nobody has changed either side meanwhile."""

from __future__ import annotations

from ansible_collections.amistore.aws.plugins.module_utils import _copy_uploads
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import look
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    Side,
    SourceChangedError,
    TakenError,
)


def see_source_again(source: Side, job: Job) -> None:
    """Refuse to call something a copy of what is not there any more.

    :raises SourceChangedError: the source is another one by now, or gone.
    """
    now = look(source, job.source.key)
    if now is None or (now.etag, now.version_id, now.size) != (
        job.source.etag,
        job.source.version_id,
        job.source.size,
    ):
        raise SourceChangedError(
            message=f"source {source.bucket.url(job.source.key)} was overwritten or deleted during"
            " the copy, so the copy is given up. Running the same task again copies what is there"
            " then"
        )


def see_destination_again(destination: Side, job: Job) -> None:
    """Refuse to replace what came since the first look.

    S3 rules it out by itself only for a new key, and only where botocore and the server know the
    condition.

    :raises TakenError: something came.
    """
    now, before = look(destination, job.entry.key), job.present
    if now is None or (before and (before.etag, before.version_id) == (now.etag, now.version_id)):
        return
    raise TakenError(
        f"destination {destination.bucket.url(job.entry.key)}: Something else was written under"
        " this key during the copy, and was left as it is. Look at it; with overwrite: true,"
        " running the same task again replaces it"
    )


def only_if_missing(destination: Side, job: Job, operation: str) -> dict[str, str]:
    """Return the condition that makes S3 refuse to replace anything, after a look where there is
    none.

    :raises TakenError: something came since the first look.
    """
    condition = _copy_uploads.only_if_missing(destination, operation, job.present is None)
    if not condition:
        see_destination_again(destination, job)
    return condition
