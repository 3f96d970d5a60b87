# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AMIs, snapshots and tags where moto differs from AWS."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Lab, Refusals

UNKNOWN = "ami-0123456789abcdef0"


def names(lab: Lab, **values: Any) -> set[str]:
    return {image["Name"] for image in lab.ec2.describe_images(**values)["Images"]}


def by(name: str, *values: str) -> dict[str, Any]:
    return {"Filters": [{"Name": name, "Values": list(values)}]}


def test_one_unknown_id_refuses_the_whole_call_and_is_named(lab: Lab, refusal: Refusals) -> None:
    known = lab.image()
    with refusal:
        lab.ec2.describe_images(ImageIds=[known, UNKNOWN])
    assert refusal.code == "InvalidAMIID.NotFound"
    assert UNKNOWN in refusal.message
    assert known not in refusal.message


def test_filter_by_id_does_not_mind_an_unknown_one(lab: Lab) -> None:
    known = lab.image()
    assert names(lab, **by("image-id", known, UNKNOWN)) == {"web"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "we?"),
        ("state", "available"),
        ("owner-id", "123456789012"),
        ("tag:Team", "w*"),
        ("tag-key", "Team"),
        ("architecture", "arm64"),
        ("boot-mode", "uefi"),
        ("source-image-id", UNKNOWN),
        ("is-public", "false"),
        ("block-device-mapping.volume-size", "33"),
        ("root-device-type", "ebs"),
    ],
)
def test_filters(lab: Lab, name: str, value: str) -> None:
    lab.image(
        tags={"Team": "web"},
        architecture="arm64",
        boot_mode="uefi",
        source_image_id=UNKNOWN,
        volumes=[{"device": "/dev/xvda", "size": 33}],
    )
    lab.image(
        name="other",
        owner="222222222222",
        public=True,
        state="pending",
        root_device_type="instance-store",
        volumes=[{"device": "/dev/xvda"}],
    )
    assert names(lab) == {"web", "other"}
    assert names(lab, **by(name, value)) == {"web"}
    assert names(lab, **by(name, "nothing")) == set()


def test_owners_and_executable_users(lab: Lab) -> None:
    lab.image()
    lab.image(name="public", owner="222222222222", public=True)
    lab.image(name="shared", owner="222222222222", shared_with=["123456789012"])
    lab.image(name="private", owner="222222222222")
    assert names(lab) == {"web", "public", "shared"}
    assert names(lab, Owners=["self"]) == {"web"}
    assert names(lab, Owners=["222222222222"]) == {"public", "shared"}
    assert names(lab, ExecutableUsers=["self"]) == {"shared"}


def test_pages_of_images_and_snapshots(lab: Lab) -> None:
    for number in range(5):
        lab.image(name=f"web-{number}")
    lab.emulator.scenario(page_size=2)
    for operation, key in (("describe_images", "Images"), ("describe_snapshots", "Snapshots")):
        pages = list(lab.ec2.get_paginator(operation).paginate())
        assert [len(page[key]) for page in pages] == [2, 2, 1]


def test_deregistered_image_is_unavailable_and_unknown_to_filters(
    lab: Lab, refusal: Refusals
) -> None:
    image_id = lab.image()
    lab.ec2.deregister_image(ImageId=image_id)
    with refusal:
        lab.described(image_id)
    assert refusal.code == "InvalidAMIID.Unavailable"
    assert names(lab, **by("image-id", image_id)) == set()
    with refusal:
        lab.ec2.deregister_image(ImageId=image_id)
    assert refusal.code == "InvalidAMIID.Unavailable"


def test_deregistered_image_may_be_shown_for_a_while(lab: Lab, refusal: Refusals) -> None:
    lab.emulator.scenario(deregistered_visible=60)
    image_id = lab.image()
    lab.ec2.deregister_image(ImageId=image_id)
    assert lab.described(image_id)["State"] == "deregistered"
    lab.emulator.advance(60)
    with refusal:
        lab.described(image_id)
    assert refusal.code == "InvalidAMIID.Unavailable"


def test_snapshot_of_a_registered_image_cannot_be_deleted(lab: Lab, refusal: Refusals) -> None:
    image_id = lab.image()
    snapshot_id = lab.described(image_id)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    with refusal:
        lab.ec2.delete_snapshot(SnapshotId=snapshot_id)
    assert refusal.code == "InvalidSnapshot.InUse"
    assert image_id in refusal.message
    lab.ec2.deregister_image(ImageId=image_id)
    lab.ec2.delete_snapshot(SnapshotId=snapshot_id)
    with refusal:
        lab.ec2.describe_snapshots(SnapshotIds=[snapshot_id])
    assert refusal.code == "InvalidSnapshot.NotFound"


def test_snapshots_can_go_with_their_image(lab: Lab) -> None:
    image_id = lab.image()
    answer = lab.ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)
    assert [result["ReturnCode"] for result in answer["DeleteSnapshotResults"]] == ["success"]
    assert lab.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def test_registered_image_keeps_what_it_was_given(lab: Lab, refusal: Refusals) -> None:
    seeded = lab.image(volumes=[{"device": "/dev/xvda", "size": 21}])
    snapshot_id = lab.described(seeded)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    given = {
        "Name": "mine",
        "Description": "my own",
        "Architecture": "arm64",
        "BootMode": "uefi",
        "TpmSupport": "v2.0",
        "ImdsSupport": "v2.0",
        "EnaSupport": True,
        "RootDeviceName": "/dev/xvda",
        "VirtualizationType": "hvm",
    }
    disk = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot_id, "VolumeType": "gp3"}}
    tags = [{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}]
    answer = lab.ec2.register_image(**given, BlockDeviceMappings=[disk], TagSpecifications=tags)
    image = lab.described(answer["ImageId"])
    assert {name: image[name] for name in given} == given
    assert image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == snapshot_id
    assert image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 21
    assert image["Tags"] == [{"Key": "a", "Value": "b"}]
    with refusal:
        lab.ec2.register_image(**given, BlockDeviceMappings=[disk])
    assert refusal.code == "InvalidAMIName.Duplicate"


