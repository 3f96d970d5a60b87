# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a copy waits for a side that does not answer, and for what it does not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import State
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    LONGEST_OUTAGE,
    LONGEST_PAUSE,
    MOST_TRIES,
    SOURCE,
    CopyError,
    DamagedError,
    Side,
)
from tests.unit.cloud import Refusal
from tests.unit.relay import BODY, KEY, Relay, failing
from tests.unit.s3_in_memory import SOURCE_BUCKET

DAY = 86400
MARKS = 9998
EVERYTHING = (
    "HeadObject",
    "GetObject",
    "GetObjectTagging",
    "ListMultipartUploads",
    "ListParts",
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
    "PutObject",
)
SLOW_DOWN = Refusal("SlowDown", "Please reduce your request rate.", 503)
UNREACHABLE = EndpointConnectionError(endpoint_url="https://s3.example")
OUTAGES = [
    SLOW_DOWN,
    Refusal("503", "Service Unavailable", 503),
    Refusal("504", "Gateway Timeout", 504),
    Refusal("InternalError", status=500),
    Refusal("RequestTimeout", status=400),
    ConnectionClosedError(endpoint_url="https://s3.example"),
    UNREACHABLE,
]


@pytest.fixture
def side(relay: Relay) -> Side:
    return relay.side(SOURCE, SOURCE_BUCKET, relay.clock.now() + DAY)


def ask(side: Side) -> None:
    side.call("list", "list_objects_v2", for_key=KEY)


def out_for(relay: Relay, seconds: float, fault: Exception) -> Callable[[Any], None]:
    """Fail from the first call on, for so many seconds."""
    began: list[float] = []

    def refuse(_params: Any) -> None:
        began.append(relay.clock.now())
        if relay.clock.now() < began[0] + seconds:
            raise fault

    return refuse


def is_of_the_body(params: Any) -> bool:
    """Tell a part of the object from a mark, and the object from what lies beside it."""
    return bool(params["Key"] == KEY and params.get("PartNumber", 1) < MARKS)


def side_out_for(relay: Relay, operation: str, seconds: float, fault: Exception) -> None:
    """Fail whatever a side is asked for so many seconds, from the first call of an operation on."""
    out: dict[str, float] = {}

    def begin(params: Any) -> None:
        if is_of_the_body(params):
            out.setdefault(params["Bucket"], relay.clock.now() + seconds)
        refuse(params)

    def refuse(params: Any) -> None:
        if relay.clock.now() < out.get(params["Bucket"], 0.0):
            raise fault

    relay.s3.always = dict.fromkeys(EVERYTHING, refuse) | {operation: begin}


@pytest.mark.parametrize("fault", OUTAGES)
@pytest.mark.parametrize("operation", ["GetObject", "UploadPart", "CompleteMultipartUpload"])
def test_an_outage_of_minutes_ends_no_copy(relay: Relay, operation: str, fault: Exception) -> None:
    relay.store()
    side_out_for(relay, operation, 600, fault)
    entry = relay.copy(wait_timeout=DAY)
    assert (entry.state, entry.reason) == (State.COPIED, "")
    assert relay.s3.get(KEY).body == BODY
    assert max(relay.clock.slept) <= LONGEST_PAUSE
    # An outage of the destination is no reason to read the source again and again.
    assert len(relay.bodies_read()) <= (10 * MOST_TRIES if operation == "GetObject" else 8)


def test_throttling_of_minutes_ends_no_copy(relay: Relay) -> None:
    relay.store()
    relay.s3.always["UploadPart"] = out_for(relay, 600, SLOW_DOWN)
    entry = relay.copy(wait_timeout=DAY)
    assert (entry.state, entry.reason) == (State.COPIED, "")


@pytest.mark.parametrize("fault", OUTAGES[2:])
def test_a_request_that_fails_where_others_are_answered_is_given_up_soon(
    relay: Relay, fault: Exception
) -> None:
    relay.store()

    def lose(params: Any) -> None:
        if is_of_the_body(params):
            raise fault

    relay.s3.always["UploadPart"] = lose
    began = relay.clock.now()
    entry = relay.copy(wait_timeout=DAY)
    assert entry.state is State.FAILED
    assert relay.clock.now() - began < 2 * MOST_TRIES * LONGEST_PAUSE < LONGEST_OUTAGE


def test_reads_that_nobody_needs_wait_out_no_outage(relay: Relay) -> None:
    relay.store()
    relay.s3.always["CreateMultipartUpload"] = failing(Refusal("AccessDenied", status=403))
    real = threading.Event()

    def lose(params: Any) -> None:
        if is_of_the_body(params):
            real.wait(0.05)
            raise UNREACHABLE

    relay.s3.always["GetObject"] = lose
    began = relay.clock.now()
    entry = relay.copy(wait_timeout=DAY)
    assert "AccessDenied" in entry.reason
    assert relay.clock.now() - began < LONGEST_OUTAGE


