# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restore AMIs: what is observed, what is decided about it, what is done."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from ansible_collections.amazon.aws.plugins.module_utils.ec2 import (
    delete_snapshot,
    deregister_image,
)
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.amazon.aws.plugins.module_utils.tagging import compare_aws_tags

from ansible_collections.amistore.aws.plugins.module_utils import _images, _manifest
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    Answer,
    InputError,
    Reply,
    error_text,
    is_forbidden,
    is_transient,
    refuses_caller,
)
from ansible_collections.amistore.aws.plugins.module_utils._evidence import Recorded
from ansible_collections.amistore.aws.plugins.module_utils._fleet import Entry, Phase
from ansible_collections.amistore.aws.plugins.module_utils._images import (
    FAILED_STATES,
    PENDING_STATES,
    Image,
    Snapshot,
)
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    PROOF_TAG_PREFIX,
    clean_bucket,
    clean_bucket_owner,
    clean_image_name,
    clean_limits,
    clean_wait_timeout,
    manifest_key,
)
from ansible_collections.amistore.aws.plugins.module_utils._launch_permissions import (
    Sharing,
    clean_allowed,
)
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Manifest, ManifestError
from ansible_collections.amistore.aws.plugins.module_utils._pacing import RESTORE_LIMITS, Limits
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import (
    Bucket,
    StoredObject,
)
from ansible_collections.amistore.aws.plugins.module_utils._verification import (
    NOT_YET,
    Verification,
)

LOCATION_TAG = f"{PROOF_TAG_PREFIX}stored-image"
ETAG_TAG = f"{PROOF_TAG_PREFIX}etag"
# DescribeImages is eventually consistent: one look that does not show an AMI proves nothing.
LOOKS_UNTIL_GONE = 3
STRICT = "strict"


class Action(Enum):
    """What to do about one stored image."""

    KEEP = "keep"
    ATTACH = "attach"
    START = "start"
    REPLACE = "deregister, then start"
    FAIL = "fail"


@dataclass(frozen=True)
class Decision:
    """An action with the reason that the user reads."""

    action: Action
    reason: str = ""


def proof_of(bucket: str, stored: StoredObject) -> dict[str, str]:
    """Return the tags that prove which stored image an AMI was restored from."""
    return {LOCATION_TAG: f"{bucket}/{stored.key}", ETAG_TAG: stored.etag}


def proves(image: Image, proof: t.Mapping[str, str]) -> bool:
    """Tell whether an AMI of this account carries this very proof."""
    return all(image.tags.get(key) == value for key, value in proof.items())


def decide(holder: Image | None, proof: t.Mapping[str, str], adopt: bool = False) -> Decision:
    """Decide about one stored image from the AMI that holds the wanted name; the top row counts.

    | this account's AMI of that name       | decision                             |
    |---------------------------------------|--------------------------------------|
    | none, or deregistered                 | start                                |
    | ours, pending or transient            | attach                               |
    | ours, available                       | keep; reconcile tags                 |
    | ours, failed, error or invalid        | deregister with its snapshots, start |
    | ours, disabled or anything else       | error saying so                      |
    | no proof or another, available, adopt | keep                                 |
    | no proof or another                   | error naming it                      |

    :param holder: the AMI that holds the name, None where none does; deregistered ones are not
    observed.
    :param proof: the tags that an AMI restored from this stored image carries.
    """
    if holder is None:
        return Decision(Action.START)
    if not proves(holder, proof):
        return _decide_stranger(holder, proof, adopt)
    if holder.state in PENDING_STATES:
        return Decision(Action.ATTACH)
    if holder.state == "available":
        return Decision(Action.KEEP)
    if holder.state in FAILED_STATES:
        return Decision(
            Action.REPLACE,
            f"a failed restore, {holder.image_id} ({holder.state}), holds the name: it is"
            " deregistered"
            " with its own snapshots first",
        )
    return Decision(
        Action.FAIL,
        f"it was restored as {holder.image_id}, which is in state {holder.state!r} now. Enable or"
        " deregister it, or give"
        " another name",
    )


