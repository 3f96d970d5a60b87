# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operation for the engine that plays a script in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from botocore.exceptions import ClientError, ConnectionClosedError

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    Answer,
    Reply,
)
from ansible_collections.amistore.aws.plugins.module_utils._fleet import Entry, Phase
from tests.unit.plugins.module_utils.virtual_clock import VirtualClock


def aws_error(code: str) -> AmiStoreError:
    answer = {"Error": {"Code": code, "Message": "words of AWS"}}
    return AmiStoreError("Failed to look", ClientError(answer, "Look"))


def lost_connection() -> AmiStoreError:
    return AmiStoreError("Failed to look", ConnectionClosedError(endpoint_url="https://ec2"))


@dataclass
class Script:
    """An operation whose tasks take `duration` seconds and whose answers are written down before.

    `answers` and `decisions` are used up one by one by label; then a create is accepted and an
    observed entry is ready.
    """

    clock: VirtualClock
    duration: float = 100.0
    answers: dict[str, list[Reply | Exception]] = field(default_factory=dict)
    decisions: dict[str, list[Phase]] = field(default_factory=dict)
    observe_errors: list[Exception | None] = field(default_factory=list)
    look_errors: list[Exception | None] = field(default_factory=list)
    survey_errors: list[Exception | None] = field(default_factory=list)
    foreign: Callable[[float], int] = lambda now: 0
    """Tasks of others at a moment, each of `foreign_gib` GiB."""
    foreign_gib: int = 1
    latency: float = 0.0
    foreign_tasks: int = 0
    foreign_size: int = 0
    dry_run: Reply = field(default_factory=lambda: Reply(Answer.WOULD_SUCCEED, "it would"))
    warnings: list[str] = field(default_factory=list)
    creates: list[tuple[float, str]] = field(default_factory=list)
    dry_runs: list[str] = field(default_factory=list)
    observed: list[tuple[float, list[str]]] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    surveys: list[float] = field(default_factory=list)

    starts: list[datetime] = field(default_factory=list)
    """What is told once as started by others."""
    starts_later: list[datetime] = field(default_factory=list)
    """The same, told after the first survey."""

    def starts_seen(self) -> list[datetime]:
        told, self.starts = self.starts, []
        return told

    def observe(self, entries: Sequence[Entry]) -> None:
        self.observed.append((self.clock.now(), [entry.label for entry in entries]))
        raise_next(self.observe_errors)
        self._see_foreign()
        for entry in entries:
            planned = self.decisions.get(entry.label)
            entry.phase = planned.pop(0) if planned else Phase.READY
            entry.reason = ""
            if entry.phase is Phase.FAILED:
                entry.reason = "a fault of its own"

    def start(self, entry: Entry) -> Reply:
        self.clock.pass_by(self.latency)
        self.creates.append((self.clock.now(), entry.label))
        planned = self.answers.get(entry.label)
        answer = planned.pop(0) if planned else Reply(Answer.ACCEPTED, "key")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def try_permission(self, entry: Entry) -> Reply:
        self.dry_runs.append(entry.label)
        return self.dry_run

    def look(self, entries: Sequence[Entry]) -> None:
        self.looks.append(self.clock.now())
        raise_next(self.look_errors)
        for entry in entries:
            if self.clock.now() >= entry.started_at + self.duration:
                entry.phase = Phase.DONE

    def survey(self, entries: Sequence[Entry]) -> None:
        self.surveys.append(self.clock.now())
        raise_next(self.survey_errors)
        self._see_foreign()
        self.starts, self.starts_later = self.starts_later, []
        for entry in entries:
            if entry.phase is Phase.HELD and not self.foreign_tasks:
                entry.phase = Phase.UNSURE

    def _see_foreign(self) -> None:
        self.foreign_tasks = self.foreign(self.clock.now())
        self.foreign_size = self.foreign_tasks * self.foreign_gib

    def moments(self, label: str) -> list[float]:
        return [moment for moment, created in self.creates if created == label]


def raise_next(errors: list[Exception | None]) -> None:
    error = errors.pop(0) if errors else None
    if error:
        raise error
