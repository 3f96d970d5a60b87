# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which options count as used by an integration target."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tools import option_use
from tests.tools.option_use import Module, read_modules, used_options

MODULE = '''DOCUMENTATION = r"""
options:
  image_ids:
    aliases: [image_id]
  force:
    type: bool
extends_documentation_fragment:
  - amistore.aws._waiting
  - amistore.aws._waiting.bucket
  - amazon.aws.boto3
"""
'''
FRAGMENT = '''class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  wait: {}
"""
    BUCKET = r"""
options:
  bucket: {}
"""
'''
TASKS = """---
- name: Store
  block:
    - name: Store one
      amistore.aws.ec2_ami_store:
        image_id: ami-1
        bucket: some
    - name: Look at S3
      amazon.aws.s3_object_info:
        force: true
"""

NO_ROLES = Path("no-roles")


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    for name, content in {
        "modules/ec2_ami_store.py": MODULE,
        "doc_fragments/_waiting.py": FRAGMENT,
    }.items():
        (tmp_path / "plugins" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plugins" / name).write_text(content)
    return tmp_path / "plugins"


@pytest.fixture
def targets(tmp_path: Path) -> Path:
    tasks = tmp_path / "targets" / "store" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "main.yml").write_text(TASKS)
    return tmp_path / "targets"


def test_a_modules_options_include_those_of_its_own_fragments(plugins: Path) -> None:
    [module] = read_modules(plugins)
    assert module.options == {"image_ids", "force", "wait", "bucket"}


def test_an_alias_uses_its_option_wherever_the_task_stands(targets: Path) -> None:
    module = Module("ec2_ami_store", frozenset({"image_ids"}), {"image_id": "image_ids"})
    assert used_options([module], targets, NO_ROLES) == {"ec2_ami_store": {"image_ids", "bucket"}}


def test_a_role_uses_an_option_by_the_variable_that_a_target_gives(tmp_path: Path) -> None:
    task, target = tmp_path / "roles/vault/tasks/main.yml", tmp_path / "targets/a/tasks/main.yml"
    for path in (task, target):
        path.parent.mkdir(parents=True)
    options = {"bucket": "{{ vault_name }}", "tags": "{{ vault_tags or omit }}", "wait": True}
    task.write_text(json.dumps([{"amistore.aws.ec2_ami_store": options}]))
    target.write_text(json.dumps([{"include_role": {}, "vars": {"vault_tags": {}}}]))
    used = used_options(
        [Module("ec2_ami_store", frozenset(options))], tmp_path / "targets", tmp_path / "roles"
    )
    assert used == {"ec2_ami_store": {"tags"}}


def test_options_of_other_modules_do_not_count(
    plugins: Path,
    targets: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (targets.parent / "tests").mkdir()
    (targets.parent / "tests" / "integration").mkdir()
    targets.rename(targets.parent / "tests" / "integration" / "targets")
    monkeypatch.setattr(option_use, "ROOT", targets.parent)
    assert option_use.main() == 1
    assert capsys.readouterr().out.splitlines() == [
        "ec2_ami_store: 2 of 4 options are used by a target",
        "  not used: force",
        "  not used: wait",
    ]