def test_copied_image_has_new_snapshots_and_names_its_source(lab: Lab) -> None:
    source = lab.image(tags={"a": "b"})
    answer = lab.client("ec2", region="eu-west-1").copy_image(
        SourceImageId=source,
        SourceRegion="us-east-1",
        Name="copy",
        Encrypted=True,
        CopyImageTags=True,
    )
    away = lab.client("ec2", region="eu-west-1")
    image = away.describe_images(ImageIds=[answer["ImageId"]])["Images"][0]
    assert (image["SourceImageId"], image["SourceImageRegion"]) == (source, "us-east-1")
    assert image["Tags"] == [{"Key": "a", "Value": "b"}]
    disk = image["BlockDeviceMappings"][0]["Ebs"]
    assert (disk["VolumeSize"], disk["Encrypted"]) == (8, True)


def test_image_of_an_instance_has_its_disks(lab: Lab) -> None:
    image_id = lab.image()
    run = lab.ec2.run_instances(ImageId=image_id, MinCount=1, MaxCount=1)
    instance_id = run["Instances"][0]["InstanceId"]
    answer = lab.ec2.create_image(InstanceId=instance_id, Name="taken of an instance")
    image = lab.described(answer["ImageId"])
    assert image["RootDeviceType"] == "ebs"
    assert image["SourceInstanceId"] == instance_id
    assert image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"].startswith("snap-")


def test_disabled_image_shows_only_when_asked_for(lab: Lab) -> None:
    image_id = lab.image()
    lab.ec2.disable_image(ImageId=image_id)
    assert names(lab, Owners=["self"]) == set()
    shown = lab.ec2.describe_images(Owners=["self"], IncludeDisabled=True)["Images"]
    assert [image["State"] for image in shown] == ["disabled"]
    lab.ec2.enable_image(ImageId=image_id)
    assert names(lab, Owners=["self"]) == {"web"}


@pytest.mark.parametrize("state", ["failed", "error", "invalid", "transient", "disabled"])
def test_state_can_be_forced(lab: Lab, state: str) -> None:
    image_id = lab.image()
    lab.emulator.set_image_state(image_id, state, "because")
    image = lab.ec2.describe_images(ImageIds=[image_id], IncludeDisabled=True)["Images"][0]
    assert (image["State"], image["StateReason"]["Message"]) == (state, "because")


def test_tags_come_and_go(lab: Lab, refusal: Refusals) -> None:
    image_id = lab.image(tags={"Old": "1"})
    disk = lab.described(image_id)["BlockDeviceMappings"][0]["Ebs"]
    both = [image_id, disk["SnapshotId"]]
    lab.ec2.create_tags(Resources=both, Tags=[{"Key": "New", "Value": "2"}])
    lab.ec2.delete_tags(Resources=[image_id], Tags=[{"Key": "Old"}])
    assert lab.described(image_id)["Tags"] == [{"Key": "New", "Value": "2"}]
    snapshot = lab.ec2.describe_snapshots(SnapshotIds=[disk["SnapshotId"]])["Snapshots"][0]
    assert snapshot["Tags"] == [{"Key": "New", "Value": "2"}]
    with refusal:
        lab.ec2.create_tags(Resources=both, Tags=[{"Key": "aws:x", "Value": ""}])
    assert refusal.code == "InvalidParameterValue"
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    with refusal:
        lab.ec2.create_tags(Resources=[image_id], Tags=many)
    assert refusal.code == "TagLimitExceeded"


def test_launch_permissions_and_other_attributes(lab: Lab, refusal: Refusals) -> None:
    image_id = lab.image(boot_mode="uefi")
    add = {"Add": [{"UserId": "222222222222"}]}
    lab.ec2.modify_image_attribute(ImageId=image_id, LaunchPermission=add)
    shared = lab.ec2.describe_image_attribute(ImageId=image_id, Attribute="launchPermission")
    assert shared["LaunchPermissions"] == [{"UserId": "222222222222"}]
    mode = lab.ec2.describe_image_attribute(ImageId=image_id, Attribute="bootMode")
    assert mode["BootMode"] == {"Value": "uefi"}
    lab.ec2.modify_image_attribute(ImageId=image_id, Description={"Value": "new words"})
    assert lab.described(image_id)["Description"] == "new words"
    with refusal:
        lab.ec2.describe_image_attribute(ImageId=image_id, Attribute="blockDeviceMapping")
    assert refusal.code == "AuthFailure"


def test_other_accounts_image_cannot_be_changed(lab: Lab, refusal: Refusals) -> None:
    image_id = lab.image(owner="222222222222", public=True)
    with refusal:
        lab.ec2.deregister_image(ImageId=image_id)
    assert refusal.code == "AuthFailure"


def test_too_many_filter_values_are_refused(lab: Lab, refusal: Refusals) -> None:
    with refusal:
        lab.ec2.describe_images(**by("image-id", *(f"ami-{n:08x}" for n in range(201))))
    assert refusal.code == "FilterLimitExceeded"
