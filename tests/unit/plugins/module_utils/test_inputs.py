# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules for what a task may be given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils import _inputs
from ansible_collections.amistore.aws.plugins.module_utils._aws import InputError
from ansible_collections.amistore.aws.plugins.module_utils._pacing import (
    RESTORE_LIMITS,
    STORE_LIMITS,
    Limits,
    Rate,
)

WEB = "ami-0123456789abcdef0"
OLD = "ami-0abcdef1"


def refusal(rule: Callable[..., Any], *values: Any) -> str:
    """Return what the user reads when the rule refuses the values."""
    with pytest.raises(InputError) as caught:
        rule(*values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ("", None), ("  ", None), (" web ", "web"), (0, "0"), (123, "123")],
)
def test_a_blank_is_not_given(value: Any, expected: str | None) -> None:
    assert _inputs.given(value) == expected


# AMI ids


def test_blank_ids_are_dropped_and_repeats_merged_in_first_order() -> None:
    given = ["", WEB, None, OLD, " ", f" {WEB} ", OLD]
    assert _inputs.clean_image_ids(given) == [WEB, OLD]


def test_no_ids_are_none() -> None:
    assert _inputs.clean_image_ids([]) == []
    assert _inputs.clean_image_ids(["", None]) == []


@pytest.mark.parametrize(
    "value",
    [
        "ami-",
        "ami-123",
        "ami-0ABCDEF1",
        "ami-0abcdef12345678901",
        "snap-0abcdef1",
        "xami-0abcdef1",
        "ami-0abcdef1.bin",
        "ami-0abcdef1\nx",
        "ami-0abcdef1,ami-0abcdef2",
    ],
)
def test_a_malformed_id_is_named(value: str) -> None:
    text = refusal(_inputs.clean_image_ids, [WEB, value])
    assert text.startswith(f"Not AMI ids: {value!r}. An AMI id is 'ami-'")
    assert WEB not in text


def test_all_malformed_ids_are_named() -> None:
    text = refusal(_inputs.clean_image_ids, ["web", WEB, 17])
    assert text.startswith("Not AMI ids: 'web', '17'.")
    assert text.endswith("nothing was changed.")


# The bucket


@pytest.mark.parametrize("value", ["my-ami-bucket", " my.bucket.1 ", "abc"])
def test_a_plain_bucket_name_is_taken(value: str) -> None:
    assert _inputs.clean_bucket(value) == value.strip()


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_blank_bucket_is_refused(value: Any) -> None:
    assert refusal(_inputs.clean_bucket, value).startswith("'bucket' is blank")


@pytest.mark.parametrize(
    "value",
    [
        "arn:aws:s3:::my-bucket",
        "arn:aws:s3:eu-central-1:111122223333:accesspoint/mine",
        "mine-abcdef-s3alias",
        "mine--euc1-az1--x-s3",
        "mine.mrap",
    ],
)
def test_anything_but_a_general_purpose_bucket_is_refused(value: str) -> None:
    text = refusal(_inputs.clean_bucket, value)
    assert text.startswith(f"bucket {value!r} is an ARN, an access point or a directory bucket")
    assert "'my-ami-bucket'" in text


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("mine/dr/web", "write bucket: 'mine' and prefix: 'dr/web'."),
        ("mine/", "write bucket: 'mine'."),
        ("s3://mine", "write bucket: 'mine'."),
        ("s3://mine/dr/", "write bucket: 'mine' and prefix: 'dr'."),
    ],
)
def test_a_path_is_refused_with_the_right_form(value: str, advice: str) -> None:
    assert refusal(_inputs.clean_bucket, value) == f"bucket {value!r} holds a path; {advice}"


@pytest.mark.parametrize("value", ["ab", "a" * 64, "My-Bucket", "my_bucket", "bucket-"])
def test_what_s3_does_not_allow_is_refused(value: str) -> None:
    assert refusal(_inputs.clean_bucket, value).startswith(f"bucket {value!r} is not a bucket name")


# The prefix


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        ("", ""),
        (" ", ""),
        ("dr", "dr"),
        ("dr/", "dr"),
        (" dr/web/ ", "dr/web"),
        ("s3:dr", "s3:dr"),
    ],
)
def test_a_prefix_is_taken_without_its_trailing_slash(value: Any, expected: str) -> None:
    assert _inputs.clean_prefix(value) == expected


