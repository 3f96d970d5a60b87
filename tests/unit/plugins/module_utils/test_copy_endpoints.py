# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the two sides of a copy send their requests, whoever says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config

from ansible_collections.amistore.aws.plugins.module_utils._copy_clients import (
    endpoint_beside_aws,
    sides,
    source_options,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import CopyOptions, State
from tests.unit.cloud import VirtualClock
from tests.unit.relay import KEY, Relay
from tests.unit.s3_in_memory import SOURCE_BUCKET

VPC_ENDPOINT = "https://bucket.vpce-0a-1b.s3.eu-central-1.vpce.amazonaws.com"
PROFILES = """
[profile here]
region = us-east-1
endpoint_url = https://here.example:9000
[profile there]
region = us-east-1
endpoint_url = https://there.example:9000
[profile amazon]
region = us-east-1
"""


SESSION = botocore.session.Session()
SESSION.set_credentials("AKIAEMULATEDEMULATED", "emulated")


def client(url: str | None = None, region: str = "eu-central-1", **config: Any) -> Any:
    return SESSION.create_client("s3", region, endpoint_url=url, config=Config(**config))


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ({}, {}, True),
        ({"region": "us-east-1"}, {"region": "us-west-2"}, True),
        ({"use_dualstack_endpoint": True}, {"use_fips_endpoint": True}, True),
        ({"url": VPC_ENDPOINT}, {}, True),
        ({"region": "cn-north-1"}, {"region": "cn-northwest-1"}, True),
        ({"region": "us-gov-west-1"}, {"region": "us-east-1"}, False),
        ({"region": "cn-north-1"}, {"region": "us-east-1"}, False),
        ({"url": "https://here.example"}, {}, False),
        ({"url": "https://here.example"}, {"url": "https://there.example"}, False),
        ({"url": "http://here.example:9000"}, {"url": "http://here.example:9001"}, False),
        ({"url": "https://here.example"}, {"url": "https://HERE.example:443/"}, True),
        (
            {"url": "https://here.example", "region": "us-gov-west-1"},
            {"url": "https://here.example"},
            True,
        ),
        ({"url": "https://amazonaws.com.example"}, {}, False),
    ],
)
def test_one_bucket_is_one_name_at_one_place(
    relay: Relay, source: dict[str, Any], destination: dict[str, Any], expected: bool
) -> None:
    means = relay.copier().means
    means.source.client, means.destination.client = client(**source), client(**destination)
    assert not means.is_one_bucket
    means.destination.bucket.name = SOURCE_BUCKET
    assert means.is_one_bucket is expected


def test_an_object_is_not_copied_onto_itself(relay: Relay) -> None:
    relay.store()
    copier = relay.copier()
    copier.means.destination.bucket.name = SOURCE_BUCKET
    entry = relay.copy()
    assert entry.state is State.COPIED
    copier.copy(entry)
    assert entry.state is State.FAILED
    assert f"the same object, s3://{SOURCE_BUCKET}/{KEY}" in entry.reason


class Module:
    """Makes clients of profiles, as AnsibleAWSModule does."""

    def __init__(self, **params: Any) -> None:
        given = dict.fromkeys([*source_options(), "endpoint_url", "aws_config", "profile"])
        self.params = {**given, "validate_certs": True, **params}

    def client(self, service: str, aws_config: dict[str, Any], **connection: Any) -> Any:
        profile = connection.get("profile_name", self.params["profile"])
        url = connection.get("endpoint", self.params["endpoint_url"])
        session = botocore.session.Session(profile=profile)
        session.set_credentials("AKIAEMULATEDEMULATED", "emulated")
        return session.create_client(service, endpoint_url=url, config=Config(**aws_config))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            {"source_profile": "here", "profile": "there"},
            ("here.example:9000", "there.example:9000"),
        ),
        ({"source_profile": "amazon", "profile": "there"}, (None, "there.example:9000")),
        ({"source_profile": "here", "profile": "amazon"}, ("here.example:9000", None)),
        (
            {"source_profile": "here", "profile": "amazon", "endpoint_url": VPC_ENDPOINT},
            ("here.example:9000", None),
        ),
        (
            {
                "source_profile": "amazon",
                "source_endpoint_url": "https://here.example:9000/",
                "profile": "here",
            },
            ("here.example:9000", "here.example:9000"),
        ),
    ],
)
def test_a_profile_may_give_the_endpoint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    params: dict[str, Any],
    expected: tuple[str | None, str | None],
) -> None:
    config = tmp_path / "config"
    config.write_text(PROFILES)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    both: Any = sides(Module(**params), CopyOptions("bucket", "bucket"), VirtualClock(), 1.0)
    assert tuple(endpoint_beside_aws(side.client) for side in both) == expected


def test_the_environment_may_give_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    assert endpoint_beside_aws(client()) is None
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://here.example")
    assert endpoint_beside_aws(client()) == "here.example:80"
