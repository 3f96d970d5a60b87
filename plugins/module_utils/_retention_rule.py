# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which stored images of a family stay: what was found about each, and what follows from that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

# How far the clocks of AWS may be apart: it accepts signatures of requests within this.
SKEW = timedelta(minutes=15)


class Unknown(Enum):
    """What is not known of a stored image, so that it stays."""

    FOREIGN = "foreign"
    """Its key is not one that AWS gives to a stored image."""
    MANIFEST_MISSING = "manifest_missing"
    MANIFEST_UNREADABLE = "manifest_unreadable"
    MANIFEST_OF_ANOTHER = "manifest_of_another"
    """The manifest was written for another AMI or another object."""
    FAMILY = "family_unknown"
    DATE = "date_unknown"
    EVIDENCE = "evidence_unreadable"
    UNREADABLE = "object_unreadable"
    """S3 does not let the object, or a file beside it, be looked at."""
    NEVER_SEEN = "never_seen"
    """A manifest whose object nobody has seen: its store may be under way."""
    STORING = "storing"
    """A store task into the key is in progress."""
    RESTORING = "restoring"
    """An AMI is being restored from it."""
    CHANGED = "changed_meanwhile"
    """What was listed is not there any more, or something else is."""


class Original(Enum):
    """Where the AMI of a stored image is."""

    THERE = "there"
    """In this account and Region, so that it could be stored again."""
    SNAPSHOTS = "snapshots"
    """Gone, but snapshots of it wait until they may be deleted, which takes the stored image."""
    ELSEWHERE = "elsewhere"
    """Not seen, and of another account or Region, where it may still be stored again."""
    GONE = "gone"


_NOT_SURELY_GONE = (Original.THERE, Original.SNAPSHOTS, Original.ELSEWHERE)


@dataclass(frozen=True)
class Rules:
    """What the task asks for; at least one of the first two is given."""

    newest: int | None = None
    """How many to keep of each family."""
    days: int | None = None
    last_copies: bool = False
    """Whether the last copy of an AMI may go."""
    gone_only: bool = False
    """Whether only stored images may go that no later run stores again."""

    @property
    def fewest(self) -> int:
        """How many of each family stay in any case."""
        return self.newest or 1


@dataclass(frozen=True)
class Findings:
    """What was found about a stored image, or about a manifest whose stored image is gone."""

    there: bool = True
    unknown: frozenset[Unknown] = frozenset()
    newest: bool = False
    """One of the newest of its family, as many as stay in any case."""
    recent: bool = False
    newest_verified: bool = False
    """The newest of its family that is known to restore."""
    locked: bool = False
    """S3 holds it by a retention period or a legal hold."""
    original: Original = Original.THERE


@dataclass(frozen=True)
class Verdict:
    """Whether a stored image stays, and why."""

    stays: bool
    reasons: tuple[str, ...]


