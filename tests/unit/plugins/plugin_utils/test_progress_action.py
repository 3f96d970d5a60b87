# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugins around a module that a test plays: when they look, what they show, how they
end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.utils.display import Display

from ansible_collections.amistore.aws.plugins.action import _ec2_ami_restore, _ec2_ami_store
from ansible_collections.amistore.aws.plugins.module_utils import _progress_file
from ansible_collections.amistore.aws.plugins.module_utils._progress_file import Progress
from ansible_collections.amistore.aws.plugins.plugin_utils import (
    _progress_action,
    _progress_view,
)
from tests.tools.places import ROOT

PROGRESS = Progress("store into s3://b", 0, 0, 1, 0, (), None)
LINE = "web1: store into s3://b: 0 of 1 AMI done, 0 in flight, 1 not started, 0 failed"


@dataclass
class Task:
    """A task and its connection, and what came of it."""

    folder: str | None
    module: Callable[[], dict[str, Any]]
    args: dict[str, Any] = field(default_factory=dict)
    no_log: bool = False
    async_val: int = 0
    check_mode: bool = False
    transport: str = "local"
    unprivileged: bool = False
    shown: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    early_folder: bool = False

    def run(self, plugin: type[NormalAction] = _ec2_ami_store.ActionModule) -> dict[str, Any]:
        task = SimpleNamespace(
            action="amistore.aws.ec2_ami_store",
            args=self.args,
            no_log=self.no_log,
            async_val=self.async_val,
            check_mode=self.check_mode,
        )
        shell = SimpleNamespace(tmpdir=self.folder)
        connection = SimpleNamespace(transport=self.transport, _shell=shell)
        action = plugin(task, connection, SimpleNamespace(remote_addr="addr"), None, None, None)
        return action.run(task_vars={"inventory_hostname": "web1"})


def wait_until_shown(task: Task) -> dict[str, Any]:
    """A module that ends when something has been shown, or after a long time for a test."""
    deadline = time.monotonic() + 10.0
    while not task.shown and time.monotonic() < deadline:
        time.sleep(0.01)
    return {"changed": True}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Task]:
    """Make a task whose module has told of its progress when it starts, and then plays on."""
    monkeypatch.setattr(_progress_action, "LOOK_INTERVAL", 0.01)
    monkeypatch.setattr(_progress_view, "FIRST_BLOCK_AFTER", 0.0)

    def make(module: Callable[[Task], dict[str, Any]] = wait_until_shown, **values: Any) -> Task:
        _progress_file.write(str(tmp_path), PROGRESS)
        task = Task(str(tmp_path), lambda: module(task), **values)

        def run(action: Any, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
            task.early_folder = action._early_needs_tmp_path()
            return task.module()

        def display(_display: Display, text: str, **options: Any) -> None:
            task.shown.append((text, options))

        monkeypatch.setattr(NormalAction, "run", run)
        monkeypatch.setattr(
            NormalAction, "_is_become_unprivileged", lambda _action: task.unprivileged
        )
        monkeypatch.setattr(Display, "display", display)
        return task

    return make


Make = Callable[..., Task]


def end_soon(_task: Task) -> dict[str, Any]:
    """A module that runs for many looks."""
    time.sleep(0.2)
    return {"changed": True}


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "amistore progress"]


@pytest.mark.parametrize("plugin", [_ec2_ami_store, _ec2_ami_restore], ids=["store", "restore"])
def test_progress_is_shown_on_standard_error_in_one_call(make: Make, plugin: Any) -> None:
    task = make()
    assert task.run(plugin.ActionModule) == {"changed": True}
    assert task.shown == [(LINE, {"stderr": True})]
    assert task.early_folder
    assert threads() == []


def test_every_module_with_the_option_has_its_plugin() -> None:
    routing = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["plugin_routing"]
    with_option = {
        path.stem
        for path in (ROOT / "plugins" / "modules").glob("*.py")
        if '"progress": {"type": "bool"' in path.read_text()
    }
    assert set(routing["modules"]) == with_option
    for name, route in routing["modules"].items():
        assert route == {"action_plugin": f"amistore.aws._{name}"}
        assert (ROOT / "plugins" / "action" / f"_{name}.py").exists()


@pytest.mark.parametrize(
    "values",
    [
        {"no_log": True},
        {"async_val": 60},
        {"check_mode": True},
        {"transport": "ssh"},
        {"unprivileged": True},
        {"args": {"progress": False}},
        {"args": {"progress": "no"}},
        {"args": {"progress": "neither"}},
    ],
    ids=str,
)
def test_nothing_is_looked_at_where_nothing_may_be_shown(
    make: Make, values: dict[str, Any]
) -> None:
    task = make(end_soon, **values)
    assert task.run() == {"changed": True}
    assert task.shown == []
    assert not task.early_folder


@pytest.mark.parametrize("progress", [True, "yes", "true", 1])
def test_the_option_may_be_said_in_every_way(make: Make, progress: Any) -> None:
    task = make(args={"progress": progress})
    task.run()
    assert len(task.shown) == 1


def test_a_folder_that_comes_late_or_never_is_waited_for(make: Make) -> None:
    task = make(end_soon)
    task.folder = None
    assert task.run() == {"changed": True}
    assert task.shown == []


def test_nonsense_in_the_file_is_not_shown_and_harms_nobody(make: Make) -> None:
    task = make(end_soon)
    assert task.folder
    Path(task.folder, _progress_file.FILE_NAME).write_text('{"done": "\\u001b[2J"}')
    assert task.run() == {"changed": True}
    assert task.shown == []


def test_a_module_that_crashes_leaves_its_error_and_no_thread(make: Make) -> None:
    def crash(task: Task) -> dict[str, Any]:
        wait_until_shown(task)
        raise ConnectionError("the module is gone")

    task = make(crash)
    with pytest.raises(ConnectionError, match="the module is gone"):
        task.run()
    assert len(task.shown) == 1
    assert threads() == []


def test_nothing_is_shown_once_the_module_has_ended(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_progress_view, "BETWEEN_BLOCKS", 0.0)
    task = make()
    task.run()
    count = len(task.shown)
    assert task.folder
    _progress_file.write(task.folder, Progress("store", 1, 0, 0, 0, (), None))
    time.sleep(0.1)
    assert len(task.shown) == count


def test_a_display_that_cannot_be_reached_harms_nobody(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make(end_soon)
    calls = []

    def fail(_display: Display, text: str, **_options: Any) -> None:
        calls.append(text)
        raise BrokenPipeError

    monkeypatch.setattr(Display, "display", fail)
    assert task.run() == {"changed": True}
    assert calls == [LINE]


def test_a_machine_without_threads_runs_the_module_all_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    task = make(end_soon)
    assert task.run() == {"changed": True}
    assert task.shown == []
