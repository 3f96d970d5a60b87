# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The AMIs of EC2, checked against the service model of the installed botocore."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from botocore.exceptions import CredentialRetrievalError

from ansible_collections.amistore.aws.plugins.module_utils import _images
from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError, Answer
from ansible_collections.amistore.aws.plugins.module_utils._images import Disk, Image, Snapshot
from tests.unit.cloud import BUCKET, Cloud, Refusal, forbidden, to_dict

WEB, DB = "ami-0abcdef1", "ami-0abcdef2"


# Records


def test_an_image_is_read_whole(cloud: Cloud) -> None:
    reason = {"Code": "Client.Bad", "Message": "no good"}
    item = cloud.add_image(WEB, "web", state="failed", reason=reason, tags={"a": "b"})
    image = Image.from_aws(item)
    first, second = cloud.snapshots
    assert image == Image(
        image_id=WEB,
        name="web",
        owner_id="111122223333",
        state="failed",
        state_reason="Client.Bad: no good",
        root_device_type="ebs",
        virtualization_type="hvm",
        tags={"a": "b"},
        disks=(Disk("/dev/xvda", 8, first, False), Disk("/dev/xvdb", 20, second, False)),
        raw=item,
    )
    assert image.raw is item
    assert (image.size, image.snapshot_ids) == (28, [first, second])


def test_an_image_that_aws_hardly_describes_is_read_too() -> None:
    image = Image.from_aws({"ImageId": WEB, "BlockDeviceMappings": [{"Ebs": {}}]})
    assert (image.name, image.state, image.state_reason) == ("", "", "")
    assert (image.size, image.snapshot_ids, image.encrypted) == (0, [], None)
    assert image.disks == (Disk("", 0, None, None),)


@pytest.mark.parametrize(
    ("shown", "encrypted"),
    [
        ([], None),
        ([None], None),
        ([True, None], True),
        ([True, True], True),
        ([True, False], False),
        ([False], False),
    ],
)
def test_encrypted_means_every_disk(shown: list[bool | None], encrypted: bool | None) -> None:
    disks = [{"Ebs": {} if value is None else {"Encrypted": value}} for value in shown]
    image = Image.from_aws({"ImageId": WEB, "BlockDeviceMappings": disks})
    assert image.encrypted is encrypted


@pytest.mark.parametrize(
    ("shown", "progress"), [({"Progress": "42%"}, 42), ({}, 0), ({"Progress": "soon"}, 0)]
)
def test_a_snapshot_is_read_whole(shown: dict[str, str], progress: int) -> None:
    item = {"SnapshotId": "snap-1", "VolumeSize": 8, "Encrypted": True, **shown}
    assert Snapshot.from_aws(item) == Snapshot("snap-1", 8, progress, True, {}, item)


# Describe


