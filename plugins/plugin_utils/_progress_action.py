# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module run as any other, while a thread shows what the module writes about its progress."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.utils.display import Display

from ansible_collections.amistore.aws.plugins.module_utils import _progress_file
from ansible_collections.amistore.aws.plugins.plugin_utils._progress_view import View

LOOK_INTERVAL = 1.0
# The thread reads a small local file and writes to a queue; it never needs that long.
LONGEST_JOIN = 5.0


class ProgressAction(NormalAction):
    """What ansible-core does with a module that has no action plugin, and progress shown."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        if not self._is_shown():
            return super().run(tmp, task_vars)
        # So that the folder is there before the module starts, also where modules are piped in.
        self.TRANSFERS_FILES = True
        host = str((task_vars or {}).get("inventory_hostname", self._play_context.remote_addr))
        view = View(host, str(self._task.action), time.monotonic())
        with repeating(lambda: self._show(view)):
            return super().run(tmp, task_vars)

    def _is_shown(self) -> bool:
        """Tell whether the module's file can be read while it runs, and may be shown."""
        return (
            boolean(self._task.args.get("progress", True), strict=False)
            and not self._task.no_log
            and not self._task.async_val
            and not self._task.check_mode
            and self._connection.transport == "local"
            # Such a module gets no folder that the controller knows.
            and not self._is_become_unprivileged()
        )

    def _show(self, view: View) -> None:
        folder = self._connection._shell.tmpdir
        progress = _progress_file.read(folder) if folder else None
        text = view.text(time.monotonic(), progress)
        if text:
            # On standard error, which leaves machine-readable callbacks alone; in one call, so that
            # the blocks of several hosts do not mix.
            Display().display(text, stderr=True)


@contextlib.contextmanager
def repeating(action: t.Callable[[], None]) -> t.Iterator[None]:
    """Call the action in a thread again and again, as long as the context lasts.

    Nothing here ends the task: a machine that gives no thread shows no progress.
    """
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(LOOK_INTERVAL):
            # The controller that would show it may be going away.
            with contextlib.suppress(OSError):
                action()

    thread = threading.Thread(target=repeat, name="amistore progress", daemon=True)
    with contextlib.suppress(RuntimeError):
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread.is_alive():
            thread.join(LONGEST_JOIN)
