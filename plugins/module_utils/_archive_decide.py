# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of an AMI that is archived, and of its snapshots when it is gone."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace
from enum import Enum

from ansible_collections.amistore.aws.plugins.module_utils import _usage_verdict
from ansible_collections.amistore.aws.plugins.module_utils._usage_verdict import Findings, Use


class EndState(Enum):
    """How far the user wants AMIs to be taken out of service."""

    AVAILABLE = "available"
    """Back in service."""
    STORED = "stored"
    DISABLED = "disabled"
    DEREGISTERED = "deregistered"


class Step(Enum):
    """One act, as the result names it."""

    STORE = "store"
    """Left to ec2_ami_store."""
    DEPRECATE = "deprecate"
    DISABLE = "disable"
    MARK_SNAPSHOTS = "mark_snapshots"
    """Tag them with the AMI and the stored image."""
    UNPROTECT = "unprotect"
    DEREGISTER = "deregister"
    DATE_SNAPSHOTS = "date_snapshots"
    """Tag them with the time from which the AMI is gone."""
    FORGET_DATE = "forget_date"
    """Take that time from the snapshots, since another AMI uses them now."""
    DELETE_SNAPSHOTS = "delete_snapshots"
    ENABLE = "enable"
    UNDEPRECATE = "undeprecate"


class Excuse(Enum):
    """What speaks against archiving, unless the user allows it."""

    USED = "used"
    SHARED = "shared"
    PROTECTED = "protected"
    REFERENCED = "referenced"


class Copy(Enum):
    """What is known about the stored image of an AMI."""

    MISSING = "missing"
    FAULTY = "faulty"
    """There, and not good for a restore, or not surely of this AMI."""
    UNKNOWN = "unknown"
    READY = "ready"


class Proven(Enum):
    """Whether this very object was restored and verified of late."""

    YES = "yes"
    ACCEPTED = "accepted"
    """It was not, or nobody knows, and the user accepts that."""
    NO = "no"
    UNKNOWN = "unknown"


class Protection(Enum):
    """What keeps an AMI from being deregistered now."""

    NONE = "none"
    ON = "on"
    SLOW = "slow"
    """It can be taken away, and goes on for a cooldown then."""
    COOLING = "cooling"
    """It was taken away, and the cooldown has not passed."""


class Grace(Enum):
    """How long an AMI has been gone, compared with how long its snapshots are to stay."""

    UNSET = "unset"
    """Nobody wrote down since when it is gone."""
    UNREADABLE = "unreadable"
    """What is written down is no time, or none that has come yet."""
    ENDLESS = "endless"
    WITHIN = "within"
    PASSED = "passed"


@dataclass(frozen=True)
class Verdict:
    """Whether an AMI may go, None where that is unknown, why, and what the user had to allow."""

    may_go: bool | None
    reasons: tuple[str, ...]
    excused: tuple[str, ...] = ()


def judge(found: Findings, allowed: t.Collection[Excuse]) -> Verdict:
    """Return the verdict on an AMI's use, where the user allows what speaks against it.

    What is unknown stays unknown: nobody can allow what nobody knows.
    """
    against = {
        found.use.value: found.use in (Use.USED, Use.RECENT) and Excuse.USED in allowed,
        "shared": found.shared is True and Excuse.SHARED in allowed,
        "protected": found.protected is True and Excuse.PROTECTED in allowed,
        "referenced": found.referenced is True and Excuse.REFERENCED in allowed,
    }
    excused = replace(
        found,
        use=Use.UNUSED if against[found.use.value] else found.use,
        shared=False if against["shared"] else found.shared,
        protected=False if against["protected"] else found.protected,
        referenced=False if against["referenced"] else found.referenced,
    )
    verdict = _usage_verdict.decide(excused)
    return Verdict(verdict.archivable, verdict.reasons, tuple(k for k, v in against.items() if v))


