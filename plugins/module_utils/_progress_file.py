# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file in which a running module tells the controller how far it is: its content, both ways.

Imported by the controller too, so nothing of AWS is imported here.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import typing as t
from dataclasses import asdict, dataclass

FILE_NAME = "amistore_progress.json"
# Ten running AMIs with the longest keys and names stay far below; anything longer is not ours.
MOST_BYTES = 65536


@dataclass(frozen=True)
class RunningImage:
    """An AMI in progress at AWS."""

    label: str
    percent: int | None
    """None where AWS does not say."""
    seconds_left: float | None
    """None where nothing can be said yet."""


@dataclass(frozen=True)
class Progress:
    """How a run stands."""

    what: str
    """What the run does, for example "store into s3://bucket"."""
    done: int
    in_flight: int
    not_started: int
    failed: int
    running: tuple[RunningImage, ...]
    """The first of those in flight."""
    seconds_left: float | None
    """Until all have ended, None where nothing can be said yet."""

    @property
    def total(self) -> int:
        return self.done + self.in_flight + self.not_started + self.failed


def write(folder: str, progress: Progress) -> None:
    """Replace the file in one step, so that nobody reads half of it.

    :raises OSError: when the folder is gone or full.
    """
    path = os.path.join(folder, FILE_NAME)
    with open(f"{path}.new", "w", encoding="utf-8") as new:
        json.dump(asdict(progress), new)
    os.replace(f"{path}.new", path)


def read(folder: str) -> Progress | None:
    """Return what the file says, None where it is missing or makes no sense."""
    content = _read_bytes(os.path.join(folder, FILE_NAME))
    with contextlib.suppress(KeyError, RecursionError, TypeError, ValueError):
        return _parse(json.loads(content))
    return None


def _read_bytes(path: str) -> bytes:
    """Return the content of a plain file of believable size, else nothing; never waits."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        status = os.fstat(descriptor)
        believable = stat.S_ISREG(status.st_mode) and status.st_size <= MOST_BYTES
        return os.read(descriptor, MOST_BYTES) if believable else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _parse(content: t.Any) -> Progress:
    return Progress(
        what=_text(content["what"]),
        done=_count(content["done"]),
        in_flight=_count(content["in_flight"]),
        not_started=_count(content["not_started"]),
        failed=_count(content["failed"]),
        running=tuple(_parse_image(image) for image in content["running"]),
        seconds_left=_seconds(content["seconds_left"]),
    )


def _parse_image(content: t.Any) -> RunningImage:
    percent = content["percent"]
    return RunningImage(
        label=_text(content["label"]),
        percent=None if percent is None else _count(percent),
        seconds_left=_seconds(content["seconds_left"]),
    )


def _text(value: t.Any) -> str:
    """Return the text; what is no printable text could do anything to a terminal."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("not a printable text")
    return value


def _count(value: t.Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**9:
        raise ValueError("not a count")
    return value


def _seconds(value: t.Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("not a time")
    if not math.isfinite(value) or not 0 <= value < 10**9:
        raise ValueError("not a time")
    return float(value)
