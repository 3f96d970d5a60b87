# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a restored AMI is compared with its manifest: a test per row of the table."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.amistore.aws.plugins.module_utils._manifest import Manifest
from ansible_collections.amistore.aws.plugins.module_utils._verification import (
    ALWAYS_TOLD,
    DISK_ALWAYS_TOLD,
    DISK_TOLD_WHERE_SET,
    TOLD_WHERE_SET,
    Difference,
    Restoration,
    Verification,
    compare,
    not_compared,
)
from tests.unit.cloud import to_list
from tests.unit.decision_tables import rows

ETAG = "e1"
IMAGE: dict[str, Any] = {
    "ImageId": "ami-0abcdef1",
    "Name": "web",
    "Description": "A web server",
    "Architecture": "arm64",
    "VirtualizationType": "hvm",
    "RootDeviceName": "/dev/xvda",
    "RootDeviceType": "ebs",
    "BootMode": "uefi",
    "TpmSupport": "v2.0",
    "ImdsSupport": "v2.0",
    "EnaSupport": True,
    "Tags": to_list({"team": "web", "role": "front"}),
    "BlockDeviceMappings": [
        {
            "DeviceName": "/dev/xvda",
            "Ebs": {
                "SnapshotId": "snap-1",
                "VolumeSize": 8,
                "VolumeType": "gp3",
                "DeleteOnTermination": True,
                "Encrypted": True,
            },
        },
        {
            "DeviceName": "/dev/sdb",
            "Ebs": {
                "SnapshotId": "snap-2",
                "VolumeSize": 20,
                "VolumeType": "io2",
                "DeleteOnTermination": False,
                "Encrypted": True,
                "Iops": 500,
                "Throughput": 125,
            },
        },
        {"DeviceName": "/dev/sdc", "VirtualName": "ephemeral0"},
        {"DeviceName": "/dev/sdd", "NoDevice": ""},
    ],
}
TAGS = {"team": "web", "role": "front"}


def manifest(image: Any = None, etag: str | None = ETAG, **more: Any) -> Manifest:
    document = {"format_version": 1, "image": IMAGE if image is None else image}
    return Manifest({**document, "stored_image": {"etag": etag}, "uefi_data_sha256": "u1", **more})


def restored(**changes: Any) -> Restoration:
    """What came back as it was, on other snapshots, in the clear, but for the changes."""
    image = copy.deepcopy(IMAGE)
    for disk in image["BlockDeviceMappings"][:2]:
        disk["Ebs"] |= {"SnapshotId": "snap-9", "Encrypted": False}
    whole = Restoration(
        image=image | {"ImageId": "ami-0beef"},
        etag=ETAG,
        image_tags=TAGS | {"amistore:etag": ETAG},
        uefi_digest="u1",
    )
    return replace(whole, **changes)


def with_members(**members: Any) -> dict[str, Any]:
    return {**restored().image, **members}


def without(image: Any, *members: str) -> dict[str, Any]:
    return {key: value for key, value in image.items() if key not in members}


def disks(image: Any, device: str, **members: Any) -> dict[str, Any]:
    """The image with members of one EBS volume set, or taken away by None."""
    changed = copy.deepcopy(dict(image))
    for disk in changed["BlockDeviceMappings"]:
        if disk["DeviceName"] == device:
            volume = disk["Ebs"] | members
            disk["Ebs"] = {key: value for key, value in volume.items() if value is not None}
    return changed


def without_disk(image: Any, device: str) -> dict[str, Any]:
    left = [disk for disk in image["BlockDeviceMappings"] if disk["DeviceName"] != device]
    return {**image, "BlockDeviceMappings": left}


def test_the_table_names_every_field() -> None:
    told = [row[0] for row in rows(compare)]
    volume = [f"disks.<device>.{name}" for name in (*DISK_ALWAYS_TOLD, *DISK_TOLD_WHERE_SET)]
    fields = ["etag", *ALWAYS_TOLD, *TOLD_WHERE_SET, "name", "disks", "disks.<device>", *volume]
    assert told == [*fields, "tags", "tags.<key>", "uefi_data"]


def test_what_came_back_as_it_was_is_equal() -> None:
    result = compare(manifest(), restored())
    assert result == Verification(True, stored_encrypted=True)
    assert result.proven
    assert result.problem == ""


