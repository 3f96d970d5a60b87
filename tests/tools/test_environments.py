# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an environment is made, left alone, and made again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools import environments, interpreters, places
from tests.tools.environments import Environment, NoInterpreter, ensure

THIS_PYTHON = "{}.{}".format(*sys.version_info[:2])


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment that needs nothing from a package index."""
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path / "environments")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    (tmp_path / "small.txt").write_text("# nothing\n")
    return Environment("small", (THIS_PYTHON,), ("small.txt",))


@pytest.fixture
def installations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the environments that were made, without the time that it takes."""
    done: list[str] = []
    monkeypatch.setattr(environments, "_create", lambda python, made: made.folder.mkdir())
    monkeypatch.setattr(environments, "_install", lambda made: done.append(made.name))
    return done


def test_makes_an_environment_that_runs(small: Environment) -> None:
    ensure(small)
    answer = subprocess.run([small.python, "-c", "print(6 * 7)"], capture_output=True, check=True)
    assert answer.stdout == b"42\n"
    assert small.python_version() == "{}.{}.{}".format(*sys.version_info[:3])


def test_makes_one_with_an_interpreter_that_has_no_ensurepip(
    small: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = tmp_path / "python"
    without.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        "  *without-pip*) ;;\n  *'-m venv'*) echo no ensurepip >&2; exit 1;;\nesac\n"
        f'exec {sys.executable} "$@"\n'
    )
    without.chmod(0o755)
    monkeypatch.setattr(interpreters, "find", lambda versions: without)
    (tmp_path / "small.txt").write_text("packaging==24.2\n")
    ensure(small)
    subprocess.run([small.python, "-c", "import packaging"], check=True)


def test_leaves_a_finished_environment_alone(small: Environment, installations: list[str]) -> None:
    ensure(small)
    ensure(small)
    assert installations == ["small"]


def test_makes_it_again_when_a_requirement_changes(
    small: Environment, installations: list[str], tmp_path: Path
) -> None:
    ensure(small)
    (tmp_path / "small.txt").write_text("# still nothing\n")
    ensure(small)
    assert installations == ["small", "small"]


def test_makes_it_again_after_an_interruption(
    small: Environment, installations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(environment: Environment) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(environments, "_install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ensure(small)
    ensure(small)
    assert installations == ["small"]


def test_of_an_ansible_package_only_amazon_aws_stays(small: Environment) -> None:
    site = small.folder / "lib" / "python3.11" / "site-packages" / "ansible_collections"
    for name in ("amazon/aws", "community/aws", "ansible/posix"):
        (site / name).mkdir(parents=True)
    environments._keep_what_is_wanted(small)
    assert [str(path.relative_to(site)) for path in site.glob("*/*")] == ["amazon/aws"]


def test_says_which_pythons_are_missing(small: Environment) -> None:
    with pytest.raises(NoInterpreter, match=r"2\.1 or 2\.2"):
        ensure(Environment("old", ("2.1", "2.2"), ("small.txt",)))


def test_every_requirement_file_pins_every_version() -> None:
    files = sorted(places.REQUIREMENTS.glob("*.txt"))
    lines = [line for file in files for line in file.read_text().splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert len(wanted) > 10
    assert [line for line in wanted if "==" not in line] == []


def test_every_requirement_file_is_used() -> None:
    used = {
        name
        for environment in environments.ALL.values()
        for name in (*environment.requirements, *environment.collections)
    }
    assert used == {file.name for file in places.REQUIREMENTS.glob("*.txt")}
