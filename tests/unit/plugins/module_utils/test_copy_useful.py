# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many parts at a time are of use, learnt in virtual time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._copy_useful import (
    AT_FIRST,
    FEWEST,
    Useful,
)

Seconds = Callable[[int, float], float]
"""What a part takes that begins beside so many others at that moment."""


@dataclass(frozen=True)
class Run:
    seconds: float
    numbers: list[int]
    """The number after each part."""


def run(useful: Useful, parts: int, seconds: Seconds) -> Run:
    """Move parts through as many slots as are useful."""
    now, begun, numbers = 0.0, 0, list[int]()
    moving: list[tuple[float, float]] = []
    while len(numbers) < parts:
        while begun < parts and len(moving) < useful.number:
            takes = seconds(len(moving) + 1, now)
            heapq.heappush(moving, (now + takes, takes))
            begun += 1
        now, takes = heapq.heappop(moving)
        useful.learn(takes)
        numbers.append(useful.number)
    return Run(now, numbers)


def capped(_number: int, _now: float) -> float:
    return 3.2


def test_the_top_is_reached_in_three_rounds_where_each_connection_is_capped() -> None:
    found = run(Useful(64), 128, capped)
    assert found.numbers[0] == AT_FIRST
    assert found.seconds == pytest.approx(4 * 3.2)
    assert found.numbers[65] == 64


def test_no_more_are_used_than_allowed() -> None:
    assert max(run(Useful(20), 500, capped).numbers) == 20
    assert set(run(Useful(1), 50, capped).numbers) == {1}
    assert set(run(Useful(3), 50, capped).numbers) == {3}


def bound(number: int, _now: float) -> float:
    """A server that moves ten parts a second, however many it has."""
    return number / 10


def worn_out(number: int, _now: float) -> float:
    """A server that moves as much with 12 at a time as with more, and half with 32."""
    return number / 10 * max(1.0, number / 16)


@pytest.mark.parametrize("server", [bound, worn_out])
def test_the_number_stays_small_where_the_server_is_the_bound(server: Seconds) -> None:
    found = run(Useful(64), 2000, server)
    assert max(found.numbers) <= 2 * AT_FIRST
    assert min(found.numbers) >= FEWEST


def test_a_server_is_not_worn_out() -> None:
    assert run(Useful(64), 2000, worn_out).seconds <= 1.25 * 2000 / 10


@pytest.mark.parametrize("spread", [0.2, 0.5, 0.8])
def test_chance_does_not_keep_the_number_small(spread: float) -> None:
    chance = random.Random(7)
    found = run(Useful(64), 5000, lambda _number, _now: chance.lognormvariate(0.0, spread))
    assert max(found.numbers[:300]) == 64
    assert min(found.numbers[300:]) >= 48


def test_fewer_move_once_the_server_gets_slower() -> None:
    def later_bound(number: int, now: float) -> float:
        return 1.0 if now < 20 else number / 8

    found = run(Useful(64), 5000, later_bound)
    assert max(found.numbers) == 64
    assert found.numbers[-1] <= 24


def test_what_is_slow_for_ever_becomes_the_usual() -> None:
    found = run(Useful(64), 5000, lambda _number, now: 1.0 if now < 20 else 10.0)
    assert min(found.numbers) == FEWEST
    assert found.numbers[-1] == 64
