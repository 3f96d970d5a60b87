# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How AMIs are used and kept: launches, references, ancestry, deprecation, protection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from .conftest import Lab, Refusals

DAY = 24 * 3600
UNKNOWN = "ami-0123456789abcdef0"
OTHER = "EMULATEDACCESSKEY002"
OTHER_ACCOUNT = "222222222222"
TYPES = (
    "ec2:Instance",
    "ec2:LaunchTemplate",
    "ssm:Parameter",
    "imagebuilder:ImageRecipe",
    "imagebuilder:ContainerRecipe",
)


@pytest.fixture
def other(lab: Lab) -> Any:
    """The client of another account."""
    lab.emulator.scenario(accounts={OTHER: OTHER_ACCOUNT})
    return lab.client("ec2", key=OTHER)


def launch(lab: Lab, image_id: str) -> str:
    answer = lab.ec2.run_instances(ImageId=image_id, MinCount=1, MaxCount=1)
    return str(answer["Instances"][0]["InstanceId"])


def age_of(lab: Lab, text: str) -> float:
    """How many days ago this was, in emulated time."""
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return (lab.emulator.now() - moment.timestamp()) / DAY


def references(lab: Lab, *image_ids: str, **values: Any) -> list[tuple[str, str]]:
    given = values or {"IncludeAllResourceTypes": True}
    answer = lab.ec2.describe_image_references(ImageIds=list(image_ids), **given)
    return [(r["ImageId"], r["ResourceType"]) for r in answer["ImageReferences"]]


# The last launch


def test_a_launch_is_told_after_a_day(lab: Lab) -> None:
    image_id = lab.image()
    launch(lab, image_id)
    lab.emulator.advance(DAY - 60)
    assert "LastLaunchedTime" not in lab.described(image_id)
    lab.emulator.advance(120)
    assert age_of(lab, lab.described(image_id)["LastLaunchedTime"]) == pytest.approx(1, abs=0.01)


def test_an_earlier_launch_is_told_until_the_later_one_is(lab: Lab) -> None:
    image_id = lab.image(age=20 * DAY, launched=[10 * DAY, 5 * DAY])
    launch(lab, image_id)
    assert age_of(lab, lab.described(image_id)["LastLaunchedTime"]) == pytest.approx(5, abs=0.01)
    lab.emulator.advance(2 * DAY)
    assert age_of(lab, lab.described(image_id)["LastLaunchedTime"]) == pytest.approx(2, abs=0.01)


def test_launches_before_april_2017_are_not_told(lab: Lab) -> None:
    before = lab.emulator.now() - datetime(2017, 3, 31, tzinfo=UTC).timestamp()
    image_id = lab.image(age=before + DAY, launched=[before])
    assert "LastLaunchedTime" not in lab.described(image_id)


def test_launches_are_told_to_the_owner_only(lab: Lab, other: Any) -> None:
    image_id = lab.image(age=9 * DAY, shared_with=[OTHER_ACCOUNT])
    other.run_instances(ImageId=image_id, MinCount=1, MaxCount=1)
    lab.emulator.advance(2 * DAY)
    assert "LastLaunchedTime" in lab.described(image_id)
    (seen,) = other.describe_images(ImageIds=[image_id])["Images"]
    assert "LastLaunchedTime" not in seen


def test_the_attribute_tells_the_last_launch_too(lab: Lab) -> None:
    image_id = lab.image(launched=[5 * DAY])
    answer = lab.ec2.describe_image_attribute(ImageId=image_id, Attribute="lastLaunchedTime")
    told = answer["LastLaunchedTime"]["Value"]
    assert told == lab.described(image_id)["LastLaunchedTime"]


def test_the_date_of_an_answer_is_emulated_time(lab: Lab) -> None:
    lab.emulator.advance(400 * DAY)
    headers = lab.ec2.describe_images()["ResponseMetadata"]["HTTPHeaders"]
    told = parsedate_to_datetime(headers["date"]).timestamp()
    assert told == pytest.approx(lab.emulator.now(), abs=5)


# References


def test_instances_and_launch_templates_refer(lab: Lab) -> None:
    image_id, unused = lab.image(), lab.image(name="unused")
    launch(lab, image_id)
    lab.ec2.create_launch_template(
        LaunchTemplateName="web", LaunchTemplateData={"ImageId": image_id}
    )
    found = references(lab, image_id, unused)
    assert found == [(image_id, "ec2:Instance"), (image_id, "ec2:LaunchTemplate")]
    assert references(lab, unused) == []