@pytest.mark.parametrize("fault", OUTAGES)
def test_an_outage_without_end_ends_the_request(relay: Relay, side: Side, fault: Exception) -> None:
    ask(side)
    relay.s3.always["ListObjectsV2"] = failing(fault)
    began = relay.clock.now()
    with pytest.raises(CopyError):
        ask(side)
    assert LONGEST_OUTAGE <= relay.clock.now() - began <= LONGEST_OUTAGE + LONGEST_PAUSE


@pytest.mark.parametrize("fault", OUTAGES)
def test_a_side_that_never_answered_is_given_up_soon(
    relay: Relay, side: Side, fault: Exception
) -> None:
    relay.s3.always["ListObjectsV2"] = failing(fault)
    with pytest.raises(CopyError):
        ask(side)
    assert len(relay.s3.cloud.calls) == MOST_TRIES


def test_a_refusal_is_an_answer(relay: Relay, side: Side) -> None:
    forbidden = failing(Refusal("AccessDenied", status=403))
    relay.s3.before["ListObjectsV2"] = [forbidden]
    with pytest.raises(CopyError, match="AccessDenied"):
        ask(side)
    relay.s3.always["ListObjectsV2"] = out_for(relay, 600, UNREACHABLE)
    ask(side)


def test_a_side_that_was_waited_for_in_vain_is_not_waited_for_again(
    relay: Relay, side: Side
) -> None:
    ask(side)
    relay.s3.always["ListObjectsV2"] = failing(UNREACHABLE)
    with pytest.raises(CopyError):
        ask(side)
    before = len(relay.s3.cloud.calls)
    with pytest.raises(CopyError):
        ask(side)
    assert len(relay.s3.cloud.calls) - before == MOST_TRIES
    del relay.s3.always["ListObjectsV2"]
    ask(side)
    relay.s3.always["ListObjectsV2"] = out_for(relay, 600, UNREACHABLE)
    with pytest.raises(CopyError):
        ask(side)


def test_an_answer_that_was_on_its_way_does_not_end_the_patience(relay: Relay, side: Side) -> None:
    relay.store()
    ask(side)
    out = out_for(relay, 600, UNREACHABLE)

    def answer_others_at_first(params: Any) -> None:
        if len(relay.clock.slept) == 1:
            side.call("look at", "head_object", KEY)
        out(params)

    relay.s3.always["ListObjectsV2"] = answer_others_at_first
    ask(side)
    assert len(relay.s3.cloud.params("HeadObject")) == 1


def test_damage_takes_no_patience_with_outages(relay: Relay, side: Side) -> None:
    ask(side)

    def slowly_damaged() -> None:
        relay.clock.time += LONGEST_OUTAGE
        raise DamagedError("short")

    with pytest.raises(DamagedError):
        side.retry("read", KEY, slowly_damaged)
    relay.s3.always["ListObjectsV2"] = out_for(relay, 600, UNREACHABLE)
    ask(side)


def test_outages_that_end_are_waited_out_as_often_as_they_come(relay: Relay, side: Side) -> None:
    ask(side)
    for _outage in range(3):
        relay.s3.always["ListObjectsV2"] = out_for(relay, 600, UNREACHABLE)
        ask(side)


@pytest.mark.parametrize("code", ["BadDigest", "ConditionalRequestConflict", "OperationAborted"])
def test_what_no_outage_explains_is_tried_a_few_times(relay: Relay, side: Side, code: str) -> None:
    ask(side)
    relay.s3.always["ListObjectsV2"] = failing(Refusal(code))
    with pytest.raises(CopyError, match=code):
        ask(side)
    assert len(relay.s3.cloud.calls) == 1 + MOST_TRIES


def test_damage_after_an_outage_is_counted_alone(relay: Relay, side: Side) -> None:
    ask(side)
    damages = MOST_TRIES - 1
    faults: list[Exception] = [SLOW_DOWN] * (2 * MOST_TRIES) + [Refusal("BadDigest")] * damages
    relay.s3.before["ListObjectsV2"] = [failing(fault) for fault in faults]
    ask(side)
    assert relay.s3.before["ListObjectsV2"] == []


def test_damaged_content_is_read_a_few_times(side: Side) -> None:
    ask(side)
    tries: list[int] = []

    def work() -> None:
        tries.append(1)
        raise DamagedError("short")

    with pytest.raises(DamagedError):
        side.retry("read", KEY, work)
    assert len(tries) == MOST_TRIES


def test_tries_that_take_long_are_no_outage(relay: Relay, side: Side) -> None:
    ask(side)
    left = [MOST_TRIES - 1]

    def get_lost(_params: Any) -> None:
        relay.clock.time += LONGEST_OUTAGE
        if left[0]:
            left[0] -= 1
            raise OUTAGES[4]

    relay.s3.always["ListObjectsV2"] = get_lost
    ask(side)
    assert left == [0]


def test_the_end_of_the_run_ends_an_outage(relay: Relay) -> None:
    side = relay.side(SOURCE, SOURCE_BUCKET, relay.clock.now() + 300)
    ask(side)
    relay.s3.always["ListObjectsV2"] = failing(SLOW_DOWN)
    with pytest.raises(CopyError):
        ask(side)
    assert relay.clock.now() <= side.deadline
    assert side.deadline - relay.clock.now() <= LONGEST_PAUSE
