# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defects that are planted into the code under test, each of which the campaign must catch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest.mock import PropertyMock, patch

from ansible_collections.amistore.aws.plugins.module_utils import (
    _aws,
    _fleet,
    _restore,
    _store,
    _store_tasks,
)
from ansible_collections.amistore.aws.plugins.module_utils._aws import Answer, Reply
from ansible_collections.amistore.aws.plugins.module_utils._fleet import Entry, Fleet, Phase
from ansible_collections.amistore.aws.plugins.module_utils._pacing import (
    CreateRate,
    Limits,
    TokenBucket,
)
from ansible_collections.amistore.aws.plugins.module_utils._store import StoreEntry, StoreOperation
from ansible_collections.amistore.aws.plugins.module_utils._store_tasks import (
    FAILED,
    PacedClient,
    StoreTask,
)

# More than twice as many as any of them takes.
MOST_SEEDS = 400


@dataclass(frozen=True)
class Defect:
    """A plausible mistake; `plant` keeps it in the code while its context is open."""

    what: str
    plant: Callable[[], AbstractContextManager[Any]]


def _instead(owner: Any, name: str, new: Any) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: patch.object(owner, name, new)


_put_off, _judge_by = Fleet._put_off, StoreOperation._judge_by
_decide_store, _decide_restore = _store.decide, _restore.decide
_run, _list_tasks, _result = Fleet.run, _store_tasks.list_tasks, _store._result


def _send_lost_again(fleet: Fleet[Any], entry: Entry, reply: Reply, now: float) -> None:
    if reply.answer is not Answer.UNCERTAIN:
        _put_off(fleet, entry, reply, now)


def _fail_throttled(fleet: Fleet[Any], entry: Entry, reply: Reply, now: float) -> None:
    if reply.answer is Answer.THROTTLED:
        entry.fail(reply.text)
    else:
        _put_off(fleet, entry, reply, now)


def _any_room(limits: Limits, running: int, anything_in_flight: bool) -> float:
    return float("inf") if running < limits.in_flight else 0.0


def _fail_unlisted(operation: StoreOperation, entries: Sequence[StoreEntry]) -> None:
    for entry in entries:
        entry.fail("the store task is gone")


def _believe_completed(operation: StoreOperation, entry: StoreEntry, task: StoreTask) -> None:
    _judge_by(operation, entry, task)
    if task.state == _store_tasks.COMPLETED:
        entry.phase = Phase.DONE


def _overlook_failed(operation: StoreOperation, entry: StoreEntry, task: StoreTask) -> None:
    if task.state != FAILED:
        _judge_by(operation, entry, task)


def _store_instead_of(right: _store.Action, wrong: _store.Action) -> Callable[..., Any]:
    def decide(*observed: Any) -> _store.Decision:
        decision = _decide_store(*observed)
        return _store.Decision(wrong) if decision.action is right else decision

    return decide


def _restore_instead_of(right: _restore.Action, wrong: _restore.Action) -> Callable[..., Any]:
    def decide(*observed: Any) -> _restore.Decision:
        decision = _decide_restore(*observed)
        return _restore.Decision(wrong) if decision.action is right else decision

    return decide


def _raise_everything(fleet: Fleet[Any], look: Callable[[], None]) -> None:
    look()


def _run_for_ever(fleet: Fleet[Any], wait: bool) -> None:
    fleet._deadline = float("inf")
    _run(fleet, wait)


def _create_with_retries(
    operation: StoreOperation, entry: StoreEntry, dry_run: bool = False
) -> Reply:
    return _store_tasks.start_store_task(
        operation.ec2, entry.image_id, operation.bucket.name, operation.options.prefix
    )


def _read_one_page(client: Any, states: Any = (), bucket: str | None = None) -> list[StoreTask]:
    class FirstPage:
        def describe_store_image_tasks(self, **params: Any) -> dict[str, Any]:
            answer = dict(client.describe_store_image_tasks(**params))
            answer.pop("NextToken", None)
            return answer

    return _list_tasks(FirstPage(), states, bucket)


def _ask_at_once(paced: PacedClient, params: Mapping[str, Any]) -> Any:
    return paced.client.describe_store_image_tasks(**params)


