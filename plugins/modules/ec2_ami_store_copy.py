#!/usr/bin/python
# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_ami_store_copy
version_added: 1.1.0
author: "amistore.aws contributors (@amistore)"
short_description: Copy stored images to a bucket in another Region, account or partition
description:
  - Copies the objects that CreateStoreImageTask has written, with their manifests, metadata and
    tags, from one bucket to another, for example from a commercial Region to AWS GovCloud (US) or
    China.
  - The usual connection options describe the destination, those that begin with C(source_) the
    source.
  - S3 copies by itself where the destination's credentials can read the source. Elsewhere the bytes
    stream through the machine that runs the task, never through its disks.
  - Every copy is proved to be equal to its source before it counts as done, and the proof is
    written beside it. An object that is there and proved is left alone; anything else under its key
    is an error unless O(overwrite) is set.
  - A run that was killed or failed is gone on with by the next one; parts that the destination has
    acknowledged are not sent again.
options:
  source_bucket:
    description:
      - The bucket to copy from, a plain general-purpose bucket.
    type: str
    required: true
  source_expected_bucket_owner:
    description:
      - The id of the account that must own O(source_bucket), 12 digits in quotes.
    type: str
  object_keys:
    description:
      - The keys of the stored images to copy. Their manifests come along by themselves.
      - Give exactly one of O(object_keys), O(image_ids) and O(all).
      - Blank entries are dropped and repeats are merged. An empty list is a success with an empty
        result.
    type: list
    elements: str
    aliases: [object_key]
  image_ids:
    description:
      - The ids of AMIs whose objects C(<source_prefix>/<ami-id>.bin) are copied.
    type: list
    elements: str
    aliases: [image_id]
  all:
    description:
      - Copy every stored image that lies under O(source_prefix), however deep. Within one bucket,
        O(prefix) must lie elsewhere.
    type: bool
    default: false
  source_prefix:
    description:
      - Where in O(source_bucket) the stored images lie, such as V(dr/production).
    type: str
  prefix:
    description:
      - What takes the place of O(source_prefix) in the keys of the copies. By default every copy
        has the key of its source.
    type: str
  overwrite:
    description:
      - Replace an object under the key of a copy that is not proved to be equal to the source, and
        the manifest of another image beside it. Where the source has none, that one is deleted.
      - What appears there while the copy is under way is not replaced.
    type: bool
    default: false
  tags:
    description:
      - Tags of the copies, over those that the sources have, which come along.
      - A copy that is there already gets those that it lacks, and their values. None are removed.
    type: dict
    aliases: [resource_tags]
  storage_class:
    description:
      - The storage class of new copies, one that a restore can read.
    type: str
    choices: [STANDARD, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER_IR]
  kms_key_id:
    description:
      - The KMS key that encrypts new copies, in the account and Region of the destination. By
        default the bucket's own encryption applies.
    type: str
  method:
    description:
      - V(server_side) lets S3 copy, V(streaming) sends the bytes through this machine.
      - V(auto) lets S3 copy within one partition where the destination's credentials can read the
        source, and streams elsewhere. The result tells which and why.
    type: str
    choices: [auto, server_side, streaming]
    default: auto
  concurrency:
    description:
      - How many parts may move at a time, 1 to 256. Where the bytes stream through this machine,
        each object begins with 5, with more where requests take long, where its first parts come or
        leave slowly, or where more were of use for the object before. After some seconds more are
        tried, and then again and again as long as more of them are faster. Fewer move once a server
        asks to slow down, and where more would not fit into O(memory).
      - Each part is read, over up to four connections if it is among the first or one is slow, and
        then sent over one.
        Where the network gives each connection its share, as between partitions, more parts at a
        time are faster.
    type: int
    default: 64
  memory:
    description:
      - How many MiB the parts on their way may take at a time, whatever the size of the object. One
        part is always let in, however large the object makes it.
      - An object of more than 80 GB has parts of more than 8 MiB, one of 1 TiB parts of 105 MiB.
        Give more to move more such parts at a time.
    type: int
    default: 400
  part_size:
    description:
      - The least size of a part in MiB, 5 to 5120. Where the bytes stream through this machine, no
        more than O(memory).
      - By default the parts are those in which the source was uploaded, up to 64 MiB, so that its
        ETag proves the copy; else 8 MiB. They grow where an object would have more than 9,997 of
        them.
    type: int
  wait_timeout:
    description:
      - How long the whole run may take, in seconds. When it has passed, the task fails, and running
        it again goes on.
      - Within it, a side that asks to slow down, or that has answered before and then answers
        nobody, is waited for up to 15 minutes. Once that was in vain, and where only one request
        fails, a few tries are made.
    type: int
    default: 86400
  keep_unfinished:
    description:
      - Whether an unfinished upload stays for the next run when a copy fails. S3 charges for its
        parts until it is completed or aborted.
      - Where the source changes during the copy, the upload is aborted all the same.
    type: bool
    default: true
  abort_unfinished_after:
    description:
      - After how many days without a new part an unfinished upload of this module is aborted when
        it does not fit the source or the options any more, or the copy is there. The next run for
        the same key does so. Uploads of others are never touched.
    type: int
    default: 7
