# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores AMIs with boto3, each in a thread of its own, and tries again until AWS does it.

As `stock_waiter.py`, except that no error of a request ends it: it is sent again after a pause of
five seconds, the waiter's own, give or take chance, so that not all threads ask at once. Only a
store that AWS calls failed has failed.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

DELAY = 5
ENDED = ("Completed", "Failed")


def pause() -> None:
    time.sleep(random.uniform(0.5, 1.5) * DELAY)


def insist(request: Callable[..., dict[str, Any]], **parameters: Any) -> dict[str, Any]:
    while True:
        try:
            return request(**parameters)
        except ClientError:
            pause()


def state(ec2: Any, image_id: str) -> str:
    answer = insist(ec2.describe_store_image_tasks, ImageIds=[image_id])
    tasks = answer["StoreImageTaskResults"]
    return tasks[0]["StoreTaskState"] if tasks else ""


def store(ec2: Any, image_id: str, bucket: str, verdicts: dict[str, str]) -> None:
    insist(ec2.create_store_image_task, ImageId=image_id, Bucket=bucket)
    waiter = ec2.get_waiter("store_image_task_complete")
    while image_id not in verdicts:
        try:
            waiter.wait(ImageIds=[image_id])
            verdicts[image_id] = "Completed"
        except WaiterError:
            pause()
            now = state(ec2, image_id)
            if now in ENDED:
                verdicts[image_id] = now


def main(bucket: str, result: str, *image_ids: str) -> None:
    ec2 = boto3.client("ec2", config=Config(max_pool_connections=len(image_ids)))
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
