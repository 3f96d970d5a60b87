# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How checks are run, in which order, and what is told about them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools import __main__ as command_line
from tests.tools import checks, environments, running
from tests.tools.checks import Check, Step
from tests.tools.environments import Environment
from tests.tools.running import Outcome, Processes, Result, run_all, summary


@pytest.fixture(autouse=True)
def own_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LOGS", tmp_path / "logs")


def python(code: str) -> Step:
    return Step((sys.executable, "-c", code), dict(os.environ), Path.cwd())


def check(name: str, *codes: str, after: str = "") -> Check:
    def steps() -> Iterator[Step]:
        for code in codes:
            yield python(code)

    return Check(name, f"the check {name}", (), steps, after)


def test_passes_when_every_step_does() -> None:
    [result] = run_all([check("good", "print(1)", "print(2)")], 1)
    assert result.outcome is Outcome.PASSED
    assert running.log_of(result.check).read_text().splitlines()[1::2] == ["1", "2"]


def test_stops_at_the_first_step_that_fails(tmp_path: Path) -> None:
    trace = tmp_path / "reached"
    [result] = run_all([check("bad", "exit(3)", f"open({str(trace)!r}, 'w')")], 1)
    assert result.outcome is Outcome.FAILED
    assert not trace.exists()


def test_a_failure_shows_the_end_of_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    run_all([check("bad", "print('the reason'); exit(1)")], 1)
    assert "the reason" in capsys.readouterr().out.splitlines()


def test_a_step_that_cannot_start_is_a_failure() -> None:
    def steps() -> Iterator[Step]:
        yield Step(("/nonexistent/program",), {}, Path.cwd())

    [result] = run_all([Check("lost", "lost", (), steps)], 1)
    assert result.outcome is Outcome.FAILED
    assert "/nonexistent/program" in running.log_of(result.check).read_text()


def test_waits_for_the_check_whose_results_it_reads(tmp_path: Path) -> None:
    fruit = tmp_path / "fruit"
    reader = check("reader", f"open({str(fruit)!r})", after="writer")
    writer = check("writer", f"import time; time.sleep(0.3); open({str(fruit)!r}, 'w')")
    results = run_all([reader, writer], 2)
    assert [(r.check.name, r.outcome) for r in results] == [
        ("writer", Outcome.PASSED),
        ("reader", Outcome.PASSED),
    ]


def test_a_check_is_stopped_when_it_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "CHECK_SECONDS", 0.0)
    [result] = run_all([check("slow", "import time; time.sleep(60)")], 1)
    assert result.outcome is Outcome.FAILED
    assert result.seconds < 30


def test_stopping_ends_what_runs(tmp_path: Path) -> None:
    processes = Processes()
    timer = threading.Timer(0.5, processes.stop)
    timer.start()
    start = time.monotonic()
    with open(tmp_path / "log", "wb") as log:
        code = processes.run(python("import time; time.sleep(60)"), log, 60)
    timer.join()
    assert code != 0
    assert time.monotonic() - start < 30


def test_the_last_line_is_for_machines() -> None:
    outcomes = [Outcome.PASSED, Outcome.FAILED, Outcome.PASSED, Outcome.NOT_RUN]
    table = summary([Result(check("some"), outcome, 1.0, "why") for outcome in outcomes])
    assert table.splitlines()[-1] == "2 passed, 1 failed, 1 skipped"
    assert len(table.splitlines()) == 5


@pytest.mark.parametrize(
    ("ci", "row"), [("true", "FAILED      0.0 s  NOT RUN: "), ("", "NOT RUN     0.0 s  ")]
)
def test_a_leg_without_its_python_is_said_aloud(
    ci: str, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    leg = Environment("ancient", ("2.1",), ("testing.txt",))
    ancient = Check("ancient", "ancient", (leg,), lambda: [python("pass")])
    results = command_line.run([ancient], 1)
    why = "ancient: no Python 2.1 was found in PATH or under pyenv"
    assert summary(results).splitlines()[0] == f"ancient  {row}{why}"


def test_every_leg_runs_unit_tests_and_integration_targets() -> None:
    for leg in ("floor", "ansible12", "ansible14"):
        assert environments.ALL[leg] in checks.ALL[f"unit-{leg}"].environments
        assert environments.ALL[leg] in checks.ALL[f"integration-{leg}"].environments


@pytest.mark.parametrize("kind", ["integration", "playbooks"])
def test_plays_of_the_oldest_versions_bring_the_oldest_python_for_modules(kind: str) -> None:
    assert environments.FLOOR_MODULES in checks.ALL[f"{kind}-floor"].environments
    assert environments.FLOOR_MODULES not in checks.ALL[f"{kind}-ansible12"].environments


def test_a_check_that_waits_names_one_that_is_there() -> None:
    waits = [one.after for one in checks.ALL.values() if one.after]
    assert waits
    assert set(waits) <= set(checks.ALL)


def test_a_check_brings_along_the_one_whose_results_it_reads() -> None:
    chosen = [one.name for one in command_line.select(["coverage", "ruff"])]
    assert chosen == ["unit-ansible12", "coverage", "ruff"]


def test_without_names_unit_tests_are_run_on_every_leg_and_the_rest_on_one() -> None:
    chosen = [one.name for one in command_line.select([])]
    assert set(chosen).isdisjoint(checks.THOROUGH)
    kinds = Counter(name.partition("-")[0] for name in chosen)
    assert kinds == dict.fromkeys(kinds, 1) | {"unit": len(checks.LEGS)}
    assert set(kinds) | {"servers"} == {name.partition("-")[0] for name in checks.ALL}
    assert [one.name for one in command_line.select(["servers"])] == ["servers"]


def test_all_checks_are_run_where_that_is_asked_for() -> None:
    assert [one.name for one in command_line.select([], thorough=True)] == list(checks.ALL)
    assert command_line.parse(["check", "--all"]).all
