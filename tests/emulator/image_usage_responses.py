# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls about the use of AMIs on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses._base_response import EC2BaseResponse

from .aws_errors import answers_refusals
from .clock import to_datetime
from .image_records import EmulatedAmi
from .image_usage import ReferenceQuery
from .limits import REFERENCE_RIGHTS
from .model import Refused
from .paging import Cut, page

_NO_LIMIT = 10_000_000


class ImageUsageResponse(EC2BaseResponse):
    """Takes precedence over moto's responses."""

    @answers_refusals
    def describe_image_references(self) -> ActionResult:
        self.error_on_dryrun()
        backend = self.ec2_backend
        found = backend.find_references(
            ReferenceQuery(self._get_param("ImageIds", []), self._types())
        )
        cap = backend.world.scenario.page_size or _NO_LIMIT
        cut = Cut(min(int(self._get_param("MaxResults") or _NO_LIMIT), cap))
        shown = page(found, lambda _item: True, self._get_param("NextToken"), cut)
        references = [
            {"ImageId": r.image_id, "ResourceType": r.resource_type, "Arn": r.arn}
            for r in shown.items
        ]
        return ActionResult({"ImageReferences": references, "NextToken": shown.token})

    def _types(self) -> dict[str, Mapping[str, Sequence[str]]]:
        """The types of resources with their options; named options win over the defaults."""
        everything = bool(self._get_param("IncludeAllResourceTypes", False))
        types: dict[str, Mapping[str, Sequence[str]]] = {}
        if everything:
            types.update((kind, {}) for kind in REFERENCE_RIGHTS)
        for asked in self._get_param("ResourceTypes", []):
            types[asked.get("ResourceType", "")] = {
                option.get("OptionName", ""): option.get("OptionValues", [])
                for option in asked.get("ResourceTypeOptions", [])
            }
        return types

    @answers_refusals
    def get_image_ancestry(self) -> ActionResult:
        self.error_on_dryrun()
        chain = self.ec2_backend.ancestry(self._get_param("ImageId"))
        return ActionResult({"ImageAncestryEntries": [_entry(image) for image in chain]})

    @answers_refusals
    def enable_image_deprecation(self) -> ActionResult:
        self.error_on_dryrun()
        moment = _moment(self._get_param("DeprecateAt"))
        self.ec2_backend.deprecate(self._get_param("ImageId"), moment)
        return ActionResult({"Return": True})

    @answers_refusals
    def disable_image_deprecation(self) -> ActionResult:
        self.error_on_dryrun()
        self.ec2_backend.keep_undeprecated(self._get_param("ImageId"))
        return ActionResult({"Return": True})

    @answers_refusals
    def enable_image_deregistration_protection(self) -> ActionResult:
        self.error_on_dryrun()
        cooldown = bool(self._get_param("WithCooldown", False))
        told = self.ec2_backend.protect(self._get_param("ImageId"), cooldown)
        return ActionResult({"Return": told})

    @answers_refusals
    def disable_image_deregistration_protection(self) -> ActionResult:
        self.error_on_dryrun()
        return ActionResult({"Return": self.ec2_backend.unprotect(self._get_param("ImageId"))})


def _entry(image: EmulatedAmi) -> dict[str, Any]:
    return {
        "CreationDate": to_datetime(image.created),
        "ImageId": image.id,
        "ImageOwnerAlias": image.owner_alias,
        "SourceImageId": image.source_image_id,
        "SourceImageRegion": image.source_image_region,
    }


def _moment(given: Any) -> float:
    if isinstance(given, datetime):
        return given.replace(tzinfo=given.tzinfo or UTC).timestamp()
    try:
        return datetime.fromisoformat(str(given)).astimezone(UTC).timestamp()
    except ValueError as error:
        raise Refused("InvalidParameterValue", f"Invalid date: {given}") from error
