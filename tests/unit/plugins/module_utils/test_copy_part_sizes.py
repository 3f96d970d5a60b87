# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of sources whose parts have sizes that S3 tells in part, at times or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import State
from tests.unit.cloud import Refusal
from tests.unit.relay import BODY, KEY, MIB, PART, Relay, failing, passing
from tests.unit.s3_in_memory import SOURCE_BUCKET, StoredThing, composite, sha256

# Larger than the smallest part, so that a copy that follows it is cut otherwise than one that
# does not.
SOURCE_PART = PART + 1000


def refusing_parts(refusal: Refusal) -> Any:
    """Refuse to look at a part."""

    def refuse(params: Any) -> None:
        if "PartNumber" in params:
            raise refusal

    return refuse


# When the server does not tell


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("code", ["500", "503", "SlowDown"])
def test_a_server_too_busy_to_tell_the_part_size_does_not_cost_the_parts_that_are_there(
    relay: Relay, code: str, versioned: bool
) -> None:
    relay.s3.versioned = versioned
    relay.store(part=SOURCE_PART)
    relay.s3.before["UploadPart"] = [passing] * 4 + [failing(Refusal("AccessDenied", status=403))]
    assert relay.copy().state is State.FAILED
    sent = relay.s3.sent_parts()
    relay.s3.always["HeadObject"] = refusing_parts(Refusal(code, status=503))
    busy = relay.copy()
    assert busy.state is State.FAILED
    assert "cannot look at the parts of it" in busy.reason
    assert (code in busy.reason, "goes on from what is there" in busy.reason) == (True, True)
    assert relay.s3.sent_parts() == sent
    del relay.s3.always["HeadObject"]
    entry = relay.copy()
    assert (entry.state, entry.parts_reused) == (State.COPIED, 2), entry.reason


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("code", ["400", "403", "405", "416", "501", "NotImplemented"])
def test_a_server_that_cannot_tell_the_part_size_is_no_obstacle(
    relay: Relay, code: str, versioned: bool
) -> None:
    relay.s3.versioned = versioned
    relay.store(part=SOURCE_PART)
    status = int(code) if code.isdigit() else 501
    relay.s3.always["HeadObject"] = refusing_parts(Refusal(code, status=status))
    entry = relay.copy()
    assert (entry.state, entry.reason) == (State.COPIED, "")
    assert relay.s3.get(KEY).body == BODY


# When the parts between the first and the last are of other sizes

UNEVEN = (PART + MIB, PART, PART + 2 * MIB, PART + MIB)
"""As many as even ones would be, the last one as long as if all were."""


def store_uneven(relay: Relay, **facts: Any) -> bytes:
    pieces = [bytes([number]) * size for number, size in enumerate(UNEVEN)]
    relay.s3.put(KEY, StoredThing.of(pieces, **facts))
    return b"".join(pieces)


def looks_at_parts(relay: Relay) -> list[int]:
    heads = relay.s3.cloud.params("HeadObject")
    return [params["PartNumber"] for params in heads if "PartNumber" in params]


@pytest.mark.parametrize(
    ("options", "tls", "source"),
    [
        ({}, True, "tls"),
        ({}, False, "read twice"),
        ({"part_size": 2 * (PART + MIB)}, True, "tls"),
        ({"kms_key_id": "key-1"}, True, "tls"),
        ({"method": "server_side"}, True, "s3"),
        ({"part_size": 40 * MIB}, True, "tls"),
        ({"part_size": 40 * MIB}, False, "read twice"),
    ],
)
@pytest.mark.parametrize("versioned", [True, False])
def test_a_source_whose_last_part_hides_that_parts_differ_is_copied(
    relay: Relay, options: dict[str, Any], tls: bool, source: str, versioned: bool
) -> None:
    relay.source_tls, relay.s3.versioned = tls, versioned
    body = store_uneven(relay)
    entry = relay.copy(**options)
    assert (entry.state, entry.reason) == (State.COPIED, "")
    assert entry.proof is not None
    assert entry.proof["source"] == source
    assert relay.s3.get(KEY).body == body
    assert set(looks_at_parts(relay)) == {1, 2, 3, 4}
    assert relay.s3.uploads == {}
    again = relay.copy(**options)
    assert (again.state, again.changed) == (State.PRESENT, False)


