# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine, driven in virtual time by an operation that plays a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    Answer,
    Reply,
    error_code,
)
from ansible_collections.amistore.aws.plugins.module_utils._fleet import (
    RETRY_AFTER_REFUSAL,
    Entry,
    Fleet,
    Phase,
)
from ansible_collections.amistore.aws.plugins.module_utils._pacing import (
    PATIENCE,
    STORE_LIMITS,
    Limits,
    Rate,
    survey_interval,
)
from tests.unit.plugins.module_utils.scripted_operation import (
    Script,
    aws_error,
    lost_connection,
)
from tests.unit.plugins.module_utils.virtual_clock import VirtualClock

DENIED = Reply(Answer.FAILED, "UnauthorizedOperation: no", "UnauthorizedOperation")
NO_ROOM = Reply(Answer.REFUSED, "ResourceLimitExceeded: no room", "ResourceLimitExceeded")
THROTTLED = Reply(Answer.THROTTLED, "RequestLimitExceeded: slow", "RequestLimitExceeded")
LOST = Reply(Answer.UNCERTAIN, "no answer from AWS")
BUSY = Reply(Answer.BUSY, "InvalidRequest: already in progress", "InvalidRequest")
EXISTS = Reply(Answer.EXISTS, "InvalidRequest: already exists in the bucket", "InvalidRequest")


@dataclass
class Run:
    """One run of a script; `labels` become entries of one GiB."""

    script: Script
    entries: list[Entry]
    limits: Limits = STORE_LIMITS
    timeout: float = 7200.0

    @property
    def clock(self) -> VirtualClock:
        return self.script.clock

    def fleet(self) -> Fleet[Entry]:
        deadline = self.clock.now() + self.timeout
        return Fleet(self.script, self.entries, self.limits, self.clock, deadline)

    def go(self, wait: bool = True) -> Run:
        self.fleet().run(wait)
        return self

    def phases(self) -> list[Phase]:
        return [entry.phase for entry in self.entries]


def run_of(*labels: str, size: int = 1, **script: Any) -> Run:
    made = Script(VirtualClock())
    for name, value in script.items():
        assert hasattr(made, name)
        setattr(made, name, value)
    return Run(made, [Entry(label, size) for label in labels])


def gaps(moments: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(moments)]


def many(count: int) -> list[str]:
    return [f"ami-{number:03}" for number in range(count)]


# The way through


def test_every_entry_is_started_once_and_followed_to_its_end() -> None:
    run = run_of("a", "b", "c").go()
    assert run.phases() == [Phase.DONE] * 3
    assert run.script.creates == [(0.0, "a"), (0.0, "b"), (0.0, "c")]
    assert all(entry.changed for entry in run.entries)
    assert run.clock.now() <= 100.0 + 11.0


def test_what_is_done_already_is_neither_started_nor_waited_for() -> None:
    run = run_of("a", decisions={"a": [Phase.DONE]}).go()
    assert (run.script.creates, run.clock.sleeps) == ([], [])
    assert not run.entries[0].changed


def test_an_entry_that_runs_already_is_waited_for_but_not_changed() -> None:
    run = run_of("a", decisions={"a": [Phase.RUNNING]}).go()
    assert run.script.creates == []
    assert run.phases() == [Phase.DONE]
    assert not run.entries[0].changed


def test_sixty_starts_take_what_the_request_rate_takes() -> None:
    run = run_of(*many(60), latency=0.2)
    fleet = run.fleet()
    fleet.run(wait=True)
    assert fleet.shortest_duration == 100.0
    moments = [moment for moment, _label in run.script.creates]
    assert len(moments) == 60
    assert moments[49] < 11.0
    assert 100.0 <= moments[-1] <= 102.0
    assert 200.0 <= run.clock.now() <= 235.0


