# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run tells the user."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError
from ansible_collections.amistore.aws.plugins.module_utils._fleet import Entry, Phase
from ansible_collections.amistore.aws.plugins.module_utils._report import (
    MOST_NAMED,
    Report,
    nothing_to_do,
)

WHAT = "stored in s3://mine"
GOES_ON = (
    "AWS goes on with what is in progress; running the same task again picks everything up where"
    " it is."
)


class Ended(Exception):
    """The module has ended."""

    def __init__(self, failed: bool, result: dict[str, Any]) -> None:
        super().__init__(result.get("msg"))
        self.failed, self.result = failed, result


class FakeModule:
    def __init__(self, check_mode: bool = False) -> None:
        self.check_mode = check_mode
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def exit_json(self, **result: Any) -> None:
        raise Ended(False, result)

    def fail_json(self, **result: Any) -> None:
        raise Ended(True, result)


def entry(phase: Phase, label: str = "ami-1", reason: str = "", changed: bool = False) -> Entry:
    return Entry(label, phase=phase, reason=reason, changed=changed)


def report(*entries: Entry, **details: Any) -> Report[Entry]:
    return Report(entries, WHAT, **{"waited": True, "wait_timeout": 60, **details})


def ended(told: Report[Entry], **result: Any) -> Ended:
    with pytest.raises(Ended) as caught:
        told.exit(FakeModule(), result.get("images", []), result.get("diff", []))
    return caught.value


# The message


def test_all_is_well() -> None:
    told = report(entry(Phase.DONE), entry(Phase.DONE, "ami-2"))
    assert told.message == "2 AMIs: 2 stored in s3://mine."
    assert not told.failed


def test_one_is_told_in_the_singular() -> None:
    assert report(entry(Phase.DONE)).message == "1 AMI: 1 stored in s3://mine."


def test_none_given_is_nothing_to_do() -> None:
    assert report().message == "No AMIs given, nothing to do."
    assert not report().failed


def test_a_run_that_stopped_before_any_was_found_does_not_call_it_nothing_to_do() -> None:
    told = report()
    told.stopped_by = "bucket 'mine' does not exist."
    assert told.message == "Stopped: bucket 'mine' does not exist."
    assert told.failed


def test_counts_come_first_then_the_failed_with_their_reasons() -> None:
    told = report(
        entry(Phase.DONE),
        entry(Phase.FAILED, "ami-2", "it is gone"),
        entry(Phase.FAILED, "ami-3", "403. Grant it."),
    )
    assert told.message == (
        "3 AMIs: 2 failed, 1 stored in s3://mine. ami-2: it is gone. ami-3: 403. Grant it."
    )
    assert told.failed


def test_at_most_ten_are_named() -> None:
    failed = [entry(Phase.FAILED, f"ami-{number}", "gone") for number in range(13)]
    message = report(*failed).message
    assert message.startswith("13 AMIs: 13 failed. ami-0: gone. ")
    assert f"ami-{MOST_NAMED - 1}: gone." in message
    assert f"ami-{MOST_NAMED}: gone." not in message
    assert message.endswith("And 3 more, see 'images'.")


def test_ten_are_named_without_more() -> None:
    failed = [entry(Phase.FAILED, f"ami-{number}", "gone") for number in range(MOST_NAMED)]
    assert "more" not in report(*failed).message


def test_a_timeout_says_what_is_where_and_what_to_do() -> None:
    told = report(
        entry(Phase.DONE),
        entry(Phase.RUNNING, "ami-2"),
        entry(Phase.HELD, "ami-3", "a task into s3://other is in progress"),
        entry(Phase.READY, "ami-4"),
        entry(Phase.UNSURE, "ami-5"),
    )
    assert told.message == (
        "5 AMIs: 1 stored in s3://mine, 1 in progress, 3 not started."
        " ami-2: in progress at AWS."
        " ami-3: waits for a task that somebody else started"
        " (a task into s3://other is in progress)."
        " ami-4: to be started. ami-5: to be looked at."
        f" wait_timeout (60 s) has passed. {GOES_ON}"
    )
    assert (told.timed_out, told.failed) == (True, True)


