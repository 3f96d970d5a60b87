# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task's run from its options to its report."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    Answer,
    InputError,
    Reply,
)
from ansible_collections.amistore.aws.plugins.module_utils._fleet import Entry, Phase
from ansible_collections.amistore.aws.plugins.module_utils._pacing import STORE_LIMITS
from ansible_collections.amistore.aws.plugins.module_utils._report import Report
from ansible_collections.amistore.aws.plugins.module_utils._run import RunOptions, run
from tests.unit.plugins.module_utils.scripted_operation import Script, aws_error
from tests.unit.plugins.module_utils.virtual_clock import VirtualClock


def nothing() -> None:
    """Prepare a run that needs nothing."""


def run_script(
    *labels: str,
    script: Script | None = None,
    check_mode: bool = False,
    wait: bool = True,
    wait_timeout: int = 7200,
    size: int = 1,
    prepare: Any = nothing,
) -> tuple[Script, Report[Entry]]:
    script = script or Script(VirtualClock())
    entries = [Entry(label, size) for label in labels]
    report = Report(entries, "done", check_mode)
    options = RunOptions(check_mode, wait, wait_timeout)
    run(script, STORE_LIMITS, options, script.clock, prepare, report)
    return script, report


def many(count: int) -> list[str]:
    return [f"ami-{number:03}" for number in range(count)]


# For real


def test_a_run_brings_its_entries_to_their_end_and_reports_it() -> None:
    script, report = run_script("a", "b")
    assert [entry.phase for entry in report.entries] == [Phase.DONE] * 2
    assert (report.changed, report.failed, report.stopped_by) == (True, False, "")
    assert script.dry_runs == []
    assert not report.permission_checked


def test_without_wait_the_report_is_no_timeout() -> None:
    script, report = run_script("a", wait=False)
    assert script.clock.sleeps == []
    assert report.entries[0].phase is Phase.RUNNING
    assert not report.failed


def test_what_is_open_at_the_end_of_wait_timeout_is_a_timeout() -> None:
    script = Script(VirtualClock(), duration=5000.0)
    _script, report = run_script("a", script=script, wait_timeout=100)
    assert script.clock.now() == 100.0
    assert report.timed_out
    assert "wait_timeout (100 s) has passed" in report.message


def test_the_time_of_the_preparation_counts() -> None:
    script = Script(VirtualClock(), duration=5000.0)
    run_script("a", script=script, wait_timeout=100, prepare=lambda: script.clock.pass_by(40.0))
    assert script.clock.now() == 100.0


def test_what_the_preparation_refuses_stops_the_run_before_any_look() -> None:
    def refuse() -> None:
        raise InputError("the bucket is elsewhere")

    script, report = run_script("a", prepare=refuse)
    assert report.stopped_by == "the bucket is elsewhere"
    assert (script.observed, script.creates) == ([], [])
    assert report.failed
    assert not report.changed


def test_a_permanent_fault_of_aws_is_told_with_all_entries() -> None:
    script = Script(VirtualClock(), look_errors=[aws_error("AccessDenied")])
    _script, report = run_script("a", "b", script=script)
    assert report.stopped_by == "Failed to look: AccessDenied: words of AWS"
    assert [entry.phase for entry in report.entries] == [Phase.RUNNING] * 2
    assert report.changed
    assert report.failed


def test_warnings_are_told_once_each_in_order() -> None:
    script = Script(VirtualClock(), warnings=["one", "two", "one"])
    assert run_script("a", script=script)[1].warnings == ["one", "two"]


def test_warnings_are_told_also_when_the_run_stops() -> None:
    script = Script(VirtualClock(), warnings=["one"], observe_errors=[aws_error("AuthFailure")])
    assert run_script("a", script=script)[1].warnings == ["one"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_wait_timeout_below_what_the_request_rate_takes_is_warned_of(check_mode: bool) -> None:
    _script, report = run_script(*many(70), wait_timeout=150, check_mode=check_mode)
    (warning,) = report.warnings
    assert "needs 200 s" in warning
    assert "150 s" in warning


@pytest.mark.parametrize(
    ("count", "wait", "wait_timeout"),
    [(70, True, 7200), (50, True, 1), (70, False, 150)],
    ids=["long enough", "no more than the burst", "nobody waits"],
)
def test_other_timeouts_are_not(count: int, wait: bool, wait_timeout: int) -> None:
    assert run_script(*many(count), wait=wait, wait_timeout=wait_timeout)[1].warnings == []


# Check mode


def test_check_mode_looks_tries_one_permission_and_starts_nothing() -> None:
    script = Script(VirtualClock(), decisions={"a": [Phase.DONE]})
    _script, report = run_script("a", "b", "c", script=script, check_mode=True)
    assert (script.creates, script.clock.sleeps) == ([], [])
    assert script.dry_runs == ["b"]
    assert report.permission_checked
    assert [entry.changed for entry in report.entries] == [False, True, True]
    assert not report.failed


def test_check_mode_sends_no_dry_run_when_nothing_would_be_started() -> None:
    script = Script(VirtualClock(), decisions={"a": [Phase.DONE]})
    _script, report = run_script("a", script=script, check_mode=True)
    assert script.dry_runs == []
    assert not report.permission_checked
    assert not report.changed


def test_check_mode_without_wait_foresees_only_what_would_be_started_at_once() -> None:
    _script, report = run_script(*many(60), check_mode=True, wait=False)
    assert [entry.changed for entry in report.entries] == [True] * 50 + [False] * 10


def test_check_mode_without_wait_foresees_what_the_limit_in_flight_leaves() -> None:
    _script, report = run_script("a", "b", "c", size=600, check_mode=True, wait=False)
    assert [entry.changed for entry in report.entries] == [True, True, False]


def test_check_mode_with_wait_foresees_all() -> None:
    _script, report = run_script(*many(60), size=600, check_mode=True)
    assert [entry.changed for entry in report.entries] == [True] * 60


def test_a_missing_permission_stops_check_mode_with_the_words_of_aws() -> None:
    script = Script(VirtualClock())
    script.dry_run = Reply(Answer.FAILED, "UnauthorizedOperation: no", "UnauthorizedOperation")
    _script, report = run_script("a", script=script, check_mode=True)
    assert report.stopped_by == "a: UnauthorizedOperation: no"
    assert report.failed
    assert not report.permission_checked


@pytest.mark.parametrize("answer", [Answer.THROTTLED, Answer.UNCERTAIN, Answer.REFUSED])
def test_a_permission_that_could_not_be_checked_is_a_warning(answer: Answer) -> None:
    script = Script(VirtualClock(), dry_run=Reply(answer, "words of AWS"))
    _script, report = run_script("a", script=script, check_mode=True)
    assert report.warnings == ["The permission could not be checked: words of AWS"]
    assert not report.failed
    assert not report.permission_checked


def test_a_dry_run_that_cannot_be_sent_stops_check_mode() -> None:
    class Broken(Script):
        def try_permission(self, entry: Entry) -> Reply:
            raise AmiStoreError("no credentials")

    _script, report = run_script("a", script=Broken(VirtualClock()), check_mode=True)
    assert report.stopped_by == "no credentials"
