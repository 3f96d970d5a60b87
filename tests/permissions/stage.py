# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules run in this process with a caller's rights, against the emulator."""

from __future__ import annotations

import contextlib
import gc
import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import boto3
import pytest
from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from botocore.config import Config

from tests.emulator.client import Emulator

REGION = "us-east-1"
ACCOUNT = "123456789012"
OTHER_ACCOUNT = "222222222222"
OWNER_KEY = "EMULATEDACCESSKEY001"
"""Belongs to the account and may do everything."""
CALLER_KEY = "EMULATEDACCESSKEY009"
"""Belongs to the account and may do what its policies say."""
OTHER_KEY = "EMULATEDACCESSKEY002"


@dataclass(frozen=True)
class Outcome:
    """How a module ended: its result, and all of it as text."""

    values: dict[str, Any]

    @property
    def failed(self) -> bool:
        return bool(self.values.get("failed"))

    @property
    def text(self) -> str:
        return json.dumps(self.values)

    @property
    def warnings(self) -> str:
        return json.dumps(self.values.get("warnings", []))


class EmulatedTime:
    """The clock of a module: a pause is a jump of emulated time, and nothing else takes any."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._passed = 0.0

    def now(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        self._passed += seconds
        self._emulator.advance(seconds)

    def date(self) -> datetime:
        return datetime.fromtimestamp(self._emulator.now(), UTC)


@dataclass
class Stage:
    """The emulator with callers that run modules."""

    emulator: Emulator
    snapshot_key: str | None = None
    """The key of the customer that an AMI's snapshot is encrypted with."""
    session: boto3.Session = field(default_factory=boto3.Session)
    _clients: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def client(self, service: str, key: str = OWNER_KEY, config: Any = None) -> Any:
        """A client of a caller; kept, since making one takes longer than a module's calls."""
        settings = {"retries": {"total_max_attempts": 3}, **(config or {})}
        kind = (service, key, json.dumps(settings, sort_keys=True))
        if kind not in self._clients:
            self._clients[kind] = self.session.client(
                service,
                region_name=REGION,
                endpoint_url=self.emulator.url,
                verify=self.emulator.ca_bundle,
                aws_access_key_id=key,
                aws_secret_access_key=self.emulator.environment["AWS_SECRET_ACCESS_KEY"],
                config=Config(**settings),
            )
        return self._clients[kind]

    def allow(self, *documents: dict[str, Any]) -> None:
        """Let the caller do what these policies say, and nothing else."""
        self.emulator.scenario(policies={CALLER_KEY: list(documents)})

    def run(self, module: ModuleType, key: str = CALLER_KEY, **options: Any) -> Outcome:
        """Run a module with the rights of a caller."""

        def client(_module: AnsibleAWSModule, service: str, **extra: Any) -> Any:
            caller = extra.get("aws_access_key_id") or key
            return self.client(service, caller, extra.get("aws_config"))

        # Kept for one module's life, which ends with its process outside of tests.
        warnings._global_warnings.clear()
        printed = io.StringIO()
        arguments = {"region": REGION, **options, "_ansible_check_mode": False}
        with pytest.MonkeyPatch.context() as patch, patch_module_args(arguments):
            patch.setattr(AnsibleAWSModule, "client", client)
            if hasattr(module, "SystemClock"):
                patch.setattr(module, "SystemClock", lambda: EmulatedTime(self.emulator))
            with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
                module.main()
        # What a module takes out of the garbage collector's sight ends with its process.
        gc.unfreeze()
        return Outcome(json.loads(printed.getvalue()))