def decide(found: Findings, last_copies: bool, gone_only: bool = False) -> Verdict:
    """Return the verdict of the first row that fits, and the reasons of all that fit and agree.

    |object|known|newest|recent|proven|locked|AMI      |asked|only|kept|reasons         |
    |------|-----|------|------|------|------|---------|-----|----|----|----------------|
    |any   |no   |any   |any   |any   |any   |any      |any  |any |yes |what is unknown |
    |any   |yes  |yes   |any   |any   |any   |any      |any  |any |yes |newest          |
    |any   |yes  |any   |yes   |any   |any   |any      |any  |any |yes |recent          |
    |there |yes  |any   |any   |yes   |any   |any      |any  |any |yes |newest_verified |
    |there |yes  |any   |any   |any   |yes   |any      |any  |any |yes |locked          |
    |there |yes  |any   |any   |any   |any   |there    |any  |yes |yes |image_there     |
    |there |yes  |any   |any   |any   |any   |snapshots|any  |yes |yes |snapshots       |
    |any   |yes  |any   |any   |any   |any   |elsewhere|any  |yes |yes |elsewhere       |
    |there |yes  |any   |any   |any   |any   |gone     |no   |any |yes |last_copy       |
    |there |yes  |any   |any   |any   |any   |snapshots|no   |any |yes |last_copy       |
    |there |yes  |any   |any   |any   |any   |elsewhere|no   |any |yes |last_copy       |
    |gone  |yes  |no    |no    |any   |any   |any      |any  |any |no  |leftover        |
    |there |yes  |no    |no    |no    |no    |there    |any  |no  |no  |older           |
    |there |yes  |no    |no    |no    |no    |gone     |yes  |any |no  |older, last_copy|
    |there |yes  |no    |no    |no    |no    |snapshots|yes  |no  |no  |older, last_copy|
    |there |yes  |no    |no    |no    |no    |elsewhere|yes  |no  |no  |older, last_copy|

    What comes back by itself is not to go where only AMIs that are gone are meant: an archive run
    stores what is there anew, also what is disabled.

    :param last_copies: whether it was asked that the last copy of an AMI may go.
    :param gone_only: whether it was asked to touch only stored images whose AMI is gone.
    """
    if found.unknown:
        return Verdict(True, tuple(u.value for u in Unknown if u in found.unknown))
    away = found.original is not Original.THERE
    only = gone_only and found.original in _NOT_SURELY_GONE
    reasons = {
        "newest": found.newest,
        "recent": found.recent,
        "newest_verified": found.there and found.newest_verified,
        "locked": found.there and found.locked,
        "image_there": found.there and only and not away,
        "snapshots": found.there and only and found.original is Original.SNAPSHOTS,
        "elsewhere": only and found.original is Original.ELSEWHERE,
        "last_copy": found.there and away and not last_copies,
    }
    against = tuple(reason for reason, holds in reasons.items() if holds)
    if against:
        return Verdict(True, against)
    if not found.there:
        return Verdict(False, ("leftover",))
    return Verdict(False, ("older", "last_copy") if away else ("older",))


def restrict(verdict: Verdict, named: bool) -> Verdict:
    """Keep what would go, where the task names what may go and this is not among it.

    | verdict | named | kept | reasons         |
    |---------|-------|------|-----------------|
    | stays   | any   | yes  | the verdict's   |
    | goes    | yes   | no   | the verdict's   |
    | goes    | no    | yes  | not_named       |
    """
    return verdict if verdict.stays or named else Verdict(True, ("not_named",))


def stored_at(told: datetime | None, modified: datetime | None, now: datetime) -> datetime | None:
    """Return when an image was stored, None where that is unknown; the top row that fits.

    | manifest              | S3      | stored   |
    |-----------------------|---------|----------|
    | any                   | none    | unknown  |
    | any                   | future  | unknown  |
    | none                  | past    | S3       |
    | later than S3         | past    | unknown  |
    | not later than S3     | past    | manifest |

    A store task begins before the object that it writes, and a copy is made later still. Both
    times are AWS's.

    :param told: when the store task began, as the manifest says.
    :param modified: what S3 calls the object's last modification.
    """
    if modified is None or modified > now + SKEW:
        return None
    if told is None:
        return modified
    return told if told <= modified + SKEW else None


def is_recent(stored: datetime, modified: datetime, now: datetime, days: int | None) -> bool:
    """Tell whether an image was stored, or copied to where it lies, within the days."""
    return days is not None and now - max(stored, modified) <= timedelta(days=days)


class Deleting(Enum):
    """What a deletion does to the bytes of an object."""

    FINAL = "final"
    MARKER = "marker"
    """A delete marker hides them; they stay, and cost, until a lifecycle rule removes them."""
    UNKNOWN = "unknown"


def deleting(version_id: str | None, keeps_versions: bool | None) -> Deleting:
    """Return what the deletion of an object does, from the version that S3 shows for it.

    | version      | bucket keeps versions | deletion |
    |--------------|-----------------------|----------|
    | its own      | any                   | marker   |
    | none or null | yes                   | marker   |
    | none or null | no                    | final    |
    | none or null | unknown               | unknown  |

    A bucket whose versioning is suspended replaces the version "null", and hides any other.
    """
    if version_id not in (None, "null"):
        return Deleting.MARKER
    return {True: Deleting.MARKER, False: Deleting.FINAL, None: Deleting.UNKNOWN}[keeps_versions]
