#!/usr/bin/python
# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_ami_restore
version_added: 1.0.0
author: "amistore.aws contributors (@amistore)"
short_description: Restore AMIs from their objects in an S3 bucket
description:
  - Makes AMIs from stored images with CreateRestoreImageTask, one or hundreds in one task, in
    whatever account, Region
    or partition the bucket lies.
  - Every restored AMI and its snapshots carry the tags C(amistore:stored-image) and
    C(amistore:etag). They prove which
    object an AMI was restored from, so that a second run keeps it, a pending one is waited for, and
    a failed one is
    replaced. An AMI that merely has the wanted name is never taken for one, changed or deleted.
  - What to restore is said in exactly one way, with O(object_key), O(image_ids), O(stored_images)
    or O(all).
options:
  object_key:
    description:
      - The key of one stored image, whatever it is called. Its manifest is the object with V(.json)
        instead of V(.bin).
    type: str
  image_ids:
    description:
      - The ids that the AMIs had when they were stored; the objects C(<prefix>/<ami-id>.bin) are
        restored under the names
        that their manifests give.
      - Blank entries are dropped and repeats are merged. An empty list is a success with an empty
        result.
    type: list
    elements: str
    aliases: [image_id]
  stored_images:
    description:
      - The stored images to restore, each with its own name and tags.
    type: list
    elements: dict
    suboptions:
      object_key:
        description: The key of the stored image.
        type: str
        required: true
      name:
        description: The name of the new AMI; by default the one in the manifest.
        type: str
      tags:
        description: Tags of the new AMI; by default O(tags).
        type: dict
      snapshot_tags:
        description: Tags of its snapshots; by default O(snapshot_tags).
        type: dict
  all:
    description:
      - Restore every stored image that lies directly under O(prefix), under the names that their
        manifests give.
      - AMI names are unique in an account and Region. Those that have one name in common fail, the
        others are restored; give each its own name with O(stored_images).
    type: bool
    default: false
  prefix:
    description:
      - Where in the bucket the stored images of O(image_ids) and O(all) lie, such as
        V(dr/production).
    type: str
  name:
    description:
      - The name of the new AMI, 3 to 128 characters, with O(object_key). By default the one in the
        manifest.
    type: str
  tags:
    description:
      - Tags of the new AMIs, in addition to those that were stored with them, which come back.
      - Keys that begin with C(amistore:) are kept for the proof.
    type: dict
    aliases: [resource_tags]
  snapshot_tags:
    description:
      - Tags of the new snapshots. Omitted, they are the same as O(tags); V({}) means none.
    type: dict
  purge_tags:
    description:
      - Whether to remove tags that are in neither O(tags) nor the proof, the stored ones too.
      - Nothing is purged where O(tags) and O(snapshot_tags) are omitted.
    type: bool
    default: false
  adopt:
    description:
      - Accept an available AMI of the wanted name that carries no proof or another one. It gets the
        tags asked for, but
        never the proof.
    type: bool
    default: false
  allow_unencrypted:
    description:
      - Restore an AMI whose snapshots were encrypted even though EBS encryption by default is off
        in this Region, so that its disks come back in the clear. A restore cannot choose a key.
      - Needed too when a manifest is there but cannot be read, or does not tell. Without any
        manifest there is a warning.
    type: bool
    default: false
  in_flight_gib:
    description:
      - How many GiB may be restored at a time in this account, volume sizes added up, the work of
        others included. An AMI starts when it fits, or alone.
      - The default is what AWS allows every account. Give more where AWS has granted more, less to
        leave room for others.
    type: int
    default: 600
    version_added: 1.1.0
  verify:
    description:
      - Every AMI that is available at the end is compared with the manifest of its stored image;
        the result is returned as C(verification).
      - With V(report), differences are warned of. With V(strict), a difference is an error of that
        AMI, as is a comparison that was not possible, be it of a single field that counts, after
        everything else is done. The AMI stays for inspection.
      - V(strict) goes with O(wait) only.
    type: str
    choices: [report, strict]
    default: report
    version_added: 1.1.0
  record_evidence:
    description:
      - Whether to write, beside the manifest, that the AMI was restored from this object and that
        nothing differed from the manifest, with AWS's time. The object is
        C(<key without .bin>.verified.json).
      - It is written only where everything that counts could be compared, and not for an AMI that
        was adopted without proof. A warning says where it is not.
      - This needs the right to write that object, which a restore does not need otherwise.
    type: bool
    default: false
    version_added: 1.1.0
  launch_permissions:
    description:
      - Whether to share the restored AMIs with those that their manifests name, as far as
        O(allowed_launch_permissions) names them, too. V(leave) leaves launch permissions alone.
      - They are added when the AMI is available and, with O(verify=strict), found equal. None is
        removed.
    type: str
    choices: [leave, restore]
    default: leave
    version_added: 1.1.0
  allowed_launch_permissions:
    description:
      - With whom restored AMIs may be shared, by account id, ARN of an organization or ARN of an
        organizational unit. A manifest is a file in S3, so what it names is not enough.
      - Whom a manifest names beyond that is left out and reported. An AMI that was public does not
        become public again.
    type: list
    elements: str
    default: []
    version_added: 1.1.0