def test_without_waiting_open_entries_are_no_failure() -> None:
    told = report(entry(Phase.RUNNING), entry(Phase.READY, "ami-2"), waited=False)
    assert told.message == f"2 AMIs: 1 in progress, 1 not started. {GOES_ON}"
    assert not told.failed


def test_a_run_that_stopped_says_why_and_names_what_runs() -> None:
    told = report(
        entry(Phase.RUNNING), entry(Phase.UNSURE, "ami-2"), stopped_by="no rights at all."
    )
    assert told.message == (
        "2 AMIs: 1 in progress, 1 not started. Stopped: no rights at all."
        f" ami-1: in progress at AWS. {GOES_ON}"
    )
    assert (told.timed_out, told.failed) == (False, True)


def test_a_run_that_stopped_before_it_began_promises_nothing() -> None:
    told = report(entry(Phase.UNSURE), stopped_by="bucket 'mine' does not exist")
    assert told.message == "1 AMI: 1 not started. Stopped: bucket 'mine' does not exist."


def test_check_mode_tells_what_would_be() -> None:
    told = report(entry(Phase.READY), entry(Phase.HELD, "ami-2"), checked=True)
    assert told.message == "2 AMIs: 2 would be started (check mode, nothing was changed)."
    assert not told.failed


def test_check_mode_fails_where_the_run_would() -> None:
    told = report(entry(Phase.FAILED, reason="it is gone"), checked=True)
    assert told.failed
    assert told.message == ("1 AMI: 1 failed (check mode, nothing was changed). ami-1: it is gone.")


@pytest.mark.parametrize("changed", [True, False])
def test_a_change_is_what_an_entry_changed(changed: bool) -> None:
    assert report(entry(Phase.FAILED, changed=changed), entry(Phase.DONE)).changed is changed


# Stopping


def test_an_error_of_aws_ends_the_run_not_the_report() -> None:
    told = report(entry(Phase.RUNNING))
    cause = ClientError({"Error": {"Code": "ExpiredToken", "Message": "too old"}}, "Describe")
    with told.stopping():
        raise AmiStoreError(message="Failed to list the store tasks", exception=cause)
    assert told.stopped_by == "Failed to list the store tasks: ExpiredToken: too old"


def test_a_mistake_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), report().stopping():
        raise ZeroDivisionError


# The end of the module


def test_a_failure_carries_the_whole_result() -> None:
    told = report(entry(Phase.FAILED, reason="gone", changed=True))
    end = ended(told, images=[{"image_id": "ami-1"}], diff=[{"before": {}}])
    assert end.failed
    assert end.result == {
        "changed": True,
        "msg": told.message,
        "images": [{"image_id": "ami-1"}],
        "diff": [{"before": {}}],
    }


def test_a_success_carries_no_empty_diff() -> None:
    end = ended(report(entry(Phase.DONE)))
    assert not end.failed
    assert end.result == {"changed": False, "msg": "1 AMI: 1 stored in s3://mine.", "images": []}


@pytest.mark.parametrize("proved", [True, False])
def test_check_mode_says_whether_the_right_was_proved(proved: bool) -> None:
    end = ended(report(entry(Phase.READY), checked=True, permission_checked=proved))
    assert end.result["permission_checked"] is proved


def test_warnings_reach_the_user_first() -> None:
    module = FakeModule()
    with pytest.raises(Ended):
        report(entry(Phase.DONE), warnings=["one", "two"]).exit(module, [], [])
    assert module.warned == ["one", "two"]


def test_an_empty_list_is_a_success() -> None:
    with pytest.raises(Ended) as caught:
        nothing_to_do(FakeModule())
    assert not caught.value.failed
    assert caught.value.result == {
        "changed": False,
        "msg": "No AMIs given, nothing to do.",
        "images": [],
    }


def test_an_empty_list_in_check_mode_has_check_modes_keys() -> None:
    with pytest.raises(Ended) as caught:
        nothing_to_do(FakeModule(check_mode=True))
    assert caught.value.result["permission_checked"] is False
