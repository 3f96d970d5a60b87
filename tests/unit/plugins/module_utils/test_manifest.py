# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest: what goes in, what comes out, what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils import _manifest
from ansible_collections.amistore.aws.plugins.module_utils._aws import COLLECTION_VERSION
from ansible_collections.amistore.aws.plugins.module_utils._manifest import (
    Manifest,
    ManifestError,
    Origin,
)

ORIGIN = Origin("111122223333", "eu-central-1", "aws", "mine", "dr/ami-0abcdef1.bin")
IMAGE = {
    "ImageId": "ami-0abcdef1",
    "Name": "wéb",
    "CreationDate": datetime(2026, 5, 1, tzinfo=UTC),
    "BlockDeviceMappings": [
        {"DeviceName": "/dev/sda", "Ebs": {"VolumeSize": 8, "Encrypted": False}},
        {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 20, "Encrypted": False}},
        {"DeviceName": "/dev/sdc", "VirtualName": "ephemeral0"},
    ],
}


def built(
    image: dict[str, Any] | None = None, snapshots: tuple[dict[str, Any], ...] = ()
) -> Manifest:
    return _manifest.build(
        ORIGIN, image or IMAGE, snapshots, [{"UserId": "444455556666"}], {"b", "a"}, "0f"
    )


def test_a_manifest_holds_everything_a_recovery_needs() -> None:
    document = json.loads(built(snapshots=({"SnapshotId": "snap-1", "VolumeSize": 8},)).dump())
    assert document == {
        "format_version": 1,
        "collection_version": COLLECTION_VERSION,
        "account_id": "111122223333",
        "region": "eu-central-1",
        "partition": "aws",
        "bucket": "mine",
        "object_key": "dr/ami-0abcdef1.bin",
        "image": {**IMAGE, "CreationDate": "2026-05-01T00:00:00+00:00"},
        "snapshots": [{"SnapshotId": "snap-1", "VolumeSize": 8}],
        "launch_permissions": [{"UserId": "444455556666"}],
        "uefi_data_sha256": "0f",
        "object_tag_keys": ["a", "b"],
        "stored_image": None,
    }


def test_a_manifest_is_readable_text() -> None:
    text = built().dump().decode()
    assert "wéb" in text
    assert text.endswith("}\n")
    assert '\n  "account_id"' in text


def test_a_manifest_survives_the_way_through_the_bucket() -> None:
    first = built().completed("etag", 123, "2026-05-01T03:12:45+00:00")
    second = _manifest.parse(first.dump(), "s3://mine/x.json")
    assert second == first
    assert (second.name, second.size, second.etag) == ("wéb", 28, "etag")
    assert second.task_start_time == "2026-05-01T03:12:45+00:00"
    assert second.object_tag_keys == ["a", "b"]


def test_completing_leaves_the_first_document_alone() -> None:
    first = built()
    done = first.completed("etag", 123, None)
    assert first.etag is None
    assert done.document["stored_image"] == {"etag": "etag", "size": 123, "task_start_time": None}
    assert done.with_object_tag_keys(["z", "y"]).object_tag_keys == ["y", "z"]
    assert done.object_tag_keys == ["a", "b"]


def test_an_encrypted_disk_is_seen() -> None:
    disk = {"DeviceName": "/dev/sda", "Ebs": {"VolumeSize": 8, "Encrypted": True}}
    assert built({**IMAGE, "BlockDeviceMappings": [disk]}).has_encrypted_snapshot


def test_an_encrypted_snapshot_is_seen() -> None:
    snapshots = ({"Encrypted": False}, {"Encrypted": True})
    assert built(snapshots=snapshots).has_encrypted_snapshot


def test_nothing_encrypted_is_seen_as_that() -> None:
    assert not built(snapshots=({"Encrypted": False},)).has_encrypted_snapshot


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"image": None, "snapshots": None, "object_tag_keys": None, "stored_image": None},
        {"image": "x", "snapshots": "x", "object_tag_keys": "x", "stored_image": "x"},
        {"image": {"Name": 3, "BlockDeviceMappings": [1, {"Ebs": 2}]}, "snapshots": [None]},
        {"image": {"Name": "", "BlockDeviceMappings": {"Ebs": {}}}, "object_tag_keys": [1, None]},
        {"stored_image": {"etag": 1}, "image": {"BlockDeviceMappings": [{"Ebs": {}}]}},
    ],
)
def test_a_damaged_document_tells_nothing_and_breaks_nothing(document: dict[str, Any]) -> None:
    content = json.dumps({"format_version": 1, **document}).encode()
    manifest = _manifest.parse(content, "here")
    assert manifest.name is None
    assert manifest.size == 0
    assert not manifest.has_encrypted_snapshot
    assert manifest.object_tag_keys == []
    assert (manifest.etag, manifest.task_start_time) == (None, None)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000], ids=["empty", "cut", "binary", "deep"]
)
def test_what_is_not_json_is_refused(content: bytes) -> None:
    with pytest.raises(ManifestError, match=r"^s3://mine/x\.json is not JSON: "):
        _manifest.parse(content, "s3://mine/x.json")


@pytest.mark.parametrize("content", [b"[]", b"1", b"{}", b'{"format_version": "1"}'])
def test_what_is_not_a_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(ManifestError, match=r"^here is not a manifest of amistore\.aws"):
        _manifest.parse(content, "here")


def test_a_newer_format_is_refused_with_the_way_out() -> None:
    with pytest.raises(ManifestError) as caught:
        _manifest.parse(b'{"format_version": 2}', "here")
    assert str(caught.value) == (
        "here has format_version 2, this version of amistore.aws reads up to 1:"
        " update the collection"
    )