attributes:
  check_mode:
    support: full
    details:
      - Looks at everything a real run looks at before it copies, and reads no bodies but those of
        manifests.
  diff_mode:
    support: full
    details:
      - Shows the tags of the copies before and after.
  idempotent:
    support: full
extends_documentation_fragment:
  - amistore.aws._ami_store.bucket
  - amistore.aws._ami_store.source
  - amistore.aws._attributes
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
notes:
  - A restore reads a copy as it reads the original, with the manifest beside it. What does not
    travel are the id of the AMI, its launch permissions and the key that encrypted its snapshots.
  - Two runs that copy one object at a time do no harm. They share an upload where their options are
    the same; the one that comes second finds the copy there.
  - With a server that keeps no checksums of parts, everything is read back, and an interrupted copy
    begins anew.
seealso:
  - module: amistore.aws.ec2_ami_store
  - module: amistore.aws.ec2_ami_restore
  - name: Store and restore an AMI using S3
    description: The feature in the Amazon EC2 User Guide.
    link: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-store-restore.html
"""

EXAMPLES = r"""
- name: Copy everything under a prefix from a commercial Region to AWS GovCloud (US)
  amistore.aws.ec2_ami_store_copy:
    source_profile: commercial
    source_region: us-east-1
    source_bucket: my-ami-bucket
    source_prefix: dr/production
    all: true
    profile: govcloud
    region: us-gov-west-1
    bucket: my-gov-ami-bucket

- name: Copy two AMIs to another account in the same Region, which S3 does by itself
  amistore.aws.ec2_ami_store_copy:
    source_bucket: my-ami-bucket
    image_ids:
      - ami-0abcdef1234567890
      - ami-0fedcba9876543210
    bucket: my-other-ami-bucket
    prefix: from-my-ami-bucket
    expected_bucket_owner: "123456789012"

- name: Copy one object, encrypted with a key of the destination
  amistore.aws.ec2_ami_store_copy:
    source_region: us-east-1
    source_bucket: my-ami-bucket
    object_keys:
      - dr/production/ami-0abcdef1234567890.bin
    region: eu-west-1
    bucket: my-ami-bucket-dublin
    kms_key_id: arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab
    tags:
      copied: "true"
"""

RETURN = r"""
images:
  description: One entry per stored image, in the order given. A failed task returns it too.
  returned: always
  type: list
  elements: dict
  contains:
    source_bucket:
      description: The bucket copied from.
      returned: always
      type: str
      sample: my-ami-bucket
    source_key:
      description: The key of the source.
      returned: always
      type: str
      sample: dr/production/ami-0abcdef1234567890.bin
    bucket:
      description: The bucket copied to.
      returned: always
      type: str
      sample: my-gov-ami-bucket
    object_key:
      description: The key of the copy.
      returned: always
      type: str
      sample: dr/production/ami-0abcdef1234567890.bin
    manifest_key:
      description: >-
        The key of the copy's manifest, V(null) where the source has none or this run did not come
        to it.
      returned: always
      type: str
      sample: dr/production/ami-0abcdef1234567890.json
    state:
      description:
        - C(Copied) by this run, C(Present) where it was there and is proved, C(NotCopied) where
          this run did not come to it or only foresees it, C(Failed).
      returned: always
      type: str
      sample: Copied
    reason:
      description: Why this one could not be copied and what to do, V(null) when nothing is wrong.
      returned: always
      type: str
      sample: null
    size:
      description: The size in bytes, V(null) where the source was not looked at.
      returned: always
      type: int
      sample: 1483486006
    parts:
      description: How many parts the copy is made of, 0 where nothing was to be copied.
      returned: always
      type: int
      sample: 177
    parts_sent:
      description: How many parts this run has sent, or has had S3 copy.
      returned: always
      type: int
      sample: 100
    parts_reused:
      description: How many parts an earlier run had sent.
      returned: always
      type: int
      sample: 77
    bytes_read:
      description: Bytes of bodies that were read, those that were read back included.
      returned: always
      type: int
      sample: 838860800
    bytes_sent:
      description: Bytes of bodies that were sent, repeated requests included.
      returned: always
      type: int
      sample: 838860800
    seconds:
      description: How long this one took.
      returned: always
      type: float
      sample: 12.5
    method:
      description: C(server_side) or C(streaming), V(null) where nothing was to be copied.
      returned: always
      type: str
      sample: streaming
    method_reason:
      description: Why this way was taken, V(null) where nothing was to be copied.
      returned: always
      type: str
      sample: the two sides are in different partitions
    checksum:
      description:
        - The SHA-256 of the copy as S3 writes it, in base64; with a dash and the number of parts
          where it is made of the checksums of parts. V(null) where none is known.
      returned: always
      type: str
      sample: y2t0uoXKSZBFHcXY9vDkJXnYnUAa5EWvR3ch0F2HgGA=-177
    proof:
      description: How the copy is known to be equal to the source, V(null) where it is not.
      returned: always
      type: dict
      contains:
        source:
          description:
            - How what was read is known to be the source. C(etag), the MD5 sums of its parts give
              its ETag. C(sha256), it has the checksum that S3 keeps. C(tls), it was pinned, came in
              its exact length and through TLS. C(read twice), with the same result both times.
              C(s3), S3 copied it within its own storage.
          returned: always
          type: str
          sample: etag
        destination:
          description:
            - How what was sent is known to be at the destination. C(checksums), the server refuses
              wrong checksums and confirmed each. C(etag), its ETag is that of the source.
              C(sha256), so is the checksum that S3 keeps of it. C(read back), it was read again.
              C(s3), S3 copied it within its own storage.
          returned: always
          type: str
          sample: checksums
        parts_read_back:
          description: How many parts were read back.
          returned: always
          type: int
          sample: 0
    changed:
      description: >-
        Whether this run sent, wrote or removed something for this one (in check mode, would have).
      returned: always
      type: bool
      sample: true
