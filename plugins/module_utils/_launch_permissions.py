# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""With whom a restored AMI is shared: what its manifest says and the task allows.

A manifest is a file in S3: whoever can write it must not be able to share an AMI by that.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.amistore.aws.plugins.module_utils._aws import InputError
from ansible_collections.amistore.aws.plugins.module_utils._inputs import given

PUBLIC = "all"
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_LaunchPermission.html, the ids as in
# https://docs.aws.amazon.com/organizations/latest/APIReference/API_Organization.html
_FORMS = {
    "UserId": re.compile(r"[0-9]{12}"),
    "OrganizationArn": re.compile(
        r"arn:aws[a-z-]*:organizations::[0-9]{12}:organization/o-[a-z0-9]{10,32}"
    ),
    "OrganizationalUnitArn": re.compile(
        r"arn:aws[a-z-]*:organizations::[0-9]{12}:ou/o-[a-z0-9]{10,32}"
        r"/ou-[0-9a-z]{4,32}-[a-z0-9]{8,32}"
    ),
}

Permission = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Choice:
    """Those of a manifest's launch permissions that are restored, and the others, as text."""

    wanted: tuple[dict[str, str], ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Sharing:
    """What became of the launch permissions of one AMI."""

    shared_with: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    reason: str = ""
    """Why none could be restored."""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "shared_with": list(self.shared_with),
            "left_out": list(self.left_out),
            "reason": self.reason or None,
        }


def clean_allowed(values: t.Iterable[t.Any] | None) -> frozenset[tuple[str, str]]:
    """Return whom the task allows, each with the member of AWS's LaunchPermission.

    :raises InputError: names every value that is neither account, organization nor unit.
    """
    texts = list(dict.fromkeys(text for text in map(given, values or ()) if text))
    if PUBLIC in texts:
        raise InputError(
            f"allowed_launch_permissions {PUBLIC!r}: nothing becomes public on account of a"
            " manifest. Make the AMI public yourself after the restore, if it is to be so."
        )
    kinds = {text: _kind(text) for text in texts}
    malformed = [text for text, kind in kinds.items() if kind is None]
    if malformed:
        raise InputError(
            f"allowed_launch_permissions: {', '.join(map(repr, malformed))} is neither an account"
            " id (12 digits, in quotes so that leading zeros stay) nor the ARN of an organization"
            " or of an organizational unit; nothing was changed."
        )
    return frozenset((kind, text) for text, kind in kinds.items() if kind)


def _kind(text: str) -> str | None:
    return next((kind for kind, form in _FORMS.items() if form.fullmatch(text)), None)


def choose(stored: t.Iterable[Permission], allowed: t.Collection[tuple[str, str]]) -> Choice:
    """Choose among the launch permissions of a manifest.

    | in the manifest                     | named by the task | decision |
    |-------------------------------------|-------------------|----------|
    | account, organization, or its unit  | yes               | restore  |
    | account, organization, or its unit  | no                | leave out |
    | the group all, which is everybody   | cannot be         | leave out |
    | anything else                       | cannot be         | leave out |
    """
    wanted: dict[str, dict[str, str]] = {}
    left_out: dict[str, None] = {}
    for permission in stored:
        pairs = [(str(kind), value) for kind, value in permission.items()]
        if len(pairs) == 1 and isinstance(pairs[0][1], str) and pairs[0] in allowed:
            wanted[pairs[0][1]] = dict(pairs)
        else:
            left_out[", ".join(str(value) for _kind, value in pairs) or "nobody"] = None
    return Choice(tuple(wanted.values()), tuple(left_out))


def as_texts(permissions: t.Iterable[Permission]) -> tuple[str, ...]:
    """Return launch permissions by their values alone, sorted."""
    return tuple(sorted(str(value) for each in permissions for value in each.values()))
