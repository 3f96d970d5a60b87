# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scans a bucket that the role made safe with Prowler, a public scanner of the CIS and Security Hub
kind, in the emulator.

A bucket without the role is scanned beside it: a check that finds nothing there proves nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.emulator.client import Emulator
from tests.scanner.findings import (
    ACCOUNT_CHECK,
    Finding,
    judge,
    judge_account,
    read_findings,
    table_of,
)
from tests.tools.environments import SCANNER
from tests.tools.surroundings import without_proxies

HERE = Path(__file__).resolve().parent
SCAN_SECONDS = 900


def surroundings(emulator: Emulator, folder: Path) -> dict[str, str]:
    """The variables of the plays and of the scanner.

    S3 Control is asked at <account>.<host>, so the host must be a name and its subdomains known.
    """
    by_name = emulator.url.replace("127.0.0.1", "localhost")
    return {
        **without_proxies(os.environ),
        **emulator.environment,
        "AWS_ENDPOINT_URL_S3_CONTROL": by_name,
        "HOME": str(folder),
        "PYTHONPATH": str(HERE / "loopback"),
    }


def harden(variables: Mapping[str, str], block_account: bool) -> None:
    program = Path(sys.executable).parent / "ansible-playbook"
    command = [str(program), "-i", "localhost,", str(HERE / "buckets.yml")]
    extra = {
        "ansible_python_interpreter": sys.executable,
        "scanner_block_account": block_account,
    }
    command += ["--extra-vars", json.dumps(extra)]
    subprocess.run(command, env=variables, check=True, stdin=subprocess.DEVNULL)


def scan(variables: Mapping[str, str], folder: Path, *what: str) -> list[Finding]:
    options = "--region us-east-1 --output-formats json-ocsf --output-filename scan"
    quiet = "--no-banner --no-color --ignore-exit-code-3"
    command = [str(SCANNER.program("prowler")), "aws", *what, *options.split(), *quiet.split()]
    report = folder / "scan.ocsf.json"
    report.unlink(missing_ok=True)
    subprocess.run(
        [*command, "--output-directory", str(folder)],
        env=variables,
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=SCAN_SECONDS,
    )
    return read_findings(report)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="scan-") as name, Emulator() as emulator:
        folder = Path(name)
        variables = surroundings(emulator, folder)
        harden(variables, block_account=False)
        findings = scan(variables, folder, "--service", "s3")
        # Afterwards, since no bucket looks open where the account is closed.
        harden(variables, block_account=True)
        account = scan(variables, folder, "--check", ACCOUNT_CHECK)
    print(table_of(findings))
    problems = judge(findings) + judge_account(findings, account)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
