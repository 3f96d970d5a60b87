# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of every module says what its argument spec says, and its examples run."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.amazon.aws.plugins.module_utils.modules import aws_argument_spec

from ansible_collections.amistore.aws.plugins.doc_fragments._ami_store import ModuleDocFragment
from ansible_collections.amistore.aws.plugins.modules import (
    ec2_ami_archive,
    ec2_ami_restore,
    ec2_ami_store,
    ec2_ami_store_copy,
    ec2_ami_store_info,
    ec2_ami_store_retention,
    ec2_ami_usage_info,
    s3_bucket_baseline,
)

MODULES = [
    ec2_ami_store,
    ec2_ami_restore,
    ec2_ami_store_copy,
    ec2_ami_store_info,
    ec2_ami_store_retention,
    ec2_ami_usage_info,
    ec2_ami_archive,
    s3_bucket_baseline,
]
FRAGMENTS = {
    "amistore.aws._ami_store": ModuleDocFragment.DOCUMENTATION,
    "amistore.aws._ami_store.bucket": ModuleDocFragment.BUCKET,
    "amistore.aws._ami_store.limits": ModuleDocFragment.LIMITS,
    "amistore.aws._ami_store.source": ModuleDocFragment.SOURCE,
}
every_module = pytest.mark.parametrize(
    "module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2]
)


def documented_options(module: Any) -> dict[str, Any]:
    """Return the module's own options, with those of the collection's fragments."""
    documentation = yaml.safe_load(module.DOCUMENTATION)
    options = dict(documentation["options"])
    for name in documentation["extends_documentation_fragment"]:
        if name in FRAGMENTS:
            options |= yaml.safe_load(FRAGMENTS[name])["options"]
    return options


def as_spec(options: dict[str, Any]) -> dict[str, Any]:
    """Return what the documentation promises, in the form of an argument spec."""
    spec = {}
    for name, option in options.items():
        spec[name] = {
            key: value
            for key, value in option.items()
            if key not in ("description", "version_added")
        }
        if "suboptions" in option:
            spec[name]["options"] = as_spec(spec[name].pop("suboptions"))
    return spec


def without_no_log(spec: dict[str, Any]) -> dict[str, Any]:
    plain = {}
    for name, option in spec.items():
        plain[name] = {key: value for key, value in option.items() if key != "no_log"}
        if "options" in option:
            plain[name]["options"] = without_no_log(option["options"])
    return plain


@every_module
def test_documentation_and_argument_spec_agree(module: Any) -> None:
    assert as_spec(documented_options(module)) == without_no_log(module.build_argument_spec())


@every_module
def test_every_option_is_described(module: Any) -> None:
    for option in documented_options(module).values():
        assert option["description"]


@every_module
def test_no_option_of_amazon_aws_is_declared_again(module: Any) -> None:
    assert not set(module.build_argument_spec()) & set(aws_argument_spec())


@every_module
def test_every_example_is_accepted(module: Any) -> None:
    validator = ArgumentSpecValidator(aws_argument_spec() | module.build_argument_spec())
    name = f"amistore.aws.{module.__name__.rpartition('.')[2]}"
    tasks = yaml.safe_load(module.EXAMPLES)
    assert tasks
    for task in tasks:
        assert validator.validate(task[name]).error_messages == []


def _samples(contains: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, spec in contains.items():
        found += [(name, spec)] if "contains" not in spec else _samples(spec["contains"])
    return found


@every_module
def test_every_returned_value_has_a_sample_of_its_type(module: Any) -> None:
    types = {
        "str": str,
        "int": int,
        "float": float,
        "bool": bool,
        "dict": dict,
        "list": list,
        "raw": object,
    }
    for name, spec in _samples(yaml.safe_load(module.RETURN)):
        sample = spec["sample"]
        # A bool is an int to Python, not to a user.
        kind = "bool" if isinstance(sample, bool) else spec["type"]
        assert sample is None or (kind == spec["type"] and isinstance(sample, types[kind])), name


@every_module
def test_check_and_diff_mode_are_told(module: Any) -> None:
    documentation = yaml.safe_load(module.DOCUMENTATION)
    assert "amistore.aws._attributes" in documentation["extends_documentation_fragment"]
