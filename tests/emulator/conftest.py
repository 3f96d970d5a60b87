# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One emulator for all tests, emptied before each, and AWS clients that talk to it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from .client import Emulator

REGION = "us-east-1"
_ONCE = Config(retries={"total_max_attempts": 1}, parameter_validation=False)


class Lab:
    """The emulator with clients for any service, Region and access key, without retries."""

    def __init__(self, emulator: Emulator, region: str = REGION) -> None:
        self.emulator = emulator
        self._region = region
        self._session = boto3.Session()
        self.client = cache(self._client)

    def _client(
        self,
        service: str,
        region: str = "",
        key: str = "",
        scheme: str = "https",
        config: Config | None = None,
    ) -> Any:
        environment = self.emulator.environment
        return self._session.client(
            service,
            region_name=region or self._region,
            endpoint_url=self.emulator.url.replace("https", scheme),
            verify=self.emulator.ca_bundle,
            aws_access_key_id=key or environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            config=_ONCE.merge(config) if config else _ONCE,
        )

    @property
    def ec2(self) -> Any:
        return self.client("ec2")

    @property
    def s3(self) -> Any:
        return self.client("s3")

    def image(self, **values: Any) -> str:
        """Register one AMI; its id."""
        return self.emulator.seed([{"name": "web", **values}])[0]

    def store(self, image_id: str, bucket: str = "vault", **values: Any) -> str:
        """Start to store; the key of the object."""
        answer = self.ec2.create_store_image_task(ImageId=image_id, Bucket=bucket, **values)
        return str(answer["ObjectKey"])

    def stored(self, image_id: str, bucket: str = "vault", **values: Any) -> str:
        """Store and let it complete; the key of the object."""
        key = self.store(image_id, bucket, **values)
        self.emulator.advance(100_000)
        return key

    def restore(self, key: str, bucket: str = "vault", **values: Any) -> str:
        """Start to restore; the id of the new AMI."""
        answer = self.ec2.create_restore_image_task(Bucket=bucket, ObjectKey=key, **values)
        return str(answer["ImageId"])

    def tasks(self, **values: Any) -> list[dict[str, Any]]:
        return list(self.ec2.describe_store_image_tasks(**values)["StoreImageTaskResults"])

    def described(self, image_id: str) -> dict[str, Any]:
        return dict(self.ec2.describe_images(ImageIds=[image_id])["Images"][0])


@pytest.fixture(scope="session")
def running() -> Iterator[Lab]:
    with Emulator() as emulator:
        yield Lab(emulator)


@pytest.fixture
def lab(running: Lab) -> Lab:
    """An empty account with one bucket, `vault`, and without request rates."""
    running.emulator.reset()
    running.emulator.scenario(rates=None)
    running.emulator.plant_buckets({"name": "vault"})
    return running


class Refusals:
    """Collects what AWS refuses: `with refusals: …`, then `refusals.code`."""

    def __init__(self) -> None:
        self.error: Any = None

    def __enter__(self) -> Refusals:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        assert isinstance(error, ClientError), f"a refusal was expected, not {error!r}"
        self.error = error.response
        return True

    @property
    def code(self) -> str:
        return str(self.error["Error"]["Code"])

    @property
    def message(self) -> str:
        return str(self.error["Error"]["Message"])

    @property
    def status(self) -> int:
        return int(self.error["ResponseMetadata"]["HTTPStatusCode"])


@pytest.fixture
def refusal() -> Refusals:
    return Refusals()
