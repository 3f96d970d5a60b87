# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of the repository that other tools work in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.tools import collection_tree


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small one: a committed file, a new one, a deleted one and an ignored one."""
    root = tmp_path / "repository"
    (root / "plugins").mkdir(parents=True)
    for name in ("galaxy.yml", "plugins/deleted.py"):
        (root / name).write_text(name)
    (root / ".gitignore").write_text("ignored.txt\n")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    subprocess.run(["git", "add", "--all"], cwd=root, check=True)
    (root / "plugins" / "deleted.py").unlink()
    (root / "plugins" / "new.py").write_text("new")
    (root / "ignored.txt").write_text("ignored")
    monkeypatch.setattr(collection_tree, "ROOT", root)
    monkeypatch.setattr(collection_tree, "COLLECTIONS", tmp_path / "collections")
    return root


def test_the_copy_holds_what_would_be_committed(repository: Path, tmp_path: Path) -> None:
    place = collection_tree.copy(tmp_path / "copy", tmp_path)
    listed = subprocess.run(
        ["git", "ls-files"], cwd=place, check=True, capture_output=True, text=True
    )
    assert listed.stdout.split() == [".gitignore", "galaxy.yml", "plugins/new.py"]
    assert (place / "plugins" / "new.py").read_text() == "new"


def test_a_second_copy_replaces_the_first(repository: Path, tmp_path: Path) -> None:
    place = collection_tree.copy(tmp_path / "copy", tmp_path)
    (place / "left-over.txt").write_text("from a run before")
    collection_tree.copy(tmp_path / "copy", tmp_path)
    assert not (place / "left-over.txt").exists()


def test_amazon_aws_stands_beside_the_copy(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "amazon.txt").write_text("found")
    collection_tree.copy(tmp_path / "copy", tmp_path)
    beside = tmp_path / "copy" / "ansible_collections" / "amazon" / "aws"
    assert (beside / "amazon.txt").read_text() == "found"


def test_the_link_is_the_repository_and_moves_with_it(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path("ansible_collections", "amistore", "aws")
    assert (collection_tree.link() / place).resolve() == repository
    moved = repository.rename(tmp_path / "moved")
    monkeypatch.setattr(collection_tree, "ROOT", moved)
    assert (collection_tree.link() / place).resolve() == moved
