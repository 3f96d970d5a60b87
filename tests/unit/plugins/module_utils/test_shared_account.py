# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation learns of others in the account, and what it leaves to them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._fleet import Phase
from ansible_collections.amistore.aws.plugins.module_utils._images import Image
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Origin, build
from ansible_collections.amistore.aws.plugins.module_utils._restore import (
    LOCATION_TAG,
    RestoreEntry,
    RestoreOperation,
    RestoreOptions,
)
from ansible_collections.amistore.aws.plugins.module_utils._store import (
    StoreOperation,
    StoreOptions,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.unit.plugins.module_utils.fake_aws import (
    BUCKET,
    HERE,
    OTHER_BUCKET,
    Ami,
    FakeAws,
    StoredThing,
)
from tests.unit.plugins.module_utils.virtual_clock import EPOCH


def origin(key: str) -> Origin:
    return Origin(HERE.account, HERE.region, "aws", BUCKET, key)


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws(latency=0.0)


def storing(aws: FakeAws) -> StoreOperation:
    bucket = Bucket(aws.s3, BUCKET)
    return StoreOperation(aws.ec2, aws.ec2, bucket, StoreOptions(BUCKET), aws.clock, origin)


def test_stores_of_others_are_told_once_with_their_start(aws: FakeAws) -> None:
    for image_id in ("ami-00000001", "ami-00000002"):
        aws.add_image(image_id, 100, image_id=image_id)
        aws.store_elsewhere(image_id, OTHER_BUCKET, f"{image_id}.bin")
        aws.clock.pass_by(50.0)
    aws.add_image("ours", image_id="ami-00000003")
    operation = storing(aws)
    entries = operation.entries(["ami-00000003"])
    operation.observe(entries)
    assert sorted(operation.starts_seen()) == [EPOCH, EPOCH + timedelta(seconds=50)]
    operation.start(entries[0])
    operation.survey(entries)
    assert operation.starts_seen() == []


def test_restores_of_others_and_of_an_earlier_run_are_told_once(aws: FakeAws) -> None:
    ours = {LOCATION_TAG: f"{BUCKET}/web.bin"}
    aws.objects[BUCKET, "web.bin"] = StoredThing(b"image", {})
    aws.add_image("web", tags=ours, created=20.0)
    aws.add_image("other", state="pending", tags={LOCATION_TAG: "x/y.bin"}, created=30.0)
    aws.add_image("no restore", state="pending", created=40.0)
    operation = RestoreOperation(
        aws.ec2, aws.ec2, Bucket(aws.s3, BUCKET), RestoreOptions(BUCKET, adopt=True)
    )
    operation.observe([RestoreEntry(label="web", object_key="web.bin", name="web")])
    told = [EPOCH + timedelta(seconds=seconds) for seconds in (20, 30)]
    assert sorted(operation.starts_seen()) == told
    assert operation.starts_seen() == []


@pytest.mark.parametrize("text", [None, "", "yesterday"])
def test_an_ami_without_a_date_has_none(text: str | None) -> None:
    facts = Ami("ami-00000001", "web").described() | {"CreationDate": text}
    assert Image.from_aws(facts).created is None


def test_more_questions_about_tasks_than_aws_takes_at_once_are_spread(aws: FakeAws) -> None:
    operation = storing(aws)
    entries = operation.entries(f"ami-{number:08x}" for number in range(1100))
    document = build(origin("key"), Ami("ami-00000001", "web").described(), [], None, ()).dump()
    for entry in entries:
        entry.phase = Phase.RUNNING
        aws.objects[BUCKET, entry.key] = StoredThing(b"image", {})
        aws.objects[BUCKET, entry.key.replace(".bin", ".json")] = StoredThing(document, {})
    operation.look(entries)
    assert {entry.phase for entry in entries} == {Phase.DONE}
    asked = [call.time for call in aws.calls if call.operation == "DescribeStoreImageTasks"]
    assert asked == pytest.approx([0.0] * 50 + [2.0, 4.0, 6.0, 8.0, 10.0])