def _forget_tasks(operation: StoreOperation) -> dict[str, StoreTask]:
    operation._records.in_progress()
    return {}


def _tell_unchanged(entry: StoreEntry, bucket: str) -> dict[str, Any]:
    return _result(entry, bucket) | {"changed": False}


EXPIRED = {"RequestExpired", "ExpiredToken", "400"}

DEFECTS = {
    "lost-answers": Defect(
        "a create request whose answer got lost is sent again without a look",
        _instead(Fleet, "_put_off", _send_lost_again),
    ),
    "retrying-client": Defect(
        "create requests go through the client that sends again by itself",
        _instead(StoreOperation, "_create", _create_with_retries),
    ),
    "throttled-fails": Defect(
        "a throttled answer fails the AMI", _instead(Fleet, "_put_off", _fail_throttled)
    ),
    "refill": Defect(
        "the bucket of requests is thought to fill a tenth faster than it does",
        lambda: patch.object(
            TokenBucket, "_seconds_per_request", new_callable=PropertyMock, return_value=9.0
        ),
    ),
    "earlier-starts": Defect(
        "what was started before this run is not counted",
        _instead(CreateRate, "count_earlier", lambda rate, ages, now: None),
    ),
    "describe-rate": Defect(
        "questions about store tasks are not paced", _instead(PacedClient, "_send", _ask_at_once)
    ),
    "room": Defect(
        "an AMI starts as long as anything is left of the GiB in flight",
        _instead(_fleet, "free_room", _any_room),
    ),
    "room-of-others": Defect(
        "what others have in flight is not counted",
        lambda: patch.object(
            StoreOperation, "foreign_size", new_callable=PropertyMock, return_value=0
        ),
    ),
    "room-in-doubt": Defect(
        "what AWS may have begun unseen is not counted as in flight",
        _instead(Fleet, "_may_run", lambda fleet, entry, now: False),
    ),
    "empty-answer": Defect(
        "a task that is not listed any more is taken for failed",
        _instead(StoreOperation, "_judge", _fail_unlisted),
    ),
    "completed-record": Defect(
        "a task that is called Completed is taken for a stored image",
        _instead(StoreOperation, "_judge_by", _believe_completed),
    ),
    "failed-record": Defect(
        "a failed task is waited for", _instead(StoreOperation, "_judge_by", _overlook_failed)
    ),
    "killed-run": Defect(
        "what an earlier run has started is started again",
        _instead(StoreOperation, "_tasks_in_progress", _forget_tasks),
    ),
    "other-bucket": Defect(
        "a task of others into another bucket is taken for ours",
        _instead(_store, "decide", _store_instead_of(_store.Action.HOLD, _store.Action.ATTACH)),
    ),
    "one-page": Defect(
        "only the first page of the tasks is read",
        _instead(_store_tasks, "list_tasks", _read_one_page),
    ),
    "name-as-proof": Defect(
        "an AMI of the right name is taken for ours",
        _instead(_restore, "proves", lambda image, proof: True),
    ),
    "failed-restore": Defect(
        "an AMI whose restore failed is kept",
        _instead(
            _restore,
            "decide",
            _restore_instead_of(_restore.Action.REPLACE, _restore.Action.KEEP),
        ),
    ),
    "good-restore": Defect(
        "an AMI that was restored well is replaced",
        _instead(
            _restore,
            "decide",
            _restore_instead_of(_restore.Action.KEEP, _restore.Action.REPLACE),
        ),
    ),
    "pending-restore": Defect(
        "a restore is started again while it goes on",
        _instead(
            _restore,
            "decide",
            _restore_instead_of(_restore.Action.ATTACH, _restore.Action.START),
        ),
    ),
    "passing-fault": Defect(
        "a fault that passes ends the run", _instead(Fleet, "_tolerate", _raise_everything)
    ),
    "expired": Defect(
        "expired credentials are taken for a fault that passes",
        _instead(_aws, "THROTTLING_CODES", _aws.THROTTLING_CODES | EXPIRED),
    ),
    "deadline": Defect("wait_timeout is forgotten", _instead(Fleet, "run", _run_for_ever)),
    "unchanged": Defect(
        "what was started is not told as changed",
        _instead(_store, "_result", _tell_unchanged),
    ),
}
