# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of a run, kept so that they can be shown again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.comparison.outcome import Outcome
from tests.benchmarks.growth import Need


@dataclass(frozen=True)
class Results:
    images: int
    speed: float
    polling: float
    """CPU seconds per second of Ansible's controller while a task sleeps."""
    outcomes: Sequence[Outcome]
    """In the order of the contenders."""
    growth: Sequence[Need]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), default=sorted, indent=1))


def load(path: Path) -> Results:
    kept = json.loads(path.read_text())
    return Results(
        images=kept["images"],
        speed=kept["speed"],
        polling=kept["polling"],
        outcomes=[_outcome(values) for values in kept["outcomes"]],
        growth=[Need(**values) for values in kept["growth"]],
    )


def _outcome(values: dict[str, Any]) -> Outcome:
    sets = {name: frozenset(values[name]) for name in ("stored", "storable")}
    return Outcome(**values | sets)
