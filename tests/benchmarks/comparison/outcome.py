# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one way of storing took, and what became of the AMIs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

COMPLETED = "Completed"
FAILED = "Failed"
THROTTLED = ("RequestLimitExceeded", "SlowDown", "Throttling")


@dataclass(frozen=True)
class Outcome:
    """One run as the account and as the user saw it."""

    name: str
    seconds: float
    """Emulated, from the start of the program to its end."""
    skipped: float
    """Emulated seconds of those in which all of it slept."""
    cpu: float
    """Seconds of all its processes, while time was not skipped."""
    polling_cpu: float
    """Seconds that Ansible's controller would have spent besides, in the time that was skipped."""
    requests: Mapping[str, Mapping[str, int]]
    """How often each action had which outcome."""
    stored: frozenset[str]
    """AMIs that are in the bucket after all tasks have ended."""
    storable: frozenset[str]
    verdicts: Mapping[str, str]
    """What it reported about each AMI."""

    def count(self, action: str) -> int:
        return sum(self.requests.get(action, {}).values())

    @property
    def all_requests(self) -> int:
        return sum(self.count(action) for action in self.requests)

    @property
    def throttled(self) -> int:
        return sum(
            outcomes.get(code, 0) for outcomes in self.requests.values() for code in THROTTLED
        )

    @property
    def refused(self) -> int:
        """Other refusals: those of the GiB in flight."""
        answers = self.requests.get("CreateStoreImageTask", {})
        return sum(times for code, times in answers.items() if code not in ("OK", *THROTTLED))

    @property
    def lost(self) -> frozenset[str]:
        """Not stored though they could be."""
        return self.storable - self.stored

    @property
    def wrong(self) -> frozenset[str]:
        """Told to be stored though they are not, told not to be though they are, or not told."""
        claimed = {image_id for image_id, verdict in self.verdicts.items() if verdict == COMPLETED}
        untold = self.storable - self.verdicts.keys()
        return frozenset(claimed ^ self.stored) | untold

    @property
    def lost_or_wrong(self) -> int:
        return len(self.lost | self.wrong)

    @property
    def seconds_per_stored(self) -> float:
        return self.seconds / len(self.stored) if self.stored else float("inf")
