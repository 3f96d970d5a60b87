# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of the project: what it needs and which commands it consists of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.tools import collection_tree, sanity, surroundings
from tests.tools.environments import (
    ANSIBLE12,
    ANSIBLE14,
    EMULATOR,
    FLOOR,
    FLOOR_MODULES,
    PERMISSIONS,
    RELAY,
    RUNNER,
    TOOLS,
    Environment,
)
from tests.tools.places import BUILD, ROOT

LEGS = {leg.name: leg for leg in (FLOOR, ANSIBLE12, ANSIBLE14)}
COVERAGE_DATA = BUILD / "coverage" / "data"
COVERAGE_REPORT = BUILD / "coverage" / "report.json"


@dataclass(frozen=True)
class Step:
    command: tuple[str, ...]
    variables: dict[str, str]
    folder: Path = ROOT


@dataclass(frozen=True)
class Check:
    name: str
    what: str
    environments: tuple[Environment, ...]
    steps: Callable[[], Iterable[Step]] = field(repr=False)
    after: str = ""
    """The check whose results this one reads."""


def step(*command: str | Path, variables: dict[str, str], folder: Path = ROOT) -> Step:
    return Step(tuple(str(word) for word in command), variables, folder)


def unit(leg: Environment) -> Check:
    def steps() -> Iterator[Step]:
        variables = surroundings.for_pytest()
        yield step(leg.python, "-m", "pytest", "tests/unit", variables=variables)

    return Check(f"unit-{leg.name}", f"unit tests, {leg.name}", (leg, EMULATOR), steps)


def measured_unit(leg: Environment) -> Check:
    """Unit tests whose lines and branches are recorded for the coverage check."""

    def steps() -> Iterator[Step]:
        COVERAGE_DATA.parent.mkdir(parents=True, exist_ok=True)
        variables = surroundings.for_pytest() | {"COVERAGE_FILE": str(COVERAGE_DATA)}
        run = (leg.python, "-m", "coverage", "run", "-m", "pytest", "tests/unit")
        yield step(*run, variables=variables)

    return Check(f"unit-{leg.name}", f"unit tests, {leg.name}", (leg, EMULATOR), steps)


def coverage() -> Check:
    def steps() -> Iterator[Step]:
        variables = surroundings.plain() | {"COVERAGE_FILE": str(COVERAGE_DATA)}
        python = ANSIBLE12.python
        yield step(python, "-m", "coverage", "report", variables=variables)
        to_json = (python, "-m", "coverage", "json", "--quiet", "-o", COVERAGE_REPORT)
        yield step(*to_json, variables=variables)
        judge = (python, "-m", "tests.tools.coverage_floor", COVERAGE_REPORT)
        yield step(*judge, variables=variables)

    what = "lines and branches of plugins/"
    return Check("coverage", what, (ANSIBLE12,), steps, after=f"unit-{ANSIBLE12.name}")


def _for_plays(leg: Environment) -> tuple[Environment, ...]:
    """What plays of a leg need: its own environment, and where its modules run."""
    return (leg, FLOOR_MODULES) if leg is FLOOR else (leg,)


def integration(leg: Environment) -> Check:
    def steps() -> Iterator[Step]:
        run = (leg.python, "-m", "tests.integration.run", "--leg", leg.name)
        yield step(*run, variables=surroundings.plain())

    what = f"integration targets, {leg.name}"
    return Check(f"integration-{leg.name}", what, (*_for_plays(leg), EMULATOR), steps)


def playbooks(leg: Environment) -> Check:
    """The plays as AWX runs them, as far as the version of ansible-core may matter."""
    what = f"playbooks under ansible-runner, {leg.name}"
    return _playbooks(f"playbooks-{leg.name}", what, leg, "every_core")


def more_playbooks() -> Check:
    """The rest of the plays, and the data for AWX."""
    what = "more playbooks, and the data for AWX"
    return _playbooks("playbooks-more", what, ANSIBLE12, "not every_core")


def _playbooks(name: str, what: str, leg: Environment, which: str) -> Check:
    def steps() -> Iterator[Step]:
        variables = surroundings.for_pytest() | {"AMISTORE_LEG": leg.name}
        run = (RUNNER.python, "-m", "pytest", "tests/playbooks", "-m", which)
        yield step(*run, variables=variables)

    return Check(name, what, (*_for_plays(leg), EMULATOR, RUNNER), steps)


def emulator_tests() -> Check:
    def steps() -> Iterator[Step]:
        variables = surroundings.for_pytest()
        yield step(EMULATOR.python, "-m", "pytest", "tests/emulator", variables=variables)

    return Check("emulator", "the emulator's own tests", (EMULATOR,), steps)


def permissions() -> Check:
    def steps() -> Iterator[Step]:
        variables = surroundings.for_pytest()
        yield step(PERMISSIONS.python, "-m", "pytest", "tests/permissions", variables=variables)

    what = "what the IAM policies allow, action by action"
    return Check("permissions", what, (PERMISSIONS, EMULATOR), steps)


def servers() -> Check:
    def steps() -> Iterator[Step]:
        variables = surroundings.for_pytest() | surroundings.for_servers()
        yield step(ANSIBLE12.python, "-m", "pytest", "tests/servers", variables=variables)

    what = "copies between S3 servers of other projects"
    return Check("servers", what, (ANSIBLE12, RELAY), steps)


def tools_tests() -> Check:
    def steps() -> Iterator[Step]:
        variables = surroundings.for_pytest()
        yield step(EMULATOR.python, "-m", "pytest", "tests/tools", variables=variables)

    return Check("tools", "tests of the test tools", (EMULATOR,), steps)


