# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module run in this process, from its arguments to the JSON that Ansible reads."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic
from ansible.module_utils.common import warnings
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from tests.unit.cloud import Cloud, VirtualClock, Wire

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # ansible-core < 2.19

    @contextlib.contextmanager
    def patch_module_args(args: dict[str, Any]) -> Iterator[None]:
        content = json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(basic, "_ANSIBLE_ARGS", content)
            yield


# What Ansible itself adds to a result.
ANSIBLES = frozenset(
    {"changed", "failed", "invocation", "warnings", "deprecations", "diff", "exception", "msg"}
)
TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "dict": dict,
    "list": list,
    "raw": object,
}


@dataclass(frozen=True)
class Result:
    """How a module ended."""

    failed: bool
    values: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def __contains__(self, key: str) -> bool:
        return key in self.values

    @property
    def image(self) -> dict[str, Any]:
        """The only entry."""
        (image,) = self.values["images"]
        return dict(image)

    @property
    def warnings(self) -> list[str]:
        return [_warning_text(warning) for warning in self.values.get("warnings", [])]


def _warning_text(warning: Any) -> str:
    """Return a warning's text; since ansible-core 2.19 it can come as a structure."""
    return warning if isinstance(warning, str) else json.dumps(warning)


@dataclass
class Runner:
    """Runs modules against the AWS in memory; every result is held against its documentation."""

    module: ModuleType
    wire: Wire
    cloud: Cloud
    clock: VirtualClock
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch
    services: list[str] = field(default_factory=list)
    """The clients that were made."""

    def __post_init__(self) -> None:
        def client(_module: AnsibleAWSModule, service: str, **_extra: Any) -> Any:
            self.services.append(service)
            return self.wire.clients[service]

        self.patch.setattr(AnsibleAWSModule, "client", client)
        if hasattr(self.module, "SystemClock"):
            self.patch.setattr(self.module, "SystemClock", lambda: self.clock)

    def __call__(self, check: bool = False, diff: bool = False, **options: Any) -> Result:
        args = {**options, "_ansible_check_mode": check, "_ansible_diff": diff}
        self.capture.readouterr()
        # Kept for one module's life, which ends with its process outside of tests.
        warnings._global_warnings.clear()
        with patch_module_args(args), pytest.raises(SystemExit) as ended:
            self.module.main()
        # What a module takes out of the garbage collector's sight ends with its process.
        gc.unfreeze()
        values = json.loads(self.capture.readouterr().out)
        result = Result(bool(values.get("failed")), values)
        assert (ended.value.code == 1) is result.failed
        self._hold_against_documentation(result, check)
        return result

    def _hold_against_documentation(self, result: Result, check: bool) -> None:
        documented = yaml.safe_load(self.module.RETURN)
        own = set(result.values) - ANSIBLES
        assert own <= set(documented)
        for name, spec in documented.items():
            if spec["returned"] == "always" or (check and spec["returned"] == "in check mode"):
                assert name in result
            if name in result:
                assert_documented(result[name], spec, name)


def assert_documented(value: Any, spec: dict[str, Any], where: str) -> None:
    """Hold a returned value against its type and keys in RETURN."""
    if value is None:
        assert "null" in str(spec["description"]), where
        return
    assert isinstance(value, TYPES[spec["type"]]), where
    if spec["type"] == "int":
        assert not isinstance(value, bool), where
    for item in value if spec["type"] == "list" else [value]:
        if "contains" in spec:
            assert_keys_documented(item, spec["contains"], where)
        elif spec["type"] == "list":
            assert isinstance(item, TYPES[spec["elements"]]), where


def assert_keys_documented(
    item: dict[str, Any], contains: dict[str, dict[str, Any]], where: str
) -> None:
    always = {name for name, spec in contains.items() if spec["returned"] == "always"}
    assert always <= set(item) <= set(contains), where
    for name, value in item.items():
        assert_documented(value, contains[name], f"{where}.{name}")
