# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs beside the jobs: Ansible's tools, ansible-builder, a script on a leg's Python."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def call(variables: Mapping[str, str] | None, *command: str | Path, cwd: Path | None = None) -> str:
    """Run a program to its good end; its output. Without variables, in this environment."""
    words = [str(word) for word in command]
    answer = subprocess.run(
        words, env=variables, cwd=cwd, capture_output=True, check=False, text=True
    )
    assert answer.returncode == 0, f"{' '.join(words)}\n{answer.stdout}{answer.stderr}"
    return answer.stdout
