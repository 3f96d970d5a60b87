# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a run is and how long it may still take, told to whoever watches; times in seconds."""

from __future__ import annotations

import contextlib
import re
import statistics
import typing as t
from collections import Counter
from dataclasses import dataclass, field, replace

from ansible.module_utils.common.parameters import remove_values
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.amistore.aws.plugins.module_utils import _progress_file
from ansible_collections.amistore.aws.plugins.module_utils._fleet import Entry, Observer, Phase
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Clock, Limits
from ansible_collections.amistore.aws.plugins.module_utils._progress_file import (
    Progress,
    RunningImage,
)

MOST_SHOWN = 10
LONGEST_LABEL = 100
CUT = "..."
_STORED_IMAGE = re.compile(r"ami-[0-9a-f]{8,17}\.bin")
# Percent; below, the rounding of AWS's figures says more than the figures.
LEAST_MOVED = 5
# What is told is worked out from all AMIs, and the more there are, the longer a run wakes up for
# them: told ever more rarely, it costs the same for each. Shown is it once a minute.
ENTRIES_PER_SECOND = 50
LONGEST_BETWEEN = 30.0


@dataclass
class Course:
    """How one task at AWS has moved since this run first saw it, in percent."""

    begun_at: float
    begun_with: int
    percent: int
    moved_at: float

    def see(self, percent: int, now: float) -> None:
        if percent != self.percent:
            self.percent, self.moved_at = percent, now

    def duration(self) -> float | None:
        """Return how long the whole task takes at this pace, None before it has moved enough."""
        moved = self.percent - self.begun_with
        passed = self.moved_at - self.begun_at
        if moved < LEAST_MOVED or passed <= 0:
            return None
        # AWS rounds down, by half a percent on average; the end is exact.
        return passed * 100.0 / (moved if self.percent >= 100 else moved + 0.5)

    def seconds_left(self, now: float, typical: float | None) -> float | None:
        """Return how long it may still take, by its own pace or else the typical duration."""
        own = self.duration()
        if own is not None:
            return max(0.0, own * (100 - self.percent) / 100.0 - (now - self.moved_at))
        if typical is not None:
            return max(0.0, typical * (100 - self.percent) / 100.0 - (now - self.moved_at))
        return None


@dataclass(frozen=True)
class Work:
    """What is still to be done for one AMI: its size in GiB, and how long it takes."""

    size: int
    seconds: float


def typical_duration(samples: t.Sequence[tuple[int, float]]) -> t.Callable[[int], float] | None:
    """Return the duration by size in GiB, a straight line through what was seen; None before
    anything was.

    A task has a part of its own and a part that grows with the size, neither below zero.
    """
    if not samples:
        return None
    size = statistics.fmean(sample[0] for sample in samples)
    seconds = statistics.fmean(sample[1] for sample in samples)
    spread = sum((sample[0] - size) ** 2 for sample in samples)
    slope = sum((sample[0] - size) * (sample[1] - seconds) for sample in samples)
    per_gib = min(max(slope / spread, 0.0), seconds / size) if spread else 0.0
    return lambda gib: seconds + (gib - size) * per_gib


def least_seconds_left(
    running: t.Sequence[Work], waiting: t.Sequence[Work], limits: Limits, next_start: float
) -> float:
    """Return how long AWS's limits make the rest last at least, which a run at full speed keeps.

    The longest of: what runs; the last start, when AWS's request rate allows it, and its task; all
    tasks at the most GiB that may be in flight.

    :param next_start: until the request rate allows a start.
    """
    rate = limits.create_rate
    free = 1 if next_start > 0 else rate.burst
    longest_first = sorted((work.seconds for work in waiting), reverse=True)
    ends = [work.seconds for work in running] + [
        next_start + max(0, count - free) * rate.seconds_per_request + seconds
        for count, seconds in enumerate(longest_first, start=1)
    ]
    load = sum(min(work.size, limits.in_flight) * work.seconds for work in (*running, *waiting))
    return max([load / limits.in_flight, *ends])


