#!/usr/bin/python
# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_ami_archive
version_added: 1.1.0
author: "amistore.aws contributors (@amistore)"
short_description: Take AMIs out of service that are stored in S3
description:
  - Takes AMIs that nobody uses and that are stored in a bucket out of service, as far as
    O(end_state) says. By default it only tells what could be done.
  - An AMI is touched only where nothing speaks against it, see RV(images[].reasons), and nothing is
    unknown, and where its stored image is there, is of this AMI, has its manifest, and can be read.
  - It is deregistered only if this very stored image was restored and verified of late, or with
    O(accept_untested=true). Its snapshots stay then, and go only in a later run with
    O(snapshots_after_days).
  - All of this is looked at again directly before an AMI is deregistered or a snapshot deleted.
  - AMIs are not stored by this module but by M(amistore.aws.ec2_ami_store); the playbook
    C(amistore.aws.archive) does both.
options:
  image_ids:
    description:
      - These AMIs. Blank entries are dropped, and an empty list is no AMI at all, unless
        O(filters) are given.
      - One of O(image_ids), O(filters) and O(all) is needed.
    type: list
    elements: str
    aliases: [image_id]
  filters:
    description:
      - AMIs of this account that these filters let through, by name and value, as DescribeImages
        knows them. A value may be a list.
      - Of AMIs that are gone only C(name), C(tag-key) and C(tag:<key>) are known, from their
        manifests. Other filters let none of their snapshots through.
    type: dict
  all:
    description:
      - Every AMI of this account in the Region.
    type: bool
    default: false
  end_state:
    description:
      - How far to go.
      - V(stored) changes nothing and tells what should be stored.
      - V(disabled) deprecates and disables. Both can be undone, but for the launch permissions,
        which AWS removes from an AMI that is disabled.
      - V(deregistered) deregisters, which cannot be undone unless a rule of the Recycle Bin holds.
      - V(available) enables AMIs that this module disabled, and cancels deprecations that it made.
    type: str
    choices: [stored, disabled, deregistered, available]
    default: stored
  unused_days:
    description:
      - How many days ago an AMI must have been launched last, or made, to count as unused.
      - AWS tells launches with a delay of 24 hours, which is added.
    type: int
    default: 90
  references:
    description:
      - The types of resources of this account and Region to look for references in.
      - With an empty list, references are unknown, and nothing is archived.
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
  allow:
    description:
      - What may speak against archiving an AMI, and is to be ignored.
      - V(used) also lets AMIs go that were made within O(unused_days).
      - V(shared) lets AMIs go that others may launch. Disabling removes their launch permissions
        for good; the manifest has those of the time when the AMI was stored.
      - V(protected) takes the deregistration protection away where O(end_state=deregistered). Where
        that has a cooldown, the AMI is deregistered by a run after it, see
        RV(images[].not_before).
      - V(referenced) lets AMIs go that something refers to, which cannot launch them any more.
      - What is unknown cannot be allowed.
    type: list
    elements: str
    choices: [used, shared, protected, referenced]
    default: []
  prefix:
    description:
      - Where in O(bucket) the stored images lie, C(<prefix>/<ami-id>.bin).
    type: str
  verified_within_days:
    description:
      - How long ago the stored image may have been restored and verified, for the AMI to be
        deregistered and for its snapshots to be deleted.
      - M(amistore.aws.ec2_ami_restore) records that beside the stored image when it is told to.
    type: int
    default: 90
  accept_untested:
    description:
      - Whether to deregister AMIs and delete their snapshots although their stored images were not
        restored and verified. A stored image that exists is not yet a backup that restores.
    type: bool
    default: false
  snapshots_after_days:
    description:
      - How many days after an AMI was deregistered by this module its snapshots are deleted.
        Without it they stay.
      - Needs O(end_state=deregistered). Concerns the snapshots of AMIs that are stored directly
        under O(prefix) of O(bucket), as far as O(image_ids) and O(filters) take them.
    type: int
  snapshot_price:
    description:
      - What a GiB of snapshots costs in a month, for the estimate in RV(totals).
    type: float
  s3_prices:
    description:
      - What a GiB of objects costs in a month, by storage class such as C(STANDARD).
    type: dict
extends_documentation_fragment:
  - amistore.aws._ami_store.bucket
  - amistore.aws._attributes
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - The times of launches, grace and verification are compared with AWS's clock.
  - With botocore 1.34.0 the last launch and the protection of AMIs are unknown, so nothing is
    archived. It takes botocore 1.40.18 or later.
  - What AMIs that are gone have left is found by the tags C(amistore:archived-image),
    C(amistore:archived-snapshot), C(amistore:archived-in), C(amistore:archived-etag) and
    C(amistore:deregistered-at) of their snapshots. Without them a snapshot is never deleted.
