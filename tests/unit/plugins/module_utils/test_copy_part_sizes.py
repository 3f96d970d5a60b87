# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of sources whose parts have sizes that S3 tells in part, at times or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import State
from tests.unit.cloud import Refusal
from tests.unit.relay import BODY, KEY, PART, Relay, failing, passing

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
