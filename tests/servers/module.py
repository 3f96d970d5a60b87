# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs ec2_ami_store_copy between two servers, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from tests.servers.server import ACCESS_KEY, BUCKET, REGION, SECRET_KEY

MODULE = "ansible_collections.amistore.aws.plugins.modules.ec2_ami_store_copy"
COMMAND = (sys.executable, "-m", MODULE)
LONGEST_SECONDS = 600.0


def arguments(source_url: str, target_url: str, keys: Sequence[str]) -> dict[str, Any]:
    """Those that every copy needs: its options are at their defaults."""
    credentials = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "region": REGION}
    here = credentials | {"endpoint_url": target_url, "bucket": BUCKET}
    there = credentials | {"endpoint_url": source_url, "bucket": BUCKET}
    return (
        here
        | {f"source_{name}": value for name, value in there.items()}
        | {
            "object_keys": list(keys),
            "method": "streaming",
        }
    )


def as_input(given: dict[str, Any]) -> str:
    return json.dumps({"ANSIBLE_MODULE_ARGS": given})


def start(given: dict[str, Any]) -> subprocess.Popen[str]:
    """The module's process, started as Ansible's guide on debugging modules says.

    https://docs.ansible.com/ansible/latest/dev_guide/debugging.html
    """
    process = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(as_input(given))
    process.stdin.close()
    process.stdin = None
    return process


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Its result, also that of a failure."""
    try:
        output, _nothing = process.communicate(timeout=LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    line = next((text for text in output.splitlines() if text.startswith("{")), None)
    if line is None:
        raise RuntimeError(f"the module said no result: {output[-4000:]}")
    result: dict[str, Any] = json.loads(line)
    return result


def run(given: dict[str, Any]) -> dict[str, Any]:
    return finish(start(given))
