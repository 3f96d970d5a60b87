# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What EC2 does in S3, EBS and KMS behind a store or a restore, with the caller's own rights.

That it does so through forward access sessions is inferred from AWS's example policy:
https://docs.aws.amazon.com/IAM/latest/UserGuide/access_forward_access_sessions.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from . import choices, objects
from .access import Access, Context, context_of, principal_of
from .callers import Caller
from .ec2_targets import Target, existing, new
from .encryption import KeyUse, default_key, key_of, key_use
from .wire import Request

_OWN_HEADERS = ("s3:x-amz-acl", "s3:x-amz-server-side-encryption", "s3:x-amz-storage-class")
_VIA_EC2: Context = {"aws:ViaAWSService": "true", "aws:CalledVia": ("ec2.amazonaws.com",)}
_TLS: Context = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
_GRANTS = {"kms:GrantIsForAWSResource": "true"}


class ForwardAccess:
    """Each method answers the first right that the caller lacks, None when it has them all."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def for_store(
        self, request: Request, caller: Caller, bucket: str, key: str, tagged: bool
    ) -> str | None:
        """Writing the object, with its tags, into a bucket that exists."""
        context = _forwarded(request, caller)
        rights = (*choices.STORE_OBJECT_RIGHTS, *(["s3:PutObjectTagging"] if tagged else []))
        found: Any = objects.find_bucket(bucket)
        keys = key_use(default_key(found), found.region_name, "s3", choices.STORE_BUCKET_KEY_RIGHTS)
        return self._missing_in_s3(caller, context, bucket, key, rights, keys)

    def for_restore(self, request: Request, caller: Caller, bucket: str, key: str) -> str | None:
        """Reading the object."""
        found: Any = objects.find_bucket(bucket)
        used = key_of(objects.find_object(bucket, key))
        keys = key_use(used, found.region_name, "s3", choices.RESTORE_BUCKET_KEY_RIGHTS)
        context = _forwarded(request, caller)
        return self._missing_in_s3(
            caller, context, bucket, key, choices.RESTORE_OBJECT_RIGHTS, keys
        )

    def _missing_in_s3(
        self,
        caller: Caller,
        context: Context,
        bucket: str,
        key: str,
        rights: Sequence[str],
        keys: Iterable[KeyUse],
    ) -> str | None:
        for action in rights:
            if not self._access.s3_allowed(caller, action, bucket, key, context):
                return action
        return self._missing_keys(caller, keys, context)

    def for_reading_tags(self, caller: Caller, region: str) -> str | None:
        """Reading tags, on the way into the object and out of it."""
        context = {**_later(caller, region), "ec2:Region": region}
        return self._missing(caller, choices.TAG_RIGHTS, [Target()], context)

    def for_reading_snapshots(
        self, caller: Caller, backend: Any, snapshot_ids: Sequence[str]
    ) -> str | None:
        """Reading the blocks of snapshots, decrypted, which goes on during the whole store."""
        if self._access.trusts(caller):
            return None
        region = backend.region_name
        context = _later(caller, region)
        snapshots = [existing(backend, snapshot_id) for snapshot_id in snapshot_ids]
        used = {backend.snapshots[snapshot_id].kms_key_id for snapshot_id in snapshot_ids}
        keys = [
            use
            for key in used
            for use in key_use(
                key, region, choices.SNAPSHOT_KEY_SERVICE, choices.STORE_SNAPSHOT_KEY_RIGHTS
            )
        ]
        return self._missing(
            caller, choices.STORE_SNAPSHOT_RIGHTS, snapshots, context
        ) or self._missing_keys(caller, keys, context)

    def for_new_snapshots(self, caller: Caller, backend: Any, key: str | None) -> str | None:
        """Starting the snapshots of a restored AMI, encrypted with the default key if it is on."""
        region = backend.region_name
        context = _later(caller, region)
        rights = choices.RESTORE_FIRST_SNAPSHOT_RIGHTS
        keys = key_use(
            key, region, choices.SNAPSHOT_KEY_SERVICE, choices.RESTORE_SNAPSHOT_KEY_RIGHTS
        )
        return self._missing(
            caller, rights, [new(backend, "snapshot", {})], context
        ) or self._missing_keys(caller, keys, context)

    def for_filling_snapshots(
        self, caller: Caller, backend: Any, snapshot_ids: Sequence[str]
    ) -> str | None:
        """Writing the blocks of a restored AMI's snapshots."""
        snapshots = [existing(backend, i) for i in snapshot_ids if i in backend.snapshots]
        context = _later(caller, backend.region_name)
        return self._missing(caller, choices.RESTORE_LATER_SNAPSHOT_RIGHTS, snapshots, context)

    def _missing(
        self, caller: Caller, actions: Sequence[str], targets: Sequence[Target], context: Context
    ) -> str | None:
        for action in actions:
            for target in targets:
                whole = {**context, **target.context}
                if not self._access.may(caller, action, target.arn, whole):
                    return action
        return None

    def _missing_keys(self, caller: Caller, keys: Iterable[KeyUse], context: Context) -> str | None:
        for use in keys:
            for action in use.actions:
                grants = _GRANTS if action == "kms:CreateGrant" else {}
                single = KeyUse(use.key, [action], {**use.context, **grants})
                if self._access.missing_of_key(caller, single, context):
                    return action
        return None


def _forwarded(request: Request, caller: Caller) -> Context:
    """The circumstances of a call that EC2 makes while it answers the caller's request."""
    own = context_of(request, caller)
    kept = {name: value for name, value in own.items() if name not in _OWN_HEADERS}
    return {**kept, **_TLS, **_VIA_EC2}


def _later(caller: Caller, region: str) -> Context:
    """The circumstances of a call that EC2 makes after it has answered."""
    return {**principal_of(caller, region), **_TLS, **_VIA_EC2}
