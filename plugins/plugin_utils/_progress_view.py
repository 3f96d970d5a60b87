# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is shown of a running module, and when; times in seconds."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.amistore.aws.plugins.module_utils._progress_file import (
    Progress,
    RunningImage,
)

# Most runs with nothing to do have ended by then.
FIRST_BLOCK_AFTER = 10.0
BETWEEN_BLOCKS = 60.0
# Jobs that stay silent for long are killed, some after five minutes.
LONGEST_SILENCE = 240.0


@dataclass
class View:
    """Decides, each time it is asked, whether something is to be shown, and what."""

    host: str
    module: str
    begun_at: float
    _shown_at: float | None = None
    _shown: t.Hashable = None
    _last: Progress | None = None

    def text(self, now: float, progress: Progress | None) -> str | None:
        """Return a block when something has changed, a line after a long silence, or None.

        :param progress: how the module stands, None where it does not say.
        """
        self._last = progress or self._last
        if self._last and self._shown != _visible(self._last) and now >= self._next_block_at:
            self._shown_at, self._shown = now, _visible(self._last)
            return block(self.host, self._last)
        if now - (self.begun_at if self._shown_at is None else self._shown_at) >= LONGEST_SILENCE:
            self._shown_at = now
            return heartbeat(self.host, self.module, now - self.begun_at, self._last)
        return None

    @property
    def _next_block_at(self) -> float:
        if self._shown_at is None:
            return self.begun_at + FIRST_BLOCK_AFTER
        return self._shown_at + BETWEEN_BLOCKS


def _visible(progress: Progress) -> t.Hashable:
    """Return what must change for a new block; an estimate alone, which always does, is no news."""
    images = tuple((image.label, image.percent) for image in progress.running)
    return _counts(progress), images


def block(host: str, progress: Progress) -> str:
    """Return a line with the counts and one for each running AMI that the module names."""
    left = _left(progress.seconds_left)
    lines = [f"{host}: {progress.what}: {_counts(progress)}{left and f'; {left}'}"]
    width = max((len(image.label) for image in progress.running), default=0)
    lines += [f"  {image.label:<{width}}  {_image(image)}" for image in progress.running]
    more = progress.in_flight - len(progress.running)
    if more > 0:
        lines.append(f"  and {more} more in flight")
    return "\n".join(lines)


def heartbeat(host: str, module: str, seconds: float, progress: Progress | None) -> str:
    """Return one line that says no more than that the module still runs."""
    line = f"{host}: {module} still runs after {duration(seconds)}"
    return f"{line}: {_counts(progress)}" if progress else line


def _counts(progress: Progress) -> str:
    total = progress.total
    return (
        f"{progress.done} of {total} AMI{'' if total == 1 else 's'} done,"
        f" {progress.in_flight} in flight, {progress.not_started} not started,"
        f" {progress.failed} failed"
    )


def _image(image: RunningImage) -> str:
    percent = "  ? %" if image.percent is None else f"{min(image.percent, 100):3} %"
    left = _left(image.seconds_left)
    return f"{percent}{left and f', {left}'}"


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Return hours and minutes, which is as exact as an estimate can be."""
    minutes = max(1, int(seconds / 60.0 + 0.5))
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
