# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-test sanity` in a home of its own, without any download but from the package index."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.tools import interpreters, surroundings
from tests.tools.environments import Environment
from tests.tools.places import HOME

# ansible-test fetches this script from a server of the Ansible project; its own cache comes first.
# The interpreter carries a pip that can install the wanted one, so no second source is needed.
BOOTSTRAP = """\
import subprocess
import sys

options = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
subprocess.check_call([sys.executable, "-m", "pip", "install", "--upgrade", *options])
"""


def prepare_home(environment: Environment) -> Path:
    """A home with pip's bootstrap script in it, and the user's own package index settings."""
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in pinned_pips(environment):
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(BOOTSTRAP)
    for name in (".config", ".pip", ".cache"):
        _lend(Path.home() / name, HOME / name)
    return HOME


def pinned_pips(environment: Environment) -> list[str]:
    """Versions of pip that ansible-test asks for."""
    source = environment.site_packages() / "ansible_test" / "_internal" / "python_requirements.py"
    versions = set(re.findall(r"""\bpip=['"]([0-9.]+)['"]""", source.read_text()))
    if not versions:
        raise RuntimeError(f"{source} names no version of pip: ansible-test has changed")
    return sorted(versions)


def _lend(original: Path, place: Path) -> None:
    if original.exists() and not place.exists():
        place.unlink(missing_ok=True)
        place.symlink_to(original)


def variables(environment: Environment) -> dict[str, str]:
    home = prepare_home(environment)
    path = [str(environment.folder / "bin"), interpreters.search_path()]
    return surroundings.plain() | {"HOME": str(home), "PATH": os.pathsep.join(path)}