@pytest.mark.parametrize("value", ["/", "/dr", "dr//web", "dr//", "//"])
def test_leading_and_double_slashes_are_refused(value: str) -> None:
    text = refusal(_inputs.clean_prefix, value)
    assert text.startswith(f"prefix {value!r} has a leading or a double slash")
    assert "'path/deeper'" in text


def test_a_prefix_that_nobody_can_read_is_refused() -> None:
    text = refusal(_inputs.clean_prefix, "dr\x00web")
    assert text == r"prefix 'dr\x00web' holds a character that cannot be printed."


# The owner


@pytest.mark.parametrize(("value", "expected"), [(None, None), (" ", None), ("0" * 12, "0" * 12)])
def test_an_owner_is_an_account_id(value: Any, expected: str | None) -> None:
    assert _inputs.clean_bucket_owner(value) == expected


@pytest.mark.parametrize("value", ["1234", "12345678901a", "1234567890123", "self", 12345678901])
def test_what_is_no_account_id_is_refused(value: Any) -> None:
    text = refusal(_inputs.clean_bucket_owner, value)
    assert text.startswith(f"expected_bucket_owner {str(value)!r} is not an account id")
    assert "in quotes" in text


# Keys


def test_keys_without_a_prefix() -> None:
    assert _inputs.image_key("", WEB) == f"{WEB}.bin"
    assert _inputs.key_start("") == "ami-"


def test_keys_with_a_prefix() -> None:
    assert _inputs.image_key("dr/web", WEB) == f"dr/web/{WEB}.bin"
    assert _inputs.key_start("dr/web") == "dr/web/ami-"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (f"dr/{WEB}.bin", f"dr/{WEB}.json"),
        ("golden.image", "golden.image.json"),
        ("a.bin/b.bin", "a.bin/b.json"),
    ],
)
def test_the_manifest_lies_beside_the_image(key: str, expected: str) -> None:
    assert _inputs.manifest_key(key) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (f"{WEB}.bin", WEB),
        (f"a/b/{OLD}.bin", OLD),
        (f"{WEB}.json", None),
        (f"copy-of-{WEB}.bin", None),
        (f"{WEB}.bin.old", None),
        ("golden.bin", None),
    ],
)
def test_a_key_tells_its_ami(key: str, expected: str | None) -> None:
    assert _inputs.image_id_of(key) == expected


def test_a_location_must_fit_into_a_tag() -> None:
    longest = "k" * (256 - len("bucket/"))
    _inputs.check_location("bucket", longest)
    text = refusal(_inputs.check_location, "bucket", longest + "k")
    assert "is 257 characters long; bucket and key together may have 256" in text
    assert text.endswith("Use a shorter prefix.")


# Tags


def test_omitted_tags_are_none_and_empty_ones_are_empty() -> None:
    assert _inputs.clean_object_tags(None) is None
    assert _inputs.clean_object_tags({}) == {}
    assert _inputs.clean_resource_tags("tags", None) is None
    assert _inputs.clean_resource_tags("tags", {}) == {}


def test_tags_become_text() -> None:
    assert _inputs.clean_object_tags({"week": 7, 8: True, "empty": None}) == {
        "week": "7",
        "8": "True",
        "empty": "",
    }


def test_tags_that_are_one_once_they_are_text_are_refused() -> None:
    text = refusal(_inputs.clean_object_tags, {1: "a", "1": "b"})
    assert text == "tags: two tag keys are the same once they are written as text."


@pytest.mark.parametrize("value", [["a"], {"a": "b"}])
def test_a_tag_holds_plain_text(value: Any) -> None:
    text = refusal(_inputs.clean_object_tags, {"team": value})
    assert text == f"tags: the value of 'team' is {value!r}; a tag holds plain text."


def test_an_object_takes_ten_tags() -> None:
    tags = {f"key{number}": "value" for number in range(10)}
    assert _inputs.clean_object_tags(tags) == tags
    text = refusal(_inputs.clean_object_tags, {**tags, "one": "more"})
    assert text == "tags: 11 tags given, an S3 object takes at most 10 of yours."