def test_looks_and_surveys_are_pooled_and_the_engine_sleeps_in_between() -> None:
    run = run_of(*many(500), duration=5000.0)
    run.timeout = 20_000.0
    run.go()
    assert run.phases() == [Phase.DONE] * 500
    hours = run.clock.now() / 3600.0
    assert min(gaps(run.script.surveys)) >= 30.0
    assert len(run.script.looks) <= 80 + 180 * hours
    wake_ups = len(run.script.looks) + len(run.script.surveys) + 2 * len(run.script.creates)
    assert len(run.clock.sleeps) <= wake_ups


def test_one_that_is_new_among_many_that_are_done_is_asked_about_as_one() -> None:
    done = many(499)
    run = run_of(*done, "new", duration=5000.0, decisions={label: [Phase.DONE] for label in done})
    run.go()
    assert run.phases() == [Phase.DONE] * 500
    assert run.script.surveys[0] == 30.0


# Answers to a create request


def test_throttled_is_sent_again_later_and_never_fails() -> None:
    run = run_of("a", "b", answers={"a": [THROTTLED] * 8}).go()
    assert run.phases() == [Phase.DONE] * 2
    moments = run.script.moments("a")
    assert len(moments) == 9
    assert min(gaps(moments)) >= 5.0


def test_a_throttled_answer_holds_back_everybody() -> None:
    run = run_of("a", "b", answers={"a": [THROTTLED]}).go()
    assert run.script.creates[0] == (0.0, "a")
    assert all(moment >= 5.0 for moment, _label in run.script.creates[1:])


def test_an_endless_throttle_lasts_until_the_deadline_and_loses_nothing() -> None:
    run = run_of("a", answers={"a": [THROTTLED] * 1000}).go()
    assert run.phases() == [Phase.READY]
    assert run.entries[0].reason == THROTTLED.text
    assert run.clock.now() == 7200.0
    assert len(run.script.creates) <= 7200 / 30 + 3


def test_a_lost_answer_is_looked_into_before_anything_is_sent_again() -> None:
    run = run_of("a", answers={"a": [LOST]}).go()
    first, second = run.script.moments("a")
    assert [moment for moment, _labels in run.script.observed] == [0.0, first]
    assert second >= first + 5.0
    assert run.entries[0].answer_lost


def test_a_request_that_was_executed_after_all_is_not_sent_again() -> None:
    decisions = {"a": [Phase.READY, Phase.RUNNING]}
    run = run_of("a", answers={"a": [LOST]}, decisions=decisions).go()
    assert len(run.script.creates) == 1
    assert run.phases() == [Phase.DONE]


def test_busy_is_looked_into_and_tried_again_after_half_a_minute() -> None:
    run = run_of("a", "b", answers={"a": [BUSY]}).go()
    assert run.script.moments("a") == [0.0, 30.0]
    assert run.script.moments("b") == [0.0]
    assert (0.0, ["a"]) in run.script.observed
    assert not run.entries[0].exists_said


def test_exists_is_told_to_the_next_decision() -> None:
    decisions = {"a": [Phase.READY, Phase.FAILED]}
    run = run_of("a", answers={"a": [EXISTS]}, decisions=decisions).go()
    assert run.entries[0].exists_said
    assert not run.entries[0].answer_lost
    assert run.script.observed == [(0.0, ["a"]), (0.0, ["a"])]
    assert not run.entries[0].changed


def test_all_that_became_unsure_is_looked_at_together() -> None:
    run = run_of(*many(30), answers={label: [BUSY] for label in many(30)}).go()
    assert run.script.observed[1] == (0.0, many(30))


def test_a_permanent_refusal_fails_its_entry_alone() -> None:
    refusal = Reply(Answer.FAILED, "InvalidAMIID.NotFound: gone", "InvalidAMIID.NotFound")
    run = run_of("a", "b", answers={"a": [refusal]}).go()
    assert run.phases() == [Phase.FAILED, Phase.DONE]
    assert run.entries[0].reason == refusal.text
    assert not run.entries[0].changed