def test_the_arn_names_the_resource(lab: Lab) -> None:
    image_id = lab.image()
    instance_id = launch(lab, image_id)
    answer = lab.ec2.describe_image_references(ImageIds=[image_id], IncludeAllResourceTypes=True)
    (reference,) = answer["ImageReferences"]
    assert reference["Arn"] == f"arn:aws:ec2:us-east-1:123456789012:instance/{instance_id}"


def test_instances_are_chosen_by_state(lab: Lab) -> None:
    image_id = lab.image()
    lab.ec2.terminate_instances(InstanceIds=[launch(lab, image_id)])

    def in_states(*states: str) -> list[tuple[str, str]]:
        option = {"OptionName": "state-name", "OptionValues": list(states)}
        kind = {"ResourceType": "ec2:Instance", "ResourceTypeOptions": [option]}
        return references(lab, image_id, ResourceTypes=[kind])

    assert in_states("running", "stopped") == []
    assert len(in_states("terminated")) == 1
    assert len(references(lab, image_id)) == 1


def test_ten_versions_of_a_launch_template_are_looked_at_unless_told(
    lab: Lab, refusal: Refusals
) -> None:
    old, new = lab.image(), lab.image(name="new")
    made = lab.ec2.create_launch_template(
        LaunchTemplateName="web", LaunchTemplateData={"ImageId": old}
    )
    template_id = made["LaunchTemplate"]["LaunchTemplateId"]
    for _version in range(10):
        lab.ec2.create_launch_template_version(
            LaunchTemplateId=template_id, LaunchTemplateData={"ImageId": new}
        )

    def at_depth(depth: str) -> list[tuple[str, str]]:
        option = {"OptionName": "version-depth", "OptionValues": [depth]}
        kind = {"ResourceType": "ec2:LaunchTemplate", "ResourceTypeOptions": [option]}
        return references(lab, old, ResourceTypes=[kind])

    assert references(lab, old) == []
    assert references(lab, new) == [(new, "ec2:LaunchTemplate")]
    assert at_depth("11") == [(old, "ec2:LaunchTemplate")]
    with refusal:
        at_depth("10001")
    assert refusal.code == "InvalidParameterValue"


def test_other_resources_are_planted(lab: Lab) -> None:
    image_id = lab.image()
    for kind in TYPES[2:]:
        lab.emulator.plant_references(
            {"image_id": image_id, "resource_type": kind, "arn": f"arn:aws:{kind}/one"}
        )
    assert references(lab, image_id) == [(image_id, kind) for kind in TYPES[2:]]
    only = references(lab, image_id, ResourceTypes=[{"ResourceType": "ssm:Parameter"}])
    assert only == [(image_id, "ssm:Parameter")]


def test_references_of_another_account_are_not_shown(lab: Lab, other: Any) -> None:
    image_id = lab.image(shared_with=[OTHER_ACCOUNT])
    other.run_instances(ImageId=image_id, MinCount=1, MaxCount=1)
    assert references(lab, image_id) == []


