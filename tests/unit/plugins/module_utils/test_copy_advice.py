# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user is told to do where a side refuses."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    InputError,
    send_once,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_clients import check_bucket
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import State
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    DESTINATION,
    KMS_RIGHTS,
    LOOK,
    SOURCE,
    CopyError,
    Side,
    explain,
)
from tests.unit.cloud import Refusal
from tests.unit.relay import KEY, Relay, failing, passing
from tests.unit.s3_in_memory import SOURCE_BUCKET, TARGET_BUCKET

USER = "User: arn:aws:iam::111122223333:user/kms-admin is not authorized to perform: "
BAD_REQUEST = Refusal("400", "Bad Request", 400)


def side_of(relay: Relay, name: str, bucket: str = SOURCE_BUCKET) -> Side:
    return relay.side(name, bucket, relay.clock.now() + 3600)


def told(
    relay: Relay, refusal: Refusal, name: str = SOURCE, key: str = KEY, what: str = LOOK
) -> str:
    """Return what the user reads of a refusal."""
    side = side_of(relay, name)
    relay.s3.before["GetObject"] = [failing(refusal)]
    with pytest.raises(AmiStoreError) as refused:
        send_once("read it", side.client.get_object, Bucket=SOURCE_BUCKET, Key=key)
    return str(explain(side, what, key, refused.value).message)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDenied", f"{USER}s3:GetObject on resource: arn:aws:s3:::prod-kms-vault/a.bin"),
        ("AccessDenied", f"{USER}s3:GetObject on resource: arn:aws:s3:::vault/kms:Keys/a.bin"),
        ("AccessDenied", "Access Denied"),
    ],
)
def test_a_name_that_holds_kms_is_no_refusal_of_kms(relay: Relay, code: str, message: str) -> None:
    text = told(relay, Refusal(code, message, 403))
    assert "Needed are s3:GetObject" in text


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "AccessDenied",
            f"{USER}kms:Decrypt on resource: arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/1",
        ),
        ("AccessDenied", f"{USER}kms:GenerateDataKey because no policy allows it"),
        ("AccessDenied", "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/1 is pending deletion"),
        ("KMS.DisabledException", "It is disabled"),
    ],
)
def test_a_refusal_of_kms_names_the_rights_to_the_key(
    relay: Relay, code: str, message: str
) -> None:
    text = told(relay, Refusal(code, message, 403))
    assert KMS_RIGHTS in text
    assert "s3:GetObject" not in text


@pytest.mark.parametrize(
    ("name", "way_out"),
    [(SOURCE, "write it anew with SSE-S3 or SSE-KMS"), (DESTINATION, "give another prefix")],
)
def test_a_400_in_spite_of_good_credentials_may_be_a_key_of_the_writer(
    relay: Relay, name: str, way_out: str
) -> None:
    text = told(relay, BAD_REQUEST, name)
    assert f"The credentials of the {name} work" in text
    assert "SSE-C" in text
    assert way_out in text
    assert "Renew" not in text


@pytest.mark.parametrize("refusal", [Refusal("InvalidToken"), Refusal("AccessDenied", status=403)])
def test_a_400_whose_credentials_cannot_be_proved_asks_for_others(
    relay: Relay, refusal: Refusal
) -> None:
    relay.s3.always["ListObjectsV2"] = failing(refusal)
    text = told(relay, BAD_REQUEST)
    assert "Renew the credentials of the source: source_access_key" in text
    assert "SSE-C" not in text


def test_a_400_to_anything_but_a_look_is_about_no_key(relay: Relay) -> None:
    text = told(relay, BAD_REQUEST, what="read part 1 of")
    assert "Renew" not in text
    assert "SSE-C" not in text
    assert relay.s3.cloud.params("ListObjectsV2") == []


def test_a_bucket_that_cannot_be_looked_at_has_no_key_of_a_writer(relay: Relay) -> None:
    relay.s3.always["HeadBucket"] = failing(BAD_REQUEST)
    with pytest.raises(CopyError, match="Renew the credentials of the source"):
        check_bucket(side_of(relay, SOURCE))


@pytest.mark.parametrize(
    ("name", "bucket", "option"),
    [
        (SOURCE, SOURCE_BUCKET, " source_expected_bucket_owner asks for"),
        (DESTINATION, TARGET_BUCKET, " expected_bucket_owner asks for"),
    ],
)
def test_a_wrong_owner_names_the_option_of_its_side(
    relay: Relay, name: str, bucket: str, option: str
) -> None:
    side = side_of(relay, name, bucket)
    owned = Side(name, side.client, bucket, side.clock, side.deadline, owner="999988887777")
    with pytest.raises(InputError) as refused:
        check_bucket(owned)
    assert f"does not belong to account 999988887777, which{option}" in refused.value.message


@pytest.mark.parametrize("key", [KEY, "it's; rm -rf ~/$HOME `x`.bin", "two words.bin"])
def test_the_command_that_thaws_is_safe_to_paste(relay: Relay, key: str) -> None:
    relay.store(key=key, headers={"StorageClass": "DEEP_ARCHIVE"})
    entry = relay.copy(key=key)
    assert entry.state is State.FAILED
    command = entry.reason.partition("Bring it back first: ")[2].partition(", and run")[0]
    words = shlex.split(command)
    assert words[words.index("--key") + 1] == key


def test_a_source_encrypted_with_a_key_of_its_writer_fails_with_the_reason(relay: Relay) -> None:
    relay.store()

    def refuse(params: Any) -> None:
        if (params["Bucket"], params["Key"]) == (SOURCE_BUCKET, KEY):
            raise BAD_REQUEST
        passing(params)

    relay.s3.always["HeadObject"] = refuse
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "source s3://source-bucket/dr/" in entry.reason
    assert "SSE-C" in entry.reason
