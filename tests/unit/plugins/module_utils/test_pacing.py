# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a run may go."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.amistore.aws.plugins.module_utils._pacing import (
    CREATE_RATE,
    FASTER,
    LONGEST_BACK_OFF,
    RESTORE_LIMITS,
    SLOWER,
    STORE_LIMITS,
    CreateRate,
    Limits,
    Rate,
    SystemClock,
    free_room,
    look_interval,
    shortest_duration,
    survey_interval,
)
from tests.emulator.limits import Rate as AwsRate
from tests.emulator.rates import TokenBuckets

SMALL_RATE = Rate(burst=2, seconds_per_request=10.0)
# Far below any latency of AWS; keeps rounding out of the comparison.
ROUNDING = 1e-6

seconds = st.floats(min_value=0.0, max_value=200.0, allow_nan=False)
latencies = st.floats(min_value=0.0, max_value=30.0, allow_nan=False)


def rate_without_chance(rate: Rate = SMALL_RATE, jitter: float = 1.0) -> CreateRate:
    return CreateRate(rate, lambda: jitter)


class AwsBucket:
    """AWS's own count, by the moments at which requests arrive."""

    def __init__(self, rate: Rate) -> None:
        self._rate = AwsRate(rate.burst, 1 / rate.seconds_per_request)
        self._arrival = 0.0
        self._buckets = TokenBuckets(lambda: self._arrival)

    def grants(self, arrival: float) -> bool:
        self._arrival = arrival
        return self._buckets.take("create", self._rate)


@given(
    st.integers(min_value=1, max_value=5),
    st.lists(st.tuples(seconds, latencies, latencies), min_size=1, max_size=40),
)
def test_a_run_alone_is_never_ahead_of_aws(
    burst: int, requests: list[tuple[float, float, float]]
) -> None:
    rate = Rate(burst, 10.0)
    ours, aws = rate_without_chance(rate), AwsBucket(rate)
    now = 1000.0
    for idle, there, back in requests:
        now += idle
        now += ours.delay(now)
        arrival = now + there + ROUNDING
        assert aws.grants(arrival)
        now = arrival + back
        ours.spend(now)


def test_the_burst_goes_at_once_then_one_per_interval() -> None:
    rate = rate_without_chance()
    moments = []
    now = 0.0
    for _request in range(5):
        now += rate.delay(now)
        moments.append(now)
        rate.spend(now)
    assert moments == [0.0, 0.0, 10.0, 20.0, 30.0]


def test_idle_time_before_the_first_request_earns_nothing() -> None:
    rate = rate_without_chance()
    assert rate.delay(0.0) == 0.0
    for _request in range(2):
        rate.spend(1000.0)
    assert rate.delay(1000.0) == 10.0


def test_idle_time_earns_no_more_than_the_burst() -> None:
    rate = rate_without_chance()
    rate.spend(0.0)
    for _request in range(2):
        assert rate.delay(10_000.0) == 0.0
        rate.spend(10_000.0)
    assert rate.delay(10_000.0) == 10.0


def test_a_throttled_answer_empties_the_bucket() -> None:
    rate = rate_without_chance(jitter=0.0)
    rate.spend(0.0)
    assert rate.delay(0.0) == 0.0
    rate.empty(0.0)
    assert rate.delay(0.0) == 10.0 * SLOWER


def test_setbacks_in_a_row_wait_longer_up_to_a_bound() -> None:
    rate = rate_without_chance(Rate(burst=50, seconds_per_request=10.0))
    delays = []
    for _setback in range(6):
        rate.back_off(0.0)
        delays.append(rate.delay(0.0))
    assert delays == [10.0, 20.0, 40.0, 60.0, 60.0, 60.0]
    assert max(delays) == LONGEST_BACK_OFF


def test_an_accepted_request_ends_the_setbacks() -> None:
    rate = rate_without_chance(Rate(burst=50, seconds_per_request=10.0))
    for _setback in range(4):
        rate.back_off(0.0)
    rate.settle()
    rate.back_off(100.0)
    assert rate.delay(100.0) == 10.0


def seconds_for_one(rate: CreateRate) -> float:
    """Return how long an empty bucket takes for one request, as its first second tells."""
    now = 10_000.0
    while rate.tokens(now) >= 1.0:
        rate.spend(now)
    before = rate.tokens(now)
    return 1.0 / (rate.tokens(now + 1.0) - before)


@pytest.mark.parametrize(("throttled", "expected"), [(0, 10.0), (1, 15.0), (2, 22.5), (9, 40.0)])
def test_throttled_answers_slow_the_requests_down(throttled: int, expected: float) -> None:
    rate = rate_without_chance()
    rate.spend(0.0)
    for _answer in range(throttled):
        rate.empty(0.0)
    assert seconds_for_one(rate) == pytest.approx(expected)


def test_accepted_requests_speed_them_up_again_but_never_beyond_the_rate() -> None:
    rate = rate_without_chance()
    rate.spend(0.0)
    rate.empty(0.0)
    rate.settle()
    assert seconds_for_one(rate) == pytest.approx(15.0 * FASTER)
    for _answer in range(20):
        rate.settle()
    assert seconds_for_one(rate) == pytest.approx(10.0)


