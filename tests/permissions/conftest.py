# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One emulator, emptied before each test, and the policies as the role renders them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.client import Emulator
from tests.integration.interpreter import warm
from tests.tools import surroundings

from .plays import BUCKET, BUCKET_KEY, PREFIX, SNAPSHOT_KEY
from .rendering import Document, render
from .stage import ACCOUNT, OTHER_ACCOUNT, OTHER_KEY, REGION, Stage

# Stands for the key that each test makes anew.
RESTORE_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/restore"
_HOME: dict[str, Any] = {
    "name": BUCKET,
    "region": REGION,
    "policy_accounts": [ACCOUNT],
    "policy_evidence": True,
}
_ABROAD = {
    "cn-north-1": "aws-cn",
    "us-gov-west-1": "aws-us-gov",
    "eusc-de-east-1": "aws-eusc",
}


def _keys(partition: str, region: str) -> dict[str, Any]:
    arn = f"arn:{partition}:kms:{region}:{ACCOUNT}:key/a"
    return {f"policy_{use}_keys": [arn] for use in ("bucket", "snapshot", "restore")}


_QUICK = {f"{work}_seconds_per_gib": 0 for work in ("store", "restore")}

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": _HOME,
    "prefix": {**_HOME, "policy_prefixes": [f"{PREFIX}/"]},
    "prefixes": {**_HOME, "policy_prefixes": [PREFIX, "drills/web"]},
    "vault": {
        **_HOME,
        "policy_prefixes": PREFIX,
        "policy_accounts": f"{ACCOUNT}, {OTHER_ACCOUNT}",
    },
    "keys": {
        **_HOME,
        "policy_prefixes": [PREFIX],
        "policy_bucket_keys": BUCKET_KEY,
        "policy_snapshot_keys": [SNAPSHOT_KEY],
        "policy_restore_keys": [RESTORE_KEY],
    },
    "surveyed": {
        "name": BUCKET,
        "region": REGION,
        "policies": "",
        "policy_accounts": int(ACCOUNT),
        "policy_buckets": "vault-2, vault",
        "policy_prefixes": "\n dr/prod \n\ndr test/\n",
        "policy_bucket_keys": "",
        "policy_snapshot_keys": None,
        "policy_evidence": " ",
    },
    **{
        region: {
            **_HOME,
            "region": region,
            "policy_evidence": "false",
            **_keys(partition, region),
        }
        for region, partition in _ABROAD.items()
    },
}


@pytest.fixture(scope="session", autouse=True)
def python() -> Iterator[None]:
    """Let Ansible run modules with a Python that has imported the AWS SDK already."""
    variables = surroundings.plain() | surroundings.NO_AWS
    with warm(Path(sys.executable), variables) as program, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_PYTHON_INTERPRETER", program)
        yield


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Document]]:
    """The documents of every setting, by policy."""
    return render(SETTINGS, tmp_path_factory.mktemp("rendered"))


@pytest.fixture(scope="session")
def running() -> Iterator[Stage]:
    with Emulator() as emulator:
        yield Stage(emulator)


@pytest.fixture
def stage(running: Stage) -> Stage:
    """An account with the bucket `vault`, and another account that owns nothing yet."""
    running.emulator.reset()
    running.snapshot_key = None
    running.emulator.scenario(rates=None, accounts={OTHER_KEY: OTHER_ACCOUNT}, **_QUICK)
    running.emulator.plant_buckets({"name": BUCKET})
    return running


def with_key(document: Document, key: str) -> Document:
    """The document for this restore key."""
    filled: Document = json.loads(json.dumps(document).replace(RESTORE_KEY, key))
    return filled
