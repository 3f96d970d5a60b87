# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python interpreters of this machine, found by version."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

# Can it make virtual environments, and is it really of the version that its name says?
PROBE = "import sys, venv; print('%d.%d' % sys.version_info[:2])"


def pyenv_folders() -> list[Path]:
    """The bin folders of pyenv's real interpreters, newest first."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [folder for folder in root.glob("versions/*/bin") if folder.is_dir()]
    return sorted(folders, key=_version_key, reverse=True)


def _version_key(folder: Path) -> list[int]:
    return [int(part) for part in folder.parent.name.split(".") if part.isdigit()]


def search_path() -> str:
    """PATH with pyenv's own interpreters first: a shim may answer for what it cannot run."""
    folders = [str(folder) for folder in pyenv_folders()]
    others = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*folders, *(part for part in others if not part.endswith("/shims"))])


def find(versions: Sequence[str]) -> Path | None:
    """The first interpreter of these versions, in their order; the running one where it fits."""
    return next((path for version in versions if (path := find_one(version))), None)


@functools.cache
def find_one(version: str) -> Path | None:
    return next((path for path in _candidates(version) if _runs(path, version)), None)


def _candidates(version: str) -> Iterator[Path]:
    if version == "{}.{}".format(*sys.version_info[:2]):
        yield Path(sys.executable)
    for folder in search_path().split(os.pathsep):
        for name in (f"python{version}", "python3"):
            if path := shutil.which(name, path=folder):
                yield Path(path)


def _runs(interpreter: Path, version: str) -> bool:
    try:
        answer = subprocess.run(
            [interpreter, "-c", PROBE], capture_output=True, text=True, check=False, timeout=60
        )
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.strip() == version
