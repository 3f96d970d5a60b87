# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What follows a restore: compare the AMIs with their manifests, record that, share them again."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from datetime import datetime

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.amistore.aws.plugins.module_utils import _evidence, _images
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    error_code,
    error_text,
    is_forbidden,
    refuses_caller,
)
from ansible_collections.amistore.aws.plugins.module_utils._evidence import (
    Evidence,
    EvidenceError,
    Recorded,
    Restored,
    Unreadable,
)
from ansible_collections.amistore.aws.plugins.module_utils._fleet import Phase
from ansible_collections.amistore.aws.plugins.module_utils._images import Image
from ansible_collections.amistore.aws.plugins.module_utils._launch_permissions import (
    Choice,
    Sharing,
    as_texts,
    choose,
)
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Manifest
from ansible_collections.amistore.aws.plugins.module_utils._report import MOST_NAMED
from ansible_collections.amistore.aws.plugins.module_utils._restore import (
    STRICT,
    RestoreEntry,
    RestoreOptions,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import (
    Bucket,
    StoredObject,
)
from ansible_collections.amistore.aws.plugins.module_utils._verification import (
    Restoration,
    Verification,
    compare,
    not_compared,
)

SEE_REASON = "it failed, see state_reason"
# https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html: one of those to share with
# is none, such as an account that was closed.
NOT_TO_THEM = "InvalidAMIAttributeItemValue"
WOULD_BE_WRITTEN = "it would be written; check mode writes nothing"


@dataclass
class Aftercare:
    """Sees to the AMIs of one task when nothing more is started or waited for."""

    ec2: t.Any
    bucket: Bucket
    options: RestoreOptions
    warnings: list[str] = field(default_factory=list)

    def run(self, entries: t.Sequence[RestoreEntry]) -> None:
        """Compare all first, then record and share; what fails fails its own entry only.

        :raises AnsibleAWSError: when AWS no longer accepts the credentials.
        """
        for entry in entries:
            entry.verification = self._verify(entry)
        self._tell_differences(entries)
        for entry in entries:
            self._judge(entry)
            self._care(entry)
        self._tell_undone(entries)
        left_out = sum(len(entry.sharing.left_out) for entry in entries if entry.sharing)
        if left_out:
            self.warnings.append(
                f"{left_out} launch permissions of the manifests were left out, since"
                " allowed_launch_permissions does not name them; see launch_permissions in"
                " 'images'."
            )

    def _care(self, entry: RestoreEntry) -> None:
        """Record and share, each whether the other fails or not."""
        steps = (
            ("the evidence could not be recorded", self._record),
            ("its launch permissions could not be restored", self._share),
        )
        failures = []
        for failure, step in steps:
            try:
                step(entry)
            except AnsibleAWSError as error:
                if refuses_caller(error):
                    raise
                failures.append(f"{failure}: {error_text(error)}")
        if failures:
            entry.fail(f"it is restored as {entry.image_id}, but {'; '.join(failures)}")

    def _tell_undone(self, entries: t.Sequence[RestoreEntry]) -> None:
        """Warn of what was asked for and not done, where nothing else in the result stands out."""
        # Who waits hears of what is open, and of what failed, anyway.
        told = [e for e in entries if e.phase is not Phase.FAILED]
        told = [e for e in told if not (e.open and self.options.wait)]
        unproved = [(e, e.recorded.reason) for e in told if e.recorded and e.recorded.reason]
        unshared = [(e, e.sharing.reason) for e in told if e.sharing and e.sharing.reason]
        unproved = [(e, reason) for e, reason in unproved if reason != WOULD_BE_WRITTEN]
        for what, undone in (
            ("No evidence is recorded of", unproved),
            ("Launch permissions are not restored of", unshared),
        ):
            if undone:
                entry, reason = undone[0]
                self.warnings.append(
                    f"{what} {len(undone)} of the AMIs, the first is {entry.label}: {reason}."
                )

    # Compare

    def _verify(self, entry: RestoreEntry) -> Verification:
        image = entry.image
        if image is None or image.state != "available":
            return not_compared(self._why_not_there(entry))
        if entry.manifest is None:
            return not_compared(entry.manifest_problem or "it has no manifest")
        return compare(
            entry.manifest,
            Restoration(
                image=image.raw,
                etag=_stored(entry).etag,
                image_tags=tags_now(entry, image),
                named_by_manifest=entry.named_by_manifest,
                asked_tags=entry.tags,
                purged=self.options.purge_tags,
                uefi_digest=self._uefi_digest(image, entry.manifest),
            ),
        )

    def _why_not_there(self, entry: RestoreEntry) -> str:
        if entry.phase is Phase.FAILED:
            return "it is not restored"
        if not self.options.wait:
            return "it is not available yet, and the task does not wait for it (wait: false)"
        return "it is not available yet"

    def _uefi_digest(self, image: Image, manifest: Manifest) -> str | None:
        if not image.boots_by_uefi:
            return ""
        if manifest.uefi_digest is None:
            return None
        try:
            return _images.uefi_digest(self.ec2, image.image_id)
        except AnsibleAWSError as error:
            if refuses_caller(error):
                raise
            why = error_text(error)
            if is_forbidden(error):
                # The same words for every AMI, so that a fleet's run warns once.
                why = "ec2:DescribeImageAttribute was refused"
            warning = f"The UEFI data of restored AMIs is not compared: {why}."
            if warning not in self.warnings:
                self.warnings.append(warning)
            return None

    def _tell_differences(self, entries: t.Iterable[RestoreEntry]) -> None:
        if self.options.verify == STRICT:
            return
        different = [entry for entry in entries if entry.verification.equal is False]
        self.warnings += [
            f"{entry.label}: it is restored as {entry.image_id}, but {entry.verification.problem}."
            for entry in different[:MOST_NAMED]
        ]
        if len(different) > MOST_NAMED:
            self.warnings.append(
                f"And {len(different) - MOST_NAMED} more AMIs that differ from their manifests, see"
                " 'images'."
            )

    def _judge(self, entry: RestoreEntry) -> None:
        """Fail what differs, or could not be compared, where the task asks for that."""
        problem = entry.verification.problem or entry.verification.gap
        if self.options.verify == STRICT and entry.phase is Phase.DONE and problem:
            entry.fail(
                f"it is restored as {entry.image_id}, which stays for inspection, but {problem}"
            )

    # Record

    def _record(self, entry: RestoreEntry) -> None:
        """Write evidence of a restore that proved equal, unless it is there already."""
        if not self.options.record_evidence:
            return
        reason = self._why_nothing_proved(entry)
        entry.recorded = Recorded(reason=reason)
        if reason:
            if entry.phase is Phase.RUNNING:
                self._foresee_evidence(entry)
            return
        image, etag = t.cast(Image, entry.image), _stored(entry).etag
        if image.created is None:
            raise EvidenceError("AWS does not tell when the AMI was made")
        restored = Restored(
            image.image_id, image.owner_id or None, self.ec2.meta.region_name, image.created
        )
        try:
            there = self._evidence_there(entry)
            if there and _stands(there, etag, restored.created):
                entry.recorded = Recorded(there.verified_at)
                return
            new = _evidence.make_evidence(self.bucket, entry.object_key, etag, restored)
            with entry.changing():
                if not self.options.check_mode:
                    _evidence.write_evidence(self.bucket, new)
        except AnsibleAWSError as error:
            entry.recorded = Recorded(reason=error_text(error))
            raise
        entry.recorded = Recorded(new.verified_at)
        if self.options.check_mode:
            entry.recorded = Recorded(reason=WOULD_BE_WRITTEN)

    def _evidence_there(self, entry: RestoreEntry) -> Evidence | None:
        """Return what is written already.

        :raises EvidenceError: for something else under its key, which stays as it is.
        """
        found = _evidence.read_evidence(self.bucket, entry.object_key)
        if not isinstance(found, Unreadable):
            return found
        if found.replaceable:
            return None
        raise EvidenceError(
            f"{found.reason}. What is there was left as it is: look at it, delete it if nobody"
            " needs it, and run the task again"
        )

    def _why_nothing_proved(self, entry: RestoreEntry) -> str:
        verification = entry.verification
        if verification.equal is None:
            return verification.problem
        if entry.phase is not Phase.DONE:
            return verification.verdict or SEE_REASON
        if entry.adopted:
            return "the AMI carries no proof that it was restored from this object"
        return "" if verification.proven else verification.verdict or verification.gap

    def _foresee_evidence(self, entry: RestoreEntry) -> None:
        """Count what a run that waits would write, if nothing comes back otherwise."""
        etag, image = _stored(entry).etag, entry.image
        known = entry.manifest is not None and entry.manifest.etag == etag
        if not (self.options.check_mode and self.options.wait and known and image):
            return
        there = _evidence.read_evidence(self.bucket, entry.object_key)
        if isinstance(there, Evidence):
            entry.changed |= not (image.created and _stands(there, etag, image.created))
        else:
            entry.changed |= there is None or there.replaceable

    # Share

    def _share(self, entry: RestoreEntry) -> None:
        """Let those launch the AMI that its manifest names and the task allows."""
        if not self.options.restores_permissions:
            return
        reason = self._why_not_shared(entry)
        if reason:
            entry.sharing = Sharing(reason=reason)
            return
        manifest = t.cast(Manifest, entry.manifest)
        choice = choose(manifest.launch_permissions or (), self.options.allowed)
        entry.sharing = Sharing(left_out=choice.left_out)
        if not choice.wanted:
            return
        if entry.image is None:
            entry.sharing = Sharing(as_texts(choice.wanted), choice.left_out)
            return
        entry.sharing = Sharing(left_out=choice.left_out, reason=SEE_REASON)
        self._share_image(entry, entry.image, choice)

    def _share_image(self, entry: RestoreEntry, image: Image, choice: Choice) -> None:
        there = _images.launch_permissions(self.ec2, image.image_id) or []
        # The owner may launch it without: an AMI that was shared with the account that restores it.
        enough = [*there, {"UserId": image.owner_id}]
        missing = [each for each in choice.wanted if each not in enough]
        refused = self._let_in(entry, image, missing) if missing else {}
        entry.sharing = Sharing(
            as_texts(each for each in choice.wanted if as_texts([each])[0] not in refused),
            choice.left_out,
            reason=SEE_REASON if refused else "",
            before=as_texts(there),
            after=tuple(t for t in as_texts([*there, *missing]) if t not in refused),
        )
        if refused:
            reasons = "; ".join(f"not to {who}: {why}" for who, why in refused.items())
            raise AmiStoreError(reasons)

    def _let_in(
        self, entry: RestoreEntry, image: Image, permissions: t.Sequence[dict[str, str]]
    ) -> dict[str, str]:
        """Share the AMI, and return with whom AWS refuses to, and why: one that does not exist any
        more does not keep out the others.
        """
        try:
            with entry.changing():
                if not self.options.check_mode:
                    _images.share(self.ec2, image.image_id, permissions)
        except AnsibleAWSError as error:
            if error_code(error) != NOT_TO_THEM:
                raise
            if len(permissions) == 1:
                return {as_texts(permissions)[0]: error_text(error)}
            each = [self._let_in(entry, image, [permission]) for permission in permissions]
            return {who: why for refused in each for who, why in refused.items()}
        return {}

    def _why_not_shared(self, entry: RestoreEntry) -> str:
        foreseen = self.options.check_mode and self.options.wait and entry.open
        if entry.phase is Phase.FAILED:
            return SEE_REASON
        if entry.phase is not Phase.DONE and not foreseen:
            return self._why_not_there(entry)
        if entry.adopted:
            return "the AMI carries no proof that it was restored from this object"
        if entry.manifest is None:
            return entry.manifest_problem or "it has no manifest"
        if entry.manifest.etag not in (None, _stored(entry).etag):
            return "the manifest was written for another object"
        if entry.manifest.launch_permissions is None:
            return "the manifest does not tell with whom the AMI was shared"
        return ""


def _stored(entry: RestoreEntry) -> StoredObject:
    return t.cast(StoredObject, entry.stored)


def _stands(there: Evidence, etag: str, created: datetime) -> bool:
    """Tell whether evidence says no less than that of the restore that began then."""
    return there.etag == etag and there.restored_at >= created


def tags_now(entry: RestoreEntry, image: Image) -> dict[str, str]:
    """Return the tags as AWS showed them, with what this run has changed since."""
    tags = dict(image.tags)
    before, after = entry.tag_changes.get(image.image_id, ({}, {}))
    for key in before.keys() - after.keys():
        tags.pop(key, None)
    return tags | {key: value for key, value in after.items() if before.get(key) != value}


def sharing_diffs(entries: t.Iterable[RestoreEntry]) -> list[dict[str, t.Any]]:
    """Return the launch permissions that differ, in the form of diff mode."""
    return [
        {
            "before_header": f"launch permissions of {entry.image_id}",
            "after_header": f"launch permissions of {entry.image_id}",
            "before": {"launch_permissions": list(entry.sharing.before)},
            "after": {"launch_permissions": list(entry.sharing.after)},
        }
        for entry in entries
        if entry.sharing and entry.sharing.before != entry.sharing.after
    ]