def test_refused_credentials_end_the_run_and_leave_the_others_as_they_are() -> None:
    refusal = Reply(Answer.FAILED, "ExpiredToken: old", "ExpiredToken")
    run = run_of("a", "b", "c", answers={"b": [refusal]})
    with pytest.raises(AmiStoreError, match="no longer accepts the credentials: ExpiredToken"):
        run.go()
    assert run.phases() == [Phase.RUNNING, Phase.FAILED, Phase.READY]


def test_credentials_refused_before_a_create_request_end_the_run_as_well() -> None:
    run = run_of("a", "b", answers={"a": [aws_error("RequestExpired")]})
    with pytest.raises(AmiStoreError) as raised:
        run.go()
    assert error_code(raised.value) == "RequestExpired"
    assert run.phases() == [Phase.READY, Phase.READY]


def test_a_request_that_could_not_be_made_fails_its_entry() -> None:
    error = AmiStoreError("Failed to call", NoCredentialsError())
    run = run_of("a", "b", answers={"a": [error]}).go()
    assert run.phases() == [Phase.FAILED, Phase.DONE]
    assert "Unable to locate credentials" in run.entries[0].reason


def test_a_passing_fault_before_the_create_request_is_tried_again() -> None:
    run = run_of("a", answers={"a": [lost_connection(), aws_error("InternalError")]}).go()
    assert run.phases() == [Phase.DONE]
    assert len(run.script.observed) == 3
    assert run.script.moments("a")[1] >= 5.0
    assert not run.entries[0].answer_lost


# Refusals of unknown cause


def test_a_refusal_is_final_when_nothing_was_in_flight_for_ten_minutes() -> None:
    run = run_of("a", answers={"a": [NO_ROOM] * 1000}).go()
    assert run.phases() == [Phase.FAILED]
    assert run.entries[0].reason == NO_ROOM.text
    assert PATIENCE <= run.clock.now() <= PATIENCE + 60.0
    assert len(run.script.creates) <= PATIENCE / RETRY_AFTER_REFUSAL + 1


def test_a_refusal_waits_while_tasks_of_this_run_are_in_flight() -> None:
    run = run_of("a", "b", duration=1500.0, answers={"b": [NO_ROOM] * 1000}).go()
    assert run.phases() == [Phase.DONE, Phase.FAILED]
    assert 1500.0 + PATIENCE <= run.clock.now() <= 1500.0 + PATIENCE + 150.0


def test_a_refusal_waits_while_tasks_of_others_are_in_flight() -> None:
    run = run_of("a", answers={"a": [NO_ROOM] * 1000}, foreign=lambda now: int(now < 2000.0)).go()
    assert run.phases() == [Phase.FAILED]
    assert 1940.0 + PATIENCE <= run.clock.now() <= 2000.0 + PATIENCE + 60.0


def test_a_refused_entry_starts_when_aws_has_room_again() -> None:
    run = run_of("a", answers={"a": [NO_ROOM] * 3}).go()
    assert run.phases() == [Phase.DONE]
    assert run.script.moments("a") == [0.0, 60.0, 120.0, 180.0]
    assert run.entries[0].reason == ""


def test_the_words_of_a_refusal_outlive_later_answers() -> None:
    run = run_of("a", answers={"a": [NO_ROOM, LOST, THROTTLED] * 500}).go()
    assert run.phases() == [Phase.FAILED]
    assert run.entries[0].reason == NO_ROOM.text


def test_refused_entries_do_not_use_up_the_rate_of_the_others() -> None:
    labels = many(80)
    refused = {label: [NO_ROOM] * 1000 for label in labels[:10]}
    run = run_of(*labels, duration=3000.0, answers=refused)
    run.limits = Limits(Rate(10, 10.0), 1200)
    run.go()
    started = {label: run.script.moments(label)[0] for label in labels[10:]}
    assert max(started.values()) <= 10 * 60.0 + 60 * 10.0
    assert run.phases() == [Phase.FAILED] * 10 + [Phase.DONE] * 70