seealso:
  - module: amistore.aws.ec2_ami_usage_info
  - module: amistore.aws.ec2_ami_store
  - module: amistore.aws.ec2_ami_restore
  - name: Disable an AMI
    description: What AWS does to an AMI that is disabled.
    link: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/disable-an-ami.html
  - name: Deregister an AMI
    description: What stays, and how the Recycle Bin holds AMIs and snapshots.
    link: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/deregister-ami.html
"""

EXAMPLES = r"""
# These examples do not set authentication details or the Region, see the AWS guide of amazon.aws.

- name: What could be archived, and what must be stored first?
  amistore.aws.ec2_ami_archive:
    all: true
    unused_days: 180
    bucket: my-ami-bucket
    prefix: archive
  register: plan  # Then: plan.images | selectattr('plan', 'contains', 'store')

- name: Deprecate and disable what is stored and unused
  amistore.aws.ec2_ami_archive:
    filters:
      "tag:service": shop
    bucket: my-ami-bucket
    prefix: archive
    end_state: disabled

- name: Deregister what was restored and verified of late, delete snapshots four weeks later
  amistore.aws.ec2_ami_archive:
    filters:
      "tag:service": shop
    bucket: my-ami-bucket
    prefix: archive
    end_state: deregistered
    verified_within_days: 30
    snapshots_after_days: 28
    snapshot_price: 0.05
    s3_prices:
      STANDARD: 0.023

- name: Take one back into service
  amistore.aws.ec2_ami_archive:
    image_ids: [ami-0abcdef1234567890]
    bucket: my-ami-bucket
    end_state: available
"""

RETURN = r"""
msg:
  description: Counts, then the AMIs that failed.
  returned: always
  type: str
  sample: "2 AMIs: deprecated 1, disabled 1, 1 left as they are."
images:
  description:
    - The AMIs, and those that are gone and left snapshots. In check mode what would be.
  returned: always
  type: list
  elements: dict
  contains:
    image_id:
      description: The id of the AMI.
      returned: always
      type: str
      sample: ami-0abcdef1234567890
    name:
      description: The name of the AMI, of one that is gone from its manifest; V(null) if unknown.
      returned: always
      type: str
      sample: shop-2024-11-03
    state:
      description: The state of the AMI at the end, as AWS calls it, or C(gone).
      returned: always
      type: str
      sample: disabled
    may_go:
      description:
        - Whether its use lets it go, V(null) where that is unknown or was not asked.
      returned: always
      type: bool
      sample: true
    allowed:
      description: What spoke against that and was allowed by O(allow).
      returned: always
      type: list
      elements: str
      sample: []
    stored_image:
      description: >-
        Its stored image, C(<prefix>/<ami-id>.bin), V(null) where there is none, or where it was not
        looked at because nothing hangs on it.
      returned: always
      type: dict
      contains:
        etag:
          description: The ETag.
          returned: always
          type: str
          sample: 5f363e0e58a95f06cbe9bbc662c5dfb6-12
        size:
          description: The size in bytes.
          returned: always
          type: int
          sample: 1483486006
        storage_class:
          description: The storage class.
          returned: always
          type: str
          sample: STANDARD
        ready:
          description: Whether it is of this AMI, has its manifest, and can be read now.
          returned: always
          type: bool
          sample: true
        verified:
          description: Whether it was restored and verified within O(verified_within_days).
          returned: always
          type: bool
          sample: false
        verified_at:
          description: When, V(null) where it was not.
          returned: always
          type: str
          sample: null
    plan:
      description:
        - The steps from what was found to O(end_state), in their order. Empty where nothing is left
          to do, or something is in the way; RV(images[].reasons) tells.
        - They are C(store), C(deprecate), C(disable), C(mark_snapshots), C(unprotect),
          C(deregister), C(date_snapshots), C(forget_date), C(delete_snapshots), C(enable) and
          C(undeprecate).
        - What begins with C(store) waits until the AMI is stored.
      returned: always
      type: list
      elements: str
      sample: [deprecate, disable]
    done:
      description: The steps that were taken, or would be in check mode.
      returned: always
      type: list
      elements: str
      sample: [deprecate, disable]
    reasons:
      description:
        - Why that and no more, as words that stay the same; the guide on archiving lists them.
      returned: always
      type: list
      elements: str
      sample: [stored]
    details:
      description: AWS's words about what could not be looked at.
      returned: always
      type: list
      elements: str
      sample: []
    not_before:
      description: When what has to wait may be done, V(null) where nothing waits for a time.
      returned: always
      type: str
      sample: null
    snapshot_ids:
      description: The snapshots that are left.
      returned: always
      type: list
      elements: str
      sample: [snap-0abcdef1234567890]
    snapshot_bytes:
      description: The bytes of data in them, each counted in full; V(null) unless AWS tells all.
      returned: always
      type: int
      sample: 9663676416
    freed_bytes:
      description: The bytes of those that were deleted; V(null) unless AWS tells all.
      returned: always
      type: int
      sample: 0
    changed:
      description: Whether anything was done, or would be in check mode.
      returned: always
      type: bool
      sample: true
    failure_reason:
      description: What failed, V(null) where nothing did.
      returned: always
      type: str
      sample: null
