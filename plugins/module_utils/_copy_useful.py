# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many parts at a time are of use: more, as long as more of them move more.

Where distance or a cap on each connection is the bound, a part takes as long beside sixty others as
beside ten. Where the server or this machine is, twice as many take twice as long; then more are of
no use, and where they wear a server out, fewer move more.
"""

from __future__ import annotations

import typing as t

from ansible_collections.amistore.aws.plugins.module_utils._copy_parts import DEFAULT_PART, MIB

# So many hide what a request takes, where nobody knows how long that is.
AT_FIRST = 12
# So many keep a server busy that is near; more wear it out.
NEAR = 5
FEWEST = 4
# Twice as many that move less than a fifth more are not worth it.
WORTH = 0.2
TIMES_MORE = 2.0
# A quarter fewer must move more; as many bytes are no reason.
TIMES_FEWER = 0.75
SURELY_MORE = 1.05
# What is aimed at in the first seconds, when nobody knows yet what server and network can do.
BYTES_PER_SECOND = 160 * MIB
# After how many seconds with a number that was measured another one is tried; twice as many each
# time that none was better. A try that was in vain costs time, and most likely it is where what was
# aimed at is not reached: what is foreseen from the first parts is right more often.
PATIENCE = 20.0
PATIENCE_BEYOND_AIM = 5.0
MOST_PATIENCE = 160.0
# It is never over after fewer rounds, however long they take.
LEAST_ROUNDS = 5
# Half as many again as wait on average: they do not wait in turn.
UNEVEN = 1.5


def at_first(waiting: float, part_size: int) -> int:
    """Return with how many parts at a time to begin.

    :param waiting: the seconds for which a part waits for round trips, while others must move.
    """
    return NEAR + int(UNEVEN * waiting * BYTES_PER_SECOND / part_size)


class Useful:
    """Tries numbers, and learns from the seconds of the parts that were begun since."""

    def __init__(
        self, most: int, begin_with: int = AT_FIRST, part_size: int = DEFAULT_PART
    ) -> None:
        """Begin with a number.

        :param part_size: that of most parts, in bytes.
        """
        self._most = most
        self._aim = BYTES_PER_SECOND / part_size
        """Parts per second."""
        self._fewest = min(most, FEWEST)
        self.number = min(most, begin_with)
        self.attempt = 0
        """Counts the numbers that were tried. Whoever begins a part keeps it for `learn`."""
        self._seconds: list[float] = []
        self._warm = False
        self._reading = self._sending = float("inf")
        """Seconds per byte, where it went fastest."""
        self.kept = 0
        """The best number so far, 0 while none was measured."""
        self._kept_rate = 0.0
        self._seconds_kept = 0.0
        """With the best number, since the last try."""
        self._patience = PATIENCE
        self._upwards = True

    def foresee(self, size: int, seconds: float, sending: bool = False) -> None:
        """Use more from the first where a part of this size will take so long to read, or to send.

        A part is read and then sent, so that both take of its turn. Of each the fastest counts: it
        shares the network least with the others that are on their way.
        """
        if sending:
            self._sending = min(self._sending, seconds / size)
        else:
            self._reading = min(self._reading, seconds / size)
        both = sum(way for way in (self._reading, self._sending) if way < float("inf"))
        needed = min(self._most, int(BYTES_PER_SECOND * both))
        if not self._warm and needed > self.number:
            self._try(needed)

    def disregard(self) -> None:
        """Let the parts that are on their way tell nothing: something else holds them up."""
        self._try(self.number)

    def learn(self, attempt: int, seconds: float) -> None:
        """Count a part that came to its end.

        :param attempt: `attempt` when it was begun; those of earlier ones are passed by.
        """
        if attempt != self.attempt:
            return
        self._seconds.append(seconds)
        if len(self._seconds) >= self.number:
            mean = sum(self._seconds) / len(self._seconds)
            self._seconds = []
            self._end_round(self.number / mean if mean > 0 else float("inf"), mean)

    def _end_round(self, rate: float, mean: float) -> None:
        """Decide what comes next, once as many parts were moved as go at a time.

        | number    | rate                       | next                                        |
        |-----------|----------------------------|---------------------------------------------|
        | the first | any, for the first time    | measure again: connections were opened, and |
        |           |                            | some parts were read ahead                  |
        | the first | any                        | keep it                                     |
        | the kept  | what was aimed at, or more | try more soon, unless that was in vain      |
        | the kept  | less                       | wait for the patience to end, then try more |
        | more      | a fifth more, or better    | keep it, try still more                     |
        | more      | less                       | back to the kept; later try fewer           |
        | fewer     | a twentieth more, or better| keep it, try still fewer                    |
        | fewer     | less                       | back to the kept; later try more            |

        :param rate: parts per second.
        :param mean: how many seconds a part took.
        """
        if not self._warm:
            self._warm = True
        elif not self.kept:
            self._keep(rate)
        elif self.number == self.kept:
            self._kept_rate = rate
            self._seconds_kept += min(mean, PATIENCE / LEAST_ROUNDS)
            if self._seconds_kept >= self._patience_at(rate) and not self._go_on():
                self._turn()
                self._go_on()
        elif rate >= self._kept_rate * self._wanted():
            self._keep(rate)
            self._patience = PATIENCE
            self._go_on()
        else:
            self._patience = min(2 * self._patience, MOST_PATIENCE)
            self._turn()
            self._try(self.kept)

    def _patience_at(self, rate: float) -> float:
        untried = self._patience == PATIENCE
        return PATIENCE_BEYOND_AIM if untried and rate >= self._aim else self._patience

    def _wanted(self) -> float:
        if self.number < self.kept:
            return SURELY_MORE
        return 1 + WORTH * (self.number / self.kept - 1)

    def _keep(self, rate: float) -> None:
        self.kept, self._kept_rate = self.number, rate

    def _turn(self) -> None:
        self._upwards = not self._upwards

    def _go_on(self) -> bool:
        """Try the next number in the direction that is due; return whether there is one."""
        self._seconds_kept = 0.0
        times = TIMES_MORE if self._upwards else TIMES_FEWER
        other = min(self._most, max(self._fewest, int(self.kept * times)))
        if other != self.kept:
            self._try(other)
        return other != self.kept

    def _try(self, number: int) -> None:
        self.number = number
        self.attempt += 1
        self._seconds = []


class Foresight:
    """Tells from the first half of a part how long all of it will take.

    Less of it may have come in a burst, out of the buffers on the way.
    """

    def __init__(
        self, size: int, now: t.Callable[[], float], tell: t.Callable[[int, float], None]
    ) -> None:
        self._size = size
        self._now = now
        self._tell = tell
        self._began = now()
        self._first = self._first_at = 0.0
        self._came = 0

    def saw(self, count: int) -> None:
        """Count bytes that came: the time until the first ones is due once, that since to all."""
        now = self._now()
        if not self._came:
            self._first, self._first_at = count, now
        self._came += count
        if self._came > self._first and 2 * self._came >= self._size:
            rest = (now - self._first_at) / (self._came - self._first)
            whole = self._first_at - self._began + rest * (self._size - self._first)
            self._tell(self._size, whole)