def option_use() -> Check:
    def steps() -> Iterator[Step]:
        command = (EMULATOR.python, "-m", "tests.tools.option_use")
        yield step(*command, variables=surroundings.plain())

    return Check("options", "use of every option in targets", (EMULATOR,), steps)


def sanity_of(leg: Environment) -> Check:
    def steps() -> Iterator[Step]:
        amazon = _amazon_aws(leg)
        place = collection_tree.copy(BUILD / "sanity" / leg.name, amazon)
        command = (leg.program("ansible-test"), "sanity", "--color", "no")
        yield step(*command, variables=sanity.variables(leg), folder=place)

    what = f"ansible-test sanity, {leg.name}"
    return Check(f"sanity-{leg.name}", what, (leg,), steps)


def ruff() -> Check:
    def steps() -> Iterator[Step]:
        for arguments in (("check",), ("format", "--check")):
            yield step(TOOLS.program("ruff"), *arguments, variables=surroundings.plain())

    return Check("ruff", "ruff check and format", (TOOLS,), steps)


def ansible_lint() -> Check:
    def steps() -> Iterator[Step]:
        place = collection_tree.copy(BUILD / "lint", _amazon_aws(TOOLS))
        options = ("--profile", "production", "--strict", "--offline", "--nocolor")
        variables = surroundings.for_ansible(TOOLS) | {
            "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "lint")
        }
        yield step(TOOLS.program("ansible-lint"), *options, variables=variables, folder=place)

    return Check("ansible-lint", "ansible-lint, profile production", (TOOLS,), steps)


def types() -> Check:
    def steps() -> Iterator[Step]:
        collection_tree.link()
        mypy, variables = TOOLS.program("mypy"), surroundings.plain()
        plugins = ("-p", "ansible_collections.amistore.aws.plugins")
        yield step(mypy, "--python-executable", TOOLS.python, *plugins, variables=variables)
        packages = (
            "benchmarks",
            "demo",
            "emulator",
            "integration",
            "permissions",
            "scanner",
            "servers",
            "tools",
        )
        tests = [word for package in packages for word in ("-p", f"tests.{package}")]
        yield step(mypy, "--python-executable", EMULATOR.python, *tests, variables=variables)
        plays = ("-p", "tests.playbooks")
        yield step(mypy, "--python-executable", RUNNER.python, *plays, variables=variables)

    return Check("types", "mypy, strict", (TOOLS, EMULATOR, RUNNER), steps)


def docs() -> Check:
    def steps() -> Iterator[Step]:
        options = (
            "--plugin-docs",
            "--skip-rstcheck",
            "--validate-collection-refs=all",
            "--disallow-unknown-collection-refs",
            "--check-extra-docs-refs",
        )
        command = (TOOLS.program("antsibull-docs"), "lint-collection-docs", *options, ".")
        place = collection_tree.copy(BUILD / "docs", _amazon_aws(TOOLS))
        variables = surroundings.for_ansible(TOOLS) | {
            "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "docs")
        }
        yield step(*command, variables=variables, folder=place)

    return Check("docs", "documentation of the plugins", (TOOLS,), steps)


def changelog() -> Check:
    def steps() -> Iterator[Step]:
        program = TOOLS.program("antsibull-changelog")
        yield step(program, "lint", variables=surroundings.for_ansible(TOOLS))

    return Check("changelog", "changelog and its fragments", (TOOLS,), steps)


def importer() -> Check:
    def steps() -> Iterator[Step]:
        folder = BUILD / "dist"
        place = collection_tree.copy(folder, _amazon_aws(TOOLS))
        for old in folder.glob("*.tar.gz"):
            old.unlink()
        variables = surroundings.for_ansible(TOOLS)
        build = (TOOLS.program("ansible-galaxy"), "collection", "build", "--output-path", folder)
        yield step(*build, variables=variables, folder=place)
        settings = folder / "galaxy-importer.cfg"
        settings.write_text("[galaxy-importer]\nCHECK_REQUIRED_TAGS = True\n")
        variables |= {
            "GALAXY_IMPORTER_CONFIG": str(settings),
            "ANSIBLE_COLLECTIONS_PATH": str(folder),
        }
        [artifact] = folder.glob("*.tar.gz")
        judge = (TOOLS.python, "-m", "tests.tools.galaxy_import", artifact)
        # It leaves a file of results where it runs.
        variables |= {"PYTHONPATH": str(ROOT)}
        yield step(*judge, variables=variables, folder=folder)

    return Check("importer", "build and galaxy-importer", (TOOLS,), steps)


def _amazon_aws(environment: Environment) -> Path:
    return environment.site_packages() / "ansible_collections" / "amazon" / "aws"


# Too long for every change. Without these, unit tests run on every leg, and each other kind of
# check on one of them, not always the same.
THOROUGH = frozenset(
    {
        "integration-ansible14",
        "integration-floor",
        "playbooks-ansible12",
        "playbooks-ansible14",
        "playbooks-more",
        "sanity-ansible12",
        "sanity-floor",
        "servers",
    }
)
# The longest first, so that two at a time end at about the same moment.
ALL = {
    check.name: check
    for check in (
        more_playbooks(),
        sanity_of(ANSIBLE12),
        sanity_of(ANSIBLE14),
        sanity_of(FLOOR),
        measured_unit(ANSIBLE12),
        integration(ANSIBLE12),
        integration(FLOOR),
        integration(ANSIBLE14),
        unit(FLOOR),
        unit(ANSIBLE14),
        playbooks(ANSIBLE12),
        playbooks(FLOOR),
        playbooks(ANSIBLE14),
        emulator_tests(),
        servers(),
        permissions(),
        importer(),
        ansible_lint(),
        types(),
        docs(),
        coverage(),
        tools_tests(),
        changelog(),
        option_use(),
        ruff(),
    )
}
