# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One emulator for all tests, emptied before each, and a controller that runs jobs against it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulator.client import Emulator
from tests.integration.interpreter import warm
from tests.integration.run import module_python
from tests.playbooks.jobs import Controller
from tests.tools import surroundings
from tests.tools.checks import LEGS
from tests.tools.environments import ANSIBLE12, Environment

# Emulated AWS takes two or three seconds for what takes half an hour there.
SCENARIO = {
    "store_seconds": 2.0,
    "store_seconds_per_gib": 0.01,
    "restore_seconds": 2.0,
    "restore_seconds_per_gib": 0.01,
}


@pytest.fixture(scope="session")
def leg() -> Environment:
    return LEGS[os.environ.get("AMISTORE_LEG", ANSIBLE12.name)]


@pytest.fixture(scope="session")
def only_emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(only_emulator: Emulator) -> Emulator:
    only_emulator.reset()
    only_emulator.reset_scenario()
    only_emulator.scenario(**SCENARIO)
    return only_emulator


@pytest.fixture(scope="session")
def python(leg: Environment) -> Iterator[str]:
    """The Python of all modules; most of their time they would import the AWS SDK."""
    with warm(module_python(leg), surroundings.plain() | surroundings.NO_AWS) as program:
        yield program


@pytest.fixture
def controller(leg: Environment, emulator: Emulator, python: str, tmp_path: Path) -> Controller:
    return Controller(leg, emulator, tmp_path, python)