attributes:
  check_mode:
    support: full
    details:
      - Looks at everything a real run looks at, and proves the right to CreateRestoreImageTask with
        one DryRun when a
        restore would be started. The rights in S3, EBS and KMS are not covered by it.
  diff_mode:
    support: full
    details:
      - Shows the tags of AMIs and snapshots, and the launch permissions of AMIs, before and after.
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
  - The new AMI has a new id, belongs to the restoring account, and is not shared with anybody but
    those that O(launch_permissions) and O(allowed_launch_permissions) let in. Its snapshots are
    encrypted with the account's default EBS key where EBS encryption by default is on, and not at
    all where it is off.
  - With a name given, a restore works without a manifest.
seealso:
  - module: amistore.aws.ec2_ami_store
  - module: amistore.aws.ec2_ami_store_info
  - name: Store and restore an AMI using S3
    description: The feature in the Amazon EC2 User Guide.
    link: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-store-restore.html
"""

EXAMPLES = r"""
- name: Restore everything under a prefix after losing an account
  amistore.aws.ec2_ami_restore:
    region: eu-central-1
    bucket: my-ami-bucket
    prefix: dr/production
    all: true

- name: Restore two AMIs by their former ids
  amistore.aws.ec2_ami_restore:
    bucket: my-ami-bucket
    prefix: dr/production
    image_ids:
      - ami-0abcdef1234567890
      - ami-0fedcba9876543210
    tags:
      restored: "true"

- name: Restore one object under a new name
  amistore.aws.ec2_ami_restore:
    bucket: my-ami-bucket
    object_key: dr/production/ami-0abcdef1234567890.bin
    name: web-restored

- name: Restore several, each under its own name
  amistore.aws.ec2_ami_restore:
    bucket: my-ami-bucket
    stored_images:
      - object_key: ami-0abcdef1234567890.bin
        name: web-drill
        tags: {drill: "2026-05"}
      - object_key: ami-0fedcba9876543210.bin
        name: db-drill
        snapshot_tags: {}

- name: Prove that what is stored restores, and keep the proof for archiving
  amistore.aws.ec2_ami_restore:
    bucket: my-ami-bucket
    stored_images:
      - object_key: ami-0abcdef1234567890.bin
        name: web-drill
    verify: strict
    record_evidence: true

- name: Restore everything and share it as before, within the organization
  amistore.aws.ec2_ami_restore:
    bucket: my-ami-bucket
    all: true
    launch_permissions: restore
    allowed_launch_permissions:
      - "111122223333"
      - arn:aws:organizations::111122223333:organization/o-0123456789
