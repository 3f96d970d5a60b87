# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments: made once, made again when what they hold is to change."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.tools import interpreters
from tests.tools.places import ENVIRONMENTS, REQUIREMENTS

ANY_PYTHON = ("3.11", "3.12", "3.13", "3.14")
# Changes when the way of making an environment does, so that existing ones are made again.
RECIPE = "2"


class NoInterpreter(Exception):
    """No Python of a version that the environment needs is on this machine."""


@dataclass(frozen=True)
class Environment:
    name: str
    pythons: tuple[str, ...]
    """Versions it can be made with, the best first."""
    requirements: tuple[str, ...]
    collections: tuple[str, ...] = ()
    """Requirement files of an `ansible` package that only amazon.aws is wanted from."""
    more_namespaces: tuple[str, ...] = ()
    """Of the same package, what is wanted beside `amazon`."""

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / self.name

    @property
    def python(self) -> Path:
        return self.program("python")

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name

    @property
    def stamp(self) -> Path:
        return ENVIRONMENTS / f"{self.name}.stamp"

    def python_version(self) -> str:
        """The exact version that it was made with."""
        settings = (self.folder / "pyvenv.cfg").read_text().splitlines()
        return next(
            line.partition("=")[2].strip() for line in settings if line.startswith("version")
        )

    def site_packages(self) -> Path:
        return next(self.folder.glob("lib/python3*/site-packages"))


FLOOR = Environment(
    name="floor",
    pythons=("3.11", "3.12"),
    requirements=("floor.txt", "testing.txt"),
    collections=("floor-collections.txt",),
)
FLOOR_MODULES = Environment(
    name="floor-modules",
    pythons=("3.9", "3.10", "3.11", "3.12"),
    requirements=("floor-modules.txt",),
)
ANSIBLE12 = Environment(
    name="ansible12",
    pythons=("3.11", "3.12", "3.13"),
    requirements=("ansible12.txt", "testing.txt"),
)
ANSIBLE14 = Environment(
    name="ansible14",
    pythons=("3.14", "3.13", "3.12"),
    requirements=("ansible14.txt", "testing.txt"),
)
EMULATOR = Environment(
    name="emulator", pythons=ANY_PYTHON, requirements=("emulator.txt", "testing.txt")
)
PERMISSIONS = Environment(
    name="permissions",
    pythons=("3.11", "3.12", "3.13"),
    requirements=("policies.txt", "testing.txt"),
    collections=("tools-collections.txt",),
)
TOOLS = Environment(
    name="tools",
    pythons=ANY_PYTHON,
    requirements=("tools.txt",),
    collections=("tools-collections.txt",),
    # Whose modules bring the data in extensions/awx to a controller.
    more_namespaces=("awx",),
)
# Programs that start or package Ansible, and so need none of their own.
RUNNER = Environment(name="runner", pythons=ANY_PYTHON, requirements=("runner.txt", "testing.txt"))
# The AWS CLI as its users have it, in a place of its own.
AWS_CLI = Environment(name="aws-cli", pythons=ANY_PYTHON, requirements=("aws-cli.txt",))
# Servers that speak S3, and what people copy objects between them with.
RELAY = Environment(name="relay", pythons=ANY_PYTHON, requirements=("relay.txt",))
SCANNER = Environment(name="scanner", pythons=("3.11", "3.12"), requirements=("scanner.txt",))

ALL = {
    environment.name: environment
    for environment in (
        FLOOR,
        FLOOR_MODULES,
        ANSIBLE12,
        ANSIBLE14,
        EMULATOR,
        PERMISSIONS,
        TOOLS,
        RUNNER,
        AWS_CLI,
        RELAY,
        SCANNER,
    )
}


def ensure(environment: Environment) -> None:
    """Make the environment unless it stands as its requirements say.

    The stamp is written last and removed first: an interrupted installation starts over.
    """
    interpreter = interpreters.find(environment.pythons)
    if interpreter is None:
        wanted = " or ".join(environment.pythons)
        raise NoInterpreter(f"no Python {wanted} was found in PATH or under pyenv")
    with _locked(environment):
        wanted = _fingerprint(environment, interpreter)
        if environment.stamp.exists() and environment.stamp.read_text() == wanted:
            return
        print(f"environment {environment.name}: installing with {interpreter}", flush=True)
        environment.stamp.unlink(missing_ok=True)
        shutil.rmtree(environment.folder, ignore_errors=True)
        _create(interpreter, environment)
        _install(environment)
        environment.stamp.write_text(wanted)


@contextmanager
def _locked(environment: Environment) -> Iterator[None]:
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with open(ENVIRONMENTS / f"{environment.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fingerprint(environment: Environment, interpreter: Path) -> str:
    # The folder is part of it because scripts in a virtual environment name it.
    parts = [RECIPE, str(environment.folder.resolve()), str(interpreter.resolve())]
    parts += [_text(name) for name in environment.requirements]
    parts += ["--no-deps", *(_text(name) for name in environment.collections)]
    parts += environment.more_namespaces
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _text(requirement_file: str) -> str:
    return (REQUIREMENTS / requirement_file).read_text()


def _create(interpreter: Path, environment: Environment) -> None:
    make = [str(interpreter), "-m", "venv"]
    if _quietly([*make, str(environment.folder)]):
        return
    # Debian ships ensurepip in a package of its own; the pip of the running Python will do.
    shutil.rmtree(environment.folder, ignore_errors=True)
    _run([*make, "--without-pip", str(environment.folder)])


def _install(environment: Environment) -> None:
    if _quietly([str(environment.python), "-m", "pip", "--version"]):
        pip = [str(environment.python), "-m", "pip"]
    else:
        pip = [sys.executable, "-m", "pip", "--python", str(environment.python)]
    install = [*pip, "install", "-qq", "--no-compile", "--disable-pip-version-check"]
    _run([*install, *_requirement_options(environment.requirements)])
    if environment.collections:
        _run([*install, "--no-deps", *_requirement_options(environment.collections)])
        _keep_what_is_wanted(environment)


def _keep_what_is_wanted(environment: Environment) -> None:
    """Remove the other hundred collections: documentation tools would read them all."""
    wanted = {"amazon", *environment.more_namespaces}
    for namespace in (environment.site_packages() / "ansible_collections").glob("*/"):
        if namespace.name not in wanted:
            shutil.rmtree(namespace)


def _requirement_options(names: Sequence[str]) -> list[str]:
    return [part for name in names for part in ("-r", str(REQUIREMENTS / name))]


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _quietly(command: Sequence[str]) -> bool:
    return (
        subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True
        ).returncode
        == 0
    )
