#!/usr/bin/python
# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_bucket_baseline
version_added: 1.1.0
author: "amistore.aws contributors (@amistore)"
short_description: Make an S3 bucket safe for stored AMIs
description:
  - Creates or adopts a bucket and raises it to what AWS asks of a bucket for stored AMIs, which are
    the disks of machines as they were, secrets included.
  - The bucket is closed to the public, ACLs are off, it is encrypted, and requests without TLS are
    denied. The options add to that.
  - In check mode it is an audit, which lists every setting that is not as it should be in
    RV(drift), also for a bucket that does not exist yet.
  - The module owns the policy's statements whose Sid begins with C(Amistore) and the lifecycle's
    rules whose id begins with C(amistore-). All other statements, rules, event notifications and
    tags stay. A setting that no option asks for stays, too.
  - What would break store or restore is refused with the reason, before anything is changed.
  - It never deletes a bucket, an object, or a version of one, and none of its lifecycle rules
    expires a current object.
options:
  bucket:
    description:
      - The name of the bucket. It is created if it does not exist.
  encryption:
    description:
      - The default encryption, with S3's own keys (V(AES256)) or a key of AWS KMS (V(aws:kms)).
      - Omitted, it is V(aws:kms) where O(kms_key_id) is given, else what the bucket has, which is
        V(AES256) for a new one.
    type: str
    choices: [AES256, "aws:kms"]
  kms_key_id:
    description:
      - The KMS key, best as its ARN. It must be in the bucket's Region. An S3 Bucket Key is used.
      - Without it, V(aws:kms) keeps the KMS key that the bucket has. A bucket without one gets the
        key C(aws/s3), which no other account can ever use.
    type: str
  minimum_tls_version:
    description:
      - The oldest version of TLS that is let in.
      - V(1.3) is asked of callers only. What EC2's own connection to S3 uses is not documented, so
        EC2 is let in with 1.2 when it stores or restores in a caller's name.
    type: str
    choices: ["1.2", "1.3"]
    default: "1.2"
  deny_customer_keys:
    description:
      - Whether to deny uploads that are encrypted with a key of the uploader (SSE-C). Nobody else
        could read such an object, and CreateRestoreImageTask has no way to be given the key.
    type: bool
    default: true
  versioning:
    description:
      - Whether versioning is to be on. With V(false) it stays as it is.
    type: bool
    default: true
  object_lock:
    description:
      - Whether to turn Object Lock on, so that single stored images can be locked. With V(false) it
        stays as it is.
      - This cannot be undone. No default retention is set, because that may break stores.
    type: bool
    default: false
  prefix:
    description:
      - What the lifecycle rules and O(grant) are limited to, for a bucket that also holds other
        things.
    type: str
  abort_incomplete_upload_days:
    description:
      - After how many days the parts of an upload that was never completed are removed, 7 or more.
    type: int
    default: 7
  noncurrent_days:
    description:
      - After how many days S3 removes versions that are no longer current, which are those of
        objects that were overwritten or deleted.
      - Omitted, they are kept.
    type: int
  transition_days:
    description:
      - After how many days objects of more than 128 KiB move to O(transition_storage_class).
        Manifests are smaller and stay.
    type: int
  transition_storage_class:
    description:
      - The storage class for older stored images.
      - From V(GLACIER) and V(DEEP_ARCHIVE) nothing can be restored before it has been thawed by
        hand, so they need O(allow_archive).
    type: str
    choices:
      - STANDARD_IA
      - ONEZONE_IA
      - INTELLIGENT_TIERING
      - GLACIER_IR
      - GLACIER
      - DEEP_ARCHIVE
  allow_archive:
    description:
      - Whether stored images may go where they must be thawed before they can be restored.
    type: bool
    default: false
  allowed_accounts:
    description:
      - Who may use the bucket, by account id, in quotes. Together with O(allowed_organizations) and
        O(allowed_principals) this is one list. Once it has entries, everybody else is denied
        everything.
      - Who runs the task must be on it. For O(allowed_organizations) that is known only with the
        right to C(organizations:DescribeOrganization).
    type: list
    elements: str
    default: []
  allowed_organizations:
    description:
      - Who may use the bucket, by the id of an organization of AWS Organizations.
    type: list
    elements: str
    default: []
  allowed_principals:
    description:
      - Who may use the bucket, by the ARN of an IAM role or user. The name may hold C(*).
    type: list
    elements: str
    default: []
  grant:
    description:
      - What the bucket's policy allows those who are named above, which members of other accounts
        need beside the policies of their own. V(restore) is to list and read, V(store) is to write
        too.
      - Nobody is allowed to delete, or to change the bucket's settings.
    type: list
    elements: str
    choices: [store, restore]
    default: []
  logging_bucket:
    description:
      - The bucket that S3 writes the access log to, of the same account and Region and without a
        default retention. Its policy must let C(logging.s3.amazonaws.com) write.
      - Omitted, access logging stays as it is.
    type: str
  logging_prefix:
    description:
      - What the keys of log objects begin with. The default is the name of the bucket and a slash.
    type: str
  eventbridge:
    description:
      - Whether S3 is to send its events to Amazon EventBridge, of which C(Object Created) tells
        that a store is complete. With V(false) it stays as it is.
    type: bool
    default: true
  tags:
    description:
      - Tags of the bucket. Omitted, they stay as they are.
    type: dict
    aliases: [resource_tags]
  purge_tags:
    description:
      - Whether tags that O(tags) does not name are removed.
    type: bool
    default: false
  block_account_public_access:
    description:
      - Whether to block public access for every bucket of the account, too. With V(false) that
        stays as it is.
    type: bool
    default: false
