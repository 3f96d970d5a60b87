# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits and texts that AWS documents or that were seen in real answers, each with its source."""

from __future__ import annotations

from typing import Final, NamedTuple

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-store-restore.html
MAX_STORABLE_GIB: Final = 5000
STORE_IN_FLIGHT_GIB: Final = 1200
RESTORE_IN_FLIGHT_GIB: Final = 600

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeStoreImageTasks.html
TASK_HISTORY_SECONDS: Final = 31 * 24 * 3600
MAX_TASK_IMAGE_IDS: Final = 20
MAX_TASK_RESULTS: Final = 200

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateRestoreImageTask.html
MIN_NAME_LENGTH: Final = 3
MAX_NAME_LENGTH: Final = 128

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
MAX_OBJECT_TAGS: Final = 10
MAX_OBJECT_TAG_KEY: Final = 128
MAX_OBJECT_TAG_VALUE: Final = 256

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
MAX_RESOURCE_TAGS: Final = 50
MAX_RESOURCE_TAG_KEY: Final = 127
MAX_RESOURCE_TAG_VALUE: Final = 256

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Filter.html
MAX_FILTER_VALUES: Final = 200

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Image.html
LAUNCH_REPORT_DELAY_SECONDS: Final = 24 * 3600
# April 2017: launches before that are not told.
LAUNCHES_TOLD_SINCE: Final = 1_491_004_800

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImageReferences.html
MAX_REFERENCED_IMAGES: Final = 10
TEMPLATE_VERSIONS: Final = 10
MAX_TEMPLATE_VERSIONS: Final = 10_000
INSTANCE_STATES: Final = (
    "pending",
    "running",
    "shutting-down",
    "terminated",
    "stopping",
    "stopped",
)
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html
REFERENCE_RIGHTS: Final = {
    "ec2:Instance": ("ec2:DescribeInstances",),
    "ec2:LaunchTemplate": ("ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions"),
    "ssm:Parameter": ("ssm:DescribeParameters", "ssm:GetParameters"),
    "imagebuilder:ImageRecipe": ("imagebuilder:ListImageRecipes",),
    "imagebuilder:ContainerRecipe": (
        "imagebuilder:ListContainerRecipes",
        "imagebuilder:GetContainerRecipe",
    ),
}

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeprecation.html
MAX_DEPRECATION_SECONDS: Final = 10 * 365 * 24 * 3600
MAX_PUBLIC_DEPRECATION_SECONDS: Final = 2 * 365 * 24 * 3600
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeregistrationProtection.html
PROTECTION_COOLDOWN_SECONDS: Final = 24 * 3600

# Seen in the error handling of public programs that call CreateStoreImageTask.
STORE_IN_PROGRESS: Final = (
    "A CreateStoreImageTask is already in progress for the AMI. "
    "You can't run multiple concurrent store image requests for the same AMI."
)
COPY_IN_BUCKET: Final = (
    "The AMI already exists in the bucket. "
    "You can't create multiple copies of an AMI in the same S3 bucket."
)


class Rate(NamedTuple):
    """A token bucket: how many requests at once, how many more each second."""

    bucket: float
    refill: float


# https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
ACTION_RATES: Final = {
    "CreateStoreImageTask": Rate(50, 0.1),
    "CreateRestoreImageTask": Rate(50, 0.1),
    "DescribeStoreImageTasks": Rate(50, 0.5),
    "CopyImage": Rate(100, 1),
}
READ_RATE: Final = Rate(100, 20)
MUTATE_RATE: Final = Rate(50, 5)


def default_rate(action: str) -> Rate:
    """The request rate that EC2 grants an account in a Region for this action."""
    reads = action.startswith(("Describe", "Get", "List"))
    return ACTION_RATES.get(action, READ_RATE if reads else MUTATE_RATE)
