# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bucket settings are shown as they were written."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Lab, Refusals

RULE = {
    "ID": "cold",
    "Status": "Enabled",
    "Filter": {"And": {"Prefix": "dr/", "ObjectSizeGreaterThan": 131072}},
    "Transitions": [{"Days": 30, "StorageClass": "GLACIER_IR"}],
}
OLD_RULE = {"ID": "old", "Status": "Enabled", "Prefix": "tmp/", "Expiration": {"Days": 1}}


def put_rules(lab: Lab, *rules: Any, **more: str) -> None:
    configuration = {"Rules": list(rules)}
    lab.s3.put_bucket_lifecycle_configuration(
        Bucket="vault", LifecycleConfiguration=configuration, **more
    )


def test_a_lifecycle_keeps_its_filters_and_its_smallest_size(lab: Lab) -> None:
    put_rules(lab, RULE)
    answer = lab.s3.get_bucket_lifecycle_configuration(Bucket="vault")
    assert answer["Rules"] == [RULE]
    assert answer["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    put_rules(lab, RULE, TransitionDefaultMinimumObjectSize="varies_by_storage_class")
    answer = lab.s3.get_bucket_lifecycle_configuration(Bucket="vault")
    assert answer["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"


def test_a_lifecycle_that_was_deleted_is_gone(lab: Lab, refusal: Refusals) -> None:
    put_rules(lab, RULE)
    lab.s3.delete_bucket_lifecycle(Bucket="vault")
    with refusal:
        lab.s3.get_bucket_lifecycle_configuration(Bucket="vault")
    assert refusal.code == "NoSuchLifecycleConfiguration"


def test_rules_of_the_old_and_the_new_form_do_not_mix(lab: Lab, refusal: Refusals) -> None:
    put_rules(lab, OLD_RULE)
    with refusal:
        put_rules(lab, OLD_RULE, RULE)
    assert refusal.code == "InvalidRequest"
    assert "Lifecycle V2" in refusal.message
    kept = lab.s3.get_bucket_lifecycle_configuration(Bucket="vault")["Rules"]
    assert [rule["ID"] for rule in kept] == ["old"]


def test_events_go_to_eventbridge(lab: Lab) -> None:
    read = lab.s3.get_bucket_notification_configuration
    assert "EventBridgeConfiguration" not in read(Bucket="vault")
    lab.s3.put_bucket_notification_configuration(
        Bucket="vault", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    assert read(Bucket="vault")["EventBridgeConfiguration"] == {}


def test_who_pays(lab: Lab) -> None:
    assert lab.s3.get_bucket_request_payment(Bucket="vault")["Payer"] == "BucketOwner"
    lab.s3.put_bucket_request_payment(
        Bucket="vault", RequestPaymentConfiguration={"Payer": "Requester"}
    )
    assert lab.s3.get_bucket_request_payment(Bucket="vault")["Payer"] == "Requester"


@pytest.mark.parametrize("ids", [[], ["one"], ["one", "two"]], ids=str)
def test_archive_tiers_are_listed(lab: Lab, ids: list[str]) -> None:
    for name in ids:
        tiering = {"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}
        lab.s3.put_bucket_intelligent_tiering_configuration(
            Bucket="vault",
            Id=name,
            IntelligentTieringConfiguration={
                "Id": name,
                "Status": "Enabled",
                "Tierings": [tiering],
            },
        )
    answer = lab.s3.list_bucket_intelligent_tiering_configurations(Bucket="vault")
    found = answer.get("IntelligentTieringConfigurationList", [])
    assert [item["Id"] for item in found] == ids
