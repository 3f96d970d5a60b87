# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's side of `skipping/sitecustomize.py`: jumps in emulated time on request."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.comparison.skipping.sitecustomize import SOCKET, SPEED
from tests.emulator.client import Emulator

SKIPPING = Path(__file__).resolve().parent / "skipping"


class Skips(socketserver.UnixStreamServer):
    """Takes requests to skip seconds, one at a time, and adds them up."""

    def __init__(self, path: Path, emulator: Emulator) -> None:
        super().__init__(str(path), _OneSkip)
        self.emulator = emulator
        self.seconds = 0.0

    def variables(self, speed: float, python_path: str) -> Mapping[str, str]:
        """What makes Python programs skip their sleep."""
        return {
            SOCKET: str(self.server_address),
            SPEED: repr(speed),
            "PYTHONPATH": f"{SKIPPING}:{python_path}",
        }


class _OneSkip(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Skips)
        seconds = float(self.rfile.readline())
        self.server.emulator.advance(seconds)
        self.server.seconds += seconds
        self.wfile.write(b"\n")


@contextmanager
def skips(emulator: Emulator, folder: Path) -> Iterator[Skips]:
    """Let the emulator's time be skipped as long as the context lasts."""
    with Skips(folder / "skips", emulator) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
