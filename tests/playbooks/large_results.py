# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the modules' results of so many AMIs, with long names, keys and reasons.

Run by a Python that has the modules' requirements; the results are made by the modules' functions.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from ansible_collections.amistore.aws.plugins.module_utils import (
    _catalogue,
    _manifest,
    _restore,
    _retention_images,
    _retention_report,
    _store,
)
from ansible_collections.amistore.aws.plugins.module_utils._archive_decide import (
    Copy,
    Plan,
    Proven,
    Step,
    Verdict,
)
from ansible_collections.amistore.aws.plugins.module_utils._archive_entry import Entry
from ansible_collections.amistore.aws.plugins.module_utils._archive_proof import Proof
from ansible_collections.amistore.aws.plugins.module_utils._evidence import Recorded
from ansible_collections.amistore.aws.plugins.module_utils._images import Image
from ansible_collections.amistore.aws.plugins.module_utils._launch_permissions import Sharing
from ansible_collections.amistore.aws.plugins.module_utils._restored import SEE_REASON
from ansible_collections.amistore.aws.plugins.module_utils._store_tasks import StoreTask
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import StoredObject
from ansible_collections.amistore.aws.plugins.module_utils._verification import (
    Difference,
    Verification,
    not_compared,
)

NOW = datetime(2026, 5, 1, 3, 12, 45, tzinfo=UTC)
BUCKET = "b" * 63
# The longest location that a restore can prove has 256 characters.
PREFIX = "p" * (256 - len(BUCKET) - len("//ami-0123456789abcdef0.bin"))
REASON = "AWS refused it for a reason of some length. " * 4
DISKS = 5
EQUAL = Verification(True, (), ("uefi_data",), stored_encrypted=True)
DIFFERENT = Verification(
    False,
    (
        Difference("boot_mode", "legacy-bios", "uefi-preferred"),
        Difference("tags.a-tag-of-some-length", "v" * 40, None),
    ),
    ("uefi_data",),
)
SHARED = Sharing(("222222222222", "333333333333"), ("444444444444", "all"))


def image_id(number: int) -> str:
    return f"ami-{number:017x}"


def key(number: int) -> str:
    return f"{PREFIX}/{image_id(number)}.bin"


def image(number: int) -> Image:
    disks = [
        {
            "DeviceName": f"/dev/sd{disk}",
            "Ebs": {
                "SnapshotId": f"snap-{number * DISKS + disk:017x}",
                "VolumeSize": 100,
                "VolumeType": "gp3",
                "Iops": 3000,
                "Throughput": 125,
                "DeleteOnTermination": True,
                "Encrypted": True,
            },
        }
        for disk in range(DISKS)
    ]
    tags = [{"Key": f"a-tag-of-some-length-{tag}", "Value": "v" * 40} for tag in range(10)]
    return Image.from_aws(
        {
            "ImageId": image_id(number),
            "Name": "n" * 128,
            "Description": "d" * 255,
            "OwnerId": "123456789012",
            "State": "available",
            "Architecture": "x86_64",
            "CreationDate": NOW.isoformat(),
            "RootDeviceType": "ebs",
            "VirtualizationType": "hvm",
            "BlockDeviceMappings": disks,
            "Tags": tags,
        }
    )


def stored(number: int) -> StoredObject:
    return StoredObject(key(number), 10**12, "e" * 36, NOW, listed=True)


def task(number: int) -> StoreTask:
    return StoreTask(image_id(number), BUCKET, key(number), "Failed", NOW, 50, REASON)


def store_results(count: int) -> Any:
    entries = [
        _store.StoreEntry(
            label=key(number),
            reason=REASON,
            image_id=image_id(number),
            key=key(number),
            stored=stored(number),
            task=task(number),
            manifest_key=key(number),
        )
        for number in range(count)
    ]
    return {"images": _store.results(entries, BUCKET)}


