# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first parts of a source, read while the destination gets ready for them.

Beginning an upload takes several requests in a row, and reading needs none of their answers.
"""

from __future__ import annotations

import contextlib
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from ansible_collections.amistore.aws.plugins.module_utils._copy_content import Content, Memory
from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import Part

# Beginning an upload takes about as long as reading so many over 80 ms.
MOST_AHEAD = 12


@dataclass(frozen=True)
class Held:
    """A part that was read, in memory until `close`."""

    content: Content
    let_go: t.Callable[[int], None]
    """Lets go of so many bytes early."""
    close: t.Callable[[], None]


def read_held(memory: Memory, part: Part, read: t.Callable[[Part], Content]) -> Held:
    """Read a part into memory that is held for it."""
    with contextlib.ExitStack() as stack:
        let_go = stack.enter_context(memory.hold(part.size))
        content = read(part)
        return Held(content, let_go, stack.pop_all().close)


@dataclass
class Ahead:
    """Parts that are being read before anybody asks for them."""

    _reading: dict[int, Future[Held]] = field(default_factory=dict)
    _pool: ThreadPoolExecutor | None = None

    def start(
        self, parts: t.Sequence[Part], memory: Memory, read: t.Callable[[Part], Content]
    ) -> None:
        """Read these parts in the background; all of them must fit into memory."""
        self._pool = ThreadPoolExecutor(len(parts), thread_name_prefix="ahead")
        for part in parts:
            self._reading[part.number] = self._pool.submit(read_held, memory, part, read)

    def take(self, number: int) -> Held | None:
        """Return a part, once, when it is read; None where it is not among these.

        :raises Exception: what reading it has raised.
        """
        reading = self._reading.pop(number, None)
        return reading.result() if reading else None

    def close(self) -> None:
        """Let go of what nobody has taken."""
        if self._pool:
            self._pool.shutdown()
        for reading in self._reading.values():
            if not reading.exception():
                reading.result().close()
        self._reading.clear()
