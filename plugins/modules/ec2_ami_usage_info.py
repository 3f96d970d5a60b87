#!/usr/bin/python
# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_ami_usage_info
version_added: 1.1.0
author: "amistore.aws contributors (@amistore)"
short_description: Tell how AMIs are used, and whether they may be archived
description:
  - Tells for each AMI where it comes from, when it was last launched, who it is shared with, what
    refers to it, and whether it is stored in a bucket.
  - From this follows whether it may be archived, that is stored and then taken out of service.
    RV(images[].archivable) is V(true) only where nothing speaks against it and nothing is unknown.
  - What the installed botocore or the caller's rights leave open is unknown, with a warning, and
    never an error. Nothing found is an empty list.
  - Never launched and unknown are different answers, see RV(images[].use).
options:
  image_ids:
    description:
      - Only these AMIs, whoever owns them. Blank entries are dropped; an empty list is the same as
        none given.
    type: list
    elements: str
    aliases: [image_id]
  filters:
    description:
      - Only AMIs that these filters let through, by name and value, as DescribeImages knows them.
        A value may be a list.
    type: dict
    default: {}
  owners:
    description:
      - Only AMIs of these owners, as DescribeImages knows them, unless O(image_ids) names the AMIs.
      - AWS tells the launches, the protection and the launch permissions of an AMI to its owner
        only.
    type: list
    elements: str
    default: [self]
  unused_days:
    description:
      - How many days ago an AMI must have been launched last, or made, to count as unused.
      - AWS tells launches with a delay of 24 hours, which is added.
    type: int
    default: 90
  references:
    description:
      - The types of resources of this account and Region to look for references in.
      - With an empty list, references are unknown, and so is what may be archived.
      - AWS knows no other types. Launch configurations, other accounts, and ids in templates and
        code are not looked at.
    type: list
    elements: str
    choices:
      - ec2:Instance
      - ec2:LaunchTemplate
      - ssm:Parameter
      - imagebuilder:ImageRecipe
      - imagebuilder:ContainerRecipe
    default:
      - ec2:Instance
      - ec2:LaunchTemplate
      - ssm:Parameter
      - imagebuilder:ImageRecipe
      - imagebuilder:ContainerRecipe
  launch_template_versions:
    description:
      - How many versions of each launch template to look at, from the newest. The default is all
        that a template can have.
    type: int
    default: 10000
  include:
    description:
      - What to ask at a call for each AMI.
      - V(ancestry) is the chain of AMIs that each was made from.
      - V(launch_permissions) is how many launch permissions each has. Without it they are asked
        for only where RV(images[].archivable) hangs on them.
    type: list
    elements: str
    choices: [ancestry, launch_permissions]
    default: []
  bucket:
    description:
      - The bucket to look for stored images in, a plain bucket name, in the Region of the call.
    type: str
  prefix:
    description:
      - Only stored images under this prefix of O(bucket), at any depth.
    type: str
  expected_bucket_owner:
    description:
      - The id of the account that must own O(bucket), 12 digits in quotes.
    type: str
extends_documentation_fragment:
  - amistore.aws._attributes
  - amistore.aws._attributes.info_module
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
notes:
  - With botocore 1.34.0 the last launch and the protection of AMIs are unknown, so nothing is
    archivable. All that is told here needs botocore 1.40.72 or later.
  - The AMIs, their snapshots and the bucket are listed by pages, and references are asked for ten
    AMIs a call.
seealso:
  - module: amistore.aws.ec2_ami_store
  - module: amistore.aws.ec2_ami_store_info
  - name: When an AMI was last used
    description: What AWS says about the time of the last launch.
    link: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-last-launched-time.html
  - name: Resources that refer to AMIs
    description: What AWS looks at, and the rights that this needs.
    link: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html
"""

EXAMPLES = r"""
# These examples do not set authentication details or the Region, see the AWS guide of amazon.aws.

- name: Which of my AMIs may be archived, and why not the others?
  amistore.aws.ec2_ami_usage_info:
    unused_days: 180
    bucket: my-ami-bucket
    prefix: archive
  register: usage  # Then: usage.images | selectattr('archivable', 'equalto', true)

- name: Where do these come from, and who may launch them?
  amistore.aws.ec2_ami_usage_info:
    image_ids:
      - ami-0abcdef1234567890
      - ami-0fedcba9876543210
    include: [ancestry, launch_permissions]

- name: Look at the AMIs of one service, and at instances and launch templates only
  amistore.aws.ec2_ami_usage_info:
    filters:
      "tag:service": shop
      name: shop-*
    references: [ec2:Instance, ec2:LaunchTemplate]
