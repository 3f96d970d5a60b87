# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with settings: YAML, of which JSON is a part."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any


def read_document(path: Path) -> Any:
    """What a YAML or JSON file holds. Only YAML needs PyYAML, which has no types."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    return importlib.import_module("yaml").safe_load(text)
