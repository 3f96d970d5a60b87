# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which integration targets are found, and the play that each becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration import run


@pytest.fixture
def targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, aliases in {"store": "# ours\nneeds/emulator\n", "setup_bucket": "hidden\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "aliases").write_text(aliases)
    (tmp_path / "restore").mkdir()
    monkeypatch.setattr(run, "TARGETS", tmp_path)
    return tmp_path


def test_hidden_targets_only_serve_others(targets: Path) -> None:
    assert [target.name for target in run.find_targets([])] == ["restore", "store"]


def test_a_target_can_be_asked_for_by_name(targets: Path) -> None:
    assert [target.name for target in run.find_targets(["setup_bucket"])] == ["setup_bucket"]


def test_an_unknown_target_is_refused(targets: Path) -> None:
    with pytest.raises(SystemExit, match="no such integration target: stroe"):
        run.find_targets(["stroe"])


def test_aliases_are_read_without_their_comments(targets: Path) -> None:
    [store] = run.find_targets(["store"])
    assert store.aliases == {"needs/emulator"}


def test_the_play_runs_the_target_as_a_role(targets: Path) -> None:
    [store] = run.find_targets(["store"])
    [play] = run.playbook(store, "/some/python", {"aws_region": "us-east-1"})
    assert play["roles"] == ["store"]
    assert play["vars"] == {
        "ansible_python_interpreter": "/some/python",
        "aws_region": "us-east-1",
    }
    assert play["module_defaults"] == {"group/amistore.aws.aws": {"region": "{{ aws_region }}"}}
