# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a bucket for stored AMIs is asked to be; every rule that needs no AWS call.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-ami-store-restore.html and
https://docs.aws.amazon.com/securityhub/latest/userguide/s3-controls.html
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.amistore.aws.plugins.module_utils._aws import InputError
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    clean_bucket,
    clean_bucket_owner,
    clean_prefix,
    given,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import ARCHIVE_CLASSES

# A store is one multipart upload, and AWS sets no limit to how long it may take.
MIN_ABORT_DAYS = 7
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html
MIN_TRANSITION_DAYS = {"STANDARD_IA": 30, "ONEZONE_IA": 30}
MAX_BUCKET_TAGS = 50

_ACCOUNT = re.compile(r"[0-9]{12}")
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}")
_PRINCIPAL = re.compile(r"arn:(aws[a-z-]*):iam::([0-9]{12}):(?:role|user)/.+")
_KEY_NAME = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32}|alias/[\w/-]+"
)
_KEY_ARN = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:(?:key|alias)/.+")


@dataclass(frozen=True)
class Encryption:
    """The default encryption: `algorithm` AES256 or aws:kms, without a key AWS's own `aws/s3`."""

    algorithm: str
    kms_key_id: str | None = None


@dataclass(frozen=True)
class Lifecycle:
    """The lifecycle of what lies under `prefix`, in days; None means no rule for it."""

    abort_days: int = MIN_ABORT_DAYS
    noncurrent_days: int | None = None
    transition_days: int | None = None
    storage_class: str | None = None
    allow_archive: bool = False
    prefix: str = ""


@dataclass(frozen=True)
class Audience:
    """Who may use the bucket; empty means that the bucket's policy limits nobody."""

    accounts: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    """What members of other accounts are allowed to do: store, restore."""

    def __bool__(self) -> bool:
        return bool(self.accounts or self.organizations or self.principals)

    def has_others_than(self, account: str | None) -> bool:
        """Tell whether accounts other than this one are allowed, or could be."""
        named = {*self.accounts, *(principal.split(":")[4] for principal in self.principals)}
        return bool(self.organizations or named - {account})


@dataclass(frozen=True)
class AccessLogging:
    """Where S3 writes the access log."""

    bucket: str
    prefix: str


@dataclass(frozen=True)
class Baseline:
    """What the bucket is raised to. What is None or False is left as it is."""

    bucket: str
    expected_bucket_owner: str | None = None
    encryption: Encryption | None = None
    minimum_tls_version: str = "1.2"
    deny_customer_keys: bool = True
    versioning: bool = True
    object_lock: bool = False
    lifecycle: Lifecycle = Lifecycle()
    audience: Audience = Audience()
    logging: AccessLogging | None = None
    eventbridge: bool = True
    tags: t.Mapping[str, str] | None = None
    purge_tags: bool = False
    block_account_public_access: bool = False

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Baseline:
        """Return what the task asks for.

        :raises InputError: says which option or combination is refused, and why.
        """
        bucket = clean_bucket(params["bucket"])
        _check_grant(params)
        return cls(
            bucket=bucket,
            expected_bucket_owner=clean_bucket_owner(params["expected_bucket_owner"]),
            encryption=_encryption(params),
            minimum_tls_version=params["minimum_tls_version"],
            deny_customer_keys=params["deny_customer_keys"],
            versioning=_versioning(params),
            object_lock=params["object_lock"],
            lifecycle=_lifecycle(params),
            audience=_audience(params),
            logging=_logging(params, bucket),
            eventbridge=params["eventbridge"],
            tags=_tags(params["tags"]),
            purge_tags=params["purge_tags"],
            block_account_public_access=params["block_account_public_access"],
        )

    def check_place(self, partition: str, region: str) -> None:
        """Refuse ARNs of another partition or Region than the bucket's.

        :raises InputError: names the ARN.
        """
        key = self.encryption.kms_key_id if self.encryption else None
        match = _KEY_ARN.fullmatch(key or "")
        if match and match.group(1) != region:
            raise InputError(
                f"kms_key_id '{key}' is in Region {match.group(1)}, the bucket in {region}. S3"
                " encrypts with a key of the bucket's Region only; a multi-Region key has an ARN in"
                " each of its Regions."
            )
        for arn in (*self.audience.principals, *([key] if match else [])):
            if arn and arn.split(":")[1] != partition:
                raise InputError(
                    f"'{arn}' is of partition {arn.split(':')[1]}, the bucket of {partition}."
                    " Credentials and keys do not reach across partitions."
                )


def _encryption(params: t.Mapping[str, t.Any]) -> Encryption | None:
    algorithm, key = given(params["encryption"]), given(params["kms_key_id"])
    if key is None:
        return Encryption(algorithm) if algorithm else None
    if algorithm == "AES256":
        raise InputError(
            f"encryption AES256 uses no KMS key, yet kms_key_id is '{key}': use encryption"
            " aws:kms, or leave one of the two out."
        )
    if not (_KEY_ARN if key.startswith("arn:") else _KEY_NAME).fullmatch(key):
        raise InputError(
            f"kms_key_id '{key}' is not the ARN of a KMS key or alias, nor a key's id, nor 'alias/'"
            " and a name."
        )
    return Encryption("aws:kms", key)


