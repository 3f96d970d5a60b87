# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ec2_ami_store_copy from its arguments to its result."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
import yaml

from ansible_collections.amistore.aws.plugins.module_utils._copy_useful import NEAR
from ansible_collections.amistore.aws.plugins.modules import ec2_ami_store_copy
from tests.unit.cloud import ACCOUNT, Cloud, Refusal
from tests.unit.module_runner import Result, Runner
from tests.unit.s3_in_memory import SOURCE_BUCKET, TARGET_BUCKET, S3InMemory, StoredThing

MODULE = ec2_ami_store_copy
WEB, DB = "ami-0abcdef1", "ami-0abcdef2"
BUCKETS = {"source_bucket": SOURCE_BUCKET, "bucket": TARGET_BUCKET}


@pytest.fixture
def s3(cloud: Cloud) -> S3InMemory:
    memory = S3InMemory(cloud)
    for image in (WEB, DB):
        memory.put(f"dr/{image}.bin", StoredThing(image.encode(), tags={"service": "shop"}))
        memory.put(f"dr/{image}.json", StoredThing(json.dumps({"format_version": 1}).encode()))
    return memory


def copy(run: Runner, **options: Any) -> Result:
    return run(**BUCKETS, **options)


def states(result: Result) -> list[str]:
    return [image["state"] for image in result["images"]]


@pytest.mark.parametrize("method", ["auto", "streaming", "server_side"])
def test_everything_under_a_prefix_is_copied_and_then_left_alone(
    run: Runner, s3: S3InMemory, method: str
) -> None:
    wanted = {"all": True, "source_prefix": "dr", "prefix": "copy", "method": method}
    first = copy(run, **wanted)
    assert not first.failed
    assert first["changed"]
    assert first["msg"] == f"2 stored images to s3://{TARGET_BUCKET}: 2 copied."
    assert [image["object_key"] for image in first["images"]] == [
        f"copy/{WEB}.bin",
        f"copy/{DB}.bin",
    ]
    assert s3.get(f"copy/{DB}.bin").body == DB.encode()
    assert s3.has(f"copy/{DB}.json")
    second = copy(run, **wanted)
    assert (second.failed, second["changed"]) == (False, False)
    assert second["msg"] == f"2 stored images to s3://{TARGET_BUCKET}: 2 there already."


def test_results_are_in_the_order_given_and_say_what_happened(run: Runner, s3: S3InMemory) -> None:
    result = copy(run, image_ids=[DB, WEB], source_prefix="dr", method="streaming")
    image = result["images"][0]
    assert image["source_key"] == image["object_key"] == f"dr/{DB}.bin"
    assert (image["source_bucket"], image["bucket"]) == (SOURCE_BUCKET, TARGET_BUCKET)
    assert image["manifest_key"] == f"dr/{DB}.json"
    assert (image["size"], image["parts"], image["parts_sent"]) == (len(DB), 1, 1)
    assert (image["method"], image["method_reason"]) == ("streaming", "asked for")
    assert image["proof"]["destination"] == "read back"
    assert image["reason"] is None


def test_one_failure_hides_nothing_of_the_others(run: Runner, s3: S3InMemory) -> None:
    keys = ["dr/gone.bin", f"dr/{WEB}.bin"]
    result = copy(run, object_keys=keys)
    assert result.failed
    assert result["changed"]
    assert states(result) == ["Failed", "Copied"]
    assert result["msg"].startswith(
        f"2 stored images to s3://{TARGET_BUCKET}: 1 failed, 1 copied. dr/gone.bin: source"
    )


def test_what_stops_the_run_leaves_the_rest_for_the_next(run: Runner, s3: S3InMemory) -> None:
    def expire(params: Any) -> None:
        if params["Bucket"] == TARGET_BUCKET:
            raise Refusal("ExpiredToken", status=400)

    s3.always["PutObject"] = expire
    result = copy(run, image_ids=[WEB, DB], source_prefix="dr", method="streaming")
    assert result.failed
    assert states(result) == ["Failed", "NotCopied"]
    assert "credentials of the destination have expired" in result["msg"]


def test_check_mode_predicts(run: Runner, s3: S3InMemory) -> None:
    copy(run, image_ids=[WEB], source_prefix="dr")
    calls = len(s3.cloud.mutations())
    result = run(check=True, **BUCKETS, image_ids=[WEB, DB], source_prefix="dr")
    assert not result.failed
    assert result["changed"]
    assert states(result) == ["Present", "NotCopied"]
    assert "1 there already, 1 would be copied (check mode, nothing was changed)" in result["msg"]
    assert len(s3.cloud.mutations()) == calls


def test_diff_shows_the_tags(run: Runner, s3: S3InMemory) -> None:
    result = copy(run, image_ids=[WEB], source_prefix="dr", tags={"stage": "new"})
    (difference,) = result["diff"]
    assert difference["before"] == {}
    assert difference["after"] == {"service": "shop", "stage": "new"}


