#!/usr/bin/python
# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_ami_store_retention
version_added: 1.1.0
author: "amistore.aws contributors (@amistore)"
short_description: Thin out the stored images of AMIs in an S3 bucket
description:
  - Deletes stored images that newer ones of the same family have taken the place of, with what lies
    beside them, such as their manifests.
  - What O(keep_newest) or O(keep_days) keeps stays. The newest of a family always stays, and so
    does the newest that is known to restore, because a restore of it was compared with its
    manifest.
  - A stored image whose AMI is gone is the last copy of that AMI. It stays unless O(last_copies) is
    set.
  - What is unknown stays, and is told, for example a stored image without a manifest.
  - Check mode tells what a run would delete, from the same looks.
options:
  prefix:
    description:
      - Only stored images under this prefix of O(bucket), at any depth.
    type: str
  keep_newest:
    description:
      - How many of each family to keep, the newest. With O(across_folders), an AMI that is stored
        in three folders counts three times.
      - This or O(keep_days) must be given. With both, what either of them keeps stays.
    type: int
  keep_days:
    description:
      - Keep what was stored, or copied to where it lies, within the last so many days, by AWS's
        clock.
    type: int
  family_pattern:
    description:
      - A regular expression, as Python knows them. Stored images whose AMI names have the same text
        in its first group are a family.
      - By default, and without O(family_tag), a family are those whose AMIs had the same name. AMI
        names are unique in an account and Region, so that this makes sense only where AMIs are
        deregistered and made anew under the same name.
      - AMIs of different accounts or Regions are never of one family.
    type: str
  family_tag:
    description:
      - The key of a tag. Stored images whose AMIs had the same value in it when they were stored
        are a family.
    type: str
  across_folders:
    description:
      - Whether stored images in different folders of the bucket can be of one family, for example
        where each night has a prefix of its own.
    type: bool
    default: false
  last_copies:
    description:
      - Whether a stored image may go though this account has no such AMI in this Region, so that it
        is the last copy of that AMI, as far as this can be seen from here. An AMI that another
        account shares with this one counts as gone.
      - What is the newest of its family, or unknown, stays all the same.
    type: bool
    default: false
  gone_only:
    description:
      - Whether only stored images may go whose AMI is gone, so that nothing goes that a later run
        of M(amistore.aws.ec2_ami_store) or of the playbook C(archive) would store again.
      - An AMI that is there in any state keeps its stored image, a disabled one too, since it can
        be stored again. So do snapshots that M(amistore.aws.ec2_ami_archive) has left of an AMI
        that it deregistered, since it deletes them only while the stored image is there. What is
        of another account or Region stays, since nobody can tell from here whether it is gone.
      - Each of these is the last copy of its AMI, so without O(last_copies) none goes.
    type: bool
    default: false
  object_keys:
    description:
      - The keys of the stored images that may go, such as those that an earlier run in check mode
        has told. The others stay, and count in their families. An empty list names none.
      - By default, any may go.
    type: list
    elements: str
attributes:
  check_mode:
    support: full
    details:
      - The rights to delete are not covered by it.
  diff_mode:
    support: full
    details:
      - Shows the keys before and after.
  idempotent:
    support: full
    details:
      - What grows older than O(keep_days) between two runs goes in the second one.
extends_documentation_fragment:
  - amistore.aws._ami_store.bucket
  - amistore.aws._attributes
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
notes:
  - In a bucket that keeps versions, a deletion puts a delete marker in front. The version stays,
    and costs, until a lifecycle rule removes noncurrent versions. Until then it can be brought
    back.
  - What S3 holds by a retention period or a legal hold stays as it is, as far as the caller may see
    it, which takes C(s3:GetObjectRetention) and C(s3:GetObjectLegalHold). Without them a delete
    marker hides it, which S3 allows; the version stays.
  - The AMIs themselves are not touched. What is deleted comes back when
    M(amistore.aws.ec2_ami_store) is told to store the AMI again.
seealso:
  - module: amistore.aws.ec2_ami_store
    description: Deletes the stored images of given AMIs, with C(state=absent).
  - module: amistore.aws.ec2_ami_store_info
  - module: amistore.aws.ec2_ami_usage_info
"""

EXAMPLES = r"""
- name: Keep the three newest of web-2024-11-03, web-2024-11-10 and so on, and all of the last month
  amistore.aws.ec2_ami_store_retention:
    region: eu-central-1
    bucket: my-ami-bucket
    prefix: archive
    family_pattern: '^(.+)-[0-9]{4}-[0-9]{2}-[0-9]{2}$'
    keep_newest: 3
    keep_days: 31

- name: Keep the five newest of each service, though the AMIs themselves are gone
  amistore.aws.ec2_ami_store_retention:
    region: eu-central-1
    bucket: my-ami-bucket
    family_tag: service
    keep_newest: 5
    last_copies: true
  register: retention  # Then: retention.images | selectattr('outcome', 'equalto', 'deleted')
