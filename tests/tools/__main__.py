# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Makefile calls: environments, checks, and the programs that a person watches."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.tools import checks, environments, programs, running
from tests.tools.checks import Check
from tests.tools.environments import Environment, NoInterpreter, ensure
from tests.tools.running import Outcome, Result

PROGRAMS: dict[str, Callable[[Sequence[str]], int]] = {
    "bench": programs.comparison,
    "bench-growth": programs.growth,
    "bench-relay": programs.relay,
    "bench-second-run": programs.second_run,
    "bench-simulation": programs.simulation,
    "campaign": programs.campaign,
    "demo": programs.demo,
    "fleet": programs.fleet,
    "release-notes": programs.release_notes,
    "scan": programs.scan,
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.tools", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    setup = commands.add_parser("setup", help="make virtual environments")
    setup.add_argument("names", nargs="+", choices=environments.ALL, metavar="ENVIRONMENT")
    check = commands.add_parser("check", help="run checks; without names, one of each kind")
    check.add_argument("names", nargs="*", metavar="CHECK", help=", ".join(checks.ALL))
    check.add_argument("--all", action="store_true", help="run all of them")
    check.add_argument("--jobs", type=int, default=2, help="how many at a time")
    for name in PROGRAMS:
        program = commands.add_parser(name, help=f"run the {name}")
        program.add_argument("arguments", nargs="*")
    integration = commands.add_parser("integration", help="run integration targets")
    integration.add_argument("--leg", choices=checks.LEGS, required=True)
    integration.add_argument("arguments", nargs="*")
    chosen = parser.parse_args(arguments)
    if chosen.command == "check" and (unknown := set(chosen.names) - set(checks.ALL)):
        parser.error(f"no such check: {', '.join(sorted(unknown))}")
    return chosen


def prepare(wanted: Iterable[Environment]) -> dict[str, str]:
    """Make the environments, two at a time; returns, by name, why some could not be made."""
    with ThreadPoolExecutor(2) as pool:
        making = {environment.name: pool.submit(ensure, environment) for environment in wanted}
    missing = {}
    for name, done in making.items():
        try:
            done.result()
        except NoInterpreter as error:
            missing[name] = str(error)
    return missing


def run(selected: Sequence[Check], jobs: int) -> list[Result]:
    wanted = {environment.name: environment for c in selected for environment in c.environments}
    missing = prepare(wanted.values())
    for name, environment in wanted.items():
        if name not in missing:
            print(f"environment {name}: Python {environment.python_version()}")
    possible, results = list[Check](), list[Result]()
    for check in selected:
        reasons = [f"{e.name}: {missing[e.name]}" for e in check.environments if e.name in missing]
        if reasons:
            results.append(impossible(check, "; ".join(reasons)))
        else:
            possible.append(check)
    return running.run_all(possible, jobs) + results


def impossible(check: Check, reason: str) -> Result:
    """Not run is a failure where the checks decide about a change."""
    if os.environ.get("CI"):
        return Result(check, Outcome.FAILED, 0.0, remark=f"NOT RUN: {reason}")
    return Result(check, Outcome.NOT_RUN, 0.0, remark=reason)


def setup(names: Sequence[str]) -> int:
    missing = prepare(environments.ALL[name] for name in names)
    for name, reason in missing.items():
        print(f"{name}: {reason}", file=sys.stderr)
    return 1 if missing else 0


def select(names: Sequence[str], thorough: bool = False) -> list[Check]:
    """The checks of these names, with those whose results they read; without names all, or only
    what every change is put to.
    """
    usual = set(checks.ALL) - (frozenset() if thorough else checks.THOROUGH)
    wanted = {*names, *(checks.ALL[name].after for name in names)} if names else usual
    return [check for name, check in checks.ALL.items() if name in wanted]


def check(selected: Sequence[Check], jobs: int) -> int:
    start = time.monotonic()
    results = run(selected, jobs)
    print(f"\n{time.monotonic() - start:.0f} s in all\n{running.summary(results)}", flush=True)
    return 1 if any(result.outcome is Outcome.FAILED for result in results) else 0


def main(arguments: Sequence[str]) -> int:
    chosen = parse(arguments)
    if chosen.command in PROGRAMS:
        return PROGRAMS[chosen.command](chosen.arguments)
    match chosen.command:
        case "setup":
            return setup(chosen.names)
        case "check":
            return check(select(chosen.names, chosen.all), chosen.jobs)
        case _:
            return programs.integration(chosen.leg, chosen.arguments)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except NoInterpreter as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed: {' '.join(map(str, error.cmd))}")