# Denied


def test_when_every_request_was_denied_the_rest_is_not_tried() -> None:
    labels = many(60)
    decisions = {labels[0]: [Phase.FAILED]}
    run = run_of(*labels, answers={label: [DENIED] for label in labels}, decisions=decisions).go()
    assert run.phases() == [Phase.FAILED] * 60
    assert len(run.script.creates) == 50
    assert run.clock.sleeps == []
    last = run.entries[-1].reason
    assert last == (
        "not tried, since AWS refused the right to the 50 before it: UnauthorizedOperation: no"
    )
    assert not any(entry.changed for entry in run.entries)


def test_one_accepted_request_keeps_the_rest_going() -> None:
    labels = many(55)
    run = run_of(*labels, answers={label: [DENIED] for label in labels[1:]}).go()
    assert len(run.script.creates) == 55
    assert run.phases() == [Phase.DONE] + [Phase.FAILED] * 54


# Work in flight


def test_no_more_runs_at_once_than_the_limit_allows() -> None:
    run = run_of(*many(4), size=500).go()
    assert run.phases() == [Phase.DONE] * 4
    moments = [moment for moment, _label in run.script.creates]
    assert moments[:2] == [0.0, 0.0]
    assert min(moments[2:]) >= 100.0
    assert moments[3] == moments[2]


def test_a_small_one_goes_past_one_that_does_not_fit() -> None:
    run = run_of("big", "bigger", "small", size=700)
    run.entries[2].size = 300
    run.go()
    assert [label for _moment, label in run.script.creates] == ["big", "small", "bigger"]


def test_one_above_the_limit_runs_alone() -> None:
    run = run_of("a", "huge", "b", size=10)
    run.entries[1].size = 5000
    run.timeout = 2000.0
    run.go()
    assert run.phases() == [Phase.DONE] * 3
    assert run.script.creates[0] == (0.0, "huge")
    assert min(run.script.moments("a") + run.script.moments("b")) >= 100.0


def test_the_work_of_others_counts() -> None:
    run = run_of("a", size=300, foreign=lambda now: int(now < 500.0), foreign_gib=1000).go()
    assert 500.0 <= run.script.moments("a")[0] <= 560.0
    assert run.phases() == [Phase.DONE]


# Order, and the requests of others


def test_the_largest_is_started_first() -> None:
    run = run_of("a", "b", "c")
    run.entries[1].size = 9
    run.go()
    assert [label for _moment, label in run.script.creates] == ["b", "a", "c"]


def test_another_order_can_be_asked_for() -> None:
    run = run_of("a", "b", "c")
    clock, deadline = run.clock, 7200.0
    last = Fleet(
        run.script, run.entries, STORE_LIMITS, clock, deadline, order=lambda sizes, _queue: -1
    )
    last.run(wait=True)
    assert [label for _moment, label in run.script.creates] == ["c", "b", "a"]


def test_what_was_started_before_the_run_is_missing_in_the_bucket() -> None:
    run = run_of(*many(10))
    run.script.starts = [run.clock.date()] * 45
    run.go()
    moments = [moment for moment, _label in run.script.creates]
    assert moments == [0.0] * 5 + [pytest.approx(10.0 * number) for number in range(1, 6)]


def test_what_others_start_meanwhile_is_missing_too() -> None:
    labels = many(22)
    held = {label: [Phase.HELD] for label in labels[10:]}
    run = run_of(*labels, duration=1000.0, decisions=held, foreign=lambda now: int(now < 25.0))
    run.limits = Limits(Rate(20, 10.0), in_flight=1200)
    run.script.starts_later = [run.clock.date()] * 6
    run.go()
    seen = survey_interval(0.0, 22)
    # Ten were left of the twenty, some came in until others were seen, six went to them.
    left = int(10 + seen / 10.0 - 6)
    moments = [moment for moment, _label in run.script.creates[10:]]
    assert moments[:left] == pytest.approx([seen] * left, abs=0.1)
    assert moments[left] > seen + 1.0
    assert gaps(moments[left:]) == pytest.approx([10.0] * (11 - left))


