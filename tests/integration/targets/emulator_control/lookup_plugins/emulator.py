# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control call to the emulator, sent by Ansible itself, which is much faster than a module."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.error import HTTPError

from ansible.errors import AnsibleLookupError
from ansible.module_utils.urls import open_url
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: emulator
short_description: Call the emulator
description:
  - The result is the emulator's answer. The address comes from O(ignore:emulator_url).
options:
  _terms:
    description: The method, the path after C(/emulator/), and the content as JSON.
    type: list
    elements: str
    required: true
"""


class LookupModule(LookupBase):
    def run(
        self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **_options: Any
    ) -> list[Any]:
        method, path, content = terms
        known = variables or {}
        try:
            answer = open_url(
                f"{known['emulator_url']}/emulator/{path}",
                method=method,
                data=content if method == "POST" else None,
                ca_path=known["emulator_ca_bundle"],
                use_proxy=False,
            )
        except HTTPError as error:
            raise AnsibleLookupError(f"{method} {path}: {error.read().decode()}") from error
        return [json.load(answer)]
