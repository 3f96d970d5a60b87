# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interpreter that has the SDK imported does what a fresh one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.interpreter import warm

TELL_ALL = """
import json, os, sys
print(json.dumps([sys.argv[1:], sys.path[1:], sys.stdin.read(), os.getcwd(), dict(os.environ)]))
print(__name__, "botocore.client" in vars(), file=sys.stderr)
"""
BACKGROUND = """
import os, sys, time
if os.fork():
    time.sleep(0.5)
    print("parent")
    sys.exit(4)
sys.exit(5)
"""
AT_THE_END = """
import atexit
atexit.register(print, "the very last")
raise ValueError("on purpose")
"""
IMPORTS_FROM_ZIP = """
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as file:
    file.writestr("brought_along.py", f"VALUE = {sys.argv[2]}")
sys.path.insert(0, sys.argv[1])
import brought_along
print(brought_along.VALUE)
"""


@pytest.fixture(scope="module")
def interpreter() -> Iterator[str]:
    with warm(Path(sys.executable), os.environ) as path:
        yield path


def run(interpreter: str, program: str, *arguments: str) -> tuple[int, str, str]:
    """Exit code and both outputs; without arguments the program comes by standard input."""
    ended = subprocess.run(
        [interpreter, *arguments],
        input="" if arguments else program,
        env={**os.environ, "ONLY_HERE": "1"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    # A traceback has frames of the server as well.
    return ended.returncode, ended.stdout, "".join(ended.stderr.splitlines()[-1:])


@pytest.mark.parametrize(
    "program",
    [TELL_ALL, BACKGROUND, AT_THE_END, "", "import sys; sys.exit()", "raise SystemExit('told')"],
)
@pytest.mark.parametrize("as_file", [True, False])
def test_a_program_ends_as_under_a_fresh_interpreter(
    interpreter: str, tmp_path: Path, program: str, as_file: bool
) -> None:
    script = tmp_path / "program.py"
    script.write_text(program)
    arguments = [str(script), "--an", "argument"] if as_file else []
    expected = run(sys.executable, program, *arguments)
    assert run(interpreter, program, *arguments) == expected


def test_the_sdk_is_there_and_shared(interpreter: str) -> None:
    program = "import sys; print('botocore.client' in sys.modules)"
    assert run(interpreter, program)[1] == "True\n"
    assert run(sys.executable, program)[1] == "False\n"


def test_what_a_program_brings_along_is_never_mistaken(interpreter: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(IMPORTS_FROM_ZIP)
    values = ("1", "2", "1")
    runs = [run(interpreter, "", str(script), str(tmp_path / "same.zip"), n) for n in values]
    assert [output for _code, output, _errors in runs] == ["1\n", "2\n", "1\n"]


def test_killing_it_kills_the_program(interpreter: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    with subprocess.Popen([interpreter, script], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        number = int(client.stdout.readline())
        os.kill(client.pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while not has_ended(number):
        assert time.monotonic() < until
        time.sleep(0.05)


def has_ended(number: int) -> bool:
    status = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True, check=False
    ).stdout
    return status.strip()[:1] in ("", "Z")


def test_it_ends_with_its_block() -> None:
    with warm(Path(sys.executable), os.environ) as path:
        assert run(path, "print(1)")[1] == "1\n"
    assert not Path(path).exists()


def test_a_python_without_the_sdk_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="ended with exit code 1"),
        warm(Path(sys.executable), {"PYTHONPATH": str(without_boto3(tmp_path))}),
    ):
        pass


def without_boto3(folder: Path) -> Path:
    (folder / "boto3.py").write_text("raise ImportError('no SDK')")
    return folder