@dataclass
class Watcher:
    """Follows the entries of a run by their places in it and hands on how it stands."""

    what: str
    limits: Limits
    clock: Clock
    tell: t.Callable[[Progress], None]
    _courses: dict[int, Course] = field(default_factory=dict)
    _samples: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Size and duration of those that have ended well."""
    _next_at: float = float("-inf")

    def __call__(self, entries: t.Sequence[Entry], next_start: float) -> None:
        """Tell how the run stands, unless it was told a moment ago; `next_start` is the time until
        the request rate allows one.
        """
        now = self.clock.now()
        if now < self._next_at:
            return
        self._next_at = now + min(float(len(entries) // ENTRIES_PER_SECOND), LONGEST_BETWEEN)
        for place, entry in enumerate(entries):
            self._follow(place, entry, now)
        self.tell(self._progress(entries, next_start, now))

    def _follow(self, place: int, entry: Entry, now: float) -> None:
        if entry.phase is Phase.RUNNING:
            percent = entry.progress or 0
            begun_at = entry.started_at or now
            course = self._courses.setdefault(place, Course(begun_at, percent, percent, now))
            course.see(percent, now)
        elif place in self._courses:
            course = self._courses.pop(place)
            course.see(100, now)
            duration = course.duration()
            if entry.phase is Phase.DONE and duration is not None:
                self._samples[place] = (entry.size, duration)

    def _progress(self, entries: t.Sequence[Entry], next_start: float, now: float) -> Progress:
        phases = Counter(entry.phase for entry in entries)
        typical = typical_duration(self._seen_durations(entries))
        running = [
            RunningImage(
                label=_printable(entries[place].label),
                percent=entries[place].progress,
                seconds_left=course.seconds_left(
                    now, typical(entries[place].size) if typical else None
                ),
            )
            for place, course in self._courses.items()
        ]
        return Progress(
            what=self.what,
            done=phases[Phase.DONE],
            in_flight=phases[Phase.RUNNING],
            not_started=phases[Phase.READY] + phases[Phase.HELD] + phases[Phase.UNSURE],
            failed=phases[Phase.FAILED],
            running=tuple(running[:MOST_SHOWN]),
            seconds_left=self._seconds_left(entries, running, typical, next_start),
        )

    def _seen_durations(self, entries: t.Sequence[Entry]) -> list[tuple[int, float]]:
        moving = [
            (entries[place].size, course.duration()) for place, course in self._courses.items()
        ]
        known = [(size, duration) for size, duration in moving if duration is not None]
        return [*self._samples.values(), *known]

    def _seconds_left(
        self,
        entries: t.Sequence[Entry],
        running: t.Sequence[RunningImage],
        typical: t.Callable[[int], float] | None,
        next_start: float,
    ) -> float | None:
        if typical is None:
            return None
        going_on = [
            Work(entries[place].size, image.seconds_left or 0.0)
            for place, image in zip(self._courses, running)
        ]
        waiting = [
            Work(entry.size, typical(entry.size))
            for entry in entries
            if entry.open and entry.phase is not Phase.RUNNING
        ]
        return least_seconds_left(going_on, waiting, self.limits, next_start)


def _printable(label: str) -> str:
    """Return the label without what could do something to a terminal; keys hold any character."""
    return "".join(sign if sign.isprintable() else "?" for sign in _shortened(label))


def _shortened(label: str) -> str:
    """Return the label, cut where it tells least: a long prefix is the same for all AMIs."""
    if len(label) <= LONGEST_LABEL:
        return label
    found = list(_STORED_IMAGE.finditer(label))
    if found:
        # What follows is the name that a restore gives the AMI.
        end = label[found[-1].start() :][: LONGEST_LABEL - len(CUT)]
    else:
        end = label[-(LONGEST_LABEL // 2) :]
    return f"{label[: LONGEST_LABEL - len(CUT) - len(end)]}{CUT}{end}"


def watcher_of(
    module: AnsibleAWSModule, what: str, limits: Limits, clock: Clock
) -> Observer | None:
    """Return what tells the controller how the module stands, None where nobody wants to know."""
    # The public `tmpdir` would make a folder where the controller gave none and so cannot look.
    folder = module._tmpdir
    if not folder or not module.params["progress"]:
        return None

    def tell(progress: Progress) -> None:
        # A full disk or a folder that is gone must not cost a run.
        with contextlib.suppress(OSError):
            _progress_file.write(folder, _masked(progress, module.no_log_values))

    return Watcher(what, limits, clock, tell)


def _masked(progress: Progress, secrets: t.Collection[str]) -> Progress:
    """Return the same without the values that Ansible must not show."""
    running = tuple(
        RunningImage(remove_values(image.label, secrets), image.percent, image.seconds_left)
        for image in progress.running
    )
    return replace(progress, what=remove_values(progress.what, secrets), running=running)