# etag


def test_a_manifest_of_another_object_is_not_compared() -> None:
    result = compare(manifest(etag="e0"), restored())
    assert result.equal is None
    assert "was written for another object (ETag e0, restored e1)" in result.reason


def test_a_manifest_that_does_not_tell_its_object_proves_nothing() -> None:
    result = compare(manifest(etag=None), restored())
    assert (result.equal, result.unknown, result.proven) == (True, ("etag",), False)


@pytest.mark.parametrize("image", [{}, None, "x", []])
def test_a_manifest_without_an_image_is_not_compared(image: Any) -> None:
    document = {"format_version": 1, "image": image}
    result = compare(Manifest(document), restored())
    assert (result.equal, result.reason) == (None, "the manifest tells nothing about the AMI")


# architecture, virtualization_type, root_device_name, root_device_type


@pytest.mark.parametrize(("name", "member"), ALWAYS_TOLD.items())
def test_what_aws_always_tells_is_compared(name: str, member: str) -> None:
    result = compare(manifest(), restored(image=with_members(**{member: "other"})))
    assert result.differences == (Difference(name, IMAGE[member], "other"),)
    assert (result.equal, result.proven) == (False, False)


@pytest.mark.parametrize(("name", "member"), ALWAYS_TOLD.items())
def test_what_either_lacks_is_unknown(name: str, member: str) -> None:
    old = compare(manifest(without(IMAGE, member)), restored())
    assert name in old.unknown
    silent = compare(manifest(), restored(image=without(restored().image, member)))
    assert silent.unknown == (name,)
    for result in (old, silent):
        assert (result.equal, result.proven) == (True, False)


# boot_mode, tpm_support, imds_support, ena_support, description


@pytest.mark.parametrize(
    ("name", "member", "other", "unset"),
    [
        ("boot_mode", "BootMode", "legacy-bios", None),
        ("tpm_support", "TpmSupport", "v1.2", None),
        ("imds_support", "ImdsSupport", "v1.0", None),
        ("ena_support", "EnaSupport", False, False),
        ("description", "Description", "other", ""),
    ],
)
def test_what_aws_tells_where_it_is_set_is_compared(
    name: str, member: str, other: Any, unset: Any
) -> None:
    was = IMAGE[member]
    changed = compare(manifest(), restored(image=with_members(**{member: other})))
    assert changed.differences == (Difference(name, was, other),)
    lost = compare(manifest(), restored(image=without(restored().image, member)))
    assert lost.differences == (Difference(name, was, unset),)
    # A manifest that has all that AWS always tells says by its silence that it was not set.
    new = compare(manifest(without(IMAGE, member)), restored())
    assert new.differences == (Difference(name, unset, was),)
    neither = without(restored().image, member)
    assert compare(manifest(without(IMAGE, member)), restored(image=neither)).equal
    partial = compare(manifest(without(IMAGE, member, "Architecture")), restored())
    assert name in partial.unknown
    assert partial.equal


# name


def test_a_name_from_the_manifest_is_compared_and_a_given_one_is_not() -> None:
    other = with_members(Name="web-drill")
    assert compare(manifest(), restored(image=other)).differences == (
        Difference("name", "web", "web-drill"),
    )
    assert compare(manifest(), restored(image=other, named_by_manifest=False)).proven


def test_a_manifest_without_a_name_leaves_it_unknown() -> None:
    assert compare(manifest(without(IMAGE, "Name")), restored()).unknown == ("name",)


# disks


def test_a_manifest_without_disks_leaves_them_unknown() -> None:
    result = compare(manifest(without(IMAGE, "BlockDeviceMappings")), restored())
    assert "disks" in result.unknown
    assert not result.proven


@pytest.mark.parametrize(
    ("device", "kind"),
    [
        ("/dev/sdb", "EBS volume"),
        ("/dev/sdc", "ephemeral0"),
        ("/dev/sdd", "no device"),
    ],
)
def test_the_same_devices_are_expected(device: str, kind: str) -> None:
    lost = compare(manifest(), restored(image=without_disk(restored().image, device)))
    assert lost.differences == (Difference(f"disks.{device}", kind, None),)
    new = compare(manifest(without_disk(IMAGE, device)), restored())
    assert new.differences == (Difference(f"disks.{device}", None, kind),)


