# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task may be given: every rule that needs no AWS call.

Each function returns the clean value or raises InputError, which names the value and the fix.
"""

from __future__ import annotations

import math
import re
import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.s3 import validate_bucket_name

from ansible_collections.amistore.aws.plugins.module_utils._aws import InputError
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Limits, Rate

# An AMI tag value holds 256 characters; a restore writes <bucket>/<key> into one as its proof of
# identity.
MAX_LOCATION_LENGTH = 256
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
MAX_OBJECT_TAGS = 10
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions
MAX_RESOURCE_TAGS = 50
MAX_TAG_VALUE_LENGTH = 256
PROOF_TAG_PREFIX = "amistore:"
PROOF_TAGS = 2

_IMAGE_ID = re.compile(r"ami-[0-9a-f]{8,17}")
_STORED_IMAGE_KEY = re.compile(r"(?:.*/)?(ami-[0-9a-f]{8,17})\.bin")


def given(value: t.Any) -> str | None:
    """Return the text of an option, None for one that is unset or blank (as a survey sends it)."""
    text = "" if value is None else str(value).strip()
    return text or None


def clean_image_ids(values: t.Iterable[t.Any]) -> list[str]:
    """Return the AMI ids in first order, without blanks and repeats.

    :raises InputError: names every malformed id.
    """
    ids = list(dict.fromkeys(text for text in map(given, values) if text))
    malformed = [text for text in ids if not _IMAGE_ID.fullmatch(text)]
    if malformed:
        raise InputError(
            f"Not AMI ids: {', '.join(map(repr, malformed))}. An AMI id is 'ami-' and 8 to 17"
            " characters of 0-9 and a-f,"
            " for example ami-0abcdef1234567890; nothing was changed."
        )
    return ids


def clean_bucket(value: t.Any, option: str = "bucket") -> str:
    """Return the name of a plain general-purpose bucket."""
    name = given(value)
    if name is None:
        raise InputError(f"{option!r} is blank: give the name of the S3 bucket.")
    if name.startswith("arn:") or name.endswith(("-s3alias", "--x-s3", ".mrap")):
        raise InputError(
            f"{option} {name!r} is an ARN, an access point or a directory bucket;"
            " CreateStoreImageTask takes the plain name"
            " of a general-purpose bucket, for example 'my-ami-bucket'."
        )
    if "/" in name:
        plain, _slash, path = name.removeprefix("s3://").partition("/")
        raise InputError(
            f"{option} {name!r} holds a path; write {option}: {plain!r}"
            + (
                f" and {option.replace('bucket', 'prefix')}: {path.strip('/')!r}."
                if path.strip("/")
                else "."
            )
        )
    fault = validate_bucket_name(name)
    if fault:
        raise InputError(f"{option} {name!r} is not a bucket name: {fault}.")
    return name


def clean_prefix(value: t.Any, option: str = "prefix") -> str:
    """Return the prefix without its trailing slash, "" for none."""
    prefix = given(value) or ""
    if not prefix.isprintable():
        raise InputError(f"{option} {prefix!r} holds a character that cannot be printed.")
    if prefix.startswith("/") or "//" in prefix:
        raise InputError(
            f"{option} {prefix!r} has a leading or a double slash; write it as 'path' or"
            " 'path/deeper'."
        )
    return prefix[:-1] if prefix.endswith("/") else prefix


def clean_bucket_owner(value: t.Any, option: str = "expected_bucket_owner") -> str | None:
    """Return the account id that must own the bucket, None where none is asked for."""
    owner = given(value)
    if owner is not None and not re.fullmatch(r"[0-9]{12}", owner):
        raise InputError(
            f"{option} {owner!r} is not an account id: 12 digits, in quotes so that"
            " leading zeros stay."
        )
    return owner


def image_key(prefix: str, image_id: str) -> str:
    """Return the key that CreateStoreImageTask gives the stored image."""
    return f"{prefix}/{image_id}.bin" if prefix else f"{image_id}.bin"


def key_start(prefix: str) -> str:
    """Return what the keys of all stored images directly under the prefix begin with."""
    return f"{prefix}/ami-" if prefix else "ami-"


def manifest_key(object_key: str) -> str:
    """Return the key of the manifest beside a stored image, whatever the image's key looks like."""
    return object_key.removesuffix(".bin") + ".json"


def copy_record_key(object_key: str) -> str:
    """Return the key of the record of a copy whose source has no manifest."""
    return object_key.removesuffix(".bin") + ".copy.json"


def image_id_of(object_key: str) -> str | None:
    """Return the id of the AMI that a key was made for, None for a key that AWS did not name."""
    match = _STORED_IMAGE_KEY.fullmatch(object_key)
    return match.group(1) if match else None


