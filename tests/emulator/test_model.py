# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of store tasks and restores, in virtual time."""

from __future__ import annotations

import pytest

from .limits import COPY_IN_BUCKET, STORE_IN_PROGRESS, TASK_HISTORY_SECONDS
from .model import Place, Refused, Restores, Shelf, StoreTask, StoreTasks, Work
from .scenario import Scenario

HOME = Place("123456789012", "us-east-1")


class Virtual:
    """A clock and a scenario that a test sets as it likes."""

    def __init__(self, **settings: object) -> None:
        self.moment = 1_000_000.0
        self.scenario = Scenario().changed(
            {"store_seconds": 100, "store_seconds_per_gib": 0, "restore_seconds": 50, **settings}
        )
        self.shelf = Shelf()
        self.stores = StoreTasks(self.now, lambda: self.scenario, storage=self.shelf)

    def now(self) -> float:
        return self.moment

    def wait(self, seconds: float) -> None:
        self.moment += seconds
        self.stores.settle()

    def start(self, image_id: str = "ami-1", bucket: str = "vault", gib: int = 10) -> StoreTask:
        return self.stores.start(HOME, image_id, bucket, f"{image_id}.bin", gib)


def test_progress_grows_with_time_and_is_complete_only_at_the_end() -> None:
    virtual = Virtual()
    virtual.start()
    seen = []
    for _step in range(5):
        record = virtual.stores.records(HOME)[0]
        seen.append((record.state, record.percent))
        virtual.wait(25)
    assert seen == [
        ("InProgress", 0),
        ("InProgress", 25),
        ("InProgress", 50),
        ("InProgress", 75),
        ("Completed", 100),
    ]


def test_object_appears_only_when_the_task_is_complete() -> None:
    virtual = Virtual()
    virtual.start()
    virtual.wait(99)
    assert not virtual.shelf.holds("vault", "ami-1")
    virtual.wait(1)
    assert virtual.shelf.holds("vault", "ami-1")


def test_duration_grows_with_size() -> None:
    virtual = Virtual(store_seconds=10, store_seconds_per_gib=2)
    assert virtual.start(gib=7).ends - virtual.moment == 24


def test_planned_failure_ends_early_with_its_reason_and_without_object() -> None:
    virtual = Virtual(store_failures={"ami-1": {"reason": "no luck", "at_percent": 40}})
    virtual.start()
    virtual.wait(40)
    record = virtual.stores.records(HOME)[0]
    assert (record.state, record.percent, record.reason) == ("Failed", 40, "no luck")
    assert not virtual.shelf.objects


def test_planned_failure_runs_out() -> None:
    virtual = Virtual(store_failures={"*": {"times": 1}})
    virtual.start()
    virtual.wait(200)
    virtual.start()
    virtual.wait(200)
    assert [r.state for r in virtual.stores.records(HOME)] == ["Completed", "Failed"]


def test_one_store_of_an_ami_at_a_time_whatever_the_bucket() -> None:
    virtual = Virtual()
    virtual.start()
    with pytest.raises(Refused) as refused:
        virtual.start(bucket="other")
    assert (refused.value.code, refused.value.message) == ("InvalidRequest", STORE_IN_PROGRESS)


def test_one_copy_of_an_ami_in_a_bucket() -> None:
    virtual = Virtual()
    virtual.start()
    virtual.wait(100)
    with pytest.raises(Refused) as refused:
        virtual.start()
    assert (refused.value.code, refused.value.message) == ("InvalidRequest", COPY_IN_BUCKET)
    assert virtual.start(bucket="other").bucket == "other"


def test_work_is_admitted_until_the_limit_runs() -> None:
    virtual = Virtual(store_in_flight_gib=100)
    virtual.start("ami-1", gib=60)
    virtual.start("ami-2", gib=60)
    with pytest.raises(Refused):
        virtual.start("ami-3", gib=1)
    virtual.wait(100)
    assert virtual.start("ami-3", gib=500).gib == 500


def test_limit_may_count_the_new_work_as_well() -> None:
    virtual = Virtual(store_in_flight_gib=100, in_flight_includes_new=True)
    virtual.start("ami-1", gib=60)
    with pytest.raises(Refused):
        virtual.start("ami-2", gib=41)
    assert virtual.start("ami-2", gib=40).gib == 40