msg:
  description: The counts, then at most ten stored images that failed, each with its reason.
  returned: always
  type: str
  sample: "3 stored images to s3://my-gov-ami-bucket: 3 copied."
"""

import typing as t
from functools import partial

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    InputError,
    error_text,
    identify_collection,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy import Copier
from ansible_collections.amistore.aws.plugins.module_utils._copy_clients import (
    check_bucket,
    sides,
    source_options,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import (
    METHODS,
    STORAGE_CLASSES,
    CopyEntry,
    CopyOptions,
    found,
    listing_start,
    targets,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_means import Means
from ansible_collections.amistore.aws.plugins.module_utils._copy_report import CopyReport
from ansible_collections.amistore.aws.plugins.module_utils._copy_reuse import (
    keep_freed_memory,
    made_to_stay,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_together import together
from ansible_collections.amistore.aws.plugins.module_utils._pacing import SystemClock


def build_argument_spec() -> dict[str, t.Any]:
    return {
        "source_bucket": {"type": "str", "required": True},
        "source_expected_bucket_owner": {"type": "str"},
        **source_options(),
        "bucket": {"type": "str", "required": True},
        "expected_bucket_owner": {"type": "str"},
        "object_keys": {
            "type": "list",
            "elements": "str",
            "aliases": ["object_key"],
            "no_log": False,
        },
        "image_ids": {"type": "list", "elements": "str", "aliases": ["image_id"]},
        "all": {"type": "bool", "default": False},
        "source_prefix": {"type": "str"},
        "prefix": {"type": "str"},
        "overwrite": {"type": "bool", "default": False},
        "tags": {"type": "dict", "aliases": ["resource_tags"]},
        "storage_class": {"type": "str", "choices": list(STORAGE_CLASSES)},
        "kms_key_id": {"type": "str", "no_log": False},
        "method": {"type": "str", "choices": list(METHODS), "default": "auto"},
        "concurrency": {"type": "int", "default": 64},
        "memory": {"type": "int", "default": 400},
        "part_size": {"type": "int"},
        "wait_timeout": {"type": "int", "default": 86400},
        "keep_unfinished": {"type": "bool", "default": True},
        "abort_unfinished_after": {"type": "int", "default": 7},
    }


def copy(module: AnsibleAWSModule, options: CopyOptions, entries: list[CopyEntry]) -> CopyReport:
    """Copy what is not there; how each is decided stands in _copy_decide.decide.

    :raises InputError: for source options that do not go together.
    """
    clock = SystemClock()
    with made_to_stay():
        source, destination = sides(module, options, clock, clock.now() + options.wait_timeout)
    means = Means(source, destination, options, clock)
    copier = Copier(means)
    report = CopyReport(entries, options, warnings=means.warnings)
    try:
        for check in together(
            lambda: check_bucket(source),
            lambda: check_bucket(destination),
            # Nothing is told of it before both buckets are known to be right.
            *(partial(copier.observer.look_ahead, entry) for entry in entries[:1]),
        ):
            check()
        if module.params["all"]:
            copier.check_prefixes()
            with source.explaining("list", ""):
                entries += found(options, source.bucket.list(listing_start(options)))
        for entry in entries:
            copier.copy(entry)
    except AmiStoreError as error:
        report.stopped_by = error_text(error)
    return report


def main() -> None:
    keep_freed_memory()
    module = AnsibleAWSModule(argument_spec=build_argument_spec(), supports_check_mode=True)
    identify_collection()
    try:
        options = CopyOptions.from_params(module.params, module.check_mode)
        entries = targets(module.params, options)
        report = CopyReport(entries, options)
        if entries or module.params["all"]:
            report = copy(module, options, entries)
    except InputError as error:
        module.fail_json(msg=error.message, changed=False, images=[])
    report.exit(module)


if __name__ == "__main__":
    main()