# What others have sent


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ([], 50.0),
        ([600.0] * 50, 50.0),
        ([0.0] * 20, 30.0),
        ([0.0] * 50, 0.0),
        ([-5.0] * 50, 0.0),
        ([0.0] * 210, 0.0),
        ([250.0] * 50, 25.0),
        ([10.0 * number for number in range(50)], 0.0),
        ([20.0 * number for number in range(25)], 25.0),
    ],
    ids=[
        "nothing",
        "long ago",
        "some just now",
        "all just now",
        "by a clock that goes before",
        "more than there can be",
        "all half a filling ago",
        "one per interval",
        "every other one",
    ],
)
def test_what_was_granted_before_the_run_is_missing_now(ages: list[float], expected: float) -> None:
    rate = rate_without_chance(CREATE_RATE)
    rate.count_earlier(ages, 1000.0)
    assert rate.tokens(1000.0) == pytest.approx(expected, abs=1.0)


@settings(deadline=None)
@given(st.lists(st.floats(min_value=0.0, max_value=500.0), max_size=99))
def test_what_was_granted_before_is_never_underrated(ages: list[float]) -> None:
    """Whatever AWS had granted out of any bucket: what it has now is no less than our count."""
    arrivals = sorted(500.0 - age for age in ages)
    aws = AwsBucket(CREATE_RATE)
    granted = [arrival for arrival in arrivals if aws.grants(arrival)]
    ours = rate_without_chance(CREATE_RATE)
    ours.count_earlier([500.0 - arrival for arrival in granted], 0.0)
    for _request in range(int(ours.tokens(0.0))):
        assert aws.grants(500.0 + ROUNDING)


def test_requests_of_others_are_taken_off_the_count() -> None:
    rate = rate_without_chance(CREATE_RATE)
    rate.count_others(20, 0.0)
    assert rate.tokens(0.0) == 30.0
    rate.count_others(100, 0.0)
    assert rate.tokens(0.0) == 0.0


@given(st.floats(min_value=0.0, max_value=1.0, exclude_max=True))
def test_chance_takes_at_most_half_of_a_setback(chance: float) -> None:
    rate = rate_without_chance(Rate(burst=50, seconds_per_request=10.0), jitter=chance)
    rate.back_off(0.0)
    assert 5.0 <= rate.delay(0.0) <= 10.0


@pytest.mark.parametrize(
    ("starts", "expected"), [(0, 0.0), (50, 0.0), (51, 10.0), (60, 100.0), (500, 4500.0)]
)
def test_the_shortest_duration_is_aws_request_rate(starts: int, expected: float) -> None:
    assert shortest_duration(starts, STORE_LIMITS) == expected


def test_the_limits_are_those_that_aws_documents() -> None:
    assert Limits(Rate(50, 10.0), 1200) == STORE_LIMITS
    assert Limits(Rate(50, 10.0), 600) == RESTORE_LIMITS
    assert STORE_LIMITS.create_rate is CREATE_RATE


@pytest.mark.parametrize(
    ("running", "anything", "expected"),
    [
        (0, False, float("inf")),
        (0, True, 1200),
        (1199, True, 1),
        (1200, True, 0),
        (5000, True, -3800),
    ],
    ids=[
        "alone it may exceed the limit",
        "not beside something of unknown size",
        "up to the limit",
        "not above it",
        "while an oversized one runs",
    ],
)
def test_the_room_that_is_free(running: int, anything: bool, expected: float) -> None:
    assert free_room(STORE_LIMITS, running, anything) == expected


@pytest.mark.parametrize(
    ("elapsed", "expected"), [(0.0, 2.0), (30.0, 2.0), (150.0, 10.0), (300.0, 20.0), (9e9, 20.0)]
)
def test_looks_come_after_a_fifteenth_of_the_age_of_the_work(
    elapsed: float, expected: float
) -> None:
    assert look_interval(elapsed) == expected


@pytest.mark.parametrize(("age", "expected"), [(0.0, 2.0), (300.0, 5.0), (9e9, 20.0)])
def test_the_end_of_the_last_work_is_noticed_sooner(age: float, expected: float) -> None:
    assert look_interval(age, last=True) == expected


@pytest.mark.parametrize(
    ("elapsed", "entries", "expected"),
    [
        (0.0, 1, 30.0),
        (600.0, 6, 30.0),
        (0.0, 100, 120.0),
        (1000.0, 6, 50.0),
        (2400.0, 1, 120.0),
        (9e9, 1, 120.0),
        (9e9, 400, 240.0),
        (0.0, 2000, 300.0),
    ],
)
def test_surveys_stay_between_half_a_minute_and_five(
    elapsed: float, entries: int, expected: float
) -> None:
    assert survey_interval(elapsed, entries) == expected


def test_the_system_clock_goes_on_while_it_sleeps() -> None:
    clock = SystemClock()
    before, outside = clock.now(), time.monotonic()
    clock.sleep(0.01)
    assert clock.now() - before >= 0.01
    assert abs(clock.now() - time.monotonic()) < 5.0 > abs(before - outside)