"""

RETURN = r"""
images:
  description:
    - The stored images under the prefix, by key, then manifests whose stored images are gone.
    - Objects of other kinds are passed by.
  returned: always
  type: list
  elements: dict
  contains:
    object_key:
      description: The key of the stored image.
      returned: always
      type: str
      sample: archive/ami-0abcdef1234567890.bin
    image_id:
      description: The id of the AMI, V(null) where the key is not one that AWS gives.
      returned: always
      type: str
      sample: ami-0abcdef1234567890
    name:
      description: The name that the AMI had, V(null) where it is unknown.
      returned: always
      type: str
      sample: web-2024-11-03
    family:
      description: What the images of its family have in common, V(null) where that is unknown.
      returned: always
      type: str
      sample: web
    owner_id:
      description: The account that owned the AMI, V(null) where the family is unknown.
      returned: always
      type: str
      sample: "111122223333"
    region:
      description: The Region that the AMI was in, V(null) where the family is unknown.
      returned: always
      type: str
      sample: eu-central-1
    stored_at:
      description:
        - When it was stored, V(null) where that is unknown. The manifest tells it, else the
          object's date.
      returned: always
      type: str
      sample: "2024-11-03T04:10:00+00:00"
    size:
      description: The bytes of the stored image, V(null) where only its manifest was there.
      returned: always
      type: int
      sample: 1483486006
    verified:
      description: Whether a restore of this very object was compared with its manifest.
      returned: always
      type: bool
      sample: false
    outcome:
      description:
        - One of C(kept), C(deleted) and C(failed).
        - In check mode, C(deleted) is what would be.
      returned: always
      type: str
      sample: deleted
    reasons:
      description:
        - Why, as words that stay the same.
        - Where it is kept, C(newest), C(recent), C(newest_verified), C(locked), C(not_named) and
          C(last_copy), with O(gone_only) also C(image_there), C(snapshots) and C(elsewhere), or
          what is unknown, C(foreign) (the key is not one that AWS gives), C(manifest_missing),
          C(manifest_unreadable), C(manifest_of_another), C(family_unknown), C(date_unknown),
          C(evidence_unreadable), C(object_unreadable), C(never_seen) (a manifest whose object
          nobody has seen), C(storing), C(restoring) and C(changed_meanwhile), or C(not_reached)
          where the run has stopped before.
        - Where it is deleted, C(older), with C(last_copy) where the AMI is gone, and C(leftover)
          for a manifest that a deletion left behind.
        - C(locked), C(last_copy), C(image_there), C(snapshots) and C(elsewhere) are looked for only
          where nothing else keeps it.
      returned: always
      type: list
      elements: str
      sample: [older]
    details:
      description: What the reasons do not say, such as what AWS answered.
      returned: always
      type: list
      elements: str
      sample: []
    deletion:
      description:
        - V(final) where the bytes are gone, V(marker) where a delete marker hides them, V(unknown)
          where the caller may not know which, V(null) where no stored image was deleted.
      returned: always
      type: str
      sample: marker
    version_id:
      description: >-
        The version that S3 told when it deleted the object, V(null) where it told none, and in
        check mode.
      returned: always
      type: str
      sample: 3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY
    delete_marker:
      description: Whether S3 told that this is a delete marker.
      returned: always
      type: bool
      sample: true
    changed:
      description: Whether anything of it was deleted.
      returned: always
      type: bool
      sample: true
totals:
  description: Counts, and the bytes of stored images.
  returned: always
  type: dict
  contains:
    kept:
      description: How many were kept.
      returned: always
      type: int
      sample: 9
    deleted:
      description: How many were deleted.
      returned: always
      type: int
      sample: 3
    failed:
      description: How many could not be deleted, or not with all that lies beside them.
      returned: always
      type: int
      sample: 0
    bytes_kept:
      description: The bytes of those that are still there.
      returned: always
      type: int
      sample: 13351374054
    bytes_freed:
      description: The bytes of those that are gone for good.
      returned: always
      type: int
      sample: 0
    bytes_hidden:
      description: The bytes of those that a delete marker hides, or may hide.
      returned: always
      type: int
      sample: 4450458018
"""

import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.amistore.aws.plugins.module_utils import _retention_report
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    InputError,
    caller_account,
    error_text,
    identify_collection,
)
from ansible_collections.amistore.aws.plugins.module_utils._retention import (
    RetentionOptions,
    Thinning,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket


def build_argument_spec() -> dict[str, t.Any]:
    return {
        "bucket": {"type": "str", "required": True},
        "prefix": {"type": "str"},
        "expected_bucket_owner": {"type": "str"},
        "keep_newest": {"type": "int"},
        "keep_days": {"type": "int"},
        "family_pattern": {"type": "str"},
        "family_tag": {"type": "str"},
        "across_folders": {"type": "bool", "default": False},
        "last_copies": {"type": "bool", "default": False},
        "gone_only": {"type": "bool", "default": False},
        "object_keys": {"type": "list", "elements": "str", "no_log": False},
    }


def main() -> None:
    module = AnsibleAWSModule(argument_spec=build_argument_spec(), supports_check_mode=True)
    identify_collection()
    try:
        options = RetentionOptions.from_params(module.params)
    except InputError as error:
        module.fail_json(
            msg=error.message, changed=False, images=[], totals=_retention_report.totals([])
        )
    ec2 = module.client("ec2")
    bucket = Bucket(module.client("s3"), options.bucket, options.expected_bucket_owner)
    thinning = Thinning(ec2, bucket, options, module.check_mode, caller_account(module))
    stopped_by = ""
    try:
        bucket.check(ec2.meta.region_name)
        thinning.run()
    except AnsibleAWSError as error:
        stopped_by = error_text(error)
    leave(module, thinning, stopped_by)


def leave(module: AnsibleAWSModule, thinning: Thinning, stopped_by: str) -> None:
    """End the module with the whole result, well or not."""
    entries, url = thinning.entries, thinning.options.url
    for warning in thinning.warnings + _retention_report.what_is_unknown(entries):
        module.warn(warning)
    counts = _retention_report.totals(entries)
    result: dict[str, t.Any] = {
        "changed": any(entry.changed for entry in entries),
        "msg": _retention_report.message(entries, url, module.check_mode, stopped_by),
        "images": _retention_report.results(entries),
        "totals": counts,
    }
    difference = _retention_report.diff(entries, url)
    if difference:
        result["diff"] = difference
    if stopped_by or counts["failed"]:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
