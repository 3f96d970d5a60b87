# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task wants archived, how far, and what it allows for that."""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.amazon.aws.plugins.module_utils.transformation import (
    ansible_dict_to_boto3_filter_list,
)

from ansible_collections.amistore.aws.plugins.module_utils._archive_decide import (
    EndState,
    Excuse,
)
from ansible_collections.amistore.aws.plugins.module_utils._aws import InputError
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    check_location,
    clean_bucket,
    clean_bucket_owner,
    clean_image_ids,
    clean_prefix,
    image_key,
)
from ansible_collections.amistore.aws.plugins.module_utils._usage import (
    LAUNCH_PERMISSIONS,
    Request,
    in_range,
)
from ansible_collections.amistore.aws.plugins.module_utils._usage_images import Choice
from ansible_collections.amistore.aws.plugins.module_utils._usage_references import (
    MAX_TEMPLATE_VERSIONS,
)

_LONGEST_IMAGE_ID = "ami-00000000000000000"
MAX_DAYS = 36500


@dataclass(frozen=True)
class Prices:
    """What storage costs for each GiB and month, as the user says; None where nothing is said."""

    snapshots: float | None = None
    by_class: t.Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Wish:
    """The options of a task, checked and clean."""

    survey: Request
    end_state: EndState
    allowed: frozenset[Excuse]
    bucket: str
    prefix: str
    expected_bucket_owner: str | None
    within_days: int
    accept_untested: bool
    snapshots_after_days: int | None
    prices: Prices
    nothing: bool = False
    """The list of AMIs is there, and empty."""

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Wish:
        """Return the wish of a task.

        :raises InputError: names the value that is wrong.
        """
        image_ids = tuple(clean_image_ids(params["image_ids"] or ()))
        filters = params["filters"] or {}
        chosen = bool(image_ids or filters)
        if params["all"] and chosen:
            raise InputError("all: true takes every AMI: leave image_ids and filters out.")
        if not params["all"] and not filters and params["image_ids"] is None:
            raise InputError(
                "Which AMIs? Give image_ids, filters, or all: true for every AMI of the account in"
                " this Region. Nothing was changed."
            )
        allowed = frozenset(map(Excuse, params["allow"]))
        bucket, prefix = clean_bucket(params["bucket"]), clean_prefix(params["prefix"])
        check_location(bucket, image_key(prefix, _LONGEST_IMAGE_ID))
        survey = Request(
            choice=Choice(image_ids, _filters(filters), ("self",)),
            unused_days=in_range("unused_days", params["unused_days"], 1, MAX_DAYS),
            reference_types=tuple(dict.fromkeys(params["references"])),
            template_versions=in_range(
                "launch_template_versions",
                params["launch_template_versions"],
                1,
                MAX_TEMPLATE_VERSIONS,
            ),
            # Where something is allowed, a verdict does not tell whether they matter.
            include=frozenset({LAUNCH_PERMISSIONS} if allowed else ()),
            bucket=None,
            prefix="",
            expected_bucket_owner=None,
        )
        days, price = params["snapshots_after_days"], params["snapshot_price"]
        return cls(
            survey=survey,
            end_state=_end_state(params),
            allowed=allowed,
            bucket=bucket,
            prefix=prefix,
            expected_bucket_owner=clean_bucket_owner(params["expected_bucket_owner"]),
            within_days=in_range(
                "verified_within_days", params["verified_within_days"], 1, MAX_DAYS
            ),
            accept_untested=params["accept_untested"],
            snapshots_after_days=(
                None if days is None else in_range("snapshots_after_days", days, 1, MAX_DAYS)
            ),
            prices=Prices(
                None if price is None else _price("snapshot_price", price),
                {k: _price("s3_prices", v) for k, v in (params["s3_prices"] or {}).items()},
            ),
            nothing=not params["all"] and not chosen,
        )

    @property
    def looks_for_snapshots(self) -> bool:
        return self.end_state is EndState.DEREGISTERED

    def takes(self, image: t.Mapping[str, t.Any]) -> bool:
        """Tell whether the filters take an AMI that is gone, as its manifest describes it."""
        return all(_fits(one, image) for one in self.survey.choice.filters)


def _filters(given: t.Mapping[str, t.Any]) -> tuple[t.Mapping[str, t.Any], ...]:
    """Return the filters as EC2 takes them.

    What EC2 makes of a filter without a value is not documented: it could take every AMI.
    """
    filters = tuple(ansible_dict_to_boto3_filter_list(given))
    empty = [one["Name"] for one in filters if not one["Values"]]
    if empty:
        raise InputError(f"filters: {', '.join(empty)} without a value. Nothing was changed.")
    return filters


def _end_state(params: t.Mapping[str, t.Any]) -> EndState:
    end_state = EndState(params["end_state"])
    if params["snapshots_after_days"] is not None and end_state is not EndState.DEREGISTERED:
        raise InputError(
            "snapshots_after_days is about AMIs that are deregistered: it needs end_state:"
            " deregistered. Nothing was changed."
        )
    return end_state


def _price(option: str, value: t.Any) -> float:
    try:
        price = float(value)
    except (TypeError, ValueError):
        price = math.nan
    if not math.isfinite(price) or price < 0:
        raise InputError(f"{option}: {value!r} is not a price for a GiB and month.")
    return price


def _fits(condition: t.Mapping[str, t.Any], image: t.Mapping[str, t.Any]) -> bool:
    """Tell whether a name or tag fits as EC2 would compare it; nothing else can be compared."""
    name, values = condition["Name"], condition["Values"]
    tags = _tags_of(image)
    if name == "name":
        told = [image.get("Name")]
    elif name.startswith("tag:"):
        told = [tags.get(name[len("tag:") :])]
    elif name == "tag-key":
        told = list(tags)
    else:
        return False
    return any(_like(str(one), str(value)) for one in told if one is not None for value in values)


def _tags_of(image: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the tags that a manifest tells, which is a file that anybody may have written."""
    tags = image.get("Tags")
    known = [tag for tag in tags if isinstance(tag, dict)] if isinstance(tags, list) else []
    return {tag["Key"]: tag.get("Value") for tag in known if isinstance(tag.get("Key"), str)}


def _like(text: str, pattern: str) -> bool:
    parts = [re.escape(part) for part in re.split(r"([*?])", pattern)]
    wild = {re.escape("*"): ".*", re.escape("?"): "."}
    return bool(re.fullmatch("".join(wild.get(part, part) for part in parts), text, re.DOTALL))
