# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that a scenario asks for: which request meets which, and how often."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .answers import Answer
from .filters import like
from .scenario import Fault

THROTTLED = "throttled"
_THROTTLED_CODES = {"ec2": "RequestLimitExceeded", "s3": "SlowDown"}

STATUS_OF_ERROR = {
    "AccessDenied": 403,
    "ExpiredToken": 400,
    "InternalError": 500,
    "InternalFailure": 500,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "RequestLimitExceeded": 503,
    "ServiceUnavailable": 503,
    "SlowDown": 503,
    "Throttling": 400,
    "Unavailable": 503,
    "UnauthorizedOperation": 403,
}


@dataclass(frozen=True)
class Target:
    """What faults know of a request."""

    action: str
    bucket: str = ""
    key: str = ""
    access_key: str = ""
    image_ids: tuple[str, ...] = ()

    def concerned(self, fault: Fault) -> bool:
        if not like(self.action, fault.action.rpartition(":")[2]):
            return False
        of_images = fault.image_id == "*" or any(like(i, fault.image_id) for i in self.image_ids)
        of_object = like(self.bucket, fault.bucket) and like(self.key, fault.key)
        return of_images and of_object and like(self.access_key, fault.access_key)


class FaultPlan:
    """The faults with what is left of each. Counting starts when the plan is made."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = faults
        self._met = [0] * len(faults)
        self._given = [0] * len(faults)
        self._chance = [random.Random(fault.seed) for fault in faults]

    def pick(self, target: Target) -> Fault | None:
        """The first fault due for this request."""
        for index, fault in enumerate(self._faults):
            if target.concerned(fault) and self._due(index):
                return fault
        return None

    def _due(self, index: int) -> bool:
        fault = self._faults[index]
        self._met[index] += 1
        spent = fault.times is not None and self._given[index] >= fault.times
        if spent or self._met[index] <= fault.after:
            return False
        if self._chance[index].random() >= fault.probability:
            return False
        self._given[index] += 1
        return True


def answer_of(fault: Fault, service: str) -> tuple[str, int]:
    """The error code and HTTP status of the fault's answer.

    `throttled` stands for the code that the service itself uses for it.
    """
    code = fault.error or ""
    if code == THROTTLED:
        code = _THROTTLED_CODES.get(service, "Throttling")
    return code, fault.status or STATUS_OF_ERROR.get(code, 400)


def flipped(body: bytes) -> bytes:
    """The body with one bit wrong, in its middle; an empty one stays empty."""
    middle = len(body) // 2
    wrong = bytes(byte ^ 1 for byte in body[middle : middle + 1])
    return body[:middle] + wrong + body[middle + 1 :]


def spoiled(fault: Fault, answer: Answer) -> Answer:
    """The answer as it arrives: cut within its body, with a wrong bit, or a byte too short."""
    if fault.drop == "middle":
        return replace(answer, cut_at=len(answer.body) // 2)
    if fault.body == "flipped":
        return replace(answer, body=flipped(answer.body))
    if fault.body == "short":
        shorter = replace(answer, body=answer.body[:-1])
        return shorter.with_header("Content-Length", str(len(shorter.body)))
    return answer
