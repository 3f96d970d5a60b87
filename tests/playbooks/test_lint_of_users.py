# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-lint sees the arguments of every module, also of those that have an action plugin."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.tools import surroundings
from tests.tools.environments import TOOLS, ensure

MODULES = (
    "ec2_ami_restore",
    "ec2_ami_store",
    "ec2_ami_store_info",
    "ec2_ami_store_retention",
    "ec2_ami_usage_info",
    "s3_bucket_baseline",
)


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """What ansible-lint says about a play that misspells an option of every module."""
    ensure(TOOLS)
    folder = tmp_path_factory.mktemp("lint")
    tasks = [
        {"name": f"Call {name}", f"amistore.aws.{name}": {"bukcet": "vault"}} for name in MODULES
    ]
    play = {"name": "Misspell", "hosts": "localhost", "tasks": tasks}
    (folder / "play.yml").write_text("---\n" + json.dumps([play], indent=2) + "\n")
    command = (TOOLS.program("ansible-lint"), "--strict", "--offline", "--nocolor", "play.yml")
    return subprocess.run(
        command,
        cwd=folder,
        env=surroundings.for_ansible(TOOLS),
        capture_output=True,
        check=False,
        text=True,
    )


def test_a_misspelt_option_fails(answer: subprocess.CompletedProcess[str]) -> None:
    assert answer.returncode == 2, answer.stderr


@pytest.mark.parametrize("name", MODULES)
def test_it_is_found_in_every_module(answer: subprocess.CompletedProcess[str], name: str) -> None:
    found = [part for part in answer.stdout.split("args[module]: ")[1:] if f"Call {name}\n" in part]
    assert len(found) == 1
