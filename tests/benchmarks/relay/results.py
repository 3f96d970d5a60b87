# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of a run, kept so that they can be shown again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.relay.field import Field
from tests.benchmarks.relay.kills import Killed
from tests.benchmarks.relay.network import Network
from tests.benchmarks.relay.outcome import Outcome


@dataclass(frozen=True)
class Between:
    """What a proxy that adds nothing costs, with the way that loads it most."""

    direct: float
    """MiB per second."""
    through: float

    @property
    def share(self) -> float:
        return self.through / self.direct


@dataclass(frozen=True)
class Results:
    server: str
    cores: int
    fields: Sequence[Field]
    between: Between | None = None
    killed: Killed | None = None

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1))


def load(path: Path) -> Results:
    kept = json.loads(path.read_text())
    return Results(
        server=kept["server"],
        cores=kept["cores"],
        fields=[
            Field(
                Network(**field["network"]),
                field["size"],
                [Outcome(**outcome) for outcome in field["outcomes"]],
            )
            for field in kept["fields"]
        ],
        between=Between(**kept["between"]) if kept["between"] else None,
        killed=Killed(**kept["killed"]) if kept["killed"] else None,
    )
