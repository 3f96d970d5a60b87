# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CreateRestoreImageTask on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Lab, Refusals

DISKS = [
    {
        "device": "/dev/xvda",
        "size": 12,
        "snapshot_tags": {"Name": "root", "amistore:etag": "old"},
    },
    {
        "device": "/dev/sdb",
        "size": 100,
        "volume_type": "io2",
        "iops": 5000,
        "delete_on_termination": False,
    },
    {"device": "/dev/sdc", "virtual_name": "ephemeral0"},
]
SOURCE = {
    "name": "web",
    "description": "A web server",
    "tags": {"Team": "web", "amistore:etag": "old"},
    "architecture": "arm64",
    "boot_mode": "uefi",
    "tpm_support": "v2.0",
    "imds_support": "v2.0",
    "ena_support": False,
    "shared_with": ["222222222222"],
    "volumes": DISKS,
}
NEW_TAGS = [{"Key": "amistore:etag", "Value": "new"}]


@pytest.fixture
def stored(lab: Lab) -> str:
    """The key of a stored AMI whose original is gone."""
    image_id = lab.image(**SOURCE)
    key = lab.stored(image_id)
    lab.ec2.deregister_image(ImageId=image_id)
    return key


def snapshots_of(lab: Lab, image: dict[str, Any]) -> list[dict[str, Any]]:
    ids = [m["Ebs"]["SnapshotId"] for m in image["BlockDeviceMappings"] if "Ebs" in m]
    found = lab.ec2.describe_snapshots(SnapshotIds=ids)["Snapshots"]
    return sorted(found, key=lambda snapshot: ids.index(snapshot["SnapshotId"]))


def tags_of(resource: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource["Tags"]}


def test_everything_but_ids_sharing_and_keys_comes_back(lab: Lab, stored: str) -> None:
    image_id = lab.restore(stored)
    lab.emulator.advance(10_000)
    image = lab.described(image_id)
    source_id = stored.removesuffix(".bin")
    assert image_id != source_id
    expected = {
        "Name": "web",
        "Description": "A web server",
        "Architecture": "arm64",
        "BootMode": "uefi",
        "TpmSupport": "v2.0",
        "ImdsSupport": "v2.0",
        "EnaSupport": False,
        "RootDeviceName": "/dev/xvda",
        "RootDeviceType": "ebs",
        "VirtualizationType": "hvm",
        "State": "available",
        "OwnerId": "123456789012",
        "Public": False,
        "SourceImageId": source_id,
        "SourceImageRegion": "us-east-1",
    }
    assert {name: image.get(name) for name in expected} == expected
    assert tags_of(image) == SOURCE["tags"]
    shared = lab.ec2.describe_image_attribute(ImageId=image_id, Attribute="launchPermission")
    assert shared["LaunchPermissions"] == []


def test_disks_come_back_on_new_snapshots(lab: Lab, stored: str) -> None:
    image_id = lab.restore(stored)
    lab.emulator.advance(10_000)
    image = lab.described(image_id)
    root, data, ephemeral = image["BlockDeviceMappings"]
    assert root["Ebs"]["VolumeSize"] == 12
    assert data["Ebs"] == {
        "DeleteOnTermination": False,
        "Encrypted": False,
        "Iops": 5000,
        "SnapshotId": data["Ebs"]["SnapshotId"],
        "VolumeSize": 100,
        "VolumeType": "io2",
    }
    assert ephemeral == {"DeviceName": "/dev/sdc", "VirtualName": "ephemeral0"}
    snapshots = snapshots_of(lab, image)
    assert [(s["VolumeSize"], s["State"], s["Progress"]) for s in snapshots] == [
        (12, "completed", "100%"),
        (100, "completed", "100%"),
    ]
    assert tags_of(snapshots[0])["Name"] == "root"


@pytest.mark.parametrize("by", ["key", "id", "*"])
def test_what_comes_back_can_differ(lab: Lab, stored: str, by: str) -> None:
    name = {"key": stored, "id": stored.removesuffix(".bin")}.get(by, by)
    altered = {"boot_mode": "legacy-bios", "sizes": {"/dev/sdb": 101}, "lost_tags": ["Team"]}
    lab.emulator.scenario(restore_alterations={name: altered})
    image_id = lab.restore(stored)
    lab.emulator.advance(10_000)
    image = lab.described(image_id)
    assert (image["BootMode"], image["TpmSupport"]) == ("legacy-bios", "v2.0")
    sizes = [m["Ebs"]["VolumeSize"] for m in image["BlockDeviceMappings"] if "Ebs" in m]
    assert sizes == [12, 101]
    assert [snapshot["VolumeSize"] for snapshot in snapshots_of(lab, image)] == [12, 101]
    assert tags_of(image) == {"amistore:etag": "old"}


