# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the emulator: `python -m tests.emulator` from the root of the repository."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# moto reads these when it is imported.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")

# Not a credential: the emulator takes any, and this has the length that tools expect.
SECRET_KEY = "emulated/secret+key/that/opens/nothing00"
_PARENT_CHECK_SECONDS = 0.5


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--scenario", type=Path, help="YAML or JSON file with scenario keys")
    parser.add_argument("--seed", help="`demo`, or a YAML or JSON file with a list of AMIs")
    parser.add_argument("--speed", type=float, help="emulated seconds per real second")
    parser.add_argument("--partition", default="aws", help="aws, aws-us-gov or aws-cn")
    parser.add_argument("--directory", type=Path, help="where certificates go for the time")
    parser.add_argument("--parent-pid", type=int, help="stop when this process ends")
    parser.add_argument(
        "--background",
        action="store_true",
        help="return when ready; needs --parent-pid, usually --parent-pid $$",
    )
    arguments = parser.parse_args()
    if arguments.background and arguments.parent_pid is None:
        parser.error("--background needs --parent-pid")
    return arguments


def exports(url: str, bundle: Path, region: str, access_key: str) -> dict[str, str]:
    """The environment that makes every AWS SDK talk to the emulator."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_CA_BUNDLE": str(bundle),
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AMISTORE_EMULATOR_URL": url,
    }


@contextmanager
def working_directory(given: Path | None) -> Iterator[Path]:
    """A private directory; removed at the end unless it was given."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="emulator-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def parent_lives(pid: int | None, first_parent: int) -> Callable[[], bool]:
    """A test whether the process that this one serves is still there."""

    def lives() -> bool:
        if pid is None:
            return os.getppid() == first_parent
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    return lives


def stop_without(lives: Callable[[], bool], stop: Callable[[], None]) -> None:
    """Watch in a thread of its own, and stop once the parent is gone."""

    def watch() -> None:
        while lives():
            time.sleep(_PARENT_CHECK_SECONDS)
        stop()

    threading.Thread(target=watch, daemon=True).start()


def detach() -> bool:
    """Go on in a child process; False in the parent, which has nothing left to do."""
    if os.fork():
        return False
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    return True


def serve(server: Any, lives: Callable[[], bool]) -> None:
    """Answer until a signal comes or the parent is gone."""
    stop_without(lives, server.shutdown)
    server.serve_forever(poll_interval=0.1)
    server.server_close()


def stop_on_signals(server: Any) -> None:
    def stop(_number: int, _frame: object) -> None:
        # From a thread, because shutdown waits for the loop that this signal interrupts.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def main() -> int:
    arguments = parse_arguments()
    lives = parent_lives(arguments.parent_pid, os.getppid())

    from .partitions import PARTITIONS, VARIABLE

    here = PARTITIONS.get(arguments.partition)
    if here is None:
        print(f"--partition: one of {', '.join(PARTITIONS)} is needed", file=sys.stderr)
        return 2
    # Read when the other parts of the emulator are imported.
    os.environ[VARIABLE] = here.name

    from .assembly import assemble, initial_scenario
    from .certificates import write_certificates
    from .scenario import ScenarioError

    try:
        scenario = initial_scenario(arguments.scenario, arguments.speed)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 2
    with working_directory(arguments.directory) as directory:
        files = write_certificates(directory)
        server = assemble(scenario, arguments.seed, files, arguments.port)
        stop_on_signals(server)
        exported = exports(server.url, files.bundle, here.region, here.access_key)
        for name, value in exported.items():
            print(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        if arguments.background and not detach():
            os._exit(0)
        serve(server, lives)
        files.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
