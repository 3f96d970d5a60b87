# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a stored image proves: that it is there, of this AMI, readable now, and restores."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from datetime import datetime

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.amistore.aws.plugins.module_utils import _manifest
from ansible_collections.amistore.aws.plugins.module_utils._archive_decide import Copy, Proven
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    error_code,
    error_text,
    is_forbidden,
    refuses_caller,
)
from ansible_collections.amistore.aws.plugins.module_utils._evidence import (
    Evidence,
    Unreadable,
    covers,
    read_evidence,
)
from ansible_collections.amistore.aws.plugins.module_utils._inputs import image_key, manifest_key
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Manifest
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import (
    ARCHIVE_CLASSES,
    Bucket,
    StoredObject,
)

UNKNOWN = "stored_unknown"


@dataclass(frozen=True)
class Proof:
    """What was found in the bucket about one AMI."""

    copy: Copy
    tested: Proven
    faults: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    """AWS's words about what could not be looked at."""
    stored: StoredObject | None = None
    image: t.Mapping[str, t.Any] = field(default_factory=dict)
    """The AMI as the manifest describes it."""
    verified_at: datetime | None = None

    @property
    def snapshot_ids(self) -> frozenset[str]:
        """The snapshots that the AMI had when it was stored."""
        mappings = self.image.get("BlockDeviceMappings")
        known = mappings if isinstance(mappings, list) else []
        disks = [mapping.get("Ebs") for mapping in known if isinstance(mapping, dict)]
        return frozenset(
            str(disk["SnapshotId"])
            for disk in disks
            if isinstance(disk, dict) and disk.get("SnapshotId")
        )


@dataclass(frozen=True)
class Prover:
    """Looks at the stored images of one place; `now` is AWS's clock."""

    bucket: Bucket
    prefix: str
    within_days: int
    accept_untested: bool

    def key(self, image_id: str) -> str:
        return image_key(self.prefix, image_id)

    def look(self, image_id: str, now: datetime) -> Proof:
        """Return what is proved now.

        :raises AnsibleAWSError: when AWS refuses the credentials.
        """
        untested = Proven.ACCEPTED if self.accept_untested else Proven.NO
        key = self.key(image_id)
        try:
            answer = self.bucket.head_answer(key)
            if answer is None:
                return Proof(Copy.MISSING, untested)
            stored = self.bucket.stored_object(key, answer)
            manifest, faults = self._manifest(stored, image_id)
            faults = [*_faults_of(stored, answer), *faults]
            faults += [] if faults else self._unreadable(stored)
        except AnsibleAWSError as error:
            if refuses_caller(error):
                raise
            return Proof(Copy.UNKNOWN, Proven.UNKNOWN, (UNKNOWN,), (error_text(error),))
        tested, verified_at, details = self._tested(stored, now)
        return Proof(
            copy=Copy.FAULTY if faults else Copy.READY,
            tested=tested,
            faults=tuple(faults),
            details=details,
            stored=stored,
            image=_image_of(manifest),
            verified_at=verified_at,
        )

    def _manifest(self, stored: StoredObject, image_id: str) -> tuple[Manifest | None, list[str]]:
        key = manifest_key(stored.key)
        content = self.bucket.read(key)
        if content is None:
            return None, ["no_manifest"]
        try:
            manifest = _manifest.parse(content, self.bucket.url(key))
        except _manifest.ManifestError:
            return None, ["manifest_unreadable"]
        if _image_of(manifest).get("ImageId") != image_id:
            return manifest, ["manifest_of_another"]
        if manifest.etag is None:
            return manifest, ["manifest_unfinished"]
        return manifest, [] if manifest.etag == stored.etag else ["replaced"]

    def _unreadable(self, stored: StoredObject) -> list[str]:
        """Read one byte: what S3 tells about an object, it tells without the key."""
        try:
            self.bucket.try_reading(stored.key, stored.etag)
        except AnsibleAWSError as error:
            if error_code(error) in ("412", "PreconditionFailed"):
                return ["replaced"]
            if is_forbidden(error):
                return ["unreadable"]
            raise
        return []

    def _tested(
        self, stored: StoredObject, now: datetime
    ) -> tuple[Proven, datetime | None, tuple[str, ...]]:
        evidence = read_evidence(self.bucket, stored.key)
        if isinstance(evidence, Evidence) and covers(evidence, stored.etag, now, self.within_days):
            return Proven.YES, evidence.verified_at, ()
        if self.accept_untested:
            return Proven.ACCEPTED, None, ()
        if isinstance(evidence, Unreadable):
            return Proven.UNKNOWN, None, (evidence.reason,)
        return Proven.NO, None, ()


def _faults_of(stored: StoredObject, answer: t.Mapping[str, t.Any]) -> list[str]:
    """Return what the object itself tells against it, whatever a temporary copy allows."""
    tests = {
        "empty": not stored.size,
        "archived": stored.storage_class in ARCHIVE_CLASSES or bool(stored.archive_status),
        # A rule of the bucket's lifecycle is going to delete it.
        "expires": bool(answer.get("Expiration")),
        "unreadable": stored.customer_key,
    }
    return [name for name, true in tests.items() if true]


def _image_of(manifest: Manifest | None) -> t.Mapping[str, t.Any]:
    image = manifest.document.get("image") if manifest else None
    return image if isinstance(image, dict) else {}
