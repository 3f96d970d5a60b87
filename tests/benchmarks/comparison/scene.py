# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every way of storing is given: the same AMIs, the same AWS, nothing done before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.simulation.mixes import MIXES, Image, fleet

BUCKET = "fleet-of-amis"
MIX = "servers"
SEED = 1
TASK_SECONDS = 300.0
FAILING_SHARE = 0.03
CREATE_BURST = 50
SECONDS_PER_CREATE = 10.0


@dataclass(frozen=True)
class Scene:
    """AMIs, some of which AWS fails to store whoever asks."""

    images: Sequence[Image]
    failing: frozenset[str]

    @property
    def image_ids(self) -> list[str]:
        return [image.image_id for image in self.images]

    @property
    def storable(self) -> frozenset[str]:
        return frozenset(self.image_ids) - self.failing

    @property
    def gib(self) -> int:
        return sum(image.gib for image in self.images)

    @property
    def shortest_seconds(self) -> float:
        """What AWS's request rate and one task take."""
        return max(0, len(self.images) - CREATE_BURST) * SECONDS_PER_CREATE + TASK_SECONDS

    def seeds(self) -> list[dict[str, Any]]:
        return [
            {
                "image_id": image.image_id,
                "name": f"fleet-{number:03}",
                "volumes": [{"device": "/dev/xvda", "size": image.gib}],
            }
            for number, image in enumerate(self.images)
        ]

    def scenario(self, speed: float) -> dict[str, Any]:
        """AWS's limits, which are the emulator's defaults, and tasks of five minutes."""
        failure = {"reason": "The snapshot could not be read.", "at_percent": 50}
        return {
            "speed": speed,
            "store_seconds": TASK_SECONDS,
            "store_seconds_per_gib": 0,
            "store_failures": dict.fromkeys(sorted(self.failing), failure),
        }


def scene(count: int) -> Scene:
    images = fleet(MIXES[MIX], count, SEED)
    failing = round(count * FAILING_SHARE) or 1
    step = count // failing
    return Scene(images, frozenset(image.image_id for image in images[step - 1 :: step]))
