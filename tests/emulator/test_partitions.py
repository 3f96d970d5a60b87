# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two emulators as two partitions: nothing but an object's bytes goes from one to the other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from .client import ROOT, Emulator
from .conftest import Lab, Refusals
from .partitions import PARTITIONS

ELSEWHERE = [PARTITIONS["aws-us-gov"], PARTITIONS["aws-cn"]]


@pytest.fixture(scope="module", params=ELSEWHERE, ids=lambda partition: str(partition.name))
def there(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Emulator(partition=request.param.name) as emulator:
        yield Lab(emulator, request.param.region)


def test_account_region_and_arns_are_those_of_the_partition(there: Lab) -> None:
    here = PARTITIONS[there.client("ec2").meta.partition]
    assert there.emulator.environment["AWS_REGION"] == here.region
    who = there.client("sts").get_caller_identity()
    assert who["Account"] == here.account
    assert who["Arn"].startswith(f"arn:{here.name}:")
    image = there.ec2.describe_images(ImageIds=[there.image(name="theirs")])["Images"][0]
    assert image["OwnerId"] == here.account


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("ec2", "describe_images", "AuthFailure"),
        ("s3", "list_buckets", "InvalidAccessKeyId"),
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
    ],
)
def test_access_keys_of_other_partitions_are_unknown(
    lab: Lab, there: Lab, refusal: Refusals, service: str, call: str, code: str
) -> None:
    commercial = lab.emulator.environment["AWS_ACCESS_KEY_ID"]
    with refusal:
        getattr(there.client(service, key=commercial), call)()
    assert refusal.code == code
    theirs = there.emulator.environment["AWS_ACCESS_KEY_ID"]
    with refusal:
        getattr(lab.client(service, key=theirs), call)()
    assert refusal.code == code


def test_regions_of_other_partitions_are_unknown(there: Lab, refusal: Refusals) -> None:
    with refusal:
        there.client("s3", region="us-east-1").list_objects_v2(Bucket="vault")
    assert refusal.code == "AuthorizationHeaderMalformed"
    with refusal:
        there.client("ec2", region="us-east-1").describe_images()
    assert refusal.code == "AuthFailure"


def test_stored_image_restores_in_another_partition(lab: Lab, there: Lab) -> None:
    lab.emulator.scenario(object_size=100_000)
    there.emulator.plant_buckets({"name": "landing"})
    image_id = lab.image(name="web", tags={"team": "sre"}, description="a web server")
    body = lab.s3.get_object(Bucket="vault", Key=lab.stored(image_id))["Body"].read()
    there.s3.put_object(Bucket="landing", Key="web.bin", Body=body)
    restored = there.restore("web.bin", "landing", Name="web-there")
    there.emulator.advance(100_000)
    image = there.described(restored)
    assert (image["State"], image["Description"]) == ("available", "a web server")
    assert {"Key": "team", "Value": "sre"} in image["Tags"]
    assert image["SourceImageId"] == image_id


def test_unknown_partition_is_refused() -> None:
    command = [sys.executable, "-m", "tests.emulator", "--partition", "aws-moon"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "one of aws, aws-us-gov, aws-cn is needed" in ended.stderr
