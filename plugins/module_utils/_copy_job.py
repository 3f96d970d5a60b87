# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One object on its way, with everything that was observed about it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import (
    SERVER_SIDE,
    CopyEntry,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import Seen, digest_of
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import Layout
from ansible_collections.amistore.aws.plugins.module_utils._copy_record import Record
from ansible_collections.amistore.aws.plugins.module_utils._copy_uploads import Unfinished, Upload
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Manifest


@dataclass
class Job:
    """One object on its way, with everything that was observed about it."""

    entry: CopyEntry
    source: Seen
    layout: Layout
    settings: dict[str, t.Any]
    """What the new object is made with, besides its content."""
    tags: dict[str, str]
    manifest: Manifest | None
    present: Seen | None = None
    """What is under the key at the destination."""
    present_manifest: Manifest | None = None
    record: Record | None = None
    unfinished: Unfinished = field(default_factory=Unfinished)
    surely_ours: bool = True
    """What lies at the destination now is what this run has made."""
    removes_manifest: bool = False
    """The manifest at the destination is that of the object that is replaced."""
    protected: bool = True
    """Whether TLS protects what is read of the source."""
    upload: Upload | None = None
    """All parts are there, but so is something else under the key."""

    @property
    def digest(self) -> str:
        """What an unfinished upload's mark tells."""
        return digest_of(
            {
                "source": self.entry.identity,
                "part_size": self.layout.part_size,
                "settings": self.settings,
                "protected": self.protected,
            }
        )

    @property
    def is_trusted_to_s3(self) -> bool:
        """S3 copies it, and no part can be one that an earlier run has streamed unprotected."""
        unsure = self.entry.parts_reused and not self.protected
        return self.entry.method == SERVER_SIDE and not unsure
