# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be the same in several files of the collection."""

from __future__ import annotations

import re
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from tests.tools.places import REQUIREMENTS, ROOT


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def modules() -> list[str]:
    return sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))


def pins(text: str, operator: str) -> dict[str, str]:
    return dict(re.findall(rf"^([\w-]+){operator}([\d.]+)$", text, re.MULTILINE))


def test_the_code_knows_the_version_of_galaxy_yml() -> None:
    source = (ROOT / "plugins" / "module_utils" / "_aws.py").read_text()
    assert f'COLLECTION_VERSION = "{read("galaxy.yml")["version"]}"' in source.splitlines()


def released() -> dict[str, Any]:
    return dict(read("changelogs/changelog.yaml")["releases"])


def test_the_changelog_or_its_fragments_have_the_version_of_galaxy_yml() -> None:
    fragments = list((ROOT / "changelogs" / "fragments").glob("*.yml"))
    assert read("galaxy.yml")["version"] in released() or fragments


def test_every_module_is_in_the_notes_of_the_release_that_added_it() -> None:
    listed = [
        (module["name"], version)
        for version, notes in released().items()
        for module in notes.get("modules", [])
    ]
    # The notes of a release list its modules by themselves, so one to come has none yet.
    coming = {read("galaxy.yml")["version"]} - set(released())
    added = [(name, version_added(name)) for name in modules()]
    assert sorted(listed) == [(name, version) for name, version in added if version not in coming]


def version_added(module: str) -> str:
    source = (ROOT / "plugins" / "modules" / f"{module}.py").read_text()
    [version] = re.findall(r"^version_added: (\S+)$", source, re.MULTILINE)
    return version


def test_every_module_is_in_the_action_group() -> None:
    group = read("meta/runtime.yml")["action_groups"]["aws"]
    assert group[0] == {"metadata": {"extend_group": ["amazon.aws.aws"]}}
    assert sorted(group[1:]) == modules()


def test_every_module_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert modules()
    assert [name for name in modules() if f"| `amistore.aws.{name}` |" not in text] == []


def test_the_floor_that_is_tested_is_the_floor_that_is_declared() -> None:
    tested = pins((REQUIREMENTS / "floor.txt").read_text(), "==")
    declared = pins((ROOT / "requirements.txt").read_text(), ">=")
    assert declared == {name: tested[name] for name in ("boto3", "botocore")}
    assert pins((ROOT / "meta" / "ee-requirements.txt").read_text(), ">=") == declared
    core = read("meta/runtime.yml")["requires_ansible"].removeprefix(">=")
    assert tested["ansible-core"].split(".")[:2] == core.split(".")[:2]


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_first_screen_of_the_readme_has_both_commands(command: str) -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:20]
    assert [line for line in first_screen if line.startswith(f"$ {command}")]


def test_nothing_is_skipped_or_ignored() -> None:
    lint = read(".ansible-lint")
    assert not {"skip_list", "warn_list", "mock_modules", "mock_roles"} & set(lint)
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert [name for name in ruff if "ignore" in name] == []
    assert list((ROOT / "tests" / "sanity").glob("ignore*")) == []


def test_make_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (\S+)$", text, re.MULTILINE)) - {"python"}
    answer = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert {line.split()[0] for line in answer.stdout.splitlines()} == targets


def test_every_target_that_a_program_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    sources = [path.read_text() for path in (ROOT / "tests").rglob("*.py")]
    named = {name for text in sources for name in re.findall(r'prog="make ([a-z-]+)', text)}
    assert len(named) >= 5
    assert named <= targets


def test_continuous_integration_runs_the_readmes_test_commands() -> None:
    assert "exec make test" in (ROOT / ".ci" / "run").read_text().splitlines()
    for name in ("test", "test-all"):
        steps = read(".github/workflows/test.yml")["jobs"][name]["steps"]
        assert [step["run"] for step in steps if "run" in step] == [f"make {name}"]
        assert f"make {name}" in (ROOT / "README.md").read_text()