def test_looks_are_rare_while_only_the_request_rate_is_waited_for() -> None:
    run = run_of(*many(150), duration=60.0).go()
    busy = [look for look in run.script.looks if look < 1000.0]
    assert 45 <= len(busy) <= 55
    assert min(gaps(run.script.looks[-3:])) < 10.0


# Held, deadline, wait: false


def test_a_held_entry_starts_after_the_task_of_somebody_else() -> None:
    decisions = {"a": [Phase.HELD]}
    run = run_of("a", decisions=decisions, foreign=lambda now: int(now < 300.0)).go()
    assert run.phases() == [Phase.DONE]
    assert 300.0 <= run.script.moments("a")[0] <= 330.0


def test_the_deadline_leaves_every_entry_where_it_is() -> None:
    run = run_of("a", "b", "c", duration=5000.0, decisions={"c": [Phase.HELD]}, foreign=lambda _: 1)
    run.script.answers = {"b": [THROTTLED] * 1000}
    run.timeout = 1000.0
    run.go()
    assert run.phases() == [Phase.RUNNING, Phase.READY, Phase.HELD]
    assert run.clock.now() == 1000.0


def test_nothing_is_started_after_the_deadline() -> None:
    run = run_of(*many(50), latency=1.0)
    run.timeout = 20.0
    run.go()
    assert len(run.script.creates) == 20
    assert run.phases() == [Phase.RUNNING] * 20 + [Phase.READY] * 30


def test_the_last_look_is_at_the_deadline() -> None:
    run = run_of("a", duration=999.0)
    run.timeout = 1000.0
    run.go()
    assert run.phases() == [Phase.DONE]
    assert run.script.looks[-1] <= 1000.0


def test_without_wait_what_may_start_starts_and_nothing_sleeps() -> None:
    run = run_of(*many(60)).go(wait=False)
    assert run.phases() == [Phase.RUNNING] * 50 + [Phase.READY] * 10
    assert run.clock.sleeps == []
    assert (run.script.looks, run.script.surveys) == ([], [])


def test_without_wait_a_throttled_answer_ends_the_starts() -> None:
    run = run_of("a", "b", "c", answers={"b": [THROTTLED]}).go(wait=False)
    assert run.phases() == [Phase.RUNNING, Phase.READY, Phase.READY]
    assert len(run.script.creates) == 2


# Looks that fail


@pytest.mark.parametrize("kind", ["look_errors", "survey_errors"])
def test_passing_faults_of_looks_are_outlived(kind: str) -> None:
    faults = [aws_error("RequestLimitExceeded"), lost_connection(), aws_error("InternalError")]
    run = run_of("a")
    setattr(run.script, kind, faults)
    run.go()
    assert run.phases() == [Phase.DONE]
    assert faults == []


@pytest.mark.parametrize("kind", ["look_errors", "survey_errors"])
def test_a_permanent_fault_of_a_look_ends_the_run_with_its_entries_intact(kind: str) -> None:
    run = run_of("a", "b")
    setattr(run.script, kind, [aws_error("AccessDenied")])
    with pytest.raises(AmiStoreError) as raised:
        run.go()
    assert "Failed to look" in str(raised.value)
    assert run.phases() == [Phase.RUNNING, Phase.RUNNING]
    assert all(entry.changed for entry in run.entries)


def test_the_first_look_of_all_must_succeed() -> None:
    run = run_of("a", observe_errors=[lost_connection()])
    with pytest.raises(AmiStoreError):
        run.go()
    assert run.phases() == [Phase.UNSURE]
    assert run.script.creates == []


