# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one command, and ends it with all that it started when its own input is closed.

So a server stops with the process that wanted it, however that one ends, and leaves nothing:
`python -m tests.servers.keeper PATHS COMMAND ...` removes the paths, joined as in PATH, at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

# What it keeps is thrown away: there is nothing to put in order.
_PATIENCE_SECONDS = 0.5


def keep(paths: Iterable[Path], command: Sequence[str]) -> int:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=end_with_input, args=(process,), daemon=True).start()
    try:
        return process.wait()
    finally:
        _end(process)
        for path in paths:
            _remove(path)


def end_with_input(process: subprocess.Popen[bytes]) -> None:
    # The last one who could write is gone; nothing is ever written.
    os.read(0, 1)
    _end(process)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_SECONDS)
            return


if __name__ == "__main__":
    # A signal may reach all that a test has started; what is kept ends in order all the same. These
    # are not ignored by SIG_IGN, which what is started here would inherit.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_signal: None)
    sys.exit(keep(map(Path, sys.argv[1].split(os.pathsep)), sys.argv[2:]))
