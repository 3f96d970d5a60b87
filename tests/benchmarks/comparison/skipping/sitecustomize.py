# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets a Python program skip its sleep: Python imports a module of this name when it starts.

While the program works, emulated time goes on as real time does, at the speed that the benchmark
says. While all of it sleeps, emulated time jumps to the next moment at which anything happens.
The program itself and what it starts remain as they are. Shorter pauses than SHORTEST, with which
programs wait for their own processes, stay as they are, too.
"""

from __future__ import annotations

import os
import socket
import threading
import time

SHORTEST = 0.05
LOOK_SECONDS = 0.004
SOCKET = "AMISTORE_SKIP_SOCKET"
SPEED = "AMISTORE_SKIP_SPEED"

real_monotonic, real_sleep = time.monotonic, time.sleep


class Skipper:
    """This program's share in emulated time."""

    def __init__(self, path: str, speed: float) -> None:
        self._path = path
        self._speed = speed
        self._skipped = 0.0
        self._lock = threading.Lock()
        self._sleepers: dict[int, tuple[float, threading.Event]] = {}
        self._watcher: threading.Thread | None = None

    def now(self) -> float:
        """What time.monotonic() is to return."""
        return real_monotonic() * self._speed + self._skipped

    def sleep(self, seconds: float) -> None:
        if seconds < SHORTEST:
            real_sleep(seconds)
        elif threading.current_thread() is threading.main_thread():
            self._skip(seconds)
        else:
            self._sleep_beside_others(seconds)

    def forget_threads(self) -> None:
        """After a fork the threads are gone."""
        self._lock = threading.Lock()
        self._sleepers, self._watcher = {}, None

    def _skip(self, seconds: float) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._path)
            connection.sendall(f"{seconds!r}\n".encode())
            connection.recv(1)
        self._skipped += seconds

    def _sleep_beside_others(self, seconds: float) -> None:
        awake = threading.Event()
        with self._lock:
            self._sleepers[threading.get_ident()] = (self.now() + seconds, awake)
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, daemon=True)
                self._watcher.start()
        awake.wait()

    def _watch(self) -> None:
        """Wake who has slept enough, and skip what is left once no thread works."""
        asleep = 0
        while True:
            real_sleep(LOOK_SECONDS)
            with self._lock:
                asleep = asleep + 1 if self._all_asleep() else 0
                # Twice, since a thread that was just woken may not have begun to work.
                if asleep > 1:
                    self._skip(max(0.0, min(w for w, _e in self._sleepers.values()) - self.now()))
                    asleep = 0
                for thread, (until, awake) in list(self._sleepers.items()):
                    if until <= self.now():
                        del self._sleepers[thread]
                        awake.set()

    def _all_asleep(self) -> bool:
        # Neither the main thread, which waits for the others, nor this one.
        return bool(self._sleepers) and len(self._sleepers) >= threading.active_count() - 2


if SOCKET in os.environ:
    skipper = Skipper(os.environ[SOCKET], float(os.environ[SPEED]))
    os.register_at_fork(after_in_child=skipper.forget_threads)
    vars(time).update(sleep=skipper.sleep, monotonic=skipper.now)
