# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of a part on their way: summed as they come, counted as they leave."""

from __future__ import annotations

import contextlib
import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.amistore.aws.plugins.module_utils._copy_content import (
    CHUNK,
    Content,
    Memory,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import MIB
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import (
    md5_of,
    sha256_of,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_transfer import Pace
from ansible_collections.amistore.aws.plugins.module_utils._copy_useful import AT_FIRST
from tests.unit.cloud import VirtualClock


class Drops(io.BytesIO):
    """A body that comes in pieces of its own sizes."""

    def __init__(self, body: bytes, sizes: list[int]) -> None:
        super().__init__(body)
        self._sizes = iter(sizes)

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(next(self._sizes, size))


def md5s_of(content: bytes, step: int) -> tuple[bytes, ...]:
    starts = range(0, len(content), step)
    return tuple(md5_of(content[start : start + step]) for start in starts)


@given(
    body=st.binary(max_size=500),
    step=st.integers(1, 200),
    sizes=st.lists(st.integers(1, 90), max_size=30),
)
def test_sums_do_not_depend_on_how_the_bytes_come(body: bytes, step: int, sizes: list[int]) -> None:
    content = Content(step, whole_md5=True)
    content.take_in(Drops(body, sizes))
    assert len(content) == len(body)
    assert content.sha256 == sha256_of(body)
    assert content.md5s == md5s_of(body, step)
    assert content.md5 == md5_of(body)
    assert b"".join(iter(content.read, b"")) == body


def test_sums_that_are_added_later_are_those_of_the_whole() -> None:
    body = bytes(range(256)) * 20_000
    content = Content()
    content.take_in(io.BytesIO(body))
    content.add_sums(1_000_000, True)
    assert content.md5 == md5_of(body)
    assert content.md5s == md5s_of(body, 1_000_000)
    assert content.sha256 == sha256_of(body)
    content.add_sums(0, False)
    assert content.md5s == ()


def test_no_md5_is_made_unasked() -> None:
    content = Content()
    content.take_in(io.BytesIO(b"abc"))
    assert (content.md5, content.md5s) == (None, ())


def test_what_has_left_is_told_once_the_next_is_asked_for() -> None:
    content = Content()
    content.take_in(io.BytesIO(bytes(2 * CHUNK + 1)))
    left: list[int] = []
    content.on_left = left.append
    while content.read(16384):
        pass
    assert [count for count in left if count] == [CHUNK, CHUNK, 1]


def test_memory_makes_the_next_part_wait_until_bytes_have_left() -> None:
    memory = Memory(10)
    entered = threading.Event()

    def second() -> None:
        with memory.hold(6):
            entered.set()

    with memory.hold(8) as let_go:
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not entered.wait(0.05)
        let_go(3)
        assert not entered.wait(0.05)
        let_go(1)
        assert entered.wait(5)
        waiting.join()
    assert memory.most_held == 10


def test_memory_is_free_again_whatever_was_let_go_early() -> None:
    memory = Memory(10)
    with memory.hold(8) as let_go:
        let_go(100)
    with pytest.raises(ZeroDivisionError), memory.hold(8):
        raise ZeroDivisionError
    with memory.hold(10):
        assert memory.most_held == 10


def test_pace_halves_once_per_congestion_and_recovers() -> None:
    clock = VirtualClock()
    pace = Pace(16, clock)
    pace.foresee(8 * MIB, 60.0)
    assert pace.limit == 16
    pace.slow_down()
    pace.slow_down()
    assert pace.limit == 8
    clock.time += 2
    pace.slow_down()
    assert pace.limit == 4
    for _turn in range(4):
        pace.speed_up()
    assert pace.limit == 5
    for _turn in range(1000):
        pace.speed_up()
    assert pace.limit == 16


def _move(pace: Pace, clock: VirtualClock, parts: int, seconds: float = 1.0) -> None:
    for _part in range(parts):
        with pace.slot():
            clock.time += seconds


def test_pace_grows_while_parts_take_no_longer() -> None:
    clock = VirtualClock()
    pace = Pace(64, clock)
    assert pace.limit == AT_FIRST
    _move(pace, clock, 400)
    assert pace.limit == 64


def test_pace_hears_what_is_foreseen() -> None:
    pace = Pace(64, VirtualClock())
    pace.foresee(8 * MIB, 1.0)
    assert pace.limit == 20


def test_pace_tries_nothing_while_it_is_throttled() -> None:
    clock = VirtualClock()
    pace = Pace(64, clock)
    pace.slow_down()
    _move(pace, clock, 1000)
    for _turn in range(1000):
        pace.speed_up()
    assert pace.limit == AT_FIRST


@pytest.mark.parametrize(("first", "then"), [(4, 12), (12, 12), (30, 30)])
def test_pace_begins_with_what_was_of_use_for_the_object_before(first: int, then: int) -> None:
    clock = VirtualClock()
    pace = Pace(64, clock)
    _move(pace, clock, 2 * AT_FIRST)
    pace.begin(first)
    assert pace.limit == then


def test_pace_forgets_how_long_the_parts_of_the_object_before_took() -> None:
    clock = VirtualClock()
    pace = Pace(64, clock)
    pace.foresee(8 * MIB, 1.0)
    pace.begin(4)
    assert pace.limit == 4
    _move(pace, clock, 2000)
    assert pace.limit == 64


def test_pace_learns_nothing_of_parts_that_congestion_holds_up() -> None:
    clock = VirtualClock()
    pace = Pace(64, clock)
    # The round in which connections are opened; the next one is to be measured.
    _move(pace, clock, AT_FIRST)
    with contextlib.ExitStack() as under_way:
        for _part in range(AT_FIRST):
            under_way.enter_context(pace.slot())
        pace.slow_down()
        clock.time += 1000.0
    for _turn in range(1000):
        pace.speed_up()
    # Had they been measured, their number would be kept for the next object.
    pace.begin(4)
    assert pace.limit == 4


def test_pace_learns_nothing_of_a_part_that_failed() -> None:
    clock = VirtualClock()
    pace = Pace(64, clock)
    for _part in range(1000):
        with contextlib.suppress(ZeroDivisionError), pace.slot():
            clock.time += 1.0
            raise ZeroDivisionError
    assert pace.limit == AT_FIRST


def test_congestion_counts_from_what_moves_and_outlasts_the_object() -> None:
    pace = Pace(64, VirtualClock())
    pace.slow_down()
    assert pace.limit == AT_FIRST // 2
    pace.begin()
    assert pace.limit == AT_FIRST // 2


def test_pace_never_stops() -> None:
    clock = VirtualClock()
    pace = Pace(4, clock)
    for _turn in range(10):
        clock.time += 2
        pace.slow_down()
    assert pace.limit == 1
    with pace.slot():
        pass