def test_other_restores_come_back_as_they_were(lab: Lab, stored: str) -> None:
    lab.emulator.scenario(restore_alterations={"another.bin": {"boot_mode": "legacy-bios"}})
    assert lab.described(lab.restore(stored))["BootMode"] == "uefi"


def test_new_ami_is_pending_and_its_snapshots_show_the_progress(lab: Lab, stored: str) -> None:
    lab.emulator.scenario(restore_seconds=100, restore_seconds_per_gib=0)
    image_id = lab.restore(stored)
    lab.emulator.advance(50)
    image = lab.described(image_id)
    assert image["State"] == "pending"
    seen = {(s["State"], s["Progress"]) for s in snapshots_of(lab, image)}
    assert seen <= {("pending", f"{percent}%") for percent in range(48, 60)}
    assert seen


@pytest.mark.parametrize("reason", ["the object was damaged", ""])
def test_failing_restore_keeps_its_name_until_it_is_deregistered(
    lab: Lab, stored: str, refusal: Refusals, reason: str
) -> None:
    lab.emulator.scenario(restore_failures={stored: {"reason": reason, "times": 1}})
    image_id = lab.restore(stored)
    lab.emulator.advance(10_000)
    image = lab.described(image_id)
    assert image["State"] == "failed"
    assert image.get("StateReason", {}).get("Message", "") == reason
    assert {s["State"] for s in snapshots_of(lab, image)} == {"error"}
    with refusal:
        lab.restore(stored)
    assert refusal.code == "InvalidAMIName.Duplicate"
    assert image_id in refusal.message
    lab.ec2.deregister_image(ImageId=image_id)
    again = lab.restore(stored)
    lab.emulator.advance(10_000)
    assert lab.described(again)["State"] == "available"


def test_given_name_wins_and_the_same_object_can_be_restored_twice(lab: Lab, stored: str) -> None:
    ids = [lab.restore(stored, Name=name) for name in ("first copy", "second copy")]
    assert [lab.described(image_id)["Name"] for image_id in ids] == ["first copy", "second copy"]


@pytest.mark.parametrize("name", ["ab", "n" * 129])
def test_impossible_name_is_refused(lab: Lab, stored: str, refusal: Refusals, name: str) -> None:
    with refusal:
        lab.restore(stored, Name=name)
    assert refusal.code == "InvalidAMIName.Malformed"


def test_name_may_stay_taken_for_a_while(lab: Lab, stored: str, refusal: Refusals) -> None:
    lab.emulator.scenario(name_lag=30)
    image_id = lab.image(name="taken")
    lab.ec2.deregister_image(ImageId=image_id)
    with refusal:
        lab.restore(stored, Name="taken")
    assert refusal.code == "InvalidAMIName.Duplicate"
    lab.emulator.advance(30)
    assert lab.restore(stored, Name="taken").startswith("ami-")


@pytest.mark.parametrize(("blob_wins", "value"), [(False, "new"), (True, "old")])
def test_tags_are_merged_and_the_scenario_says_who_wins(
    lab: Lab, stored: str, blob_wins: bool, value: str
) -> None:
    lab.emulator.scenario(blob_tags_win=blob_wins)
    specifications = [{"ResourceType": kind, "Tags": NEW_TAGS} for kind in ("image", "snapshot")]
    image = lab.described(lab.restore(stored, TagSpecifications=specifications))
    assert tags_of(image) == {"Team": "web", "amistore:etag": value}
    root, data = snapshots_of(lab, image)
    assert tags_of(root) == {"Name": "root", "amistore:etag": value}
    assert tags_of(data) == {"amistore:etag": "new"}


@pytest.mark.parametrize(
    "specification",
    [
        {"ResourceType": "volume", "Tags": NEW_TAGS},
        {"ResourceType": "image", "Tags": [{"Key": "k" * 128, "Value": ""}]},
        {"ResourceType": "image", "Tags": [{"Key": "aws:x", "Value": ""}]},
        {"ResourceType": "image", "Tags": [{"Key": "k", "Value": "v" * 257}]},
    ],
)
def test_impossible_tags_are_refused(
    lab: Lab, stored: str, refusal: Refusals, specification: dict[str, Any]
) -> None:
    with refusal:
        lab.restore(stored, TagSpecifications=[specification])
    assert refusal.code == "InvalidParameterValue"
    assert lab.ec2.describe_images(Owners=["self"])["Images"] == []


