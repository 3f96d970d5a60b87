# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are: the repository and the one folder that holds everything made from it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
ENVIRONMENTS = BUILD / "environments"
LOGS = BUILD / "logs"
# The home of ansible-test, which keeps virtual environments and a cache there.
HOME = BUILD / "home"
COLLECTIONS = BUILD / "collections"
REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
