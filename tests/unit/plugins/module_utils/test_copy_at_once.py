# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs that copy the same object at the same time, call by call in an order left to chance."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import CopyEntry, State
from tests.unit.cloud import Refusal
from tests.unit.relay import BODY, KEY, Relay, failing, passing
from tests.unit.s3_in_memory import TARGET_BUCKET, StoredThing

LONGEST_CALL = 0.02
CALLS = (
    "HeadObject",
    "GetObject",
    "CreateMultipartUpload",
    "ListParts",
    "UploadPart",
    "CompleteMultipartUpload",
    "PutObject",
)


def _copy_twice_at_once(relay: Relay, seed: int, **options: Any) -> list[CopyEntry]:
    chance, never = random.Random(seed), threading.Event()

    def take_time(_params: Any) -> None:
        never.wait(chance.random() * LONGEST_CALL)

    relay.s3.always = dict.fromkeys(CALLS, take_time)
    entries = [CopyEntry(KEY, KEY), CopyEntry(KEY, KEY)]
    runs = [
        threading.Thread(target=relay.copier(concurrency=2, **options).copy, args=(entry,))
        for entry in entries
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    relay.s3.always = {}
    return entries


@pytest.mark.parametrize("kms", [True, False])
@pytest.mark.parametrize("before", ["nothing", "an upload", "another object"])
@pytest.mark.parametrize("seed", range(3))
def test_two_runs_at_once_both_end_well_and_leave_nothing(
    relay: Relay, kms: bool, before: str, seed: int
) -> None:
    relay.s3.kms = kms
    relay.store()
    if before == "an upload":
        refusal = Refusal("AccessDenied", status=403)
        relay.s3.before["UploadPart"] = [passing] * 4 + [failing(refusal)]
        assert relay.copy().state is State.FAILED
    elif before == "another object":
        relay.s3.put(KEY, StoredThing(b"another"), TARGET_BUCKET)
    entries = _copy_twice_at_once(relay, seed, overwrite=before == "another object")
    assert {entry.state for entry in entries} <= {State.COPIED, State.PRESENT}, entries
    assert relay.s3.get(KEY).body == BODY
    assert relay.s3.uploads == {}
    assert not relay.copy().changed
