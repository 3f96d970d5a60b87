# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy that is killed again and again, seen from the network.

A proxy before the target counts what is sent and acknowledged: the module's word is not asked for.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.relay.outcome import MIB
from tests.benchmarks.relay.race import is_equal
from tests.benchmarks.relay.source import Source
from tests.servers import module
from tests.servers.proxies import Exchange, Proxy, proxy
from tests.servers.server import BY_NAME

_LOOK_SECONDS = 0.005
# An acknowledgement is no special moment: what follows it takes about as long.
_LONGEST_WAIT_SECONDS = 0.05
# By which the module knows an unfinished upload for its own, and how the server treats checksums.
# They become no part of the object.
NO_PARTS = ("9998", "9999")


@dataclass(frozen=True)
class Killed:
    kills: int
    size: int
    """Bytes of the object."""
    extra: int
    """Bytes that were sent beside them."""
    most_extra: int
    sent_again: int
    """How often a part was sent that the server had acknowledged before, under any upload."""
    is_equal: bool


def kill_and_finish(
    source: Source, kills: int, concurrency: int, part_mib: int, data: Path, seed: int
) -> Killed:
    """Kill the module at random moments of its copying, then let it finish."""
    chance = random.Random(seed)
    with BY_NAME[source.server.name](data) as target, proxy(target.url) as counted:
        given = module.arguments(source.server.url, counted.url, [source.key]) | {
            "concurrency": concurrency,
            "part_size": part_mib,
        }
        done = 0
        for _life in range(kills):
            # A share for each life, so that there is something left for the next one to do.
            done += int(chance.random() * 2 * (source.size - done) / (kills + 2))
            _kill_once(given, counted, done, chance.uniform(0, _LONGEST_WAIT_SECONDS))
        result = module.run(given)
        if result.get("failed"):
            raise RuntimeError(str(result.get("msg")))
        exchanges = counted.exchanges()
        return Killed(
            kills=kills,
            size=source.size,
            extra=sum(each.sent for each in exchanges if each.is_part) - source.size,
            most_extra=kills * concurrency * part_mib * MIB,
            sent_again=sent_again(exchanges),
            is_equal=is_equal(target, source),
        )


def _kill_once(given: dict[str, Any], counted: Proxy, least: int, wait: float) -> None:
    """Kill it so many seconds after so many bytes are acknowledged."""
    process = module.start(given)
    while process.poll() is None and acknowledged(counted.exchanges()) < least:
        time.sleep(_LOOK_SECONDS)
    time.sleep(wait)
    if process.poll() is not None:
        raise RuntimeError(f"it ended before it was killed: {module.finish(process)}")
    process.kill()
    process.communicate()


def acknowledged(exchanges: Sequence[Exchange]) -> int:
    """Bytes of parts that the server has taken."""
    return sum(each.sent for each in exchanges if each.is_acknowledged_part)


def sent_again(exchanges: Sequence[Exchange]) -> int:
    """How often a part of the object was sent after the server had acknowledged it."""
    taken, again = set[str](), 0
    for each in exchanges:
        if each.is_part and each.query["partNumber"] not in NO_PARTS:
            # Of whichever upload: one begun anew would send the same parts a second time.
            part = each.query["partNumber"]
            again += part in taken
            if each.is_acknowledged_part:
                taken.add(part)
    return again
