# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each policy allows and why: one entry for each action, with what its absence does.

docs/permissions.md shows the same to the user, and a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a run without the action does."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    BY_AWS = "by AWS"
    """AWS does it in the caller's name behind a call; without it, that call fails."""


class Certainty(Enum):
    """How sure it is that the action is needed."""

    CERTAIN = "certain"
    """The module calls an operation whose action AWS documents, or AWS lists it as needed."""
    ASSUMED = "assumed"
    """In an example of AWS's that serves several purposes, but not said to be needed here."""


@dataclass(frozen=True)
class Need:
    policy: str
    action: str
    kind: Kind
    certainty: Certainty = Certainty.CERTAIN


_REQUIRED, _OPTIONAL, _BY_AWS = Kind.REQUIRED, Kind.OPTIONAL, Kind.BY_AWS
_ASSUMED = Certainty.ASSUMED

NEEDS = (
    Need("store", "ec2:CreateStoreImageTask", _REQUIRED),
    Need("store", "ec2:DescribeImages", _REQUIRED),
    Need("store", "ec2:DescribeSnapshots", _REQUIRED),
    Need("store", "ec2:DescribeStoreImageTasks", _REQUIRED),
    Need("store", "s3:ListBucket", _REQUIRED),
    Need("store", "s3:GetObject", _REQUIRED),
    Need("store", "s3:PutObject", _REQUIRED),
    Need("store", "s3:GetObjectTagging", _REQUIRED),
    Need("store", "s3:PutObjectTagging", _REQUIRED),
    Need("store", "s3:DeleteObjectTagging", _REQUIRED),
    Need("store", "ec2:DescribeImageAttribute", _OPTIONAL),
    Need("store", "ebs:GetSnapshotBlock", _BY_AWS),
    Need("store", "ebs:ListSnapshotBlocks", _BY_AWS),
    Need("store", "s3:AbortMultipartUpload", _BY_AWS, _ASSUMED),
    Need("store", "ec2:DescribeTags", _BY_AWS, _ASSUMED),
    Need("store", "kms:GenerateDataKey", _BY_AWS),
    Need("store", "kms:Decrypt", _BY_AWS),
    Need("store", "kms:DescribeKey", _BY_AWS, _ASSUMED),
    Need("restore", "ec2:CreateRestoreImageTask", _REQUIRED),
    Need("restore", "ec2:CreateTags", _REQUIRED),
    Need("restore", "ec2:DeleteTags", _REQUIRED),
    Need("restore", "ec2:DeregisterImage", _REQUIRED),
    Need("restore", "ec2:DescribeImages", _REQUIRED),
    Need("restore", "ec2:DescribeSnapshots", _REQUIRED),
    Need("restore", "ec2:DescribeStoreImageTasks", _REQUIRED),
    Need("restore", "ec2:GetEbsEncryptionByDefault", _REQUIRED),
    Need("restore", "s3:GetObject", _REQUIRED),
    Need("restore", "s3:GetObjectTagging", _REQUIRED),
    Need("restore", "s3:ListBucket", _REQUIRED),
    Need("restore", "ec2:DescribeImageAttribute", _REQUIRED),
    Need("restore", "ec2:ModifyImageAttribute", _REQUIRED),
    Need("restore", "s3:PutObject", _REQUIRED),
    Need("restore", "ec2:DeleteSnapshot", _OPTIONAL),
    Need("restore", "ebs:StartSnapshot", _BY_AWS),
    Need("restore", "ebs:PutSnapshotBlock", _BY_AWS),
    Need("restore", "ebs:CompleteSnapshot", _BY_AWS),
    Need("restore", "ec2:DescribeTags", _BY_AWS, _ASSUMED),
    Need("restore", "kms:Decrypt", _BY_AWS),
    Need("restore", "kms:CreateGrant", _BY_AWS),
    Need("restore", "kms:DescribeKey", _BY_AWS),
    Need("restore", "kms:Encrypt", _BY_AWS, _ASSUMED),
    Need("restore", "kms:GenerateDataKey", _BY_AWS),
    Need("restore", "kms:GenerateDataKeyWithoutPlaintext", _BY_AWS),
    Need("restore", "kms:ReEncryptFrom", _BY_AWS, _ASSUMED),
    Need("restore", "kms:ReEncryptTo", _BY_AWS, _ASSUMED),
    Need("cleanup", "ec2:DescribeImages", _REQUIRED),
    Need("cleanup", "ec2:DescribeSnapshots", _REQUIRED),
    Need("cleanup", "ec2:DescribeStoreImageTasks", _REQUIRED),
    Need("cleanup", "ec2:DescribeImageAttribute", _REQUIRED),
    Need("cleanup", "ec2:DeregisterImage", _REQUIRED),
    Need("cleanup", "ec2:DeleteSnapshot", _REQUIRED),
    Need("cleanup", "s3:DeleteObject", _REQUIRED),
    Need("cleanup", "s3:GetObject", _REQUIRED),
    Need("cleanup", "s3:ListBucket", _REQUIRED),
    Need("cleanup", "s3:GetBucketVersioning", _OPTIONAL),
    Need("cleanup", "kms:Decrypt", _BY_AWS),
    Need("copy_source", "s3:ListBucket", _REQUIRED),
    Need("copy_source", "s3:GetObject", _REQUIRED),
    Need("copy_source", "s3:GetObjectTagging", _REQUIRED),
    Need("copy_source", "kms:Decrypt", _BY_AWS),
    Need("copy_destination", "s3:ListBucket", _REQUIRED),
    Need("copy_destination", "s3:ListBucketMultipartUploads", _REQUIRED),
    Need("copy_destination", "s3:GetObject", _REQUIRED),
    Need("copy_destination", "s3:PutObject", _REQUIRED),
    Need("copy_destination", "s3:GetObjectTagging", _REQUIRED),
    Need("copy_destination", "s3:PutObjectTagging", _REQUIRED),
    Need("copy_destination", "s3:ListMultipartUploadParts", _REQUIRED),
    Need("copy_destination", "s3:AbortMultipartUpload", _OPTIONAL),
    Need("copy_destination", "kms:GenerateDataKey", _BY_AWS),
    Need("copy_destination", "kms:Decrypt", _BY_AWS),
    Need("usage", "ec2:DescribeImages", _REQUIRED),
    Need("usage", "ec2:DescribeImageAttribute", _OPTIONAL),
    Need("usage", "ec2:DescribeImageReferences", _OPTIONAL),
    Need("usage", "ec2:DescribeInstances", _OPTIONAL),
    Need("usage", "ec2:DescribeLaunchTemplates", _OPTIONAL),
    Need("usage", "ec2:DescribeLaunchTemplateVersions", _OPTIONAL),
    Need("usage", "ec2:DescribeSnapshots", _OPTIONAL),
    Need("usage", "ec2:GetImageAncestry", _OPTIONAL),
    Need("usage", "imagebuilder:GetContainerRecipe", _OPTIONAL),
    Need("usage", "imagebuilder:ListContainerRecipes", _OPTIONAL),
    Need("usage", "imagebuilder:ListImageRecipes", _OPTIONAL),
    Need("usage", "s3:ListBucket", _OPTIONAL),
    Need("usage", "ssm:DescribeParameters", _OPTIONAL),
    Need("usage", "ssm:GetParameters", _OPTIONAL),
    Need("archive", "ec2:DescribeImages", _REQUIRED),
    Need("archive", "ec2:DescribeSnapshots", _REQUIRED),
    Need("archive", "ec2:CreateTags", _REQUIRED),
    Need("archive", "ec2:EnableImageDeprecation", _REQUIRED),
    Need("archive", "ec2:DisableImage", _REQUIRED),
    Need("archive", "ec2:EnableImage", _REQUIRED),
    Need("archive", "ec2:DisableImageDeprecation", _REQUIRED),
    Need("archive", "ec2:DisableImageDeregistrationProtection", _REQUIRED),
    Need("archive", "ec2:DeregisterImage", _REQUIRED),
    Need("archive", "ec2:DeleteSnapshot", _REQUIRED),
    Need("archive", "ec2:DescribeImageAttribute", _OPTIONAL),
    Need("archive", "ec2:DescribeImageReferences", _OPTIONAL),
    Need("archive", "ec2:DescribeInstances", _OPTIONAL),
    Need("archive", "ec2:DescribeLaunchTemplates", _OPTIONAL),
    Need("archive", "ec2:DescribeLaunchTemplateVersions", _OPTIONAL),
    Need("archive", "ssm:DescribeParameters", _OPTIONAL),
    Need("archive", "ssm:GetParameters", _OPTIONAL),
    Need("archive", "imagebuilder:ListImageRecipes", _OPTIONAL),
    Need("archive", "imagebuilder:ListContainerRecipes", _OPTIONAL),
    Need("archive", "imagebuilder:GetContainerRecipe", _OPTIONAL),
    Need("archive", "s3:ListBucket", _OPTIONAL),
    Need("archive", "s3:GetObject", _OPTIONAL),
    Need("archive", "kms:Decrypt", _OPTIONAL),
)
