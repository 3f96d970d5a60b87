# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The C library keeps what parts have left, and the garbage collector passes by what stays."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.amistore.aws.plugins.module_utils import _copy_reuse

PIECES = 40
TURNS = 20
PAGES_OF_A_PIECE = 256
# As a copy does it: each thread takes in the pieces of a part, and drops them.
PARTS = f"""
import resource, runpy, sys, threading
reuse = runpy.run_path(sys.argv[1])
if sys.argv[2] == "keep":
    reuse["keep_freed_memory"]()

def move() -> None:
    pieces = [bytes(bytearray(b"x" * 2**20)) for _piece in range({PIECES})]
    pieces.clear()

for _turn in range({TURNS}):
    thread = threading.Thread(target=move)
    thread.start()
    thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def _faults(how: str) -> int:
    command = [sys.executable, "-c", PARTS, str(Path(_copy_reuse.__file__)), how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"),
    reason="this C library has no mallopt, so a copy leaves memory as it is; see the last test",
)
def test_each_piece_of_memory_is_asked_of_the_kernel_once() -> None:
    once = PIECES * PAGES_OF_A_PIECE
    assert _faults("keep") < 2 * once
    assert _faults("leave") > TURNS / 2 * once


@pytest.mark.parametrize("missing", [AttributeError, ImportError, OSError, TypeError])
def test_where_the_c_library_cannot_be_asked_nothing_happens(missing: type[Exception]) -> None:
    asked = []

    def library() -> object:
        asked.append(True)
        raise missing

    _copy_reuse.keep_freed_memory(library)
    assert asked


def test_a_c_library_without_the_call_is_left_as_it_is() -> None:
    asked = []

    class Library:
        def __getattr__(self, name: str) -> object:
            asked.append(name)
            raise AttributeError(name)

    _copy_reuse.keep_freed_memory(Library)
    assert asked == ["mallopt"]


@pytest.fixture
def collector() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("collector")
def test_what_is_made_to_stay_is_never_looked_through() -> None:
    looks: list[str] = []

    def note(phase: str, _info: object) -> None:
        looks.append(phase)

    try:
        with _copy_reuse.made_to_stay():
            gc.callbacks.append(note)
            made = [[number] for number in range(100_000)]
        assert looks == []
    finally:
        gc.callbacks.remove(note)
    seen = {id(item) for item in gc.get_objects()}
    assert gc.isenabled()
    assert not any(id(item) in seen for item in made)


@pytest.mark.usefixtures("collector")
def test_garbage_is_collected_again_after_a_failure() -> None:
    during: list[bool] = []

    def fail() -> None:
        during.append(gc.isenabled())
        raise ValueError("no client")

    with pytest.raises(ValueError, match="no client"), _copy_reuse.made_to_stay():
        fail()
    assert during == [False]
    assert gc.isenabled()


@pytest.mark.usefixtures("collector")
def test_a_garbage_collector_that_was_off_stays_off() -> None:
    gc.disable()
    with _copy_reuse.made_to_stay():
        pass
    assert not gc.isenabled()
    assert gc.get_freeze_count() > 0


@pytest.mark.usefixtures("collector")
def test_a_python_that_cannot_freeze_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(gc, "freeze")
    with _copy_reuse.made_to_stay():
        pass
    assert gc.isenabled()