def test_a_resource_takes_fifty_tags_with_the_proof() -> None:
    tags = {f"key{number}": "value" for number in range(48)}
    assert _inputs.clean_resource_tags("tags", tags) == tags
    text = refusal(_inputs.clean_resource_tags, "snapshot_tags", {**tags, "one": "more"})
    assert text.startswith("snapshot_tags: 49 tags given, an AMI or a snapshot takes at most 48")


def test_the_keys_length_has_a_limit() -> None:
    _inputs.clean_object_tags({"k" * 128: ""})
    _inputs.clean_resource_tags("tags", {"k" * 127: ""})
    assert "has 129 characters; 1 to 128" in refusal(_inputs.clean_object_tags, {"k" * 129: ""})
    text = refusal(_inputs.clean_resource_tags, "tags", {"k" * 128: ""})
    assert "has 128 characters; 1 to 127" in text
    assert "has 0 characters" in refusal(_inputs.clean_object_tags, {"": "value"})


def test_the_values_length_has_a_limit() -> None:
    _inputs.clean_object_tags({"key": "v" * 256})
    text = refusal(_inputs.clean_object_tags, {"key": "v" * 257})
    assert text == "tags: the value of 'key' has 257 characters; 256 are allowed."


@pytest.mark.parametrize("key", ["aws:mine", "AWS:mine"])
def test_keys_of_aws_are_refused(key: str) -> None:
    assert "which AWS reserves" in refusal(_inputs.clean_object_tags, {key: ""})


def test_keys_of_the_proof_are_refused_on_amis_only() -> None:
    assert _inputs.clean_object_tags({"amistore:mine": "x"}) == {"amistore:mine": "x"}
    text = refusal(_inputs.clean_resource_tags, "tags", {"amistore:etag": "forged"})
    assert text.startswith("tags: 'amistore:etag' begins with 'amistore:'")


# The name


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ("", None), (" web ", "web"), ("n" * 128, "n" * 128), ("New AMI", "New AMI")],
)
def test_an_image_name_is_taken(value: Any, expected: str | None) -> None:
    assert _inputs.clean_image_name(value) == expected


@pytest.mark.parametrize("value", ["ab", " ab ", "n" * 129])
def test_a_name_of_the_wrong_length_is_refused(value: str) -> None:
    length = len(value.strip())
    text = refusal(_inputs.clean_image_name, value)
    assert text.endswith(f"has {length} characters; an AMI name has 3 to 128.")


@pytest.mark.parametrize("seconds", [0, -5])
def test_no_time_to_wait_is_refused(seconds: int) -> None:
    text = refusal(_inputs.clean_wait_timeout, seconds)
    assert text.startswith(f"wait_timeout {seconds} is not a time to wait")
    assert "wait: false" in text


def test_a_time_to_wait_is_taken() -> None:
    assert _inputs.clean_wait_timeout(1) == 1


# The time to wait


def test_a_time_to_wait_is_at_least_a_second() -> None:
    assert _inputs.clean_wait_timeout(1) == 1
    for seconds in (0, -5):
        text = refusal(_inputs.clean_wait_timeout, seconds)
        assert text.startswith(f"wait_timeout {seconds} is not a time to wait")
        assert text.endswith("use wait: false.")


# What the account may do


@pytest.mark.parametrize("limits", [STORE_LIMITS, RESTORE_LIMITS])
def test_the_limits_by_default_are_those_of_aws(limits: Limits) -> None:
    options = _inputs.limit_options(limits)
    defaults = {name: option["default"] for name, option in options.items()}
    assert _inputs.clean_limits(defaults) == limits


def limits_of(**changes: float) -> Limits:
    given = {"in_flight_gib": 1, "create_burst": 1, "seconds_per_create": 0.5}
    return _inputs.clean_limits({**given, **changes})


def test_limits_may_be_as_small_as_one() -> None:
    assert limits_of() == Limits(Rate(1, 0.5), 1)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("in_flight_gib", 0),
        ("in_flight_gib", -1),
        ("create_burst", 0),
        ("seconds_per_create", 0.0),
        ("seconds_per_create", -1.0),
        ("seconds_per_create", float("nan")),
        ("seconds_per_create", float("inf")),
    ],
)
def test_limits_that_allow_nothing_are_refused(option: str, value: float) -> None:
    text = refusal(lambda given: limits_of(**given), {option: value})
    assert text.startswith(f"{option} {value} ")
    assert "give" in text
