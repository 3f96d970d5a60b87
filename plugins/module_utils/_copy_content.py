# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of a part between source and destination: summed while they come, let go while they
leave.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import hashlib
import threading
import typing as t

CHUNK = 1024 * 1024


class Memory:
    """How many bytes of parts may be held at a time; a single part is always let in."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = 0
        self._changed = threading.Condition()
        self.most_held = 0

    @contextlib.contextmanager
    def hold(self, size: int) -> t.Iterator[t.Callable[[int], None]]:
        """Wait until so many bytes may be held, and hold them.

        :return: a function that lets go of some of them early.
        """
        left = size
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + size <= self.limit)
            self._held += size
            self.most_held = max(self.most_held, self._held)

        def let_go(count: int) -> None:
            nonlocal left
            count = min(count, left)
            left -= count
            with self._changed:
                self._held -= count
                self._changed.notify_all()

        try:
            yield let_go
        finally:
            let_go(left)


class Chunks:
    """Bytes as they came in, handed out once, chunk by chunk, and forgotten on the way."""

    def __init__(self) -> None:
        self._chunks: collections.deque[bytes] = collections.deque()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def take_in(self, body: t.Any) -> None:
        """Read a body to its end."""
        while chunk := body.read(CHUNK):
            self._add(chunk)

    def _add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        self._chunks.append(chunk)

    def read(self, _size: int = -1) -> bytes:
        """Return the next chunk, whole, whatever is asked for."""
        return self._chunks.popleft() if self._chunks else b""

    def forget(self) -> None:
        """Let go of what was not handed out."""
        self._chunks.clear()


class Content(Chunks):
    """A part as it came in, with its sums.

    It is what botocore takes for a file: something to `read`, of a known length.
    """

    def __init__(self, md5_step: int = 0, whole_md5: bool = False) -> None:
        """Prepare for the bytes of one part.

        :param md5_step: the size of the stretches to make MD5 sums of, 0 for none.
        :param whole_md5: whether to make the MD5 sum of the whole.
        """
        super().__init__()
        self._sha256 = hashlib.sha256()
        self._whole = hashlib.md5(usedforsecurity=False) if whole_md5 else None
        self._stretches = _Stretches(md5_step) if md5_step else None
        self._leaving = 0
        self.on_came: t.Callable[[int], None] = lambda _count: None
        """Is told of bytes as they come."""
        self.on_left: t.Callable[[int], None] = lambda _count: None
        """Is told how many bytes need not be held any longer."""

    def add_sums(self, md5_step: int, whole_md5: bool) -> None:
        """Make these sums as well, as long as nothing was handed out."""
        if whole_md5:
            self._whole = hashlib.md5(usedforsecurity=False)
        self._stretches = _Stretches(md5_step) if md5_step else None
        for chunk in self._chunks:
            self._sum_md5(chunk)

    def _add(self, chunk: bytes) -> None:
        self._sha256.update(chunk)
        self._sum_md5(chunk)
        super()._add(chunk)
        self.on_came(len(chunk))

    def _sum_md5(self, chunk: bytes) -> None:
        if self._whole:
            self._whole.update(chunk)
        if self._stretches:
            self._stretches.update(chunk)

    def read(self, size: int = -1) -> bytes:
        """Return the next chunk, whole, since it goes into a socket anyway."""
        self.on_left(self._leaving)
        chunk = super().read(size)
        self._leaving = len(chunk)
        return chunk

    @property
    def sha256(self) -> str:
        """The checksum as S3 writes it."""
        return base64.b64encode(self._sha256.digest()).decode()

    @property
    def md5(self) -> bytes | None:
        """The MD5 sum of the whole, None where it was not made."""
        return self._whole.digest() if self._whole else None

    @property
    def md5s(self) -> tuple[bytes, ...]:
        """The MD5 sums of the stretches."""
        return self._stretches.digests() if self._stretches else ()


class _Stretches:
    """MD5 sums of stretches of one length, the last one shorter."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._done: list[bytes] = []
        self._current = hashlib.md5(usedforsecurity=False)
        self._room = step

    def update(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            piece, view = view[: self._room], view[self._room :]
            self._current.update(piece)
            self._room -= len(piece)
            if not self._room:
                self._done.append(self._current.digest())
                self._current, self._room = hashlib.md5(usedforsecurity=False), self._step

    def digests(self) -> tuple[bytes, ...]:
        rest = [self._current.digest()] if self._room < self._step else []
        return (*self._done, *rest)
