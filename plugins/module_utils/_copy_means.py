# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every object of a run is copied with: both sides, memory, pace and time."""

from __future__ import annotations

import typing as t
from functools import partial

from ansible_collections.amistore.aws.plugins.module_utils._copy_clients import (
    endpoint_beside_aws,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_content import Memory
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import CopyOptions
from ansible_collections.amistore.aws.plugins.module_utils._copy_job import Job
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import Part
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    GOES_ON,
    Side,
    StoppedError,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_transfer import (
    Pace,
    Streaming,
    for_each,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_useful import at_first
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Clock


class Means:
    """Both sides and the options, with what the objects of a run share."""

    def __init__(self, source: Side, destination: Side, options: CopyOptions, clock: Clock) -> None:
        self.source = source
        self.destination = destination
        self.options = options
        self.clock = clock
        self.warnings: list[str] = []
        self.memory = Memory(options.memory)
        self.pace = Pace(options.concurrency, clock)
        for side in (source, destination):
            side.on_throttled = self.pace.slow_down

    @property
    def is_one_bucket(self) -> bool:
        """Whether source and destination are the same bucket."""
        if self.source.bucket.name != self.destination.bucket.name:
            return False
        source, destination = (
            endpoint_beside_aws(side.client) or side.client.meta.partition
            for side in (self.source, self.destination)
        )
        return bool(source == destination)

    def check_time(self) -> None:
        """Go on only while time is left.

        :raises StoppedError: says that it is over.
        """
        if self.clock.now() >= self.destination.deadline:
            raise StoppedError(
                message=f"wait_timeout ({self.options.wait_timeout} s) has passed. {GOES_ON}"
            )

    def streaming(self, job: Job) -> Streaming:
        """Return what reads and sends the parts of one object; the pace begins anew."""
        waiting = self.source.round_trip + self.destination.round_trip
        part_size = job.layout.part_size
        self.pace.begin(at_first(waiting, part_size), part_size)
        return Streaming(
            self.source,
            self.destination,
            job.source,
            job.entry.key,
            job.entry.counts,
            self.memory,
            foresee=self.pace.foresee,
            foresee_sending=partial(self.pace.foresee, sending=True),
        )

    def each(self, parts: t.Sequence[Part], work: t.Callable[[Part], None]) -> None:
        """Do the work for every part, several at a time.

        :raises StoppedError: when time is over.
        :raises Exception: the first failure, once every part that was begun has come to its end.
        """
        for_each(
            parts,
            work,
            self.options.concurrency,
            self.pace,
            self.destination.halt,
            self.check_time,
        )
