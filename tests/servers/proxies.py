# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts proxies, and reads what they noted."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.server import HOST, Command, kept


@dataclass(frozen=True)
class Exchange:
    """One request."""

    method: str
    target: str
    range: str
    sent: int
    """Bytes of the request's body that came."""
    status: int
    """0 if the server has not answered."""
    answered: int | None
    """Bytes of the answer's body, where it says so."""

    @property
    def query(self) -> dict[str, str]:
        values = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        return {name: value[0] for name, value in values.items()}

    @property
    def is_part(self) -> bool:
        return self.method == "PUT" and "partNumber" in self.query

    @property
    def is_acknowledged_part(self) -> bool:
        return self.is_part and self.status == 200


@dataclass(frozen=True)
class Proxy:
    url: str
    process_id: int
    journal: Path

    def exchanges(self) -> list[Exchange]:
        # A line may be about to be written.
        complete, _newline, _rest = self.journal.read_text().rpartition("\n")
        return [Exchange(**json.loads(line)) for line in complete.splitlines()]

    def forget(self) -> None:
        """Its exchanges; for when nothing is under way."""
        os.truncate(self.journal, 0)


def fault(direction: str, pattern: str, at: int, kind: str, times: int = 1) -> dict[str, Any]:
    return {"direction": direction, "pattern": pattern, "at": at, "kind": kind, "times": times}


@contextlib.contextmanager
def proxy(
    url: str,
    *,
    latency: float = 0.0,
    rate: float = 0.0,
    faults: Sequence[dict[str, Any]] = (),
) -> Iterator[Proxy]:
    """One before this server, with a journal."""
    folder = Path(tempfile.mkdtemp(prefix="proxy-"))
    log, journal = folder / "log", folder / "journal"
    settings = {
        "to": int(url.rpartition(":")[2]),
        "latency": latency,
        "rate": rate,
        "journal": str(journal),
        "faults": list(faults),
    }
    words = [sys.executable, "-m", "tests.servers.proxy", json.dumps(settings)]
    with kept(folder, Command(words), log) as process:
        port = _first_line(log, process)
        yield Proxy(f"http://{HOST}:{port}", process.pid, journal)


def _first_line(log: Path, process: subprocess.Popen[bytes]) -> str:
    while process.poll() is None:
        line, newline, _rest = log.read_text().partition("\n")
        if newline:
            return line
        time.sleep(0.01)
    raise RuntimeError(f"the proxy ended: {log.read_text()}")
