# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository as `ansible_collections.amistore.aws`, linked and copied.

The link serves everything that reads. Tools that want a git tree of their own, or that write
beside the collection, get a fresh copy of it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.tools.places import COLLECTIONS, ROOT


def link() -> Path:
    """The folder to name in ANSIBLE_COLLECTIONS_PATH; the collection in it is the repository."""
    place = COLLECTIONS / "ansible_collections" / "amistore" / "aws"
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() and place.resolve() != ROOT:
        place.unlink()
    if not place.is_symlink():
        place.symlink_to(ROOT, target_is_directory=True)
    return COLLECTIONS


def copy(destination: Path, amazon_aws: Path) -> Path:
    """A copy under destination/ansible_collections, in git, with amazon.aws beside it."""
    collections = destination / "ansible_collections"
    shutil.rmtree(collections, ignore_errors=True)
    place = collections / "amistore" / "aws"
    for name in project_files():
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    _commit(place)
    (collections / "amazon").mkdir()
    (collections / "amazon" / "aws").symlink_to(amazon_aws, target_is_directory=True)
    return place


def project_files() -> list[str]:
    """What is or would be committed, relative to the repository."""
    answer = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    names = set(answer.stdout.split("\0")) - {""}
    return sorted(name for name in names if (ROOT / name).is_file())


def _commit(place: Path) -> None:
    author = ["-c", "user.name=amistore.aws", "-c", "user.email=amistore@localhost"]
    for arguments in (
        ["init", "--quiet"],
        ["add", "--all", "--force"],
        [*author, "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "Copy"],
    ):
        subprocess.run(["git", *arguments], cwd=place, check=True, stdin=subprocess.DEVNULL)