def test_the_clients_stay_out_of_the_garbage_collectors_sight(
    run: Runner, s3: S3InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    sights: list[tuple[int, int]] = []
    freeze = gc.freeze

    def note() -> None:
        sights.append((len(run.services), gc.get_freeze_count()))
        freeze()

    monkeypatch.setattr(gc, "freeze", note)
    copy(run, image_ids=[WEB], source_prefix="dr")
    assert sights == [(2, 0)]


def test_an_empty_list_is_a_success(run: Runner, s3: S3InMemory) -> None:
    result = copy(run, object_keys=[])
    assert (result.failed, result["changed"], result["images"]) == (False, False, [])
    assert run.services == []


def test_wrong_options_fail_before_anything_is_asked(run: Runner, s3: S3InMemory) -> None:
    result = copy(run, object_keys=["a"], all=True)
    assert result.failed
    assert "both given" in result["msg"]
    assert (result["changed"], result["images"]) == (False, [])
    assert s3.cloud.calls == []


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_bucket_that_does_not_exist_is_named(run: Runner, s3: S3InMemory, side: str) -> None:
    option = "source_bucket" if side == "source" else "bucket"
    result = run(**{**BUCKETS, option: "nowhere"}, object_keys=["a"])
    assert result.failed
    assert f"{side}: bucket 'nowhere' does not exist" in result["msg"]
    assert states(result) == ["NotCopied"]


def test_a_bucket_in_another_region_names_the_option(run: Runner, s3: S3InMemory) -> None:
    s3.cloud.bucket_region = "ap-south-1"
    result = copy(run, object_keys=["a"])
    assert result.failed
    assert "set source_region: ap-south-1" in result["msg"]
    assert "s3://source-bucket is in Region ap-south-1" in result["msg"]


def test_each_side_carries_its_own_expected_owner(run: Runner, s3: S3InMemory) -> None:
    owners = {"source_expected_bucket_owner": ACCOUNT, "expected_bucket_owner": ACCOUNT}
    assert not copy(run, object_keys=[f"dr/{WEB}.bin"], **owners).failed
    asked = [call for call in s3.cloud.calls if call.operation != "HeadBucket"]
    assert all(call.params["ExpectedBucketOwner"] == ACCOUNT for call in asked)
    (copied,) = s3.cloud.params("CopyObject")
    assert copied["ExpectedSourceBucketOwner"] == ACCOUNT
    other = {**owners, "source_expected_bucket_owner": "999988887777"}
    result = copy(run, object_keys=[f"dr/{WEB}.bin"], **other)
    assert result.failed
    assert "source: bucket 'source-bucket' does not belong to account 999988887777" in result["msg"]


@pytest.mark.parametrize(
    ("source_prefix", "prefix", "refused"),
    [("", "copy", True), ("dr", "dr/copy", True), ("dr", "dr", True), ("dr", "dr2", False)],
)
def test_copies_do_not_come_to_lie_among_their_sources(
    run: Runner, s3: S3InMemory, source_prefix: str, prefix: str, refused: bool
) -> None:
    places = {"source_bucket": SOURCE_BUCKET, "bucket": SOURCE_BUCKET}
    result = run(**places, all=True, source_prefix=source_prefix, prefix=prefix)
    assert result.failed is refused
    assert ("would copy the copies" in result["msg"]) is refused
    assert bool(s3.cloud.mutations()) is not refused


def test_source_credentials_are_neither_shown_nor_needed(run: Runner, s3: S3InMemory) -> None:
    result = copy(
        run,
        object_keys=[f"dr/{WEB}.bin"],
        source_access_key="AKIAEXAMPLE",
        source_secret_key="a-secret-of-the-source",
        source_session_token="a-token-of-the-source",
    )
    assert not result.failed
    assert "of-the-source" not in json.dumps(result.values)


def test_the_documentation_tells_with_how_many_parts_a_copy_begins() -> None:
    options = yaml.safe_load(ec2_ami_store_copy.DOCUMENTATION)["options"]
    assert f"each object begins with {NEAR}," in " ".join(options["concurrency"]["description"])


def test_a_bucket_of_the_examples_is_in_one_region() -> None:
    regions: dict[str, set[str]] = {}
    for example in yaml.safe_load(ec2_ami_store_copy.EXAMPLES):
        given = example["amistore.aws.ec2_ami_store_copy"]
        here = given.get("region")
        regions.setdefault(given["bucket"], set()).add(here)
        regions.setdefault(given["source_bucket"], set()).add(given.get("source_region", here))
    assert {len(places - {None}) for places in regions.values()} <= {0, 1}
    assert regions["my-ami-bucket"] == {"us-east-1", None}


def test_check_mode_foresees_nothing_for_what_it_did_not_come_to(
    run: Runner, s3: S3InMemory
) -> None:
    keys = [f"dr/{WEB}.bin", f"dr/{DB}.bin", "dr/third.bin", "dr/fourth.bin"]

    def expire(params: Any) -> None:
        if params["Key"] == keys[1]:
            raise Refusal("ExpiredToken", status=400)

    s3.always["GetObjectTagging"] = expire
    result = run(check=True, **BUCKETS, object_keys=keys)
    assert result.failed
    assert states(result) == ["NotCopied", "Failed", "NotCopied", "NotCopied"]
    assert result["msg"].startswith(
        f"4 stored images to s3://{TARGET_BUCKET}: 1 failed, 1 would be copied, 2 not looked at"
        " (check mode, nothing was changed). "
    )
    assert "credentials of the source have expired" in result["msg"]
