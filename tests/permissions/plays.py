# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole uses of the collection, each of which needs every action of its policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.amazon.aws.plugins.modules import ec2_ami

from ansible_collections.amistore.aws.plugins.modules import (
    ec2_ami_archive,
    ec2_ami_restore,
    ec2_ami_store,
    ec2_ami_store_copy,
    ec2_ami_store_info,
    ec2_ami_store_retention,
    ec2_ami_usage_info,
)

from .stage import CALLER_KEY, OWNER_KEY, REGION, Outcome, Stage

BUCKET = "vault"
PREFIX = "dr"
PLACE: dict[str, Any] = {"bucket": BUCKET, "prefix": PREFIX}
TWO_YEARS = 2 * 365 * 24 * 3600
PLANNED = "planned by the test"
FRIEND = "444455556666"
"""An account that AMIs are shared with."""
ELSEWHERE = "elsewhere"
"""The other side of a copy, where everybody may do everything."""
SEVERAL_PARTS = 24 * 1024**2
EVERYTHING: dict[str, Any] = {"include": ["tags", "encryption", "manifest"], **PLACE}
KEY_ARN = f"arn:aws:kms:{REGION}:123456789012:key/{{}}"
BUCKET_KEY = KEY_ARN.format("11111111-1111-1111-1111-111111111111")
SNAPSHOT_KEY = KEY_ARN.format("22222222-2222-2222-2222-222222222222")

# The runs of an archive, and a step that each of them takes.
ARCHIVING = (
    ("disabled", "disable"),
    ("available", "enable"),
    ("deregistered", "deregister"),
    ("deregistered", "delete_snapshots"),
)

Play = Callable[[Stage], Iterator[Outcome]]


def store(stage: Stage) -> Iterator[Outcome]:
    """Store an encrypted AMI with tags, change the tags, look at it all, remove the tags."""
    image_id = plant_image(stage)
    yield stage.run(ec2_ami_store, image_ids=[image_id], tags={"week": "1"}, **PLACE)
    yield stage.run(
        ec2_ami_store, image_ids=[image_id], tags={"day": "2"}, purge_tags=True, **PLACE
    )
    yield stage.run(ec2_ami_store_info, **EVERYTHING)
    yield stage.run(ec2_ami_store, image_ids=[image_id], tags={}, purge_tags=True, **PLACE)


def restore(stage: Stage) -> Iterator[Outcome]:
    """Restore in vain, then well, share and record that, change the tags, look at it all."""
    image_id = stored_image(stage, shared_with=[FRIEND])
    stage.client("ec2").deregister_image(ImageId=image_id)
    key = f"{PREFIX}/{image_id}.bin"
    stage.emulator.scenario(restore_failures={key: {"reason": PLANNED, "times": 1}})
    failed = stage.run(ec2_ami_restore, all=True, tags={"drill": "1"}, **PLACE)
    if PLANNED not in failed.text:
        yield failed
        return
    yield stage.run(
        ec2_ami_restore,
        all=True,
        tags={"drill": "1"},
        verify="strict",
        record_evidence=True,
        launch_permissions="restore",
        allowed_launch_permissions=[FRIEND],
        **PLACE,
    )
    yield stage.run(ec2_ami_restore, all=True, tags={"done": "2"}, purge_tags=True, **PLACE)
    yield stage.run(ec2_ami_store_info, **EVERYTHING)


def cleanup(stage: Stage) -> Iterator[Outcome]:
    """Thin out stored images, remove one whose AMI is there, and an AMI restored for a drill."""
    removed = stored_image(stage, name="gone")
    stage.client("ec2").deregister_image(ImageId=removed)
    stored_image(stage, name="older")
    stage.emulator.advance(60)
    image_id = stored_image(stage)
    rule: dict[str, Any] = {"family_tag": "team", "keep_newest": 1, **PLACE}
    for gone in (True, False):
        thinned = stage.run(ec2_ami_store_retention, **rule, gone_only=gone, last_copies=gone)
        # What may not be read is kept, which is no failure.
        not_one_went = thinned.values["totals"]["deleted"] != 1
        yield Outcome({**thinned.values, "failed": thinned.failed or not_one_went})
    place = {"bucket": BUCKET, "object_key": f"{PREFIX}/{image_id}.bin"}
    drill = stage.run(ec2_ami_restore, key=OWNER_KEY, name="web-drill", **place)
    restored = drill.values["images"][0]["image_id"]
    for _run in ("removes", "finds nothing"):
        yield stage.run(ec2_ami_store, image_ids=[image_id], state="absent", **PLACE)
    yield stage.run(ec2_ami, image_id=restored, state="absent", delete_snapshot=True)


def copy_source(stage: Stage) -> Iterator[Outcome]:
    """Copy what lies under a prefix elsewhere, twice, and once more with other tags."""
    stage.emulator.scenario(object_size=SEVERAL_PARTS)
    stored_image(stage)
    stage.emulator.plant_buckets({"name": ELSEWHERE})
    place = {"source_bucket": BUCKET, "source_prefix": PREFIX, "bucket": ELSEWHERE}
    for tags in ({}, {}, {"copied": "1"}):
        yield stage.run(
            ec2_ami_store_copy,
            key=OWNER_KEY,
            **source_of(CALLER_KEY),
            **place,
            all=True,
            method="streaming",
            tags=tags,
        )