def test_pages_of_references(lab: Lab) -> None:
    image_id = lab.image()
    for _instance in range(5):
        launch(lab, image_id)
    lab.emulator.scenario(page_size=2)
    pages = lab.ec2.get_paginator("describe_image_references").paginate(
        ImageIds=[image_id], IncludeAllResourceTypes=True
    )
    assert [len(page["ImageReferences"]) for page in pages] == [2, 2, 1]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"ImageIds": [UNKNOWN]}, "MissingParameter"),
        ({"ImageIds": [], "IncludeAllResourceTypes": True}, "InvalidParameterValue"),
        ({"ImageIds": [UNKNOWN] * 11, "IncludeAllResourceTypes": True}, "InvalidParameterValue"),
        ({"ImageIds": ["web"], "IncludeAllResourceTypes": True}, "InvalidAMIID.Malformed"),
        (
            {"ImageIds": [UNKNOWN], "ResourceTypes": [{"ResourceType": "ec2:Volume"}]},
            "InvalidParameterValue",
        ),
    ],
)
def test_malformed_questions_about_references_are_refused(
    values: dict[str, Any], code: str, lab: Lab, refusal: Refusals
) -> None:
    with refusal:
        lab.ec2.describe_image_references(**values)
    assert refusal.code == code


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("ec2:Instance", "ec2:DescribeInstances"),
        ("ec2:LaunchTemplate", "ec2:DescribeLaunchTemplates"),
        ("ec2:LaunchTemplate", "ec2:DescribeLaunchTemplateVersions"),
        ("ssm:Parameter", "ssm:DescribeParameters"),
        ("ssm:Parameter", "ssm:GetParameters"),
        ("imagebuilder:ImageRecipe", "imagebuilder:ListImageRecipes"),
        ("imagebuilder:ContainerRecipe", "imagebuilder:ListContainerRecipes"),
        ("imagebuilder:ContainerRecipe", "imagebuilder:GetContainerRecipe"),
    ],
)
def test_references_need_the_rights_of_those_who_look(
    kind: str, action: str, lab: Lab, refusal: Refusals
) -> None:
    image_id = lab.image()
    lab.emulator.scenario(deny=[action])
    with refusal:
        references(lab, image_id)
    assert refusal.code == "UnauthorizedOperation"
    assert action in refusal.message
    others = [{"ResourceType": name} for name in TYPES if name != kind]
    assert references(lab, image_id, ResourceTypes=others) == []


def test_rights_that_hold_for_calls_through_ec2_only_are_enough(
    lab: Lab, refusal: Refusals
) -> None:
    image_id = lab.image()
    through = {"ForAnyValue:StringEquals": {"aws:CalledVia": ["ec2-images.amazonaws.com"]}}
    statements = [
        {"Effect": "Allow", "Action": "ec2:DescribeImageReferences", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["ec2:DescribeInstances"],
            "Resource": "*",
            "Condition": through,
        },
    ]
    key = "EMULATEDACCESSKEY009"
    lab.emulator.scenario(policies={key: [{"Version": "2012-10-17", "Statement": statements}]})
    client = lab.client("ec2", key=key)
    asked = [{"ResourceType": "ec2:Instance"}]
    answer = client.describe_image_references(ImageIds=[image_id], ResourceTypes=asked)
    assert answer["ImageReferences"] == []
    with refusal:
        client.describe_instances()
    assert refusal.code == "UnauthorizedOperation"


# Ancestry


def chain(lab: Lab, image_id: str) -> list[tuple[str, str | None]]:
    entries = lab.ec2.get_image_ancestry(ImageId=image_id)["ImageAncestryEntries"]
    return [(entry["ImageId"], entry.get("SourceImageId")) for entry in entries]


def test_the_ancestry_goes_back_to_the_root_across_regions(lab: Lab) -> None:
    root = lab.image(region="eu-west-1", age=9 * DAY, owner_alias="amazon")
    copy = lab.ec2.copy_image(Name="copy", SourceImageId=root, SourceRegion="eu-west-1")["ImageId"]
    instance_id = launch(lab, copy)
    young = lab.ec2.create_image(InstanceId=instance_id, Name="young")["ImageId"]
    assert chain(lab, young) == [(young, copy), (copy, root), (root, None)]
    entries = lab.ec2.get_image_ancestry(ImageId=young)["ImageAncestryEntries"]
    assert entries[1]["SourceImageRegion"] == "eu-west-1"
    assert [entry.get("ImageOwnerAlias") for entry in entries] == [None, None, "amazon"]
    age = lab.emulator.now() - entries[2]["CreationDate"].timestamp()
    assert age == pytest.approx(9 * DAY, abs=5)


def test_the_ancestry_ends_where_the_account_sees_no_more(lab: Lab) -> None:
    hidden = lab.image(owner=OTHER_ACCOUNT)
    image_id = lab.image(name="copy", source_image_id=hidden, source_image_region="us-east-1")
    assert chain(lab, image_id) == [(image_id, hidden)]


def test_the_ancestry_of_an_unknown_image_is_refused(lab: Lab, refusal: Refusals) -> None:
    with refusal:
        chain(lab, UNKNOWN)
    assert refusal.code == "InvalidAMIID.NotFound"


# Deprecation


