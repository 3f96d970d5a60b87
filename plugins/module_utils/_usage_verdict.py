# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an AMI may be archived: what was found about it, and what follows from that.

To archive is to store an AMI and then to take it out of service.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-last-launched-time.html: launches are
# told with this delay, and those since April 2017 only. The day is not told: take the month's end.
LAUNCH_REPORT_DELAY = timedelta(hours=24)
LAUNCHES_TOLD_SINCE = datetime(2017, 5, 1, tzinfo=timezone.utc)


class Use(Enum):
    """What is known about the launches of an AMI."""

    USED = "used"
    """Launched within the time that counts as use."""
    RECENT = "recent"
    """Never launched, and made within that time."""
    UNUSED = "unused"
    """Launched before that time, and not since."""
    NEVER = "never"
    """Never launched, and made before that time."""
    UNKNOWN = "unknown"


class Stored(Enum):
    """Whether a stored image of the AMI lies in the bucket."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    NOT_ASKED = "unasked"


class Obstacle(Enum):
    """Why an AMI cannot be archived at all."""

    NOT_OWNED = "not_owned"
    NOT_AVAILABLE = "not_available"
    NOT_STORABLE = "not_storable"
    MANAGED_BY_BACKUP = "managed_by_backup"


@dataclass(frozen=True)
class Launches:
    """What AWS tells about the launches of an AMI; `told` is False where it tells nothing."""

    told: bool
    last: datetime | None
    created: datetime | None


@dataclass(frozen=True)
class Findings:
    """What was found about an AMI; None is unknown."""

    use: Use
    stored: Stored = Stored.NOT_ASKED
    shared: bool | None = None
    protected: bool | None = None
    referenced: bool | None = None
    obstacles: frozenset[Obstacle] = frozenset()


@dataclass(frozen=True)
class Verdict:
    """Whether to archive, None where that is unknown, and why."""

    archivable: bool | None
    reasons: tuple[str, ...]


def use_of(launches: Launches, now: datetime, unused_days: int) -> Use:
    """Return how an AMI is used; the top row that fits.

    What happened within the last 24 hours may not be told yet, so that much is added to the days.

    | launches         | made               | use     |
    |------------------|--------------------|---------|
    | not told         | any                | unknown |
    | within the days  | any                | used    |
    | before the days  | any                | unused  |
    | none             | unknown            | unknown |
    | none             | within the days    | recent  |
    | none             | before May 2017    | unknown |
    | none             | before the days    | never   |
    """
    if not launches.told:
        return Use.UNKNOWN
    begin = now - timedelta(days=unused_days) - LAUNCH_REPORT_DELAY
    if launches.last is not None:
        return Use.USED if launches.last > begin else Use.UNUSED
    if launches.created is None:
        return Use.UNKNOWN
    if launches.created > begin:
        return Use.RECENT
    return Use.UNKNOWN if launches.created < LAUNCHES_TOLD_SINCE else Use.NEVER


def decide(found: Findings) -> Verdict:
    """Return the verdict of the first row that fits, and the reasons of all that fit and agree.

    | kind  | use     | stored  | shared  | protected | referenced | verdict | reasons            |
    |-------|---------|---------|---------|-----------|------------|---------|--------------------|
    | unfit | any     | any     | any     | any       | any        | false   | its obstacles      |
    | any   | used    | any     | any     | any       | any        | false   | used               |
    | any   | recent  | any     | any     | any       | any        | false   | recent             |
    | any   | any     | any     | yes     | any       | any        | false   | shared             |
    | any   | any     | any     | any     | yes       | any        | false   | protected          |
    | any   | any     | any     | any     | any       | yes        | false   | referenced         |
    | any   | unknown | any     | any     | any       | any        | null    | use_unknown        |
    | any   | any     | unknown | any     | any       | any        | null    | stored_unknown     |
    | any   | any     | any     | unknown | any       | any        | null    | sharing_unknown    |
    | any   | any     | any     | any     | unknown   | any        | null    | protection_unknown |
    | any   | any     | any     | any     | any       | unknown    | null    | references_unknown |
    | fit   | unused  | yes     | no      | no        | no         | true    | unused, stored     |
    | fit   | unused  | no      | no      | no        | no         | true    | unused, not_stored |
    | fit   | unused  | unasked | no      | no        | no         | true    | unused             |
    | fit   | never   | yes     | no      | no        | no         | true    | never, stored      |
    | fit   | never   | no      | no      | no        | no         | true    | never, not_stored  |
    | fit   | never   | unasked | no      | no        | no         | true    | never              |
    """
    against = _against(found)
    if against:
        return Verdict(False, against)
    unknown = _unknown(found)
    if unknown:
        return Verdict(None, unknown)
    stored = {Stored.YES: ("stored",), Stored.NO: ("not_stored",)}.get(found.stored, ())
    return Verdict(True, (found.use.value, *stored))


def _against(found: Findings) -> tuple[str, ...]:
    obstacles = [obstacle.value for obstacle in Obstacle if obstacle in found.obstacles]
    in_use = [found.use.value] if found.use in (Use.USED, Use.RECENT) else []
    return (*obstacles, *in_use, *_named(found, True, "shared", "protected", "referenced"))


def _unknown(found: Findings) -> tuple[str, ...]:
    first = ["use_unknown"] if found.use is Use.UNKNOWN else []
    first += ["stored_unknown"] if found.stored is Stored.UNKNOWN else []
    names = ("sharing_unknown", "protection_unknown", "references_unknown")
    return (*first, *_named(found, None, *names))


def _named(found: Findings, wanted: bool | None, *names: str) -> t.Iterator[str]:
    for value, name in zip((found.shared, found.protected, found.referenced), names):
        if value is wanted:
            yield name
