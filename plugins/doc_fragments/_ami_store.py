# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This fragment is private to the collection and may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    # How a run over many AMIs waits.
    DOCUMENTATION = r"""
options:
  wait:
    description:
      - Whether to wait until every AMI has ended, well or not.
      - With V(false), what AWS lets start at once is started, the rest is returned as
        C(NotStarted), and running the
        same task again continues.
    type: bool
    default: true
  wait_timeout:
    description:
      - How long to wait, in seconds, for the whole run.
      - When it has passed, the task fails and says which AMI is where; AWS goes on, and running the
        same task again
        picks everything up.
      - AWS accepts 50 starts at once and then one per 10 seconds; the task warns when that alone
        takes longer, see O(create_burst).
    type: int
    default: 7200
  progress:
    description:
      - Whether to show, while the task runs, how many AMIs are done, in flight, not started and
        failed, and how long the rest may still take.
      - It is shown on the controller's standard error, so that what a callback plugin writes to
        standard output stays as it is.
      - It is shown with the C(local) connection only, and neither with C(async), nor in check
        mode, nor under C(no_log).
    type: bool
    default: true
    version_added: 1.1.0
"""

    # The bucket, as every call to S3 and EC2 sees it.
    BUCKET = r"""
options:
  bucket:
    description:
      - The name of the S3 bucket, a plain general-purpose bucket in the Region of the call.
      - Paths, ARNs and access points are refused, see O(prefix) for paths.
    type: str
    required: true
  expected_bucket_owner:
    description:
      - The id of the account that must own the bucket, 12 digits in quotes.
      - It is checked before anything else and sent with every request to S3.
      - CreateStoreImageTask and CreateRestoreImageTask themselves take no such condition.
    type: str
"""

    # How fast AWS lets an account go; the GiB in flight differ from module to module.
    LIMITS = r"""
options:
  create_burst:
    description:
      - How many create requests AWS accepts at once before it asks for a pause between them. They
        come together again while none are sent, one per O(seconds_per_create).
      - The default is what AWS allows every account and Region. Give more where AWS has granted
        more, less to leave requests to others, or where tasks for several buckets run side by
        side.
      - What AWS throttles all the same is sent again later and never fails a task.
    type: int
    default: 50
    version_added: 1.1.0
  seconds_per_create:
    description:
      - How many seconds AWS takes to allow one more create request.
    type: float
    default: 10.0
    version_added: 1.1.0
"""

    # The source of a copy; the usual connection options reach the destination.
    SOURCE = r"""
options:
  source_region:
    description:
      - The Region of O(source_bucket). By default that of O(source_profile), else that of the
        destination.
    type: str
  source_profile:
    description:
      - A profile whose credentials read the source. They are refreshed while the task runs where
        the profile can do so, for example with a role, SSO or C(credential_process).
      - Without it and without O(source_access_key), the source is read with the credentials of the
        destination.
    type: str
  source_access_key:
    description:
      - The access key that reads the source, with O(source_secret_key).
    type: str
  source_secret_key:
    description:
      - The secret that belongs to O(source_access_key).
    type: str
  source_session_token:
    description:
      - The session token that belongs to O(source_access_key), where the credentials are temporary.
        They are not refreshed; when they expire, the task fails and goes on when it is run again.
    type: str
  source_endpoint_url:
    description:
      - The URL of the source's S3 endpoint. By default AWS's own for O(source_region); where
        neither Region nor credentials of the source are given, that of the destination.
    type: str
  source_aws_ca_bundle:
    description:
      - The certificate authorities that vouch for the source's endpoint, a file. By default those
        of the destination.
    type: path
  source_validate_certs:
    description:
      - Whether to check the certificate of the source's endpoint. By default as for the
        destination.
    type: bool
"""