def _decide_stranger(holder: Image, proof: t.Mapping[str, str], adopt: bool) -> Decision:
    other = holder.tags.get(LOCATION_TAG)
    if other is None:
        told = "carries no proof of a restore"
    elif other == proof[LOCATION_TAG]:
        told = "was restored from an earlier object under this key (another ETag)"
    else:
        told = f"was restored from s3://{other}"
    if adopt and holder.state == "available":
        return Decision(Action.KEEP)
    advice = "give another name, or set adopt: true if that AMI is the one you want"
    if holder.state in PENDING_STATES:
        advice = "run the task again when it is available, or give another name"
    elif holder.state != "available":
        advice = "give another name, or deregister it yourself if nobody needs it"
    return Decision(
        Action.FAIL,
        f"the name {holder.name!r} is taken by {holder.image_id} ({holder.state}), which {told}:"
        f" {advice}",
    )


@dataclass
class RestoreEntry(Entry):
    """One stored image on its way back to an AMI, and what is known about it."""

    object_key: str = ""
    name: str | None = None
    tags: t.Mapping[str, str] | None = None
    snapshot_tags: t.Mapping[str, str] | None = None
    stored: StoredObject | None = None
    manifest: Manifest | None = None
    image: Image | None = None
    image_id: str | None = None
    adopted: bool = False
    """An AMI without proof that the user accepts; it must never look proved."""
    named_by_manifest: bool = False
    """The task itself gives no name."""
    manifest_problem: str = ""
    """Why the manifest that is there cannot be read."""
    looks_missed: int = 0
    """How many looks in a row did not show an AMI that was shown before."""
    failed_image: Image | None = None
    """Ours, failed, holding the name: goes before the start."""
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    tag_changes: dict[str, tuple[dict[str, str], dict[str, str]]] = field(default_factory=dict)
    """Tags before and after, by AMI or snapshot id."""
    verification: Verification = NOT_YET
    recorded: Recorded | None = None
    """The evidence of this restore; None where the task asks for none."""
    sharing: Sharing | None = None
    """What became of the launch permissions; None where the task leaves them."""

    @property
    def state(self) -> str:
        """The AMI's state as AWS names it."""
        if self.image is not None:
            return self.image.state
        return "pending" if self.image_id else "NotStarted"

    @property
    def progress(self) -> int:
        """Percent, by the snapshots' sizes; 100 once the AMI is available."""
        if self.image is not None and self.image.state == "available":
            return 100
        total = sum(snapshot.size for snapshot in self.snapshots.values())
        done = sum(snapshot.size * snapshot.progress for snapshot in self.snapshots.values())
        return done // total if total else 0


def results(entries: t.Iterable[RestoreEntry], bucket: str) -> list[dict[str, t.Any]]:
    """Return what the user gets per stored image: one shape in every case."""
    return [
        {
            "object_key": entry.object_key,
            "bucket": bucket,
            "image_id": entry.image_id,
            "name": entry.name,
            "state": entry.state,
            "state_reason": entry.reason or None,
            "snapshot_ids": entry.image.snapshot_ids if entry.image else [],
            "encrypted": entry.image.encrypted if entry.image else None,
            "progress_percentage": entry.progress,
            "changed": entry.changed,
            "verification": entry.verification.as_dict(),
            "evidence": entry.recorded.as_dict() if entry.recorded else None,
            "launch_permissions": entry.sharing.as_dict() if entry.sharing else None,
        }
        for entry in entries
    ]


def tag_diffs(entries: t.Iterable[RestoreEntry]) -> list[dict[str, t.Any]]:
    """Return the tags of AMIs and snapshots that differ, in the form of diff mode."""
    return [
        {"before_header": resource, "after_header": resource, "before": before, "after": after}
        for entry in entries
        for resource, (before, after) in entry.tag_changes.items()
    ]


@dataclass(frozen=True)
class RestoreOptions:
    """What the task asks for, checked and clean."""

    bucket: str
    expected_bucket_owner: str | None = None
    purge_tags: bool = False
    adopt: bool = False
    allow_unencrypted: bool = False
    wait_timeout: int = 7200
    limits: Limits = RESTORE_LIMITS
    check_mode: bool = False
    wait: bool = True
    verify: str = "report"
    record_evidence: bool = False
    restores_permissions: bool = False
    allowed: frozenset[tuple[str, str]] = frozenset()
    """Whom the task lets launch permissions be restored for."""

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], check_mode: bool) -> RestoreOptions:
        """Return the options of a task.

        :raises InputError: names the value that is wrong.
        """
        if params["verify"] == STRICT and not params["wait"]:
            raise InputError(
                "verify: strict compares what is restored, and wait: false does not wait for it."
                " Set wait: true, or verify: report; nothing was changed."
            )
        return cls(
            bucket=clean_bucket(params["bucket"]),
            expected_bucket_owner=clean_bucket_owner(params["expected_bucket_owner"]),
            purge_tags=params["purge_tags"],
            adopt=params["adopt"],
            allow_unencrypted=params["allow_unencrypted"],
            wait_timeout=clean_wait_timeout(params["wait_timeout"]),
            limits=clean_limits(params),
            check_mode=check_mode,
            wait=params["wait"],
            verify=params["verify"],
            record_evidence=params["record_evidence"],
            restores_permissions=params["launch_permissions"] == "restore",
            allowed=clean_allowed(params["allowed_launch_permissions"]),
        )


