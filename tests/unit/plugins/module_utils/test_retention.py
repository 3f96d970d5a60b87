# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every vault that is thinned out, whatever lies in it.

Each property is tried on vaults that hypothesis makes up: families of any size, some of them
verified, held, damaged, or the last copies of their AMIs, in an order that nothing else follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.amistore.aws.plugins.module_utils._retention import (
    RetentionOptions,
    Thinning,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.unit.cloud import BUCKET, NOON, Cloud, Thing, Wire, plugged
from tests.unit.vault import DAY, Vault, key_of

WIRE = Wire()
# Without these in the world, everything would be known.
DAMAGES: tuple[dict[str, Any], ...] = (
    {"manifest": None},
    {"manifest": b"no json"},
    {"image": {"OwnerId": None}},
    {"modified": NOON + DAY},
    {"document": {"stored_image": {"etag": "other"}}},
)
HELD = {"head": {"ObjectLockLegalHoldStatus": "ON"}}


@dataclass(frozen=True)
class Item:
    """A stored image that is so many days old."""

    age: int
    name: str
    verified: bool
    original: bool
    held: bool
    damage: int | None

    @property
    def known(self) -> bool:
        return self.damage is None


items = st.builds(
    Item,
    age=st.integers(1, 60),
    name=st.sampled_from(["web", "web", "db"]),
    verified=st.sampled_from([False, False, True]),
    original=st.booleans(),
    held=st.sampled_from([False, False, False, True]),
    damage=st.sampled_from([None, None, None, *range(len(DAMAGES))]),
)
vaults = st.lists(items, max_size=12, unique_by=lambda item: item.age)
rules = st.fixed_dictionaries(
    {
        "keep_newest": st.none() | st.integers(1, 4),
        "keep_days": st.none() | st.integers(1, 60),
        "last_copies": st.booleans(),
    }
).filter(lambda rule: rule["keep_newest"] or rule["keep_days"])


def filled(cloud: Cloud, content: list[Item]) -> Vault:
    vault = Vault(cloud)
    for item in content:
        details = {} if item.damage is None else DAMAGES[item.damage]
        details |= HELD if item.held else {}
        key = vault.add(item.age, item.name, original=item.original, **details)
        if item.verified:
            vault.verify(key)
    return vault


def thin(rule: dict[str, Any], check_mode: bool = False) -> Thinning:
    texts = dict.fromkeys(("family_pattern", "family_tag", "expected_bucket_owner", "prefix"))
    params = {
        "bucket": BUCKET,
        "across_folders": False,
        "gone_only": False,
        "object_keys": None,
        **texts,
        **rule,
    }
    options = RetentionOptions.from_params(params)
    thinning = Thinning(
        WIRE.clients["ec2"], Bucket(WIRE.clients["s3"], BUCKET), options, check_mode
    )
    thinning.run()
    return thinning


def told(thinning: Thinning) -> dict[str, tuple[Any, ...]]:
    return {e.key: (e.verdict, e.deleting, e.gone, e.changed) for e in thinning.entries}


def survivors(content: list[Item], rule: dict[str, Any]) -> set[int]:
    """The ages of those that must stay, said in the plainest way."""
    must = {item.age for item in content if not item.known or item.held}
    must |= {item.age for item in content if not (item.original or rule["last_copies"])}
    must |= {item.age for item in content if item.age <= (rule["keep_days"] or 0)}
    for name in ("web", "db"):
        family = sorted(item.age for item in content if item.known and item.name == name)
        must |= set(family[: rule["keep_newest"] or 1])
        proven = [i.age for i in content if i.known and i.verified and i.name == name]
        must |= {min(proven)} if proven else set()
    return must


def stored(cloud: Cloud) -> set[str]:
    return {key for key in cloud.objects if key.endswith(".bin")}


@settings(max_examples=150, deadline=None)
@given(vaults, rules)
def test_exactly_what_nothing_keeps_goes(content: list[Item], rule: dict[str, Any]) -> None:
    with plugged(WIRE, Cloud()) as cloud:
        filled(cloud, content)
        foretold = told(thin(rule, check_mode=True))
        assert cloud.mutations() == []
        assert told(thin(rule)) == foretold
        assert stored(cloud) == {key_of(age) for age in survivors(content, rule)}
        beside = {key for key in cloud.objects if not key.endswith(".bin")}
        assert all(f"{key.partition('.')[0]}.bin" in cloud.objects for key in beside)
        cloud.calls.clear()
        assert not any(entry.changed for entry in thin(rule).entries)
        assert cloud.mutations() == []


@settings(max_examples=50, deadline=None)
@given(vaults, rules, st.lists(st.integers(1, 60)))
def test_manifests_without_images_never_cost_an_image(
    content: list[Item], rule: dict[str, Any], lost: list[int]
) -> None:
    with plugged(WIRE, Cloud()) as cloud:
        filled(cloud, content)
        gone: dict[str, Thing] = {}
        for age in lost:
            if thing := cloud.objects.pop(key_of(age), None):
                gone[key_of(age)] = thing
        left = [item for item in content if key_of(item.age) not in gone]
        thin(rule)
        assert stored(cloud) == {key_of(age) for age in survivors(left, rule)}
        assert not any(entry.changed for entry in thin(rule).entries)