"""

RETURN = r"""
images:
  description: One entry per stored image, in the order given. A failed task returns it too.
  returned: always
  type: list
  elements: dict
  contains:
    object_key:
      description: The key of the stored image.
      returned: always
      type: str
      sample: dr/production/ami-0abcdef1234567890.bin
    bucket:
      description: The bucket.
      returned: always
      type: str
      sample: my-ami-bucket
    image_id:
      description: The id of the restored AMI, V(null) where none was started.
      returned: always
      type: str
      sample: ami-0123456789abcdef0
    name:
      description: >-
        The name of the restored AMI, V(null) where neither the task nor a manifest gives one.
      returned: always
      type: str
      sample: web-2026-04
    state:
      description: The state of the AMI as AWS names it, or C(NotStarted).
      returned: always
      type: str
      sample: available
    state_reason:
      description: >-
        Why this one could not be handled, AWS's words last; V(null) when nothing is wrong with it.
      returned: always
      type: str
      sample: null
    snapshot_ids:
      description: The snapshots of the restored AMI.
      returned: always
      type: list
      elements: str
      sample: [snap-0123456789abcdef0]
    encrypted:
      description: >-
        Whether all disks of the restored AMI are encrypted, V(null) while AWS does not say.
      returned: always
      type: bool
      sample: true
    progress_percentage:
      description: AWS's estimate from the snapshots, weighted by their sizes.
      returned: always
      type: int
      sample: 100
    changed:
      description: >-
        Whether this run started, tagged or removed something for this one (in check mode, would
        have).
      returned: always
      type: bool
      sample: true
    verification:
      description: How the AMI compares with the manifest of its stored image.
      returned: always
      type: dict
      contains:
        equal:
          description: >-
            Whether nothing that was compared differs, V(null) where nothing was compared.
          returned: always
          type: bool
          sample: false
        differences:
          description: What differs.
          returned: always
          type: list
          elements: dict
          contains:
            field:
              description: >-
                What it is, such as C(boot_mode), C(disks./dev/xvda.volume_size) or C(tags.team).
              returned: always
              type: str
              sample: disks./dev/xvda.volume_size
            expected:
              description: The value in the manifest, or that the task asks for; V(null) for none.
              returned: always
              type: raw
              sample: 8
            actual:
              description: The value that the AMI has, V(null) for none.
              returned: always
              type: raw
              sample: 9
        unknown:
          description: What could not be compared, since the manifest or AWS does not tell.
          returned: always
          type: list
          elements: str
          sample: [uefi_data]
        reason:
          description: Why nothing was compared, V(null) where it was.
          returned: always
          type: str
          sample: null
        stored_encrypted:
          description: >-
            Whether any disk was encrypted when it was stored, V(null) where that is unknown.
            Encryption is that of the restoring account and never a difference.
          returned: always
          type: bool
          sample: true
    evidence:
      description: >-
        The evidence that this object restores; V(null) without O(record_evidence), and where the
        run ended before.
      returned: always
      type: dict
      contains:
        verified_at:
          description: >-
            When this restore was verified, by AWS's clock; V(null) where there is no evidence.
          returned: always
          type: str
          sample: "2026-05-01T12:00:00+00:00"
        reason:
          description: Why there is none, V(null) where there is.
          returned: always
          type: str
          sample: null
    launch_permissions:
      description: >-
        What became of the launch permissions in the manifest; V(null) unless they were to be
        restored, and where the run ended before.
      returned: always
      type: dict
      contains:
        shared_with:
          description: Those of the manifest that may launch the AMI (in check mode, could).
          returned: always
          type: list
          elements: str
          sample: ["111122223333"]
        left_out:
          description: Those of the manifest that O(allowed_launch_permissions) does not name.
          returned: always
          type: list
          elements: str
          sample: ["444455556666"]
        reason:
          description: Why none was restored, V(null) where nothing was in the way.
          returned: always
          type: str
          sample: null
msg:
  description: The counts, then at most ten stored images that need attention, each with its reason.
  returned: always
  type: str
  sample: "3 AMIs: 3 restored from s3://my-ami-bucket."
permission_checked:
  description:
    - Whether a DryRun proved the right to CreateRestoreImageTask. It is sent only when a restore
      would be started.
  returned: in check mode
  type: bool
  sample: true