def in_days(lab: Lab, days: float) -> datetime:
    return datetime.fromtimestamp(lab.emulator.now(), UTC) + timedelta(days=days)


def test_an_image_is_deprecated_to_the_minute_and_no_more(lab: Lab) -> None:
    image_id = lab.image()
    moment = in_days(lab, 3).replace(second=40)
    lab.ec2.enable_image_deprecation(ImageId=image_id, DeprecateAt=moment)
    minute = (moment + timedelta(seconds=20)).strftime("%Y-%m-%dT%H:%M:00Z")
    assert lab.described(image_id)["DeprecationTime"] == minute
    lab.ec2.disable_image_deprecation(ImageId=image_id)
    assert "DeprecationTime" not in lab.described(image_id)


@pytest.mark.parametrize(
    ("values", "days"), [({}, -1), ({}, 3660), ({"public": True, "age": 700 * DAY}, 40)]
)
def test_deprecation_has_bounds(
    values: dict[str, Any], days: float, lab: Lab, refusal: Refusals
) -> None:
    image_id = lab.image(**values)
    with refusal:
        lab.ec2.enable_image_deprecation(ImageId=image_id, DeprecateAt=in_days(lab, days))
    assert refusal.code == "InvalidParameterValue"


def test_deprecated_images_are_listed_to_their_owner_only(lab: Lab, other: Any) -> None:
    image_id = lab.image(shared_with=[OTHER_ACCOUNT], deprecated_in=-60)
    assert len(lab.ec2.describe_images(Owners=["self"])["Images"]) == 1
    assert other.describe_images()["Images"] == []
    assert len(other.describe_images(IncludeDeprecated=True)["Images"]) == 1
    assert len(other.describe_images(ImageIds=[image_id])["Images"]) == 1


# Protection


@pytest.mark.parametrize(
    ("cooldown", "value"), [(False, "enabled-without-cooldown"), (True, "enabled-with-cooldown")]
)
def test_a_protected_image_is_not_deregistered(
    cooldown: bool, value: str, lab: Lab, refusal: Refusals
) -> None:
    image_id = lab.image()
    answer = lab.ec2.enable_image_deregistration_protection(ImageId=image_id, WithCooldown=cooldown)
    assert answer["Return"] == value
    assert lab.described(image_id)["DeregistrationProtection"] == value
    with refusal:
        lab.ec2.deregister_image(ImageId=image_id)
    assert refusal.code == "OperationNotPermitted"
    lab.ec2.disable_image_deregistration_protection(ImageId=image_id)
    assert lab.described(image_id)["DeregistrationProtection"] == "disabled"


def test_without_a_cooldown_it_can_be_deregistered_at_once(lab: Lab) -> None:
    image_id = lab.image(deregistration_protection="enabled-without-cooldown")
    lab.ec2.disable_image_deregistration_protection(ImageId=image_id)
    assert lab.ec2.deregister_image(ImageId=image_id)["Return"] is True


def test_with_a_cooldown_it_can_be_deregistered_a_day_later(lab: Lab, refusal: Refusals) -> None:
    image_id = lab.image(deregistration_protection="enabled-with-cooldown")
    lab.ec2.disable_image_deregistration_protection(ImageId=image_id)
    lab.emulator.advance(DAY - 60)
    with refusal:
        lab.ec2.deregister_image(ImageId=image_id)
    lab.emulator.advance(120)
    assert lab.ec2.deregister_image(ImageId=image_id)["Return"] is True


# Snapshots of an AMI that is deregistered


def test_snapshots_go_with_the_image_as_far_as_the_caller_may(lab: Lab) -> None:
    volumes = [{"device": "/dev/xvda", "size": 8}, {"device": "/dev/sdb", "size": 1}]
    image_id = lab.image(volumes=volumes)
    root, data = (
        disk["Ebs"]["SnapshotId"] for disk in lab.described(image_id)["BlockDeviceMappings"]
    )
    denied = {"action": "ec2:DeleteSnapshot", "resource": f"*/{data}"}
    lab.emulator.scenario(deny=[denied])
    answer = lab.ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)
    codes = {r["SnapshotId"]: r["ReturnCode"] for r in answer["DeleteSnapshotResults"]}
    assert codes == {root: "success", data: "missing-permissions"}
    left = [s["SnapshotId"] for s in lab.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]]
    assert left == [data]
