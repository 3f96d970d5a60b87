# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tags of an object: read at either side, chosen for the copy, added where they are missing."""

from __future__ import annotations

import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    boto3_tag_list_to_ansible_dict,
)

from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, error_code
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import CopyEntry
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import CopyError, Side
from ansible_collections.amistore.aws.plugins.module_utils._inputs import MAX_OBJECT_TAGS

# Servers that keep no tags answer so.
NO_TAGS_CODES = frozenset({"MethodNotAllowed", "NoSuchTagSet", "NotImplemented", "501"})
# S3 names its own faults; a bare status is that of a server which does not know the request.
NOT_S3S_FAULT = "500"
TRIES_FOR_TAGS = 3


class Tags:
    """Reads and writes object tags; those that a copy has beyond the wanted ones stay."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def read(self, side: Side, key: str) -> dict[str, str] | None:
        """Return an object's tags, None where the server knows none.

        :raises CopyError: says what to do.
        """
        unclear = 0

        def read_once() -> dict[str, str] | None:
            nonlocal unclear
            try:
                answer = side.send("read the tags of", "get_object_tagging", key)
            except AmiStoreError as error:
                unclear += error_code(error) == NOT_S3S_FAULT
                if error_code(error) not in NO_TAGS_CODES and unclear < TRIES_FOR_TAGS:
                    raise
                return None
            return dict(boto3_tag_list_to_ansible_dict(answer.get("TagSet") or []))

        tags = side.retry("read the tags of", key, read_once)
        if unclear >= TRIES_FOR_TAGS:
            self._means.warnings.append(
                f"{side.name} {side.bucket.url(key)}: the server fails to tell tags and is taken"
                " for one that has none. A later run brings along what is missing."
            )
        return tags

    def wanted(self, entry: CopyEntry, tags: t.Mapping[str, str]) -> dict[str, str]:
        """Return the tags that a copy gets: the source's own with those of the task.

        :raises CopyError: there are more than an object takes.
        """
        own = {key: value for key, value in tags.items() if not key.lower().startswith("aws:")}
        wanted = {**own, **(self._means.options.tags or {})}
        if len(wanted) > MAX_OBJECT_TAGS:
            url = self._means.source.bucket.url(entry.source_key)
            raise CopyError(
                message=f"source {url} has {len(own)} tags, with those of the task {len(wanted)};"
                f" an S3 object takes {MAX_OBJECT_TAGS}. Give fewer in tags"
            )
        return wanted

    def reconcile(self, job: Job) -> bool:
        """Add the tags that a kept object lacks; what else is on it stays.

        :return: whether it lacked any, which check mode leaves so.
        :raises CopyError: says what to do.
        """
        entry, destination = job.entry, self._means.destination
        tags = self.read(destination, entry.key) if job.tags else None
        if tags is None:
            return False
        after = {**tags, **job.tags}
        if after != tags and len(after) > MAX_OBJECT_TAGS:
            raise CopyError(
                message=f"destination {destination.bucket.url(entry.key)} has {len(tags)} tags,"
                f" with those that it lacks {len(after)}; an S3 object takes {MAX_OBJECT_TAGS}."
                " Remove some there, or give fewer in tags"
            )
        entry.tags_before, entry.tags_after = tags, after
        if entry.tags_after == entry.tags_before:
            return False
        if not self._means.options.check_mode:
            with destination.explaining("write the tags of", entry.key):
                destination.bucket.set_tags(entry.key, entry.tags_after)
        return True
