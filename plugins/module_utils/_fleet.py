# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many AMIs at once: look, decide, start at the speed AWS allows, wait, lose nothing.

Knows neither EC2 nor S3: an Operation looks and acts, a Clock gives the time. The way of one entry:

    UNSURE ──observe──► READY ──start──► RUNNING ──look, survey──► DONE
       ▲  │               │                 │
       │  ├──► HELD ──────┤                 └────────────────────► FAILED
       │  └──► DONE, FAILED
       └── an answer that only a new look can explain
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    CREDENTIAL_CODES,
    AmiStoreError,
    Answer,
    Reply,
    error_text,
    is_transient,
    noting_change,
    refuses_caller,
)
from ansible_collections.amistore.aws.plugins.module_utils._pacing import (
    FIRST_SURVEY_INTERVAL,
    LONGEST_LOOK_INTERVAL,
    PATIENCE,
    Clock,
    CreateRate,
    Limits,
    free_room,
    look_interval,
    shortest_duration,
    survey_interval,
)
from ansible_collections.amistore.aws.plugins.module_utils._start_order import (
    Order,
    Pace,
    Queue,
    keep_both_busy,
)

RETRY_AFTER_REFUSAL = 60.0
# For how long a look may not show what AWS has just begun.
LONGEST_UNSEEN = 60.0
SHORTEST_PAUSE = 0.05
# When no more than so many are left, in progress all of them, the end of a run is near.
FEW_LEFT = 10
LAST = 3


class Phase(Enum):
    """Where an entry stands in this run."""

    UNSURE = "to be looked at"
    READY = "to be started"
    HELD = "waits for a task that somebody else started"
    RUNNING = "in progress at AWS"
    DONE = "done"
    FAILED = "failed"


OPEN_PHASES = (Phase.UNSURE, Phase.READY, Phase.HELD, Phase.RUNNING)


@dataclass
class Entry:
    """One AMI's way through a run; `size` in GiB, times by the run's clock."""

    label: str
    size: int = 0
    phase: Phase = Phase.UNSURE
    reason: str = ""
    changed: bool = False
    answer_lost: bool = False
    """A create request was sent whose answer never came."""
    exists_said: bool = False
    """AWS has refused a create request because the AMI is in the bucket already."""
    not_before: float = 0.0
    refused_at: float | None = None
    refused_last: float = 0.0
    refusal: str = ""
    """AWS's words of the last refusal whose cause is unknown."""
    started_at: float = 0.0
    may_run_until: float = 0.0
    """Until then AWS may be at work on it though nothing shows it."""

    @property
    def open(self) -> bool:
        return self.phase in OPEN_PHASES

    @property
    def progress(self) -> int | None:
        """Percent as AWS tells it, None where it does not."""
        return None

    def changing(self) -> t.ContextManager[None]:
        """Count what happens inside as a change, also when its answer got lost."""
        return noting_change(self._note_change)

    def _note_change(self) -> None:
        self.changed = True

    def fail(self, reason: str) -> None:
        self.phase = Phase.FAILED
        self.reason = reason


E = t.TypeVar("E", bound=Entry)
E_contra = t.TypeVar("E_contra", bound=Entry, contravariant=True)


class Operation(t.Protocol[E_contra]):
    """What the engine needs of storing or restoring."""

    @property
    def foreign_tasks(self) -> int:
        """Tasks of others that were in progress in this account when last seen."""

    @property
    def foreign_size(self) -> int:
        """Their size in GiB, as far as known."""

    def starts_seen(self) -> list[datetime]:
        """Return when tasks were started that this run did not start and has not told of before."""

    def observe(self, entries: t.Sequence[E_contra]) -> None:
        """Look afresh and decide; what a passing fault hides stays UNSURE."""

    def start(self, entry: E_contra) -> Reply | None:
        """Send the create request once; record what an accepted one gave. None where a last look
        has ended the entry instead.
        """

    def look(self, entries: t.Sequence[E_contra]) -> None:
        """Look cheaply which RUNNING entries have ended."""

    def survey(self, entries: t.Sequence[E_contra]) -> None:
        """Ask for progress, failures, and the work of others; entries that need a new decision
        become UNSURE.
        """


