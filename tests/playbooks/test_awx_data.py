# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data for AWX, the playbook that applies it, and the execution environment."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.playbooks.programs import call
from tests.tools import surroundings
from tests.tools.environments import Environment

ROOT = Path(__file__).resolve().parents[2]
AWX = ROOT / "extensions" / "awx"


class Loader(yaml.SafeLoader):
    """YAML with the tag for text that is no template."""


def text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    return loader.construct_scalar(node)


Loader.add_constructor("!unsafe", text)


def document(name: str) -> dict[str, Any]:
    return dict(yaml.load((AWX / name).read_text(), Loader))


@pytest.fixture(scope="module")
def templates() -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in document("job_templates.yml")["controller_templates"]}


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    [item] = document("workflow.yml")["controller_workflows"]
    return dict(item)


def test_every_template_names_a_playbook_and_a_survey(
    templates: Mapping[str, Mapping[str, Any]],
) -> None:
    for template in templates.values():
        playbook = ROOT / template["playbook"]
        assert playbook.exists()
        assert f"surveys/{playbook.stem}.json" in template["survey_spec"]


def test_the_workflow_secures_stores_and_verifies_in_that_order(
    workflow: Mapping[str, Any], templates: Mapping[str, Mapping[str, Any]]
) -> None:
    nodes = {node["identifier"]: node for node in workflow["workflow_nodes"]}
    assert list(nodes) == ["secure", "store", "verify"]
    for node in nodes.values():
        assert node["unified_job_template"]["name"] in templates
    assert nodes["secure"]["related"] == {"success_nodes": [{"identifier": "store"}]}
    assert nodes["store"]["related"] == {"always_nodes": [{"identifier": "verify"}]}


def test_schedules_and_settings_fit_each_other(workflow: Mapping[str, Any]) -> None:
    [schedule] = document("workflow.yml")["controller_schedules"]
    assert schedule["unified_job_template"] == workflow["name"]
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    assert document("settings.yml")["amistore_awx_version"] == galaxy["version"]
    versions = {
        item["name"]: item["version"] for item in document("requirements.yml")["collections"]
    }
    assert versions["amistore.aws"] == galaxy["version"]


def test_the_playbook_gives_the_modules_only_options_that_they_have(leg: Environment) -> None:
    [play] = yaml.safe_load((AWX / "configure.yml").read_text())
    calls = [
        (name, arguments)
        for task in play["tasks"]
        for name, arguments in task.items()
        if name.startswith("awx.awx.")
    ]
    assert len(calls) == 7
    names = [name for name, _arguments in calls]
    variables = surroundings.for_ansible(leg)
    shown = call(variables, leg.program("ansible-doc"), "--json", "-t", "module", *names)
    documentation = json.loads(shown)
    for name, arguments in calls:
        options = documentation[name]["doc"]["options"]
        assert set(arguments) <= set(options), name


def test_the_credential_of_a_source_is_what_the_relay_reads() -> None:
    [kind] = document("job_templates.yml")["controller_credential_types"]
    given = {name: value.strip("{ }") for name, value in kind["injectors"]["env"].items()}
    read = re.findall(
        r"[.]env', '(AMISTORE_SOURCE_\w+)'", (ROOT / "playbooks/relay.yml").read_text()
    )
    assert set(given) == set(read)
    fields = {field["id"]: field.get("secret", False) for field in kind["inputs"]["fields"]}
    assert fields == {"username": False, "password": True, "security_token": True}
    assert set(given.values()) == set(fields)


def test_the_playbook_reads_the_surveys(leg: Environment, tmp_path: Path) -> None:
    """Its tasks without a controller: each would send what the data files say."""
    [play] = yaml.safe_load((AWX / "configure.yml").read_text())
    play["vars_files"] = [str(AWX / name) for name in play["vars_files"]]
    shown_names = ("templates", "workflows", "credential_types")
    show = {name: "{{ controller_" + name + " }}" for name in shown_names}
    copy = {"content": "{{ shown | to_json }}", "dest": str(tmp_path / "shown.json")}
    play["tasks"] = [{"ansible.builtin.copy": copy, "vars": {"shown": show}}]
    playbook = AWX / "configure.yml"
    stand_in = tmp_path / playbook.name
    stand_in.write_text(yaml.safe_dump([play]))
    (tmp_path / "surveys").symlink_to(AWX / "surveys")
    # The interpreter of the play itself is that of Ansible.
    call(
        surroundings.for_ansible(leg), leg.program("ansible-playbook"), "-i", "localhost,", stand_in
    )
    shown = json.loads((tmp_path / "shown.json").read_text())
    [kind] = shown["credential_types"]
    assert kind["injectors"]["env"]["AMISTORE_SOURCE_ACCESS_KEY_ID"] == "{{ username }}"
    for item in [*shown["templates"], *shown["workflows"]]:
        assert item["survey_spec"]["spec"], item["name"]


def test_the_playbook_is_sound(leg: Environment) -> None:
    command = (leg.program("ansible-playbook"), "--syntax-check", AWX / "configure.yml")
    assert "configure.yml" in call(surroundings.for_ansible(leg), *command)


def test_ansible_builder_takes_the_execution_environment(tmp_path: Path) -> None:
    context = tmp_path / "context"
    builder = Path(sys.executable).parent / "ansible-builder"
    options = ("--file", AWX / "execution-environment.yml", "--output-filename", "Containerfile")
    call(None, builder, "create", "--context", context, *options, cwd=tmp_path)
    steps = (context / "Containerfile").read_text()
    assert 'PKGMGR="/usr/bin/microdnf"' in steps
    assert "amistore.aws" in (context / "_build" / "requirements.yml").read_text()
    assert "python3.12 -m compileall" in steps
