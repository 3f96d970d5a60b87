# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in memory and stays there: what one part has left for the next one, code and clients."""

from __future__ import annotations

import contextlib
import gc
import importlib
import typing as t

# The names of malloc.h; https://man7.org/linux/man-pages/man3/mallopt.3.html
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
# The highest that glibc takes; no piece of a part is so large.
LARGEST_PIECE = 32 * 1024 * 1024
MOST_KEPT = 2**31 - 1


def c_library() -> t.Any:
    """Return the C library of this process; a Python may have been built without the means."""
    return importlib.import_module("ctypes").CDLL(None)


def keep_freed_memory(library: t.Callable[[], t.Any] = c_library) -> None:
    """Have the C library keep what is freed for what comes next, where it can be asked to.

    By default glibc hands each piece back to the kernel and asks for another, which is cleared page
    by page. To be called before any thread begins.
    """
    try:
        mallopt = library().mallopt
    except (AttributeError, ImportError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_PIECE)
    mallopt(M_TRIM_THRESHOLD, MOST_KEPT)
    # What one thread has freed is for all others, so that threads never keep more than is held.
    mallopt(M_ARENA_MAX, 1)


@contextlib.contextmanager
def made_to_stay() -> t.Iterator[None]:
    """Have Python's garbage collector pass by all that exists at the end, as long as the process.

    That is the code and what is made inside, such as clients: more than a hundred thousand objects
    that stay anyway. The collector would look through them while more are made, during the copy and
    three times when the process ends, which takes longer than a request.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # Not every Python has it.
        with contextlib.suppress(AttributeError):
            gc.freeze()
        if was_enabled:
            gc.enable()
