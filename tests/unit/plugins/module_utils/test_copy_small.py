# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What copies of objects in one piece hold in memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import CopyEntry, State
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import MOST_TRIES
from tests.unit.relay import KEY, MIB, Relay
from tests.unit.s3_in_memory import SOURCE_BUCKET

PIECE = 40 * MIB
KMS = {"ServerSideEncryption": "aws:kms"}


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("encryption", [{}, KMS])
def test_a_single_piece_is_held_as_parts_are(
    relay: Relay, encryption: dict[str, str], tls: bool
) -> None:
    relay.source_tls = tls
    relay.store(bytes(PIECE), part=PIECE, encryption=encryption)
    held: dict[str, int] = {}

    def note(params: Any) -> None:
        if params["Key"] == KEY:
            held[f"put of {params['Bucket']}"] = copier.means.memory._held

    relay.s3.always["PutObject"] = note
    copier = relay.copier(part_size=PIECE, memory=PIECE)
    copier.copy(entry := CopyEntry(KEY, KEY))
    assert (entry.state, entry.reason, entry.parts) == (State.COPIED, "", 1)
    assert list(held.values()) == [PIECE]
    assert (copier.means.memory.most_held, copier.means.memory._held) == (PIECE, 0)


@pytest.mark.parametrize("tls", [True, False])
def test_no_byte_of_a_single_piece_is_held_twice(relay: Relay, tls: bool) -> None:
    relay.source_tls = tls
    relay.store(bytes(PIECE), part=PIECE, encryption=KMS)
    most: list[int] = []

    def note(params: Any, **_context: Any) -> None:
        most.append(tracemalloc.get_traced_memory()[1])
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject")

    events = relay.wire.clients["s3"].meta.events
    events.register_first("provide-client-params.s3.PutObject", note)
    tracemalloc.start()
    try:
        assert relay.copy(part_size=PIECE).state is State.FAILED
    finally:
        tracemalloc.stop()
        events.unregister("provide-client-params.s3.PutObject", note)
    assert most
    assert PIECE <= most[0] < 1.5 * PIECE


def test_a_single_piece_that_is_damaged_each_time_is_let_go(relay: Relay) -> None:
    relay.store(b"small")
    relay.s3.on_the_way = lambda operation, params, body: (
        b"smell" if operation == "GetObject" and params["Bucket"] == SOURCE_BUCKET else body
    )
    copier = relay.copier()
    copier.copy(entry := CopyEntry(KEY, KEY))
    assert entry.state is State.FAILED
    assert entry.counts.bytes_read == MOST_TRIES * len(b"small")
    assert (copier.means.memory.most_held, copier.means.memory._held) == (len(b"small"), 0)


def test_a_single_piece_read_otherwise_the_second_time_is_an_error(relay: Relay) -> None:
    relay.source_tls = False
    relay.store(b"small", encryption=KMS)
    bodies = [b"smell"]
    relay.s3.on_the_way = lambda operation, params, body: (
        bodies.pop() if operation == "GetObject" and params["Key"] == KEY and bodies else body
    )
    entry = relay.copy()
    assert entry.state is State.FAILED
    assert "reading it twice gave different bytes" in entry.reason
    assert not relay.s3.has(KEY)
