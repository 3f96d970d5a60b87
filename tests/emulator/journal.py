# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every request that came in: how many of each action, in which order, with which outcome."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

ACCEPTED = "OK"


@dataclass(frozen=True)
class Entry:
    """One request. `time` is emulated; `outcome` is OK, an error code, or `dropped`.

    `received` and `sent` are the bytes of the bodies, as far as they went.
    """

    time: float
    service: str
    action: str
    account: str
    region: str
    image_ids: tuple[str, ...]
    bucket: str
    key: str
    dry_run: bool
    status: int
    outcome: str
    received: int = 0
    sent: int = 0
    part: str = ""
    upload_id: str = ""
    version: str = ""
    extent: str = ""


class Journal:
    """The log of the requests since the start or the last reset."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)

    def reset(self) -> None:
        self._entries = []

    def log(self) -> list[dict[str, Any]]:
        return [asdict(entry) for entry in self._entries]

    def counts(self) -> dict[str, int]:
        """How many requests of each action, refused and dropped ones as well."""
        return dict(Counter(entry.action for entry in self._entries))

    def traffic(self) -> dict[str, dict[str, int]]:
        """How many bytes of bodies each action received and sent."""
        traffic: dict[str, dict[str, int]] = {}
        for entry in self._entries:
            of_action = traffic.setdefault(entry.action, {"received": 0, "sent": 0})
            of_action["received"] += entry.received
            of_action["sent"] += entry.sent
        return traffic

    def outcomes(self) -> dict[str, dict[str, int]]:
        """How often each action had which outcome."""
        outcomes: dict[str, dict[str, int]] = {}
        for entry in self._entries:
            of_action = outcomes.setdefault(entry.action, {})
            of_action[entry.outcome] = of_action.get(entry.outcome, 0) + 1
        return outcomes