def test_a_checksum_of_parts_that_differ_is_not_held_against_even_ones(relay: Relay) -> None:
    relay.source_tls = False
    sums = composite([sha256(bytes([number]) * size) for number, size in enumerate(UNEVEN)])
    store_uneven(relay, sha256=sums, encryption={"ServerSideEncryption": "aws:kms"})
    entry = relay.copy()
    assert (entry.state, entry.reason) == (State.COPIED, "")
    assert entry.proof is not None
    assert entry.proof["source"] == "read twice"


@pytest.mark.parametrize("part_size", [None, 40 * MIB])
def test_damage_to_a_source_whose_parts_differ_is_seen_by_reading_twice(
    relay: Relay, part_size: int | None
) -> None:
    relay.source_tls = False
    store_uneven(relay)
    damaged = list[str]()

    def damage(operation: str, params: Any, body: bytes) -> bytes:
        if operation != "GetObject" or damaged or params["Bucket"] != SOURCE_BUCKET:
            return body
        damaged.append(params["Key"])
        return body[:-1] + b"!"

    relay.s3.on_the_way = lambda operation, params, body: (
        body if params["Key"] != KEY else damage(operation, params, body)
    )
    entry = relay.copy(part_size=part_size)
    assert (entry.state, damaged) == (State.FAILED, [KEY])
    assert "reading it twice gave different bytes" in entry.reason
    assert (relay.s3.has(KEY), relay.s3.uploads) == (False, {})
    assert relay.copy(part_size=part_size).state is State.COPIED


def damaging_the_source(operation: str, params: Any, body: bytes) -> bytes:
    whole = operation != "GetObject" or params["Key"] != KEY
    return body if whole or params["Bucket"] != SOURCE_BUCKET else body[:-1] + b"!"


@pytest.mark.parametrize("part_size", [None, 40 * MIB])
def test_damage_to_a_source_in_even_parts_stays_an_error(
    relay: Relay, part_size: int | None
) -> None:
    relay.store()
    relay.s3.on_the_way = damaging_the_source
    entry = relay.copy(part_size=part_size)
    assert entry.state is State.FAILED
    assert "does not have the checksum that S3 gives for" in entry.reason
    assert set(looks_at_parts(relay)) == {1, 2, 3, 4}
    assert (relay.s3.has(KEY), relay.warnings) == (False, [])


@pytest.mark.parametrize("part_size", [None, 40 * MIB])
@pytest.mark.parametrize("told", ["nothing", "the whole"])
def test_parts_that_the_server_does_not_tell_are_named_beside_the_error(
    relay: Relay, told: str, part_size: int | None
) -> None:
    body = store_uneven(relay)

    def tell(params: Any) -> None:
        if params.get("PartNumber") == 3:
            if told == "nothing":
                raise Refusal("501", status=501)
            relay.s3.get(KEY, SOURCE_BUCKET).part_sizes[2] = len(body)

    relay.s3.always["HeadObject"] = tell
    entry = relay.copy(part_size=part_size)
    assert entry.state is State.FAILED
    assert "does not have the checksum that S3 gives for" in entry.reason
    assert not relay.s3.has(KEY)
    assert "parts of different sizes" in relay.warnings[0]


def test_a_server_too_busy_to_tell_all_part_sizes_keeps_the_parts_that_are_there(
    relay: Relay,
) -> None:
    store_uneven(relay)

    def tell(params: Any) -> None:
        if params.get("PartNumber") == 2:
            raise Refusal("503", status=503)

    relay.s3.always["HeadObject"] = tell
    busy = relay.copy()
    assert busy.state is State.FAILED
    assert "4 of 4 parts are at the destination" in busy.reason
    del relay.s3.always["HeadObject"]
    entry = relay.copy()
    assert (entry.state, entry.parts_reused) == (State.COPIED, 4), entry.reason