def test_limit_is_the_accounts_own() -> None:
    virtual = Virtual(store_in_flight_gib=100)
    virtual.start("ami-1", gib=100)
    elsewhere = Place("222222222222", "us-east-1")
    assert virtual.stores.start(elsewhere, "ami-2", "vault", "k", 100).gib == 100


def test_listing_lag_hides_a_new_task_from_lists_but_not_from_aws() -> None:
    virtual = Virtual(listing_lag=5)
    virtual.start()
    assert virtual.stores.records(HOME) == []
    with pytest.raises(Refused):
        virtual.start()
    virtual.wait(5)
    assert len(virtual.stores.records(HOME)) == 1


def test_update_lag_shows_the_past() -> None:
    virtual = Virtual(task_update_lag=30)
    virtual.start()
    virtual.wait(110)
    assert virtual.stores.records(HOME)[0].state == "InProgress"
    assert virtual.shelf.holds("vault", "ami-1")
    virtual.wait(20)
    assert virtual.stores.records(HOME)[0].state == "Completed"


def test_hidden_task_is_never_listed_and_still_completes() -> None:
    virtual = Virtual(hidden_tasks=["ami-1"])
    virtual.start()
    virtual.wait(100)
    assert virtual.stores.records(HOME) == []
    assert virtual.shelf.holds("vault", "ami-1")


def test_tasks_are_listed_newest_first_for_31_days() -> None:
    virtual = Virtual()
    virtual.start("ami-1")
    virtual.wait(TASK_HISTORY_SECONDS - 50)
    virtual.start("ami-2")
    assert [r.image_id for r in virtual.stores.records(HOME)] == ["ami-2", "ami-1"]
    virtual.wait(51)
    assert [r.image_id for r in virtual.stores.records(HOME)] == ["ami-2"]


def test_newest_record_of_an_ami_hides_its_older_ones() -> None:
    virtual = Virtual()
    virtual.start(bucket="first")
    virtual.wait(100)
    virtual.start(bucket="second")
    records = virtual.stores.newest_records(HOME, ["ami-1", "ami-2"])
    assert [(r.image_id, r.bucket) for r in records] == [("ami-1", "second")]


class Broken(Shelf):
    """Storage whose snapshots vanish at will."""

    gone = False

    def obstacle(self, task: StoreTask) -> str | None:
        return "snapshot gone" if self.gone else None


def test_task_breaks_off_when_its_snapshot_vanishes() -> None:
    virtual = Virtual()
    storage = Broken()
    virtual.stores.storage = storage
    virtual.start()
    virtual.wait(60)
    storage.gone = True
    virtual.wait(10)
    record = virtual.stores.records(HOME)[0]
    assert (record.state, record.percent, record.reason) == ("Failed", 70, "snapshot gone")
    virtual.wait(100)
    assert not storage.objects


class Landed:
    """Notes which restores ended."""

    def __init__(self) -> None:
        self.finished: list[Work] = []

    def finish(self, restore: Work) -> None:
        self.finished.append(restore)


def test_restore_ends_once_in_order_of_time() -> None:
    virtual = Virtual(restore_seconds_per_gib=1)
    landed = Landed()
    restores = Restores(virtual.now, lambda: virtual.scenario, landing=landed)
    restores.start(HOME, "ami-slow", "vault", "a.bin", 20)
    restores.start(HOME, "ami-fast", "vault", "b.bin", 10)
    virtual.moment += 1000
    restores.settle()
    restores.settle()
    assert [work.image_id for work in landed.finished] == ["ami-fast", "ami-slow"]


def test_restore_failure_is_found_by_key_or_by_the_stored_ami() -> None:
    failures = {"a.bin": {"reason": "by key"}, "ami-old": {"reason": "by source"}}
    virtual = Virtual(restore_failures=failures)
    restores = Restores(virtual.now, lambda: virtual.scenario)
    by_key = restores.start(HOME, "ami-1", "vault", "a.bin", 1)
    by_source = restores.start(HOME, "ami-2", "vault", "b.bin", 1, source="ami-old")
    assert by_key.failure is not None
    assert by_source.failure is not None
    assert [by_key.failure.reason, by_source.failure.reason] == ["by key", "by source"]
