# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every new bucket has on AWS, and moto's have not.

Default encryption since January 2023, no public access and no ACLs since April 2023:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/create-bucket-faq.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from moto.s3.exceptions import BucketAccessDeniedError
from moto.s3.models import FakeBucket, PublicAccessBlock, S3Backend
from moto.s3.utils import bucket_policy_is_public


def _default_encryption() -> dict[str, Any]:
    by_default = {"SSEAlgorithm": "AES256"}
    return {"Rule": {"ApplyServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": False}}


def _with_defaults(make: Callable[..., None]) -> Callable[..., None]:
    """FakeBucket.__init__ with the defaults of a new bucket."""

    @functools.wraps(make)
    def made(bucket: Any, *args: Any, **kwargs: Any) -> None:
        make(bucket, *args, **kwargs)
        bucket.encryption = _default_encryption()
        bucket.public_access_block = PublicAccessBlock(True, True, True, True)
        bucket.ownership_rule = "BucketOwnerEnforced"

    return made


def _reset_encryption(backend: S3Backend, bucket_name: str) -> None:
    """DeleteBucketEncryption brings the default back: no bucket is without encryption."""
    backend.get_bucket(bucket_name).encryption = _default_encryption()


def _checked(put: Callable[[Any, str, bytes], None]) -> Callable[[Any, str, bytes], None]:
    """PutBucketPolicy that keeps public policies out of a bucket that blocks them."""

    @functools.wraps(put)
    def checked(backend: Any, bucket_name: str, policy: bytes) -> None:
        block = backend.get_bucket(bucket_name).public_access_block
        if block and block.block_public_policy and bucket_policy_is_public(policy):
            raise BucketAccessDeniedError(bucket_name)
        put(backend, bucket_name, policy)

    return checked


REPLACEMENTS: tuple[tuple[object, str, object], ...] = (
    (FakeBucket, "__init__", _with_defaults(FakeBucket.__init__)),
    (S3Backend, "delete_bucket_encryption", _reset_encryption),
    (S3Backend, "put_bucket_policy", _checked(S3Backend.put_bucket_policy)),
)
