# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that the emulated AWS is at one moment, put together."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from moto.core.models import DEFAULT_ACCOUNT_ID as MOTO_ACCOUNT
from moto.ec2.models import ec2_backends
from moto.iam.models import get_account_id_from

from . import ec2_targets
from .access import Access
from .callers import Caller, identify
from .clock import EmulatedClock
from .faults import FaultPlan
from .forward_access import ForwardAccess
from .journal import Journal
from .model import Restores, StoreTasks
from .moto_adapters import MotoLanding, MotoStorage
from .partitions import served
from .rates import TokenBuckets
from .scenario import Scenario

if TYPE_CHECKING:
    from .wire import Request


class World:
    """The clock, the scenario, and all state that moto does not hold itself."""

    def __init__(self, scenario: Scenario) -> None:
        self.lock = threading.RLock()
        self.initial = scenario
        self.scenario = scenario
        self.clock = EmulatedClock(scenario.speed)
        self.now = self.clock.now
        self.journal = Journal()
        self.request: Request | None = None
        self.renew()

    def renew(self) -> None:
        """Forget all tasks, rates and faults."""
        self.rates = TokenBuckets(self.now)
        self.faults = FaultPlan(self.scenario.faults)
        self.access = Access(lambda: self.scenario)
        self.forward = ForwardAccess(self.access)
        self.stores = StoreTasks(self.now, lambda: self.scenario, storage=MotoStorage(self))
        self.restores = Restores(self.now, lambda: self.scenario, landing=MotoLanding(self))

    def change(self, scenario: Scenario, keys: Sequence[str]) -> None:
        """Go on under another scenario, of which these keys were set anew."""
        self.settle()
        self.scenario = scenario
        self.clock.run_at(scenario.speed)
        if "faults" in keys:
            self.faults = FaultPlan(scenario.faults)
        if "store_failures" in keys:
            self.stores.forget_failures()
        if "restore_failures" in keys:
            self.restores.forget_failures()
        if "encryption_by_default" in keys:
            for backend in self.backends():
                backend.ebs_encryption_by_default = scenario.encryption_by_default
        self.settle()

    def settle(self) -> None:
        """Let everything happen that is due by now."""
        self.stores.settle()
        self.restores.settle()

    def account_of(self, access_key: str) -> str:
        """The account of an access key: as the scenario says, else as moto's IAM knows it."""
        named = self.scenario.accounts.get(access_key)
        if named:
            return named
        known = get_account_id_from(access_key)
        return served().account if known == MOTO_ACCOUNT else known

    @property
    def account(self) -> str:
        """The account of the request that is being answered."""
        return self.account_of(self.request.access_key if self.request else "")

    def backend(self, account: str, region: str) -> Any:
        """EC2 of one account and Region."""
        return ec2_backends[account][region]

    def backend_of(self, image: Any) -> Any:
        """EC2 where an AMI is registered."""
        return image.ec2_backend

    def backends(self) -> Iterator[Any]:
        """EC2 of every account and Region that was used so far."""
        for regions in list(ec2_backends.values()):
            yield from list(regions.values())

    def images_shared_with(self, account: str, region: str) -> list[Any]:
        """The AMIs of other accounts that this account may use in this Region."""
        return [
            image
            for backend in self.backends()
            if backend.region_name == region and backend.account_id != account
            for image in backend.amis.values()
            if image.is_public or image.shared_with(account)
        ]

    @property
    def caller(self) -> Caller:
        """Who sends the request that is being answered; anonymous requests have no account."""
        request = self.request
        if request is None or not request.access_key:
            return Caller("", "")
        token = request.headers.get("x-amz-security-token", "")
        return identify(self.scenario, self.account, request.access_key, request.region, token)

    def authorize(self, action: str, target: ec2_targets.Target) -> None:
        """Raises Refused when the caller may not do this."""
        if self.request is not None:
            self.access.require_ec2(self.request, self.caller, action, [target])

    def missing_for_store(self, bucket: str, key: str, tagged: bool) -> str | None:
        """The first right in S3 and EC2 that a store in the caller's name lacks."""
        if self.request is None:
            return None
        return self.forward.for_store(self.request, self.caller, bucket, key, tagged)

    def missing_for_restore(self, bucket: str, key: str) -> str | None:
        """The first right in S3 that a restore in the caller's name lacks."""
        if self.request is None:
            return None
        return self.forward.for_restore(self.request, self.caller, bucket, key)
