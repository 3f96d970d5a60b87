# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do about one object, from what was observed on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Action(Enum):
    """What to do about one object."""

    KEEP = "keep"
    RECORD = "record the proof"
    VERIFY = "read both, then record the proof"
    RESUME = "go on with the unfinished upload"
    COPY = "copy"
    FAIL = "fail"


@dataclass(frozen=True)
class Observed:
    """What was seen, as far as the decision needs it."""

    source: bool
    """The source exists."""
    readable: bool = True
    """The source can be read now; an archived one cannot."""
    present: bool = False
    """Something is under the key at the destination."""
    proved: bool = False
    """A recorded proof names both objects as they are now."""
    equal: bool = False
    """S3's own sums of both objects are the same."""
    made_of_source: bool = False
    """Its metadata says that it was copied from this very source."""
    overwrite: bool = False
    unfinished: bool = False
    """There is an unfinished upload of ours for this very source."""


@dataclass(frozen=True)
class Decision:
    """An action with the reason that the user reads."""

    action: Action
    reason: str = ""


def decide(seen: Observed) -> Decision:
    """Decide about one object; the top row that fits counts.

    | source   | at the destination                  | overwrite | unfinished | decision |
    |----------|-------------------------------------|-----------|------------|----------|
    | missing  | any                                 | any       | any        | fail     |
    | any      | there, proved                       | any       | any        | keep     |
    | any      | there, equal by S3's sums           | any       | any        | record   |
    | readable | there, made of this very source     | any       | any        | verify   |
    | any      | there, anything else                | no        | any        | fail     |
    | archived | missing, or there to be overwritten | any       | any        | fail     |
    | readable | missing, or there to be overwritten | any       | ours       | resume   |
    | readable | missing, or there to be overwritten | any       | none       | copy     |
    """
    if not seen.source:
        return Decision(Action.FAIL, "does not exist")
    if seen.present and seen.proved:
        return Decision(Action.KEEP)
    if seen.present and seen.equal:
        return Decision(Action.RECORD)
    if seen.present and seen.made_of_source and seen.readable:
        return Decision(Action.VERIFY)
    if seen.present and not seen.overwrite:
        return Decision(Action.FAIL, "taken")
    if not seen.readable:
        return Decision(Action.FAIL, "archived")
    return Decision(Action.RESUME if seen.unfinished else Action.COPY)
