# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP proxy before one server: a far away network, a bad one, and an exact memory of it.

`python -m tests.servers.proxy SETTINGS` with the settings as JSON; it prints the port on which it
listens. Bodies go from socket to socket inside the kernel, so that it costs next to nothing;
only bytes that are to be altered pass through here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.servers.message import Head, NoMessage, body_of_answer, read_head

CHUNK = 1 << 20
_F_SETPIPE_SZ = 1031
# While a connection is slowed down, what is sent at once must be little beside what is allowed,
# and not so little that waking up for it is the bound.
SLOW_SECONDS = 0.05
SMALLEST_CHUNK = 16 << 10
# What a busy machine lets a connection lose, it may make up for, or many connections would be
# slower than their cap and few would not.
LATE_SECONDS = 0.2
REQUEST, ANSWER = "request", "answer"


class Cut(Exception):
    """The proxy ends this connection."""


@dataclass
class Fault:
    """Something that happens to the bodies of some messages."""

    direction: str
    pattern: str
    """Of the request's first line and headers."""
    at: int
    """Which byte of the body."""
    kind: str
    """`flip` inverts that byte, `cut` ends both connections before it."""
    times: int = 1

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def claims(self, direction: str, request: Head, length: int) -> bool:
        """Whether it happens to this body; each claim uses up one of its times."""
        if direction != self.direction or self.at >= length:
            return False
        if not re.search(self.pattern, request.text):
            return False
        with self._lock:
            self.times -= 1
            return self.times >= 0


@dataclass(frozen=True)
class Settings:
    to: int
    """Port of the server."""
    latency: float = 0.0
    """Seconds from a client's sending to the server's receiving, back included: a round trip."""
    rate: float = 0.0
    """Bytes per second of a connection in each direction; 0 is no limit."""
    journal: str = ""
    """File for one line of JSON per exchange, written when the server has answered, or can't."""
    faults: tuple[Fault, ...] = ()

    @staticmethod
    def load(text: str) -> Settings:
        values: dict[str, Any] = json.loads(text)
        values["faults"] = tuple(Fault(**fault) for fault in values.get("faults", ()))
        return Settings(**values)


class Journal:
    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if path else -1

    def write(self, **values: Any) -> None:
        if self._file < 0:
            return
        with self._lock:
            os.write(self._file, json.dumps(values).encode() + b"\n")


