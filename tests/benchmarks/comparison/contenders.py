# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways of storing many AMIs: what a user would start."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.comparison.scene import BUCKET

WAYS = Path(__file__).resolve().parent / "ways"
AWS_CLI_VARIABLE = "AMISTORE_AWS_CLI"
"""The folder of the program `aws`."""


@dataclass(frozen=True)
class Contender:
    way: str
    """The file in `ways`."""
    name: str
    command: Callable[[Path, Sequence[str], Path], list[str]]
    polls: bool = False
    """Whether Ansible's controller polls all the time while it runs."""


def playbook(path: Path, **variables: Any) -> list[str]:
    program = Path(sys.executable).parent / "ansible-playbook"
    variables["ansible_python_interpreter"] = sys.executable
    return [str(program), "-i", "localhost,", str(path), "-e", json.dumps(variables)]


def _playbook(way: Path, image_ids: Sequence[str], verdicts: Path) -> list[str]:
    return playbook(way, image_ids=list(image_ids), bucket=BUCKET, verdicts=str(verdicts))


def _script(way: Path, image_ids: Sequence[str], verdicts: Path) -> list[str]:
    return [sys.executable, str(way), BUCKET, str(verdicts), *image_ids]


OURS = Contender("module.yml", "amistore.aws.ec2_ami_store, one task", _playbook, polls=True)
LOOP = Contender("loop.yml", "Ansible loop around the AWS CLI", _playbook, polls=True)
THREADS = Contender("stock_waiter.py", "boto3, stock waiters in threads", _script)
FOR_EVER = Contender("for_ever.py", "boto3, threads that retry for ever", _script)
ALL = (OURS, LOOP, THREADS, FOR_EVER)


def program_path() -> str:
    """PATH with the AWS CLI in front."""
    return os.pathsep.join([os.environ[AWS_CLI_VARIABLE], os.environ["PATH"]])
