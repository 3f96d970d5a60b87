# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small parts that need no server: clock, rates, paging, filters, faults, scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from . import filters
from .clock import EmulatedClock
from .faults import FaultPlan, Target, answer_of
from .limits import Rate
from .model import Refused
from .paging import Cut, Page, page
from .rates import TokenBuckets
from .scenario import Failure, Fault, Scenario, ScenarioError, load


def test_clock_runs_at_its_speed_and_jumps() -> None:
    real = [0.0]
    clock = EmulatedClock(10, epoch=lambda: 1000.0, monotonic=lambda: real[0])
    real[0] = 2.0
    assert clock.now() == 1020.0
    clock.run_at(1)
    real[0] = 5.0
    assert clock.now() == 1023.0
    clock.advance(77)
    assert clock.now() == 1100.0


def test_bucket_empties_and_refills() -> None:
    now = [0.0]
    buckets = TokenBuckets(lambda: now[0])
    rate = Rate(2, 0.5)
    assert [buckets.take("a", rate) for _time in range(3)] == [True, True, False]
    assert buckets.take("b", rate)
    now[0] = 1.9
    assert not buckets.take("a", rate)
    now[0] = 2.0
    assert buckets.take("a", rate)
    now[0] = 1000.0
    assert [buckets.take("a", rate) for _time in range(3)] == [True, True, False]


def _all_pages(cut: Cut, keep: Any = lambda _item: True) -> list[list[int]]:
    pages, token = [], None
    while True:
        shown: Page[int] = page(range(5), keep, token, cut)
        pages.append(shown.items)
        token = shown.token
        if token is None:
            return pages


def test_pages_hold_everything_once() -> None:
    assert _all_pages(Cut(2)) == [[0, 1], [2, 3], [4]]
    assert _all_pages(Cut(5)) == [[0, 1, 2, 3, 4]]


def test_empty_pages_come_first() -> None:
    assert _all_pages(Cut(4, empty_pages=2)) == [[], [], [0, 1, 2, 3], [4]]


def test_late_filter_leaves_empty_pages_in_between() -> None:
    assert _all_pages(Cut(2, filter_late=True), lambda item: item == 4) == [[], [], [4]]
    assert _all_pages(Cut(2), lambda item: item == 4) == [[4]]


@pytest.mark.parametrize("token", ["nonsense", "AAAA", "é"])
def test_foreign_token_is_refused(token: str) -> None:
    with pytest.raises(Refused, match="InvalidPaginationToken"):
        page([1], lambda _item: True, token, Cut(1))


@pytest.mark.parametrize(
    ("value", "pattern", "fits"),
    [
        ("web-1", "web-*", True),
        ("web-1", "web-?", True),
        ("web-12", "web-?", False),
        ("web*", r"web\*", True),
        ("web-1", r"web\*", False),
        ("web[1]", "web[1]", True),
        ("Web", "web", False),
    ],
)
def test_wildcards(value: str, pattern: str, fits: bool) -> None:
    assert filters.like(value, pattern) is fits


def test_filters_are_joined_by_and_and_their_values_by_or() -> None:
    values = {"name": ["web"], "state": ["available"]}
    fits = filters.matching({"name": ["x", "w*"], "state": ["available"]}, _values)
    assert fits(values)
    assert not filters.matching({"name": ["w*"], "state": ["pending"]}, _values)(values)


def _values(item: dict[str, list[str]], name: str) -> list[str] | None:
    return item.get(name)


def test_unknown_filter_and_too_many_values_are_refused() -> None:
    with pytest.raises(Refused, match="The filter 'colour' is invalid"):
        filters.matching({"colour": ["red"]}, _values)({})
    with pytest.raises(Refused, match="FilterLimitExceeded"):
        filters.matching({"name": ["x"] * 201}, _values)


def test_fault_skips_the_first_and_stops_after_its_times() -> None:
    plan = FaultPlan([Fault("DescribeImages", error="InternalError", after=1, times=2)])
    given = [plan.pick(Target("DescribeImages")) is not None for _time in range(5)]
    assert given == [False, True, True, False, False]


def test_fault_concerns_its_action_key_and_ami_only() -> None:
    plan = FaultPlan(
        [
            Fault("s3:PutObject", error="SlowDown", key="*.json"),
            Fault("Create*", error="InternalError", image_id="ami-1"),
        ]
    )
    assert plan.pick(Target("PutObject", key="a.bin")) is None
    assert plan.pick(Target("PutObject", key="a.json")) is not None
    assert plan.pick(Target("CreateStoreImageTask", image_ids=("ami-2",))) is None
    assert plan.pick(Target("CreateStoreImageTask", image_ids=("ami-1",))) is not None


