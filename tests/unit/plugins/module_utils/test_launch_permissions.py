# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which launch permissions of a manifest are restored: a test per row, and what may be allowed."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._aws import InputError
from ansible_collections.amistore.aws.plugins.module_utils._launch_permissions import (
    Choice,
    as_texts,
    choose,
    clean_allowed,
)
from tests.unit.decision_tables import rows

ACCOUNT = "111122223333"
ORGANIZATION = "arn:aws:organizations::111122223333:organization/o-0123456789"
UNIT = "arn:aws-us-gov:organizations::111122223333:ou/o-0123456789/ou-ab12-34567890"
NAMED: list[dict[str, str]] = [
    {"UserId": ACCOUNT},
    {"OrganizationArn": ORGANIZATION},
    {"OrganizationalUnitArn": UNIT},
]
ALLOWED = clean_allowed([ACCOUNT, ORGANIZATION, UNIT])


def test_the_table_has_these_rows() -> None:
    assert [row[-1] for row in rows(choose)] == ["restore", "leave out", "leave out", "leave out"]


def test_whom_manifest_and_task_name_is_let_in() -> None:
    assert choose(NAMED, ALLOWED) == Choice(tuple(NAMED), ())


@pytest.mark.parametrize("permission", NAMED)
def test_whom_the_task_does_not_name_is_left_out(permission: dict[str, str]) -> None:
    others = clean_allowed(value for each in NAMED if each != permission for value in each.values())
    assert choose([permission], others) == Choice((), as_texts([permission]))


def test_everybody_is_left_out_whatever_is_allowed() -> None:
    assert choose([{"Group": "all"}], {*ALLOWED, ("UserId", "all")}) == Choice((), ("all",))


@pytest.mark.parametrize(
    ("permission", "told"),
    [
        ({}, "nobody"),
        ({"UserId": ORGANIZATION}, ORGANIZATION),
        ({"OrganizationArn": ACCOUNT}, ACCOUNT),
        ({"UserId": ACCOUNT, "Group": "all"}, f"{ACCOUNT}, all"),
        ({"UserId": int(ACCOUNT)}, ACCOUNT),
        ({"UserId": [ACCOUNT]}, f"['{ACCOUNT}']"),
        ({"UserId": None}, "None"),
    ],
)
def test_anything_else_is_left_out(permission: dict[str, Any], told: str) -> None:
    assert choose([permission], ALLOWED) == Choice((), (told,))


def test_repeats_count_once() -> None:
    group = {"Group": "all"}
    assert choose([NAMED[0], NAMED[0], group, group], ALLOWED) == Choice((NAMED[0],), ("all",))


# What may be allowed


def test_blanks_and_repeats_are_dropped() -> None:
    assert clean_allowed([ACCOUNT, " ", None, f" {ACCOUNT} "]) == {("UserId", ACCOUNT)}
    assert clean_allowed(None) == clean_allowed([]) == frozenset()


@pytest.mark.parametrize(
    "value",
    [
        "1234",
        f"{ACCOUNT}4",
        "o-0123456789",
        ORGANIZATION.replace("organizations::", "organizations:us-east-1:"),
        ORGANIZATION + "/ou-ab12-34567890",
        UNIT.replace("ou-ab12", "OU-ab12"),
        "arn:aws:iam::111122223333:root",
        "*",
    ],
)
def test_what_is_no_account_organization_or_unit_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="is neither an account id") as caught:
        clean_allowed([ACCOUNT, value])
    assert repr(value) in str(caught.value)
    assert "nothing was changed" in str(caught.value)


def test_everybody_cannot_be_allowed() -> None:
    with pytest.raises(InputError, match="nothing becomes public on account of a manifest"):
        clean_allowed([ACCOUNT, "all"])
