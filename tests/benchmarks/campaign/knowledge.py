# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one process has asked and was shown, and what it may therefore send.

The rules look at what the process could know, not at what AWS would have refused: a create request
that AWS's refusal alone keeps from doing harm breaks them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ansible_collections.amistore.aws.plugins.module_utils._pacing import Rate
from tests.benchmarks.campaign.troubles import Broken
from tests.emulator.model import Work

ROUNDING = 1e-6


@dataclass
class Knowledge:
    """Of one process; `moment` counts what it was shown."""

    moment: int = 0
    objects: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """By key: when last asked for, and whether it was there."""
    in_progress: set[str] = field(default_factory=set)
    listed_at: int = 0
    holders: dict[str, tuple[int, set[str]]] = field(default_factory=dict)
    """By name: when last asked for, and the AMIs that held it."""
    pending: set[str] = field(default_factory=set)
    """The AMIs that were being made, by the last answer."""
    doubtful: dict[str, int] = field(default_factory=dict)
    """By AMI or name: the last create request of which only a look tells what it did."""
    accepted: set[str] = field(default_factory=set)
    started: set[str] = field(default_factory=set)
    """What AWS has begun at its requests, also where the answer got lost."""
    starts_shown: set[tuple[str, float]] = field(default_factory=set)
    """The AMIs that it was shown to be stored, and since when."""
    own: list[Work] = field(default_factory=list)
    _pages: set[str] = field(default_factory=set)

    # What it was shown

    def see_object(self, key: str, there: bool) -> None:
        self.moment += 1
        self.objects[key] = (self.moment, there)

    def see_listing(self, watched: Iterable[str]) -> None:
        """A listing to its end. Which of its keys the process cares for is unknown, so a key that
        it shows binds nobody.
        """
        for key in watched:
            self.see_object(key, False)

    def see_tasks(self, image_ids: Iterable[str], first: bool, last: bool) -> None:
        """A page of the tasks in progress."""
        self._pages = set(image_ids) | (set() if first else self._pages)
        if last:
            self.moment += 1
            self.in_progress, self.listed_at = self._pages, self.moment

    def see_holders(self, names: Sequence[str], found: Iterable[tuple[str, str]]) -> None:
        self.moment += 1
        for name in names:
            self.holders[name] = (self.moment, set())
        for name, image_id in found:
            if name in self.holders:
                self.holders[name][1].add(image_id)

    # What it may send

    def check_store(self, image_id: str, key: str) -> None:
        self._check_first(image_id)
        asked, there = self.objects.get(key, (0, False))
        since = self.doubtful.get(image_id, 0)
        if asked <= since:
            raise Broken(f"{image_id}: a store is requested without a look at its object before")
        if there:
            raise Broken(f"{image_id}: a store is requested though its object was there")
        if self.listed_at <= since:
            raise Broken(f"{image_id}: a store is requested without a look at the tasks before")
        if image_id in self.in_progress:
            raise Broken(f"{image_id}: a store is requested though one was in progress")

    def check_restore(self, name: str, existing: Collection[str]) -> None:
        self._check_first(name)
        asked, holders = self.holders.get(name, (0, set()))
        if asked <= self.doubtful.get(name, 0):
            raise Broken(f"{name}: a restore is requested without a look at the name before")
        still = sorted(holders & set(existing))
        if still:
            raise Broken(f"{name}: a restore is requested though {still[0]} was seen with the name")

    def _check_first(self, subject: str) -> None:
        if subject in self.accepted:
            raise Broken(f"{subject}: requested again after AWS had accepted it")

    def answer(self, subject: str, accepted: bool, doubtful: bool) -> None:
        if accepted:
            self.accepted.add(subject)
        if doubtful:
            self.doubtful[subject] = self.moment

    # What it may have in flight

    def check_room(
        self, subject: str, work: Work, running: Iterable[Work], limit: int | None
    ) -> None:
        """Before `work` begins: what it knows to be in flight leaves room, or is nothing."""
        known = self.in_progress | self.pending
        own = {id(each) for each in self.own}
        load = sum(each.gib for each in running if id(each) in own or each.image_id in known)
        if limit is not None and load and load + work.gib > limit:
            raise Broken(
                f"{work.image_id}: {work.gib} GiB are started while {load} GiB are known to be in"
                f" flight, and {limit} GiB are allowed"
            )
        self.own.append(work)
        self.started.add(subject)


@dataclass
class Requests:
    """When the requests of one process arrived, by action."""

    moments: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def check(self, action: str, rate: Rate) -> None:
        """No window, however short or long, holds more than the token bucket gives in it.

        A window that begins with a request is the worst; `least` is the smallest number of requests
        by which one of them was ahead of the refill.
        """
        ahead = float("inf")
        for number, moment in enumerate(self.moments[action]):
            refilled = moment / rate.seconds_per_request
            ahead = min(ahead, number - refilled)
            if number + 1 - refilled - ahead > rate.burst + ROUNDING:
                raise Broken(
                    f"{action}: {number + 1} requests until {moment:.1f} s are more than"
                    f" {rate.burst} and one per {rate.seconds_per_request} s"
                )