def test_chance_of_a_fault_is_the_same_for_the_same_seed() -> None:
    def given(seed: int) -> list[bool]:
        plan = FaultPlan([Fault("*", error="InternalError", probability=0.5, seed=seed)])
        return [plan.pick(Target("DescribeImages")) is not None for _time in range(40)]

    assert given(1) == given(1)
    assert given(1) != given(2)
    assert 5 < sum(given(1)) < 35


def test_status_follows_the_error_unless_it_is_given() -> None:
    assert answer_of(Fault("*", error="SlowDown"), "s3") == ("SlowDown", 503)
    assert answer_of(Fault("*", error="InvalidRequest"), "ec2") == ("InvalidRequest", 400)
    assert answer_of(Fault("*", error="SlowDown", status=429), "s3") == ("SlowDown", 429)


@pytest.mark.parametrize(
    ("service", "answer"),
    [
        ("ec2", ("RequestLimitExceeded", 503)),
        ("s3", ("SlowDown", 503)),
        ("sts", ("Throttling", 400)),
    ],
)
def test_throttled_is_said_in_each_services_own_word(service: str, answer: tuple[str, int]) -> None:
    assert answer_of(Fault("*", error="throttled"), service) == answer


@pytest.mark.parametrize(
    "changes",
    [
        {"stor_seconds": 1},
        {"speed": 0},
        {"speed": "fast"},
        {"empty_pages": -1},
        {"page_size": True},
        {"encryption_by_default": "yes"},
        {"faults": [{"action": "*", "drop": "sometimes"}]},
        {"faults": [{"action": "*", "code": "SlowDown"}]},
        {"faults": [{}]},
        {"rates": {"DescribeImages": [1]}},
        {"deny": "s3:GetObject"},
        {"object_size": "huge"},
        {"accounts": {"KEY": 5}},
    ],
)
def test_impossible_settings_are_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match=next(iter(changes))):
        Scenario().changed(changes)


def test_settings_are_read_into_records() -> None:
    scenario = Scenario().changed(
        {
            "store_failures": {"*": {"reason": "x", "at_percent": 10}},
            "deny": ["s3:GetObject", {"action": "ec2:*", "resource": "*/ami-1"}],
        }
    )
    assert scenario.store_failures["*"] == Failure("x", 10)
    assert [d.resource for d in scenario.deny] == ["*", "*/ami-1"]


def test_rates_are_awss_unless_changed_or_switched_off() -> None:
    scenario = Scenario()
    assert scenario.rate("CreateStoreImageTask") == Rate(50, 0.1)
    assert scenario.rate("DescribeImages") == Rate(100, 20)
    assert scenario.rate("DeregisterImage") == Rate(50, 5)
    changed = scenario.changed({"rates": {"DescribeImages": [1, 2], "CopyImage": None}})
    assert changed.rate("DescribeImages") == Rate(1, 2)
    assert changed.rate("CopyImage") is None
    assert changed.rate("CreateStoreImageTask") == Rate(50, 0.1)
    switched_off: list[Any] = [None, {}]
    by_pattern = scenario.changed({"rates": {"Describe*": [3, 3], "DescribeImages": [1, 2]}})
    assert by_pattern.rate("DescribeSnapshots") == Rate(3, 3)
    assert by_pattern.rate("DescribeImages") == Rate(1, 2)
    for off in switched_off:
        assert scenario.changed({"rates": off}).rate("CreateStoreImageTask") is None
    assert changed.changed({"rates": "aws"}).rate("DescribeImages") == Rate(100, 20)


def test_shown_scenario_can_be_set_again() -> None:
    scenario = Scenario().changed(
        {
            "faults": [{"action": "*", "error": "SlowDown"}],
            "deny": ["s3:*"],
            "store_failures": {"*": {}},
            "restore_alterations": {"*": {"boot_mode": "uefi", "sizes": {"/dev/sdb": 9}}},
            "rates": {"DescribeImages": [1, 2]},
        }
    )
    assert Scenario().changed(scenario.as_dict()) == scenario
    assert Scenario().changed(Scenario().as_dict()) == Scenario()


def test_scenario_files_are_yaml_or_json(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("speed: 60\nhidden_tasks: [ami-1]\n", encoding="utf-8")
    (tmp_path / "a.json").write_text('{"speed": 60, "hidden_tasks": ["ami-1"]}', encoding="utf-8")
    assert load(tmp_path / "a.yml") == load(tmp_path / "a.json")
    (tmp_path / "b.yml").write_text("- speed\n", encoding="utf-8")
    with pytest.raises(ScenarioError, match="mapping"):
        load(tmp_path / "b.yml")
