# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Thin out stored images: look at all of them, decide, look again at what goes, delete it."""

from __future__ import annotations

import bisect
import re
import typing as t
from dataclasses import dataclass, field, replace
from datetime import datetime

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.amistore.aws.plugins.module_utils import (
    _archive_calls,
    _archive_marks,
    _images,
    _store_tasks,
)
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    InputError,
    error_text,
    refuses_caller,
)
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    clean_bucket,
    clean_bucket_owner,
    clean_prefix,
    given,
)
from ansible_collections.amistore.aws.plugins.module_utils._restore import LOCATION_TAG
from ansible_collections.amistore.aws.plugins.module_utils._retention_images import (
    Family,
    Grouping,
    Reader,
    RetainedEntry,
)
from ansible_collections.amistore.aws.plugins.module_utils._retention_rule import (
    Findings,
    Original,
    Rules,
    Unknown,
    Verdict,
    decide,
    deleting,
    is_recent,
    restrict,
)
from ansible_collections.amistore.aws.plugins.module_utils._store_tasks import IN_PROGRESS
from ansible_collections.amistore.aws.plugins.module_utils._stored_files import (
    Companion,
    companions,
    ours_beside,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket

LARGEST_NUMBER = 36500
NOT_REACHED = "not_reached"
"""Why something is still there that would have gone: the run has stopped before."""


@dataclass(frozen=True)
class RetentionOptions:
    """What the task asks for, checked and clean."""

    bucket: str
    prefix: str
    expected_bucket_owner: str | None
    rules: Rules
    grouping: Grouping
    named: frozenset[str] | None = None
    """The keys of those that may go, None where any may."""

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> RetentionOptions:
        """Return the options of a task.

        :raises InputError: names the value that is wrong.
        """
        newest, days = params["keep_newest"], params["keep_days"]
        if newest is None and days is None:
            raise InputError(
                "Neither keep_newest nor keep_days is given, so that nothing says what is to stay."
                " Give one of them, or both."
            )
        for option, value in (("keep_newest", newest), ("keep_days", days)):
            if value is not None and not 1 <= value <= LARGEST_NUMBER:
                raise InputError(f"{option} {value} is out of range: give 1 to {LARGEST_NUMBER}.")
        pattern, tag = given(params["family_pattern"]), given(params["family_tag"])
        if pattern and tag:
            raise InputError("family_pattern and family_tag are both given: give one of them.")
        return cls(
            bucket=clean_bucket(params["bucket"]),
            prefix=clean_prefix(params["prefix"]),
            expected_bucket_owner=clean_bucket_owner(params["expected_bucket_owner"]),
            rules=Rules(newest, days, params["last_copies"], params["gone_only"]),
            grouping=Grouping(
                _clean_pattern(pattern) if pattern else None, tag, params["across_folders"]
            ),
            named=None if params["object_keys"] is None else frozenset(params["object_keys"]),
        )

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"


def _clean_pattern(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InputError(f"family_pattern {text!r} is not a regular expression: {error}.") from None
    if not pattern.groups:
        raise InputError(
            f"family_pattern {text!r} has no group: put what the names of a family have in common"
            " into parentheses, for example '^(.+)-[0-9]+$'."
        )
    return pattern


@dataclass(frozen=True)
class Order:
    """The order of a family by age."""

    ages: tuple[tuple[datetime, datetime, str], ...]
    """The oldest first."""
    verified: RetainedEntry | None
    """The newest that is."""

    @classmethod
    def of(cls, members: t.Sequence[RetainedEntry]) -> Order:
        verified = next((member for member in reversed(members) if member.verified), None)
        return cls(tuple(member.age_order for member in members), verified)

    def newer_than(self, entry: RetainedEntry) -> int:
        return len(self.ages) - bisect.bisect_right(self.ages, entry.age_order)


@dataclass(frozen=True)
class AtWork:
    """What EC2 says about stored images that would go."""

    originals: frozenset[str]
    """This account's AMIs that can be stored again, or launched; with `gone_only`, all of them."""
    waited_for: frozenset[str]
    """The locations without which snapshots cannot be deleted later; asked with `gone_only`."""
    stored_to: frozenset[str]
    """The keys that store tasks write to now."""
    restored_from: frozenset[str]
    """The locations, as bucket/key, that AMIs of this account are being restored from."""


@dataclass
class Thinning:
    """Thins out the stored images of one bucket."""

    ec2: t.Any
    bucket: Bucket
    options: RetentionOptions
    check_mode: bool = False
    account: t.Callable[[], str | None] = lambda: None
    """Asks for the caller's account, None where nobody tells."""
    warnings: list[str] = field(default_factory=list)
    entries: list[RetainedEntry] = field(default_factory=list)
    _families: dict[Family, list[RetainedEntry]] = field(default_factory=dict)
    """Those that are known and there, the oldest first."""
    _beside: dict[str, list[Companion]] = field(default_factory=dict)
    """What goes with each of those that go, by the key."""

    def run(self) -> None:
        """Delete what the rules do not keep; what goes wrong with one fails that one only.

        :raises AnsibleAWSError: when the bucket or the AMIs cannot be listed, or the credentials
            are refused. What is done by then shows in the entries.
        """
        self.entries = Reader(self.bucket, self.options.grouping).entries(self.options.prefix)
        self._compare()
        going = self._going()
        if not going:
            return
        try:
            self._look_at(going)
            self._thin(self._going())
        except AnsibleAWSError:
            for entry in self._going():
                if not (entry.changed or entry.failure):
                    entry.verdict = Verdict(True, (NOT_REACHED,))
            raise

    def _going(self) -> list[RetainedEntry]:
        return [entry for entry in self.entries if not entry.verdict.stays]

    def _judge(self, entry: RetainedEntry, looked: bool = True) -> None:
        """Judge by what was found; before the look at it, whether it must be looked at."""
        found, rules = replace(entry.findings, unknown=frozenset(entry.unknown)), self.options.rules
        verdict = decide(found, rules.last_copies, rules.gone_only and looked)
        named = self.options.named is None or entry.key in self.options.named
        entry.verdict = restrict(verdict, named or not looked)

    def _compare(self) -> None:
        """Judge each by its place in its family."""
        for entry in self.entries:
            if entry.stored is not None and not entry.unknown and entry.family is not None:
                self._families.setdefault(entry.family, []).append(entry)
        orders = {}
        for family, members in self._families.items():
            members.sort(key=lambda member: member.age_order)
            orders[family] = Order.of(members)
        for entry in self.entries:
            entry.findings = Findings(there=entry.stored is not None)
            if not entry.unknown and entry.family is not None:
                entry.findings = self._place(entry, orders.get(entry.family, Order((), None)))
            self._judge(entry, looked=False)

    def _place(self, entry: RetainedEntry, order: Order) -> Findings:
        stored, modified, _key = entry.age_order
        now = t.cast(datetime, self.bucket.listed_at)
        return Findings(
            there=entry.stored is not None,
            newest=order.newer_than(entry) < self.options.rules.fewest,
            recent=is_recent(stored, modified, now, self.options.rules.days),
            newest_verified=order.verified is entry,
        )

    def _look_at(self, going: t.Sequence[RetainedEntry]) -> None:
        """Look at what would go itself, since a listing does not show all that keeps it."""
        at_work = self._at_work(going)
        keeps_versions = None
        if any(entry.stored for entry in going):
            keeps_versions = self.bucket.keeps_versions()
            if keeps_versions is None:
                self.warnings.append(
                    "s3:GetBucketVersioning was refused, so whether what is deleted can be brought"
                    " back, or is gone for good, is unknown."
                )
        for entry in going:
            self._look(entry, at_work)
            if entry.stored is not None and not entry.verdict.stays:
                entry.deleting = deleting(entry.version_id, keeps_versions)

    def _at_work(self, entries: t.Sequence[RetainedEntry]) -> AtWork:
        """Ask EC2 no more than matters for these."""
        stored = [entry for entry in entries if entry.stored]
        images: dict[str, _images.Image] = {}
        pending: list[_images.Image] = []
        tasks: list[_store_tasks.StoreTask] = []
        marked: frozenset[str] = frozenset()
        if stored:
            ids = sorted({entry.image_id for entry in stored if entry.image_id})
            # What another account shares, it can take away at any time.
            images = _images.own_images_by_id(self.ec2, ids)
            pending = _images.own_pending_images(self.ec2)
            if self.options.rules.gone_only:
                marked = self._waited_for(ids)
        if len(stored) < len(entries):
            # A manifest may wait for its object.
            tasks = _store_tasks.list_tasks(self.ec2, [IN_PROGRESS], self.bucket.name)
        return AtWork(
            frozenset(i for i, one in images.items() if self._counts_as_there(one)),
            marked,
            frozenset(task.object_key for task in tasks),
            frozenset(image.tags.get(LOCATION_TAG, "") for image in pending),
        )

    def _counts_as_there(self, image: _images.Image) -> bool:
        return self.options.rules.gone_only or image.state in ("available", "disabled")

    def _waited_for(self, image_ids: t.Sequence[str]) -> frozenset[str]:
        """Return what stored images an archive run needs to delete snapshots that it has left."""
        return frozenset(
            snapshot.tags.get(_archive_marks.STORED_IN, "")
            for snapshot in _archive_calls.marked_snapshots(self.ec2, image_ids)
            # A copy of a marked snapshot has its tags.
            if snapshot.tags.get(_archive_marks.SELF) == snapshot.snapshot_id
        )

    def _original(self, entry: RetainedEntry, at_work: AtWork) -> Original:
        if entry.image_id in at_work.originals:
            return Original.THERE
        if f"{self.bucket.name}/{entry.key}" in at_work.waited_for:
            return Original.SNAPSHOTS
        if self.options.rules.gone_only and not self._is_from_here(entry):
            return Original.ELSEWHERE
        return Original.GONE

    def _is_from_here(self, entry: RetainedEntry) -> bool:
        family, account = entry.family, self.account()
        here = (account, self.ec2.meta.region_name)
        return (
            account is not None and family is not None and (family.owner_id, family.region) == here
        )

    def _look(self, entry: RetainedEntry, at_work: AtWork) -> None:
        """Look at one that would go, and judge it anew."""
        try:
            self._look_at_object(entry, at_work)
            missing = {c.key for c in companions(entry.key)} - entry.beside
            self._beside[entry.key] = ours_beside(self.bucket, entry.key, missing, self._warn)
        except AnsibleAWSError as error:
            if refuses_caller(error):
                raise
            entry.does_not_tell(Unknown.UNREADABLE, error_text(error))
        entry.findings = replace(entry.findings, original=self._original(entry, at_work))
        self._judge(entry)

    def _look_at_object(self, entry: RetainedEntry, at_work: AtWork) -> None:
        answer = self.bucket.head_answer(entry.key)
        url = self.bucket.url(entry.key)
        if entry.stored is None:
            if answer is not None:
                entry.does_not_tell(Unknown.CHANGED, f"{url} has appeared meanwhile")
            elif entry.key in at_work.stored_to:
                entry.does_not_tell(Unknown.STORING)
        elif answer is None:
            entry.does_not_tell(Unknown.CHANGED, f"{url} has gone meanwhile")
        elif self.bucket.stored_object(entry.key, answer).etag != entry.stored.etag:
            entry.does_not_tell(Unknown.CHANGED, f"{url} was replaced meanwhile")
        elif f"{self.bucket.name}/{entry.key}" in at_work.restored_from:
            entry.does_not_tell(Unknown.RESTORING)
        else:
            entry.version_id = answer.get("VersionId")
            locked = is_locked(answer, t.cast(datetime, self.bucket.listed_at))
            entry.findings = replace(entry.findings, locked=locked)

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def _thin(self, going: t.Iterable[RetainedEntry]) -> None:
        families: dict[Family | None, list[RetainedEntry]] = {}
        for entry in going:
            if self.check_mode:
                entry.changed = True
                entry.gone = entry.stored is not None
            else:
                families.setdefault(entry.family, []).append(entry)
        for family, doomed in families.items():
            self._thin_family(self._families.get(family, []) if family else [], doomed)

    def _thin_family(
        self, members: t.Iterable[RetainedEntry], doomed: t.Iterable[RetainedEntry]
    ) -> None:
        """Delete what goes of a family, after a look at what stays in its place."""
        problem = self._what_is_wrong_with(members)
        for entry in doomed:
            if problem:
                entry.does_not_tell(Unknown.CHANGED, problem)
                self._judge(entry)
                continue
            try:
                self._delete(entry)
            except AnsibleAWSError as error:
                entry.failure = error_text(error)
                if refuses_caller(error):
                    raise

    def _what_is_wrong_with(self, members: t.Iterable[RetainedEntry]) -> str:
        for member in members:
            found = member.findings
            if member.stored is None or not (found.newest or found.newest_verified):
                continue
            url = self.bucket.url(member.key)
            try:
                seen = self.bucket.head(member.key)
            except AnsibleAWSError as error:
                if refuses_caller(error):
                    raise
                return f"whether {url}, which stays in its place, is there: {error_text(error)}"
            if seen is None or seen.etag != member.stored.etag:
                return f"{url}, which stays in its place, has changed meanwhile"
        return ""

    def _delete(self, entry: RetainedEntry) -> None:
        """Delete a stored image after a last look, then what lies beside it."""
        self._look(entry, self._at_work([entry]))
        if entry.verdict.stays:
            return
        if entry.stored is not None:
            with entry.changing():
                entry.deletion = self.bucket.delete(entry.key)
            entry.gone = True
        for companion in self._beside[entry.key]:
            with entry.changing():
                self.bucket.delete(companion.key)


def is_locked(answer: t.Mapping[str, t.Any], now: datetime) -> bool:
    """Tell whether S3 holds the object; it shows that only to who may read it.

    A deletion would hide the version that is held and free nothing.
    """
    until = answer.get("ObjectLockRetainUntilDate")
    return answer.get("ObjectLockLegalHoldStatus") == "ON" or (until is not None and until > now)
