# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control endpoint and the client around it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from .client import EmulatorError
from .conftest import Lab


def test_demo_has_three_amis_of_several_disks(lab: Lab) -> None:
    ids = lab.emulator.seed("demo")
    images = lab.ec2.describe_images(ImageIds=ids)["Images"]
    assert [image["Name"].partition("-")[0] for image in images] == ["web", "db", "bastion"]
    assert all(len(image["BlockDeviceMappings"]) > 1 and image["Tags"] for image in images)
    assert [image.get("TpmSupport") for image in images] == [None, None, "v2.0"]
    disks = [m["Ebs"]["Encrypted"] for image in images for m in image["BlockDeviceMappings"]]
    assert not any(disks)


def test_demo_has_an_encrypted_disk_where_it_comes_back_encrypted(lab: Lab) -> None:
    lab.emulator.scenario(encryption_by_default=True)
    lab.emulator.seed("demo")
    snapshots = lab.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert sum(snapshot["Encrypted"] for snapshot in snapshots) == 1


def test_unencrypted_settings_survive_and_reset_brings_back_the_first(lab: Lab) -> None:
    assert lab.emulator.scenario(store_seconds=5)["store_seconds"] == 5
    assert lab.emulator.scenario(speed=2)["store_seconds"] == 5
    assert lab.emulator.reset_scenario()["store_seconds"] == 30


@pytest.mark.parametrize(
    ("method", "path", "content", "word"),
    [
        ("POST", "/scenario", {"no_such_key": 1}, "no_such_key"),
        ("POST", "/images", [{"name": "web", "colour": "red"}], "colour"),
        ("POST", "/images", [{"description": "nameless"}], "name"),
        ("POST", "/images", [{"name": "web", "image_id": "web"}], "InvalidAMIID.Malformed"),
        ("POST", "/tasks", [{"image_id": "ami-1", "bucket": "b", "state": "Lost"}], "InProgress"),
        ("POST", "/image-state", {"image_id": "ami-1", "state": "failed"}, "ami-1"),
        ("POST", "/image-state", {"state": "failed"}, "image_id"),
        ("POST", "/storage-class", {"bucket": "vault", "key": "a", "class": "GLACIER"}, "vault/a"),
        ("POST", "/nothing", {}, "no such control call"),
    ],
)
def test_mistakes_are_explained(lab: Lab, method: str, path: str, content: Any, word: str) -> None:
    with pytest.raises(EmulatorError, match=word):
        lab.emulator.call(method, path, content)


def test_control_calls_are_not_counted(lab: Lab) -> None:
    lab.emulator.now()
    lab.emulator.images()
    lab.emulator.tasks()
    assert lab.emulator.requests() == {}


def test_views_show_what_accounts_cannot_see(lab: Lab) -> None:
    image_id = lab.image(tags={"a": "b"})
    lab.emulator.scenario(hidden_tasks=[image_id])
    lab.store(image_id)
    assert lab.tasks() == []
    task = lab.emulator.tasks()[0]
    assert (task["image_id"], task["state"], task["account"]) == (
        image_id,
        "InProgress",
        "123456789012",
    )
    view = lab.emulator.images()[0]
    assert (view["image_id"], view["tags"], view["region"]) == (image_id, {"a": "b"}, "us-east-1")


def test_time_jumps_ahead(lab: Lab) -> None:
    before = lab.emulator.now()
    assert lab.emulator.advance(5000) - before >= 5000
    assert lab.emulator.now() - before < 5100


def test_reset_forgets_all_and_comes_back_to_the_present(lab: Lab) -> None:
    lab.image()
    lab.emulator.plant_buckets({"name": "forgotten"})
    lab.emulator.scenario(store_seconds=5)
    lab.emulator.advance(5000)
    lab.emulator.reset()
    assert lab.emulator.images() == []
    assert lab.emulator.scenario()["store_seconds"] == 30
    assert lab.s3.list_buckets()["Buckets"] == []
    assert abs(lab.emulator.now() - time.time()) < 60


def test_seeded_bucket_has_owner_region_versioning_and_policy(lab: Lab) -> None:
    allow = {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": ["arn:aws:s3:::open-one", "arn:aws:s3:::open-one/*"],
            }
        ]
    }
    lab.emulator.plant_buckets(
        {"name": "open-one", "owner": "222222222222", "versioning": True, "policy": allow}
    )
    assert lab.s3.get_bucket_versioning(Bucket="open-one")["Status"] == "Enabled"
    assert "open-one" not in [b["Name"] for b in lab.s3.list_buckets()["Buckets"]]
