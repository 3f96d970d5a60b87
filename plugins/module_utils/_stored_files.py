# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies beside a stored image and goes with it: its manifest, and what was found out later."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

from ansible_collections.amistore.aws.plugins.module_utils import _manifest
from ansible_collections.amistore.aws.plugins.module_utils._evidence import evidence_key
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    copy_record_key,
    manifest_key,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket


@dataclass(frozen=True)
class Companion:
    """A small object beside a stored image."""

    key: str
    is_called: str
    is_ours: t.Callable[[bytes], bool]
    """Tells ours, of whatever version, by its content; anything else is somebody else's."""


def companions(object_key: str) -> tuple[Companion, ...]:
    """Return what may lie beside a stored image, in the order in which it is deleted.

    The stored image goes before them: none of them harms anybody without it, and it would not be
    known without its manifest. The manifest goes last, so that a deletion that was cut off can
    be seen by it.
    """
    return (
        Companion(
            evidence_key(object_key),
            "evidence of a restore",
            _says("schema", "object_key", "etag"),
        ),
        Companion(copy_record_key(object_key), "the record of a copy", _says("copy", "object_key")),
        Companion(manifest_key(object_key), "a manifest", _manifest.is_ours),
    )


def _says(*names: str) -> t.Callable[[bytes], bool]:
    def is_ours(content: bytes) -> bool:
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            return False
        return isinstance(document, dict) and set(names) <= document.keys()

    return is_ours


def ours_beside(
    bucket: Bucket, object_key: str, missing: t.Collection[str], warn: t.Callable[[str], None]
) -> list[Companion]:
    """Return what lies beside a stored image and is ours to delete, in the order of deletion.

    :param missing: the keys of what is known not to be there.
    :param warn: is told what is left as it is.
    """
    found = []
    for companion in companions(object_key):
        content = None if companion.key in missing else bucket.read(companion.key)
        if content is not None and companion.is_ours(content):
            found.append(companion)
        elif content is not None:
            warn(f"{bucket.url(companion.key)} is not {companion.is_called}; it is left as it is.")
    return found