def test_a_new_look_that_fails_is_repeated_before_anything_is_sent() -> None:
    errors = [None, *[lost_connection()] * 4]
    run = run_of("a", answers={"a": [LOST]}, observe_errors=errors).go()
    assert run.phases() == [Phase.DONE]
    assert len(run.script.observed) == 6
    assert run.script.moments("a")[1] == pytest.approx(run.script.observed[-1][0], abs=0.1)


def test_a_refusal_is_not_final_while_throttling_keeps_it_from_being_tried_again() -> None:
    run = run_of("a", "b", answers={"a": [NO_ROOM], "b": [THROTTLED] * 16}).go()
    assert run.phases() == [Phase.DONE] * 2
    assert run.script.moments("a")[1] > PATIENCE


# What AWS may have begun though no look shows it


def run_of_two_sizes(**script: Any) -> Run:
    """Room for either, not for both."""
    run = run_of("a", "b", **script)
    run.entries[0].size, run.entries[1].size = 8, 6
    run.limits = Limits(Rate(50, 10.0), in_flight=10)
    return run


def test_what_may_have_begun_counts_as_in_flight() -> None:
    run = run_of_two_sizes(answers={"a": [BUSY]}).go()
    assert run.phases() == [Phase.DONE] * 2
    assert run.script.moments("a") == [0.0, pytest.approx(30.0, abs=1.0)]
    [moment] = run.script.moments("b")
    assert moment >= run.script.moments("a")[1] + run.script.duration


def test_what_may_have_begun_is_sent_again_only_while_others_leave_the_room() -> None:
    run = run_of("a", size=8, answers={"a": [BUSY]}, foreign=lambda now: int(25.0 < now < 500.0))
    run.limits, run.script.foreign_gib = Limits(Rate(50, 10.0), in_flight=10), 3
    run.go()
    assert run.phases() == [Phase.DONE]
    assert run.script.moments("a") == [0.0, pytest.approx(520.0, abs=20.0)]


def test_what_may_have_begun_and_is_larger_than_the_limit_is_sent_again_alone() -> None:
    run = run_of("a", size=80, answers={"a": [BUSY]})
    run.limits = Limits(Rate(50, 10.0), in_flight=10)
    assert run.go().script.moments("a") == [0.0, pytest.approx(30.0, abs=1.0)]


def test_what_no_look_shows_for_long_has_not_begun() -> None:
    run = run_of_two_sizes(
        answers={"a": [BUSY]},
        decisions={"a": [Phase.READY, Phase.HELD]},
        foreign=lambda now: int(now < 500.0),
    ).go()
    assert run.phases() == [Phase.DONE] * 2
    [moment] = run.script.moments("b")
    assert 60.0 <= moment <= 100.0


def test_what_cannot_be_looked_at_counts_until_it_can() -> None:
    errors = [None, *[lost_connection()] * 20]
    run = run_of_two_sizes(answers={"a": [LOST]}, observe_errors=errors).go()
    assert run.phases() == [Phase.DONE] * 2
    seen = run.script.observed[-1][0]
    assert seen > 60.0
    assert min(run.script.moments("b")) >= seen


# What counts as a change


def test_a_change_that_aws_made_counts() -> None:
    entry = Entry("a")
    with entry.changing():
        assert not entry.changed
    assert entry.changed


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (lost_connection(), True),
        (aws_error("InternalError"), True),
        (aws_error("AccessDenied"), False),
        (aws_error("SlowDown"), False),
    ],
    ids=["answer lost", "server failed", "refused", "throttled"],
)
def test_a_failed_change_counts_when_it_may_have_happened(
    error: AmiStoreError, counts: bool
) -> None:
    entry = Entry("a")
    with pytest.raises(AmiStoreError), entry.changing():
        raise error
    assert entry.changed is counts
