# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one seed makes up: a fleet, an account with others in it, and how often the task is run."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from ansible_collections.amistore.aws.plugins.module_utils._pacing import (
    DESCRIBE_RATE,
    RESTORE_LIMITS,
    STORE_LIMITS,
    Limits,
    Rate,
)
from tests.emulator.scenario import Failure

TAGS: tuple[Mapping[str, str] | None, ...] = (None, {}, {"Team": "web"})
LAGS = (0.0, 0.0, 0.0, 3.0, 20.0)
# Longer than all tasks of any fleet take one after the other.
LONG = 20_000


class Deed(Enum):
    """What others do."""

    CREATE = "store or restore AMIs of their own"
    DESCRIBE = "ask for store tasks"
    STORE_ELSEWHERE = "store one of these AMIs into another bucket"
    STORE_HERE = "store one of these AMIs under its key"
    STORE_BESIDE = "store one of these AMIs under another key of the bucket"


@dataclass(frozen=True)
class Other:
    """Something that others do at a moment; `number` is one of the fleet, or how many."""

    moment: float
    deed: Deed
    number: int = 0
    gib: int = 8


@dataclass(frozen=True)
class RunPlan:
    """One run of the task. Times in seconds."""

    pause: float = 0.0
    """Before it."""
    share: float = 0.0
    """Of its requests that fail."""
    dies_at: int | None = None
    session: float | None = None
    """How long its credentials last."""
    renewable: bool = False
    slowest: float = 0.1
    wait: bool = True
    wait_timeout: int = LONG


@dataclass(frozen=True)
class Plan:
    """All that a seed decides."""

    seed: int
    restoring: bool
    sizes: Sequence[int]
    limits: Limits
    describe_rate: Rate
    seconds: float
    seconds_per_gib: float
    failures: Mapping[int, Failure]
    includes_new: bool
    """Whether AWS counts the new task when it looks at the GiB in flight."""
    listing_lag: float
    update_lag: float
    object_lag: float
    image_lag: float
    name_lag: float
    page_size: int | None
    empty_pages: int
    strangers: Mapping[int, str]
    """States of AMIs of others that hold the name of a stored image."""
    others: Sequence[Other]
    crowded: Sequence[int]
    """At which create requests, counted from 1, others are quicker and take the room."""
    runs: Sequence[RunPlan]
    manifest: bool
    tags: Mapping[str, str] | None

    @property
    def hopeless(self) -> set[int]:
        """Those that fail however often they are tried."""
        lasting = {number for number, failure in self.failures.items() if failure.times is None}
        beside = {each.number for each in self.others if each.deed is Deed.STORE_BESIDE}
        return lasting | beside | set(self.strangers)


def draw(seed: int) -> Plan:
    """The same plan for the same seed; stores and restores take turns."""
    chance = random.Random(f"campaign {seed}")
    restoring = bool(seed % 2)
    limits, sizes = _fleet(chance, restoring)
    numbers = range(len(sizes))
    return Plan(
        seed=seed,
        restoring=restoring,
        sizes=sizes,
        limits=limits,
        describe_rate=DESCRIBE_RATE if len(sizes) > 40 else Rate(chance.randint(3, 8), 2.0),
        seconds=chance.choice((1.0, 25.0, 90.0, 300.0)),
        seconds_per_gib=chance.choice((0.0, 3.0, 12.0)),
        failures={
            number: _failure(chance) for number in numbers if chance.random() < 1 / len(numbers)
        },
        includes_new=chance.random() < 0.5,
        listing_lag=chance.choice(LAGS),
        update_lag=chance.choice(LAGS),
        object_lag=chance.choice(LAGS),
        image_lag=chance.choice(LAGS),
        name_lag=chance.choice(LAGS),
        page_size=chance.choice((None, None, 1, 3)),
        empty_pages=chance.choice((0, 0, 0, 2)),
        strangers=_strangers(chance, numbers) if restoring else {},
        others=_others(chance, restoring, limits, numbers),
        crowded=chance.choice(((), (), (), (2,), (3, 4))),
        runs=_runs(chance, len(sizes)),
        manifest=chance.random() < 0.8,
        tags=chance.choice(TAGS),
    )


def _fleet(chance: random.Random, restoring: bool) -> tuple[Limits, list[int]]:
    """Mostly small fleets under small limits; some at AWS's own."""
    most = chance.choices((4, 10, 30, 62), weights=(55, 33, 9, 3))[0]
    if most == 62:
        limits = RESTORE_LIMITS if restoring else STORE_LIMITS
        sizes = [chance.choice((8, 8, 20, 40, 200)) for _ami in range(chance.randint(52, most))]
        return limits, sizes
    burst, in_flight = chance.randint(1, 6), chance.choice((30, 60, 200))
    count = chance.randint(max(1, most // 2), most)
    largest = chance.choice((10, 30, in_flight + 20))
    return Limits(Rate(burst, 10.0), in_flight), [
        chance.randint(1, largest) for _ami in range(count)
    ]


def _failure(chance: random.Random) -> Failure:
    reason = chance.choice(("", "Snapshot is gone"))
    return Failure(reason, chance.choice((0, 50, 100)), chance.choice((1, 1, 2, None)))


def _strangers(chance: random.Random, numbers: range) -> dict[int, str]:
    if chance.random() < 0.75:
        return {}
    return {chance.choice(numbers): chance.choice(("available", "pending", "failed"))}


def _others(chance: random.Random, restoring: bool, limits: Limits, numbers: range) -> list[Other]:
    deeds = [Deed.CREATE, Deed.CREATE, Deed.DESCRIBE]
    if not restoring:
        deeds += [Deed.STORE_ELSEWHERE, Deed.STORE_HERE, Deed.STORE_BESIDE]
    return [
        _other(chance, chance.choice(deeds), limits, numbers)
        for _deed in range(chance.choice((0, 0, 1, 2, 5)))
    ]


def _other(chance: random.Random, deed: Deed, limits: Limits, numbers: range) -> Other:
    moment = chance.choice((0.0, chance.uniform(0.1, 5.0), chance.uniform(5.0, 600.0)))
    if deed is Deed.CREATE:
        gib = chance.randint(1, limits.in_flight // chance.choice((1, 3)))
        return Other(moment, deed, chance.randint(1, limits.create_rate.burst), gib)
    if deed is Deed.DESCRIBE:
        return Other(moment, deed, chance.randint(1, 60))
    return Other(moment, deed, chance.choice(numbers))


def _runs(chance: random.Random, count: int) -> list[RunPlan]:
    share = chance.choice((0.0, 0.02, 0.1, 0.3))
    deadly = chance.random() < 0.5
    return [_run(chance, count, share, deadly) for _run_plan in range(chance.randint(1, 4))]


def _run(chance: random.Random, count: int, share: float, deadly: bool) -> RunPlan:
    # A run of a small fleet takes about thirty requests and pauses.
    dies_at = chance.randint(1, 12 + 10 * count) if deadly and chance.random() < 0.8 else None
    renewable = chance.random() < 0.4
    session = chance.uniform(1000.0, 3000.0) if renewable else chance.uniform(1.0, 600.0)
    return RunPlan(
        pause=chance.choice((0.0, 0.0, 5.0, 60.0, 700.0)),
        share=share,
        dies_at=dies_at,
        session=session if chance.random() < 0.25 else None,
        renewable=renewable,
        slowest=chance.choice((0.1, 0.1, 6.0)),
        wait=chance.random() < 0.85,
        wait_timeout=chance.randint(10, 400) if chance.random() < 0.15 else LONG,
    )
