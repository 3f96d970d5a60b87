# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS does not document and nobody reported: one named choice for each.

Nothing may be built on these values. They exist so that a caller meets some answer of the
right kind, and so that a later observation on a real account is one line to change.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Refusal(NamedTuple):
    """An error code and the sentence that goes with it."""

    code: str
    message: str


# [U] The code of a task above the in-flight limit. It is not in EC2's list of error codes.
IN_FLIGHT_FULL: Final = Refusal(
    "ResourceLimitExceeded",
    "The total size of the tasks in progress has reached the limit of {limit} GiB.",
)
# [U] Whether the limit holds per account or per account and Region; the guide says "per account".
IN_FLIGHT_PER_REGION: Final = False

# [U] The codes for a bucket that is missing, elsewhere, or not open to the caller.
BUCKET_MISSING: Final = Refusal(
    "InvalidParameterValue", "The specified bucket does not exist: {bucket}"
)
BUCKET_ELSEWHERE: Final = Refusal(
    "InvalidParameter", "The bucket {bucket} is in {region}. It must be in the request's Region."
)
BUCKET_NAME_BAD: Final = Refusal("InvalidParameterValue", "Invalid bucket name: {bucket}")
BUCKET_CLOSED: Final = Refusal("AccessDenied", "Access to the S3 bucket was denied: {action}")

# [U] The code for a right in EBS, KMS or EC2 that EC2 needs in the caller's name.
RIGHT_MISSING: Final = Refusal("AccessDenied", "You are not authorized to perform: {action}")

# [U] The codes for an object that cannot be restored from.
OBJECT_MISSING: Final = Refusal(
    "InvalidParameterValue", "The specified object does not exist: {key}"
)
OBJECT_ARCHIVED: Final = Refusal(
    "InvalidRequest", "The object's storage class does not allow it to be read: {key}"
)
OBJECT_UNREADABLE: Final = Refusal(
    "InvalidRequest", "The object does not contain a stored AMI: {key}"
)

# [U] The codes for AMIs that the limitations page excludes.
IMAGE_NOT_EBS: Final = Refusal(
    "InvalidRequest", "The AMI must be EBS-backed: {image_id} is backed by {root_device_type}."
)
IMAGE_PARAVIRTUAL: Final = Refusal(
    "InvalidRequest", "AMIs of virtualization type paravirtual can't be stored: {image_id}"
)
IMAGE_TOO_BIG: Final = Refusal(
    "InvalidRequest", "The AMI {image_id} is larger than 5,000 GB before compression."
)
IMAGE_NOT_SHARED: Final = Refusal(
    "AuthFailure", "The AMI {image_id} is not owned by or shared directly with this account."
)
IMAGE_NOT_READY: Final = Refusal(
    "InvalidAMIID.Unavailable", "The image ID '{image_id}' is in state {state}."
)

# [U] The code for an AMI that is protected from being deregistered.
IMAGE_PROTECTED: Final = Refusal(
    "OperationNotPermitted", "The AMI {image_id} is protected from being deregistered."
)

# [U] No sample of a store task's failure reason is known.
REASON_SNAPSHOT_GONE: Final = "Snapshot {snapshot_id} is no longer available."
REASON_BUCKET_CLOSED: Final = "Access to the S3 bucket was denied."
REASON_BUCKET_GONE: Final = "The specified bucket does not exist."
REASON_RIGHT_MISSING: Final = "Client is not authorized to perform {action}."

# [U] The code inside StateReason of an AMI whose restore failed.
RESTORE_FAILED_CODE: Final = "Client.InternalError"

# [U] How many records one page holds when MaxResults is not given.
TASK_PAGE: Final = 200

# [U] Whether an unknown AMI id fails DescribeStoreImageTasks or gives an empty list.
# The scenario key `unknown_task_image_is_error` switches it.
UNKNOWN_TASK_IMAGE_IS_ERROR: Final = False

# [U] Whether a delete marker over the key still counts as a copy in the bucket.
# The scenario key `delete_marker_blocks_store` switches it.
DELETE_MARKER_BLOCKS_STORE: Final = False

# [U] Whether a tag inside the stored AMI wins over the same key in TagSpecifications.
# The scenario key `blob_tags_win` switches it.
BLOB_TAGS_WIN: Final = False

# [U] Whether a part may bring a checksum when the upload was created without one. It was refused
# once, as reported; since SDKs send CRC32 by themselves it can hardly be.
UNAGREED_PART_CHECKSUM_IS_ERROR: Final = False

# [U] How small the compressed object is. Only its order of magnitude is meant to be believable.
COMPRESSED_SHARE: Final = 0.35
# Seen once: 1,483,486,006 bytes with an ETag that ends in -177, which is 8 MiB a part.
PART_BYTES: Final = 8 * 1024 * 1024

# [U] Which rights EC2 needs in the caller's name. AWS's example policy for store and restore lists
# these, and more that observed working policies do without (EBS's ListChangedBlocks and, for a
# store, s3:DeleteObject). Each of them is asked for here, so that none can be left out by mistake:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-ami-store-restore.html
TAG_RIGHTS: Final = ("ec2:DescribeTags",)
STORE_OBJECT_RIGHTS: Final = ("s3:PutObject", "s3:AbortMultipartUpload")
STORE_SNAPSHOT_RIGHTS: Final = ("ebs:ListSnapshotBlocks", "ebs:GetSnapshotBlock")
RESTORE_OBJECT_RIGHTS: Final = ("s3:GetObject",)
RESTORE_FIRST_SNAPSHOT_RIGHTS: Final = ("ebs:StartSnapshot",)
RESTORE_LATER_SNAPSHOT_RIGHTS: Final = ("ebs:PutSnapshotBlock", "ebs:CompleteSnapshot")
# A multipart upload under a KMS key needs both:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html
STORE_BUCKET_KEY_RIGHTS: Final = ("kms:GenerateDataKey", "kms:Decrypt")
RESTORE_BUCKET_KEY_RIGHTS: Final = ("kms:Decrypt",)
STORE_SNAPSHOT_KEY_RIGHTS: Final = ("kms:DescribeKey", "kms:Decrypt")
# https://docs.aws.amazon.com/ebs/latest/userguide/ebsapi-permissions.html
RESTORE_SNAPSHOT_KEY_RIGHTS: Final = (
    "kms:DescribeKey",
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:CreateGrant",
)
# [U] Which of the two services KMS sees behind the use of a snapshot's key: ec2 or ebs.
SNAPSHOT_KEY_SERVICE: Final = "ebs"