def test_an_unknown_id_costs_the_others_nothing(ec2: Any, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    assert list(_images.images_by_id(ec2, [WEB, DB])) == [WEB]
    assert "ImageIds" not in cloud.calls[0].params


def test_a_disabled_ami_is_seen(ec2: Any, cloud: Cloud) -> None:
    cloud.add_image(WEB, state="disabled")
    assert _images.images_by_id(ec2, [WEB])[WEB].state == "disabled"
    assert cloud.calls[0].params["IncludeDisabled"] is True


def test_many_amis_are_asked_for_in_two_hundreds(ec2: Any, cloud: Cloud) -> None:
    ids = [f"ami-{number:08x}" for number in range(450)]
    for image_id in ids:
        cloud.add_image(image_id)
    assert list(_images.images_by_id(ec2, ids)) == ids
    sizes = [len(call["Filters"][0]["Values"]) for call in cloud.params("DescribeImages")]
    assert sizes == [200, 200, 50]


def test_no_ids_are_no_question(ec2: Any, cloud: Cloud) -> None:
    assert _images.images_by_id(ec2, []) == {}
    assert _images.snapshots_by_id(ec2, []) == {}
    assert cloud.calls == []


def test_own_images_are_found_by_their_exact_name(ec2: Any, cloud: Cloud) -> None:
    cloud.add_image("ami-00000001", "web*")
    cloud.add_image("ami-00000002", "web-other")
    cloud.add_image("ami-00000003", "db", owner="444455556666")
    cloud.add_image("ami-00000004", "old", state="deregistered")
    cloud.add_image("ami-00000005", "app", state="disabled")
    found = _images.own_images_by_name(ec2, ["web*", "db", "old", "app"])
    ids = {name: [image.image_id for image in images] for name, images in found.items()}
    assert ids == {"web*": ["ami-00000001"], "db": [], "old": [], "app": ["ami-00000005"]}
    assert cloud.calls[0].params["Owners"] == ["self"]


def test_pending_images_are_this_accounts(ec2: Any, cloud: Cloud) -> None:
    cloud.add_image(WEB, state="pending")
    cloud.add_image(DB)
    cloud.add_image("ami-00000003", state="pending", owner="444455556666")
    assert [image.image_id for image in _images.own_pending_images(ec2)] == [WEB]


def test_snapshots_are_asked_for_in_two_hundreds(ec2: Any, cloud: Cloud) -> None:
    ids = [cloud.add_snapshot(8) for _number in range(201)]
    assert list(_images.snapshots_by_id(ec2, [*ids, "snap-gone"])) == ids
    assert len(cloud.params("DescribeSnapshots")) == 2


def test_what_cannot_be_described_is_an_error(ec2: Any, cloud: Cloud) -> None:
    cloud.denials["DescribeImages"] = cloud.denials["DescribeSnapshots"] = forbidden()
    with pytest.raises(AnsibleAWSError, match="describe images"):
        _images.images_by_id(ec2, [WEB])
    with pytest.raises(AmiStoreError, match="Failed to describe the snapshots"):
        _images.snapshots_by_id(ec2, ["snap-1"])


# Launch permissions


def test_launch_permissions_are_read(ec2: Any, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    assert _images.launch_permissions(ec2, WEB) == []
    cloud.permissions[WEB] = [{"UserId": "444455556666"}]
    assert _images.launch_permissions(ec2, WEB) == [{"UserId": "444455556666"}]


def test_launch_permissions_of_a_shared_ami_are_unknown(ec2: Any, cloud: Cloud) -> None:
    cloud.add_image(WEB, owner="444455556666")
    assert _images.launch_permissions(ec2, WEB) is None


def test_launch_permissions_without_the_right_to_ask_are_an_error(ec2: Any, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.denials["DescribeImageAttribute"] = Refusal("UnauthorizedOperation", status=403)
    with pytest.raises(AnsibleAWSError):
        _images.launch_permissions(ec2, WEB)


@pytest.mark.parametrize("code", ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"])
def test_launch_permissions_of_an_ami_that_has_gone_are_unknown(
    ec2: Any, cloud: Cloud, code: str
) -> None:
    cloud.denials["DescribeImageAttribute"] = Refusal(code)
    assert _images.launch_permissions(ec2, WEB) is None


@pytest.mark.parametrize(
    "fault",
    [
        Refusal("InternalError", status=500),
        Refusal("RequestExpired", "Request has expired."),
        Refusal("ExpiredToken", "The provided token has expired."),
        CredentialRetrievalError(provider="sso", error_msg="the session has expired"),
    ],
    ids=lambda fault: getattr(fault, "code", type(fault).__name__),
)
def test_faults_of_other_causes_do_not_make_launch_permissions_unknown(
    ec2: Any, cloud: Cloud, fault: Exception
) -> None:
    """They would be missing in the manifest for ever."""
    cloud.add_image(WEB)
    cloud.denials["DescribeImageAttribute"] = fault
    with pytest.raises(AnsibleAWSError):
        _images.launch_permissions(ec2, WEB)


def test_sharing_adds_to_whom_it_is_shared_with(ec2: Any, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.permissions[WEB] = [{"UserId": "444455556666"}]
    _images.share(ec2, WEB, [{"UserId": "777788889999"}])
    assert cloud.params("ModifyImageAttribute") == [
        {"ImageId": WEB, "LaunchPermission": {"Add": [{"UserId": "777788889999"}]}}
    ]
    assert len(cloud.permissions[WEB]) == 2


# UEFI data


def test_uefi_data_is_told_by_its_digest(ec2: Any, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.uefi_data[WEB] = "Hello World!"
    assert _images.uefi_digest(ec2, WEB) == (
        "7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069"
    )


def test_an_ami_without_uefi_data_is_told_from_one_that_is_not_known(
    ec2: Any, cloud: Cloud
) -> None:
    cloud.add_image(WEB)
    cloud.add_image(DB, owner="444455556666")
    assert _images.uefi_digest(ec2, WEB) == ""
    assert _images.uefi_digest(ec2, DB) is None
    cloud.denials["DescribeImageAttribute"] = Refusal("InvalidAMIID.NotFound")
    assert _images.uefi_digest(ec2, WEB) is None


def test_uefi_data_without_the_right_to_ask_is_an_error(ec2: Any, cloud: Cloud) -> None:
    cloud.add_image(WEB)
    cloud.denials["DescribeImageAttribute"] = Refusal("UnauthorizedOperation", status=403)
    with pytest.raises(AnsibleAWSError):
        _images.uefi_digest(ec2, WEB)


# Restore, encryption and tags


def test_a_restore_names_and_tags_what_it_makes(ec2: Any, cloud: Cloud) -> None:
    reply = _images.start_restore(ec2, BUCKET, "dr/x.bin", "web", {"a": "1"}, {"b": "2"})
    assert reply.answer is Answer.ACCEPTED
    image = cloud.images[reply.text]
    assert (image["Name"], to_dict(image["Tags"])) == ("web", {"a": "1"})
    assert {tag["Key"] for item in cloud.snapshots.values() for tag in item["Tags"]} == {"b"}
    (params,) = cloud.params("CreateRestoreImageTask")
    assert (params["Bucket"], params["ObjectKey"]) == (BUCKET, "dr/x.bin")
    assert "DryRun" not in params


def test_a_dry_run_restores_nothing(ec2: Any, cloud: Cloud) -> None:
    reply = _images.start_restore(ec2, BUCKET, "x.bin", "web", {}, {}, dry_run=True)
    assert reply.answer is Answer.WOULD_SUCCEED
    assert cloud.images == {}


@pytest.mark.parametrize("on", [True, False])
def test_encryption_by_default(on: bool, ec2: Any, cloud: Cloud) -> None:
    cloud.encrypts_by_default = on
    assert _images.encrypts_by_default(ec2) is on


def test_tags_are_set_and_unset(ec2: Any, cloud: Cloud) -> None:
    cloud.add_image(WEB, tags={"old": "1", "kept": "2"})
    _images.set_tags(ec2, WEB, {"new": "3"})
    _images.unset_tags(ec2, WEB, ["old"])
    assert to_dict(cloud.images[WEB]["Tags"]) == {"kept": "2", "new": "3"}
    assert cloud.params("DeleteTags") == [{"Resources": [WEB], "Tags": [{"Key": "old"}]}]


def test_refused_tags_are_an_error(ec2: Any, cloud: Cloud) -> None:
    cloud.denials["CreateTags"] = cloud.denials["DeleteTags"] = forbidden()
    with pytest.raises(AmiStoreError, match=f"Failed to tag {WEB}"):
        _images.set_tags(ec2, WEB, {"new": "3"})
    with pytest.raises(AmiStoreError, match=f"Failed to untag {WEB}"):
        _images.unset_tags(ec2, WEB, ["old"])