def copy_destination(stage: Stage) -> Iterator[Outcome]:
    """Stop two copies halfway, go on with the first, and begin the second anew when it is old."""
    stage.emulator.scenario(object_size=SEVERAL_PARTS)
    stage.emulator.plant_buckets({"name": ELSEWHERE})
    for days, size in ((0, 5), (8, 9)):
        image_id = plant_image(stage, f"web-{days}")
        origin = {"bucket": ELSEWHERE, "prefix": PREFIX}
        stored = stage.run(ec2_ami_store, key=OWNER_KEY, image_ids=[image_id], **origin)
        assert not stored.failed, stored.text
        stopped = _copy_here(stage, image_id, 5, stop=True)
        if PLANNED not in stopped.text:
            yield stopped
            return
        stage.emulator.advance(days * 86400)
        yield _copy_here(stage, image_id, size)
        yield _copy_here(stage, image_id, size, tags={"copied": "1"})


def _copy_here(stage: Stage, image_id: str, part_size: int, stop: bool = False, **more: Any) -> Any:
    fault = {"action": "GetObject", "bucket": ELSEWHERE, "key": "*.bin", "after": 1}
    fault |= {"error": "AccessDenied", "message": PLANNED}
    stage.emulator.scenario(faults=[fault] if stop else [])
    return stage.run(
        ec2_ami_store_copy,
        **source_of(OWNER_KEY),
        source_bucket=ELSEWHERE,
        source_prefix=PREFIX,
        bucket=BUCKET,
        image_ids=[image_id],
        method="streaming",
        concurrency=1,
        part_size=part_size,
        **more,
    )


def usage(stage: Stage) -> Iterator[Outcome]:
    """Ask about an AMI that nothing keeps, and all that can be told of it."""
    image_id = plant_image(stage, age=TWO_YEARS)
    everything = {"include": ["ancestry", "launch_permissions"], **PLACE}
    yield stage.run(ec2_ami_usage_info, image_ids=[image_id], **everything)


def archive(stage: Stage) -> Iterator[Outcome]:
    """Disable a stored AMI, take it back, deregister it, and delete its snapshots a week later."""
    protected = "enabled-without-cooldown"
    plant_image(stage, "not-stored", age=TWO_YEARS)
    image_id = plant_image(stage, age=TWO_YEARS, deregistration_protection=protected)
    stored = stage.run(ec2_ami_store, key=OWNER_KEY, image_ids=[image_id], **PLACE)
    assert not stored.failed, stored.text
    everything: dict[str, Any] = {"all": True, "allow": ["protected"], **PLACE}
    for end_state, _step in ARCHIVING:
        if end_state == "deregistered":
            everything |= {"accept_untested": True, "snapshots_after_days": 7}
        yield stage.run(ec2_ami_archive, end_state=end_state, **everything)
        stage.emulator.advance(8 * 86400)


def source_of(key: str) -> dict[str, Any]:
    """The options that let a copy read with the rights of this caller."""
    return {"source_access_key": key, "source_secret_key": "not checked"}


PLAYS: dict[str, Play] = {
    "store": store,
    "restore": restore,
    "cleanup": cleanup,
    "copy_source": copy_source,
    "copy_destination": copy_destination,
    "usage": usage,
    "archive": archive,
}


def plant_image(stage: Stage, name: str = "web", **values: Any) -> str:
    """An AMI with two disks, one of them encrypted where the stage has a key."""
    data = {"encrypted": True, "kms_key_id": stage.snapshot_key} if stage.snapshot_key else {}
    volumes = [
        {"device": "/dev/xvda", "size": 8, "snapshot_tags": {"disk": "root"}},
        {"device": "/dev/xvdb", "size": 1, **data},
    ]
    image = {"name": name, "tags": {"app": name, "team": "shop"}, "volumes": volumes, **values}
    return stage.emulator.seed([image])[0]


def stored_image(stage: Stage, name: str = "web", **values: Any) -> str:
    """The id of an AMI that the owner has stored."""
    image_id = plant_image(stage, name, **values)
    outcome = stage.run(ec2_ami_store, key=OWNER_KEY, image_ids=[image_id], **PLACE)
    assert not outcome.failed, outcome.text
    return image_id


def first_failure(play: Play, stage: Stage) -> Outcome | None:
    """Run the play up to its first failure."""
    return next((outcome for outcome in play(stage) if outcome.failed), None)


def encrypt(stage: Stage) -> str:
    """Let bucket and snapshots be encrypted with keys of the customer; the key of new snapshots."""
    stage.snapshot_key = SNAPSHOT_KEY
    by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": BUCKET_KEY}
    stage.client("s3").put_bucket_encryption(
        Bucket=BUCKET,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": True}]
        },
    )
    stage.emulator.scenario(encryption_by_default=True)
    key = str(stage.client("kms").create_key()["KeyMetadata"]["Arn"])
    stage.client("ec2").modify_ebs_default_kms_key_id(KmsKeyId=key)
    return key
