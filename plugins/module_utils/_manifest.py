# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manifest beside a stored image: what the image was, so that the bucket alone is enough to
recover.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    COLLECTION_VERSION,
    AmiStoreError,
)

FORMAT_VERSION = 1


class ManifestError(AmiStoreError):
    """The object at the manifest's key is not a manifest that this version can read."""


@dataclass(frozen=True)
class Origin:
    """Where a stored image comes from and where it lies."""

    account_id: str | None
    region: str
    partition: str
    bucket: str
    object_key: str


@dataclass(frozen=True)
class Manifest:
    """A manifest document with the few facts that decisions need; never changed in place."""

    document: t.Mapping[str, t.Any]

    @property
    def name(self) -> str | None:
        """The name that the AMI had when it was stored."""
        return _text(self._image.get("Name"))

    @property
    def size(self) -> int:
        """The size of the volumes in GiB, 0 where the document does not tell."""
        sizes = [_mapping(disk.get("Ebs")).get("VolumeSize") for disk in self._disks]
        return sum(size for size in sizes if isinstance(size, int))

    @property
    def has_encrypted_snapshot(self) -> bool | None:
        """Whether any disk was encrypted; None unless every disk says that it was not."""
        shown = [_mapping(disk["Ebs"]).get("Encrypted") for disk in self._disks if "Ebs" in disk]
        snapshots = _mappings(self.document.get("snapshots"))
        if True in shown or any(snapshot.get("Encrypted") is True for snapshot in snapshots):
            return True
        return False if shown and all(told is False for told in shown) else None

    @property
    def object_tag_keys(self) -> list[str]:
        """The keys of the object's tags that this collection has set."""
        keys = self.document.get("object_tag_keys")
        return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []

    @property
    def etag(self) -> str | None:
        """The ETag of the stored image, None until the object was seen."""
        return _text(_mapping(self.document.get("stored_image")).get("etag"))

    @property
    def task_start_time(self) -> str | None:
        return _text(_mapping(self.document.get("stored_image")).get("task_start_time"))

    @property
    def launch_permissions(self) -> list[t.Mapping[str, t.Any]] | None:
        """With whom the AMI was shared when stored; None where the document does not tell."""
        permissions = self.document.get("launch_permissions")
        return _mappings(permissions) if isinstance(permissions, list) else None

    @property
    def uefi_digest(self) -> str | None:
        """The SHA-256 of the UEFI variable store as AWS gave it, "" where the AMI had none, None
        where that is not known.
        """
        digest = self.document.get("uefi_data_sha256")
        return digest if isinstance(digest, str) else None

    @property
    def _image(self) -> t.Mapping[str, t.Any]:
        return _mapping(self.document.get("image"))

    @property
    def _disks(self) -> list[t.Mapping[str, t.Any]]:
        return _mappings(self._image.get("BlockDeviceMappings"))

    def completed(self, etag: str, size: int, task_start_time: str | None) -> Manifest:
        """Return the document with what became known when the object appeared; `size` in bytes."""
        stored = {"etag": etag, "size": size, "task_start_time": task_start_time}
        return Manifest({**self.document, "stored_image": stored})

    def with_object_tag_keys(self, keys: t.Iterable[str]) -> Manifest:
        return Manifest({**self.document, "object_tag_keys": sorted(keys)})

    def dump(self) -> bytes:
        """Return the document as readable JSON."""
        text = json.dumps(
            self.document, indent=2, sort_keys=True, ensure_ascii=False, default=_plain
        )
        return (text + "\n").encode()


def build(
    origin: Origin,
    image: t.Mapping[str, t.Any],
    snapshots: t.Iterable[t.Mapping[str, t.Any]],
    launch_permissions: list[dict[str, str]] | None,
    object_tag_keys: t.Iterable[str],
    uefi_digest: str | None = None,
) -> Manifest:
    """Return the manifest of an AMI whose store task AWS has just accepted.

    :param image: as DescribeImages gave it.
    :param snapshots: as DescribeSnapshots gave them; those that could not be read are left out.
    :param launch_permissions: None where they could not be read.
    :param uefi_digest: None where the AMI does not boot by UEFI, or that could not be read.
    """
    return Manifest(
        {
            "format_version": FORMAT_VERSION,
            "collection_version": COLLECTION_VERSION,
            "account_id": origin.account_id,
            "region": origin.region,
            "partition": origin.partition,
            "bucket": origin.bucket,
            "object_key": origin.object_key,
            "image": json.loads(json.dumps(image, default=_plain)),
            "snapshots": json.loads(json.dumps(list(snapshots), default=_plain)),
            "launch_permissions": launch_permissions,
            "uefi_data_sha256": uefi_digest,
            "object_tag_keys": sorted(object_tag_keys),
            "stored_image": None,
        }
    )


def parse(content: bytes, where: str) -> Manifest:
    """Read a manifest.

    :param where: names the object in the error.
    :raises ManifestError: for anything but a manifest of a known format.
    """
    try:
        document = json.loads(content)
        # What cannot be written back, such as half a surrogate pair, cannot be kept up either.
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where} is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("format_version"), int):
        raise ManifestError(f"{where} is not a manifest of amistore.aws: it has no format_version")
    if document["format_version"] > FORMAT_VERSION:
        raise ManifestError(
            f"{where} has format_version {document['format_version']}, this version of"
            " amistore.aws reads up to"
            f" {FORMAT_VERSION}: update the collection"
        )
    return Manifest(document)


def is_ours(content: bytes) -> bool:
    """Tell whether this is a manifest of this collection, perhaps of a later version."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and {"format_version", "object_key"} <= document.keys()


def _plain(value: t.Any) -> t.Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _text(value: t.Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _mapping(value: t.Any) -> t.Mapping[str, t.Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: t.Any) -> list[t.Mapping[str, t.Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
