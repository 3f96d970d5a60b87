# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which AMIs have a stored image in a bucket, from its listing alone."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    image_id_of,
    image_key,
    manifest_key,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import (
    Bucket,
    StoredObject,
)


@dataclass(frozen=True)
class StoredCopy:
    """A stored image in a listing, and whether a manifest lies beside it."""

    stored: StoredObject
    has_manifest: bool


def stored_copies(
    bucket: Bucket, prefix: str, image_ids: t.Collection[str]
) -> dict[str, StoredCopy]:
    """Return the stored image of each AMI that has one under the prefix, at any depth.

    Of several, it is the one that a store with this prefix writes, else the first in key order.

    :raises ObjectForbiddenError: when the bucket may not be listed.
    """
    wanted = frozenset(image_ids)
    found: dict[str, StoredObject] = {}
    manifests: set[str] = set()
    for item in bucket.list(f"{prefix}/" if prefix else "", with_restore_status=True):
        if item.key.endswith(".json"):
            manifests.add(item.key)
        image_id = image_id_of(item.key)
        if image_id in wanted and (
            image_id not in found or item.key == image_key(prefix, image_id)
        ):
            found[image_id] = item
    return {
        image_id: StoredCopy(item, manifest_key(item.key) in manifests)
        for image_id, item in found.items()
    }
