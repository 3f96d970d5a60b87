# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores one fleet in virtual time with the engine that the modules use, and measures it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.amistore.aws.plugins.module_utils._fleet import Fleet, Phase
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Origin
from ansible_collections.amistore.aws.plugins.module_utils._pacing import STORE_LIMITS
from ansible_collections.amistore.aws.plugins.module_utils._start_order import (
    Order,
    keep_both_busy,
)
from ansible_collections.amistore.aws.plugins.module_utils._store import (
    StoreEntry,
    StoreOperation,
    StoreOptions,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.benchmarks.simulation.bound import Allowance, Work, lower_bound
from tests.benchmarks.simulation.mixes import Image
from tests.benchmarks.simulation.world import Account, Neighbour
from tests.emulator.model import StoreTask
from tests.emulator.scenario import Failure, Scenario
from tests.unit.plugins.module_utils.fake_aws import BUCKET, HERE

LATENCY = 0.05
PREFIX = "dr"
FOREVER = 1e9
THROTTLED = ("RequestLimitExceeded", "SlowDown")


@dataclass
class WatchedStore(StoreOperation):
    """The operation of the module, with a note of when each end was seen."""

    seen: dict[str, float] = field(default_factory=dict)

    def look(self, entries: Sequence[StoreEntry]) -> None:
        super().look(entries)
        now = self.clock.now()
        for entry in entries:
            if entry.phase is Phase.DONE:
                self.seen.setdefault(entry.image_id, now)


@dataclass(frozen=True)
class Outcome:
    """One run, as AWS and as the user saw it. Times in seconds."""

    count: int
    makespan: float
    bound: float
    requests: Counter[str]
    throttled: int
    peak_gib: int
    notice: float
    """Median from the end of a task to the moment when the engine knew."""
    failed: int
    lost: int

    @property
    def ratio(self) -> float:
        return self.makespan / self.bound

    @property
    def describes_per_image(self) -> float:
        return self.requests["DescribeStoreImageTasks"] / self.count


def play(images: Sequence[Image], share: float = 0.0, order: Order = keep_both_busy) -> Outcome:
    """Store these images while somebody else takes that share of everything."""
    works = [Work(image.gib, image.occupies) for image in images]
    bound = lower_bound(works, Allowance().left_by(share))
    account = _account(images)
    if share:
        Neighbour(account, share, until=20 * bound).move_in()
    operation = _operation(account)
    entries = operation.entries(image.image_id for image in images)
    clock = account.clock
    begun = clock.now()
    with account.in_virtual_time():
        Fleet(operation, entries, STORE_LIMITS, clock, FOREVER, order).run(wait=True)
    return _measure(account, operation, entries, clock.now() - begun, bound)


def _account(images: Sequence[Image]) -> Account:
    failures = {
        image.image_id: Failure("Snapshot is gone", image.fails_at)
        for image in images
        if image.fails_at is not None
    }
    scenario = Scenario(store_failures=failures, in_flight_includes_new=True)
    account = Account(scenario, {image.image_id: image.seconds for image in images}, LATENCY)
    for image in images:
        account.add_image(image.image_id, image.gib, image_id=image.image_id)
    return account


def _operation(account: Account) -> WatchedStore:
    def origin(key: str) -> Origin:
        return Origin(HERE.account, HERE.region, "aws", BUCKET, key)

    options = StoreOptions(BUCKET, PREFIX)
    bucket = Bucket(account.s3, BUCKET)
    return WatchedStore(account.ec2, account.ec2, bucket, options, account.clock, origin)


def _measure(
    account: Account,
    operation: WatchedStore,
    entries: Sequence[StoreEntry],
    makespan: float,
    bound: float,
) -> Outcome:
    ours = [task for task in account.stores.items if task.bucket == BUCKET]
    seen = operation.seen
    notices = [seen[task.image_id] - task.ends for task in ours if task.image_id in seen]
    failed = sum(entry.phase is Phase.FAILED for entry in entries)
    return Outcome(
        len(entries),
        makespan,
        bound,
        Counter(call.operation for call in account.calls),
        sum(call.outcome in THROTTLED for call in account.calls),
        _peak(ours),
        statistics.median(notices),
        failed,
        len(entries) - failed - len(seen),
    )


def _peak(tasks: Sequence[StoreTask]) -> int:
    changes = sorted(
        change
        for task in tasks
        for change in ((task.started, 1, task.gib), (task.ends, 0, -task.gib))
    )
    running = peak = 0
    for _moment, _kind, gib in changes:
        running += gib
        peak = max(peak, running)
    return peak
