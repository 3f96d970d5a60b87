# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sums that a proof is made of, against those that S3 documents."""

from __future__ import annotations

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import (
    composite_sha256,
    etag_of,
    is_multipart,
    md5_of,
    parts_in_etag,
    same_checksum,
    sha256_of,
)
from tests.unit.s3_in_memory import StoredThing, composite


@pytest.mark.parametrize(
    ("etag", "parts"),
    [
        ("d41d8cd98f00b204e9800998ecf8427e", 1),
        ("d41d8cd98f00b204e9800998ecf8427e-1", 1),
        ("d41d8cd98f00b204e9800998ecf8427e-177", 177),
        ("d41d8cd98f00b204e9800998ecf8427e-0", 0),
        ("D41D8CD98F00B204E9800998ECF8427E", 0),
        ("d41d8cd98f00b204", 0),
        ("", 0),
    ],
)
def test_parts_in_etag(etag: str, parts: int) -> None:
    assert parts_in_etag(etag) == parts


def test_etag_of_a_plain_upload_is_its_md5() -> None:
    assert etag_of([md5_of(b"abc")], multipart=False) == "900150983cd24fb0d6963f7d28e17f72"


def test_etag_of_several_sums_is_no_plain_one() -> None:
    assert etag_of([md5_of(b"a"), md5_of(b"b")], multipart=False) == ""


def test_etag_of_parts() -> None:
    thing = StoredThing.in_parts(b"0123456789", 4)
    sums = [md5_of(b"0123"), md5_of(b"4567"), md5_of(b"89")]
    assert etag_of(sums, multipart=True) == thing.etag
    assert is_multipart(thing.etag)


def test_composite_is_the_one_of_s3() -> None:
    checksums = [sha256_of(b"one"), sha256_of(b"two")]
    assert composite_sha256(checksums) == composite(checksums)


def test_no_composite_while_a_part_is_unknown() -> None:
    assert composite_sha256([sha256_of(b"one"), None]) is None


def test_a_checksum_may_come_without_the_number_of_parts() -> None:
    assert same_checksum("abc=-2", "abc=")
    assert same_checksum("abc=-2", "abc=-2")
    assert not same_checksum("abc=-2", "abd=-2")
    assert not same_checksum(None, None)
    assert not same_checksum("abc=-2", None)
