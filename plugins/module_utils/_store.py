# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Store AMIs: what is observed, what is decided about it, what is done."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.amistore.aws.plugins.module_utils import _images, _manifest, _store_tasks
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    Answer,
    Reply,
    error_text,
    is_forbidden,
    is_transient,
    refuses_caller,
)
from ansible_collections.amistore.aws.plugins.module_utils._fleet import Entry, Phase
from ansible_collections.amistore.aws.plugins.module_utils._images import Image
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    MAX_OBJECT_TAGS,
    check_location,
    clean_bucket,
    clean_bucket_owner,
    clean_limits,
    clean_object_tags,
    clean_prefix,
    clean_wait_timeout,
    image_key,
    key_start,
    manifest_key,
)
from ansible_collections.amistore.aws.plugins.module_utils._manifest import (
    Manifest,
    ManifestError,
    Origin,
)
from ansible_collections.amistore.aws.plugins.module_utils._pacing import (
    DESCRIBE_RATE,
    STORE_LIMITS,
    Clock,
    Limits,
    TokenBucket,
)
from ansible_collections.amistore.aws.plugins.module_utils._store_tasks import (
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    MAX_IDS_PER_CALL,
    PacedClient,
    StoreTask,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import (
    Bucket,
    Deletion,
    ObjectForbiddenError,
    StoredObject,
)
from ansible_collections.amistore.aws.plugins.module_utils._task_records import TaskRecords

# Up to here a HEAD per key is cheaper than a listing, which S3 bills like twelve HEADs.
MOST_HEADS = 20
# A task that was just accepted may not be listed yet; younger than this, its absence says nothing.
# Seconds.
LISTING_GRACE = 60.0
# What ran last for an AMI may have changed after this many seconds, where surveys do not tell.
# Twenty AMIs are started in it at AWS's rate, as many as one question by their ids tells about.
LONGEST_KNOWN = 200.0
# S3 dates a stored image by the begin of its upload. A manifest that is older than that by less was
# written when the task was started; a younger one when the object was there. Seconds.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
WRITTEN_AT_START = timedelta(seconds=30)

_Attribute = t.TypeVar("_Attribute")
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-store-restore.html#limits-ami-store-
# restore, in GiB.
LARGEST_IMAGE = 5000
NO_REASON = "AWS gave no reason"


class Presence(Enum):
    """What S3 says about a key."""

    THERE = "there"
    MISSING = "not there"
    FORBIDDEN = "403"


class Action(Enum):
    """What to do about one AMI."""

    KEEP = "keep"
    ATTACH = "attach"
    HOLD = "hold"
    START = "start"
    FAIL = "fail"


@dataclass(frozen=True)
class Decision:
    """An action with the reason that the user reads."""

    action: Action
    reason: str = ""


def decide(
    presence: Presence,
    in_progress: StoreTask | None,
    bucket: str,
    key: str,
    exists_said: bool = False,
) -> Decision:
    """Decide about one AMI from what was observed; the top row that fits counts.

    | our key   | store task of this AMI                      | decision                    |
    |-----------|---------------------------------------------|-----------------------------|
    | there     | any                                         | keep                        |
    | 403       | any                                         | error naming the two rights |
    | not there | InProgress into this key                    | attach, wait                |
    | not there | InProgress into another key of this bucket  | error naming that key       |
    | not there | InProgress into another bucket              | hold; start when it ends    |
    | not there | none, but AWS said "already exists"         | error naming the causes     |
    | not there | none, Failed, or Completed (object deleted) | start                       |

    :param in_progress: the AMI's task in state InProgress; AWS runs one store per AMI at a time.
    :param exists_said: AWS has refused a start in this run because the AMI is in the bucket
    already.
    """
    if presence is Presence.THERE:
        return Decision(Action.KEEP)
    if presence is Presence.FORBIDDEN:
        return Decision(
            Action.FAIL,
            f"S3 answered 403 for s3://{bucket}/{key}, so whether the AMI is stored is unknown and"
            " nothing was started."
            " Grant s3:ListBucket on the bucket and s3:GetObject on the key (and, if another"
            " account owns the"
            " bucket, in its bucket policy)",
        )
    if in_progress and (in_progress.bucket, in_progress.object_key) == (bucket, key):
        return Decision(Action.ATTACH)
    if in_progress and in_progress.bucket == bucket:
        return Decision(
            Action.FAIL,
            f"a store task into s3://{bucket}/{in_progress.object_key} is in progress, and a"
            " bucket holds one copy of an"
            f" AMI. Use that key's prefix, or another bucket for {key}",
        )
    if in_progress:
        return Decision(
            Action.HOLD,
            f"a store task into s3://{in_progress.bucket}/{in_progress.object_key} is in progress,"
            " AWS runs one per AMI",
        )
    if exists_said:
        return Decision(
            Action.FAIL,
            f"AWS says that the AMI already exists in bucket {bucket}, but s3://{bucket}/{key} is"
            " not there: the AMI is in"
            " the bucket under another key, or the key is behind a delete marker. Use the prefix"
            " under which it lies, or"
            " remove that object or the delete marker",
        )
    return Decision(Action.START)


@dataclass
class StoreEntry(Entry):
    """One AMI on its way into the bucket, and what is known about it."""

    image_id: str = ""
    key: str = ""
    presence: Presence = Presence.MISSING
    stored: StoredObject | None = None
    described: bool = False
    """A listing shows that the manifest was written after the object."""
    image: Image | None = None
    task: StoreTask | None = None
    """This run's task: started or attached to by this run."""
    older_tasks_until: datetime | None = None
    """AWS's start time of the newest task that was there before this run's."""
    newest: StoreTask | None = None
    """The AMI's newest task before this run's, where it may have written the object."""
    observed_before: bool = False
    older_tasks_seen_at: float | None = None
    completed_unseen: int = 0
    """How often AWS called this run's task Completed while the object was not there."""
    manifest_key: str | None = None
    tags_before: dict[str, str] | None = None
    tags_after: dict[str, str] | None = None
    deletion: Deletion | None = None

    def is_this_runs(self, task: StoreTask) -> bool:
        """Tell whether the task is the one that is followed, or a newer one; before that one is
        known, whether it is newer than all that were there before. AWS's clock against AWS's clock.
        """
        if self.task is not None:
            return task.start_time >= self.task.start_time
        return self.older_tasks_until is None or task.start_time > self.older_tasks_until

    @property
    def state(self) -> str:
        """The state as AWS names it."""
        if self.stored is not None:
            return COMPLETED
        if self.task is not None and self.task.state == FAILED:
            return FAILED
        going_on = self.task is not None and self.task.state == IN_PROGRESS
        return IN_PROGRESS if going_on or self.phase is Phase.RUNNING else "NotStarted"

    @property
    def progress(self) -> int | None:
        """Percent, 100 once the object is there, None where AWS gave none."""
        if self.state == COMPLETED:
            return 100
        return self.task.progress_percentage if self.task else None


def results(entries: t.Iterable[StoreEntry], bucket: str) -> list[dict[str, t.Any]]:
    """Return what the user gets per AMI: one shape in every case."""
    return [_result(entry, bucket) for entry in entries]


def _result(entry: StoreEntry, bucket: str) -> dict[str, t.Any]:
    task = entry.task
    return {
        "image_id": entry.image_id,
        "bucket": bucket,
        "object_key": entry.key,
        "manifest_key": entry.manifest_key,
        "state": entry.state,
        "progress_percentage": entry.progress,
        "failure_reason": entry.reason or None,
        "task_start_time": task.start_time.isoformat() if task else None,
        "size": entry.stored.size if entry.stored else None,
        "version_id": entry.deletion.version_id if entry.deletion else None,
        "delete_marker": bool(entry.deletion and entry.deletion.delete_marker),
        "changed": entry.changed,
    }


def tag_diffs(entries: t.Iterable[StoreEntry]) -> list[dict[str, t.Any]]:
    """Return the object tags that differ, in the form of diff mode."""
    return [
        {
            "before_header": entry.key,
            "after_header": entry.key,
            "before": entry.tags_before,
            "after": entry.tags_after,
        }
        for entry in entries
        if entry.tags_before != entry.tags_after
    ]


@dataclass(frozen=True)
class StoreOptions:
    """What the task asks for, checked and clean."""

    bucket: str
    prefix: str = ""
    expected_bucket_owner: str | None = None
    tags: t.Mapping[str, str] | None = None
    purge_tags: bool = False
    manifest: bool = True
    wait: bool = True
    wait_timeout: int = 7200
    limits: Limits = STORE_LIMITS
    check_mode: bool = False

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], check_mode: bool) -> StoreOptions:
        """Return the options of a task.

        :raises InputError: names the value that is wrong.
        """
        return cls(
            bucket=clean_bucket(params["bucket"]),
            prefix=clean_prefix(params["prefix"]),
            expected_bucket_owner=clean_bucket_owner(params["expected_bucket_owner"]),
            tags=clean_object_tags(params["tags"]),
            purge_tags=params["purge_tags"],
            manifest=params["manifest"],
            wait=params["wait"],
            wait_timeout=clean_wait_timeout(params["wait_timeout"]),
            limits=clean_limits(params),
            check_mode=check_mode,
        )

    def check_keys(self, image_ids: t.Iterable[str]) -> None:
        """Refuse a prefix under which a restore could not be proved."""
        for image_id in image_ids:
            check_location(self.bucket, image_key(self.prefix, image_id))

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"


