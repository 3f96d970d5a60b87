# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring in the campaign: the account, the task, and what must hold of its restores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ansible_collections.amistore.aws.plugins.module_utils._inputs import image_key, manifest_key
from ansible_collections.amistore.aws.plugins.module_utils._manifest import Origin, build
from ansible_collections.amistore.aws.plugins.module_utils._report import Report
from ansible_collections.amistore.aws.plugins.module_utils._restore import (
    ETAG_TAG,
    LOCATION_TAG,
    RestoreOperation,
    RestoreOptions,
    results,
)
from ansible_collections.amistore.aws.plugins.module_utils._restore_targets import targets
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import Bucket
from tests.benchmarks.campaign.account import CampaignAws
from tests.benchmarks.campaign.plans import Deed, Other, Plan, RunPlan
from tests.benchmarks.campaign.side import PREFIX, Begun, Ended, Result, image_id, scenario
from tests.benchmarks.campaign.troubles import Trouble
from tests.emulator.model import Refused
from tests.unit.plugins.module_utils.fake_aws import (
    BUCKET,
    HERE,
    OTHER_BUCKET,
    Ami,
    StoredThing,
)

STRANGER_PENDING = 500.0
ELSEWHERE = f"{OTHER_BUCKET}/their.bin"


@dataclass
class Restoring:
    """The fleet is restored."""

    plan: Plan
    create: str = "CreateRestoreImageTask"
    done: str = "available"
    _strangers: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    """Name and tags of the AMIs that are none of the task's business."""

    def subject(self, number: int) -> str:
        return f"image {number}"

    def subject_of(self, result: Result) -> str:
        return str(result["name"])

    def account(self) -> CampaignAws:
        plan = self.plan
        failures = {self.subject(number): failure for number, failure in plan.failures.items()}
        aws = CampaignAws(
            scenario(
                plan,
                self.create,
                restore_seconds=plan.seconds,
                restore_seconds_per_gib=plan.seconds_per_gib,
                restore_in_flight_gib=plan.limits.in_flight,
                restore_failures=failures,
            ),
            plan.object_lag,
            self.create,
            [],
        )
        for number, gib in enumerate(plan.sizes):
            self._put(aws, number, gib)
        for number, state in plan.strangers.items():
            tags = {LOCATION_TAG: ELSEWHERE}
            theirs = aws.add_image(self.subject(number), state=state, tags=tags)
            if state == "pending":
                aws.event_clock.at(STRANGER_PENDING, partial(setattr, theirs, "state", "available"))
            self._strangers[theirs.image_id] = (theirs.name, dict(tags))
            aws.happens(Trouble.NAME_TAKEN)
        for other in plan.others:
            aws.event_clock.at(other.moment, partial(self._act, aws, other))
        aws.crowd = partial(self._crowd, aws)
        return aws

    def _crowd(self, aws: CampaignAws, number: int) -> None:
        """Let others take all the room that there is."""
        if number in self.plan.crowded:
            room = self.plan.limits.in_flight - aws.restores.in_flight_gib(HERE)
            self._act(aws, Other(aws.clock.now(), Deed.CREATE, 1, max(1, room)))

    def _put(self, aws: CampaignAws, number: int, gib: int) -> None:
        key = image_key(PREFIX, image_id(number))
        aws.objects[BUCKET, key] = StoredThing(f"image {number}".encode(), {})
        aws.stored_gib[key] = gib
        original = Ami(image_id(number), self.subject(number), gib, snapshot_ids=["snap-0"])
        origin = Origin(HERE.account, HERE.region, "aws", BUCKET, key)
        document = build(origin, original.described(), [], None, ()).dump()
        aws.objects[BUCKET, manifest_key(key)] = StoredThing(document, {})

    def _act(self, aws: CampaignAws, other: Other) -> None:
        """Let others restore something of their own, as far as AWS lets them."""
        if other.deed is not Deed.CREATE:
            return
        for _restore in range(aws.take(self.create, other.number)):
            aws.happens(Trouble.OTHERS_CREATE)
            aws.tell(f"others: {other.deed.value} ({other.gib} GiB)")
            try:
                aws.restores.admit_new(HERE, other.gib)
            except Refused:
                continue
            theirs = aws.add_image(
                aws.new_id("theirs"),
                other.gib,
                state="pending",
                tags={LOCATION_TAG: ELSEWHERE},
                created=aws.clock.now(),
            )
            aws.restores.start(HERE, theirs.image_id, OTHER_BUCKET, "their.bin", other.gib)

    def begin(self, aws: CampaignAws, run: RunPlan) -> Begun:
        bucket = Bucket(aws.patient_s3, BUCKET)
        operation = RestoreOperation(
            aws.patient_ec2, aws.ec2_once, bucket, RestoreOptions(BUCKET, wait=run.wait)
        )
        images = [
            {"object_key": image_key(PREFIX, image_id(number)), "name": self.subject(number)}
            for number in range(len(self.plan.sizes))
        ]
        entries = targets({"stored_images": images, "tags": self.plan.tags}, BUCKET)
        report = Report(entries, "restored")
        return Begun(operation, report, lambda: results(entries, BUCKET))

    # What must hold

    def is_true(self, aws: CampaignAws, ended: Ended, result: Result) -> bool:
        if result["state"] == "NotStarted":
            return result["image_id"] is None
        work = aws.restores.of(result["image_id"])
        if work is None or work.started > ended.ended:
            return False
        if result["state"] == "available":
            return work.failure is None and work.ends <= ended.ended
        if result["state"] == "failed":
            return work.failure is not None and work.ends <= ended.ended
        return bool(result["state"] == "pending" and work.ends >= ended.began)

    def may_fail(self, aws: CampaignAws, result: Result) -> bool:
        taken = any(name == result["name"] for name, _tags in self._strangers.values())
        return taken or result["state"] == "failed"

    def broken_rules(self, aws: CampaignAws) -> Sequence[str]:
        broken = [
            f"{name} of others was changed"
            for image, (name, tags) in self._strangers.items()
            if image not in aws.images or (aws.images[image].tags != tags)
        ]
        for number in range(len(self.plan.sizes)):
            broken += self._restores(aws, number)
        return broken

    def _restores(self, aws: CampaignAws, number: int) -> Sequence[str]:
        """One AMI of one stored image; one that went well is neither made again nor taken away."""
        subject, key = self.subject(number), image_key(PREFIX, image_id(number))
        works = [work for work in aws.restores.items if work.key == key]
        broken = []
        if any(not work.failure for work in works[:-1]):
            broken.append(f"{subject}: restored again after it was restored")
        if any(not work.failure and work.image_id not in aws.images for work in works):
            broken.append(f"{subject}: an AMI that was restored well was taken away")
        if sum(ami.name == subject for ami in aws.images.values()) > 1:
            broken.append(f"{subject}: two AMIs of one name")
        return broken

    def unfinished(self, aws: CampaignAws, result: Result) -> str:
        ami = aws.images[result["image_id"]]
        stored = aws.objects[BUCKET, result["object_key"]]
        proof = {LOCATION_TAG: f"{BUCKET}/{result['object_key']}", ETAG_TAG: stored.etag}
        wanted = proof | dict(self.plan.tags or {})
        tagged = [ami.tags, *(aws.snapshots[each].tags for each in ami.snapshot_ids)]
        lacking = [tags for tags in tagged if not wanted.items() <= tags.items()]
        return f"tags {lacking[0]} lack some of {wanted}" if lacking else ""
