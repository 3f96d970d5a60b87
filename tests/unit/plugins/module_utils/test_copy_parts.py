# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts: what S3 takes, the same in every run, in step with the source where it can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.amistore.aws.plugins.module_utils._aws import InputError
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import (
    DEFAULT_PART,
    LARGEST_OBJECT,
    LARGEST_PART,
    MIB,
    MOST_PARTS,
    SMALLEST_PART,
    Part,
    lay_out,
)

sizes = st.integers(1, LARGEST_OBJECT)
wanted_sizes = st.none() | st.integers(5, 600).map(lambda mib: mib * MIB)


@given(size=sizes, wanted=wanted_sizes, source=st.none() | st.integers(1, 100 * MIB))
def test_every_layout_is_one_that_s3_takes(
    size: int, wanted: int | None, source: int | None
) -> None:
    layout = lay_out(size, source, wanted)
    assert SMALLEST_PART <= layout.part_size <= LARGEST_PART
    assert layout.count <= MOST_PARTS
    assert (layout.count - 1) * layout.part_size < size <= layout.count * layout.part_size
    assert layout.part_size >= (wanted or 0)


@given(size=st.integers(0, 300 * MIB), wanted=wanted_sizes)
def test_parts_follow_one_another_without_gap(size: int, wanted: int | None) -> None:
    layout = lay_out(size, None, wanted)
    end = 0
    for number, part in enumerate(layout.parts, start=1):
        assert (part.number, part.offset) == (number, end)
        assert part.size > 0
        end += part.size
    assert end == size
    assert len(layout.parts) == layout.count


def test_unknown_parts_give_the_default() -> None:
    assert lay_out(100 * MIB).part_size == DEFAULT_PART


def test_the_sources_parts_are_kept() -> None:
    layout = lay_out(1_483_486_006, 8_388_608)
    assert (layout.part_size, layout.count) == (8_388_608, 177)
    assert layout.equals_source
    assert layout.follows_source


def test_parts_of_a_crooked_size_are_kept_too() -> None:
    assert lay_out(100 * MIB, 5 * MIB + 7).equals_source


@pytest.mark.parametrize(
    ("source", "wanted", "expected"),
    [
        (8 * MIB, 20 * MIB, 24 * MIB),
        (MIB, None, 5 * MIB),
        (3 * MIB, None, 6 * MIB),
    ],
)
def test_otherwise_whole_multiples_of_them_are_taken(
    source: int, wanted: int | None, expected: int
) -> None:
    layout = lay_out(1000 * MIB, source, wanted)
    assert layout.part_size == expected
    assert layout.follows_source
    assert not layout.equals_source


def test_the_largest_part_is_taken_where_no_multiple_of_the_sources_fits() -> None:
    layout = lay_out(LARGEST_OBJECT, 60 * MIB, LARGEST_PART)
    assert (layout.part_size, layout.follows_source) == (LARGEST_PART, False)


def test_parts_of_the_source_that_are_too_many_are_joined() -> None:
    layout = lay_out(10_000 * 8 * MIB, 8 * MIB)
    assert layout.part_size == 16 * MIB


@pytest.mark.parametrize("source", [65 * MIB, 1024 * MIB])
def test_parts_too_large_for_the_memory_are_not_followed(source: int) -> None:
    layout = lay_out(5000 * MIB, source)
    assert layout.part_size == DEFAULT_PART
    assert not layout.follows_source or source % DEFAULT_PART == 0


def test_a_source_in_one_piece_is_cut_where_it_pays() -> None:
    assert lay_out(16 * MIB, 16 * MIB).count == 1
    assert lay_out(40 * MIB, 40 * MIB).count == 5


def test_an_object_above_the_limit_is_refused() -> None:
    with pytest.raises(InputError, match="5 TiB"):
        lay_out(LARGEST_OBJECT + 1)


def test_a_range_names_its_first_and_last_byte() -> None:
    assert Part(2, 100, 50).range == "bytes=100-149"
