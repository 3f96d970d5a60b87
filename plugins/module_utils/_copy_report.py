# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run of copies tells the user."""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass, field

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import (
    CopyEntry,
    CopyOptions,
    State,
)
from ansible_collections.amistore.aws.plugins.module_utils._report import MOST_NAMED


@dataclass
class CopyReport:
    """The end of a run, told by what the entries say."""

    entries: list[CopyEntry]
    options: CopyOptions
    stopped_by: str = ""
    """Why the run ended early, for all objects at once."""
    warnings: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.stopped_by) or any(e.state is State.FAILED for e in self.entries)

    def exit(self, module: AnsibleAWSModule) -> None:
        """End the module with the whole result, well or not."""
        for warning in dict.fromkeys(self.warnings):
            module.warn(warning)
        result: dict[str, t.Any] = {
            "changed": any(entry.changed for entry in self.entries),
            "msg": self.message,
            "images": [self._image(entry) for entry in self.entries],
        }
        diff = [_diff(entry) for entry in self.entries if entry.tags_before != entry.tags_after]
        if diff:
            result["diff"] = diff
        if self.failed:
            module.fail_json(**result)
        module.exit_json(**result)

    def _image(self, entry: CopyEntry) -> dict[str, t.Any]:
        return {
            "source_bucket": self.options.source_bucket,
            "source_key": entry.source_key,
            "bucket": self.options.bucket,
            "object_key": entry.key,
            "manifest_key": entry.manifest_key,
            "state": entry.state.value,
            "reason": entry.reason or None,
            "size": entry.size,
            "parts": entry.parts,
            "parts_sent": entry.counts.parts_sent,
            "parts_reused": entry.parts_reused,
            "bytes_read": entry.counts.bytes_read,
            "bytes_sent": entry.counts.bytes_sent,
            "seconds": entry.seconds,
            "method": entry.method,
            "method_reason": entry.method_reason or None,
            "checksum": entry.checksum,
            "proof": dict(entry.proof) if entry.proof else None,
            "changed": entry.changed,
        }

    @property
    def message(self) -> str:
        if not self.entries and not self.stopped_by:
            return "No stored images given, nothing to do."
        parts = [self._counts()] if self.entries else []
        failed = [entry for entry in self.entries if entry.state is State.FAILED]
        parts += [
            f"{entry.source_key}: {entry.reason.rstrip('.')}." for entry in failed[:MOST_NAMED]
        ]
        if len(failed) > MOST_NAMED:
            parts.append(f"And {len(failed) - MOST_NAMED} more, see 'images'.")
        if self.stopped_by and self.stopped_by not in {entry.reason for entry in failed}:
            parts.append(f"Stopped: {self.stopped_by.rstrip('.')}.")
        return " ".join(parts)

    def _counts(self) -> str:
        states = Counter(entry.state for entry in self.entries)
        counts = [
            f"{states[State.FAILED]} failed" if states[State.FAILED] else "",
            f"{states[State.COPIED]} copied" if states[State.COPIED] else "",
            f"{states[State.PRESENT]} there already" if states[State.PRESENT] else "",
            *self._counts_of_waiting(),
        ]
        checked = self.options.check_mode
        total = len(self.entries)
        would = " (check mode, nothing was changed)" if checked else ""
        return (
            f"{total} stored image{'' if total == 1 else 's'} to s3://{self.options.bucket}:"
            f" {', '.join(filter(None, counts))}{would}."
        )

    def _counts_of_waiting(self) -> list[str]:
        """Count what was not copied; a run that is stopped does not come to look at the rest."""
        waiting = [entry for entry in self.entries if entry.state is State.NOT_COPIED]
        if not self.options.check_mode:
            return [f"{len(waiting)} not copied" if waiting else ""]
        foreseen = sum(entry.method is not None for entry in waiting)
        unseen = len(waiting) - foreseen
        return [
            f"{foreseen} would be copied" if foreseen else "",
            f"{unseen} not looked at" if unseen else "",
        ]


def _diff(entry: CopyEntry) -> dict[str, t.Any]:
    return {
        "before_header": f"tags of {entry.key}",
        "after_header": f"tags of {entry.key}",
        "before": dict(sorted(entry.tags_before.items())),
        "after": dict(sorted(entry.tags_after.items())),
    }
