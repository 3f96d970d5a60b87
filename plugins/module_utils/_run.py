# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One task's run, in check mode or for real: prepared, driven, reported."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.amistore.aws.plugins.module_utils._aws import Answer, Reply
from ansible_collections.amistore.aws.plugins.module_utils._fleet import (
    Entry,
    Fleet,
    Observer,
    Operation,
    Phase,
)
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Clock, Limits
from ansible_collections.amistore.aws.plugins.module_utils._report import Report

E = t.TypeVar("E", bound=Entry)
E_contra = t.TypeVar("E_contra", bound=Entry, contravariant=True)


class CheckableOperation(Operation[E_contra], t.Protocol[E_contra]):
    """An operation that check mode can try."""

    warnings: list[str]

    def try_permission(self, entry: E_contra) -> Reply:
        """Send the create request of this entry as a DryRun."""


@dataclass(frozen=True)
class RunOptions:
    """How far a run may go; `wait_timeout` in seconds, for the whole run."""

    check_mode: bool
    wait: bool
    wait_timeout: int


def run(
    operation: CheckableOperation[E],
    limits: Limits,
    options: RunOptions,
    clock: Clock,
    prepare: t.Callable[[], None],
    report: Report[E],
    observer: Observer | None = None,
) -> None:
    """Bring the report's entries as far as the options allow; what AWS refuses is told, not raised.

    :param prepare: what must hold before anything is looked at, such as the bucket's Region.
    """
    report.waited, report.wait_timeout = options.wait, options.wait_timeout
    deadline = clock.now() + options.wait_timeout
    fleet = Fleet(operation, report.entries, limits, clock, deadline, observer=observer)
    with report.stopping():
        prepare()
        if options.check_mode:
            fleet.foresee(options.wait)
            _try_permission(operation, report)
        else:
            fleet.run(options.wait)
    report.warnings += list(dict.fromkeys(operation.warnings))
    if options.wait and fleet.shortest_duration > options.wait_timeout:
        report.warnings.append(
            f"AWS's request rate alone needs {fleet.shortest_duration:.0f} s for this many AMIs,"
            " wait_timeout is"
            f" {options.wait_timeout} s. Raise it, or run the task again until all are done."
        )


def _try_permission(operation: CheckableOperation[E], report: Report[E]) -> None:
    """Prove the right to the EC2 call on the first AMI that would be started; a DryRun costs a
    create token.
    """
    first = next((entry for entry in report.entries if entry.phase is Phase.READY), None)
    if first is None:
        return
    reply = operation.try_permission(first)
    if reply.answer is Answer.WOULD_SUCCEED:
        report.permission_checked = True
    elif reply.answer is Answer.FAILED:
        report.stopped_by = f"{first.label}: {reply.text}"
        for entry in report.entries:
            entry.changed &= entry.phase is not Phase.READY
    else:
        report.warnings.append(f"The permission could not be checked: {reply.text}")
