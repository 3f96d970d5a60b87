# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interpreters are found, and which pretenders are not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools import interpreters

THIS_PYTHON = "{}.{}".format(*sys.version_info[:2])


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine with nothing in PATH and no pyenv."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    interpreters.find_one.cache_clear()
    yield
    interpreters.find_one.cache_clear()


def install(place: Path, version: str) -> Path:
    """A program that answers like a Python of that version."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\necho {version}\n")
    place.chmod(0o755)
    return place


def test_the_running_interpreter_comes_first(tmp_path: Path) -> None:
    install(tmp_path / "bin" / f"python{THIS_PYTHON}", THIS_PYTHON)
    assert interpreters.find([THIS_PYTHON]) == Path(sys.executable)


def test_pyenv_comes_before_path_and_newest_first(tmp_path: Path) -> None:
    install(tmp_path / "bin" / "python3.99", "3.99")
    install(tmp_path / "pyenv/versions/3.99.9/bin/python3.99", "3.99")
    newest = install(tmp_path / "pyenv/versions/3.99.10/bin/python3.99", "3.99")
    assert interpreters.find(["3.99"]) == newest


def test_a_plain_python3_counts_by_what_it_answers(tmp_path: Path) -> None:
    plain = install(tmp_path / "bin" / "python3", "3.98")
    assert interpreters.find(["3.97", "3.98"]) == plain


def test_one_that_answers_another_version_is_passed_over(tmp_path: Path) -> None:
    install(tmp_path / "bin" / "python3.97", "3.96")
    assert interpreters.find(["3.97"]) is None


def test_one_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    broken = install(tmp_path / "bin" / "python3.97", "3.97")
    broken.write_text("#!/bin/sh\nexit 127\n")
    assert interpreters.find(["3.97"]) is None


def test_the_earlier_version_is_preferred(tmp_path: Path) -> None:
    later = install(tmp_path / "bin" / "python3.98", "3.98")
    earlier = install(tmp_path / "bin" / "python3.97", "3.97")
    assert interpreters.find(["3.98", "3.97"]) == later
    assert interpreters.find(["3.97", "3.98"]) == earlier


def test_shims_are_no_place_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "pyenv" / "shims" / "python3.97", "3.97")
    monkeypatch.setenv("PATH", str(tmp_path / "pyenv" / "shims"))
    assert interpreters.find(["3.97"]) is None
