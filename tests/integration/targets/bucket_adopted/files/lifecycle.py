# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes a bucket's lifecycle rules, or reads them; no module of amazon.aws does.

Arguments: the bucket's name, the Region, and the rules as JSON, if they are to be written.
"""

from __future__ import annotations

import json
import sys

import boto3


def main(bucket: str, region: str, rules: str = "") -> None:
    s3 = boto3.client("s3", region_name=region)
    if rules:
        configuration = {"Rules": json.loads(rules)}
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=configuration)
    answer = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    sys.stdout.write(json.dumps(answer["Rules"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
