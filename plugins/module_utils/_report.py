# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run tells the user: counts first, then the AMIs that need attention."""

from __future__ import annotations

import contextlib
import typing as t
from collections import Counter
from dataclasses import dataclass, field

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.amistore.aws.plugins.module_utils._aws import error_text
from ansible_collections.amistore.aws.plugins.module_utils._fleet import Entry, Phase

MOST_NAMED = 10

E = t.TypeVar("E", bound=Entry)


@dataclass
class Report(t.Generic[E]):
    """The end of a run, told by what the entries say."""

    entries: t.Sequence[E]
    what_is_done: str
    """Completes "3 AMIs: 2 …", for example "stored in s3://bucket"."""
    checked: bool = False
    waited: bool = False
    wait_timeout: int = 0
    stopped_by: str = ""
    """Why the run ended early, for all entries at once."""
    permission_checked: bool = False
    warnings: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def stopping(self) -> t.Iterator[None]:
        """Let an error of AWS end the run, not the report."""
        try:
            yield
        except AnsibleAWSError as error:
            self.stopped_by = error_text(error)

    def exit(
        self, module: AnsibleAWSModule, images: list[dict[str, t.Any]], diff: list[dict[str, t.Any]]
    ) -> None:
        """End the module with the whole result, well or not."""
        for warning in self.warnings:
            module.warn(warning)
        result: dict[str, t.Any] = {"changed": self.changed, "msg": self.message, "images": images}
        if self.checked:
            result["permission_checked"] = self.permission_checked
        if diff:
            result["diff"] = diff
        if self.failed:
            module.fail_json(**result)
        module.exit_json(**result)

    @property
    def timed_out(self) -> bool:
        return (
            self.waited
            and not self.checked
            and not self.stopped_by
            and any(entry.open for entry in self.entries)
        )

    @property
    def failed(self) -> bool:
        bad = any(entry.phase is Phase.FAILED for entry in self.entries)
        return bad or bool(self.stopped_by) or self.timed_out

    @property
    def changed(self) -> bool:
        return any(entry.changed for entry in self.entries)

    @property
    def message(self) -> str:
        parts = [self._counts()] if self.entries or not self.stopped_by else []
        if self.stopped_by:
            parts.append(f"Stopped: {self.stopped_by.rstrip('.')}.")
        parts += self._named()
        parts += self._advice()
        return " ".join(parts)

    def _counts(self) -> str:
        if not self.entries:
            return "No AMIs given, nothing to do."
        phases = Counter(entry.phase for entry in self.entries)
        going_on = phases[Phase.RUNNING]
        waiting = phases[Phase.READY] + phases[Phase.HELD] + phases[Phase.UNSURE]
        would = " (check mode, nothing was changed)" if self.checked else ""
        counts = [
            f"{phases[Phase.FAILED]} failed" if phases[Phase.FAILED] else "",
            f"{phases[Phase.DONE]} {self.what_is_done}" if phases[Phase.DONE] else "",
            f"{going_on} in progress" if going_on else "",
            f"{waiting} {'would be started' if self.checked else 'not started'}" if waiting else "",
        ]
        total = len(self.entries)
        return f"{total} AMI{'' if total == 1 else 's'}: {', '.join(filter(None, counts))}{would}."

    def _named(self) -> list[str]:
        notable = [entry for entry in self.entries if entry.phase is Phase.FAILED]
        if self.checked:
            notable += [e for e in self.entries if e.phase is Phase.READY and e.reason]
        elif self.stopped_by:
            notable += [entry for entry in self.entries if entry.phase is Phase.RUNNING]
        elif self.timed_out:
            notable += [entry for entry in self.entries if entry.open]
        lines = [_line(entry) for entry in notable[:MOST_NAMED]]
        if len(notable) > MOST_NAMED:
            lines.append(f"And {len(notable) - MOST_NAMED} more, see 'images'.")
        return lines

    def _advice(self) -> list[str]:
        open_entries = [entry for entry in self.entries if entry.open]
        if self.checked or not open_entries:
            return []
        if self.stopped_by and not any(entry.phase is Phase.RUNNING for entry in open_entries):
            return []
        advice = (
            "AWS goes on with what is in progress; running the same task again picks everything up"
            " where it is."
        )
        if self.timed_out and not self.stopped_by:
            return [f"wait_timeout ({self.wait_timeout} s) has passed. {advice}"]
        return [advice]


def nothing_to_do(module: AnsibleAWSModule) -> None:
    """End a module that was given an empty list: a success with an empty result."""
    Report[Entry]([], "", module.check_mode).exit(module, images=[], diff=[])


def _line(entry: Entry) -> str:
    if entry.phase is Phase.FAILED:
        return f"{entry.label}: {entry.reason.rstrip('.')}."
    return f"{entry.label}: {entry.phase.value}{f' ({entry.reason})' if entry.reason else ''}."
