# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the project that a person watches: the demo, the fleet run, integration targets."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.tools import environments, surroundings
from tests.tools.checks import LEGS
from tests.tools.environments import (
    ANSIBLE12,
    ANSIBLE14,
    AWS_CLI,
    EMULATOR,
    FLOOR,
    FLOOR_MODULES,
    RELAY,
    SCANNER,
    TOOLS,
    Environment,
    NoInterpreter,
)
from tests.tools.places import ROOT


def demo(arguments: Sequence[str]) -> int:
    return _python(_any_leg(), "tests.demo", arguments)


def fleet(arguments: Sequence[str]) -> int:
    return _python(_any_leg(), "tests.benchmarks.fleet", arguments)


def simulation(arguments: Sequence[str]) -> int:
    return _python(_any_leg(), "tests.benchmarks.simulation", arguments)


def growth(arguments: Sequence[str]) -> int:
    return _python(_any_leg(), "tests.benchmarks.growth", arguments)


def second_run(arguments: Sequence[str]) -> int:
    return _python(_any_leg(), "tests.benchmarks.second_run", arguments)


def comparison(arguments: Sequence[str]) -> int:
    environments.ensure(AWS_CLI)
    variables = {"AMISTORE_AWS_CLI": str(AWS_CLI.program("aws").parent)}
    return _python(_any_leg(), "tests.benchmarks.comparison", arguments, variables)


def relay(arguments: Sequence[str]) -> int:
    environments.ensure(RELAY)
    return _python(_any_leg(), "tests.benchmarks.relay", arguments, surroundings.for_servers())


def campaign(arguments: Sequence[str]) -> int:
    return _python(_any_leg(), "tests.benchmarks.campaign", arguments)


def scan(arguments: Sequence[str]) -> int:
    environments.ensure(SCANNER)
    return _python(_any_leg(), "tests.scanner", arguments)


def integration(leg_name: str, arguments: Sequence[str]) -> int:
    leg = LEGS[leg_name]
    needed = [leg, EMULATOR, *([FLOOR_MODULES] if leg is FLOOR else [])]
    for environment in needed:
        environments.ensure(environment)
    command = ["-m", "tests.integration.run", "--leg", leg_name, *arguments]
    return _watch(leg.python, command, os.environ)


def release_notes(arguments: Sequence[str]) -> int:
    """Move the changelog's fragments into the release that galaxy.yml names."""
    environments.ensure(TOOLS)
    command = ["release", *arguments]
    return _watch(TOOLS.program("antsibull-changelog"), command, surroundings.for_ansible(TOOLS))


def _any_leg() -> Environment:
    """The first leg that this machine has a Python for."""
    environments.ensure(EMULATOR)
    try:
        environments.ensure(ANSIBLE12)
    except NoInterpreter:
        environments.ensure(ANSIBLE14)
        return ANSIBLE14
    return ANSIBLE12


def _python(
    leg: Environment,
    module: str,
    arguments: Sequence[str],
    more_variables: Mapping[str, str] | None = None,
) -> int:
    variables = surroundings.for_ansible(leg) | surroundings.for_pytest()
    variables |= more_variables or {}
    return _watch(leg.python, ["-m", module, *arguments], variables)


def _watch(program: Path, arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    command = [str(program), *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, env=variables).returncode