def _versioning(params: t.Mapping[str, t.Any]) -> bool:
    if params["object_lock"] and not params["versioning"]:
        raise InputError("object_lock needs versioning: set versioning: true, or leave it out.")
    return bool(params["versioning"])


def _lifecycle(params: t.Mapping[str, t.Any]) -> Lifecycle:
    prefix = clean_prefix(params["prefix"])
    wanted = Lifecycle(
        abort_days=params["abort_incomplete_upload_days"],
        noncurrent_days=params["noncurrent_days"],
        transition_days=params["transition_days"],
        storage_class=given(params["transition_storage_class"]),
        allow_archive=params["allow_archive"],
        prefix=f"{prefix}/" if prefix else "",
    )
    if wanted.abort_days < MIN_ABORT_DAYS:
        raise InputError(
            f"abort_incomplete_upload_days {wanted.abort_days} is below {MIN_ABORT_DAYS}: AWS"
            " writes a stored AMI as one multipart upload, and this rule would cut off a store that"
            " takes longer."
        )
    if wanted.noncurrent_days is not None and wanted.noncurrent_days < 1:
        raise InputError(
            f"noncurrent_days {wanted.noncurrent_days} is not a number of days: give 1 or more, or"
            " leave it out to keep old versions for ever."
        )
    _check_transition(wanted)
    return wanted


def _check_transition(wanted: Lifecycle) -> None:
    storage_class, days = wanted.storage_class, wanted.transition_days
    if (storage_class is None) != (days is None):
        raise InputError(
            "transition_days and transition_storage_class go together: give both or neither."
        )
    if storage_class is None or days is None:
        return
    if storage_class in ARCHIVE_CLASSES and not wanted.allow_archive:
        raise InputError(
            f"transition_storage_class {storage_class}: CreateRestoreImageTask cannot read an"
            " archived object, S3 answers InvalidObjectState until it has been thawed, which takes"
            " hours. GLACIER_IR costs little and can be read at once. If a restore may wait for a"
            " thaw by hand, set allow_archive: true."
        )
    least = MIN_TRANSITION_DAYS.get(storage_class, 0)
    if days < least:
        raise InputError(
            f"transition_days {days}: S3 moves objects to {storage_class} after {least} days at the"
            " earliest."
        )


def _audience(params: t.Mapping[str, t.Any]) -> Audience:
    audience = Audience(
        accounts=_listed(params, "allowed_accounts", _ACCOUNT, "account ids, 12 digits in quotes"),
        organizations=_listed(
            params, "allowed_organizations", _ORGANIZATION, "organization ids such as o-a1b2c3d4e5"
        ),
        principals=_listed(
            params,
            "allowed_principals",
            _PRINCIPAL,
            "ARNs of IAM roles or users (of a role, not of its sessions; for a whole account use"
            " allowed_accounts)",
        ),
        grants=tuple(dict.fromkeys(params["grant"] or ())),
    )
    if audience.grants and not audience:
        raise InputError(
            "grant says what others may do, but nobody is allowed: name them in allowed_accounts,"
            " allowed_organizations or allowed_principals. The bucket is never opened to everybody."
        )
    return audience


def _check_grant(params: t.Mapping[str, t.Any]) -> None:
    """A prefix is plain text, but what a policy grants below it is a pattern."""
    prefix = given(params["prefix"]) or ""
    if params["grant"] and set(prefix) & set("*?$"):
        raise InputError(
            f"prefix {prefix!r} has a character that is a pattern in a policy, *, ? or $: grant"
            " would reach more than what lies under it. Use another prefix, or no grant."
        )


def _listed(
    params: t.Mapping[str, t.Any], option: str, pattern: re.Pattern[str], what: str
) -> tuple[str, ...]:
    values = tuple(dict.fromkeys(filter(None, map(given, params[option] or ()))))
    wrong = [value for value in values if not pattern.fullmatch(value)]
    if wrong:
        raise InputError(f"{option}: {', '.join(map(repr, wrong))} should be {what}.")
    return values


def _logging(params: t.Mapping[str, t.Any], bucket: str) -> AccessLogging | None:
    target = given(params["logging_bucket"])
    if target is None:
        return None
    target = clean_bucket(target)
    if target == bucket:
        raise InputError(
            f"logging_bucket is the bucket '{bucket}' itself: each log object would be logged in"
            " turn, without end. Name another bucket of the same account and Region."
        )
    prefix = params["logging_prefix"]
    return AccessLogging(target, f"{bucket}/" if prefix is None else str(prefix))


def _tags(tags: t.Mapping[t.Any, t.Any] | None) -> dict[str, str] | None:
    if tags is None:
        return None
    clean = {str(key): "" if value is None else str(value) for key, value in tags.items()}
    for key, value in tags.items():
        if isinstance(value, (dict, list)):
            raise InputError(f"tags: the value of {key!r} is {value!r}; a tag holds plain text.")
    if len(clean) > MAX_BUCKET_TAGS:
        raise InputError(f"tags: {len(clean)} given, a bucket takes at most {MAX_BUCKET_TAGS}.")
    for key, value in clean.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise InputError(
                f"tags: {key!r} is blank or longer than 128, or its value longer than 256"
                " characters."
            )
        if key.lower().startswith("aws:"):
            raise InputError(f"tags: {key!r} begins with 'aws:', which AWS reserves.")
    return clean
