# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policies as the role renders them, for several settings in one run of Ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.tools import collection_tree

Document = dict[str, Any]
POLICIES = ("store", "restore", "cleanup", "copy_source", "copy_destination", "usage", "archive")
ROLE = "amistore.aws.ami_store_bucket"
_PREFIX = "ami_store_bucket_"


class NotRendered(Exception):
    """The role refused the settings, or failed."""


def render(
    settings: Mapping[str, Mapping[str, Any]], folder: Path
) -> dict[str, dict[str, Document]]:
    """The documents by setting and policy; options are given without the role's prefix."""
    collected = folder / "collected.json"
    plays = [_play(name, own) for name, own in settings.items()]
    run_plays([*plays, _play_that_writes(collected)], folder)
    return dict(json.loads(collected.read_text()))


def run_plays(
    plays: list[dict[str, Any]], folder: Path, environment: Mapping[str, str] | None = None
) -> str:
    """Run plays on this machine; what Ansible printed. Raises NotRendered when one fails."""
    book = folder / "plays.yml"
    book.write_text(json.dumps(plays))
    return run_playbook([str(book)], folder, environment)


def run_playbook(
    arguments: list[str], folder: Path, environment: Mapping[str, str] | None = None
) -> str:
    """Run ansible-playbook in a folder; what it printed. Raises NotRendered when it fails."""
    program = Path(sys.executable).parent / "ansible-playbook"
    variables = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collection_tree.link())}
    variables |= environment or {}
    ended = subprocess.run(
        [str(program), "-i", "localhost,", *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise NotRendered(ended.stdout + ended.stderr)
    return ended.stdout


def play(name: str, options: Mapping[str, Any], tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """A play with options of the role, which are given without its prefix."""
    return {
        "name": name,
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "ansible_python_interpreter": sys.executable,
            **{f"{_PREFIX}{option}": value for option, value in options.items()},
        },
        "tasks": tasks,
    }


def role_task(tasks_from: str) -> dict[str, Any]:
    return {
        "name": tasks_from,
        "ansible.builtin.include_role": {"name": ROLE, "tasks_from": tasks_from},
    }


def _play(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    added = f"dict([[{name!r}, {_PREFIX}policy_documents]])"
    gathering = f"{{{{ collected | default({{}}) | combine({added}) }}}}"
    remember = {"name": "Remember", "ansible.builtin.set_fact": {"collected": gathering}}
    return play(name, options, [role_task("compose_policies"), remember])


def _play_that_writes(path: Path) -> dict[str, Any]:
    content = {"dest": str(path), "content": "{{ collected | to_json }}", "mode": "0600"}
    return play("write", {}, [{"name": "Write", "ansible.builtin.copy": content}])


def actions_of(document: Document) -> set[str]:
    """Every action that the document allows."""
    return {
        action
        for statement in document["Statement"]
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
    }


def without(document: Document, action: str) -> Document:
    """The document with one action allowed nowhere."""
    kept = []
    for statement in document["Statement"]:
        actions = [a for a in listed(statement["Action"]) if a != action]
        if statement["Effect"] == "Deny":
            kept.append(statement)
        elif actions:
            kept.append({**statement, "Action": actions})
    return {**document, "Statement": kept}


def listed(value: Any) -> list[Any]:
    """The element of a statement as a list, which may be written without brackets."""
    return value if isinstance(value, list) else [value]
