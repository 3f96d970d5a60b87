# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""galaxy-importer on an artifact, where an error or a warning in its log is a failure too."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable

FINISHED = "Importer processing completed successfully"
COMPLAINT = re.compile(r"^(ERROR|WARNING|CRITICAL)\b")


def complaints(log: Iterable[str]) -> list[str]:
    """Lines of the log that stand against the artifact, or the lack of its last line."""
    lines = [line.strip() for line in log]
    found = [line for line in lines if COMPLAINT.match(line)]
    return found if FINISHED in lines else [*found, "the import did not finish"]


def main(artifact: str) -> int:
    command = [sys.executable, "-m", "galaxy_importer.main", artifact]
    answer = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(answer.stdout)
    against = complaints(answer.stdout.splitlines())
    print("\n".join(["galaxy-importer complains:", *against] if against else ["no complaints"]))
    return 1 if against else answer.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
