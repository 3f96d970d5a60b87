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
_LOCAL = {"ansible_connection": "local"}


class NotRendered(Exception):
    """The role refused the settings, or failed."""


def render(
    settings: Mapping[str, Mapping[str, Any]], folder: Path
) -> dict[str, dict[str, Document]]:
    """The documents by setting and policy; options are given without the role's prefix.

    A setting has a host of its own: what one leaves behind would be read anew in each task of the
    next, which takes most of the time.
    """
    collected = folder / "collected.json"
    hosts = {name: {**_LOCAL, **_options(own)} for name, own in settings.items()}
    inventory = folder / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    book = folder / "plays.yml"
    book.write_text(json.dumps([_play_on_all(), _play_that_writes(collected)]))
    run_playbook([str(book)], folder, inventory=str(inventory))
    return dict(json.loads(collected.read_text()))


def run_plays(
    plays: list[dict[str, Any]], folder: Path, environment: Mapping[str, str] | None = None
) -> str:
    """Run plays on this machine; what Ansible printed. Raises NotRendered when one fails."""
    book = folder / "plays.yml"
    book.write_text(json.dumps(plays))
    return run_playbook([str(book)], folder, environment)


def run_playbook(
    arguments: list[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    inventory: str = "localhost,",
) -> str:
    """Run ansible-playbook in a folder; what it printed. Raises NotRendered when it fails."""
    program = Path(sys.executable).parent / "ansible-playbook"
    variables = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collection_tree.link())}
    variables |= environment or {}
    ended = subprocess.run(
        [str(program), "-i", inventory, *arguments],
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
        "gather_facts": False,
        "vars": {**_LOCAL, **_options(options)},
        "tasks": tasks,
    }


def _options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{_PREFIX}{option}": value for option, value in options.items()}


def role_task(tasks_from: str) -> dict[str, Any]:
    return {
        "name": tasks_from,
        "ansible.builtin.include_role": {"name": ROLE, "tasks_from": tasks_from},
    }


def _play_on_all() -> dict[str, Any]:
    tasks = [role_task("compose_policies")]
    return {"name": "Compose", "hosts": "all", "gather_facts": False, "tasks": tasks}


def _play_that_writes(path: Path) -> dict[str, Any]:
    documents = "groups.all | map('extract', hostvars, 'ami_store_bucket_policy_documents')"
    content = f"{{{{ dict(groups.all | zip({documents})) | to_json }}}}"
    copy = {"dest": str(path), "content": content, "mode": "0600"}
    write = {"name": "Write", "ansible.builtin.copy": copy, "run_once": True}
    return {"name": "Write", "hosts": "all", "gather_facts": False, "tasks": [write]}


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