def test_another_kind_of_device_is_a_difference() -> None:
    image = without_disk(restored().image, "/dev/sdc")
    image["BlockDeviceMappings"].append({"DeviceName": "/dev/sdc", "VirtualName": "ephemeral1"})
    result = compare(manifest(), restored(image=image))
    assert result.differences == (Difference("disks./dev/sdc", "ephemeral0", "ephemeral1"),)


@pytest.mark.parametrize(
    ("name", "other"),
    [("volume_size", 21), ("volume_type", "gp2"), ("delete_on_termination", True)],
)
def test_what_aws_always_tells_about_volumes_is_compared(name: str, other: Any) -> None:
    member, field = DISK_ALWAYS_TOLD[name], f"disks./dev/sdb.{name}"
    was = IMAGE["BlockDeviceMappings"][1]["Ebs"][member]
    changed = compare(
        manifest(), restored(image=disks(restored().image, "/dev/sdb", **{member: other}))
    )
    assert changed.differences == (Difference(field, was, other),)
    for result in (
        compare(manifest(disks(IMAGE, "/dev/sdb", **{member: None})), restored()),
        compare(manifest(), restored(image=disks(restored().image, "/dev/sdb", **{member: None}))),
    ):
        assert (result.equal, result.unknown, result.proven) == (True, (field,), False)


@pytest.mark.parametrize(("name", "other"), [("iops", 600), ("throughput", 250)])
def test_what_aws_tells_about_some_volumes_is_compared_where_told(name: str, other: int) -> None:
    member, field = DISK_TOLD_WHERE_SET[name], f"disks./dev/sdb.{name}"
    was = IMAGE["BlockDeviceMappings"][1]["Ebs"][member]
    changed = disks(restored().image, "/dev/sdb", **{member: other})
    assert compare(manifest(), restored(image=changed)).differences == (
        Difference(field, was, other),
    )
    lost = disks(restored().image, "/dev/sdb", **{member: None})
    assert compare(manifest(), restored(image=lost)).differences == (Difference(field, was, None),)
    assert compare(manifest(disks(IMAGE, "/dev/sdb", **{member: None})), restored()).proven


@pytest.mark.parametrize(("name", "baseline"), [("iops", 3000), ("throughput", 125)])
def test_a_gp3_volume_has_its_baseline_where_nothing_is_told(name: str, baseline: int) -> None:
    member, field = DISK_TOLD_WHERE_SET[name], f"disks./dev/xvda.{name}"
    told = disks(IMAGE, "/dev/xvda", **{member: baseline})
    assert compare(manifest(told), restored()).proven
    now = disks(restored().image, "/dev/xvda", **{member: baseline})
    assert compare(manifest(), restored(image=now)).proven
    more = disks(restored().image, "/dev/xvda", **{member: baseline * 2})
    assert compare(manifest(), restored(image=more)).differences == (
        Difference(field, baseline, baseline * 2),
    )


# tags


def test_a_partial_manifest_leaves_tags_unknown() -> None:
    result = compare(manifest(without(IMAGE, "Architecture")), restored(image_tags={}))
    assert "tags" in result.unknown
    assert result.equal


@pytest.mark.parametrize(
    ("asked", "purged", "tags", "different"),
    [
        (None, False, {"team": "web"}, [("tags.role", "front", None)]),
        (None, False, TAGS | {"role": "x"}, [("tags.role", "front", "x")]),
        (None, False, TAGS | {"new": "1"}, []),
        ({"role": "drill"}, False, TAGS | {"role": "drill"}, []),
        ({"role": "drill"}, False, TAGS, [("tags.role", "drill", "front")]),
        ({"own": "1"}, False, TAGS, [("tags.own", "1", None)]),
        ({"own": "1"}, True, {"own": "1"}, []),
        ({"own": "1"}, True, {}, [("tags.own", "1", None)]),
        (None, True, {}, [("tags.role", "front", None), ("tags.team", "web", None)]),
    ],
)
def test_tags_of_the_task_win_over_those_of_the_manifest(
    asked: dict[str, str] | None,
    purged: bool,
    tags: dict[str, str],
    different: list[tuple[str, Any, Any]],
) -> None:
    result = compare(manifest(), restored(image_tags=tags, asked_tags=asked, purged=purged))
    assert list(result.differences) == [Difference(*each) for each in different]


