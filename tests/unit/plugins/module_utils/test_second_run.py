# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a second run over a thousand stored AMIs asks of AWS."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._fleet import Phase
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Origin
from ansible_collections.amistore.aws.plugins.module_utils._pacing import STORE_LIMITS
from ansible_collections.amistore.aws.plugins.module_utils._report import Report
from ansible_collections.amistore.aws.plugins.module_utils._run import RunOptions, run
from ansible_collections.amistore.aws.plugins.module_utils._store import (
    StoreEntry,
    StoreOperation,
    StoreOptions,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.unit.plugins.module_utils.fake_aws import BUCKET, HERE, FakeAws, StoredThing

COUNT = 1000
IDS = [f"ami-{number:08x}" for number in range(COUNT)]
HOUR = 3600.0


@pytest.fixture
def aws() -> FakeAws:
    """An account whose AMIs are gone: everything has to be seen in the bucket."""
    world = FakeAws()
    for image_id in IDS:
        stored = StoredThing(b"image", {"a": "1"}, since=HOUR, begun=0.0)
        world.objects[BUCKET, f"dr/{image_id}.bin"] = stored
        world.objects[BUCKET, f"dr/{image_id}.json"] = StoredThing(b"unread", {}, since=HOUR + 5)
    world.clock.pass_by(2 * HOUR)
    return world


def run_again(aws: FakeAws, **options: Any) -> Report[StoreEntry]:
    def origin(key: str) -> Origin:
        return Origin(HERE.account, HERE.region, "aws", BUCKET, key)

    bucket = Bucket(aws.s3, BUCKET)
    asked = StoreOptions(BUCKET, "dr", **options)
    operation = StoreOperation(aws.ec2, aws.ec2, bucket, asked, aws.clock, origin)
    report = Report(operation.entries(IDS), "stored")
    options_of_run = RunOptions(check_mode=False, wait=True, wait_timeout=7200)
    run(
        operation,
        STORE_LIMITS,
        options_of_run,
        aws.clock,
        lambda: bucket.check(HERE.region),
        report,
    )
    return report


def requests(aws: FakeAws) -> Counter[str]:
    return Counter(call.operation for call in aws.calls)


def test_it_takes_two_pages_of_a_listing_and_changes_nothing(aws: FakeAws) -> None:
    report = run_again(aws)
    assert {entry.phase for entry in report.entries} == {Phase.DONE}
    assert [entry.manifest_key for entry in report.entries] == [f"dr/{each}.json" for each in IDS]
    assert not report.changed
    assert report.warnings == []
    assert requests(aws) == {"HeadBucket": 1, "ListObjectsV2": 2}
    assert aws.clock.sleeps == []


@pytest.mark.parametrize("purge", [False, True])
def test_tags_are_read_only_when_they_are_asked_for(aws: FakeAws, purge: bool) -> None:
    report = run_again(aws, tags={"a": "1"}, purge_tags=purge)
    assert not report.changed
    assert requests(aws) == {"HeadBucket": 1, "ListObjectsV2": 2, "GetObjectTagging": COUNT}


def test_one_that_is_missing_is_the_only_one_that_ec2_is_asked_about(aws: FakeAws) -> None:
    aws.add_image("missing", image_id=IDS[7])
    del aws.objects[BUCKET, f"dr/{IDS[7]}.bin"], aws.objects[BUCKET, f"dr/{IDS[7]}.json"]
    with aws.in_virtual_time():
        report = run_again(aws)
    assert [entry.image_id for entry in report.entries if entry.changed] == [IDS[7]]
    assert requests(aws)["CreateStoreImageTask"] == 1
    assert requests(aws)["GetObject"] == 1
