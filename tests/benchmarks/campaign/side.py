# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a trial needs to know of storing or restoring, and what both have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.amistore.aws.plugins.module_utils._report import Report
from tests.benchmarks.campaign.account import CampaignAws
from tests.benchmarks.campaign.plans import Plan, RunPlan
from tests.emulator.limits import Rate
from tests.emulator.scenario import Scenario

DESCRIBE = "DescribeStoreImageTasks"
PREFIX = "dr"

Result = dict[str, Any]


@dataclass
class Begun:
    """The code under test, ready to run."""

    operation: Any
    report: Report[Any]
    results: Callable[[], list[Result]]


@dataclass
class Ended:
    """One run, as the user saw it; times by the account's clock."""

    plan: RunPlan
    began: float
    ended: float
    killed: bool
    report: Report[Any]
    results: list[Result]
    expired: bool
    changed: bool
    """Whether it changed anything at AWS."""
    troubled: bool
    """Whether any of its requests was struck."""


class Side(Protocol):
    """Storing or restoring."""

    create: str
    done: str
    """The state of what has ended well."""

    def account(self) -> CampaignAws:
        """The account before the task is run for the first time."""

    def begin(self, aws: CampaignAws, run: RunPlan) -> Begun:
        """The code under test, as the module sets it up."""

    def subject(self, number: int) -> str:
        """What identifies one of the fleet in requests and results."""

    def subject_of(self, result: Result) -> str:
        """The same, of a result."""

    def is_true(self, aws: CampaignAws, ended: Ended, result: Result) -> bool:
        """Whether the state in a result is one that the world was in during the run."""

    def may_fail(self, aws: CampaignAws, result: Result) -> bool:
        """Whether there is a reason in the world for this one to be named as failed."""

    def broken_rules(self, aws: CampaignAws) -> Sequence[str]:
        """What must never be, whatever has happened."""

    def unfinished(self, aws: CampaignAws, result: Result) -> str:
        """What is missing to a result that ended well, in words."""


def scenario(plan: Plan, create: str, **values: Any) -> Scenario:
    rate, describe = plan.limits.create_rate, plan.describe_rate
    return Scenario(
        rates={
            create: Rate(rate.burst, 1 / rate.seconds_per_request),
            DESCRIBE: Rate(describe.burst, 1 / describe.seconds_per_request),
        },
        in_flight_includes_new=plan.includes_new,
        listing_lag=plan.listing_lag,
        task_update_lag=plan.update_lag,
        image_lag=plan.image_lag,
        name_lag=plan.name_lag,
        page_size=plan.page_size,
        empty_pages=plan.empty_pages,
        **values,
    )


def image_id(number: int) -> str:
    return f"ami-{number + 1:08x}"
