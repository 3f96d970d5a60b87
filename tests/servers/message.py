# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The heads of HTTP messages: as much of them as a proxy must know to find their ends."""

from __future__ import annotations

import socket
from functools import cached_property

END = b"\r\n\r\n"
LONGEST_HEAD = 1 << 20
WITHOUT_BODY = (204, 304)


class NoMessage(Exception):
    """What came is no HTTP."""


class Head:
    """First line and headers, as they came."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.text = raw.decode("latin-1")

    @cached_property
    def _first(self) -> list[str]:
        words = self.text.split("\r\n", 1)[0].split(" ", 2)
        if len(words) < 2:
            raise NoMessage(self.text)
        return words

    @cached_property
    def _headers(self) -> dict[str, str]:
        lines = self.text.split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return {name.lower(): value.strip() for name, _colon, value in pairs}

    def header(self, name: str) -> str:
        return self._headers.get(name, "")

    @property
    def method(self) -> str:
        return self._first[0]

    @property
    def target(self) -> str:
        return self._first[1]

    @property
    def status(self) -> int:
        return int(self._first[1])

    @property
    def length(self) -> int:
        """Bytes of the body that the head announces."""
        return int(self.header("content-length") or 0)

    @property
    def expects(self) -> bool:
        return self.header("expect").lower() == "100-continue"

    @property
    def is_chunked(self) -> bool:
        return self.header("transfer-encoding").lower() == "chunked"

    @property
    def closes(self) -> bool:
        return self.header("connection").lower() == "close"


def body_of_answer(request: Head, answer: Head) -> int | None:
    """Its length; None if only its end tells it."""
    if request.method == "HEAD" or answer.status in WITHOUT_BODY:
        return 0
    if answer.header("content-length"):
        return answer.length
    return None


def read_head(end: socket.socket) -> Head | None:
    """The next message's head, and not a byte of its body; None at the connection's end."""
    raw = b""
    while not raw.endswith(END):
        seen = end.recv(1 << 16, socket.MSG_PEEK)
        if not seen:
            return None
        # The end may lie across two looks.
        joined = raw[-3:] + seen
        found = joined.find(END)
        wanted = len(seen) if found < 0 else found + len(END) - len(raw[-3:])
        raw += end.recv(wanted)
        if len(raw) > LONGEST_HEAD:
            raise NoMessage("a head without end")
    return Head(raw)
