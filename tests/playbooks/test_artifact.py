# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plays from an installed build of the collection, without the checkout."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.emulator.client import Emulator
from tests.playbooks.programs import call
from tests.tools import surroundings
from tests.tools.collection_tree import project_files
from tests.tools.environments import Environment
from tests.tools.places import ROOT

PLAYS = ("relay", "render_policies", "restore", "secure_bucket", "status", "store")


@dataclass(frozen=True)
class Installation:
    leg: Environment
    place: Path
    variables: Mapping[str, str]

    def play(self, *arguments: str, aws: Mapping[str, str] | None = None) -> str:
        """Run ansible-playbook where nothing of the checkout is; its output."""
        program = self.leg.program("ansible-playbook")
        return call({**self.variables, **(aws or {})}, program, *arguments, cwd=self.place)


@pytest.fixture(scope="module")
def installed(leg: Environment, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Built, and installed with ansible-galaxy into a path with amazon.aws beside it."""
    folder = tmp_path_factory.mktemp("artifact")
    variables = surroundings.without_proxies(surroundings.for_ansible(leg))
    galaxy = (leg.program("ansible-galaxy"), "collection")
    source = copied(folder / "source")
    call(variables, *galaxy, "build", source, "--output-path", folder)
    [artifact] = folder.glob("amistore-aws-*.tar.gz")
    place = folder / "collections"
    # Without the checkout, or the collection would count as installed.
    paths = [str(place), str(leg.site_packages())]
    variables["ANSIBLE_COLLECTIONS_PATH"] = os.pathsep.join(paths)
    options = ("--no-deps", "--offline", "--collections-path", place)
    call(variables, *galaxy, "install", artifact, *options)
    return Installation(leg, place, variables)


def copied(destination: Path) -> Path:
    """What a clone would hold."""
    for name in project_files():
        target = destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    return destination


@pytest.mark.parametrize("play", PLAYS)
def test_every_play_is_found_by_its_full_name(installed: Installation, play: str) -> None:
    shown = installed.play("--syntax-check", f"amistore.aws.{play}")
    assert f"{installed.place}/ansible_collections/amistore/aws/playbooks/{play}.yml" in shown


def test_what_makes_awx_work_is_in_the_artifact(installed: Installation) -> None:
    root = installed.place / "ansible_collections" / "amistore" / "aws"
    for name in ("execution-environment.yml", "job_templates.yml", "surveys/store.json"):
        assert (root / "extensions" / "awx" / name).exists()
    assert not (root / "tests" / "playbooks").exists()


def test_an_ami_is_stored_by_the_installed_collection(
    installed: Installation, emulator: Emulator
) -> None:
    [image_id] = emulator.seed([{"name": "web"}])
    emulator.plant_buckets({"name": "vault"})
    variables = {
        "amistore_bucket": "vault",
        "amistore_image_ids": image_id,
        "ansible_python_interpreter": str(installed.leg.python),
    }
    words = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
    shown = installed.play("amistore.aws.store", *words, aws=emulator.environment)
    assert f"{image_id}.bin" in shown
    assert str(ROOT) not in shown
    assert emulator.requests()["CreateStoreImageTask"] == 1
