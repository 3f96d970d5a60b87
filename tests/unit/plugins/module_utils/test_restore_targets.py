# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which stored images a restore is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._aws import InputError
from ansible_collections.amistore.aws.plugins.module_utils._restore import RestoreEntry
from ansible_collections.amistore.aws.plugins.module_utils._restore_targets import (
    chosen_way,
    found,
    targets,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.unit.cloud import BUCKET, Cloud, Thing

WEB, DB = "ami-0abcdef1", "ami-0abcdef2"
KEY = f"dr/{WEB}.bin"


def params(**given: Any) -> dict[str, Any]:
    """Return options as Ansible hands them over."""
    unset = dict.fromkeys(
        ("object_key", "image_ids", "stored_images", "prefix", "name", "tags", "snapshot_tags")
    )
    return {**unset, "all": False, **given}


def stored_image(object_key: Any, **own: Any) -> dict[str, Any]:
    return {"object_key": object_key, "name": None, "tags": None, "snapshot_tags": None, **own}


def refusal(**given: Any) -> str:
    with pytest.raises(InputError) as caught:
        targets(params(**given), BUCKET)
    return str(caught.value)


# Exactly one way


@pytest.mark.parametrize(
    ("given", "way"),
    [
        ({"object_key": KEY}, "object_key"),
        ({"image_ids": [WEB]}, "image_ids"),
        ({"stored_images": [stored_image(KEY)]}, "stored_images"),
        ({"all": True}, "all"),
        ({"all": True, "object_key": " ", "image_ids": ["", None], "stored_images": []}, "all"),
        ({"object_key": KEY, "image_ids": []}, "object_key"),
        ({"image_ids": []}, None),
        ({"stored_images": []}, None),
        ({"image_ids": ["", " "]}, None),
    ],
)
def test_the_way_that_is_used(given: dict[str, Any], way: str | None) -> None:
    assert chosen_way(params(**given)) == way


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"object_key": KEY, "image_ids": [WEB]}, "object_key and image_ids"),
        ({"image_ids": [WEB], "all": True}, "image_ids and all"),
        ({"stored_images": [stored_image(KEY)], "all": True}, "stored_images and all"),
    ],
)
def test_two_ways_are_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=f"^{named} are both given"):
        chosen_way(params(**given))


@pytest.mark.parametrize("given", [{}, {"object_key": ""}, {"prefix": "dr"}, {"name": "web"}])
def test_no_way_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^Nothing says what to restore: give one of object_key"):
        chosen_way(params(**given))


@pytest.mark.parametrize(
    "given", [{"image_ids": []}, {"stored_images": []}, {"image_ids": [""]}, {"all": True}]
)
def test_a_task_that_names_nothing_has_no_targets_yet(given: dict[str, Any]) -> None:
    assert targets(params(**given), BUCKET) == []


# The targets


def test_one_object_key_with_a_name() -> None:
    given = {"object_key": f" {KEY} ", "name": " web ", "tags": {"a": 1}, "snapshot_tags": {}}
    assert targets(params(**given), BUCKET) == [
        RestoreEntry(
            f"{KEY} as 'web'", object_key=KEY, name="web", tags={"a": "1"}, snapshot_tags={}
        )
    ]


def test_any_key_may_be_restored() -> None:
    (entry,) = targets(params(object_key="golden image"), BUCKET)
    assert (entry.label, entry.object_key, entry.name) == ("golden image", "golden image", None)
    assert (entry.tags, entry.snapshot_tags) == (None, None)


def test_image_ids_become_keys_under_the_prefix() -> None:
    given = {"image_ids": [WEB, "", DB, WEB], "prefix": "dr/", "tags": {"a": "1"}}
    entries = targets(params(**given), BUCKET)
    assert [entry.object_key for entry in entries] == [KEY, f"dr/{DB}.bin"]
    assert [entry.tags for entry in entries] == [{"a": "1"}] * 2


