# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that decide how the emulated AWS behaves: typed, checked, unknown keys refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from . import choices
from .documents import read_document
from .limits import RESTORE_IN_FLIGHT_GIB, STORE_IN_FLIGHT_GIB, Rate, default_rate
from .partitions import served

T = TypeVar("T")

DEFAULT_ACCOUNT = served().account
AWS_RATES = "aws"


class ScenarioError(ValueError):
    """A setting that is unknown or has an impossible value."""


@dataclass(frozen=True)
class Failure:
    """How a store or a restore fails: why, how far it gets, and how often (None: always)."""

    reason: str = ""
    at_percent: int = 50
    times: int | None = None


@dataclass(frozen=True)
class Alteration:
    """How a restored AMI differs from the stored one; None and empty: not at all."""

    boot_mode: str | None = None
    tpm_support: str | None = None
    imds_support: str | None = None
    ena_support: bool | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    """GiB by device."""
    lost_tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Denial:
    """An IAM action and resource that are denied; both may hold `*` and `?`."""

    action: str
    resource: str = "*"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a request: the answer, the connection, the body, or its object."""

    action: str
    error: str | None = None
    status: int | None = None
    message: str = ""
    times: int | None = None
    after: int = 0
    probability: float = 1.0
    seed: int = 0
    drop: str | None = None
    body: str | None = None
    event: str | None = None
    bucket: str = "*"
    key: str = "*"
    access_key: str = "*"
    image_id: str = "*"


@dataclass(frozen=True)
class Scenario:
    """Every setting with its default. Times are seconds of emulated time."""

    speed: float = 1.0
    accounts: Mapping[str, str] = field(default_factory=dict)

    store_seconds: float = 30.0
    store_seconds_per_gib: float = 6.0
    restore_seconds: float = 30.0
    restore_seconds_per_gib: float = 6.0
    store_failures: Mapping[str, Failure] = field(default_factory=dict)
    restore_failures: Mapping[str, Failure] = field(default_factory=dict)
    restore_alterations: Mapping[str, Alteration] = field(default_factory=dict)
    store_in_flight_gib: float | None = STORE_IN_FLIGHT_GIB
    restore_in_flight_gib: float | None = RESTORE_IN_FLIGHT_GIB
    in_flight_includes_new: bool = False
    rates: Mapping[str, Rate | None] | None = field(default_factory=dict)

    listing_lag: float = 0.0
    task_update_lag: float = 0.0
    image_lag: float = 0.0
    name_lag: float = 0.0
    deregistered_visible: float = 0.0
    hidden_tasks: tuple[str, ...] = ()
    page_size: int | None = None
    empty_pages: int = 0
    filter_after_paging: bool = False
    unknown_task_image_is_error: bool = choices.UNKNOWN_TASK_IMAGE_IS_ERROR

    encryption_by_default: bool = False
    blob_tags_win: bool = choices.BLOB_TAGS_WIN
    delete_marker_blocks_store: bool = choices.DELETE_MARKER_BLOCKS_STORE
    late_access_errors: bool = False
    service_object_tags: Mapping[str, str] = field(default_factory=dict)
    service_metadata: Mapping[str, str] = field(default_factory=dict)
    object_size: str | int = "believable"
    wrong_region_status: int = 301

    policies: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    enforce_iam: bool = False
    deny: tuple[Denial, ...] = ()
    faults: tuple[Fault, ...] = ()

    def rate(self, action: str) -> Rate | None:
        """The request rate of an EC2 action; None when it is not limited."""
        if self.rates is None:
            return None
        named = [name for name in self.rates if fnmatchcase(action, name)]
        # The longest pattern is the one that was meant for this action.
        return self.rates[max(named, key=len)] if named else default_rate(action)

    def changed(self, changes: Mapping[str, Any]) -> Scenario:
        """This scenario with some keys set anew. Raises ScenarioError and changes nothing."""
        known = {item.name for item in fields(self)}
        unknown = sorted(set(changes) - known)
        if unknown:
            raise ScenarioError(f"unknown scenario keys: {', '.join(unknown)}")
        return replace(self, **{key: _parse(key, value) for key, value in changes.items()})

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold of it, in the form that `changed` accepts."""
        shown = asdict(self)
        shown["rates"] = AWS_RATES if self.rates == {} else self.rates
        return shown


