# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stored images under a prefix, each with its family, its age and what is not known of it."""

from __future__ import annotations

import re
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.amistore.aws.plugins.module_utils import _manifest
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    error_text,
    noting_change,
    refuses_caller,
)
from ansible_collections.amistore.aws.plugins.module_utils._evidence import (
    Unreadable,
    read_evidence,
)
from ansible_collections.amistore.aws.plugins.module_utils._inputs import image_id_of, manifest_key
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Manifest, ManifestError
from ansible_collections.amistore.aws.plugins.module_utils._retention_rule import (
    Deleting,
    Findings,
    Unknown,
    Verdict,
    stored_at,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_files import companions
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import (
    Bucket,
    Deletion,
    StoredObject,
)

# Manifests are read so many at a time; a client keeps ten connections.
READERS = 8


@dataclass(frozen=True)
class Grouping:
    """What makes a family of stored images: the name of the AMI, unless something else is given."""

    pattern: re.Pattern[str] | None = None
    """Its first group, found in the name."""
    tag: str | None = None
    """The value of this tag of the AMI."""
    across_folders: bool = False

    def value_of(self, manifest: Manifest) -> str | None:
        """Return what the images of a family have in common, None where this one has none."""
        image = _mapping(manifest.document.get("image"))
        if self.tag is not None:
            return _tag(image, self.tag)
        if manifest.name is None or self.pattern is None:
            return manifest.name
        match = self.pattern.search(manifest.name)
        return (match.group(1) or None) if match else None

    def family_of(self, object_key: str, manifest: Manifest) -> Family | None:
        """Return the family of a stored image, None where anything of it is unknown."""
        value = self.value_of(manifest)
        owner = _mapping(manifest.document.get("image")).get("OwnerId")
        region = manifest.document.get("region")
        if value is None or not _is_text(owner) or not _is_text(region):
            return None
        folder = "" if self.across_folders else object_key.rpartition("/")[0]
        return Family(value, str(owner), str(region), folder)


@dataclass(frozen=True)
class Family:
    """Stored images of which a newer one can take the place of an older one.

    AMI names are unique in an account and a Region only.
    """

    value: str
    owner_id: str
    region: str
    folder: str


@dataclass
class RetainedEntry:
    """One stored image, or a manifest that was left behind, and what becomes of it."""

    key: str
    image_id: str | None
    stored: StoredObject | None
    """None where only the manifest is there."""
    beside: frozenset[str]
    """The keys of what lies beside it."""
    modified: datetime | None
    """As S3 says: of the object, else of the manifest."""
    name: str | None = None
    family: Family | None = None
    stored_at: datetime | None = None
    verified: bool = False
    unknown: set[Unknown] = field(default_factory=set)
    details: list[str] = field(default_factory=list)
    """What the user reads about what is unknown."""
    findings: Findings = field(default_factory=Findings)
    verdict: Verdict = field(default_factory=lambda: Verdict(True, ()))
    version_id: str | None = None
    """Of the object that is there now."""
    deleting: Deleting | None = None
    deletion: Deletion | None = None
    gone: bool = False
    """The object was deleted in this run, or in check mode would have been."""
    failure: str = ""
    changed: bool = False

    @property
    def size(self) -> int:
        return self.stored.size if self.stored else 0

    @property
    def age_order(self) -> tuple[datetime, datetime, str]:
        """Greater is newer; only what has no unknown date has a place in it."""
        return (t.cast(datetime, self.stored_at), t.cast(datetime, self.modified), self.key)

    def does_not_tell(self, what: Unknown, detail: str = "") -> None:
        self.unknown.add(what)
        if detail:
            self.details.append(detail)

    def changing(self) -> t.ContextManager[None]:
        """Count what happens inside as a change, also when its answer got lost."""
        return noting_change(self._note_change)

    def _note_change(self) -> None:
        self.changed = True


@dataclass(frozen=True)
class Reader:
    """Finds the stored images of a bucket and reads what lies beside them."""

    bucket: Bucket
    grouping: Grouping

    def entries(self, prefix: str) -> list[RetainedEntry]:
        """Return the stored images under the prefix at any depth, and manifests without one.

        :raises AnsibleAWSError: when the bucket cannot be listed, or the credentials are refused.
        """
        there = {item.key: item for item in self.bucket.list(f"{prefix}/" if prefix else "")}
        entries = [_entry(key, there) for key in there if key.endswith(".bin")]
        entries += [_entry(key, there) for key in _left_behind(there)]
        with ThreadPoolExecutor(READERS) as pool:
            kept = list(pool.map(self._read, entries))
        return [entry for entry, is_ours in zip(entries, kept) if is_ours]

    def _read(self, entry: RetainedEntry) -> bool:
        """Read what lies beside a stored image; tell whether it is any of our business."""
        if entry.image_id is None:
            entry.does_not_tell(Unknown.FOREIGN)
            return True
        content = self._manifest(entry)
        if entry.stored is None and (content is None or not _manifest.is_ours(content)):
            return False
        manifest = self._parsed(entry, content)
        if manifest is not None:
            self._describe(entry, manifest)
        if entry.stored is not None:
            self._look_for_evidence(entry, entry.stored)
        return True

    def _manifest(self, entry: RetainedEntry) -> bytes | None:
        key = manifest_key(entry.key)
        if key not in entry.beside:
            entry.does_not_tell(Unknown.MANIFEST_MISSING)
            return None
        try:
            content = self.bucket.read(key)
        except AnsibleAWSError as error:
            if refuses_caller(error):
                raise
            entry.does_not_tell(Unknown.MANIFEST_UNREADABLE, error_text(error))
            return None
        if content is None:
            entry.does_not_tell(Unknown.MANIFEST_MISSING)
        return content

    def _parsed(self, entry: RetainedEntry, content: bytes | None) -> Manifest | None:
        if content is None:
            return None
        try:
            manifest = _manifest.parse(content, self.bucket.url(manifest_key(entry.key)))
        except ManifestError as error:
            entry.does_not_tell(Unknown.MANIFEST_UNREADABLE, error.message)
            return None
        told = _mapping(manifest.document.get("image")).get("ImageId")
        etag = manifest.etag
        if told != entry.image_id:
            entry.does_not_tell(Unknown.MANIFEST_OF_ANOTHER, f"it is of {told}")
        elif entry.stored is not None and etag not in (None, entry.stored.etag):
            detail = f"it is of an object with ETag {etag}, this one has {entry.stored.etag}"
            entry.does_not_tell(Unknown.MANIFEST_OF_ANOTHER, detail)
        elif entry.stored is None and etag is None:
            entry.does_not_tell(Unknown.NEVER_SEEN)
        return manifest

    def _describe(self, entry: RetainedEntry, manifest: Manifest) -> None:
        entry.name = manifest.name
        entry.family = self.grouping.family_of(entry.key, manifest)
        if entry.family is None:
            entry.does_not_tell(Unknown.FAMILY)
        begun, readable = _time(manifest.task_start_time)
        now = self.bucket.listed_at
        if readable and now is not None:
            entry.stored_at = stored_at(begun, entry.modified, now)
        if entry.stored_at is None:
            entry.does_not_tell(Unknown.DATE)

    def _look_for_evidence(self, entry: RetainedEntry, stored: StoredObject) -> None:
        if companions(entry.key)[0].key not in entry.beside:
            return
        evidence = read_evidence(self.bucket, entry.key)
        if isinstance(evidence, Unreadable):
            # What came along with a copy says nothing about this object.
            if not evidence.replaceable:
                entry.does_not_tell(Unknown.EVIDENCE, evidence.reason)
        elif evidence is not None:
            entry.verified = evidence.etag == stored.etag


def _entry(key: str, there: t.Mapping[str, StoredObject]) -> RetainedEntry:
    beside = frozenset(c.key for c in companions(key) if c.key in there)
    dated = there.get(key) or there[manifest_key(key)]
    return RetainedEntry(
        key=key,
        image_id=image_id_of(key),
        stored=there.get(key),
        beside=beside,
        modified=dated.last_modified,
    )


def _left_behind(there: t.Collection[str]) -> t.Iterator[str]:
    """Yield the keys of stored images that are gone while something like a manifest is there."""
    for key in there:
        object_key = key.removesuffix(".json") + ".bin"
        if key.endswith(".json") and image_id_of(object_key) and object_key not in there:
            yield object_key


def _time(text: str | None) -> tuple[datetime | None, bool]:
    """Return the moment that a manifest tells, and whether what it tells can be read."""
    if text is None:
        return None, True
    try:
        moment = datetime.fromisoformat(text)
        return (moment.astimezone(timezone.utc), True) if moment.tzinfo else (None, False)
    except (ValueError, OverflowError):
        return None, False


def _tag(image: t.Mapping[str, t.Any], key: str) -> str | None:
    tags = image.get("Tags")
    for tag in tags if isinstance(tags, list) else []:
        if isinstance(tag, dict) and tag.get("Key") == key and _is_text(tag.get("Value")):
            return str(tag["Value"])
    return None


def _is_text(value: t.Any) -> bool:
    return isinstance(value, str) and value != ""


def _mapping(value: t.Any) -> t.Mapping[str, t.Any]:
    return value if isinstance(value, dict) else {}