def restore_results(count: int) -> Any:
    """Every second failed; every tenth came back otherwise than it was."""
    entries = [restored(number) if number % 2 else failed(number) for number in range(count)]
    return {"images": _restore.results(entries, BUCKET)}


def failed(number: int) -> _restore.RestoreEntry:
    verification = not_compared("it is not restored")
    return _restore.RestoreEntry(
        label=key(number),
        reason=REASON,
        object_key=key(number),
        name="n" * 128,
        image_id=image_id(number),
        image=image(number),
        verification=verification,
        recorded=Recorded(reason=verification.problem),
        sharing=Sharing(reason=SEE_REASON),
    )


def restored(number: int) -> _restore.RestoreEntry:
    return _restore.RestoreEntry(
        label=key(number),
        object_key=key(number),
        name="n" * 128,
        image_id=image_id(number),
        image=image(number),
        verification=DIFFERENT if number % 10 == 1 else EQUAL,
        recorded=Recorded(NOW),
        sharing=SHARED,
    )


def info_results(count: int) -> Any:
    """The catalogue, and as many failed tasks."""
    tasks = [
        {
            "AmiId": image_id(number),
            "Bucket": BUCKET,
            "S3objectKey": key(number),
            "StoreTaskState": "Failed",
            "StoreTaskFailureReason": REASON,
            "ProgressPercentage": 50,
            "TaskStartTime": NOW,
        }
        for number in range(count)
    ]
    ec2 = SimpleNamespace(describe_store_image_tasks=lambda **_: {"StoreImageTaskResults": tasks})
    listing: Any = SimpleNamespace(list=lambda *_, **__: [stored(n) for n in range(count)])
    selection = _catalogue.Selection(bucket=BUCKET)
    return {
        "store_tasks": _catalogue.select_tasks(ec2, selection),
        "stored_images": _catalogue.catalogue(listing, selection, [], print),
    }


def archive_results(count: int) -> Any:
    """Each with every step that one run takes, and then a failure."""
    return {"images": [archived(number).describe() for number in range(count)]}


def archived(number: int) -> Entry:
    seen = image(number)
    steps = (Step.MARK_SNAPSHOTS, Step.UNPROTECT, Step.DEREGISTER, Step.DATE_SNAPSHOTS)
    found = Proof(Copy.READY, Proven.YES, stored=stored(number), verified_at=NOW)
    return Entry(
        image_id(number),
        seen,
        Plan(steps, ("changed_meanwhile", "stored", "test_unknown")),
        Verdict(True, (), ("used", "protected", "referenced")),
        found,
        NOW,
        done=list(steps),
        error=REASON,
    )


def retention_results(count: int) -> Any:
    family = _retention_images.Family("n" * 128, "123456789012", "ap-southeast-1", PREFIX)
    entries = [
        _retention_images.RetainedEntry(
            key=key(number),
            image_id=image_id(number),
            stored=stored(number),
            beside=frozenset(),
            modified=NOW,
            name="n" * 128,
            family=family,
            stored_at=NOW,
            failure=REASON,
        )
        for number in range(count)
    ]
    return {"images": _retention_report.results(entries)}


def manifest() -> Any:
    origin = _manifest.Origin("123456789012", "us-east-1", "aws", BUCKET, key(1))
    snapshots = [
        {
            "SnapshotId": f"snap-{disk:017x}",
            "Description": "d" * 255,
            "Tags": image(1).raw["Tags"],
            "Encrypted": True,
            "VolumeSize": 100,
        }
        for disk in range(DISKS)
    ]
    built = _manifest.build(origin, image(1).raw, snapshots, [], ["a"] * 10)
    return json.loads(built.dump())


def main(count: int) -> None:
    results = {
        "ec2_ami_store": store_results(count),
        "ec2_ami_restore": restore_results(count),
        "ec2_ami_store_info": info_results(count),
        "ec2_ami_archive": archive_results(count),
        "ec2_ami_store_retention": retention_results(count),
        "manifest": manifest(),
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main(int(sys.argv[1]))
