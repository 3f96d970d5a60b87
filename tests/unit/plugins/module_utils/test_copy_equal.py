# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What S3's own sums of two objects tell, and the sums of an object from those of its parts."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._copy_equal import (
    are_equal,
    checksum_of_upload,
    etag_of_upload,
    md5s_of_part,
    surely_differ,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import Seen
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import (
    SentPart,
    md5_of,
    sha256_of,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_uploads import Upload
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import StoredObject
from tests.unit.s3_in_memory import StoredThing, composite

ONE, OTHER = md5_of(b"one").hex(), md5_of(b"other").hex()
KMS = {"server_side_encryption": "aws:kms"}


def seen(etag: str, sha256: str | None = None, size: int = 3, **facts: Any) -> Seen:
    return Seen(StoredObject("key", size, etag, **facts), sha256=sha256)


@pytest.mark.parametrize(
    ("source", "copy", "equal"),
    [
        (seen(ONE), seen(ONE), True),
        (seen(ONE), seen(OTHER), False),
        (seen(f"{ONE}-2"), seen(f"{ONE}-2"), True),
        (seen(ONE), seen(ONE, size=4), False),
        (seen(ONE, "sum", size=3), seen(ONE, "sum", size=4), False),
        # The ETag of what KMS encrypts says nothing about the content.
        (seen(ONE, encryption=KMS), seen(ONE, encryption=KMS), False),
        (seen(ONE, encryption=KMS), seen(ONE), False),
        (seen(ONE), seen(ONE, encryption=KMS), False),
        (seen(ONE, customer_key=True), seen(ONE, customer_key=True), False),
        (seen(ONE, "sum"), seen(OTHER, "sum"), True),
        (seen(ONE, "sum"), seen(OTHER, "another"), False),
        (seen(ONE, "sum"), seen(OTHER), False),
    ],
)
def test_are_equal(source: Seen, copy: Seen, equal: bool) -> None:
    assert are_equal(source, copy) is equal


@pytest.mark.parametrize(
    ("source", "copy", "differ"),
    [
        (seen(ONE), seen(OTHER), True),
        (seen(ONE), seen(ONE), False),
        (seen(ONE), seen(f"{OTHER}-1"), False),
        (seen(f"{ONE}-2"), seen(f"{OTHER}-3"), False),
        (seen(ONE), seen(OTHER, encryption=KMS), False),
        (seen(f"{ONE}-2", "sum"), seen(f"{OTHER}-3", "another"), True),
        (seen(f"{ONE}-2", "sum-2"), seen(f"{OTHER}-3", "another-3"), False),
        (seen(f"{ONE}-2", "sum-2"), seen(f"{OTHER}-3", "another"), False),
        (seen(f"{ONE}-2", "sum"), seen(f"{OTHER}-3"), False),
    ],
)
def test_surely_differ(source: Seen, copy: Seen, differ: bool) -> None:
    assert surely_differ(source, copy) is differ


def upload_of(*contents: bytes) -> Upload:
    """Return an upload whose parts were acknowledged last part first."""
    parts = {
        number: SentPart(number, len(content), md5_of(content).hex(), sha256_of(content))
        for number, content in reversed(list(enumerate(contents, start=1)))
    }
    return Upload("upload", parts)


def test_the_etag_of_an_upload_is_that_of_its_parts_in_their_order() -> None:
    assert etag_of_upload(upload_of(b"ab", b"c")) == StoredThing.in_parts(b"abc", 2).etag


def test_etags_that_are_no_md5_sums_give_none() -> None:
    upload = upload_of(b"ab", b"c")
    upload.parts[2] = SentPart(2, 1, "opaque")
    assert etag_of_upload(upload) == ""


def test_the_checksum_of_an_upload_is_that_of_its_parts_in_their_order() -> None:
    sums = [sha256_of(b"ab"), sha256_of(b"c")]
    assert checksum_of_upload(upload_of(b"ab", b"c")) == composite(sums)


def test_an_unknown_checksum_of_a_part_leaves_that_of_the_object_unknown() -> None:
    upload = upload_of(b"ab", b"c")
    upload.parts[1] = SentPart(1, 2, ONE)
    assert checksum_of_upload(upload) is None


def test_the_md5_sums_of_a_part_are_our_own_where_they_were_made() -> None:
    own = (md5_of(b"a"), md5_of(b"b"))
    assert md5s_of_part(SentPart(1, 2, ONE, md5s=own)) == own
    assert md5s_of_part(SentPart(1, 2, ONE)) == (bytes.fromhex(ONE),)
