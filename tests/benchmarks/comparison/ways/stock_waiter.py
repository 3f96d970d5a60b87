# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores AMIs with boto3 and its waiter, each in a thread of its own.

- One client for all threads, with as many connections, as the guide on multithreading says:
  https://boto3.amazonaws.com/v1/documentation/api/latest/guide/clients.html
- Retries as in the example of the guide on retries:
  https://boto3.amazonaws.com/v1/documentation/api/latest/guide/retries.html
- The waiter polls every five seconds for 200 seconds. Stores take longer, so it gets an hour:
  https://boto3.amazonaws.com/v1/documentation/api/latest/reference/services/ec2/waiter/StoreImageTaskComplete.html
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

SECONDS = 3600
DELAY = 5


def store(ec2: Any, image_id: str, bucket: str, verdicts: dict[str, str]) -> None:
    try:
        ec2.create_store_image_task(ImageId=image_id, Bucket=bucket)
        waiter = ec2.get_waiter("store_image_task_complete")
        limits = {"Delay": DELAY, "MaxAttempts": SECONDS // DELAY}
        waiter.wait(ImageIds=[image_id], WaiterConfig=limits)
    except (BotoCoreError, ClientError) as error:
        verdicts[image_id] = "Failed"
        print(f"{image_id}: {error}", file=sys.stderr)
    else:
        verdicts[image_id] = "Completed"


def main(bucket: str, result: str, *image_ids: str) -> None:
    retries = {"max_attempts": 10, "mode": "standard"}
    config = Config(retries=retries, max_pool_connections=len(image_ids))
    ec2 = boto3.client("ec2", config=config)
    verdicts: dict[str, str] = {}
    threads = [
        threading.Thread(target=store, args=(ec2, image_id, bucket, verdicts))
        for image_id in image_ids
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open(result, "w") as file:
        json.dump(verdicts, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
