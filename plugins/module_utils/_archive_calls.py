# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The calls that take AMIs out of service, and what shows whether snapshots are still needed."""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta

from ansible_collections.amistore.aws.plugins.module_utils._archive_marks import OF_IMAGE
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    answered_at,
    call_aws,
    error_code,
)
from ansible_collections.amistore.aws.plugins.module_utils._images import (
    MAX_FILTER_VALUES,
    Image,
    Snapshot,
)

# AWS takes no time that has passed, and rounds to the minute.
DEPRECATION_LEAD = timedelta(minutes=5)
_GONE = ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable")


def deprecate(client: t.Any, image_id: str, now: datetime) -> None:
    call_aws(
        f"deprecate {image_id}",
        client.enable_image_deprecation,
        ImageId=image_id,
        DeprecateAt=now + DEPRECATION_LEAD,
    )


def cancel_deprecation(client: t.Any, image_id: str) -> None:
    what = f"cancel the deprecation of {image_id}"
    call_aws(what, client.disable_image_deprecation, ImageId=image_id)


def disable(client: t.Any, image_id: str) -> None:
    call_aws(f"disable {image_id}", client.disable_image, ImageId=image_id)


def enable(client: t.Any, image_id: str) -> None:
    call_aws(f"enable {image_id}", client.enable_image, ImageId=image_id)


def unprotect(client: t.Any, image_id: str) -> None:
    call_aws(
        f"take the deregistration protection from {image_id}",
        client.disable_image_deregistration_protection,
        ImageId=image_id,
    )


def deregister(client: t.Any, image_id: str) -> datetime | None:
    """Deregister an AMI, whose snapshots stay; return when, by AWS's clock, where it says so."""
    try:
        answer = call_aws(f"deregister {image_id}", client.deregister_image, ImageId=image_id)
    except AmiStoreError as error:
        # A repeat after an answer that got lost.
        if error_code(error) not in _GONE:
            raise
        return None
    return answered_at(answer)


def delete_snapshot(client: t.Any, snapshot_id: str) -> None:
    """Delete a snapshot; AWS refuses one that an AMI uses."""
    try:
        call_aws(f"delete {snapshot_id}", client.delete_snapshot, SnapshotId=snapshot_id)
    except AmiStoreError as error:
        if error_code(error) != "InvalidSnapshot.NotFound":
            raise


def marked_snapshots(client: t.Any, image_ids: t.Sequence[str]) -> list[Snapshot]:
    """Return this account's snapshots that carry a mark, of these AMIs or of all."""
    filters: list[dict[str, t.Any]] = [{"Name": "tag-key", "Values": [OF_IMAGE]}]
    if image_ids:
        filters = [{"Name": f"tag:{OF_IMAGE}", "Values": chunk} for chunk in _chunks(image_ids)]
    paginator = client.get_paginator("describe_snapshots")
    found: list[Snapshot] = []
    for one in filters:
        pages = paginator.paginate(OwnerIds=["self"], Filters=[one])
        answer = call_aws("look for snapshots of archived AMIs", pages.build_full_result)
        found += map(Snapshot.from_aws, answer["Snapshots"])
    return sorted(found, key=lambda snapshot: snapshot.snapshot_id)


def users_of(client: t.Any, snapshot_ids: t.Sequence[str]) -> dict[str, set[str]]:
    """Return the AMIs that use each of these snapshots, in whatever state they are."""
    users: dict[str, set[str]] = {snapshot_id: set() for snapshot_id in snapshot_ids}
    for chunk in _chunks(snapshot_ids):
        one = {"Name": "block-device-mapping.snapshot-id", "Values": chunk}
        for image in _own_images(client, one):
            for snapshot_id in image.snapshot_ids:
                if snapshot_id in users:
                    users[snapshot_id].add(image.image_id)
    return users


def images_there(client: t.Any, image_ids: t.Sequence[str]) -> tuple[set[str], datetime | None]:
    """Return which of these AMIs of this account exist, and AWS's clock at the first answer."""
    there: set[str] = set()
    clock: list[datetime] = []
    for chunk in _chunks(image_ids):
        images = _own_images(client, {"Name": "image-id", "Values": chunk}, clock)
        there |= {image.image_id for image in images}
    return there, clock[0] if clock else None


def _own_images(
    client: t.Any, condition: dict[str, t.Any], clock: list[datetime] | None = None
) -> t.Iterator[Image]:
    params: dict[str, t.Any] = {
        "Owners": ["self"],
        "Filters": [condition],
        "IncludeDeprecated": True,
        "IncludeDisabled": True,
        "MaxResults": MAX_FILTER_VALUES,
    }
    while True:
        page = call_aws("describe the AMIs", client.describe_images, **params)
        moment = answered_at(page)
        if clock is not None and moment:
            clock.append(moment)
        images = map(Image.from_aws, page["Images"])
        yield from (image for image in images if image.state != "deregistered")
        if not page.get("NextToken"):
            return
        params["NextToken"] = page["NextToken"]


def _chunks(values: t.Sequence[str]) -> t.Iterator[list[str]]:
    for start in range(0, len(values), MAX_FILTER_VALUES):
        yield list(values[start : start + MAX_FILTER_VALUES])