def check_location(bucket: str, object_key: str) -> None:
    """Refuse a key that could be stored but never be proved on restore."""
    length = len(f"{bucket}/{object_key}")
    if length > MAX_LOCATION_LENGTH:
        raise InputError(
            f"s3://{bucket}/{object_key} is {length} characters long; bucket and key together may"
            " have"
            f" {MAX_LOCATION_LENGTH}, because a restored AMI carries them in one tag. Use a"
            " shorter prefix."
        )


def clean_object_tags(tags: t.Mapping[t.Any, t.Any] | None) -> dict[str, str] | None:
    """Return S3 object tags as text, None where the option is omitted."""
    return _clean_tags("tags", tags, key_length=128, most=MAX_OBJECT_TAGS, what="an S3 object")


def clean_resource_tags(option: str, tags: t.Mapping[t.Any, t.Any] | None) -> dict[str, str] | None:
    """Return AMI or snapshot tags as text, None where the option is omitted."""
    most = MAX_RESOURCE_TAGS - PROOF_TAGS
    clean = _clean_tags(option, tags, key_length=127, most=most, what="an AMI or a snapshot")
    reserved = [key for key in clean or () if key.startswith(PROOF_TAG_PREFIX)]
    if reserved:
        raise InputError(
            f"{option}: {reserved[0]!r} begins with {PROOF_TAG_PREFIX!r}, which is kept for the"
            " proof of identity."
        )
    return clean


def _clean_tags(
    option: str, tags: t.Mapping[t.Any, t.Any] | None, key_length: int, most: int, what: str
) -> dict[str, str] | None:
    if tags is None:
        return None
    clean = {str(key): "" if value is None else str(value) for key, value in tags.items()}
    if len(clean) < len(tags):
        raise InputError(f"{option}: two tag keys are the same once they are written as text.")
    for key, value in tags.items():
        if isinstance(value, (dict, list)):
            raise InputError(
                f"{option}: the value of {key!r} is {value!r}; a tag holds plain text."
            )
    if len(clean) > most:
        raise InputError(
            f"{option}: {len(clean)} tags given, {what} takes at most {most} of yours."
        )
    for key, value in clean.items():
        if not 1 <= len(key) <= key_length:
            raise InputError(
                f"{option}: the tag key {key!r} has {len(key)} characters; 1 to {key_length} are"
                " allowed."
            )
        if key.lower().startswith("aws:"):
            raise InputError(
                f"{option}: the tag key {key!r} begins with 'aws:', which AWS reserves."
            )
        if len(value) > MAX_TAG_VALUE_LENGTH:
            raise InputError(
                f"{option}: the value of {key!r} has {len(value)} characters;"
                f" {MAX_TAG_VALUE_LENGTH} are allowed."
            )
    return clean


def clean_image_name(value: t.Any) -> str | None:
    """Return an AMI name, None where none is given; botocore does not check the upper bound."""
    name = given(value)
    if name is not None and not 3 <= len(name) <= 128:
        raise InputError(f"name {name!r} has {len(name)} characters; an AMI name has 3 to 128.")
    return name


def clean_wait_timeout(seconds: int) -> int:
    """Return the time to wait; a run that may not take any time could not even look."""
    if seconds < 1:
        raise InputError(
            f"wait_timeout {seconds} is not a time to wait: give seconds, at least 1. To start and"
            " not wait, use wait: false."
        )
    return seconds


def limit_options(default: Limits) -> dict[str, t.Any]:
    """Return the argument spec of the options that `clean_limits` reads."""
    rate = default.create_rate
    return {
        "in_flight_gib": {"type": "int", "default": default.in_flight},
        "create_burst": {"type": "int", "default": rate.burst},
        "seconds_per_create": {"type": "float", "default": rate.seconds_per_request},
    }


def clean_limits(params: t.Mapping[str, t.Any]) -> Limits:
    """Return what the account may do, as the task says."""
    in_flight, burst = params["in_flight_gib"], params["create_burst"]
    seconds = params["seconds_per_create"]
    if in_flight < 1:
        raise InputError(
            f"in_flight_gib {in_flight} leaves no room for any AMI: give GiB, at least 1."
        )
    if burst < 1:
        raise InputError(
            f"create_burst {burst} allows no request: give the number of requests at once, at"
            " least 1."
        )
    if not math.isfinite(seconds) or seconds <= 0:
        raise InputError(
            f"seconds_per_create {seconds} is no pause between requests: give seconds above 0, for"
            " example 10."
        )
    return Limits(Rate(burst, seconds), in_flight)