def load(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML or JSON scenario file."""
    content = read_document(path)
    if not isinstance(content, dict):
        raise ScenarioError(f"{path}: a mapping of scenario keys is needed")
    return content


def _parse(key: str, value: Any) -> Any:
    try:
        return _PARSERS[key](value)
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"{key}: {error}") from error


def _number(least: float) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least:
            raise ValueError(f"a number of at least {least} is needed, not {value!r}")
        return float(value)

    return parse


def _whole(least: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"a whole number of at least {least} is needed, not {value!r}")
        return value

    return parse


def _optional(parse: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else parse(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"true or false is needed, not {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a string is needed, not {value!r}")
    return value


def _one_of(*allowed: Any) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(f"one of {', '.join(map(str, allowed))} is needed, not {value!r}")
        return value

    return parse


def _object_size(value: Any) -> str | int:
    if value in ("believable", "real"):
        return str(value)
    return _whole(0)(value)


def _document(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or "Statement" not in value:
        raise ValueError("a policy document with a Statement is needed")
    return value


def _list_of(parse: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    def parse_all(value: Any) -> tuple[T, ...]:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"a list is needed, not {value!r}")
        return tuple(parse(item) for item in value)

    return parse_all


def _map_of(parse: Callable[[Any], T]) -> Callable[[Any], dict[str, T]]:
    def parse_all(value: Any) -> dict[str, T]:
        if not isinstance(value, Mapping):
            raise ValueError(f"a mapping is needed, not {value!r}")
        return {_text(key): parse(item) for key, item in value.items()}

    return parse_all


def _record(kind: Callable[..., T], **parsers: Callable[[Any], Any]) -> Callable[[Any], T]:
    def parse(value: Any) -> T:
        if not isinstance(value, Mapping):
            raise ValueError(f"a mapping is needed, not {value!r}")
        unknown = sorted(set(value) - set(parsers))
        if unknown:
            raise ValueError(f"unknown keys: {', '.join(unknown)}")
        return kind(**{key: parsers[key](item) for key, item in value.items()})

    return parse


def _rate(value: Any) -> Rate | None:
    if not value:
        return None
    bucket, refill = _list_of(_number(0))(value)
    return Rate(bucket, refill)


def _rates(value: Any) -> dict[str, Rate | None] | None:
    if value == AWS_RATES:
        return {}
    return _map_of(_rate)(value) if value else None


def _denial(value: Any) -> Denial:
    return Denial(value) if isinstance(value, str) else _denial_record(value)


_denial_record = _record(Denial, action=_text, resource=_text)
_failures = _map_of(
    _record(Failure, reason=_text, at_percent=_whole(0), times=_optional(_whole(1)))
)
_alterations = _map_of(
    _record(
        Alteration,
        boot_mode=_optional(_text),
        tpm_support=_optional(_text),
        imds_support=_optional(_text),
        ena_support=_optional(_boolean),
        sizes=_map_of(_whole(1)),
        lost_tags=_list_of(_text),
    )
)
_fault = _record(
    Fault,
    action=_text,
    error=_optional(_text),
    status=_optional(_whole(200)),
    message=_text,
    times=_optional(_whole(1)),
    after=_whole(0),
    probability=_number(0),
    seed=_whole(0),
    drop=_optional(_one_of("before", "middle", "after")),
    body=_optional(_one_of("flipped", "short")),
    event=_optional(_one_of("abort_uploads", "change_object", "delete_object")),
    bucket=_text,
    key=_text,
    access_key=_text,
    image_id=_text,
)

_PARSERS: dict[str, Callable[[Any], Any]] = {
    "speed": _number(0.001),
    "accounts": _map_of(_text),
    "store_seconds": _number(0),
    "store_seconds_per_gib": _number(0),
    "restore_seconds": _number(0),
    "restore_seconds_per_gib": _number(0),
    "store_failures": _failures,
    "restore_failures": _failures,
    "restore_alterations": _alterations,
    "store_in_flight_gib": _optional(_number(0)),
    "restore_in_flight_gib": _optional(_number(0)),
    "in_flight_includes_new": _boolean,
    "rates": _rates,
    "listing_lag": _number(0),
    "task_update_lag": _number(0),
    "image_lag": _number(0),
    "name_lag": _number(0),
    "deregistered_visible": _number(0),
    "hidden_tasks": _list_of(_text),
    "page_size": _optional(_whole(1)),
    "empty_pages": _whole(0),
    "filter_after_paging": _boolean,
    "unknown_task_image_is_error": _boolean,
    "encryption_by_default": _boolean,
    "blob_tags_win": _boolean,
    "delete_marker_blocks_store": _boolean,
    "late_access_errors": _boolean,
    "service_object_tags": _map_of(_text),
    "service_metadata": _map_of(_text),
    "object_size": _object_size,
    "wrong_region_status": _one_of(301, 400),
    "policies": _map_of(_list_of(_document)),
    "enforce_iam": _boolean,
    "deny": _list_of(_denial),
    "faults": _list_of(_fault),
}
