# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which resources of this account refer to AMIs, as DescribeImageReferences tells."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    aws_words,
    call_aws,
    error_code,
    is_forbidden,
    refuses_caller,
)

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImageReferences.html
MAX_IDS_PER_CALL = 10
MAX_TEMPLATE_VERSIONS = 10000
# Not those that are terminated, which AWS shows for a while.
INSTANCE_STATES = ("pending", "running", "shutting-down", "stopping", "stopped")
CALL = "describe_image_references"
ACTION = "ec2:DescribeImageReferences"

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html: what AWS does in the
# caller's name to look at each kind of resource.
ACTIONS_BEHIND = {
    "ec2:Instance": ("ec2:DescribeInstances",),
    "ec2:LaunchTemplate": ("ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions"),
    "ssm:Parameter": ("ssm:DescribeParameters", "ssm:GetParameters"),
    "imagebuilder:ImageRecipe": ("imagebuilder:ListImageRecipes",),
    "imagebuilder:ContainerRecipe": (
        "imagebuilder:ListContainerRecipes",
        "imagebuilder:GetContainerRecipe",
    ),
}
RESOURCE_TYPES = tuple(ACTIONS_BEHIND)


def reason(error: AnsibleAWSError, *actions: str) -> str:
    """Return AWS's words, and the rights that the caller needs where these are what is missing."""
    words = aws_words(error)
    return f"{words} Needed: {', '.join(actions)}." if is_forbidden(error) else words


@dataclass(frozen=True)
class Reference:
    resource_type: str
    arn: str


@dataclass(frozen=True)
class References:
    """The resources that refer to an AMI, and the types of resources that nobody could look at."""

    found: tuple[Reference, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def found_any(self) -> bool | None:
        """Whether anything refers to the AMI; None where that is not sure."""
        if self.found:
            return True
        return None if self.unchecked else False


@dataclass
class ReferenceSearch:
    """Asks for ten AMIs a call, and leaves out the types of resources that AWS refuses."""

    client: t.Any
    types: tuple[str, ...]
    template_versions: int
    warn: t.Callable[[str], None]
    refused: set[str] = field(default_factory=set)

    def of(self, image_ids: t.Sequence[str]) -> dict[str, References]:
        """Return the references of each AMI.

        :raises AmiStoreError: when AWS refuses the credentials.
        """
        found: dict[str, References] = {}
        for start in range(0, len(image_ids), MAX_IDS_PER_CALL):
            found.update(self._look(image_ids[start : start + MAX_IDS_PER_CALL]))
        return found

    def _look(self, image_ids: t.Sequence[str]) -> dict[str, References]:
        open_types = [kind for kind in self.types if kind not in self.refused]
        if not open_types:
            return {image_id: References(unchecked=self.types) for image_id in image_ids}
        try:
            found = self._ask(image_ids, open_types)
        except AmiStoreError as error:
            if refuses_caller(error):
                raise
            if error_code(error) in ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"):
                return self._look_apart(image_ids)
            found = self._ask_by_type(image_ids, open_types, error)
        unchecked = tuple(kind for kind in self.types if kind in self.refused)
        return {i: References(tuple(found.get(i, ())), unchecked) for i in image_ids}

    def _look_apart(self, image_ids: t.Sequence[str]) -> dict[str, References]:
        """An AMI that has gone meanwhile does not cost the others their answer."""
        if len(image_ids) == 1:
            return {image_ids[0]: References(unchecked=self.types)}
        half = len(image_ids) // 2
        return {**self._look(image_ids[:half]), **self._look(image_ids[half:])}

    def _ask_by_type(
        self, image_ids: t.Sequence[str], types: t.Sequence[str], error: AmiStoreError
    ) -> dict[str, list[Reference]]:
        """Ask again for each type alone, and for those that fail again not any more in this run."""
        if len(types) == 1:
            self._give_up(types[0], error)
            return {}
        found: dict[str, list[Reference]] = {}
        for kind in types:
            try:
                for image_id, references in self._ask(image_ids, [kind]).items():
                    found.setdefault(image_id, []).extend(references)
            except AmiStoreError as refusal:
                if refuses_caller(refusal):
                    raise
                self._give_up(kind, refusal)
        return found

    def _give_up(self, kind: str, error: AmiStoreError) -> None:
        self.refused.add(kind)
        self.warn(
            f"References from {kind} are unknown: {reason(error, ACTION, *ACTIONS_BEHIND[kind])}"
        )

    def _ask(
        self, image_ids: t.Sequence[str], types: t.Sequence[str]
    ) -> dict[str, list[Reference]]:
        params: dict[str, t.Any] = {
            "ImageIds": list(image_ids),
            "ResourceTypes": [self._resource_type(kind) for kind in types],
        }
        found: dict[str, list[Reference]] = {}
        while True:
            page = call_aws(
                "describe the references to the AMIs", getattr(self.client, CALL), **params
            )
            for item in page.get("ImageReferences", []):
                reference = Reference(item.get("ResourceType", ""), item.get("Arn", ""))
                found.setdefault(item.get("ImageId", ""), []).append(reference)
            if not page.get("NextToken"):
                return found
            params["NextToken"] = page["NextToken"]

    def _resource_type(self, kind: str) -> dict[str, t.Any]:
        options = {
            "ec2:Instance": ("state-name", list(INSTANCE_STATES)),
            "ec2:LaunchTemplate": ("version-depth", [str(self.template_versions)]),
        }
        if kind not in options:
            return {"ResourceType": kind}
        name, values = options[kind]
        option = {"OptionName": name, "OptionValues": values}
        return {"ResourceType": kind, "ResourceTypeOptions": [option]}
