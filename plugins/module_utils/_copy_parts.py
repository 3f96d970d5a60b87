# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where an object is cut into parts: the same object gives the same parts in every run."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.amistore.aws.plugins.module_utils._aws import InputError

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MIB = 1024 * 1024
SMALLEST_PART = 5 * MIB
LARGEST_PART = 5 * 1024 * MIB
LARGEST_COPY_OBJECT = 5 * 1024 * MIB

# Two numbers are never made part of an object: one carries the mark of an unfinished copy, the
# other tries out whether the server looks at checksums, see _copy_uploads. S3 takes 10,000 as well,
# but SeaweedFS sorts parts by names of four digits.
MARK_PART_NUMBER = 9_999
TRIAL_PART_NUMBER = MARK_PART_NUMBER - 1
MOST_PARTS = TRIAL_PART_NUMBER - 1
LARGEST_OBJECT = 5 * 1024 * 1024 * MIB
# What `aws s3 cp` and CreateStoreImageTask send.
DEFAULT_PART = 8 * MIB
# A source in larger parts is not followed: each part is held in memory, and a few large ones
# leave nothing to do side by side.
LARGEST_FOLLOWED = 64 * MIB
LARGEST_SINGLE = 16 * MIB


@dataclass(frozen=True)
class Part:
    """A stretch of an object, in bytes; numbered from 1."""

    number: int
    offset: int
    size: int

    @property
    def range(self) -> str:
        """The value of a Range header."""
        return f"bytes={self.offset}-{self.offset + self.size - 1}"


@dataclass(frozen=True)
class Layout:
    """How an object is cut; sizes in bytes."""

    size: int
    part_size: int
    source_part_size: int | None = None
    """The size of the parts that the source was uploaded in, where it is known."""

    @property
    def count(self) -> int:
        return -(-self.size // self.part_size)

    @property
    def parts(self) -> list[Part]:
        step = self.part_size
        return [
            Part(number, offset, min(step, self.size - offset))
            for number, offset in enumerate(range(0, self.size, step), start=1)
        ]

    @property
    def follows_source(self) -> bool:
        """Whether every part is made of whole parts of the source, so that their MD5 sums can be
        had from the parts.
        """
        return bool(self.source_part_size) and self.part_size % (self.source_part_size or 1) == 0

    @property
    def equals_source(self) -> bool:
        return self.part_size == self.source_part_size


def lay_out(size: int, source_part_size: int | None = None, wanted: int | None = None) -> Layout:
    """Return the layout of an object.

    The smallest whole multiple of the source's own parts that is at least as large as asked for,
    so that the source's ETag can be checked; without known parts, what is asked for. Grown as far
    as it takes to stay within the number of parts.

    :param wanted: the part size that the user asks for, in bytes.
    :raises InputError: for an object or a part that S3 takes in no way.
    """
    if size > LARGEST_OBJECT:
        raise InputError(
            f"the object has {size} bytes; objects of up to {LARGEST_OBJECT} (5 TiB) are copied"
        )
    least = max(SMALLEST_PART, -(-size // MOST_PARTS))
    part_size = _multiple(MIB, max(least, wanted or DEFAULT_PART))
    most = LARGEST_SINGLE if source_part_size == size else LARGEST_FOLLOWED
    if source_part_size and source_part_size <= max(most, wanted or 0):
        followed = _multiple(source_part_size, max(least, wanted or 0))
        part_size = followed if followed <= LARGEST_PART else part_size
    if part_size > LARGEST_PART:
        raise InputError(f"a part of {part_size} bytes is above the largest (5 GiB)")
    return Layout(size, part_size, source_part_size)


def _multiple(step: int, least: int) -> int:
    return -(-least // step) * step