"""

RETURN = r"""
missing:
  description: Those of O(image_ids) that this account does not see, or that a filter leaves out.
  returned: success
  type: list
  elements: str
  sample: []
images:
  description:
    - The AMIs, in the order of O(image_ids), else by name.
    - A value is V(null) where AWS tells none, where it was not asked for, and where it is unknown;
      RV(images[].unknown) names the unknown ones.
  returned: success
  type: list
  elements: dict
  contains:
    image_id:
      description: The id of the AMI.
      returned: always
      type: str
      sample: ami-0abcdef1234567890
    name:
      description: The name of the AMI.
      returned: always
      type: str
      sample: shop-2024-11-03
    owner_id:
      description: The account that owns the AMI.
      returned: always
      type: str
      sample: "111122223333"
    owned:
      description: Whether that is the account of the caller.
      returned: always
      type: bool
      sample: true
    state:
      description: The state of the AMI, as AWS calls it.
      returned: always
      type: str
      sample: available
    source_image_id:
      description:
        - The AMI that this one was made from, V(null) where AWS tells none.
        - AWS tells it for AMIs made by CreateImage, CopyImage or CreateRestoreImageTask, not for
          all that are older, and also when the source is gone.
      returned: always
      type: str
      sample: ami-0fedcba9876543210
    source_image_region:
      description: The Region of that AMI, V(null) where AWS tells none.
      returned: always
      type: str
      sample: eu-central-1
    source_instance_id:
      description: The instance that CreateImage made the AMI from, V(null) for any other AMI.
      returned: always
      type: str
      sample: null
    creation_time:
      description: When the AMI was made, V(null) where AWS does not say.
      returned: always
      type: str
      sample: "2024-11-03T04:10:00+00:00"
    last_launched_time:
      description:
        - When the AMI was last launched, V(null) where AWS tells no launch.
        - AWS tells launches since April 2017, after 24 hours, to the owner.
      returned: always
      type: str
      sample: "2025-01-20T15:02:11+00:00"
    days_since_launch:
      description: The whole days since then, V(null) where AWS tells no launch.
      returned: always
      type: int
      sample: 466
    use:
      description:
        - V(used) means launched within O(unused_days).
        - V(recent) means never launched, but made within O(unused_days).
        - V(unused) means launched before, and not since.
        - V(never) means never launched, and made before.
        - V(unknown) means that AWS or botocore does not tell, or that the AMI was made before AWS
          began to count and has not been launched since.
      returned: always
      type: str
      sample: unused
    deprecation_time:
      description: When the AMI is or was deprecated, V(null) where this is not planned.
      returned: always
      type: str
      sample: null
    deprecated:
      description: Whether that has passed.
      returned: always
      type: bool
      sample: false
    deregistration_protection:
      description:
        - The protection against being deregistered, as AWS calls it, V(null) where AWS tells none.
        - Anything but C(disabled) counts as protection.
      returned: always
      type: str
      sample: disabled
    public:
      description: Whether everybody may launch the AMI.
      returned: always
      type: bool
      sample: false
    launch_permissions:
      description: >-
        How many launch permissions there are, to accounts, organizations or everybody; V(null)
        where they were not asked for or cannot be read.
      returned: always
      type: int
      sample: 0
    size:
      description: The size of the volumes in GiB.
      returned: always
      type: int
      sample: 28
    snapshot_bytes:
      description: >-
        The bytes of data in the snapshots, each counted in full, V(null) unless AWS tells it for
        all of them.
      returned: always
      type: int
      sample: 9663676416
    ancestry:
      description: >-
        The chain from this AMI to the first, as far as AWS knows it; V(null) without
        O(include=ancestry), or where it cannot be told.
      returned: always
      type: list
      elements: dict
      contains:
        image_id:
          description: The id of the AMI.
          returned: always
          type: str
          sample: ami-0abcdef1234567890
        source_image_id:
          description: The AMI that it was made from, V(null) for the first.
          returned: always
          type: str
          sample: ami-0fedcba9876543210
        source_image_region:
          description: The Region of that AMI, V(null) for the first.
          returned: always
          type: str
          sample: eu-central-1
        owner_alias:
          description: The alias of its owner, such as C(amazon), V(null) where there is none.
          returned: always
          type: str
          sample: null
        creation_time:
          description: When it was made, V(null) where AWS does not say.
          returned: always
          type: str
          sample: "2024-11-03T04:10:00+00:00"
    references:
      description: >-
        What refers to the AMI in this account and Region, V(null) where O(references) is empty.
      returned: always
      type: dict
      contains:
        count:
          description: How many resources refer to the AMI.
          returned: always
          type: int
          sample: 1
        found:
          description: The first ten of them.
          returned: always
          type: list
          elements: dict
          contains:
            resource_type:
              description: One of O(references).
              returned: always
              type: str
              sample: ec2:LaunchTemplate
            arn:
              description: The resource.
              returned: always
              type: str
              sample: arn:aws:ec2:eu-central-1:111122223333:launch-template/lt-0abcdef1234567890
        unchecked:
          description: The types of resources that could not be looked at.
          returned: always
          type: list
          elements: str
          sample: []
    stored_image:
      description: >-
        The stored image of the AMI in O(bucket), V(null) where there is none, or where the bucket
        was not given or cannot be listed.
      returned: always
      type: dict
      contains:
        object_key:
          description: The key.
          returned: always
          type: str
          sample: archive/ami-0abcdef1234567890.bin
        size:
          description: The size of the object in bytes.
          returned: always
          type: int
          sample: 1483486006
        last_modified:
          description: When the object appeared, V(null) where S3 does not say.
          returned: always
          type: str
          sample: "2026-05-01T03:40:02+00:00"
        storage_class:
          description: The storage class.
          returned: always
          type: str
          sample: STANDARD
        restorable:
          description: >-
            Whether it can be restored now; V(null) for C(INTELLIGENT_TIERING), whose archive tiers
            a listing does not show.
          returned: always
          type: bool
          sample: true
        manifest:
          description: Whether a manifest lies beside it.
          returned: always
          type: bool
          sample: true
    archivable:
      description:
        - Whether the AMI may be archived, V(null) where that is unknown.
        - V(true) does not say that the AMI is stored; RV(images[].reasons) does.
      returned: always
      type: bool
      sample: true
    reasons:
      description:
        - Why, as words that stay the same.
        - Where it is V(false), C(not_owned), C(not_available), C(not_storable) (not on EBS, or
          paravirtual), C(managed_by_backup), C(used), C(recent), C(shared), C(protected) and
          C(referenced).
        - Where it is V(null), C(use_unknown), C(stored_unknown), C(sharing_unknown),
          C(protection_unknown) and C(references_unknown).
        - Where it is V(true), C(unused) or C(never), and, with O(bucket), C(stored) or
          C(not_stored).
      returned: always
      type: list
      elements: str
      sample: [unused, not_stored]
    unknown:
      description: The names of the values above that are unknown, as opposed to none.
      returned: always
      type: list
      elements: str
      sample: []