def test_stored_images_bring_their_own_names_and_tags() -> None:
    given = {
        "stored_images": [
            stored_image(KEY, name="one", tags={"own": "1"}),
            stored_image(KEY, name="two", snapshot_tags={}),
            stored_image("x.bin", tags={}),
        ],
        "tags": {"all": "1"},
        "snapshot_tags": {"disk": "1"},
    }
    entries = targets(params(**given), BUCKET)
    assert [(entry.name, entry.tags, entry.snapshot_tags) for entry in entries] == [
        ("one", {"own": "1"}, {"disk": "1"}),
        ("two", {"all": "1"}, {}),
        (None, {}, {"disk": "1"}),
    ]


def test_repeats_are_merged_in_first_order() -> None:
    given = [stored_image("x.bin"), stored_image(KEY, name="web"), stored_image(" x.bin ")]
    entries = targets(params(stored_images=given), BUCKET)
    assert [entry.object_key for entry in entries] == ["x.bin", KEY]


def test_one_image_with_two_sets_of_tags_is_refused() -> None:
    given = [
        stored_image(KEY, name="web", tags={"a": "1"}),
        stored_image(KEY, name="web", tags={"a": "2"}),
    ]
    assert refusal(stored_images=given) == f"{KEY} as 'web' is given twice with different tags."


# What is refused


@pytest.mark.parametrize(
    "given", [{"image_ids": [WEB]}, {"all": True}, {"stored_images": [stored_image(KEY)]}]
)
def test_a_name_goes_with_an_object_key_only(given: dict[str, Any]) -> None:
    assert refusal(name="web", **given).startswith("name 'web' goes with object_key.")


@pytest.mark.parametrize("key", ["/dr/x.bin", f"s3://{BUCKET}/x.bin"])
def test_a_key_comes_without_bucket_and_leading_slash(key: str) -> None:
    assert refusal(object_key=key).startswith(f"object_key {key!r}: give the key alone")


def test_a_blank_key_among_stored_images_is_refused() -> None:
    assert refusal(stored_images=[stored_image(" ")]).startswith("object_key is blank")


def test_bad_values_are_refused_by_their_rules() -> None:
    assert "Not AMI ids: 'web'" in refusal(image_ids=["web"])
    assert "leading or a double slash" in refusal(image_ids=[WEB], prefix="/dr")
    assert "leading or a double slash" in refusal(all=True, prefix="/dr")
    assert "3 to 128" in refusal(object_key=KEY, name="ab")
    assert refusal(object_key=KEY, tags={"aws:a": ""}).startswith("tags: the tag key")
    assert refusal(object_key=KEY, snapshot_tags={"": ""}).startswith("snapshot_tags: the tag key")


def test_a_place_that_no_tag_can_hold_is_refused() -> None:
    assert "bucket and key together may have 256" in refusal(object_key="k" * 250)


# All under a prefix


def keys_found(bucket: Bucket, prefix: str | None) -> list[str]:
    return [entry.object_key for entry in found(params(all=True, prefix=prefix), bucket)]


def test_all_is_what_lies_directly_under_the_prefix(bucket: Bucket, cloud: Cloud) -> None:
    names = (
        f"{DB}.bin",
        KEY,
        f"dr/{WEB}.json",
        f"dr/{DB}.bin",
        f"dr/deeper/{WEB}.bin",
        f"drx/{WEB}.bin",
        "dr/golden.bin",
        "dr/ami-dir/ami-0abcdef1.bin",
    )
    cloud.objects.update({name: Thing() for name in names})
    assert keys_found(bucket, "dr/") == [KEY, f"dr/{DB}.bin"]
    assert keys_found(bucket, None) == [f"{DB}.bin"]
    assert keys_found(bucket, "empty") == []


def test_all_takes_the_tasks_tags(bucket: Bucket, cloud: Cloud) -> None:
    cloud.objects[KEY] = Thing()
    given = params(all=True, prefix="dr", tags={"a": "1"}, snapshot_tags={})
    (entry,) = found(given, bucket)
    assert (entry.tags, entry.snapshot_tags, entry.name) == ({"a": "1"}, {}, None)