class Observer(t.Protocol):
    """Follows a run, to show how it goes."""

    def __call__(self, entries: t.Sequence[Entry], next_start: float) -> None:
        """Take note of how the entries stand, and in how many seconds the rate allows a start."""


class Fleet(t.Generic[E]):
    """Brings the entries of one task to an end, or as far as `deadline` allows."""

    def __init__(
        self,
        operation: Operation[E],
        entries: t.Sequence[E],
        limits: Limits,
        clock: Clock,
        deadline: float,
        *,
        order: Order = keep_both_busy,
        observer: Observer | None = None,
    ) -> None:
        self._operation = operation
        self._order = order
        self._pace = Pace()
        self._started: list[E] = []
        """Those that this run has started and that are in progress."""
        self._entries = entries
        self._open = entries
        """Those whose way goes on; who has come to its end stays there."""
        self._limits = limits
        self._clock = clock
        self._deadline = deadline
        self._observer = observer
        self._rate = CreateRate(limits.create_rate)
        self._begin(clock.now())
        self._answers: set[str] = set()
        self._denials: list[str] = []
        self.shortest_duration = 0.0
        """Seconds that AWS's request rate alone needs for the starts of this run."""

    def run(self, wait: bool) -> None:
        """Start what may start; with `wait`, go on until all have ended or the deadline has passed.

        :raises AmiStoreError: when no further call can succeed; the entries tell how far it came.
        """
        self._observe_all()
        self._tell()
        self._advance()
        while wait and self._open and self._clock.now() < self._deadline:
            now = self._clock.now()
            self._clock.sleep(min(self._pause(now), self._deadline - now))
            self._look()
            self._advance()

    def foresee(self, wait: bool) -> None:
        """Decide as `run` does, start nothing, and count as changed what `run` would start."""
        self._observe_all()
        now, ready = self._clock.now(), self._with(Phase.READY)
        for entry in ready:
            entry.changed = wait
        size, anything = self._load()
        while self._rate.delay(now) <= 0:
            chosen = self._choose(ready, free_room(self._limits, size, anything), now)
            if chosen is None:
                return
            chosen.changed = True
            ready.remove(chosen)
            self._rate.spend(now)
            size, anything = size + chosen.size, True

    def _observe_all(self) -> None:
        self._operation.observe(self._entries)
        now = self._clock.now()
        self._rate.count_earlier(self._ages_of_starts(), now)
        self._begin(now)
        self._follow_attached(now)
        self.shortest_duration = shortest_duration(len(self._with(Phase.READY)), self._limits)

    def _ages_of_starts(self) -> list[float]:
        date = self._clock.date()
        return [(date - start).total_seconds() for start in self._operation.starts_seen()]

    def _follow_attached(self, now: float) -> None:
        """Count the age of what somebody else has started from here on."""
        for entry in self._with(Phase.RUNNING):
            entry.started_at = entry.started_at or now

    def _begin(self, now: float) -> None:
        self._begun = self._last_in_flight = now
        self._surveyed_at = now
        self._next_look = now + look_interval(0.0)
        # What is done already needs no question.
        self._to_do = len(self._with(*OPEN_PHASES))

    def _with(self, *phases: Phase) -> list[E]:
        return [entry for entry in self._open if entry.phase in phases]

    def _advance(self) -> None:
        """Decide on what is unsure, start what may start, decide on what that made unsure."""
        self._observe_unsure()
        self._start_ready()
        self._observe_unsure()
        self._lose_patience()
        self._open = self._with(*OPEN_PHASES)
        self._tell()

    def _tell(self) -> None:
        if self._observer:
            self._observer(self._entries, self._rate.delay(self._clock.now()))

    def _observe_unsure(self) -> None:
        unsure = self._with(Phase.UNSURE)
        if unsure:
            self._tolerate(lambda: self._operation.observe(unsure))
            self._follow_attached(self._clock.now())

    def _start_ready(self) -> None:
        while self._clock.now() < self._deadline:
            now = self._clock.now()
            if self._rate.delay(now) > 0:
                self._give_up_when_denied()
                return
            entry = self._next_start(now)
            if entry is None:
                return
            self._start(entry)
            self._tell()

    def _next_start(self, now: float) -> E | None:
        """Return the entry to start now, None where none may start."""
        ready, room = self._with(Phase.READY), self._room()
        fresh = [entry for entry in ready if entry.not_before <= 0.0]
        chosen = self._choose(fresh, room, now)
        if chosen is not None:
            return chosen
        # Those that AWS put off come last: their retries must not use up the rate of the others.
        due = [entry for entry in ready if 0.0 < entry.not_before <= now]
        fitting = [entry for entry in due if self._fits(entry, room, now)]
        return min(fitting, key=lambda entry: entry.not_before, default=None)

    def _choose(self, ready: t.Sequence[E], room: float, now: float) -> E | None:
        """Return the one of these that the order of starts has for the room that there is."""
        fitting = [entry for entry in ready if self._fits(entry, room, now)]
        if not fitting:
            return None
        queue = Queue(
            [entry.size for entry in ready],
            self._rate.tokens(now),
            self._limits,
            self._pace,
            sum(entry.size * self._seconds_left(entry, now) for entry in self._started),
        )
        return fitting[self._order([entry.size for entry in fitting], queue)]

    def _seconds_left(self, entry: E, now: float) -> float:
        return max(0.0, self._pace.seconds(entry.size) - (now - entry.started_at))

    def _load(self) -> tuple[int, bool]:
        """Return the GiB in flight as far as known, and whether anything is."""
        now = self._clock.now()
        running = [
            entry
            for entry in self._open
            if entry.phase is Phase.RUNNING or (entry.may_run_until and self._may_run(entry, now))
        ]
        foreign = self._operation.foreign_size
        return sum(entry.size for entry in running) + foreign, bool(running or foreign)

    def _may_run(self, entry: E, now: float) -> bool:
        """Tell whether AWS may have executed its request, though no look has shown it.

        Never where `may_run_until` is 0, which callers test first: they go through thousands.
        """
        if entry.phase is Phase.UNSURE:
            return entry.may_run_until > 0.0
        return now < entry.may_run_until and entry.phase in (Phase.READY, Phase.HELD)

    def _fits(self, entry: E, room: float, now: float) -> bool:
        """Tell whether there is room; what may be running is counted in already."""
        if entry.may_run_until and self._may_run(entry, now):
            return room >= min(0, self._limits.in_flight - entry.size)
        return entry.size <= room

    def _room(self) -> float:
        return free_room(self._limits, *self._load())

    def _start(self, entry: E) -> None:
        reply = self._send(entry)
        if reply is None:
            return
        now = self._clock.now()
        self._rate.spend(now)
        self._answers.add(reply.code)
        if reply.answer is Answer.ACCEPTED:
            self._rate.settle()
            entry.phase = Phase.RUNNING
            entry.changed = True
            entry.reason = ""
            entry.started_at = now
            self._started.append(entry)
        elif reply.answer is Answer.FAILED:
            entry.fail(reply.text)
            self._denials.append(reply.text)
            if reply.code in CREDENTIAL_CODES:
                raise AmiStoreError(f"AWS no longer accepts the credentials: {reply.text}")
        else:
            entry.reason = reply.text
            self._put_off(entry, reply, now)

    def _send(self, entry: E) -> Reply | None:
        """Return AWS's answer, None where it did not come to the create request."""
        try:
            return self._operation.start(entry)
        except AnsibleAWSError as error:
            if refuses_caller(error):
                raise
            if is_transient(error):
                self._rate.back_off(self._clock.now())
                entry.phase = Phase.UNSURE
                entry.reason = error_text(error)
            else:
                entry.fail(error_text(error))
            return None

    def _put_off(self, entry: E, reply: Reply, now: float) -> None:
        if reply.answer is Answer.THROTTLED:
            self._rate.empty(now)
        elif reply.answer is Answer.REFUSED:
            self._rate.back_off(now)
            entry.not_before = now + RETRY_AFTER_REFUSAL
            entry.refused_at = now if entry.refused_at is None else entry.refused_at
            entry.refused_last = now
            entry.refusal = reply.text
        else:
            entry.phase = Phase.UNSURE
            entry.exists_said |= reply.answer is Answer.EXISTS
            entry.answer_lost |= reply.answer is Answer.UNCERTAIN
            if reply.answer in (Answer.UNCERTAIN, Answer.BUSY):
                entry.may_run_until = now + LONGEST_UNSEEN
            if reply.answer is Answer.UNCERTAIN:
                self._rate.back_off(now)
            elif reply.answer is Answer.BUSY:
                entry.not_before = now + FIRST_SURVEY_INTERVAL

    def _give_up_when_denied(self) -> None:
        """Spare the user an hour of paced refusals when every one so far was for want of the
        right.
        """
        if self._answers == {"UnauthorizedOperation"}:
            for entry in self._with(Phase.READY):
                entry.fail(
                    f"not tried, since AWS refused the right to the {len(self._denials)} before"
                    f" it: {self._denials[0]}"
                )

    def _lose_patience(self) -> None:
        """Take a refusal of unknown cause as final once nothing that could cause it has been in
        flight for long.
        """
        now = self._clock.now()
        if self._with(Phase.RUNNING) or self._operation.foreign_tasks:
            self._last_in_flight = now
        for entry in self._with(Phase.READY):
            if entry.refused_at is None:
                continue
            # Others that are throttled may have kept it from being tried for long.
            if entry.refused_last - max(entry.refused_at, self._last_in_flight) >= PATIENCE:
                entry.fail(entry.refusal)

    def _look(self) -> None:
        """Survey and look when it is time; once more at the deadline, so that the end is told as
        it is.
        """
        now = self._clock.now()
        last = now >= self._deadline
        if last or now >= self._next_survey:
            self._tolerate(lambda: self._operation.survey(self._with(*OPEN_PHASES)))
            now = self._clock.now()
            self._rate.count_others(len(self._operation.starts_seen()), now)
            self._surveyed_at = now
        running = self._with(Phase.RUNNING)
        if running and (last or now >= self._next_look):
            self._tolerate(lambda: self._operation.look(running))
            self._next_look = self._clock.now() + self._look_interval()
        self._learn_pace()

    def _learn_pace(self) -> None:
        now = self._clock.now()
        for entry in self._started:
            if entry.phase is Phase.DONE:
                self._pace.learn(entry.size, now - entry.started_at)
        self._started = [entry for entry in self._started if entry.phase is Phase.RUNNING]

    def _look_interval(self) -> float:
        """Look often where something waits for an end, be it only the user; else be thrifty."""
        room, ready, now = self._room(), self._with(Phase.READY), self._clock.now()
        if ready and all(self._fits(entry, room, now) for entry in ready):
            return LONGEST_LOOK_INTERVAL
        return look_interval(self._mean_age(), last=self._is_nearly_over(LAST))

    @property
    def _next_survey(self) -> float:
        """When to ask again; the last ones are the only ones that anybody still waits for."""
        nearly_over = self._is_nearly_over(FEW_LEFT)
        entries = min(FEW_LEFT, self._to_do) if nearly_over else self._to_do
        return self._surveyed_at + survey_interval(self._surveyed_at - self._begun, entries)

    def _is_nearly_over(self, most: int) -> bool:
        # Spares going through thousands at every wake-up. What has just ended is among them still.
        if len(self._open) > 2 * FEW_LEFT:
            return False
        left = self._with(*OPEN_PHASES)
        return len(left) <= most and all(entry.phase is Phase.RUNNING for entry in left)

    def _mean_age(self) -> float:
        """Return for how long the work in progress has been going on."""
        now, running = self._clock.now(), self._with(Phase.RUNNING)
        return sum(now - entry.started_at for entry in running) / max(1, len(running))

    def _pause(self, now: float) -> float:
        """Return the time until the next thing that can be done."""
        events = [self._next_survey]
        if self._with(Phase.RUNNING):
            events.append(self._next_look)
        room, free = self._room(), now + self._rate.delay(now)
        may_start = [
            max(free, entry.not_before)
            for entry in self._with(Phase.READY)
            if self._fits(entry, room, now)
        ]
        return max(min(events + may_start) - now, SHORTEST_PAUSE)

    def _tolerate(self, look: t.Callable[[], None]) -> None:
        """Let a look fail for a passing reason: the next one comes."""
        try:
            look()
        except AnsibleAWSError as error:
            if not is_transient(error):
                raise
