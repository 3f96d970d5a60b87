# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets as they are met: which sizes, how long AWS works on each, which of them fail."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "dr"
# AWS publishes no durations. Here a store reads what is written on the volumes at about 170 MiB/s,
# which the size alone does not tell, and takes two minutes besides.
SECONDS = 120.0
SECONDS_PER_GIB = 6.0
LEAST_FILLED = 0.6
FAILURE_RATE = 0.01


@dataclass(frozen=True)
class Mix:
    """Sizes in GiB with their weights."""

    name: str
    what: str
    sizes: Mapping[int, int]
    judged: bool = True
    """Whether the lower bound can be come near to."""


MIXES = {
    mix.name: mix
    for mix in (
        Mix("servers", "root volumes only", {8: 40, 16: 20, 20: 15, 30: 15, 50: 10}),
        Mix("mixed", "one in two has data volumes", {8: 30, 20: 20, 100: 20, 200: 20, 400: 10}),
        Mix("databases", "large ones only", {100: 40, 200: 30, 300: 20, 400: 10}),
        # Rate and room are used up to the full at the same time, so nothing may be lost of either.
        Mix("balanced", "as much rate as room", {8: 55, 16: 20, 30: 10, 100: 15}, judged=False),
        # What is left beside 700 GiB stays empty for want of others.
        Mix("bulky", "few that fill the pipe alone", {30: 80, 700: 20}, judged=False),
    )
}


@dataclass(frozen=True)
class Image:
    """One AMI of a fleet; what fails stops at that percentage."""

    number: int
    gib: int
    seconds: float
    fails_at: int | None = None

    @property
    def image_id(self) -> str:
        return f"ami-{self.number:017x}"

    @property
    def key(self) -> str:
        return f"{PREFIX}/{self.image_id}.bin"

    @property
    def occupies(self) -> float:
        """Seconds for which AWS works on it."""
        return self.seconds * (self.fails_at or 100) / 100


def fleet(mix: Mix, count: int, seed: int) -> list[Image]:
    """The same fleet for the same mix, count and seed."""
    chance = random.Random(f"{mix.name} {count} {seed}")
    sizes = chance.choices(list(mix.sizes), weights=list(mix.sizes.values()), k=count)
    # AMI ids tell nothing about size or age.
    numbers = [chance.getrandbits(68) for _image in range(count)]
    return [_image(chance, number, gib) for number, gib in zip(numbers, sizes, strict=True)]


def _image(chance: random.Random, number: int, gib: int) -> Image:
    filled = chance.uniform(LEAST_FILLED, 1.0)
    fails_at = chance.randint(30, 95) if chance.random() < FAILURE_RATE else None
    return Image(number, gib, SECONDS + SECONDS_PER_GIB * gib * filled, fails_at)
