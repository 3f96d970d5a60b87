# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that a scenario asks for: which request meets which, and how often."""

from __future__ import annotations

import random
from collections.abc import Sequence

from .filters import like
from .scenario import Fault

THROTTLED = "throttled"
_THROTTLED_CODES = {"ec2": "RequestLimitExceeded", "s3": "SlowDown"}

STATUS_OF_ERROR = {
    "AccessDenied": 403,
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


class FaultPlan:
    """The faults with what is left of each. Counting starts when the plan is made."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = faults
        self._met = [0] * len(faults)
        self._given = [0] * len(faults)
        self._chance = [random.Random(fault.seed) for fault in faults]

    def pick(self, action: str, key: str = "", image_ids: Sequence[str] = ()) -> Fault | None:
        """The first fault due for this request."""
        for index, fault in enumerate(self._faults):
            if self._concerns(fault, action, key, image_ids) and self._due(index):
                return fault
        return None

    @staticmethod
    def _concerns(fault: Fault, action: str, key: str, image_ids: Sequence[str]) -> bool:
        if not like(action, fault.action.rpartition(":")[2]):
            return False
        image_fits = fault.image_id == "*" or any(like(i, fault.image_id) for i in image_ids)
        return image_fits and like(key, fault.key)

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
