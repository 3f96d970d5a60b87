# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, and when it strikes: by chance, but always the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from itertools import count

from botocore.credentials import Credentials, RefreshableCredentials

from tests.unit.plugins.module_utils.fake_aws import Kind
from tests.unit.plugins.module_utils.virtual_clock import EPOCH, VirtualClock


class Broken(BaseException):
    """A rule of the campaign was broken; past every handler of the code under test."""


class Trouble(Enum):
    """Each kind that the campaign counts when it really happens."""

    THROTTLED = "throttled out of turn"
    EMPTY_BUCKET = "throttled, the requests of the account are used up"
    FAILED_BEFORE = "server fault, request not executed"
    FAILED_AFTER = "server fault, request executed"
    LOST_BEFORE = "connection lost, request not executed"
    LOST_AFTER = "connection lost, request executed"
    KILLED_BEFORE = "killed before a request arrives"
    KILLED_AFTER = "killed before the answer arrives"
    KILLED_PAUSING = "killed in a pause"
    KILLED_AGAIN = "killed several times in a row"
    DEADLINE = "wait_timeout passed"
    EXPIRED = "session credentials expired"
    RENEWED = "session credentials renewed by the profile"
    UNLISTED = "store task not listed yet"
    OUTDATED = "store task ended, listed as in progress"
    UNSEEN = "stored image complete, not shown yet"
    HIDDEN = "AMI registered, not shown yet"
    NAME_HELD = "name of a deregistered AMI still taken"
    EMPTY_PAGE = "empty page before the last one"
    NO_ROOM = "refused, too many GiB in flight"
    OTHERS_CREATE = "create request of others"
    OTHERS_DESCRIBE = "describe requests of others"
    STORED_ELSEWHERE = "others store the same AMI into another bucket"
    STORED_HERE = "others store the same AMI into this bucket"
    NAME_TAKEN = "an AMI of others holds the name"
    STORE_FAILED = "store task fails"
    RESTORE_FAILED = "restore fails"


STRIKES = {
    Kind.THROTTLED: Trouble.THROTTLED,
    Kind.SERVER_FAILED_BEFORE: Trouble.FAILED_BEFORE,
    Kind.SERVER_FAILED_AFTER: Trouble.FAILED_AFTER,
    Kind.LOST_BEFORE: Trouble.LOST_BEFORE,
    Kind.LOST_AFTER: Trouble.LOST_AFTER,
    Kind.KILLED_BEFORE: Trouble.KILLED_BEFORE,
    Kind.KILLED_AFTER: Trouble.KILLED_AFTER,
}
PASSING = (
    Kind.THROTTLED,
    Kind.SERVER_FAILED_BEFORE,
    Kind.SERVER_FAILED_AFTER,
    Kind.LOST_BEFORE,
    Kind.LOST_AFTER,
)
# More than a retried call survives, too.
SPELLS = (1, 1, 1, 2, 3, 8)


@dataclass
class Weather:
    """What strikes the requests and pauses of one process."""

    chance: random.Random
    share: float = 0.0
    """Of requests that fail; of create requests three times as many."""
    dies_at: int | None = None
    """At which request or pause, counted from 1."""
    slowest: float = 0.1
    """Seconds of the slowest answer."""
    steps: int = 0
    _spells: dict[str, tuple[Kind, int]] = field(default_factory=dict)

    def latency(self) -> float:
        return self.slowest * self.chance.uniform(0.2, 0.5)

    def strikes_pause(self) -> bool:
        return self._is_time_to_die()

    def strike(self, operation: str) -> Kind | None:
        if self._is_time_to_die():
            return self.chance.choice((Kind.KILLED_BEFORE, Kind.KILLED_AFTER))
        kind, left = self._spells.pop(operation, (Kind.THROTTLED, 0))
        if not left and self.chance.random() < self.share * (3 if "Create" in operation else 1):
            kind, left = self.chance.choice(PASSING), self.chance.choice(SPELLS)
        if not left:
            return None
        self._spells[operation] = (kind, left - 1)
        return kind

    def _is_time_to_die(self) -> bool:
        self.steps += 1
        return self.steps == self.dies_at


class Session:
    """The credentials of one process, held by botocore's own classes.

    :param lifetime: seconds until they expire, None for those that do not.
    :param renewable: they come from a profile that gets new ones by itself.
    """

    def __init__(self, clock: VirtualClock, lifetime: float | None, renewable: bool) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._expiry: dict[str, float] = {}
        self._numbers = count(1)
        self.renewals = 0
        token = self._issue()
        self._credentials: Credentials = Credentials("key", "secret", token)
        if renewable and lifetime is not None:
            self._credentials = RefreshableCredentials(
                "key",
                "secret",
                token,
                clock.date() + timedelta(seconds=lifetime),
                self._renew,
                "assume-role",
                time_fetcher=clock.date,
            )

    def _issue(self) -> str:
        token = f"token {next(self._numbers)}"
        lifetime = float("inf") if self._lifetime is None else self._lifetime
        self._expiry[token] = self._clock.now() + lifetime
        return token

    def _renew(self) -> dict[str, str]:
        token = self._issue()
        self.renewals += 1
        ends = EPOCH + timedelta(seconds=self._expiry[token])
        return {
            "access_key": "key",
            "secret_key": "secret",
            "token": token,
            "expiry_time": ends.isoformat(),
        }

    def is_valid(self) -> bool:
        """Whether AWS accepts what the next request is signed with."""
        token = self._credentials.get_frozen_credentials().token
        return self._clock.now() < self._expiry[token]
