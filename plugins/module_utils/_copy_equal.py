# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether two objects are equal, as far as S3's own sums of them tell; and the sums of a whole
object, from those of its parts.
"""

from __future__ import annotations

from ansible_collections.amistore.aws.plugins.module_utils._copy_objects import Seen
from ansible_collections.amistore.aws.plugins.module_utils._copy_proof import (
    Proof,
    SentPart,
    composite_sha256,
    etag_of,
    is_multipart,
    parts_in_etag,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_uploads import Upload


def are_equal(source: Seen, copy: Seen) -> bool:
    """Tell whether S3's own sums of two objects prove them equal."""
    if source.size != copy.size:
        return False
    return _have_equal_etags(source, copy) or (bool(source.sha256) and source.sha256 == copy.sha256)


def proof_of_equals(source: Seen, copy: Seen) -> Proof:
    """Return which of S3's own sums of two objects prove them equal."""
    return Proof("etag", "etag") if _have_equal_etags(source, copy) else Proof("sha256", "sha256")


def _have_equal_etags(source: Seen, copy: Seen) -> bool:
    return source.has_own_md5 and copy.has_own_md5 and source.etag == copy.etag


def surely_differ(source: Seen, copy: Seen) -> bool:
    """Tell whether S3's own sums of two objects prove them different; with sums of parts, the
    parts may be what differs.
    """
    etags = [
        seen.etag for seen in (source, copy) if seen.has_own_md5 and not is_multipart(seen.etag)
    ]
    sums = [seen.sha256 for seen in (source, copy) if seen.sha256 and "-" not in seen.sha256]
    return any(len(told) == 2 and told[0] != told[1] for told in (etags, sums))


def etag_of_upload(upload: Upload) -> str:
    """Return the ETag that the object has if it was made of these parts, "" where that is not
    known.
    """
    etags = [part.etag for part in upload.in_order]
    if any(parts_in_etag(etag) != 1 for etag in etags):
        return ""
    return etag_of([bytes.fromhex(etag) for etag in etags], multipart=True)


def checksum_of_upload(upload: Upload) -> str | None:
    """Return S3's checksum of the object that is made of these parts; None while one of theirs is
    unknown.
    """
    return composite_sha256([part.sha256 for part in upload.in_order])


def md5s_of_part(part: SentPart) -> tuple[bytes, ...]:
    """Return the MD5 sums of the source's own parts within this one, from its ETag where it is one
    of them itself.
    """
    return part.md5s or (bytes.fromhex(part.etag),)
