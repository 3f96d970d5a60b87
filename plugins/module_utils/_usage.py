# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at the AMIs that a user asks about: which calls are sent, and which are spared."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.amazon.aws.plugins.module_utils.transformation import (
    ansible_dict_to_boto3_filter_list,
)

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    InputError,
    error_text,
    refuses_caller,
)
from ansible_collections.amistore.aws.plugins.module_utils._images import (
    snapshots_by_id,
)
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    clean_bucket,
    clean_bucket_owner,
    clean_image_ids,
    clean_prefix,
    given,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import (
    Bucket,
    ObjectForbiddenError,
)
from ansible_collections.amistore.aws.plugins.module_utils._usage_images import (
    Ancestor,
    Choice,
    OwnedImage,
    Sdk,
    Sight,
    ancestry,
    launch_permission_count,
    see_images,
)
from ansible_collections.amistore.aws.plugins.module_utils._usage_references import (
    CALL,
    MAX_TEMPLATE_VERSIONS,
    References,
    ReferenceSearch,
    reason,
)
from ansible_collections.amistore.aws.plugins.module_utils._usage_report import Facts, Judge
from ansible_collections.amistore.aws.plugins.module_utils._usage_stored import stored_copies

ANCESTRY = "ancestry"
LAUNCH_PERMISSIONS = "launch_permissions"
DESCRIBE_SNAPSHOTS = "ec2:DescribeSnapshots"

# What the oldest supported botocore lacks, and which release brought it.
NEWER_FIELDS = {
    "LastLaunchedTime": "1.34.90",
    "DeregistrationProtection": "1.34.90",
    "SourceImageId": "1.35.60",
    "SourceImageRegion": "1.35.60",
}