@dataclass
class StoreOperation:
    """Stores AMIs; `ec2_once` is a client that sends each request once."""

    ec2: t.Any
    ec2_once: t.Any
    bucket: Bucket
    options: StoreOptions
    clock: Clock
    origin: t.Callable[[str], Origin]
    """Gives the origin of the stored image with that key."""
    warnings: list[str] = field(default_factory=list)
    _in_progress: list[StoreTask] = field(default_factory=list)
    """The tasks of the account, when last seen."""
    _requested: set[tuple[str, str]] = field(default_factory=set)
    """The buckets and keys that this run has sent create requests for."""
    _own_keys: set[str] = field(default_factory=set)
    """The keys of the tasks that this run started or attached to."""
    _sizes: dict[str, int] = field(default_factory=dict)
    """GiB by AMI, of the tasks of others."""
    _appeared: list[StoreEntry] = field(default_factory=list)
    """Those whose objects the last look has shown."""
    _may_appear: list[StoreEntry] = field(default_factory=list)
    """Those in progress whose objects it has not shown."""
    _manifests: dict[str, Manifest] = field(default_factory=dict)
    """By object key, the manifests as they lie in the bucket, as far as read or written."""
    _describe_rate: TokenBucket = field(default_factory=lambda: TokenBucket(DESCRIBE_RATE))
    _to_be_asked_about: list[StoreEntry] = field(default_factory=list)
    """Those that this run has no create request sent for."""
    _starts_told: set[tuple[str, datetime]] = field(default_factory=set)

    def entries(self, image_ids: t.Iterable[str]) -> list[StoreEntry]:
        return [
            StoreEntry(
                label=image_id, image_id=image_id, key=image_key(self.options.prefix, image_id)
            )
            for image_id in image_ids
        ]

    @property
    def foreign_tasks(self) -> int:
        """How many tasks in progress are not this run's."""
        return len(self._foreign)

    @property
    def foreign_size(self) -> int:
        """Their size in GiB, as far as known."""
        return sum(self._sizes.get(task.image_id, 0) for task in self._foreign)

    @property
    def _foreign(self) -> list[StoreTask]:
        return [
            task
            for task in self._in_progress
            if task.bucket != self.bucket.name or task.object_key not in self._own_keys
        ]

    def starts_seen(self) -> list[datetime]:
        """Return when the tasks in progress were started, of those not told of before."""
        fresh = {
            (task.image_id, task.start_time): task
            for task in self._in_progress
            if (task.image_id, task.start_time) not in self._starts_told
            and (task.bucket, task.object_key) not in self._requested
        }
        self._starts_told |= fresh.keys()
        return [task.start_time for task in fresh.values()]

    # Observe

    def observe(self, entries: t.Sequence[StoreEntry]) -> None:
        """Look at S3, then ask EC2 about the AMIs that are not there, then decide about each."""
        self._see_objects(entries)
        missing = [entry for entry in entries if entry.presence is Presence.MISSING]
        in_progress = self._see_tasks(missing) if missing else {}
        for entry in entries:
            task = in_progress.get(entry.image_id)
            decision = decide(entry.presence, task, self.bucket.name, entry.key, entry.exists_said)
            self._apply(entry, decision, task)

    def _see_objects(self, entries: t.Sequence[StoreEntry]) -> None:
        listing = (
            self._list()
            if len(entries) > max(MOST_HEADS, self.bucket.pages_listed * MOST_HEADS)
            else None
        )
        for entry in entries:
            try:
                entry.stored = (
                    self.bucket.head(entry.key) if listing is None else listing.get(entry.key)
                )
                entry.presence = Presence.THERE if entry.stored else Presence.MISSING
                entry.described = _is_described(entry.stored, entry.key, listing or {})
            except ObjectForbiddenError as error:
                # That it is there is all that a store needs to know.
                entry.stored = error.seen
                entry.presence = Presence.THERE if error.seen else Presence.FORBIDDEN
        self._appeared = [entry for entry in entries if entry.presence is Presence.THERE]
        self._may_appear = [
            entry
            for entry in entries
            if entry.presence is Presence.MISSING and entry.phase is Phase.RUNNING
        ]

    def _list(self) -> dict[str, StoredObject] | None:
        """Return the stored images under the prefix by key, None where only single keys may be
        looked at.
        """
        try:
            return {
                stored.key: stored for stored in self.bucket.list(key_start(self.options.prefix))
            }
        except ObjectForbiddenError:
            return None

    def _see_tasks(self, entries: t.Sequence[StoreEntry]) -> dict[str, StoreTask]:
        """Learn what runs for these AMIs, what ran last, and what they are; return the tasks in
        progress.
        """
        in_progress = self._tasks_in_progress()
        fresh = [entry for entry in entries if not entry.observed_before]
        images = _images.images_by_id(self.ec2, [entry.image_id for entry in fresh])
        for entry in fresh:
            entry.observed_before = True
            entry.image = images.get(entry.image_id)
            entry.size = entry.image.size if entry.image else 0
        self._to_be_asked_about += fresh
        return in_progress

    def _tasks_in_progress(self) -> dict[str, StoreTask]:
        """Return the account's tasks in progress by AMI; learn how much of it is not this run's."""
        self._in_progress = self._records.in_progress()
        self._learn_sizes([task.image_id for task in self._foreign])
        # Newest first, and a record may lag behind its task's end: the newest counts.
        return {task.image_id: task for task in reversed(self._in_progress)}

    @functools.cached_property
    def _records(self) -> TaskRecords:
        client = PacedClient(self.ec2_once, self._describe_rate, self.clock)
        return TaskRecords(client, self.bucket.name)

    def _learn_sizes(self, image_ids: t.Sequence[str]) -> None:
        unknown = [image_id for image_id in image_ids if image_id not in self._sizes]
        images = _images.images_by_id(self.ec2, unknown)
        for image_id in unknown:
            self._sizes[image_id] = images[image_id].size if image_id in images else 0

    # Decide and act

    def _apply(self, entry: StoreEntry, decision: Decision, task: StoreTask | None) -> None:
        # How an answer got lost is told until it is known what became of the request.
        entry.reason = decision.reason or (entry.reason if entry.answer_lost else "")
        if decision.action is Action.FAIL:
            entry.fail(decision.reason)
        elif decision.action is Action.KEEP:
            self._finish(entry)
        elif decision.action is Action.HOLD:
            entry.phase = Phase.HELD
            entry.changed |= self.options.check_mode and self.options.wait
        elif decision.action is Action.ATTACH and task:
            self._attach(entry, task)
        else:
            self._make_ready(entry)

    def _attach(self, entry: StoreEntry, task: StoreTask) -> None:
        entry.phase = Phase.RUNNING
        entry.task = task
        self._own_keys.add(entry.key)
        entry.started_at = self.clock.now()
        if entry.answer_lost and entry.is_this_runs(task):
            entry.changed = True
        else:
            entry.older_tasks_until = task.start_time - timedelta(microseconds=1)
        self._guard(entry, lambda: self._describe_running(entry))

    def _make_ready(self, entry: StoreEntry) -> None:
        problem = self._why_not_storable(entry)
        if problem:
            entry.fail(problem)
            return
        entry.phase = Phase.READY
        if self.options.check_mode:
            entry.changed = True
            entry.manifest_key = manifest_key(entry.key) if self.options.manifest else None

    def _why_not_storable(self, entry: StoreEntry) -> str:
        image = entry.image
        if image is None:
            return (
                f"{entry.image_id} is not visible to this account in this Region. Check the id and"
                " the region; the owner"
                " must share it with this account, and the Allowed AMIs setting can hide it"
            )
        if image.root_device_type != "ebs":
            return (
                f"its root device is {image.root_device_type!r}; only EBS-backed AMIs can be stored"
            )
        if image.virtualization_type == "paravirtual":
            return "it is paravirtual; AWS stores only HVM AMIs"
        if image.state in _images.PENDING_STATES + _images.FAILED_STATES + ("deregistered",):
            return f"it is in state {image.state!r}; an AMI must be available to be stored"
        if image.size > LARGEST_IMAGE:
            self.warnings.append(
                f"{entry.image_id} has {image.size} GiB of volumes; AWS documents {LARGEST_IMAGE}"
                " GB as the most it stores."
            )
        return ""

    def start(self, entry: StoreEntry) -> Reply | None:
        """Send CreateStoreImageTask, unless a store has begun or ended meanwhile; describe an
        accepted one in the manifest at once.
        """
        if any(task.image_id == entry.image_id for task in self._in_progress):
            return Reply(Answer.BUSY, "somebody else has begun to store this AMI meanwhile")
        if not self._knows_older_tasks(entry):
            self._see_older_tasks(entry)
        if not self._was_requested(entry):
            self._note_failed(entry)
        if entry.newest and self._has_ended(entry, entry.newest):
            return None
        requested_before = self._was_requested(entry)
        place = (self.bucket.name, entry.key)
        self._requested.add(place)
        reply = self._create(entry)
        if reply.answer is Answer.THROTTLED and not requested_before:
            self._requested.discard(place)
        if reply.answer is Answer.ACCEPTED:
            entry.key = reply.text
            self._own_keys.add(entry.key)
            if self.options.manifest:
                self._guard(entry, lambda: self._describe_started(entry))
        return reply

    def _was_requested(self, entry: StoreEntry) -> bool:
        return (self.bucket.name, entry.key) in self._requested

    def _knows_older_tasks(self, entry: StoreEntry) -> bool:
        """Tell whether it is known well enough what ran last for this AMI. Once this run has asked
        for a store, a new answer could show that one.
        """
        if entry.older_tasks_seen_at is None:
            return False
        fresh = self.clock.now() - entry.older_tasks_seen_at <= LONGEST_KNOWN
        return fresh or self._records.shows_failed or self._was_requested(entry)

    def _note_failed(self, entry: StoreEntry) -> None:
        """Take a task that has failed meanwhile, as the surveys show it, for an older one."""
        for task in self._records.seen_failed():
            if (task.image_id, task.bucket) == (entry.image_id, self.bucket.name):
                known = entry.older_tasks_until or task.start_time
                entry.older_tasks_until = max(known, task.start_time)

    def _see_older_tasks(self, entry: StoreEntry) -> None:
        """Learn what ran last for this AMI and for others that are started next, in one call."""
        self._to_be_asked_about = [
            other
            for other in self._to_be_asked_about
            if other.phase is Phase.READY and not self._was_requested(other)
        ]
        unknown = {
            other.image_id: other
            for other in (entry, *self._to_be_asked_about)
            if not self._knows_older_tasks(other)
        }
        asked, newest = self._records.last_of(list(unknown))
        for image_id in asked:
            other = unknown[image_id]
            other.older_tasks_seen_at = self.clock.now()
            other.newest = newest.get(image_id)
            if other.newest:
                other.older_tasks_until = other.newest.start_time

    def _has_ended(self, entry: StoreEntry, task: StoreTask) -> bool:
        """Tell whether the task has written the object since the last look at S3, and finish the
        entry then.
        """
        if task.state == FAILED or (task.bucket, task.object_key) != (self.bucket.name, entry.key):
            return False
        self._see_objects([entry])
        entry.newest = None
        if entry.presence is not Presence.THERE:
            return False
        self._finish(entry)
        return True

    def _create(self, entry: StoreEntry, dry_run: bool = False) -> Reply:
        options = self.options
        return _store_tasks.start_store_task(
            self.ec2_once, entry.image_id, self.bucket.name, options.prefix, options.tags, dry_run
        )

    def try_permission(self, entry: StoreEntry) -> Reply:
        """Ask AWS, without starting anything, whether the caller may start this one."""
        return self._create(entry, dry_run=True)

    # Wait

    def look(self, entries: t.Sequence[StoreEntry]) -> None:
        """Finish the entries whose object has appeared: the one proof of a completed store."""
        self._see_objects(entries)
        for entry in entries:
            if entry.presence is Presence.THERE:
                self._finish(entry)

    def survey(self, entries: t.Sequence[StoreEntry]) -> None:
        """Read progress; free those held whose AMI is no longer being stored; judge those that
        AWS stopped.
        """
        in_progress = self._tasks_in_progress()
        stopped = []
        for entry in entries:
            task = in_progress.get(entry.image_id)
            if entry.phase is Phase.HELD and task is None:
                entry.phase = Phase.UNSURE
            elif entry.phase is Phase.RUNNING and task and self._is_ours(entry, task):
                entry.task = task
            elif entry.phase is Phase.RUNNING and self._should_be_listed(entry):
                stopped.append(entry)
        if stopped:
            self._judge(stopped)

    def _is_ours(self, entry: StoreEntry, task: StoreTask) -> bool:
        return (task.bucket, task.object_key) == (
            self.bucket.name,
            entry.key,
        ) and entry.is_this_runs(task)

    def _should_be_listed(self, entry: StoreEntry) -> bool:
        return entry.task is not None or self.clock.now() - entry.started_at > LISTING_GRACE

    def _judge(self, entries: t.Sequence[StoreEntry]) -> None:
        """End the entries that no longer run, on evidence alone: the object, or this run's task
        record.
        """
        self.look(entries)
        open_entries = [
            entry
            for entry in entries
            if entry.phase is Phase.RUNNING and entry.presence is not Presence.THERE
        ]
        # Often the question about the tasks in progress has shown the failed ones already. Where
        # this run's task was never seen, a failed one may be older than the newest.
        followed = [entry for entry in open_entries if entry.task is not None]
        self._judge_by_failed(followed, self._records.seen_failed())
        unclear = [entry for entry in open_entries if entry.phase is Phase.RUNNING]
        newest = self._records.newest([entry.image_id for entry in unclear])
        hidden = []
        for entry in unclear:
            task = newest.get(entry.image_id)
            if task and self._is_ours(entry, task):
                self._judge_by(entry, task)
            elif task and entry.is_this_runs(task):
                hidden.append(entry)
        if hidden:
            # Behind newer tasks of the same AMIs into other places.
            self._judge_by_failed(hidden, self._records.failed())

    def _judge_by_failed(
        self, entries: t.Sequence[StoreEntry], failed: t.Sequence[StoreTask]
    ) -> None:
        """Fail those of which this run's task is among the failed ones."""
        for entry in entries:
            for task in failed:
                if task.image_id == entry.image_id and self._is_ours(entry, task):
                    self._judge_by(entry, task)
                    break

    def _judge_by(self, entry: StoreEntry, task: StoreTask) -> None:
        entry.task = task
        if task.state == FAILED:
            entry.fail(f"the store task failed: {task.failure_reason or NO_REASON}")
        elif task.state == COMPLETED and entry.presence is Presence.FORBIDDEN:
            entry.fail(decide(entry.presence, None, self.bucket.name, entry.key).reason)
        elif task.state == COMPLETED:
            # S3 is consistent, EC2's records may lag: believe it when it is said twice.
            entry.completed_unseen += 1
            if entry.completed_unseen > 1:
                entry.fail(
                    f"AWS calls the store task Completed, but {self.bucket.url(entry.key)} is not"
                    " there: it was deleted, or it"
                    " is behind a delete marker. Running the task again stores it again"
                )

    # Manifest and tags

    def _guard(self, entry: StoreEntry, describe: t.Callable[[], None]) -> None:
        """Let a manifest fail while AWS stores: it is tried again, and judged, when the object is
        there.
        """
        try:
            describe()
        except AnsibleAWSError as error:
            self.warnings.append(
                f"{entry.label}: {error_text(error)}. It is tried again when the image is stored."
            )

    def _finish(self, entry: StoreEntry) -> None:
        """Bring manifest and tags of a stored image to what the task asks for."""
        if entry.stored is not None and entry.stored.size == 0:
            entry.stored = None
            entry.fail(
                f"{self.bucket.url(entry.key)} is there but empty (0 bytes), so it is no stored"
                " image."
                " Remove it, and run the task again"
            )
            return
        entry.phase = Phase.DONE
        entry.reason = ""
        entry.changed |= entry.answer_lost
        try:
            manifest = self._described_manifest(entry)
            if self.options.tags is not None:
                manifest = self._reconcile_tags(entry, self.options.tags, manifest)
            if manifest:
                self._write_changed(entry, manifest)
        except AnsibleAWSError as error:
            entry.fail(f"it is stored as {self.bucket.url(entry.key)}, but: {error_text(error)}")
            if refuses_caller(error):
                entry.phase = Phase.RUNNING
                raise
            if is_transient(error) and not self.options.check_mode:
                # The next look tries again.
                entry.phase = Phase.RUNNING

    def _read(self, entry: StoreEntry) -> Manifest | None:
        """Return the manifest that is there.

        :raises ManifestError: when something else lies at its key.
        """
        if entry.key not in self._manifests:
            key = manifest_key(entry.key)
            content = self.bucket.read(key)
            if content is None:
                return None
            self._manifests[entry.key] = _manifest.parse(content, self.bucket.url(key))
        entry.manifest_key = manifest_key(entry.key)
        return self._manifests[entry.key]

    def _described_manifest(self, entry: StoreEntry) -> Manifest | None:
        """Return the manifest as it should be, None also where a listing shows that there is
        nothing to do about it.
        """
        if not entry.described:
            return self._finished_manifest(entry)
        entry.manifest_key = manifest_key(entry.key)
        return None

    def _finished_manifest(self, entry: StoreEntry) -> Manifest | None:
        """Return the manifest as it should be, None where there is none and nothing to make one
        from.
        """
        stored = entry.stored
        if stored is None or not (self.options.manifest or self.options.purge_tags):
            return None
        if not self._read_or_leave(entry):
            return None
        manifest = self._manifests.get(entry.key)
        if not self.options.manifest:
            return manifest
        if manifest is None:
            manifest = self._build_late(entry)
        if manifest is None or manifest.etag == stored.etag:
            return manifest
        if manifest.etag is not None:
            self.warnings.append(
                f"{entry.label}: the manifest describes an object with ETag {manifest.etag}, the"
                f" stored image has {stored.etag}."
            )
            return manifest
        self._see_ended_tasks()
        start_time = entry.task.start_time.isoformat() if entry.task else None
        return manifest.completed(stored.etag, stored.size, start_time)

    def _see_ended_tasks(self) -> None:
        """Learn, in one question for all that have appeared, when the tasks started that this run
        never saw in progress; and, as one call tells of 20, of those that may appear next.
        """
        unseen = [entry for entry in self._appeared if entry.task is None]
        self._appeared = []
        if not unseen:
            return
        room = -len(unseen) % MAX_IDS_PER_CALL
        others = [entry for entry in self._may_appear if entry.task is None][:room]
        newest = self._records.newest([entry.image_id for entry in (*unseen, *others)])
        for entry in unseen:
            task = newest.get(entry.image_id)
            if task and (task.bucket, task.object_key) == (self.bucket.name, entry.key):
                entry.task = task
        for entry in others:
            task = newest.get(entry.image_id)
            if task and self._is_ours(entry, task):
                entry.task = task

    def _build_late(self, entry: StoreEntry) -> Manifest | None:
        image = entry.image or _images.images_by_id(self.ec2, [entry.image_id]).get(entry.image_id)
        if image is None:
            self.warnings.append(
                f"{entry.label}: {self.bucket.url(entry.key)} has no manifest, and none can be"
                " made since the AMI is gone."
                " A restore needs its name given."
            )
            return None
        entry.image = image
        return self._build(entry)

    def _describe_started(self, entry: StoreEntry) -> None:
        """Write the manifest of a task of this run, over one of a former object if need be."""
        if self._read_or_leave(entry):
            self._write(entry, self._build(entry))

    def _read_or_leave(self, entry: StoreEntry) -> bool:
        """Tell whether the manifest's key may be written: it is free, or holds a manifest."""
        try:
            self._read(entry)
        except ManifestError as error:
            self.warnings.append(f"{entry.label}: {error}. It is left as it is.")
            return False
        return True

    def _describe_running(self, entry: StoreEntry) -> None:
        """See to the manifest of a task that somebody else may have started.

        A manifest with an ETag there describes a former object of this key, which is gone.
        """
        if self.options.check_mode and self.options.wait:
            # What is written when the object appears: the manifest, or else the tags.
            entry.changed |= self.options.manifest or bool(self.options.tags)
        if not self.options.manifest or not self._read_or_leave(entry):
            return
        there = self._manifests.get(entry.key)
        if (there is None or there.etag is not None) and entry.image is not None:
            self._write(entry, self._build(entry))

    def _build(self, entry: StoreEntry) -> Manifest:
        image = t.cast(Image, entry.image)
        snapshots = _images.snapshots_by_id(self.ec2, image.snapshot_ids)
        return _manifest.build(
            self.origin(entry.key),
            image.raw,
            [
                snapshots[snapshot_id].raw
                for snapshot_id in image.snapshot_ids
                if snapshot_id in snapshots
            ],
            self._attribute(entry, _images.launch_permissions),
            self.options.tags or (),
            self._attribute(entry, _images.uefi_digest) if image.boots_by_uefi else None,
        )

    def _attribute(
        self, entry: StoreEntry, ask: t.Callable[[t.Any, str], _Attribute | None]
    ) -> _Attribute | None:
        """Return what only DescribeImageAttribute tells, None where AWS refuses to."""
        try:
            return ask(self.ec2, entry.image_id)
        except AnsibleAWSError as error:
            if not is_forbidden(error):
                raise
            # The same words for every AMI, so that a fleet's run warns once.
            self.warnings.append(
                "ec2:DescribeImageAttribute was refused, so the manifests do not tell with whom the"
                " AMIs were shared."
            )
            return None

    def _write_changed(self, entry: StoreEntry, manifest: Manifest) -> None:
        if self.options.manifest and manifest != self._manifests.get(entry.key):
            self._write(entry, manifest)

    def _write(self, entry: StoreEntry, manifest: Manifest) -> None:
        key = manifest_key(entry.key)
        with entry.changing():
            if not self.options.check_mode:
                self.bucket.write(key, manifest.dump())
        entry.manifest_key = key
        self._manifests[entry.key] = manifest

    def _reconcile_tags(
        self, entry: StoreEntry, wanted: t.Mapping[str, str], manifest: Manifest | None
    ) -> Manifest | None:
        """Merge the wanted tags with those that are there; purge only what the manifest lists as
        ours.
        """
        before = self.bucket.tags(entry.key)
        surplus = self.options.purge_tags and before.keys() - wanted.keys()
        if manifest is None and (surplus or not wanted.items() <= before.items()):
            manifest = self._finished_manifest(entry)
        ours = set(manifest.object_tag_keys) if manifest else set()
        purged = ours - set(wanted) if self.options.purge_tags else set()
        after = {key: value for key, value in before.items() if key not in purged} | dict(wanted)
        if len(after) > MAX_OBJECT_TAGS:
            foreign = sorted(set(after) - set(wanted))
            entry.fail(
                f"{len(wanted)} tags and the {len(foreign)} that the object has already"
                f" ({', '.join(foreign)}) are more than"
                f" the {MAX_OBJECT_TAGS} that S3 allows"
            )
            return manifest
        if after != before:
            if manifest and not wanted.keys() <= ours:
                # First, so that an end in between leaves no tag behind that nobody knows as ours.
                self._write_changed(entry, manifest.with_object_tag_keys(ours | set(wanted)))
            with entry.changing():
                if not self.options.check_mode:
                    self.bucket.set_tags(entry.key, after)
        entry.tags_before, entry.tags_after = before, after
        return manifest.with_object_tag_keys((ours - purged) | set(wanted)) if manifest else None


def _is_described(
    stored: StoredObject | None, key: str, listing: t.Mapping[str, StoredObject]
) -> bool:
    """Tell whether a listing shows that the manifest was written after the object was there."""
    manifest = listing.get(manifest_key(key))
    if stored is None or manifest is None:
        return False
    if stored.last_modified is None or manifest.last_modified is None:
        return False
    return manifest.last_modified - stored.last_modified > WRITTEN_AT_START