def test_tags_of_aws_and_proofs_are_left_out() -> None:
    tags = {"aws:backup:source": "x", "amistore:etag": "older", "amistore:stored-image": "b/k"}
    image = {**IMAGE, "Tags": to_list(TAGS | tags)}
    assert compare(manifest(image), restored()).proven


def test_a_damaged_list_of_tags_breaks_nothing() -> None:
    damaged = [{"Key": "only"}, "x", {"Key": 3, "Value": "x"}, {"Key": ["x"], "Value": "x"}]
    image = {**IMAGE, "Tags": [*damaged, *to_list({"team": "web"})]}
    assert compare(manifest(image), restored()).equal
    assert compare(manifest({**IMAGE, "Tags": "x"}), restored()).equal


# uefi_data


def test_uefi_data_is_compared_where_both_tell() -> None:
    result = compare(manifest(), restored(uefi_digest="u2"))
    assert result.differences == (Difference("uefi_data", "u1", "u2"),)
    lost = compare(manifest(), restored(uefi_digest=""))
    assert lost.differences == (Difference("uefi_data", "u1", ""),)


def test_uefi_data_that_is_unknown_does_not_keep_it_from_being_proven() -> None:
    for result in (
        compare(manifest(uefi_data_sha256=None), restored()),
        compare(manifest(), restored(uefi_digest=None)),
    ):
        assert (result.equal, result.unknown, result.proven) == (True, ("uefi_data",), True)


def test_uefi_data_of_an_ami_that_does_not_boot_by_it_is_nothing_to_compare() -> None:
    image = {**IMAGE, "BootMode": "legacy-bios"}
    same = with_members(BootMode="legacy-bios")
    assert compare(manifest(image), restored(image=same, uefi_digest=None)).unknown == ()


# Encryption, and what is told


def test_encryption_is_told_and_no_difference() -> None:
    image = without(IMAGE)
    for device in ("/dev/xvda", "/dev/sdb"):
        image = disks(image, device, Encrypted=False)
    for stored, expected in ((IMAGE, True), (image, False)):
        result = compare(manifest(stored), restored())
        assert (result.equal, result.as_dict()["stored_encrypted"]) == (True, expected)


def test_everything_is_told() -> None:
    image = disks(with_members(BootMode="legacy-bios"), "/dev/sdb", VolumeSize=21)
    result = compare(manifest(etag=None), restored(image=image))
    assert result.as_dict() == {
        "equal": False,
        "differences": [
            {"field": "boot_mode", "expected": "uefi", "actual": "legacy-bios"},
            {"field": "disks./dev/sdb.volume_size", "expected": 20, "actual": 21},
        ],
        "unknown": ["etag"],
        "reason": None,
        "stored_encrypted": True,
    }
    assert result.problem == (
        "it differs from its manifest: boot_mode is 'legacy-bios', was 'uefi';"
        " disks./dev/sdb.volume_size is 21, was 20"
    )


@pytest.mark.parametrize(
    ("count", "ending"), [(10, "was 9"), (11, "; and 1 more, see verification")]
)
def test_a_message_names_ten_differences(count: int, ending: str) -> None:
    many = tuple(Difference(f"tags.{number}", number, None) for number in range(count))
    result = Verification(False, many)
    assert len(result.as_dict()["differences"]) == count
    assert result.problem.count("tags.") == 10
    assert result.problem.endswith(ending)


def test_what_was_not_compared_says_why() -> None:
    result = not_compared("it has no manifest")
    assert result.problem == "it was not compared with its manifest: it has no manifest"
    assert result.as_dict()["reason"] == "it has no manifest"
    assert not result.proven


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
MEMBERS = st.sampled_from([*IMAGE, "Ebs"])


@given(st.dictionaries(MEMBERS, JSON, max_size=6), JSON)
def test_whatever_a_manifest_holds_is_compared(members: dict[str, Any], disk: Any) -> None:
    mapping = {"DeviceName": "/dev/xvda", "Ebs": disk}
    for image in (members, {**IMAGE, **members, "BlockDeviceMappings": [mapping]}):
        result = compare(manifest(image), restored())
        assert result.as_dict()["equal"] in (True, False, None)
