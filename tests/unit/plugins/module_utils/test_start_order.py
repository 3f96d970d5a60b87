# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which AMI is started next."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.amistore.aws.plugins.module_utils._pacing import Limits, Rate
from ansible_collections.amistore.aws.plugins.module_utils._start_order import (
    Pace,
    Queue,
    keep_both_busy,
)

LIMITS = Limits(Rate(burst=8, seconds_per_request=10.0), in_flight=1000)
FULL, LOW = 8.0, 6.0


def queue_of(sizes: list[int], tokens: float, gib_seconds: float = 0.0) -> Queue:
    return Queue(sizes, tokens, LIMITS, Pace(), gib_seconds)


def test_the_largest_that_fits_goes_first() -> None:
    assert keep_both_busy([20, 50, 8], queue_of([900, 20, 50, 8], LOW)) == 1


def test_of_equal_ones_the_first_given_goes_first() -> None:
    assert keep_both_busy([8, 8, 8], queue_of([8, 8, 8], LOW)) == 0


def test_the_smallest_goes_first_while_requests_are_about_to_be_lost() -> None:
    many = [8] * 200 + [50]
    assert keep_both_busy([50, 8, 20], queue_of(many, FULL)) == 1
    assert keep_both_busy([50, 8, 20], queue_of(many, LOW)) == 0


def test_the_largest_goes_first_where_the_room_is_what_everything_waits_for() -> None:
    large = [400] * 50
    assert keep_both_busy([8, 400], queue_of(large, FULL)) == 1


def test_what_is_in_flight_takes_room_too() -> None:
    many = [8] * 40
    assert keep_both_busy([20, 8], queue_of(many, FULL)) == 1
    assert keep_both_busy([20, 8], queue_of(many, FULL, gib_seconds=1e6)) == 0


def test_a_long_one_is_not_left_for_the_end() -> None:
    assert keep_both_busy([8, 900], queue_of([8] * 40 + [900], FULL)) == 1


def test_the_pace_is_learned() -> None:
    pace = Pace()
    before = pace.seconds(100)
    for _image in range(100):
        pace.learn(100, before / 2)
    assert pace.seconds(100) == pytest.approx(before / 2, rel=0.02)
    assert pace.seconds(50) == pace.seconds(100) / 2


@settings(deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=1), st.floats(0.0, 8.0))
def test_one_of_those_that_fit_is_chosen(sizes: list[int], tokens: float) -> None:
    assert keep_both_busy(sizes, queue_of(sizes, tokens)) in range(len(sizes))