@dataclass(frozen=True)
class Found:
    """Everything that decides about one AMI."""

    verdict: Verdict
    copy: Copy
    tested: Proven
    protection: Protection
    faults: tuple[str, ...] = ()
    """What is wrong with the stored image, or unknown about it."""
    achieved: frozenset[Step] = frozenset()
    """The steps that were taken before, and need not be taken again."""


@dataclass(frozen=True)
class Plan:
    """What is to be done, in this order, and why that and no more."""

    steps: tuple[Step, ...]
    reasons: tuple[str, ...]

    @property
    def own(self) -> tuple[Step, ...]:
        """What can be done now: nothing before the AMI is stored."""
        return () if self.steps[:1] == (Step.STORE,) else self.steps


def leave(protection: Protection) -> Plan:
    """Return how an AMI is deregistered that may be.

    | protection | steps                                                 | reasons  |
    |------------|-------------------------------------------------------|----------|
    | none       | mark_snapshots, deregister, date_snapshots            |          |
    | on         | mark_snapshots, unprotect, deregister, date_snapshots |          |
    | slow       | unprotect                                             | cooldown |
    | cooling    | none                                                  | cooldown |
    """
    if protection is Protection.SLOW:
        return Plan((Step.UNPROTECT,), ("cooldown",))
    if protection is Protection.COOLING:
        return Plan((), ("cooldown",))
    unprotect = (Step.UNPROTECT,) if protection is Protection.ON else ()
    return Plan((Step.MARK_SNAPSHOTS, *unprotect, Step.DEREGISTER, Step.DATE_SNAPSHOTS), ())


def decide(found: Found, end_state: EndState) -> Plan:
    """Return the steps of the first row that fits, without those that were taken before.

    AMIs that are to be available again are left to `decide_return`.

    | may go | stored  | end state    | tested  | steps                     | reasons              |
    |--------|---------|--------------|---------|---------------------------|----------------------|
    | false  | any     | any          | any     | none                      | its verdict          |
    | null   | any     | any          | any     | none                      | its verdict          |
    | true   | faulty  | any          | any     | none                      | its faults           |
    | true   | unknown | any          | any     | none                      | its faults           |
    | true   | missing | stored       | any     | store                     | not_stored           |
    | true   | ready   | stored       | any     | none                      | stored               |
    | true   | missing | disabled     | any     | store, deprecate, disable | not_stored           |
    | true   | ready   | disabled     | any     | deprecate, disable        | stored               |
    | true   | missing | deregistered | no      | store                     | not_stored, untested |
    | true   | missing | deregistered | unknown | store                     | not_stored, untested |
    | true   | ready   | deregistered | no      | none                      | stored, untested     |
    | true   | ready   | deregistered | unknown | none                      | stored, test_unknown |
    | true   | missing | deregistered | any     | store, leave              | not_stored           |
    | true   | ready   | deregistered | any     | leave                     | stored               |
    """
    if found.verdict.may_go is not True:
        return Plan((), found.verdict.reasons)
    if found.copy in (Copy.FAULTY, Copy.UNKNOWN):
        return Plan((), found.faults)
    missing = found.copy is Copy.MISSING
    after = _after_storing(found, end_state, missing)
    left = tuple(step for step in after.steps if step not in found.achieved)
    if missing:
        return Plan((Step.STORE, *left), ("not_stored", *after.reasons))
    return Plan(left, ("stored", *after.reasons))


def _after_storing(found: Found, end_state: EndState, missing: bool) -> Plan:
    if end_state is EndState.DISABLED:
        return Plan((Step.DEPRECATE, Step.DISABLE), ())
    if end_state is not EndState.DEREGISTERED:
        return Plan((), ())
    if found.tested is Proven.NO or (missing and found.tested is Proven.UNKNOWN):
        return Plan((), ("untested",))
    if found.tested is Proven.UNKNOWN:
        return Plan((), ("test_unknown",))
    return leave(found.protection)


@dataclass(frozen=True)
class Service:
    """How an AMI is kept out of service, and what of it the archive did, by the AMI's own tag."""

    disabled: bool
    deprecated: bool
    by_archive: frozenset[Step] = field(default_factory=frozenset)


