# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Over how many connections a part is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import MIB, Part
from ansible_collections.amistore.aws.plugins.module_utils._copy_stretches import (
    MOST_STRETCHES,
    Stretches,
    seconds_in_one,
)

PART = Part(3, 16 * MIB, 8 * MIB)


@pytest.mark.parametrize(
    ("seconds", "number"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.1, 2), (1.6, 3), (2.0, 4), (60.0, 4)]
)
def test_slow_connections_are_joined_by_others(seconds: float, number: int) -> None:
    stretches = Stretches()
    stretches.learn(PART.size, seconds)
    assert len(stretches.of(PART)) == number


@pytest.mark.parametrize(
    ("size", "number"),
    [(0, 1), (1, 1), (4 * MIB - 1, 1), (5 * MIB, 2), (8 * MIB, 4), (64 * MIB, 4)],
)
def test_before_anything_is_known_parts_are_read_over_several(size: int, number: int) -> None:
    assert len(Stretches().of(Part(1, 0, size))) == number


@pytest.mark.parametrize(
    ("seconds", "round_trip", "whole"), [(0.4, 0.0, 1.6), (0.5, 0.1, 1.7), (0.1, 0.2, 0.1)]
)
def test_a_stretch_tells_how_long_all_of_the_part_would_take(
    seconds: float, round_trip: float, whole: float
) -> None:
    quarter = Part(PART.number, PART.offset, PART.size // 4)
    assert seconds_in_one(PART, quarter, seconds, round_trip) == pytest.approx(whole)


def test_the_number_does_not_swing_where_each_connection_is_capped() -> None:
    stretches = Stretches()
    stretches.learn(8 * MIB, 2.0)
    stretches.learn(2 * MIB, 0.5)
    assert len(stretches.of(PART)) == MOST_STRETCHES
    stretches.learn(2 * MIB, 0.05)
    assert stretches.of(PART) == [PART]


@given(
    offset=st.integers(0, 1 << 42),
    size=st.integers(0, 64 * MIB),
    seconds=st.none() | st.floats(0.001, 100.0),
)
def test_stretches_are_the_part(offset: int, size: int, seconds: float | None) -> None:
    stretches, part = Stretches(), Part(7, offset, size)
    shortest = 2 * MIB
    if seconds is not None:
        stretches.learn(8 * MIB, seconds)
        shortest = MIB
    found = stretches.of(part)
    assert 1 <= len(found) <= MOST_STRETCHES
    # None is so short that it is not worth a request, and none keeps the others waiting.
    assert len(found) == 1 or size >= len(found) * shortest
    sizes = [piece.size for piece in found]
    assert max(sizes) - min(sizes) < len(found)
    assert found[0].offset == offset
    assert sum(sizes) == size
    ends = [piece.offset + piece.size for piece in found]
    assert ends[:-1] == [piece.offset for piece in found[1:]]
    assert {piece.number for piece in found} == {7}
