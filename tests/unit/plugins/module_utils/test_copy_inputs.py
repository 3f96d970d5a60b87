# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copy may be given, and how the source is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._aws import InputError
from ansible_collections.amistore.aws.plugins.module_utils._copy_clients import (
    client_config,
    source_connection,
    source_options,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import (
    CopyOptions,
    chosen_way,
    found,
    targets,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import MIB
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import StoredObject
from ansible_collections.amistore.aws.plugins.modules.ec2_ami_store_copy import build_argument_spec

IMAGE = "ami-0abcdef1234567890"
NONE_GIVEN: dict[str, Any] = dict.fromkeys(source_options())


def params(**given: Any) -> dict[str, Any]:
    """Return a task's parameters as Ansible fills them up."""
    spec = build_argument_spec()
    defaults = {name: option.get("default") for name, option in spec.items()}
    return {**defaults, "source_bucket": "from-here", "bucket": "to-there", **given}


def options(**given: Any) -> CopyOptions:
    return CopyOptions.from_params(params(**given), check_mode=False)


def pairs(**given: Any) -> list[tuple[str, str]]:
    entries = targets(params(**given), options(**given))
    return [(entry.source_key, entry.key) for entry in entries]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"object_keys": ["a/b.bin", "", "a/b.bin"]}, [("a/b.bin", "a/b.bin")]),
        ({"object_keys": ["a/b.bin"], "prefix": "new/"}, [("a/b.bin", "new/a/b.bin")]),
        (
            {"object_keys": ["a/b.bin"], "source_prefix": "a", "prefix": "new"},
            [("a/b.bin", "new/b.bin")],
        ),
        (
            {"image_ids": [IMAGE], "source_prefix": "dr/"},
            [(f"dr/{IMAGE}.bin", f"dr/{IMAGE}.bin")],
        ),
        ({"image_ids": [IMAGE], "prefix": "dr"}, [(f"{IMAGE}.bin", f"dr/{IMAGE}.bin")]),
        ({"object_keys": []}, []),
        ({"object_keys": [" "], "image_ids": [IMAGE]}, [(f"{IMAGE}.bin", f"{IMAGE}.bin")]),
    ],
)
def test_keys(given: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert pairs(**given) == expected


def test_all_takes_stored_images_however_deep() -> None:
    wanted = options(all=True, source_prefix="dr", prefix="new")
    keys = [f"dr/{IMAGE}.bin", f"dr/{IMAGE}.json", f"dr/deep/{IMAGE}.bin", "dr/notes.txt"]
    entries = found(wanted, [StoredObject(key, 1, "etag") for key in keys])
    assert [(entry.source_key, entry.key) for entry in entries] == [
        (f"dr/{IMAGE}.bin", f"new/{IMAGE}.bin"),
        (f"dr/deep/{IMAGE}.bin", f"new/deep/{IMAGE}.bin"),
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give one of object_keys, image_ids, all"),
        ({"object_keys": ["a"], "all": True}, "object_keys and all are both given"),
        ({"object_keys": ["a"], "image_ids": [IMAGE]}, "both given"),
    ],
)
def test_what_to_copy_is_said_in_one_way(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        chosen_way(params(**given))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"source_bucket": "a/b"}, "source_bucket 'a/b' holds a path; write source_bucket: 'a' "),
        ({"source_bucket": "a/b"}, "source_prefix: 'b'"),
        ({"bucket": " "}, "'bucket' is blank"),
        ({"source_prefix": "/x"}, "source_prefix '/x'"),
        ({"source_expected_bucket_owner": "1"}, "source_expected_bucket_owner '1'"),
        ({"concurrency": 0}, "concurrency 0"),
        ({"concurrency": 257}, "concurrency 257"),
        ({"part_size": 4}, "part_size 4"),
        ({"part_size": 5121}, "part_size 5121"),
        ({"wait_timeout": 0}, "wait_timeout 0 leaves no time to copy: give seconds, at least 1."),
        ({"abort_unfinished_after": 0}, "abort_unfinished_after 0"),
    ],
)
def test_what_is_wrong_by_itself_is_named(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as refused:
        options(**given)
    assert told in str(refused.value.message)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"object_keys": ["/a.bin"]}, "leading slash"),
        ({"object_keys": ["s3://b/a.bin"]}, "without bucket"),
        ({"object_keys": ["a.json"]}, "looks like a manifest"),
        ({"object_keys": ["b/a.bin"], "source_prefix": "a"}, "does not lie under"),
        ({"object_keys": ["a" * 250]}, "characters long"),
        ({"image_ids": ["web"]}, "Not AMI ids"),
    ],
)
def test_a_wrong_key_is_named(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        pairs(**given)


def test_part_size_is_told_in_mib() -> None:
    assert options(part_size=16).part_size == 16 * MIB


# How the source is reached


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"source_region": "us-gov-west-1"}, {"region": "us-gov-west-1", "endpoint": None}),
        ({"source_endpoint_url": "https://s3.example"}, {"endpoint": "https://s3.example"}),
        (
            {"source_access_key": "a", "source_secret_key": "b", "source_region": "r"},
            {
                "aws_access_key_id": "a",
                "aws_secret_access_key": "b",
                "aws_session_token": None,
                "profile_name": None,
                "region": "r",
                "endpoint": None,
            },
        ),
        ({"source_validate_certs": False}, {"verify": False}),
        ({"source_aws_ca_bundle": "/ca.pem"}, {"verify": "/ca.pem"}),
        ({"source_aws_ca_bundle": "/ca.pem", "source_validate_certs": False}, {"verify": False}),
        ({"source_validate_certs": True}, {"verify": True}),
    ],
)
def test_only_what_differs_from_the_destination_is_given(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert source_connection({**NONE_GIVEN, **given}) == expected


def test_a_profile_brings_its_own_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text("[profile commercial]\nregion = eu-west-1\n[profile bare]\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-gov-west-1")
    connection = source_connection({**NONE_GIVEN, "source_profile": "commercial"})
    assert connection["region"] == "eu-west-1"
    assert connection["profile_name"] == "commercial"
    assert connection["aws_access_key_id"] is None
    assert "region" not in source_connection({**NONE_GIVEN, "source_profile": "bare"})
    with pytest.raises(InputError, match="source_profile 'other' cannot be used"):
        source_connection({**NONE_GIVEN, "source_profile": "other"})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"source_profile": "p", "source_access_key": "a"}, "both given"),
        ({"source_access_key": "a"}, "go together"),
        ({"source_session_token": "t"}, "go together"),
    ],
)
def test_credentials_of_the_source_go_together(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        source_connection({**NONE_GIVEN, **given})


def test_requests_are_sent_once_and_bodies_are_hashed_once() -> None:
    config = client_config({"aws_config": {"read_timeout": 5, "s3": {"a": "b"}}}, 12)
    assert config["retries"] == {"total_max_attempts": 1}
    assert config["s3"] == {"a": "b", "payload_signing_enabled": False}
    assert (config["read_timeout"], config["max_pool_connections"]) == (5, 12)


@pytest.mark.parametrize("option", ["source_secret_key", "source_session_token"])
def test_secrets_are_kept_out_of_logs(option: str) -> None:
    assert source_options()[option]["no_log"] is True
