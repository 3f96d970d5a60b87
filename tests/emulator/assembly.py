# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running emulator from its parts."""

from __future__ import annotations

from pathlib import Path

from . import scenario as scenarios
from . import seeds
from .certificates import CertificateFiles
from .control import Control
from .corrections import install
from .demo import demo_images
from .gateway import Gateway
from .scenario import Scenario
from .server import EmulatorServer
from .world import World


def initial_scenario(path: Path | None, speed: float | None) -> Scenario:
    """The scenario of a file, with another speed if one is given. Raises ScenarioError."""
    scenario = Scenario()
    if path is not None:
        scenario = scenario.changed(scenarios.load(path))
    return scenario if speed is None else scenario.changed({"speed": speed})


def assemble(
    scenario: Scenario, seed: str | None, files: CertificateFiles, port: int
) -> EmulatorServer:
    """A server that listens, with its AMIs registered and moto warmed up."""
    world = World(scenario)
    install(world)
    world.backend(scenarios.DEFAULT_ACCOUNT, seeds.DEFAULT_REGION)
    if seed == "demo":
        seeds.plant_images(world, demo_images(scenario.encryption_by_default))
    elif seed:
        seeds.plant_images(world, seeds.load(Path(seed)))
    return EmulatorServer(Gateway(world, Control(world)), files, port)