"""

import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    error_text,
    identify_collection,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from ansible_collections.amistore.aws.plugins.module_utils._usage import Request, Survey
from ansible_collections.amistore.aws.plugins.module_utils._usage_references import (
    MAX_TEMPLATE_VERSIONS,
    RESOURCE_TYPES,
)


def build_argument_spec() -> dict[str, t.Any]:
    return {
        "image_ids": {"type": "list", "elements": "str", "aliases": ["image_id"]},
        "filters": {"type": "dict", "default": {}},
        "owners": {"type": "list", "elements": "str", "default": ["self"]},
        "unused_days": {"type": "int", "default": 90},
        "references": {
            "type": "list",
            "elements": "str",
            "choices": list(RESOURCE_TYPES),
            "default": list(RESOURCE_TYPES),
        },
        "launch_template_versions": {"type": "int", "default": MAX_TEMPLATE_VERSIONS},
        "include": {
            "type": "list",
            "elements": "str",
            "choices": ["ancestry", "launch_permissions"],
            "default": [],
        },
        "bucket": {"type": "str"},
        "prefix": {"type": "str"},
        "expected_bucket_owner": {"type": "str"},
    }


def main() -> None:
    module = AnsibleAWSModule(argument_spec=build_argument_spec(), supports_check_mode=True)
    identify_collection()
    try:
        request = Request.from_params(module.params)
        ec2 = module.client("ec2")
        bucket = None
        if request.bucket:
            bucket = Bucket(module.client("s3"), request.bucket, request.expected_bucket_owner)
            bucket.check(ec2.meta.region_name)
        images, missing = Survey(ec2, request, bucket, module.warn).run()
    except AnsibleAWSError as error:
        module.fail_json(msg=error_text(error), changed=False)
    module.exit_json(changed=False, images=images, missing=missing)


if __name__ == "__main__":
    main()