class Pace:
    """Lets through so many bytes per second, and none in advance."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free = time.monotonic()

    @property
    def chunk(self) -> int:
        if not self._rate:
            return CHUNK
        return min(CHUNK, max(SMALLEST_CHUNK, int(self._rate * SLOW_SECONDS)))

    def begin(self) -> None:
        """A body begins: what was not used before it is lost."""
        self._free = max(self._free, time.monotonic())

    def passed(self, count: int) -> None:
        if self._rate:
            now = time.monotonic()
            self._free = max(self._free, now - LATE_SECONDS) + count / self._rate
            time.sleep(max(0.0, self._free - now))


class Mover:
    """Moves bodies in one direction of one connection."""

    def __init__(self, direction: str, source: socket.socket, target: socket.socket) -> None:
        self.direction, self.source, self.target = direction, source, target
        self.moved = 0
        """Bytes of the present body."""
        self._out, self._in = os.pipe()
        fcntl.fcntl(self._in, _F_SETPIPE_SZ, CHUNK)

    def close(self) -> None:
        os.close(self._out)
        os.close(self._in)

    def move(self, count: int, pace: Pace) -> None:
        pace.begin()
        while count:
            taken = os.splice(self.source.fileno(), self._in, min(count, pace.chunk))
            if not taken:
                raise Cut
            left = taken
            while left:
                left -= os.splice(self._out, self.target.fileno(), left)
            count -= taken
            self.moved += taken
            pace.passed(taken)

    def move_to_end(self, pace: Pace) -> None:
        with contextlib.suppress(Cut):
            self.move(sys.maxsize, pace)


class Connection:
    def __init__(self, settings: Settings, journal: Journal, client: socket.socket) -> None:
        time.sleep(settings.latency)
        self.settings, self.journal, self.client = settings, journal, client
        self.server = socket.create_connection(("127.0.0.1", settings.to))
        for end in (client, self.server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.up = Mover(REQUEST, client, self.server)
        self.down = Mover(ANSWER, self.server, client)
        self.paces = {REQUEST: Pace(settings.rate), ANSWER: Pace(settings.rate)}

    def serve(self) -> None:
        try:
            while self.exchange():
                pass
        except (OSError, Cut, NoMessage):
            # One side is gone or was cut off: the other learns it from the connection's end.
            pass
        finally:
            for end in (self.client, self.server):
                end.close()
            self.up.close()
            self.down.close()

    def exchange(self) -> bool:
        """One request and its answer; whether the connection stays."""
        request = read_head(self.client)
        if request is None:
            return False
        time.sleep(self.settings.latency)
        self.up.moved = 0
        try:
            answer = self._ask(request)
        except BaseException:
            self._note(request, 0, None)
            raise
        self._note(request, answer.status, body_of_answer(request, answer))
        self.client.sendall(answer.raw)
        return self._answer_body(request, answer) and not request.closes

    def _ask(self, request: Head) -> Head:
        self.server.sendall(request.raw)
        if request.is_chunked:
            self._chunks(self.up)
        elif self._is_invited(request):
            self._body(self.up, request, request.length)
        return self._answer(request)

    def _is_invited(self, request: Head) -> bool:
        """Whether the client sends the body, for which it may wait for the server's word."""
        if not request.length or not request.expects:
            return True
        ready, _none, _none_either = select.select([self.client, self.server], [], [])
        if self.client in ready:
            return True
        word = self._peek()
        if word.status != 100:
            return False
        self.client.sendall(read_and_drop(self.server, word))
        time.sleep(self.settings.latency)
        return True

    def _peek(self) -> Head:
        while True:
            seen = self.server.recv(CHUNK, socket.MSG_PEEK)
            if not seen:
                raise Cut
            if b"\r\n\r\n" in seen:
                return Head(seen[: seen.index(b"\r\n\r\n") + 4])
            time.sleep(0.001)

    def _answer(self, request: Head) -> Head:
        while True:
            answer = read_head(self.server)
            if answer is None:
                raise Cut
            if answer.status != 100:
                return answer
            if not request.expects:
                self.client.sendall(answer.raw)

    def _answer_body(self, request: Head, answer: Head) -> bool:
        length = body_of_answer(request, answer)
        if length is not None:
            self._body(self.down, request, length)
            return not answer.closes
        if answer.is_chunked:
            self._chunks(self.down)
            return not answer.closes
        self.down.move_to_end(self.paces[ANSWER])
        return False

    def _chunks(self, mover: Mover) -> None:
        while True:
            line = _read_line(mover.source)
            mover.target.sendall(line)
            size = int(line.split(b";")[0], 16)
            mover.move(size + 2, self.paces[mover.direction])
            if not size:
                return

    def _body(self, mover: Mover, request: Head, length: int) -> None:
        pace = self.paces[mover.direction]
        fault = next(self._faults(mover.direction, request, length), None)
        if fault is None:
            mover.move(length, pace)
            return
        mover.move(fault.at, pace)
        if fault.kind == "cut":
            raise Cut
        byte = mover.source.recv(1)
        mover.target.sendall(bytes([byte[0] ^ 0xFF]))
        mover.moved += 1
        mover.move(length - fault.at - 1, pace)

    def _faults(self, direction: str, request: Head, length: int) -> Iterator[Fault]:
        return (f for f in self.settings.faults if f.claims(direction, request, length))

    def _note(self, request: Head, status: int, answered: int | None) -> None:
        self.journal.write(
            method=request.method,
            target=request.target,
            range=request.header("range"),
            sent=self.up.moved,
            status=status,
            answered=answered,
        )


def read_and_drop(end: socket.socket, head: Head) -> bytes:
    """What was only looked at."""
    raw = head.raw
    left = len(raw)
    while left:
        left -= len(end.recv(left))
    return raw


def _read_line(end: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\r\n"):
        byte = end.recv(1)
        if not byte:
            raise Cut
        line += byte
    return line


def main(settings: Settings) -> None:
    journal = Journal(settings.journal)
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            client, _address = listening.accept()
            threading.Thread(target=_serve, args=(settings, journal, client), daemon=True).start()


def _serve(settings: Settings, journal: Journal, client: socket.socket) -> None:
    try:
        connection = Connection(settings, journal, client)
    except OSError:
        client.close()
        return
    connection.serve()


if __name__ == "__main__":
    main(Settings.load(sys.argv[1]))