Warn = t.Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What the user asks for."""

    choice: Choice
    unused_days: int
    reference_types: tuple[str, ...]
    template_versions: int
    include: frozenset[str]
    bucket: str | None
    prefix: str
    expected_bucket_owner: str | None

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Request:
        """Return the request of a task.

        :raises InputError: names the value that is wrong.
        """
        filters = ansible_dict_to_boto3_filter_list(params["filters"] or {})
        owners = [owner for owner in map(given, params["owners"] or ()) if owner]
        return cls(
            choice=Choice(
                image_ids=tuple(clean_image_ids(params["image_ids"] or ())),
                filters=tuple(filters),
                owners=tuple(dict.fromkeys(owners)) or ("self",),
            ),
            unused_days=in_range("unused_days", params["unused_days"], 1, 36500),
            reference_types=tuple(dict.fromkeys(params["references"])),
            template_versions=in_range(
                "launch_template_versions",
                params["launch_template_versions"],
                1,
                MAX_TEMPLATE_VERSIONS,
            ),
            include=frozenset(params["include"]),
            bucket=clean_bucket(params["bucket"]) if given(params["bucket"]) else None,
            prefix=clean_prefix(params["prefix"]),
            expected_bucket_owner=clean_bucket_owner(params["expected_bucket_owner"]),
        )


def in_range(option: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise InputError(f"{option} {value} is out of range: give {least} to {most}.")
    return value


class Survey:
    """One look at the AMIs of a request; only what AWS does not let be pooled costs a call each."""

    def __init__(self, client: t.Any, request: Request, bucket: Bucket | None, warn: Warn) -> None:
        self._client = client
        self._request = request
        self._bucket = bucket
        self._warn = warn
        self._sdk = Sdk.of(client)
        self._facts = Facts(bucket_given=bucket is not None)
        self.judge = Judge(self._sdk, datetime.now(timezone.utc), request.unused_days, self._facts)

    def run(self) -> tuple[list[dict[str, t.Any]], list[str]]:
        """Return what is known about each AMI, and the ids that were not found.

        :raises AnsibleAWSError: when the AMIs cannot be listed, or the credentials are refused.
        """
        sight = self.look()
        return [self.judge.describe(item) for item in sight.images], sight.missing

    def look(self) -> Sight:
        """Gather what `judge` judges by, and return the AMIs.

        :raises AnsibleAWSError: when the AMIs cannot be listed, or the credentials are refused.
        """
        sight = see_images(self._client, self._request.choice)
        if sight.time:
            self.judge = replace(self.judge, now=sight.time)
        if sight.images:
            self._tell_what_botocore_lacks()
            self._gather(sight)
        return sight

    def _gather(self, sight: Sight) -> None:
        image_ids = [item.image.image_id for item in sight.images]
        self._look_into_bucket(image_ids)
        self._look_at_snapshots(sight.images)
        self._look_for_references(image_ids)
        self._look_at_permissions(sight.images)
        if ANCESTRY in self._request.include:
            self._look_at_ancestry(sight.images)

    def _tell_what_botocore_lacks(self) -> None:
        lacking = {n: v for n, v in NEWER_FIELDS.items() if n not in self._sdk.image_fields}
        if "FullSnapshotSizeInBytes" not in self._sdk.snapshot_fields:
            lacking["FullSnapshotSizeInBytes"] = "1.36.18"
        if self._request.reference_types and CALL not in self._sdk.calls:
            lacking["DescribeImageReferences"] = "1.40.18"
        if ANCESTRY in self._request.include and "get_image_ancestry" not in self._sdk.calls:
            lacking["GetImageAncestry"] = "1.40.72"
        if lacking:
            listed = ", ".join(f"{name} (since {since})" for name, since in lacking.items())
            self._warn(
                f"The installed botocore does not know {listed}, so what they tell is unknown."
                " Update boto3 and botocore where the module runs."
            )

    def _look_into_bucket(self, image_ids: t.Sequence[str]) -> None:
        if self._bucket is None:
            return
        try:
            self._facts.copies = stored_copies(self._bucket, self._request.prefix, image_ids)
        except ObjectForbiddenError as error:
            self._warn(f"Whether the AMIs are stored is unknown: {error_text(error)}.")

    def _look_at_snapshots(self, images: t.Sequence[OwnedImage]) -> None:
        ids = dict.fromkeys(s for item in images for s in item.image.snapshot_ids)
        try:
            self._facts.snapshots = snapshots_by_id(self._client, list(ids))
        except AmiStoreError as error:
            if refuses_caller(error):
                raise
            self._warn(f"The size of the snapshots is unknown: {reason(error, DESCRIBE_SNAPSHOTS)}")

    def _look_for_references(self, image_ids: t.Sequence[str]) -> None:
        types = self._request.reference_types
        if not types:
            return
        if CALL not in self._sdk.calls:
            nothing = References(unchecked=types)
            self._facts.references = dict.fromkeys(image_ids, nothing)
            return
        versions = self._request.template_versions
        search = ReferenceSearch(self._client, types, versions, self._warn)
        self._facts.references = search.of(image_ids)

    def _look_at_permissions(self, images: t.Sequence[OwnedImage]) -> None:
        """Ask only where the verdict hangs on the answer, unless all are wanted: a call each."""
        wanted = LAUNCH_PERMISSIONS in self._request.include
        errors: list[tuple[str, AnsibleAWSError]] = []
        for item in images:
            image_id = item.image.image_id
            if not item.owned:
                continue
            if not wanted and self.judge.verdict(item).archivable is False:
                self._facts.spared.add(image_id)
                continue
            try:
                count = launch_permission_count(self._client, image_id)
            except AnsibleAWSError as error:
                if refuses_caller(error):
                    raise
                errors.append((image_id, error))
                continue
            if count is not None:
                self._facts.permissions[image_id] = count
        self._tell(errors, "Launch permissions", "ec2:DescribeImageAttribute")

    def _look_at_ancestry(self, images: t.Sequence[OwnedImage]) -> None:
        """Ask for the youngest first: a chain tells those of its ancestors too."""
        chains: dict[str, tuple[Ancestor, ...]] = {}
        self._facts.chains = chains
        if "get_image_ancestry" not in self._sdk.calls:
            return
        errors: list[tuple[str, AnsibleAWSError]] = []
        for item in sorted(images, key=_created_text, reverse=True):
            image_id = item.image.image_id
            if image_id in chains:
                continue
            try:
                chain = ancestry(self._client, image_id)
            except AmiStoreError as error:
                if refuses_caller(error):
                    raise
                errors.append((image_id, error))
                continue
            chains[image_id] = chain
            for place, ancestor in enumerate(chain[1:], start=1):
                chains.setdefault(ancestor.image_id, chain[place:])
        self._tell(errors, "The ancestry", "ec2:GetImageAncestry")

    def _tell(self, errors: list[tuple[str, AnsibleAWSError]], what: str, action: str) -> None:
        if errors:
            image_id, error = errors[0]
            self._warn(
                f"{what} of {len(errors)} of the AMIs cannot be told, the first is {image_id}:"
                f" {reason(error, action)}"
            )


def _created_text(item: OwnedImage) -> str:
    return str(item.image.raw.get("CreationDate") or "")