"""

import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    InputError,
    client_without_retries,
    identify_collection,
)
from ansible_collections.amistore.aws.plugins.module_utils._inputs import limit_options
from ansible_collections.amistore.aws.plugins.module_utils._pacing import (
    RESTORE_LIMITS,
    SystemClock,
)
from ansible_collections.amistore.aws.plugins.module_utils._progress import watcher_of
from ansible_collections.amistore.aws.plugins.module_utils._report import Report, nothing_to_do
from ansible_collections.amistore.aws.plugins.module_utils._restore import (
    RestoreEntry,
    RestoreOperation,
    RestoreOptions,
    results,
    tag_diffs,
)
from ansible_collections.amistore.aws.plugins.module_utils._restore_targets import found, targets
from ansible_collections.amistore.aws.plugins.module_utils._restored import (
    Aftercare,
    sharing_diffs,
)
from ansible_collections.amistore.aws.plugins.module_utils._run import RunOptions, run
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket


def build_argument_spec() -> dict[str, t.Any]:
    stored_image = {
        "object_key": {"type": "str", "required": True, "no_log": False},
        "name": {"type": "str"},
        "tags": {"type": "dict"},
        "snapshot_tags": {"type": "dict"},
    }
    return {
        "bucket": {"type": "str", "required": True},
        "expected_bucket_owner": {"type": "str"},
        "object_key": {"type": "str", "no_log": False},
        "image_ids": {"type": "list", "elements": "str", "aliases": ["image_id"]},
        "stored_images": {"type": "list", "elements": "dict", "options": stored_image},
        "all": {"type": "bool", "default": False},
        "prefix": {"type": "str"},
        "name": {"type": "str"},
        "tags": {"type": "dict", "aliases": ["resource_tags"]},
        "snapshot_tags": {"type": "dict"},
        "purge_tags": {"type": "bool", "default": False},
        "adopt": {"type": "bool", "default": False},
        "allow_unencrypted": {"type": "bool", "default": False},
        "progress": {"type": "bool", "default": True},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 7200},
        "verify": {"type": "str", "choices": ["report", "strict"], "default": "report"},
        "record_evidence": {"type": "bool", "default": False},
        "launch_permissions": {
            "type": "str",
            "choices": ["leave", "restore"],
            "default": "leave",
        },
        "allowed_launch_permissions": {"type": "list", "elements": "str", "default": []},
        **limit_options(RESTORE_LIMITS),
    }


def restore(
    module: AnsibleAWSModule, options: RestoreOptions, entries: list[RestoreEntry]
) -> Report[RestoreEntry]:
    """Restore what is not restored; how each is decided stands in _restore.decide."""
    ec2 = module.client("ec2")
    bucket = Bucket(module.client("s3"), options.bucket, options.expected_bucket_owner)
    clock = SystemClock()
    operation = RestoreOperation(ec2, client_without_retries(module, "ec2"), bucket, options)
    report = Report(entries, f"restored from {bucket.url()}", module.check_mode)
    run_options = RunOptions(module.check_mode, module.params["wait"], options.wait_timeout)

    def prepare() -> None:
        bucket.check(ec2.meta.region_name)
        if module.params["all"]:
            entries.extend(found(module.params, bucket))
            if not entries:
                report.warnings.append(
                    f"No stored image lies directly under prefix {module.params['prefix'] or ''!r}"
                    f" in {bucket.url()}, so nothing is restored. Check bucket and prefix."
                )

    watcher = watcher_of(module, f"restore from {bucket.url()}", options.limits, clock)
    run(operation, options.limits, run_options, clock, prepare, report, watcher)
    if not report.stopped_by:
        care = Aftercare(ec2, bucket, options)
        with report.stopping():
            care.run(report.entries)
        report.warnings += care.warnings
    return report


def main() -> None:
    module = AnsibleAWSModule(argument_spec=build_argument_spec(), supports_check_mode=True)
    identify_collection()
    try:
        options = RestoreOptions.from_params(module.params, module.check_mode)
        entries = targets(module.params, options.bucket)
    except InputError as error:
        module.fail_json(msg=error.message, changed=False, images=[])
    if not entries and not module.params["all"]:
        nothing_to_do(module)
    report = restore(module, options, entries)
    report.exit(
        module,
        images=results(report.entries, options.bucket),
        diff=[*tag_diffs(report.entries), *sharing_diffs(report.entries)],
    )


if __name__ == "__main__":
    main()
