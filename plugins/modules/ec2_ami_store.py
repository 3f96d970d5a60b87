#!/usr/bin/python
# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_ami_store
version_added: 1.0.0
author: "amistore.aws contributors (@amistore)"
short_description: Store AMIs as objects in an S3 bucket
description:
  - Stores one AMI or hundreds as objects in an S3 bucket with CreateStoreImageTask, follows the
    tasks, and describes
    each stored image in a manifest beside it, so that the bucket alone is enough to restore.
  - Can be run again at any moment, after any failure. An AMI that is in the bucket is left alone, a
    task in progress is
    picked up, a failed one is started anew.
  - A store counts as done when its object is there, and as failed when AWS says so of the task of
    this run. Everything
    else is waited for.
  - Starts as fast as AWS allows for one account and no faster, in requests as well as in GiB in
    flight.
options:
  image_ids:
    description:
      - The AMIs to store, or, with O(state=absent), the AMIs whose stored images to delete.
      - Blank entries are dropped and repeats are merged. An empty list is a success with an empty
        result.
    type: list
    elements: str
    required: true
    aliases: [image_id]
  prefix:
    description:
      - Where in the bucket the stored images lie, such as V(dr/production). The key of an AMI is
        C(<prefix>/<ami-id>.bin), that of its manifest C(<prefix>/<ami-id>.json).
      - AWS keeps one copy of an AMI per bucket, whatever the prefix.
    type: str
  tags:
    description:
      - Tags for the stored images, at most 10 together with those that an object has already.
      - Omitted, the tags are left alone.
    type: dict
    aliases: [resource_tags]
  purge_tags:
    description:
      - Whether to remove object tags that are not in O(tags). Only tags that the manifest lists as
        set by this module
        are removed, since AWS may keep its own on the object.
    type: bool
    default: false
  manifest:
    description:
      - Whether to write a manifest beside each stored image with all that EC2 tells about the AMI
        and its snapshots.
      - It is written once, when AWS has accepted the task, and completed when the object is there.
        An AMI that is
        stored already gets one as long as the AMI exists.
      - M(amistore.aws.ec2_ami_restore) takes the name from it, and knows from it whether the AMI
        was encrypted.
    type: bool
    default: true
  state:
    description:
      - V(present) stores the AMIs that are not stored yet.
      - V(absent) deletes the stored images with what lies beside them. The AMIs are not touched
        and need not exist.
    type: str
    choices: [present, absent]
    default: present
  force:
    description:
      - With O(state=absent), delete even what may be the last copy, which is when the AMI is gone
        and the bucket does not
        keep versions.
    type: bool
    default: false
  in_flight_gib:
    description:
      - How many GiB may be stored at a time in this account, volume sizes added up, the work of
        others included. An AMI starts when it fits, or alone.
      - The default is what AWS allows every account. Give more where AWS has granted more, less to
        leave room for others.
    type: int
    default: 1200
    version_added: 1.1.0
attributes:
  check_mode:
    support: full
    details:
      - Looks at everything a real run looks at, and proves the right to CreateStoreImageTask with
        one DryRun when a task
        would be started. The rights in S3, EBS and KMS are not covered by it.
  diff_mode:
    support: full
    details:
      - Shows the object tags before and after.
  idempotent:
    support: full
extends_documentation_fragment:
  - amistore.aws._ami_store
  - amistore.aws._ami_store.bucket
  - amistore.aws._ami_store.limits
  - amistore.aws._attributes
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
notes:
  - AWS stores only EBS-backed HVM AMIs that this account owns or that are shared with it directly,
    along with their
    snapshots.
  - Encrypted snapshots are decrypted while they are stored; the bucket's own encryption protects
    them then.
  - AWS cannot cancel a store task and remembers it for 31 days.
seealso:
  - module: amistore.aws.ec2_ami_restore
  - module: amistore.aws.ec2_ami_store_info
  - name: Store and restore an AMI using S3
    description: The feature in the Amazon EC2 User Guide.
    link: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-store-restore.html
"""

EXAMPLES = r"""
- name: Store an AMI and wait until it is there
  amistore.aws.ec2_ami_store:
    region: eu-central-1
    image_id: ami-0abcdef1234567890
    bucket: my-ami-bucket

- name: Store many under a prefix, with tags on the objects
  amistore.aws.ec2_ami_store:
    region: eu-central-1
    image_ids: "{{ production_amis }}"
    bucket: my-ami-bucket
    prefix: dr/production
    expected_bucket_owner: "123456789012"
    tags:
      backup: weekly
    wait_timeout: 14400

- name: Start what can be started now; running this again continues
  amistore.aws.ec2_ami_store:
    image_ids: "{{ production_amis }}"
    bucket: my-ami-bucket
    wait: false

- name: Delete a stored image and its manifest
  amistore.aws.ec2_ami_store:
    image_id: ami-0abcdef1234567890
    bucket: my-ami-bucket
    state: absent
