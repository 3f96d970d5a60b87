# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs integration targets as roles of a playbook, each against an emulator with nothing in it.

With --real they run against the account that the environment's credentials belong to. A target
whose aliases file has the line `needs/emulator` brings about faults that no account can be asked
for; it is then listed as not run.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.emulator.client import Emulator
from tests.integration.interpreter import warm
from tests.tools import surroundings
from tests.tools.checks import LEGS
from tests.tools.environments import ANSIBLE12, EMULATOR, FLOOR, FLOOR_MODULES, Environment
from tests.tools.places import BUILD, LOGS, ROOT

TARGETS = ROOT / "tests" / "integration" / "targets"
TARGET_SECONDS = 900
TAIL_LINES = 60


@dataclass(frozen=True)
class Target:
    name: str
    aliases: frozenset[str]

    @property
    def folder(self) -> Path:
        return TARGETS / self.name


@dataclass(frozen=True)
class Outcome:
    target: Target
    word: str
    seconds: float


@dataclass(frozen=True)
class Account:
    """Where a target's calls go."""

    variables: Mapping[str, str]
    """Environment variables of the play."""
    facts: Mapping[str, str]
    """What the target's tasks may ask for, see CONTRIBUTING.md."""


def find_targets(names: Sequence[str]) -> list[Target]:
    """The targets of these names, or all; one whose aliases say `hidden` only serves others."""
    found = {
        folder.name: Target(folder.name, read_aliases(folder / "aliases"))
        for folder in sorted(TARGETS.glob("*/"))
    }
    if unknown := [name for name in names if name not in found]:
        sys.exit(f"no such integration target: {', '.join(unknown)}")
    if names:
        return [found[name] for name in names]
    return [target for target in found.values() if "hidden" not in target.aliases]


def read_aliases(path: Path) -> frozenset[str]:
    lines = path.read_text().splitlines() if path.exists() else []
    return frozenset(line.partition("#")[0].strip() for line in lines) - {""}


def playbook(target: Target, python: str, facts: Mapping[str, str]) -> list[dict[str, object]]:
    return [
        {
            "name": f"Integration target {target.name}",
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "module_defaults": {"group/amistore.aws.aws": {"region": "{{ aws_region }}"}},
            "vars": {"ansible_python_interpreter": python, **facts},
            "roles": [target.name],
        }
    ]


@contextmanager
def emulated(target: Target, emulators: SimpleQueue[Emulator]) -> Iterator[Account]:
    """An emulator that nobody else uses meanwhile, as if it had just been started."""
    settings = target.folder / "emulator.json"
    emulator = emulators.get()
    try:
        emulator.reset()
        emulator.scenario(**json.loads(settings.read_text() if settings.exists() else "{}"))
        facts = {
            "aws_region": emulator.environment["AWS_DEFAULT_REGION"],
            "emulator_url": emulator.url,
            "emulator_ca_bundle": emulator.ca_bundle,
        }
        yield Account(emulator.environment, facts)
    finally:
        emulators.put(emulator)


def real() -> Account:
    own = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    region = own.get("AWS_REGION") or own.get("AWS_DEFAULT_REGION")
    if not region:
        sys.exit("--real needs AWS_REGION, and credentials, in the environment")
    return Account(own, {"aws_region": region, "emulator_url": "", "emulator_ca_bundle": ""})


def module_python(leg: Environment) -> Path:
    return (FLOOR_MODULES if leg is FLOOR else leg).python


@dataclass(frozen=True)
class Setting:
    """What the targets of a run have in common."""

    leg: Environment
    python: str
    """The path of what runs modules."""
    accounts: Callable[[Target], AbstractContextManager[Account]]


@contextmanager
def on_real_account(leg: Environment) -> Iterator[Setting]:
    account = real()
    yield Setting(leg, str(module_python(leg)), lambda _target: nullcontext(account))


@contextmanager
def on_emulators(leg: Environment, count: int) -> Iterator[Setting]:
    idle: SimpleQueue[Emulator] = SimpleQueue()
    with ExitStack() as started:
        python = started.enter_context(
            warm(module_python(leg), surroundings.plain() | surroundings.NO_AWS)
        )
        for _emulator in range(count):
            idle.put(started.enter_context(Emulator(python=str(EMULATOR.python))))
        yield Setting(leg, python, lambda target: emulated(target, idle))


def run_target(target: Target, setting: Setting) -> Outcome:
    with setting.accounts(target) as account:
        start = time.monotonic()
        code = play(target, setting, account)
        return Outcome(target, "passed" if code == 0 else "FAILED", time.monotonic() - start)


def play(target: Target, setting: Setting, account: Account) -> int:
    leg = setting.leg
    folder = BUILD / "integration" / leg.name / target.name
    folder.mkdir(parents=True, exist_ok=True)
    facts = dict(account.facts, resource_prefix=f"amistore-{secrets.token_hex(4)}")
    book = folder / "playbook.yml"
    # JSON is YAML, and needs no library to write.
    book.write_text(json.dumps(playbook(target, setting.python, facts), indent=2))
    variables = surroundings.without_proxies(surroundings.for_ansible(leg))
    variables |= account.variables
    variables |= {"ANSIBLE_ROLES_PATH": str(TARGETS), "OUTPUT_DIR": str(folder)}
    variables |= {"ANSIBLE_PIPELINING": "true"}
    command = [str(leg.program("ansible-playbook")), "-i", "localhost,", "-v", str(book)]
    with open(log_of(target, leg), "wb") as log:
        try:
            return subprocess.run(
                command,
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=TARGET_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            log.write(f"\nstopped after {TARGET_SECONDS} s\n".encode())
            return 1


def log_of(target: Target, leg: Environment) -> Path:
    LOGS.mkdir(parents=True, exist_ok=True)
    return LOGS / f"integration-{leg.name}-{target.name}.log"


def report(outcome: Outcome, leg: Environment) -> None:
    print(f"{outcome.word:8}{outcome.seconds:7.1f} s  {outcome.target.name}", flush=True)
    if outcome.word == "FAILED":
        log = log_of(outcome.target, leg)
        print(f"--- the end of {log}")
        print("\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:]))
        print("---", flush=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.integration.run", description=__doc__)
    parser.add_argument("--leg", choices=LEGS, default=ANSIBLE12.name)
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time")
    parser.add_argument("--real", action="store_true", help="run against a real AWS account")
    parser.add_argument("targets", nargs="*")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    chosen = parse(arguments)
    leg = LEGS[chosen.leg]
    targets = find_targets(chosen.targets)
    impossible = [t for t in targets if chosen.real and "needs/emulator" in t.aliases]
    for target in impossible:
        print(f"NOT RUN            {target.name}: needs the emulator")
    possible = [target for target in targets if target not in impossible]
    print(f"modules run with {module_python(leg).resolve()}", flush=True)
    jobs = 1 if chosen.real else chosen.jobs
    failed = 0
    with (
        on_real_account(leg) if chosen.real else on_emulators(leg, jobs) as setting,
        ThreadPoolExecutor(jobs) as pool,
    ):
        runs = [pool.submit(run_target, target, setting) for target in possible]
        for run in as_completed(runs):
            report(run.result(), leg)
            failed += run.result().word == "FAILED"
    print(f"{len(possible) - failed} passed, {failed} failed, {len(impossible)} skipped")
    return 1 if failed or not possible else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
