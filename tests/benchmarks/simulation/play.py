# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores or restores one fleet in virtual time with the engine of the modules, and measures it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ansible_collections.amistore.aws.plugins.module_utils._fleet import Fleet, Phase
from ansible_collections.amistore.aws.plugins.module_utils._inputs import manifest_key
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Origin, build
from ansible_collections.amistore.aws.plugins.module_utils._pacing import (
    RESTORE_LIMITS,
    STORE_LIMITS,
)
from ansible_collections.amistore.aws.plugins.module_utils._restore import (
    RestoreEntry,
    RestoreOperation,
    RestoreOptions,
)
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
from tests.benchmarks.simulation.mixes import PREFIX, Image
from tests.benchmarks.simulation.world import Account, Neighbour
from tests.emulator.model import Work as AwsWork
from tests.emulator.scenario import Failure, Scenario
from tests.unit.plugins.module_utils.fake_aws import BUCKET, HERE, StoredThing
from tests.unit.plugins.module_utils.virtual_clock import VirtualClock

LATENCY = 0.05
FOREVER = 1e9
THROTTLED = ("RequestLimitExceeded", "SlowDown")


@dataclass
class Ends:
    """When the engine saw that the work on each AMI had ended well."""

    clock: VirtualClock
    seen: dict[str, float] = field(default_factory=dict)

    def note(self, entries: Iterable[StoreEntry | RestoreEntry]) -> None:
        for entry in entries:
            if entry.phase is Phase.DONE and entry.image_id:
                self.seen.setdefault(entry.image_id, self.clock.now())


class WatchedStore(StoreOperation):
    """The operation of the module, with a note of when each end was seen."""

    ends: Ends

    def look(self, entries: Sequence[StoreEntry]) -> None:
        super().look(entries)
        self.ends.note(entries)


class WatchedRestore(RestoreOperation):
    """The same for restores."""

    ends: Ends

    def look(self, entries: Sequence[RestoreEntry]) -> None:
        super().look(entries)
        self.ends.note(entries)


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
    bound = lower_bound(_works(images), Allowance().left_by(share))
    account = _account(images)
    if share:
        Neighbour(account, share, until=20 * bound).move_in()
    options = StoreOptions(BUCKET, PREFIX)
    operation = WatchedStore(
        account.ec2, account.ec2, Bucket(account.s3, BUCKET), options, account.clock, _origin
    )
    operation.ends = Ends(account.clock)
    entries = operation.entries(image.image_id for image in images)
    with account.in_virtual_time():
        Fleet(operation, entries, STORE_LIMITS, account.clock, FOREVER, order=order).run(wait=True)
    ours = [task for task in account.stores.items if task.bucket == BUCKET]
    return _measure(account, operation.ends, entries, ours, bound)


def play_restore(images: Sequence[Image]) -> Outcome:
    """Restore these images out of a bucket where they all lie."""
    bound = lower_bound(_works(images), Allowance(in_flight=RESTORE_LIMITS.in_flight))
    account = _account(images)
    for image in images:
        _put_stored(account, image)
    account.images.clear()
    bucket = Bucket(account.s3, BUCKET)
    operation = WatchedRestore(account.ec2, account.ec2, bucket, RestoreOptions(BUCKET))
    operation.ends = Ends(account.clock)
    entries = [RestoreEntry(label=image.key, object_key=image.key) for image in images]
    with account.in_virtual_time():
        Fleet(operation, entries, RESTORE_LIMITS, account.clock, FOREVER).run(wait=True)
    return _measure(account, operation.ends, entries, account.restores.items, bound)


def _works(images: Iterable[Image]) -> list[Work]:
    return [Work(image.gib, image.occupies) for image in images]


def _origin(key: str) -> Origin:
    return Origin(HERE.account, HERE.region, "aws", BUCKET, key)


def _account(images: Sequence[Image]) -> Account:
    failures = {
        name: Failure("Snapshot is gone", image.fails_at)
        for image in images
        for name in (image.image_id, image.key)
        if image.fails_at is not None
    }
    scenario = Scenario(
        store_failures=failures,
        restore_failures=failures,
        in_flight_includes_new=True,
        encryption_by_default=True,
    )
    durations = {name: each.seconds for each in images for name in (each.image_id, each.key)}
    account = Account(scenario, durations, LATENCY)
    for image in images:
        account.add_image(image.image_id, image.gib, image_id=image.image_id)
    return account


def _put_stored(account: Account, image: Image) -> None:
    document = build(_origin(image.key), account.images[image.image_id].described(), [], None, ())
    account.objects[BUCKET, image.key] = StoredThing(image.image_id.encode(), {})
    account.objects[BUCKET, manifest_key(image.key)] = StoredThing(document.dump(), {})
    account.stored_gib[image.key] = image.gib


def _measure(
    account: Account,
    ends: Ends,
    entries: Sequence[StoreEntry] | Sequence[RestoreEntry],
    tasks: Sequence[AwsWork],
    bound: float,
) -> Outcome:
    seen = ends.seen
    failed = sum(entry.phase is Phase.FAILED for entry in entries)
    return Outcome(
        len(entries),
        account.clock.now(),
        bound,
        Counter(call.operation for call in account.calls),
        sum(call.outcome in THROTTLED for call in account.calls),
        _peak(tasks),
        statistics.median(
            seen[task.image_id] - task.ends for task in tasks if task.image_id in seen
        ),
        failed,
        len(entries) - failed - len(seen),
    )


def _peak(tasks: Sequence[AwsWork]) -> int:
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
