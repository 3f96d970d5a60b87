#!/usr/bin/python
# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_ami_store_info
version_added: 1.0.0
author: "amistore.aws contributors (@amistore)"
short_description: List store tasks and stored AMIs
description:
  - Lists the store tasks that AWS remembers, which are those of the last 31 days, and, with
    O(bucket), the stored images
    that lie in a bucket, however old.
  - Nothing found is an empty list, never an error.
options:
  image_ids:
    description:
      - Only these AMIs. Blank entries are dropped; an empty list is the same as none given.
      - Without O(bucket) and O(task_state), AWS tells the newest task of each AMI only. With one of
        them, all of them.
    type: list
    elements: str
    aliases: [image_id]
  task_state:
    description:
      - Only store tasks in this state.
    type: str
    choices: [InProgress, Completed, Failed]
  bucket:
    description:
      - Only store tasks into this bucket, a plain bucket name.
      - The stored images of this bucket are listed too; it must be in the Region of the call.
    type: str
  prefix:
    description:
      - Only what lies under this prefix, at any depth.
    type: str
  expected_bucket_owner:
    description:
      - The id of the account that must own O(bucket), 12 digits in quotes.
    type: str
  include:
    description:
      - What else to tell about each stored image, at one request per image and entry.
      - V(tags) are the object tags, V(encryption) is how S3 encrypts it, V(manifest) is the
        manifest beside it.
    type: list
    elements: str
    choices: [tags, encryption, manifest]
    default: []
extends_documentation_fragment:
  - amistore.aws._attributes
  - amistore.aws._attributes.info_module
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: amistore.aws.ec2_ami_store
  - module: amistore.aws.ec2_ami_restore
"""

EXAMPLES = r"""
- name: What is in the bucket?
  amistore.aws.ec2_ami_store_info:
    bucket: my-ami-bucket
    prefix: dr/production
  register: catalogue

- name: Which stores are going on in the account?
  amistore.aws.ec2_ami_store_info:
    task_state: InProgress

- name: What became of these, and why?
  amistore.aws.ec2_ami_store_info:
    image_ids:
      - ami-0abcdef1234567890
      - ami-0fedcba9876543210

- name: Names and encryption of all stored images
  amistore.aws.ec2_ami_store_info:
    bucket: my-ami-bucket
    include: [manifest, encryption]
"""

RETURN = r"""
store_tasks:
  description: The store tasks, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    image_id:
      description: The id of the AMI.
      returned: always
      type: str
      sample: ami-0abcdef1234567890
    bucket:
      description: The bucket that the task stores into.
      returned: always
      type: str
      sample: my-ami-bucket
    object_key:
      description: The key of the stored image.
      returned: always
      type: str
      sample: dr/production/ami-0abcdef1234567890.bin
    state:
      description: The state of the task, C(InProgress), C(Completed) or C(Failed).
      returned: always
      type: str
      sample: Failed
    progress_percentage:
      description: AWS's estimate, V(null) where AWS gave none.
      returned: always
      type: int
      sample: 42
    failure_reason:
      description: Why the task failed, V(null) where AWS gave no reason.
      returned: always
      type: str
      sample: null
    task_start_time:
      description: When AWS started the task.
      returned: always
      type: str
      sample: "2026-05-01T03:12:45+00:00"
stored_images:
  description: The stored images in the bucket, in key order.
  returned: success, when O(bucket) is given
  type: list
  elements: dict
  contains:
    object_key:
      description: The key.
      returned: always
      type: str
      sample: dr/production/ami-0abcdef1234567890.bin
    image_id:
      description: The id that the AMI had when it was stored.
      returned: always
      type: str
      sample: ami-0abcdef1234567890
    size:
      description: The size of the object in bytes.
      returned: always
      type: int
      sample: 1483486006
    last_modified:
      description: When the object appeared.
      returned: always
      type: str
      sample: "2026-05-01T03:40:02+00:00"
    storage_class:
      description: The storage class.
      returned: always
      type: str
      sample: STANDARD
    restorable:
      description:
        - Whether it can be restored now; V(false) for an archived object that is not thawed.
        - V(null) for C(INTELLIGENT_TIERING), whose archive tiers a listing does not show.
          O(include=encryption) looks
          at each object and tells.
      returned: always
      type: bool
      sample: true
    tags:
      description: The object tags.
      returned: when O(include) has V(tags)
      type: dict
      sample: {"backup": "weekly"}
    encryption:
      description: How S3 encrypts the object.
      returned: when O(include) has V(encryption)
      type: dict
      contains:
        server_side_encryption:
          description: The algorithm.
          returned: always
          type: str
          sample: aws:kms
        kms_key_id:
          description: The ARN of the KMS key, V(null) where none is used.
          returned: always
          type: str
          sample: null
        bucket_key_enabled:
          description: Whether an S3 Bucket Key is used, V(null) where S3 does not say.
          returned: always
          type: bool
          sample: true
    manifest:
      description: >-
        The manifest as it lies in the bucket, V(null) where there is none that can be read.
      returned: when O(include) has V(manifest)
      type: dict
      sample: {"format_version": 1}
"""

import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    error_text,
    identify_collection,
)
from ansible_collections.amistore.aws.plugins.module_utils._catalogue import (
    Selection,
    catalogue,
    select_tasks,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket


def build_argument_spec() -> dict[str, t.Any]:
    return {
        "image_ids": {"type": "list", "elements": "str", "aliases": ["image_id"]},
        "task_state": {"type": "str", "choices": ["InProgress", "Completed", "Failed"]},
        "bucket": {"type": "str"},
        "prefix": {"type": "str"},
        "expected_bucket_owner": {"type": "str"},
        "include": {
            "type": "list",
            "elements": "str",
            "choices": ["tags", "encryption", "manifest"],
            "default": [],
        },
    }


def main() -> None:
    module = AnsibleAWSModule(argument_spec=build_argument_spec(), supports_check_mode=True)
    identify_collection()
    try:
        selection = Selection.from_params(module.params)
        ec2 = module.client("ec2")
        result: dict[str, t.Any] = {"store_tasks": select_tasks(ec2, selection)}
        if selection.bucket:
            bucket = Bucket(module.client("s3"), selection.bucket, selection.expected_bucket_owner)
            bucket.check(ec2.meta.region_name)
            result["stored_images"] = catalogue(
                bucket, selection, module.params["include"], module.warn
            )
    except AmiStoreError as error:
        module.fail_json(msg=error_text(error), changed=False)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
