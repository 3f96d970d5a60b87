# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways of bringing an object from one S3 server to another, each at its defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers import module
from tests.servers.server import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, program


@dataclass(frozen=True)
class Route:
    """From where to where, as the client sees it."""

    source: str
    """URL."""
    target: str
    key: str
    folder: Path
    """Where the client may leave files; it holds the object's bytes as `given`."""

    @property
    def given(self) -> Path:
        return self.folder / "given"

    @property
    def file(self) -> Path:
        return self.folder / "file"

    @property
    def object(self) -> str:
        return f"s3://{BUCKET}/{self.key}"


@dataclass(frozen=True)
class Command:
    words: Sequence[str]
    input: str = ""


# Programs joined by pipes.
Pipeline = Sequence[Command]


@dataclass(frozen=True)
class Contender:
    name: str
    steps: Callable[[Route], Sequence[Pipeline]]
    """One after another."""
    arrives: bool = True
    """Whether the object is at the target in the end."""


def _ours(route: Route) -> list[Pipeline]:
    given = module.arguments(route.source, route.target, [route.key])
    return [[Command(module.COMMAND, module.as_input(given))]]


def _aws(url: str, *words: str) -> Command:
    return Command([program("aws"), "--endpoint-url", url, "s3", "cp", "--no-progress", *words])


def _aws_down_then_up(route: Route) -> list[Pipeline]:
    down = _aws(route.source, route.object, str(route.file))
    return [[down], [_aws(route.target, str(route.file), route.object)]]


def _aws_pipe(route: Route) -> list[Pipeline]:
    return [[_aws(route.source, route.object, "-"), _aws(route.target, "-", route.object)]]


def _s5cmd(url: str, *words: str) -> Command:
    return Command([s5cmd(), "--endpoint-url", url, *words])


def s5cmd() -> str:
    """The program itself: the script in `bin` is a Python around it."""
    places = Path(program("s5cmd")).parents[1].glob("lib/python3*/site-packages/s5cmd/bin/s5cmd")
    return str(next(places))


def _s5cmd_pipe(route: Route) -> list[Pipeline]:
    cat = _s5cmd(route.source, "cat", route.object)
    return [[cat, _s5cmd(route.target, "pipe", route.object)]]


def _s5cmd_up(route: Route) -> list[Pipeline]:
    return [[_s5cmd(route.target, "cp", str(route.given), route.object)]]


def _s5cmd_down(route: Route) -> list[Pipeline]:
    return [[_s5cmd(route.source, "cp", route.object, str(route.file))]]


def _rclone(route: Route) -> list[Pipeline]:
    path = f"{BUCKET}/{route.key}"
    return [[Command([program("rclone"), "copyto", f"source:{path}", f"target:{path}"])]]


OURS = Contender("amistore.aws.ec2_ami_store_copy", _ours)
AWS_FILE = Contender("aws s3 cp, down then up", _aws_down_then_up)
AWS_PIPE = Contender("aws s3 cp - \\| aws s3 cp -", _aws_pipe)
S5CMD_PIPE = Contender("s5cmd cat \\| s5cmd pipe", _s5cmd_pipe)
RCLONE = Contender("rclone copyto", _rclone)
S5CMD_UP = Contender("s5cmd, upload alone", _s5cmd_up)
S5CMD_DOWN = Contender("s5cmd, download alone", _s5cmd_down, arrives=False)
ALL = (OURS, RCLONE, S5CMD_PIPE, AWS_PIPE, AWS_FILE, S5CMD_UP, S5CMD_DOWN)


def variables(route: Route) -> Mapping[str, str]:
    """What the programs find in their environment."""
    remote = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "REGION": REGION,
        "ACCESS_KEY_ID": ACCESS_KEY,
        "SECRET_ACCESS_KEY": SECRET_KEY,
    }
    rclone = {
        f"RCLONE_CONFIG_{side}_{name}": value
        for side, url in (("SOURCE", route.source), ("TARGET", route.target))
        for name, value in (remote | {"ENDPOINT": url}).items()
    }
    return rclone | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "RCLONE_CONFIG": "/dev/null",
        "TMPDIR": str(route.folder),
    }
