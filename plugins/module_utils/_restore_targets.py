# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which stored images a restore is asked for: exactly one of four ways to say it."""

from __future__ import annotations

import typing as t

from ansible_collections.amistore.aws.plugins.module_utils._aws import InputError
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    check_location,
    clean_image_ids,
    clean_image_name,
    clean_prefix,
    clean_resource_tags,
    given,
    image_id_of,
    image_key,
    key_start,
)
from ansible_collections.amistore.aws.plugins.module_utils._restore import RestoreEntry
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket

WAYS = ("object_key", "image_ids", "stored_images", "all")


def chosen_way(params: t.Mapping[str, t.Any]) -> str | None:
    """Return which of the four ways the task uses; None for an empty list, which asks for nothing.

    Blanks and empty lists count as unset when another way is used, since surveys send them.

    :raises InputError: when none or several are used.
    """
    used = [way for way in WAYS if _is_used(params, way)]
    if len(used) > 1:
        raise InputError(f"{' and '.join(used)} are both given: say what to restore in one way.")
    if used:
        return used[0]
    if any(params.get(way) == [] for way in ("image_ids", "stored_images")) or params.get(
        "image_ids"
    ):
        return None
    raise InputError(f"Nothing says what to restore: give one of {', '.join(WAYS)}.")


def _is_used(params: t.Mapping[str, t.Any], way: str) -> bool:
    value = params.get(way)
    if way == "image_ids":
        return any(given(item) for item in value or ())
    return bool(given(value)) if way == "object_key" else bool(value)


def targets(params: t.Mapping[str, t.Any], bucket_name: str) -> list[RestoreEntry]:
    """Return the entries of a task that names its stored images; `all` names none, see `found`.

    :raises InputError: names the value that is wrong.
    """
    way = chosen_way(params)
    if given(params.get("name")) and way != "object_key":
        raise InputError(
            f"name {params['name']!r} goes with object_key. For several stored images, give each"
            " its name in stored_images."
        )
    if way == "object_key":
        entries = [_target(params, params["object_key"], params.get("name"))]
    elif way == "image_ids":
        prefix = clean_prefix(params.get("prefix"))
        entries = [
            _target(params, image_key(prefix, image_id))
            for image_id in clean_image_ids(params["image_ids"])
        ]
    elif way == "stored_images":
        entries = [
            _target({**params, **_own(item)}, item["object_key"], item.get("name"))
            for item in params[way]
        ]
    else:
        clean_prefix(params.get("prefix"))
        return []
    for entry in entries:
        check_location(bucket_name, entry.object_key)
    return _unique(entries)


def _own(item: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the tags that a stored image brings itself, which replace the task's."""
    return {key: item[key] for key in ("tags", "snapshot_tags") if item.get(key) is not None}


def _target(params: t.Mapping[str, t.Any], object_key: t.Any, name: t.Any = None) -> RestoreEntry:
    key = given(object_key)
    if key is None:
        raise InputError(
            "object_key is blank: give the key of a stored image, for example"
            " 'dr/ami-0abcdef1234567890.bin'."
        )
    if key.startswith(("/", "s3://")):
        raise InputError(
            f"object_key {key!r}: give the key alone, without bucket and leading slash."
        )
    clean_name = clean_image_name(name)
    return RestoreEntry(
        label=f"{key} as {clean_name!r}" if clean_name else key,
        object_key=key,
        name=clean_name,
        tags=clean_resource_tags("tags", params.get("tags")),
        snapshot_tags=clean_resource_tags("snapshot_tags", params.get("snapshot_tags")),
    )


def _unique(entries: t.Iterable[RestoreEntry]) -> list[RestoreEntry]:
    """Merge repeats in first order.

    :raises InputError: when one stored image and name is asked for with different tags.
    """
    unique: dict[tuple[str, str | None], RestoreEntry] = {}
    for entry in entries:
        first = unique.setdefault((entry.object_key, entry.name), entry)
        if (first.tags, first.snapshot_tags) != (entry.tags, entry.snapshot_tags):
            raise InputError(f"{entry.label} is given twice with different tags.")
    _refuse_shared_names(unique.values())
    return list(unique.values())


def _refuse_shared_names(entries: t.Iterable[RestoreEntry]) -> None:
    keys: dict[str, list[str]] = {}
    for entry in entries:
        if entry.name:
            keys.setdefault(entry.name, []).append(entry.object_key)
    for name, users in keys.items():
        if len(users) > 1:
            raise InputError(
                f"One name for several AMIs: {name!r} for {' and '.join(users)}. AMI names are"
                " unique in an account and Region; give each its own. Nothing was changed."
            )


def found(params: t.Mapping[str, t.Any], bucket: Bucket) -> list[RestoreEntry]:
    """Return the entries of `all`: every stored image that lies directly under the prefix."""
    start = key_start(clean_prefix(params.get("prefix")))
    return [
        _target(params, stored.key)
        for stored in bucket.list(start)
        if _is_direct(stored.key, start)
    ]


def _is_direct(key: str, start: str) -> bool:
    return image_id_of(key) is not None and "/" not in key[len(start) :]