extends_documentation_fragment:
  - amistore.aws._attributes
  - amistore.aws._ami_store.bucket
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    details:
      - Every setting is compared. Whether the caller may change them is not tried.
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Statements that limit who may use the bucket hold for AWS services that act in a caller's name
    as for the caller, so they bind store and restore as well.
seealso:
  - module: amistore.aws.ec2_ami_store
  - name: Store and restore an AMI using S3
    description: AWS's recommendations for the bucket.
    link: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-ami-store-restore.html
"""

EXAMPLES = r"""
- name: Make a bucket that is safe for stored AMIs
  amistore.aws.s3_bucket_baseline:
    bucket: my-ami-bucket

- name: What is not as it should be, and would be changed?
  amistore.aws.s3_bucket_baseline:
    bucket: my-ami-bucket
  check_mode: true
  register: audit

- name: A vault that two accounts store into, with a key of its own
  amistore.aws.s3_bucket_baseline:
    bucket: my-ami-vault
    kms_key_id: arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab
    allowed_accounts:
      - "111122223333"
      - "444455556666"
    grant:
      - store
      - restore
    noncurrent_days: 90
    transition_days: 90
    transition_storage_class: GLACIER_IR
    logging_bucket: my-access-logs
"""

RETURN = r"""
bucket:
  description: The name of the bucket.
  returned: success
  type: str
  sample: my-ami-bucket
arn:
  description: The bucket's ARN.
  returned: success
  type: str
  sample: arn:aws:s3:::my-ami-bucket
region:
  description: The bucket's Region.
  returned: success
  type: str
  sample: us-east-1
kms_key_id:
  description:
    - The KMS key that the bucket encrypts with by default, as S3 knows it.
    - V(null) where S3's keys or the key C(aws/s3) are used.
  returned: success, or when the bucket was looked at
  type: str
  sample: arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab
existed:
  description: Whether the bucket existed before.
  returned: success, or when the bucket was looked at
  type: bool
  sample: true
drift:
  description:
    - What was not as it should be, and has been corrected, or would be in check mode.
    - When the task fails half-way, it is what was to be corrected.
  returned: success, or when the bucket was looked at
  type: list
  elements: dict
  contains:
    setting:
      description: The setting, with the name of its part where it has several.
      returned: always
      type: str
      sample: policy.AmistoreDenyInsecureTransport
    before:
      description: What it was, V(null) for what was not there.
      returned: always
      type: raw
      sample: null
    after:
      description: What it should be, V(null) for what should not be there.
      returned: always
      type: raw
      sample: Enabled
