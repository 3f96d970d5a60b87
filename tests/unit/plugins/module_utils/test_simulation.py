# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine against the least time that AWS lets a fleet take; `make bench-simulation` tries more
and larger fleets.
"""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any

import pytest

from tests.benchmarks.simulation.bound import (
    Allowance,
    Work,
    lower_bound,
    rate_bound,
    room_bound,
)
from tests.benchmarks.simulation.judge import Case, Result, faults_of
from tests.benchmarks.simulation.mixes import MIXES, fleet
from tests.benchmarks.simulation.orders import ORDERS
from tests.benchmarks.simulation.play import Outcome, play, play_restore

ALLOWED = Allowance(burst=2, seconds_per_start=10.0, in_flight=100)


def simulate(mix: str, count: int, share: float = 0.0, order: str = "ours") -> Result:
    images = fleet(MIXES[mix], count, seed=1)
    return Result(Case(mix, count, 1, share, order), play(images, share, ORDERS[order]))


# The bound


def test_the_rate_bounds_by_the_last_start_and_its_task() -> None:
    works = [Work(1, seconds) for seconds in (5.0, 50.0, 8.0, 6.0)]
    assert rate_bound(works, ALLOWED) == 50.0
    assert rate_bound([Work(1, 5.0)] * 4, ALLOWED) == 20.0 + 5.0
    assert rate_bound([Work(1, 5.0)] * 2, ALLOWED) == 5.0


def test_the_room_bounds_by_what_goes_through_a_full_pipe() -> None:
    assert room_bound([Work(50, 60.0)] * 4, ALLOWED) == 120.0
    assert room_bound([Work(5000, 60.0)], ALLOWED) == 60.0


def test_the_larger_one_counts() -> None:
    assert lower_bound([Work(50, 60.0)] * 4, ALLOWED) == 120.0
    assert lower_bound([Work(1, 60.0)] * 4, ALLOWED) == 80.0


def test_no_order_of_starts_beats_the_rate() -> None:
    seconds = (31.0, 4.0, 17.0, 25.0, 9.0)
    ends = [
        max(max(0, place - 1) * 10.0 + each for place, each in enumerate(order))
        for order in permutations(seconds)
    ]
    assert min(ends) == rate_bound([Work(1, each) for each in seconds], ALLOWED)


def test_what_is_left_beside_somebody_who_takes_half() -> None:
    assert Allowance().left_by(0.5) == Allowance(25, 20.0, 600)


# Fleets


@pytest.fixture(scope="module")
def servers() -> Result:
    return simulate("servers", 100)


@pytest.mark.parametrize("mix", ["mixed", "databases"])
def test_a_hundred_take_at_most_a_twentieth_longer_than_they_must(mix: str) -> None:
    assert simulate(mix, 100).faults() == []


def test_the_small_ones_too(servers: Result) -> None:
    assert servers.faults() == []
    assert servers.outcome.requests["CreateStoreImageTask"] == 100
    assert servers.outcome.ratio >= 1.0


def test_beside_somebody_who_takes_half_it_is_a_seventh() -> None:
    shared = simulate("servers", 100, share=0.5)
    assert shared.faults() == []
    assert shared.outcome.peak_gib <= 700


def test_restores_keep_to_half_the_room() -> None:
    restored = play_restore(fleet(MIXES["mixed"], 100, 1))
    case = Case("mixed", 500, 1, restore=True)
    assert Result(case, restored).largest_ratio == 1.05
    assert Result(case, restored).faults() == []
    assert restored.requests["CreateRestoreImageTask"] == 100


def test_the_more_amis_the_fewer_questions_for_each(servers: Result) -> None:
    assert faults_of([simulate("servers", 10), servers]) == []


def test_the_same_seed_gives_the_same_run(servers: Result) -> None:
    assert simulate("servers", 100).outcome == servers.outcome
    assert fleet(MIXES["servers"], 10, 1) != fleet(MIXES["servers"], 10, 2)


def test_the_order_of_the_task_would_take_longer(servers: Result) -> None:
    given = simulate("servers", 100, order="FIFO").outcome
    assert given.makespan > 1.1 * servers.outcome.makespan


# What is judged


def outcome(**changes: Any) -> Outcome:
    values: dict[str, Any] = {
        "makespan": 104.0,
        "throttled": 0,
        "peak_gib": 1200,
        "notice": 15.0,
        "lost": 0,
    }
    values |= changes
    return Outcome(count=100, bound=100.0, requests=Counter(), failed=3, **values)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"makespan": 106.0}, "makespan is 1.060 times the bound"),
        ({"throttled": 1}, "1 throttled answers"),
        ({"lost": 1}, "1 AMIs lost"),
        ({"peak_gib": 1201}, "1201 GiB in flight"),
        ({"notice": 15.1}, "ends noticed after 15.1 s"),
    ],
)
def test_each_fault_is_told(changes: dict[str, Any], told: str) -> None:
    case = Case("servers", 100, 4)
    assert Result(case, outcome()).faults() == []
    assert Result(case, outcome(**changes)).faults() == [f"100 servers, seed 4: {told}"]
