# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bucket of stored images of all ages, to be thinned out."""

from __future__ import annotations

import email.utils
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.amistore.aws.plugins.module_utils._evidence import Evidence
from tests.unit.cloud import ACCOUNT, BUCKET, NOON, REGION, Cloud, Thing

DAY = timedelta(days=1)


def image_id(number: int) -> str:
    return f"ami-{number:08x}"


def key_of(number: int, folder: str = "dr") -> str:
    return f"{folder}/{image_id(number)}.bin" if folder else f"{image_id(number)}.bin"


@dataclass
class Vault:
    """A bucket with stored images, each as many days old as its number says."""

    cloud: Cloud

    def __post_init__(self) -> None:
        """Let S3 tell the time, which is noon."""
        usual = self.cloud.usual("ListObjectsV2")

        def dated(params: dict[str, Any]) -> dict[str, Any]:
            headers = {"date": email.utils.format_datetime(NOON)}
            return usual(params) | {"ResponseMetadata": {"HTTPHeaders": headers}}

        self.cloud.replies["ListObjectsV2"] = dated

    def add(self, number: int, name: str = "web", folder: str = "dr", **details: Any) -> str:
        """Store an AMI, which stays; with its manifest, unless `manifest` is another content."""
        key, body = key_of(number, folder), f"image {number}".encode()
        if details.get("original", True):
            self.cloud.add_image(image_id(number), name)
        thing = Thing(body, modified=details.get("modified", NOON - number * DAY))
        thing.head = details.get("head", {})
        self.cloud.objects[key] = thing
        manifest = details.get("manifest", self.manifest(number, name, folder, **details))
        if manifest is not None:
            self.beside(key, ".json", manifest, thing.modified)
        return key

    def manifest(self, number: int, name: str, folder: str = "dr", **details: Any) -> bytes:
        image = {
            "ImageId": image_id(number),
            "Name": name,
            "OwnerId": ACCOUNT,
            "Tags": [{"Key": "service", "Value": name}],
            **details.get("image", {}),
        }
        document = {
            "format_version": 1,
            "region": REGION,
            "object_key": key_of(number, folder),
            "image": image,
            "stored_image": {
                "etag": Thing(f"image {number}".encode()).etag,
                "size": 7,
                "task_start_time": (NOON - number * DAY).isoformat(),
            },
            **details.get("document", {}),
        }
        return json.dumps(document).encode()

    def beside(self, key: str, ending: str, content: bytes, modified: datetime = NOON) -> str:
        other = key.removesuffix(".bin") + ending
        self.cloud.objects[other] = Thing(content, modified=modified)
        return other

    def verify(self, key: str, **details: Any) -> str:
        evidence = Evidence(
            bucket=BUCKET,
            object_key=details.get("object_key", key),
            etag=details.get("etag", self.cloud.objects[key].etag),
            version_id=None,
            image_id=image_id(0xABC),
            account_id=ACCOUNT,
            region=REGION,
            restored_at=NOON,
            verified_at=NOON,
            collection_version="1.1.0",
        )
        return self.beside(key, ".verified.json", evidence.dump())

    def record(self, key: str) -> str:
        return self.beside(key, ".copy.json", b'{"copy": {}, "object_key": "x"}')

    @property
    def deleted(self) -> list[str]:
        return [call["Key"] for call in self.cloud.params("DeleteObject")]