@pytest.mark.parametrize("by_default", [False, True])
def test_encryption_by_default_alone_decides(lab: Lab, by_default: bool) -> None:
    disk = {"device": "/dev/xvda", "size": 8, "encrypted": True, "kms_key_id": "arn:of:a:key"}
    key = lab.stored(lab.image(volumes=[disk]))
    lab.emulator.scenario(encryption_by_default=by_default)
    answer = lab.ec2.get_ebs_encryption_by_default()
    assert answer["EbsEncryptionByDefault"] is by_default
    image = lab.described(lab.restore(key, Name="again"))
    snapshot = snapshots_of(lab, image)[0]
    assert snapshot["Encrypted"] is by_default
    assert image["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is by_default
    default_key = lab.ec2.get_ebs_default_kms_key_id()["KmsKeyId"]
    assert snapshot.get("KmsKeyId") == (default_key if by_default else None)


def test_encryption_by_default_can_be_switched_through_ec2(lab: Lab, stored: str) -> None:
    lab.ec2.enable_ebs_encryption_by_default()
    image = lab.described(lab.restore(stored))
    assert all(s["Encrypted"] for s in snapshots_of(lab, image))


def test_missing_object_and_foreign_object_are_refused(lab: Lab) -> None:
    lab.s3.put_object(Bucket="vault", Key="note.txt", Body=b"hello")
    for key in ("missing.bin", "note.txt"):
        with Refusals() as refusal:
            lab.restore(key, Name="new")
        assert key in refusal.message


@pytest.mark.parametrize(
    ("storage_class", "archive_status", "restore", "readable"),
    [
        ("GLACIER", None, None, False),
        ("DEEP_ARCHIVE", None, "thawing", False),
        ("GLACIER", None, "thawed", True),
        ("GLACIER_IR", None, None, True),
        ("INTELLIGENT_TIERING", "ARCHIVE_ACCESS", None, False),
        ("INTELLIGENT_TIERING", None, None, True),
    ],
)
def test_archived_object_is_refused_until_it_is_thawed(
    lab: Lab,
    stored: str,
    refusal: Refusals,
    storage_class: str,
    archive_status: str | None,
    restore: str | None,
    readable: bool,
) -> None:
    lab.emulator.set_storage_class("vault", stored, storage_class, archive_status, restore)
    if readable:
        assert lab.restore(stored).startswith("ami-")
        return
    with refusal:
        lab.restore(stored)
    assert "storage class" in refusal.message


def test_object_that_was_copied_elsewhere_can_be_restored_there(lab: Lab, stored: str) -> None:
    lab.emulator.plant_buckets({"name": "far-away", "region": "eu-west-1"})
    body = lab.s3.get_object(Bucket="vault", Key=stored)["Body"].read()
    away = lab.client("s3", region="eu-west-1")
    away.put_object(Bucket="far-away", Key="copied/thing.bin", Body=body)
    ec2 = lab.client("ec2", region="eu-west-1")
    image_id = ec2.create_restore_image_task(Bucket="far-away", ObjectKey="copied/thing.bin")
    image = ec2.describe_images(ImageIds=[image_id["ImageId"]])["Images"][0]
    assert (image["Name"], image["SourceImageRegion"]) == ("web", "us-east-1")


def test_new_ami_shows_late(lab: Lab, stored: str, refusal: Refusals) -> None:
    lab.emulator.scenario(image_lag=15)
    image_id = lab.restore(stored)
    with refusal:
        lab.described(image_id)
    assert refusal.code == "InvalidAMIID.NotFound"
    by_name = [{"Name": "name", "Values": ["web"]}]
    assert lab.ec2.describe_images(Filters=by_name)["Images"] == []
    lab.emulator.advance(15)
    assert lab.described(image_id)["State"] == "pending"


def test_in_flight_limit_counts_the_size_after_restore(
    lab: Lab, stored: str, refusal: Refusals
) -> None:
    lab.emulator.scenario(restore_in_flight_gib=112)
    lab.restore(stored)
    with refusal:
        lab.restore(stored, Name="another")
    assert refusal.code == "ResourceLimitExceeded"
    assert len(lab.ec2.describe_images(Owners=["self"])["Images"]) == 1


def test_dry_run_restores_nothing(lab: Lab, stored: str, refusal: Refusals) -> None:
    with refusal:
        lab.restore(stored, DryRun=True)
    assert refusal.code == "DryRunOperation"
    assert lab.ec2.describe_images(Owners=["self"])["Images"] == []
