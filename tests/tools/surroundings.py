# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment variables for what the checks start, free of the user's AWS and Ansible settings."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tests.tools import collection_tree, environments
from tests.tools.environments import Environment
from tests.tools.places import BUILD, ROOT

FOREIGN = ("ANSIBLE_", "AWS_", "BOTO_", "COVERAGE_", "MYPY", "PYTEST_", "PYTHON", "VIRTUAL_ENV")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")

# Made-up, but as long as real ones: short values would be masked all over Ansible's output.
NO_AWS = {
    "AWS_ACCESS_KEY_ID": "AKIAEMULATEDEMULATED",
    "AWS_SECRET_ACCESS_KEY": "emulated/emulated/emulated/emulated/emul",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def plain() -> dict[str, str]:
    """The user's variables without those that would change what a check finds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    # Environments are installed without bytecode, which is made here for what is really used.
    kept.update(PYTHONUNBUFFERED="1", PYTHONPYCACHEPREFIX=str(BUILD / "bytecode"))
    return kept


def for_ansible(environment: Environment) -> dict[str, str]:
    """For Ansible's programs: this collection, then amazon.aws."""
    paths = [collection_tree.link(), environment.site_packages()]
    return plain() | {
        "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(str(path) for path in paths),
        "ANSIBLE_HOME": str(BUILD / "ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_REMOTE_TEMP": str(BUILD / "ansible" / "tmp"),
        "PATH": os.pathsep.join([str(environment.folder / "bin"), os.environ["PATH"]]),
    }


def for_pytest() -> dict[str, str]:
    """For unit tests: the collection and `tests` can be imported, no AWS account can be met."""
    ours = {
        "AMISTORE_EMULATOR_PYTHON": str(environments.EMULATOR.python),
        "ANSIBLE_HOME": str(BUILD / "ansible"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(BUILD / "hypothesis"),
        "PYTHONPATH": os.pathsep.join([str(collection_tree.link()), str(ROOT)]),
    }
    return without_proxies(plain()) | NO_AWS | ours


def for_servers() -> dict[str, str]:
    """Beside those for pytest: where the programs of S3 servers and their clients are."""
    return {"AMISTORE_RELAY_PROGRAMS": str(environments.RELAY.folder / "bin")}


def without_proxies(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.lower() not in PROXIES}