def decide_return(service: Service) -> Plan:
    """Return what brings an AMI back into service: what the archive did, and nothing else.

    | disabled by | deprecated by | steps               | reasons        |
    |-------------|---------------|---------------------|----------------|
    | archive     | archive       | enable, undeprecate | archived       |
    | archive     | other         | enable              | archived       |
    | other       | archive       | undeprecate         | archived       |
    | other       | other         | none                | not_by_archive |
    """
    steps = []
    if service.disabled and Step.DISABLE in service.by_archive:
        steps.append(Step.ENABLE)
    if service.deprecated and Step.DEPRECATE in service.by_archive:
        steps.append(Step.UNDEPRECATE)
    return Plan(tuple(steps), ("archived",) if steps else ("not_by_archive",))


@dataclass(frozen=True)
class Leftover:
    """Everything that decides about a snapshot whose AMI was to be deregistered."""

    image_there: bool
    needed: bool
    """Whether another AMI uses it."""
    ours: bool
    """Whether it is the very snapshot that was marked, and no copy of it with its tags."""
    grace: Grace
    copy: Copy
    tested: Proven
    faults: tuple[str, ...] = ()


def decide_leftover(found: Leftover) -> Plan:
    """Return what becomes of such a snapshot; the first row that fits.

    | AMI   | other AMIs | ours | gone for   | stored  | tested  | steps            | reasons      |
    |-------|------------|------|------------|---------|---------|------------------|--------------|
    | there | any        | any  | any        | any     | any     | none             | image_there  |
    | gone  | use it     | yes  | endless    | any     | any     | forget_date      | needed       |
    | gone  | use it     | yes  | within     | any     | any     | forget_date      | needed       |
    | gone  | use it     | yes  | passed     | any     | any     | forget_date      | needed       |
    | gone  | use it     | any  | any        | any     | any     | none             | needed       |
    | gone  | none       | no   | any        | any     | any     | none             | not_ours     |
    | gone  | none       | yes  | unset      | any     | any     | date_snapshots   | grace        |
    | gone  | none       | yes  | unreadable | any     | any     | none             | time_unknown |
    | gone  | none       | yes  | endless    | any     | any     | none             | not_asked    |
    | gone  | none       | yes  | within     | any     | any     | none             | grace        |
    | gone  | none       | yes  | passed     | missing | any     | none             | not_stored   |
    | gone  | none       | yes  | passed     | faulty  | any     | none             | its faults   |
    | gone  | none       | yes  | passed     | unknown | any     | none             | its faults   |
    | gone  | none       | yes  | passed     | ready   | no      | none             | untested     |
    | gone  | none       | yes  | passed     | ready   | unknown | none             | test_unknown |
    | gone  | none       | yes  | passed     | ready   | any     | delete_snapshots | stored       |
    """
    if found.image_there:
        return Plan((), ("image_there",))
    if found.needed:
        dated = found.grace in (Grace.ENDLESS, Grace.WITHIN, Grace.PASSED)
        return Plan((Step.FORGET_DATE,) if found.ours and dated else (), ("needed",))
    if not found.ours:
        return Plan((), ("not_ours",))
    if found.grace is Grace.UNSET:
        return Plan((Step.DATE_SNAPSHOTS,), ("grace",))
    waiting = {
        Grace.UNREADABLE: "time_unknown",
        Grace.ENDLESS: "not_asked",
        Grace.WITHIN: "grace",
    }
    if found.grace in waiting:
        return Plan((), (waiting[found.grace],))
    if found.copy is Copy.MISSING:
        return Plan((), ("not_stored",))
    if found.copy is not Copy.READY:
        return Plan((), found.faults)
    if found.tested in (Proven.NO, Proven.UNKNOWN):
        return Plan((), ("untested" if found.tested is Proven.NO else "test_unknown",))
    return Plan((Step.DELETE_SNAPSHOTS,), ("stored",))
