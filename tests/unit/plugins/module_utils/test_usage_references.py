# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which resources refer to AMIs, and what stays unknown when AWS refuses to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._aws import AmiStoreError
from ansible_collections.amistore.aws.plugins.module_utils._usage_references import (
    ACTIONS_BEHIND,
    RESOURCE_TYPES,
    Reference,
    References,
    ReferenceSearch,
)
from tests.unit.usage_ec2 import Ec2, image_number, refusal

CALL = "DescribeImageReferences"


class Search:
    """A search with the warnings that it gave."""

    def __init__(self, ec2: Ec2, types: Sequence[str] = RESOURCE_TYPES) -> None:
        self.warnings: list[str] = []
        self.search = ReferenceSearch(ec2, tuple(types), 10000, self.warnings.append)

    def of(self, *image_ids: str) -> dict[str, References]:
        return self.search.of(image_ids)


@pytest.fixture
def ec2(slept: list[float]) -> Ec2:
    return Ec2()


def asked_types(params: dict[str, Any]) -> list[str]:
    return [kind["ResourceType"] for kind in params["ResourceTypes"]]


def test_what_refers_is_told_of_each_image(ec2: Ec2) -> None:
    first, second, third = (image_number(number) for number in range(3))
    ec2.refer(first)
    ec2.refer(first, "ec2:LaunchTemplate", "lt-1")
    ec2.refer(third, "ssm:Parameter", "golden")
    search = Search(ec2)
    found = search.of(first, second, third)
    assert found[first].found == (
        Reference("ec2:Instance", "arn:aws:ec2:Instance/i-1"),
        Reference("ec2:LaunchTemplate", "arn:aws:ec2:LaunchTemplate/lt-1"),
    )
    assert found[second] == References()
    assert [found[image_id].found_any for image_id in found] == [True, False, True]
    assert search.warnings == []


def test_ten_images_are_asked_for_at_once_through_all_pages(ec2: Ec2) -> None:
    ids = [image_number(number) for number in range(25)]
    for image_id in ids:
        ec2.refer(image_id)
    ec2.page_size = 4
    found = Search(ec2).of(*ids)
    assert all(found[image_id].found_any for image_id in ids)
    sizes = [len(params["ImageIds"]) for params in ec2.params(CALL)]
    assert sizes == [10, 10, 10, 10, 10, 10, 5, 5]


def test_terminated_instances_do_not_count_and_all_versions_do(ec2: Ec2) -> None:
    Search(ec2).of(image_number(1))
    (params,) = ec2.params(CALL)
    options = {
        kind["ResourceType"]: kind.get("ResourceTypeOptions") for kind in params["ResourceTypes"]
    }
    (states,) = options["ec2:Instance"]
    assert states["OptionName"] == "state-name"
    assert "stopped" in states["OptionValues"]
    assert "terminated" not in states["OptionValues"]
    assert options["ec2:LaunchTemplate"] == [
        {"OptionName": "version-depth", "OptionValues": ["10000"]}
    ]
    assert options["ssm:Parameter"] is None


def test_only_the_types_asked_for_are_looked_at(ec2: Ec2) -> None:
    Search(ec2, ["ssm:Parameter"]).of(image_number(1))
    assert asked_types(ec2.params(CALL)[0]) == ["ssm:Parameter"]


@pytest.mark.parametrize("kind", RESOURCE_TYPES)
def test_a_type_that_is_refused_is_unknown_and_the_others_are_told(kind: str, ec2: Ec2) -> None:
    ids = [image_number(number) for number in range(20)]
    other = next(name for name in RESOURCE_TYPES if name != kind)
    ec2.refer(ids[0], other)
    ec2.denials[f"{CALL} {kind}"] = refusal()
    search = Search(ec2)
    found = search.of(*ids)
    assert found[ids[0]].found_any is True
    assert [found[image_id].found_any for image_id in ids[1:]] == [None] * 19
    assert {found[image_id].unchecked for image_id in ids} == {(kind,)}
    (warning,) = search.warnings
    assert f"References from {kind} are unknown" in warning
    assert "UnauthorizedOperation" in warning
    assert "ec2:DescribeImageReferences" in warning
    assert [action for action in ACTIONS_BEHIND[kind] if action not in warning] == []


def test_a_refused_type_is_not_asked_for_again(ec2: Ec2) -> None:
    ec2.denials[f"{CALL} ssm:Parameter"] = refusal()
    Search(ec2).of(*(image_number(number) for number in range(30)))
    types = [asked_types(params) for params in ec2.params(CALL)]
    assert [len(some) for some in types] == [5, 1, 1, 1, 1, 1, 4, 4]
    assert "ssm:Parameter" not in types[-1]


def test_when_all_is_refused_nothing_is_asked_any_more(ec2: Ec2) -> None:
    ec2.denials[CALL] = refusal()
    ids = [image_number(number) for number in range(30)]
    search = Search(ec2)
    found = search.of(*ids)
    assert {found[image_id].unchecked for image_id in ids} == {RESOURCE_TYPES}
    assert len(search.warnings) == 5
    assert len(ec2.params(CALL)) == 6


def test_the_only_type_is_not_asked_for_twice(ec2: Ec2) -> None:
    ec2.denials[CALL] = refusal("InvalidAction")
    found = Search(ec2, ["ec2:Instance"]).of(image_number(1))
    assert found[image_number(1)].found_any is None
    assert len(ec2.params(CALL)) == 1


def test_an_image_that_has_gone_does_not_cost_the_others_their_answer(ec2: Ec2) -> None:
    ids = [image_number(number) for number in range(10)]
    ec2.denials[f"{CALL} {ids[3]}"] = refusal("InvalidAMIID.NotFound")
    ec2.refer(ids[4])
    search = Search(ec2)
    found = search.of(*ids)
    assert [found[image_id].found_any for image_id in ids[3:6]] == [None, True, False]
    assert [i for i in ids if found[i].unchecked] == [ids[3]]
    assert search.warnings == []


def test_throttling_that_lasts_leaves_it_unknown(ec2: Ec2, slept: list[float]) -> None:
    ec2.denials[CALL] = refusal("RequestLimitExceeded")
    assert Search(ec2, ["ec2:Instance"]).of(image_number(1))[image_number(1)].found_any is None
    assert len(slept) > 1


@pytest.mark.parametrize("denied", [CALL, f"{CALL} ec2:Instance"])
def test_refused_credentials_end_the_run(denied: str, ec2: Ec2) -> None:
    ec2.denials[denied] = refusal("ExpiredToken")
    with pytest.raises(AmiStoreError, match="ExpiredToken"):
        Search(ec2).of(image_number(1))


def test_credentials_that_expire_between_two_calls_end_the_run(ec2: Ec2) -> None:
    ec2.denials[f"{CALL} ec2:Instance"] = refusal()
    ec2.denials[f"{CALL} ssm:Parameter"] = refusal("ExpiredToken")
    with pytest.raises(AmiStoreError, match="ExpiredToken"):
        Search(ec2, ["ec2:Instance", "ssm:Parameter"]).of(image_number(1))