"""

import typing as t
from dataclasses import replace

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    call_aws,
    error_code,
    error_text,
    identify_collection,
)
from ansible_collections.amistore.aws.plugins.module_utils._bucket_baseline import Baseline
from ansible_collections.amistore.aws.plugins.module_utils._bucket_configuration import (
    AccountConfiguration,
    BucketConfiguration,
)
from ansible_collections.amistore.aws.plugins.module_utils._bucket_hardening import Hardening
from ansible_collections.amistore.aws.plugins.module_utils._bucket_obstacles import Caller
from ansible_collections.amistore.aws.plugins.module_utils._pacing import SystemClock

STORAGE_CLASSES = [
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
]


def build_argument_spec() -> dict[str, t.Any]:
    names: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
    return {
        "bucket": {"type": "str", "required": True},
        "expected_bucket_owner": {"type": "str"},
        "encryption": {"type": "str", "choices": ["AES256", "aws:kms"]},
        "kms_key_id": {"type": "str", "no_log": False},
        "minimum_tls_version": {"type": "str", "choices": ["1.2", "1.3"], "default": "1.2"},
        "deny_customer_keys": {"type": "bool", "default": True, "no_log": False},
        "versioning": {"type": "bool", "default": True},
        "object_lock": {"type": "bool", "default": False},
        "prefix": {"type": "str"},
        "abort_incomplete_upload_days": {"type": "int", "default": 7},
        "noncurrent_days": {"type": "int"},
        "transition_days": {"type": "int"},
        "transition_storage_class": {"type": "str", "choices": STORAGE_CLASSES},
        "allow_archive": {"type": "bool", "default": False},
        "allowed_accounts": names,
        "allowed_organizations": names,
        "allowed_principals": names,
        "grant": {**names, "choices": ["store", "restore"]},
        "logging_bucket": {"type": "str"},
        "logging_prefix": {"type": "str"},
        "eventbridge": {"type": "bool", "default": True},
        "tags": {"type": "dict", "aliases": ["resource_tags"]},
        "purge_tags": {"type": "bool", "default": False},
        "block_account_public_access": {"type": "bool", "default": False},
    }


def ask_caller(module: AnsibleAWSModule) -> Caller | None:
    """Return who runs the task, None where STS does not tell."""
    try:
        answer = call_aws("ask who calls", module.client("sts").get_caller_identity)
    except AmiStoreError:
        return None
    return Caller(str(answer["Account"]), str(answer["Arn"]))


def ask_organization(module: AnsibleAWSModule) -> str | None:
    """Return the id of the caller's organization, "" if there is none, None if AWS does not tell.

    Once and in little time: many networks do not reach this service.
    """
    impatient = {"connect_timeout": 5, "read_timeout": 10, "retries": {"total_max_attempts": 1}}
    settings = {**(module.params.get("aws_config") or {}), **impatient}
    client = module.client("organizations", aws_config=settings)
    try:
        answer = call_aws("ask for the organization", client.describe_organization)
    except AmiStoreError as error:
        return "" if error_code(error) == "AWSOrganizationsNotInUseException" else None
    return str(answer["Organization"]["Id"])


def prepare(module: AnsibleAWSModule) -> Hardening:
    baseline = Baseline.from_params(module.params)
    bucket = BucketConfiguration(
        module.client("s3"), baseline.bucket, baseline.expected_bucket_owner
    )
    caller = ask_caller(module)
    if caller and baseline.audience.organizations:
        caller = replace(caller, organization=ask_organization(module))
    hardening = Hardening(bucket, baseline, caller)
    if baseline.block_account_public_access:
        hardening.account = account_of(module, baseline, caller)
    return hardening


def account_of(
    module: AnsibleAWSModule, baseline: Baseline, caller: Caller | None
) -> AccountConfiguration:
    """Return the account whose buckets are to be closed, which is the owner of this one."""
    if caller is None:
        raise AmiStoreError(message="block_account_public_access: STS does not tell the account")
    if baseline.expected_bucket_owner not in (None, caller.account):
        raise AmiStoreError(
            message=f"block_account_public_access would close account {caller.account}, which runs"
            f" this task, and not {baseline.expected_bucket_owner}, which expected_bucket_owner"
            " says: use credentials of that one. Nothing was changed"
        )
    return AccountConfiguration(module.client("s3control"), caller.account)


def run(module: AnsibleAWSModule, hardening: Hardening) -> dict[str, t.Any]:
    try:
        hardening.observe()
        if not module.check_mode:
            hardening.apply(SystemClock())
    except AmiStoreError as error:
        so_far = {**hardening.report(), "changed": hardening.changed}
        module.fail_json(msg=error_text(error), **so_far)
    finally:
        for warning in hardening.warnings:
            module.warn(warning)
    changed = bool(hardening.drift) if module.check_mode else hardening.changed
    result = {**hardening.report(), "changed": changed}
    return {**result, "diff": hardening.diff()} if module._diff else result


def main() -> None:
    module = AnsibleAWSModule(argument_spec=build_argument_spec(), supports_check_mode=True)
    identify_collection()
    try:
        hardening = prepare(module)
    except AmiStoreError as error:
        module.fail_json(msg=error_text(error))
    module.exit_json(**run(module, hardening))


if __name__ == "__main__":
    main()