@dataclass
class RestoreOperation:
    """Restores AMIs; `ec2_once` is a client that sends each request once."""

    ec2: t.Any
    ec2_once: t.Any
    bucket: Bucket
    options: RestoreOptions
    warnings: list[str] = field(default_factory=list)
    _pending: list[Image] = field(default_factory=list)
    """The AMIs of the account that were being made when last seen."""
    _holders: list[Image] = field(default_factory=list)
    """The AMIs of the wanted names when last observed."""
    _starts_told: set[str] = field(default_factory=set)
    _requested: set[str] = field(default_factory=set)
    """The names that this run has sent create requests for."""
    _own_ids: set[str] = field(default_factory=set)
    """The AMIs that this run restores or follows."""
    _encrypts: bool | None = None
    """EBS encryption by default, once asked."""

    @property
    def foreign_tasks(self) -> int:
        """How many AMIs are being made by others: restores, and whatever else is pending."""
        return len(self._foreign)

    @property
    def foreign_size(self) -> int:
        """The size in GiB of those among them that are restores."""
        return sum(image.size for image in self._foreign if LOCATION_TAG in image.tags)

    @property
    def _foreign(self) -> list[Image]:
        return [image for image in self._pending if image.image_id not in self._own_ids]

    def starts_seen(self) -> list[datetime]:
        """Return when the restores were started that are shown, of those not told of before."""
        fresh = {
            image.image_id: image.created
            for image in (*self._pending, *self._holders)
            if LOCATION_TAG in image.tags
            and image.image_id not in self._starts_told
            and image.name not in self._requested
        }
        self._starts_told |= fresh.keys()
        return [created for created in fresh.values() if created]

    # Observe

    def observe(self, entries: t.Sequence[RestoreEntry]) -> None:
        """Look at the stored images and their manifests, then at the AMIs of those names; decide.

        What cannot be looked at for a passing reason stays UNSURE.
        """
        for entry in entries:
            if entry.stored is None:
                self._see_object(entry)
        self._refuse_shared_names(entries)
        known = [entry for entry in entries if entry.phase is Phase.UNSURE and entry.stored]
        if not known:
            return
        self._pending = _images.own_pending_images(self.ec2)
        holders = _images.own_images_by_name(self.ec2, [t.cast(str, entry.name) for entry in known])
        self._holders = [image for images in holders.values() for image in images]
        for entry in known:
            self._decide(entry, holders[t.cast(str, entry.name)])
        self._see_progress(known)

    def _see_object(self, entry: RestoreEntry) -> None:
        try:
            stored = self.bucket.head(entry.object_key)
            if stored is None:
                entry.fail(
                    f"{self.bucket.url(entry.object_key)} does not exist. Check the key and the"
                    " prefix; if it was deleted from a versioned bucket, remove its delete marker"
                )
                return
            self._read_manifest(entry)
            self._name(entry)
            entry.stored = stored
        except AnsibleAWSError as error:
            if refuses_caller(error):
                raise
            entry.reason = error_text(error)
            if not is_transient(error):
                entry.fail(entry.reason)

    def _read_manifest(self, entry: RestoreEntry) -> None:
        """Read the manifest; without one, a restore works all the same, given a name."""
        key = manifest_key(entry.object_key)
        entry.manifest, entry.manifest_problem = None, ""
        try:
            content = self.bucket.read(key)
            if content is not None:
                entry.manifest = _manifest.parse(content, self.bucket.url(key))
            return
        except ManifestError as error:
            entry.manifest_problem = error_text(error)
        except AnsibleAWSError as error:
            if not is_forbidden(error):
                raise
            entry.manifest_problem = error_text(error)
        self.warnings.append(
            f"{entry.label}: {entry.manifest_problem}. The restore goes on without a manifest."
        )

    def _name(self, entry: RestoreEntry) -> None:
        entry.size = entry.manifest.size if entry.manifest else 0
        if entry.name is None or entry.named_by_manifest:
            entry.named_by_manifest = True
            entry.name = clean_image_name(entry.manifest.name if entry.manifest else None)
        if entry.name is None:
            where = self.bucket.url(manifest_key(entry.object_key))
            told = "cannot be read" if entry.manifest_problem else "gives none"
            entry.fail(
                f"no name is given and {where} {told}. Restore this one with object_key:"
                f" {entry.object_key!r} and a name"
            )
        elif entry.label == entry.object_key:
            entry.label = f"{entry.object_key} as {entry.name!r}"

    def _refuse_shared_names(self, entries: t.Sequence[RestoreEntry]) -> None:
        """Fail those whose manifests give a name that another one is restored under as well."""
        users: dict[str, list[RestoreEntry]] = {}
        for entry in entries:
            if entry.name:
                users.setdefault(entry.name, []).append(entry)
        for name, sharing in users.items():
            for entry in sharing:
                if len(sharing) > 1 and entry.named_by_manifest and entry.open:
                    entry.fail(
                        f"{len(sharing)} stored images of this task have the name {name!r}, and AMI"
                        " names are unique in an account and Region. Restore each with a name of"
                        " its own through stored_images"
                    )

    # Decide and act

    def _decide(self, entry: RestoreEntry, holders: t.Sequence[Image]) -> None:
        stored = t.cast(StoredObject, entry.stored)
        proof = proof_of(self.bucket.name, stored)
        holder = next(
            (image for image in holders if proves(image, proof)), holders[0] if holders else None
        )
        decision = decide(holder, proof, self.options.adopt)
        # How an answer got lost is told until it is known what became of the request.
        entry.reason = decision.reason or (entry.reason if entry.answer_lost else "")
        if decision.action is Action.FAIL:
            entry.fail(decision.reason)
        elif decision.action is Action.KEEP and holder:
            entry.adopted = not proves(holder, proof)
            self._see_image(entry, holder)
            self._finish(entry)
        elif decision.action is Action.ATTACH and holder:
            self._see_image(entry, holder)
            self._own_ids.add(holder.image_id)
            entry.phase = Phase.RUNNING
            entry.changed |= entry.answer_lost
            if self.options.check_mode and self.options.wait:
                self._foresee_tags(entry, holder)
        else:
            entry.failed_image = holder
            self._make_ready(entry, stored)

    def _see_image(self, entry: RestoreEntry, image: Image) -> None:
        entry.image = image
        entry.image_id = image.image_id
        entry.size = image.size or entry.size

    def _make_ready(self, entry: RestoreEntry, stored: StoredObject) -> None:
        problem = self._why_not_readable(stored) or self._why_not_encrypted(entry)
        if problem:
            entry.fail(problem)
            return
        entry.phase = Phase.READY
        entry.changed |= self.options.check_mode

    def _why_not_readable(self, stored: StoredObject) -> str:
        if stored.restorable is not False:
            return ""
        kind = stored.archive_status or stored.storage_class
        if stored.thawing:
            return (
                f"the object is archived ({kind}) and S3 is bringing it back; run the task again"
                " when that is done"
            )
        return (
            f"the object is archived ({kind}) and cannot be read. Bring it back first: aws s3api"
            f" restore-object --bucket {self.bucket.name} --key {stored.key} --restore-request"
            " Days=7, and run the task again when S3 has done so"
        )

    def _why_not_encrypted(self, entry: RestoreEntry) -> str:
        """Return why a restore would bring encrypted disks back in the clear; a restore cannot
        choose a key.
        """
        encrypted = entry.manifest.has_encrypted_snapshot if entry.manifest else None
        if encrypted is False or self.options.allow_unencrypted or self._encrypts_by_default():
            return ""
        if entry.manifest is None and not entry.manifest_problem:
            self.warnings.append(
                f"{entry.label}: EBS encryption by default is off and no manifest tells whether"
                " the AMI was encrypted; its disks come back unencrypted."
            )
            return ""
        was = "the AMI was encrypted"
        if encrypted is None:
            was = (
                entry.manifest_problem or "the manifest does not tell whether the AMI was encrypted"
            )
        return (
            f"{was}, and EBS encryption by default is off in this Region, so its disks would come"
            " back unencrypted. Turn it on (aws ec2 enable-ebs-encryption-by-default), or set"
            " allow_unencrypted: true"
        )

    def _encrypts_by_default(self) -> bool:
        if self._encrypts is None:
            self._encrypts = _images.encrypts_by_default(self.ec2)
        return self._encrypts

    def start(self, entry: RestoreEntry) -> Reply:
        """Take a failed restore of ours out of the way, then send CreateRestoreImageTask."""
        seen = t.cast(StoredObject, entry.stored)
        if not self._is_unchanged(entry):
            entry.stored = None
            return Reply(
                Answer.BUSY, f"{self.bucket.url(seen.key)} has changed since it was looked at"
            )
        if entry.failed_image is not None:
            self._remove_failed(entry, entry.failed_image)
        self._requested.add(t.cast(str, entry.name))
        reply = self._create(entry)
        if reply.answer is Answer.ACCEPTED:
            entry.image_id = reply.text
            self._own_ids.add(reply.text)
        return reply

    def _is_unchanged(self, entry: RestoreEntry) -> bool:
        """Look again: between the first look and this start may lie an hour of others' starts."""
        seen, now = t.cast(StoredObject, entry.stored), self.bucket.head(entry.object_key)
        return now is not None and (now.etag, now.restorable) == (seen.etag, seen.restorable)

    def _create(self, entry: RestoreEntry, dry_run: bool = False) -> Reply:
        wanted = self._wanted_tags(entry)
        return _images.start_restore(
            self.ec2_once,
            self.bucket.name,
            entry.object_key,
            t.cast(str, entry.name),
            wanted[0],
            wanted[1],
            dry_run,
        )

    def try_permission(self, entry: RestoreEntry) -> Reply:
        """Ask AWS, without starting anything, whether the caller may start this one."""
        return self._create(entry, dry_run=True)

    def _remove_failed(self, entry: RestoreEntry, image: Image) -> None:
        """Remove the AMI and those of its snapshots that carry the same proof."""
        proof = proof_of(self.bucket.name, t.cast(StoredObject, entry.stored))
        snapshots = _images.snapshots_by_id(self.ec2, image.snapshot_ids).values()
        own = [
            snapshot.snapshot_id
            for snapshot in snapshots
            if all(snapshot.tags.get(key) == value for key, value in proof.items())
        ]
        with entry.changing():
            deregister_image(self.ec2, image.image_id)
        entry.failed_image = None
        for snapshot_id in own:
            try:
                delete_snapshot(self.ec2, snapshot_id)
            except AnsibleAWSError as error:
                self.warnings.append(
                    f"{entry.label}: {error_text(error)}. The snapshot of the failed restore stays."
                )

    def _wanted_tags(self, entry: RestoreEntry) -> tuple[dict[str, str], dict[str, str]]:
        """Return the tags for the AMI and for its snapshots; an adopted AMI gets no proof that it
        does not have.
        """
        proof = (
            {} if entry.adopted else proof_of(self.bucket.name, t.cast(StoredObject, entry.stored))
        )
        image_tags = dict(entry.tags or {})
        snapshot_tags = image_tags if entry.snapshot_tags is None else dict(entry.snapshot_tags)
        return image_tags | proof, snapshot_tags | proof

    # Wait

    def look(self, entries: t.Sequence[RestoreEntry]) -> None:
        """Follow the AMIs' own states; an AMI that is not shown yet proves nothing."""
        images = _images.images_by_id(self.ec2, [t.cast(str, entry.image_id) for entry in entries])
        for entry in entries:
            image = images.get(t.cast(str, entry.image_id))
            if image is None:
                self._miss(entry)
                continue
            entry.looks_missed, entry.reason = 0, ""
            self._see_image(entry, image)
            if image.state == "available":
                self._end(entry)
            elif image.state not in PENDING_STATES:
                again = "removes that AMI and starts anew"
                if image.state not in FAILED_STATES:
                    again = "tells what can be done"
                entry.fail(
                    f"the restore as {image.image_id} ended in state {image.state!r}:"
                    f" {image.state_reason or 'AWS gave no reason'}. Running the task again {again}"
                )

    def _miss(self, entry: RestoreEntry) -> None:
        """Give up an AMI that was shown and is gone; one that was never shown may still come."""
        if entry.image is None:
            entry.reason = (
                f"AWS does not show {entry.image_id} yet; the Allowed AMIs setting can hide it"
            )
            return
        entry.looks_missed += 1
        if entry.looks_missed >= LOOKS_UNTIL_GONE:
            entry.fail(f"{entry.image_id} is gone: somebody deregistered it while it was restored")

    def _end(self, entry: RestoreEntry) -> None:
        """Finish an AMI that is available, unless its object was replaced under the restore."""
        seen, now = t.cast(StoredObject, entry.stored), self.bucket.head(entry.object_key)
        if now is not None and now.etag != seen.etag:
            entry.fail(
                f"{self.bucket.url(seen.key)} was replaced while {entry.image_id} was restored"
                " from it"
                f" (ETag {seen.etag}, now {now.etag}), so what the AMI holds is not proved."
                " Deregister it and run the task again"
            )
            return
        self._finish(entry)

    def survey(self, entries: t.Sequence[RestoreEntry]) -> None:
        """Read the progress from the snapshots, and what else is being made in the account."""
        self._pending = _images.own_pending_images(self.ec2)
        self._see_progress(entries)

    def _see_progress(self, entries: t.Sequence[RestoreEntry]) -> None:
        running = [entry for entry in entries if entry.phase is Phase.RUNNING and entry.image]
        ids = [
            snapshot_id
            for entry in running
            for snapshot_id in t.cast(Image, entry.image).snapshot_ids
        ]
        snapshots = _images.snapshots_by_id(self.ec2, ids)
        for entry in running:
            own = t.cast(Image, entry.image).snapshot_ids
            entry.snapshots = {
                snapshot_id: snapshots[snapshot_id]
                for snapshot_id in own
                if snapshot_id in snapshots
            }

    # Tags

    def _finish(self, entry: RestoreEntry) -> None:
        """Bring the tags of an available AMI and its snapshots to what the task asks for."""
        entry.phase = Phase.DONE
        entry.reason = ""
        entry.changed |= entry.answer_lost
        image = t.cast(Image, entry.image)
        try:
            self._bring_tags(entry, image)
        except AnsibleAWSError as error:
            entry.fail(f"it is restored as {image.image_id}, but: {error_text(error)}")
            if refuses_caller(error):
                entry.phase = Phase.RUNNING
                raise
            if is_transient(error) and not self.options.check_mode:
                # The next look tries again.
                entry.phase = Phase.RUNNING

    def _foresee_tags(self, entry: RestoreEntry, image: Image) -> None:
        try:
            self._bring_tags(entry, image)
        except AnsibleAWSError as error:
            self.warnings.append(f"{entry.label}: {error_text(error)}.")

    def _bring_tags(self, entry: RestoreEntry, image: Image) -> None:
        image_tags, snapshot_tags = self._wanted_tags(entry)
        self._reconcile(entry, image.image_id, image.tags, image_tags, entry.tags is not None)
        entry.snapshots = _images.snapshots_by_id(self.ec2, image.snapshot_ids)
        asked = entry.tags is not None or entry.snapshot_tags is not None
        for snapshot in entry.snapshots.values():
            self._reconcile(entry, snapshot.snapshot_id, snapshot.tags, snapshot_tags, asked)

    def _reconcile(
        self,
        entry: RestoreEntry,
        resource_id: str,
        before: t.Mapping[str, str],
        wanted: t.Mapping[str, str],
        asked: bool,
    ) -> None:
        """Set what is missing or differs; purge, on request, all but AWS's own tags and the
        proof.
        """
        to_set, to_unset = compare_aws_tags(
            before, wanted, purge_tags=self.options.purge_tags and asked
        )
        to_unset = [key for key in to_unset if not key.startswith(PROOF_TAG_PREFIX)]
        if not to_set and not to_unset:
            return
        kept = {key: value for key, value in before.items() if key not in to_unset}
        if to_set:
            with entry.changing():
                if not self.options.check_mode:
                    _images.set_tags(self.ec2, resource_id, to_set)
        if to_unset:
            with entry.changing():
                if not self.options.check_mode:
                    _images.unset_tags(self.ec2, resource_id, to_unset)
        entry.tag_changes[resource_id] = (dict(before), kept | dict(to_set))
