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

from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import MIB
from ansible_collections.amistore.aws.plugins.module_utils._copy_useful import (
    AT_FIRST,
    LEAST_ROUNDS,
    NEAR,
    PATIENCE,
    PATIENCE_BEYOND_AIM,
    Foresight,
    Useful,
    at_first,
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
    moving: list[tuple[float, int, float]] = []
    while len(numbers) < parts:
        while begun < parts and len(moving) < useful.number:
            takes = seconds(len(moving) + 1, now)
            heapq.heappush(moving, (now + takes, useful.attempt, takes))
            begun += 1
        now, attempt, takes = heapq.heappop(moving)
        useful.learn(attempt, takes)
        numbers.append(useful.number)
    return Run(now, numbers)


def capped(_number: int, _now: float) -> float:
    return 2.0


def test_the_number_doubles_where_each_connection_is_capped() -> None:
    # One while connections are opened, one to measure.
    rounds = int(PATIENCE / 2.0) + 2
    found = run(Useful(64), rounds * AT_FIRST + 2 * (24 + 48 + 64), capped)
    assert found.numbers[0] == AT_FIRST
    # Parts that are on their way at a change do not count, so each number takes up to twice 2 s.
    assert found.seconds <= (rounds + 2 + 2 + 2) * 2.0
    assert found.numbers[-1] == 64


# Of parts so small, no number moves what is aimed at.
TINY = 1


def first_try(takes: float, part_size: int, rounds: int) -> float:
    """The second in which another number than the first is used."""
    tried_at = list[float]()
    useful = Useful(64, part_size=part_size)

    def note(_number: int, now: float) -> float:
        if useful.number != AT_FIRST:
            tried_at.append(now)
        return takes

    run(useful, rounds * AT_FIRST, note)
    return tried_at[0]


@pytest.mark.parametrize("takes", [0.1, 0.5, 3.0])
def test_another_number_is_tried_after_seconds_however_many_parts_they_are(takes: float) -> None:
    tried = first_try(takes, TINY, int(PATIENCE / takes) + 4)
    assert PATIENCE <= tried <= PATIENCE + 3 * takes


@pytest.mark.parametrize("takes", [0.1, 0.5])
def test_it_is_tried_sooner_where_more_moves_than_was_aimed_at(takes: float) -> None:
    tried = first_try(takes, 8 * MIB, int(PATIENCE / takes) + 4)
    assert PATIENCE_BEYOND_AIM <= tried <= PATIENCE_BEYOND_AIM + 3 * takes


@pytest.mark.parametrize("takes", [30.0, 100.0])
def test_parts_that_take_long_are_still_counted_for_some_rounds(takes: float) -> None:
    tried = first_try(takes, TINY, 2 * LEAST_ROUNDS)
    # Those that come before are for opening connections and for measuring.
    assert tried == pytest.approx((2 + LEAST_ROUNDS) * takes)


def test_after_a_try_in_vain_the_next_one_waits_whatever_moves() -> None:
    tried_at = list[float]()
    useful = Useful(64, part_size=8 * MIB)

    def fast_and_bound(number: int, now: float) -> float:
        if useful.number != AT_FIRST:
            tried_at.append(now)
        return number / 40

    run(useful, int(40 * 3 * PATIENCE), fast_and_bound)
    assert tried_at[0] <= PATIENCE_BEYOND_AIM + 1
    later = [second for second in tried_at if second > tried_at[0] + 5]
    assert later[0] >= 2 * PATIENCE


def test_what_is_foreseen_to_be_slow_begins_with_the_most() -> None:
    useful = Useful(64)
    useful.foresee(8 * MIB, 4.0)
    assert useful.number == 64
    assert run(useful, 128, capped).seconds == pytest.approx(2 * 2.0)


@pytest.mark.parametrize(
    ("seconds", "number"), [(0.0, 12), (0.25, 12), (0.5, 12), (0.75, 15), (1.0, 20), (60.0, 64)]
)
def test_so_many_at_first_as_their_time_asks_for(seconds: float, number: int) -> None:
    useful = Useful(64)
    useful.foresee(8 * MIB, seconds)
    assert useful.number == number


@pytest.mark.parametrize(
    ("reading", "sending", "number"),
    [(0.05, 0.5, AT_FIRST), (0.05, 1.0, 21), (1.0, 0.05, 21), (1.0, 1.0, 40), (0.05, 9.0, 64)],
)
def test_what_reading_and_sending_take_is_foreseen_together(
    reading: float, sending: float, number: int
) -> None:
    useful = Useful(64)
    useful.foresee(8 * MIB, reading)
    useful.foresee(8 * MIB, sending, sending=True)
    useful.foresee(8 * MIB, 2 * sending, sending=True)
    assert useful.number == number


def test_what_takes_long_to_send_is_not_forgotten_once_reading_goes_faster() -> None:
    useful = Useful(64)
    useful.foresee(8 * MIB, 1.0, sending=True)
    useful.foresee(8 * MIB, 0.01)
    assert useful.number == 20


@pytest.mark.parametrize(
    ("waiting", "part", "number"),
    [(0.0, 8, NEAR), (0.04, 8, 6), (0.16, 8, 9), (0.16, 64, NEAR), (0.5, 8, 20), (0.5, 5, 29)],
)
def test_it_begins_with_more_where_round_trips_take_long(
    waiting: float, part: int, number: int
) -> None:
    assert at_first(waiting, part * MIB) == number
    assert Useful(64, number).number == number
    assert Useful(4, number).number == 4


def test_what_is_foreseen_only_adds_and_only_at_first() -> None:
    useful = Useful(64)
    useful.foresee(8 * MIB, 1.0)
    useful.foresee(8 * MIB, 0.1)
    assert useful.number == 20
    run(useful, 24, bound)
    number = useful.number
    useful.foresee(8 * MIB, 60.0)
    assert useful.number == number


@pytest.mark.parametrize("most", [12, 16, 64])
def test_what_is_foreseen_beyond_the_most_does_not_keep_from_learning(most: int) -> None:
    useful = Useful(most)
    rounds = 2000 // most
    for _part in range(rounds * most):
        useful.foresee(8 * MIB, 60.0)
        attempt = useful.attempt
        useful.foresee(8 * MIB, 60.0)
        useful.learn(attempt, worn_out(useful.number, 0.0))
    assert useful.number <= 8


def test_the_fastest_of_those_that_are_read_side_by_side_counts() -> None:
    useful = Useful(64)
    useful.foresee(8 * MIB, 0.5)
    useful.foresee(8 * MIB, 10.0)
    assert useful.number == AT_FIRST


def test_no_more_are_used_than_allowed() -> None:
    assert max(run(Useful(20), 500, capped).numbers) == 20
    assert set(run(Useful(1), 50, capped).numbers) == {1}
    assert set(run(Useful(3), 50, capped).numbers) == {3}


def bound(number: int, _now: float) -> float:
    """A server that moves ten parts a second, however many it has."""
    return number / 10


def worn_out(number: int, _now: float) -> float:
    """A server that moves as much with 8 at a time as with fewer, and half with 16."""
    return number / 10 * max(1.0, number / 8)


def test_more_are_seldom_tried_where_the_server_is_the_bound() -> None:
    found = run(Useful(64), 4000, bound)
    assert sum(found.numbers) / len(found.numbers) <= 1.1 * AT_FIRST
    assert max(found.numbers) == 2 * AT_FIRST
    assert found.seconds <= 1.02 * 4000 / 10


def test_fewer_move_where_that_many_wear_the_server_out() -> None:
    found = run(Useful(64), 4000, worn_out)
    assert max(found.numbers[2000:]) <= AT_FIRST
    assert found.numbers[-1] <= 8
    assert found.seconds <= 1.2 * 4000 / 10


def test_as_many_stay_where_fewer_would_move_as_much() -> None:
    assert min(run(Useful(64), 4000, bound).numbers) >= 0.75 * AT_FIRST


def test_too_many_at_first_become_fewer() -> None:
    found = run(Useful(64, 48), 2000, worn_out)
    assert found.numbers[-1] <= 8


@pytest.mark.parametrize("spread", [0.2, 0.5, 0.8])
def test_chance_does_not_keep_the_number_small(spread: float) -> None:
    chance = random.Random(7)
    found = run(Useful(64), 5000, lambda _number, _now: chance.lognormvariate(0.0, spread))
    assert max(found.numbers[:500]) == 64
    assert sum(found.numbers[500:]) / len(found.numbers[500:]) >= 48


def test_fewer_move_once_the_server_gets_slower() -> None:
    def later_bound(number: int, now: float) -> float:
        return 1.0 if now < 30 else worn_out(number, now)

    found = run(Useful(64), 8000, later_bound)
    assert max(found.numbers) == 64
    assert found.numbers[-1] <= 24


def test_more_move_once_the_server_gets_faster() -> None:
    def later_free(number: int, now: float) -> float:
        return number / 10 if now < 20 else 1.0

    assert max(run(Useful(64), 2000, later_free).numbers[1000:]) == 64


def test_parts_that_were_begun_before_a_change_tell_nothing() -> None:
    useful = Useful(64)
    before = useful.attempt
    useful.foresee(8 * MIB, 1.0)
    for _part in range(1000):
        useful.learn(before, 0.001)
    assert useful.number == 20


def test_parts_that_are_disregarded_tell_nothing() -> None:
    useful = Useful(64, part_size=TINY)
    held_up = useful.attempt
    useful.disregard()
    for _part in range(1000):
        useful.learn(held_up, 1000.0)
    assert (useful.number, useful.kept) == (AT_FIRST, 0)
    run(useful, 2 * AT_FIRST, capped)
    assert useful.kept == AT_FIRST


def test_the_time_of_a_part_is_foreseen_from_its_first_half() -> None:
    now, told = [10.0], list[tuple[int, float]]()
    foresight = Foresight(8 * MIB, lambda: now[0], lambda *of: told.append(of))
    now[0] += 0.5
    foresight.saw(MIB)
    foresight.saw(2 * MIB)
    assert not told
    now[0] += 0.6
    foresight.saw(MIB)
    now[0] += 0.2
    foresight.saw(MIB)
    # Half a second until it came, and 0.6 / 3, then on average 0.8 / 4, for each further MiB.
    assert told == [
        (8 * MIB, pytest.approx(0.5 + 0.6 / 3 * 7)),
        (8 * MIB, pytest.approx(0.5 + 0.8 / 4 * 7)),
    ]
