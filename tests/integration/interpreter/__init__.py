# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start and stop the interpreter of server.py."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent


@contextmanager
def warm(python: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """The path of a program that does what this python does, which has to have boto3."""
    with tempfile.TemporaryDirectory(prefix="amistore-") as folder:
        place = Path(folder, "socket")
        process = subprocess.Popen(
            [python, HERE / "server.py", place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(variables),
        )
        # Its standard input ends with this block, or with this process.
        with process:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"{python} ended with exit code {process.wait()}")
            yield put_client_beside(place, python)


def put_client_beside(place: Path, python: Path) -> str:
    """The path of a program by itself, since Ansible takes no arguments for an interpreter."""
    client = place.with_name("python")
    client.write_text(f"#!{python} -IS\n" + (HERE / "client.py").read_text())
    client.chmod(0o755)
    return str(client)