totals:
  description:
    - What the snapshots hold and cost. Snapshots share blocks with others of the same volume, so
      bytes and savings are the most that it can be.
  returned: always
  type: dict
  contains:
    snapshot_bytes_kept:
      description: The bytes in the snapshots that are left; V(null) unless AWS tells all.
      returned: always
      type: int
      sample: 9663676416
    snapshot_bytes_freed:
      description: The bytes in those that were deleted; V(null) unless AWS tells all.
      returned: always
      type: int
      sample: 0
    stored_bytes:
      description: The bytes in the stored images that were looked at, V(null) if unknown.
      returned: always
      type: int
      sample: 1483486006
    monthly_saving:
      description: >-
        What the deleted snapshots cost in a month less what their stored images cost, with the
        prices given; V(null) where a price or a size is missing.
      returned: always
      type: float
      sample: 0.0
    monthly_saving_possible:
      description: >-
        The same for all AMIs whose use lets them go, once their snapshots are deleted; V(null)
        where a price or a size is missing, or one of them is not stored yet.
      returned: always
      type: float
      sample: 0.42
"""

import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.amistore.aws.plugins.module_utils._archive import Archive
from ansible_collections.amistore.aws.plugins.module_utils._archive_report import ArchiveReport
from ansible_collections.amistore.aws.plugins.module_utils._archive_wish import Prices, Wish
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    InputError,
    error_text,
    identify_collection,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from ansible_collections.amistore.aws.plugins.module_utils._usage_references import (
    MAX_TEMPLATE_VERSIONS,
    RESOURCE_TYPES,
)


def build_argument_spec() -> dict[str, t.Any]:
    return {
        "image_ids": {"type": "list", "elements": "str", "aliases": ["image_id"]},
        "filters": {"type": "dict"},
        "all": {"type": "bool", "default": False},
        "end_state": {
            "type": "str",
            "choices": ["stored", "disabled", "deregistered", "available"],
            "default": "stored",
        },
        "unused_days": {"type": "int", "default": 90},
        "references": {
            "type": "list",
            "elements": "str",
            "choices": list(RESOURCE_TYPES),
            "default": list(RESOURCE_TYPES),
        },
        "launch_template_versions": {"type": "int", "default": MAX_TEMPLATE_VERSIONS},
        "allow": {
            "type": "list",
            "elements": "str",
            "choices": ["used", "shared", "protected", "referenced"],
            "default": [],
        },
        "bucket": {"type": "str", "required": True},
        "prefix": {"type": "str"},
        "expected_bucket_owner": {"type": "str"},
        "verified_within_days": {"type": "int", "default": 90},
        "accept_untested": {"type": "bool", "default": False},
        "snapshots_after_days": {"type": "int"},
        "snapshot_price": {"type": "float"},
        "s3_prices": {"type": "dict"},
    }


def archive(module: AnsibleAWSModule, wish: Wish) -> ArchiveReport:
    """Archive the AMIs; how each is decided stands in _archive_decide.decide."""
    if wish.nothing:
        return ArchiveReport([], wish.prices, module.check_mode)
    ec2 = module.client("ec2")
    bucket = Bucket(module.client("s3"), wish.bucket, wish.expected_bucket_owner)
    run = Archive(ec2, bucket, wish, module.check_mode, module.warn)
    try:
        bucket.check(ec2.meta.region_name)
    except AnsibleAWSError as error:
        return ArchiveReport([], wish.prices, module.check_mode, error_text(error))
    run.run()
    return ArchiveReport(run.entries, wish.prices, module.check_mode, run.stopped_by)


def main() -> None:
    module = AnsibleAWSModule(argument_spec=build_argument_spec(), supports_check_mode=True)
    identify_collection()
    try:
        wish = Wish.from_params(module.params)
    except InputError as error:
        nothing = ArchiveReport([], Prices(), module.check_mode).result
        module.fail_json(**{**nothing, "msg": error.message})
    report = archive(module, wish)
    result = report.result
    if report.diff:
        result["diff"] = report.diff
    if report.failed:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