"""

RETURN = r"""
images:
  description: One entry per AMI, in the order given. A failed task returns it too.
  returned: always
  type: list
  elements: dict
  contains:
    image_id:
      description: The id of the AMI.
      returned: always
      type: str
      sample: ami-0abcdef1234567890
    bucket:
      description: The bucket.
      returned: always
      type: str
      sample: my-ami-bucket
    object_key:
      description: The key of the stored image, whether it is there yet or not.
      returned: always
      type: str
      sample: dr/production/ami-0abcdef1234567890.bin
    manifest_key:
      description: The key of the manifest, V(null) where none was seen or written.
      returned: always
      type: str
      sample: dr/production/ami-0abcdef1234567890.json
    state:
      description:
        - C(Completed) when the object is there, C(InProgress), C(Failed) when AWS says so of the
          task,
          C(NotStarted), or C(Absent) when the stored image is deleted.
      returned: always
      type: str
      sample: Completed
    progress_percentage:
      description: AWS's estimate, V(null) where AWS gave none.
      returned: always
      type: int
      sample: 100
    failure_reason:
      description: >-
        Why this AMI could not be handled, AWS's words last; V(null) when nothing is wrong with it.
      returned: always
      type: str
      sample: null
    task_start_time:
      description: When AWS started the store task that this run saw, V(null) when it saw none.
      returned: always
      type: str
      sample: "2026-05-01T03:12:45+00:00"
    size:
      description: The size of the stored image in bytes, V(null) while it is not there.
      returned: always
      type: int
      sample: 1483486006
    version_id:
      description: >-
        With O(state=absent), the version that the deletion left behind, as S3 answered; V(null)
        when S3 named none.
      returned: always
      type: str
      sample: null
    delete_marker:
      description: >-
        With O(state=absent), whether S3 put a delete marker over the object instead of removing it.
      returned: always
      type: bool
      sample: false
    changed:
      description: >-
        Whether this run started, wrote or deleted something for this AMI (in check mode, would
        have).
      returned: always
      type: bool
      sample: true
msg:
  description: The counts, then at most ten AMIs that need attention, each with its reason.
  returned: always
  type: str
  sample: "3 AMIs: 3 stored in s3://my-ami-bucket/dr/production."
permission_checked:
  description: >-
    Whether a DryRun proved the right to CreateStoreImageTask. It is sent only when a task would be
    started.
  returned: in check mode
  type: bool
  sample: true
"""

import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    InputError,
    caller_account,
    client_without_retries,
    identify_collection,
)
from ansible_collections.amistore.aws.plugins.module_utils._inputs import (
    clean_image_ids,
    limit_options,
)
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Origin
from ansible_collections.amistore.aws.plugins.module_utils._pacing import STORE_LIMITS, SystemClock
from ansible_collections.amistore.aws.plugins.module_utils._progress import watcher_of
from ansible_collections.amistore.aws.plugins.module_utils._report import Report, nothing_to_do
from ansible_collections.amistore.aws.plugins.module_utils._run import RunOptions, run
from ansible_collections.amistore.aws.plugins.module_utils._store import (
    StoreEntry,
    StoreOperation,
    StoreOptions,
    results,
    tag_diffs,
)
from ansible_collections.amistore.aws.plugins.module_utils._store_absent import AbsentEntry, Removal
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket


def build_argument_spec() -> dict[str, t.Any]:
    return {
        "image_ids": {"type": "list", "elements": "str", "required": True, "aliases": ["image_id"]},
        "bucket": {"type": "str", "required": True},
        "prefix": {"type": "str"},
        "expected_bucket_owner": {"type": "str"},
        "tags": {"type": "dict", "aliases": ["resource_tags"]},
        "purge_tags": {"type": "bool", "default": False},
        "manifest": {"type": "bool", "default": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "force": {"type": "bool", "default": False},
        "progress": {"type": "bool", "default": True},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 7200},
        **limit_options(STORE_LIMITS),
    }


def store(
    module: AnsibleAWSModule, options: StoreOptions, image_ids: list[str]
) -> Report[StoreEntry]:
    """Store the AMIs that are not stored; how each is decided stands in _store.decide."""
    ec2 = module.client("ec2")
    bucket = Bucket(module.client("s3"), options.bucket, options.expected_bucket_owner)
    account_id = caller_account(module)

    def origin(object_key: str) -> Origin:
        return Origin(
            account_id(), ec2.meta.region_name, ec2.meta.partition, bucket.name, object_key
        )

    clock = SystemClock()
    operation = StoreOperation(
        ec2, client_without_retries(module, "ec2"), bucket, options, clock, origin
    )
    report = Report(operation.entries(image_ids), f"stored in {options.url}", module.check_mode)
    run_options = RunOptions(module.check_mode, options.wait, options.wait_timeout)
    run(
        operation,
        options.limits,
        run_options,
        clock,
        lambda: bucket.check(ec2.meta.region_name),
        report,
        watcher_of(module, f"store into {options.url}", options.limits, clock),
    )
    return report


def remove(
    module: AnsibleAWSModule, options: StoreOptions, image_ids: list[str]
) -> Report[AbsentEntry]:
    """Delete the stored images; what may not be deleted stands in _store_absent.why_not_delete."""
    ec2 = module.client("ec2")
    bucket = Bucket(module.client("s3"), options.bucket, options.expected_bucket_owner)
    removal = Removal(ec2, bucket, module.params["force"], module.check_mode)
    report = Report(
        removal.entries(image_ids, options.prefix), f"absent from {options.url}", module.check_mode
    )
    with report.stopping():
        bucket.check(ec2.meta.region_name)
        removal.run(report.entries)
    report.warnings += removal.warnings
    return report


def main() -> None:
    module = AnsibleAWSModule(argument_spec=build_argument_spec(), supports_check_mode=True)
    identify_collection()
    try:
        options = StoreOptions.from_params(module.params, module.check_mode)
        image_ids = clean_image_ids(module.params["image_ids"])
        options.check_keys(image_ids)
    except InputError as error:
        module.fail_json(msg=error.message, changed=False, images=[])
    if not image_ids:
        nothing_to_do(module)
    act = store if module.params["state"] == "present" else remove
    report = act(module, options, image_ids)
    report.exit(
        module, images=results(report.entries, options.bucket), diff=tag_diffs(report.entries)
    )


if __name__ == "__main__":
    main()
