# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storing in the campaign: the account, the task, and what must hold of its stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from ansible_collections.amistore.aws.plugins.module_utils._inputs import image_key, manifest_key
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Origin, parse
from ansible_collections.amistore.aws.plugins.module_utils._pacing import TokenBucket
from ansible_collections.amistore.aws.plugins.module_utils._report import Report
from ansible_collections.amistore.aws.plugins.module_utils._store import (
    MOST_HEADS,
    StoreOperation,
    StoreOptions,
    results,
)
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.benchmarks.campaign.account import CampaignAws
from tests.benchmarks.campaign.clock import ProcessClock
from tests.benchmarks.campaign.plans import Deed, Other, Plan, RunPlan
from tests.benchmarks.campaign.side import (
    DESCRIBE,
    PREFIX,
    Begun,
    Ended,
    Result,
    image_id,
    scenario,
)
from tests.benchmarks.campaign.troubles import Trouble
from tests.emulator.model import StoreTask
from tests.unit.plugins.module_utils.fake_aws import BUCKET, HERE, OTHER_BUCKET

BESIDE = "beside"


@dataclass
class Storing:
    """The fleet is stored."""

    plan: Plan
    create: str = "CreateStoreImageTask"
    done: str = "Completed"

    def subject(self, number: int) -> str:
        return image_id(number)

    def subject_of(self, result: Result) -> str:
        return str(result["image_id"])

    def _key(self, subject: str) -> str:
        return image_key(PREFIX, subject)

    def account(self) -> CampaignAws:
        plan = self.plan
        failures = {self.subject(number): failure for number, failure in plan.failures.items()}
        subjects = [self.subject(number) for number in range(len(plan.sizes))]
        aws = CampaignAws(
            scenario(
                plan,
                self.create,
                store_seconds=plan.seconds,
                store_seconds_per_gib=plan.seconds_per_gib,
                store_in_flight_gib=plan.limits.in_flight,
                store_failures=failures,
            ),
            plan.object_lag,
            self.create,
            [self._key(subject) for subject in subjects],
        )
        for subject, gib in zip(subjects, plan.sizes, strict=True):
            aws.add_image(subject, gib, image_id=subject)
        for other in plan.others:
            aws.event_clock.at(other.moment, partial(self._act, aws, other))
        aws.crowd = partial(self._crowd, aws)
        return aws

    def _crowd(self, aws: CampaignAws, number: int) -> None:
        """Let others take all the room that there is."""
        if number in self.plan.crowded:
            room = self.plan.limits.in_flight - aws.stores.in_flight_gib(HERE)
            self._act(aws, Other(aws.clock.now(), Deed.CREATE, 1, max(1, room)))

    def _act(self, aws: CampaignAws, other: Other) -> None:
        """Let others do something, as far as AWS lets them."""
        if other.deed is Deed.DESCRIBE:
            aws.happens(Trouble.OTHERS_DESCRIBE, aws.take(DESCRIBE, other.number))
        elif other.deed is Deed.CREATE:
            for _store in range(aws.take(self.create, other.number)):
                aws.happens(Trouble.OTHERS_CREATE)
                theirs = aws.add_image("theirs", other.gib).image_id
                self._store(aws, theirs, OTHER_BUCKET, PREFIX)
        elif aws.take(self.create):
            subject = self.subject(other.number)
            elsewhere = other.deed is Deed.STORE_ELSEWHERE
            trouble = Trouble.STORED_ELSEWHERE if elsewhere else Trouble.STORED_HERE
            prefix = BESIDE if other.deed is Deed.STORE_BESIDE else PREFIX
            if self._store(aws, subject, OTHER_BUCKET if elsewhere else BUCKET, prefix):
                aws.happens(trouble)
        aws.tell(f"others: {other.deed.value} ({other.number})")

    def _store(self, aws: CampaignAws, subject: str, bucket: str, prefix: str) -> bool:
        before = len(aws.stores.items)
        aws.settle()
        aws.store_elsewhere(subject, bucket, image_key(prefix, subject))
        return len(aws.stores.items) > before

    def begin(self, aws: CampaignAws, run: RunPlan) -> Begun:
        options = StoreOptions(
            BUCKET, PREFIX, tags=self.plan.tags, manifest=self.plan.manifest, wait=run.wait
        )
        bucket = Bucket(aws.patient_s3, BUCKET)
        operation = StoreOperation(
            aws.patient_ec2,
            aws.ec2_once,
            bucket,
            options,
            ProcessClock(aws),
            _origin,
            _describe_rate=TokenBucket(self.plan.describe_rate),
        )
        entries = operation.entries(map(self.subject, range(len(self.plan.sizes))))
        report = Report(entries, "stored")
        return Begun(operation, report, lambda: results(entries, BUCKET))

    # What must hold

    def _tasks(self, aws: CampaignAws, subject: str) -> list[StoreTask]:
        return [
            task for task in aws.stores.items if (task.image_id, task.bucket) == (subject, BUCKET)
        ]

    def is_true(self, aws: CampaignAws, ended: Ended, result: Result) -> bool:
        place = (result["bucket"], result["object_key"])
        tasks = [
            task
            for task in self._tasks(aws, result["image_id"])
            if task.key == place[1] and task.started <= ended.ended
        ]
        seen_from = ended.began - self.plan.update_lag
        if result["state"] == "Completed":
            thing = aws.objects.get(place)
            return thing is not None and thing.since <= ended.ended
        if result["state"] == "Failed":
            return any(task.failure and seen_from <= task.ends <= ended.ended for task in tasks)
        if result["state"] == "InProgress":
            return any(task.ends + self.plan.object_lag >= seen_from for task in tasks)
        return bool(result["state"] == "NotStarted")

    def may_fail(self, aws: CampaignAws, result: Result) -> bool:
        beside = image_key(BESIDE, result["image_id"])
        others = any(task.key == beside for task in aws.stores.items)
        return others or result["state"] == "Failed"

    def broken_rules(self, aws: CampaignAws) -> Sequence[str]:
        return [
            rule for number in range(len(self.plan.sizes)) for rule in self._stores(aws, number)
        ]

    def _stores(self, aws: CampaignAws, number: int) -> Sequence[str]:
        """One store of one AMI into the bucket at a time, and none after one that went well."""
        subject = self.subject(number)
        tasks = self._tasks(aws, subject)
        broken = []
        if any(not task.failure for task in tasks[:-1]):
            broken.append(f"{subject}: stored into {BUCKET} again after it was stored")
        if any(one.ends > other.started for one, other in pairwise(tasks)):
            broken.append(f"{subject}: two stores into {BUCKET} at a time")
        return broken

    def unfinished(self, aws: CampaignAws, result: Result) -> str:
        stored = aws.objects[BUCKET, result["object_key"]]
        if self.plan.tags and not self.plan.tags.items() <= stored.tags.items():
            return f"the tags of the object are {stored.tags}"
        if not self.plan.manifest:
            return ""
        written = aws.objects.get((BUCKET, manifest_key(result["object_key"])))
        if written is None or result["manifest_key"] is None:
            return "there is no manifest"
        manifest = parse(written.body, "")
        etags = {stored.etag}
        if len(self.plan.sizes) > MOST_HEADS:
            # A listing tells when a manifest was written, and of one that was written late not
            # whether its process came to complete it.
            etags.add("")
        name = aws.images[result["image_id"]].name
        if (manifest.etag or "") not in etags or manifest.name != name:
            return f"the manifest describes {manifest.name} with ETag {manifest.etag}"
        return ""


def _origin(key: str) -> Origin:
    return Origin(HERE.account, HERE.region, "aws", BUCKET, key)
