# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run over a bucket: observe, refuse what would break store or restore, tell the drift,
correct it, see it corrected.
"""

from __future__ import annotations

import functools
import typing as t
from dataclasses import asdict, dataclass, field

from ansible_collections.amistore.aws.plugins.module_utils import _bucket_obstacles
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    InputError,
    error_text,
    may_have_happened,
)
from ansible_collections.amistore.aws.plugins.module_utils._bucket_baseline import Baseline
from ansible_collections.amistore.aws.plugins.module_utils._bucket_configuration import (
    AccountConfiguration,
    BucketConfiguration,
)
from ansible_collections.amistore.aws.plugins.module_utils._bucket_obstacles import Caller
from ansible_collections.amistore.aws.plugins.module_utils._bucket_settings import (
    ACCOUNT_SETTING,
    SETTINGS,
    Drift,
    Setting,
    drift_of,
)
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Clock

# S3 shows some settings with a delay; nothing says how long it may be.
SECONDS_UNTIL_SHOWN = 60.0
SECONDS_BETWEEN_LOOKS = 2.0
AWS_OWN_KEY = "aws/s3"


@dataclass(frozen=True)
class Plan:
    """What one setting is and what it should be."""

    setting: Setting
    target: t.Any
    present: t.Any
    wanted: t.Any

    @property
    def drift(self) -> list[Drift]:
        """The parts that differ."""
        return drift_of(self.setting, self.present, self.wanted)

    def carry_out(self, baseline: Baseline, partition: str) -> bool:
        """Write the wanted value, made from what is there now, and tell whether it took that.

        Somebody else may have written a part of the setting since it was looked at.
        """
        present = self.setting.read(self.target)
        wanted = self.setting.wanted(present, baseline, partition)
        if not drift_of(self.setting, present, wanted):
            return False
        self.setting.write(self.target, wanted)
        return True


@dataclass
class Hardening:
    """One bucket on its way to a baseline; what it found and did is for the report."""

    bucket: BucketConfiguration
    baseline: Baseline
    caller: Caller | None
    account: AccountConfiguration | None = None
    existed: bool | None = None
    """None until S3 has told."""
    done: list[str] = field(default_factory=list)
    """The settings that were written."""
    plans: list[Plan] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def observe(self) -> None:
        """Look at everything and refuse what cannot be made safe without breaking something.

        :raises InputError: with every reason; nothing has been changed then.
        """
        self.baseline.check_place(self.bucket.partition, self.bucket.region)
        self.warnings += _bucket_obstacles.check_caller(self.baseline.audience, self.caller)
        self.existed = self.bucket.exists()
        if not self.existed:
            _bucket_obstacles.check_maker(self.bucket, self.baseline, self.caller)
        self.warnings += _bucket_obstacles.check_name(self.bucket, self.existed)
        present = {s.name: s.read(self.bucket) for s in SETTINGS} if self.existed else {}
        self.plans = self._plan(present)
        account = self.caller.account if self.caller else None
        outlook = _bucket_obstacles.Outlook(
            present,
            wanted={plan.setting.name: plan.wanted for plan in self.plans},
            drifting={plan.setting.name for plan in self.plans if plan.drift},
        )
        found = _bucket_obstacles.find(self.bucket, self.baseline, outlook, account)
        self.warnings += found.doubts
        if found.obstacles:
            reasons = " ".join(f"({i}) {text}" for i, text in enumerate(found.obstacles, 1))
            raise InputError(
                f"{self.bucket} cannot be made safe for stored AMIs. Nothing was changed: {reasons}"
            )

    def _plan(self, present: t.Mapping[str, t.Any]) -> list[Plan]:
        partition = self.bucket.partition
        plans = []
        if self.account:
            blocked = ACCOUNT_SETTING.read(self.account)
            wanted = ACCOUNT_SETTING.wanted(blocked, self.baseline, partition)
            plans.append(Plan(ACCOUNT_SETTING, self.account, blocked, wanted))
        for setting in SETTINGS:
            value = present.get(setting.name)
            wanted = setting.wanted(value, self.baseline, partition)
            plans.append(Plan(setting, self.bucket, value, wanted))
        return plans

    @property
    def drift(self) -> list[Drift]:
        """What was not as it should be, the bucket itself first."""
        missing = [Drift("bucket", None, self.bucket.name)] if self.existed is False else []
        return missing + [drift for plan in self.plans for drift in plan.drift]

    def apply(self, clock: Clock) -> None:
        """Correct the drift and wait until S3 shows it corrected.

        :raises AmiStoreError: when S3 refuses a setting, or does not show it in time.
        """
        if not self.drift:
            return
        deadline = clock.now() + SECONDS_UNTIL_SHOWN
        try:
            self._write(clock, deadline)
        except AmiStoreError as error:
            raise self._with_progress(error) from error

    def _write(self, clock: Clock, deadline: float) -> None:
        if not self.existed:
            if self.bucket.create():
                self.done.append("bucket")
            _wait(clock, deadline, self.bucket.exists, f"{self.bucket} is not to be seen")
        for plan in self.plans:
            if plan.drift and plan.carry_out(self.baseline, self.bucket.partition):
                self.done.append(plan.setting.name)
        for plan in self.plans:
            if plan.drift:
                shown = functools.partial(self._is_shown, plan)
                other = f"{self.bucket} still shows another setting of {plan.setting.name}"
                _wait(clock, deadline, shown, other)

    def _with_progress(self, error: AmiStoreError) -> AmiStoreError:
        last = (
            " Its answer got lost, it may have been executed." if may_have_happened(error) else ""
        )
        done = f"Changed before: {', '.join(self.done) or 'nothing'}"
        return AmiStoreError(
            message=f"{error_text(error).rstrip('.')}.{last} {done}. Run the task again to go on"
        )

    @property
    def changed(self) -> bool:
        """Tell whether anything was written."""
        return bool(self.done)

    def _is_shown(self, plan: Plan) -> bool:
        value = plan.setting.read(plan.target)
        wanted = plan.setting.wanted(value, self.baseline, self.bucket.partition)
        return not drift_of(plan.setting, value, wanted)

    def report(self) -> dict[str, t.Any]:
        """Return the module's result, as far as it is known."""
        place = {
            "bucket": self.bucket.name,
            "arn": self.bucket.arn,
            "region": self.bucket.region,
        }
        if not self.plans:
            return place
        drift = [asdict(d) for d in self.drift]
        return {**place, "kms_key_id": self._key, "existed": self.existed, "drift": drift}

    @property
    def _key(self) -> str | None:
        """The KMS key that the bucket is to encrypt with, None where it is S3's or AWS's own."""
        [rule] = [plan.wanted for plan in self.plans if plan.setting.name == "encryption"]
        key = rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID")
        return None if key is None or key.endswith(f"alias/{AWS_OWN_KEY}") else str(key)

    def diff(self) -> dict[str, t.Any]:
        """Return the drift as Ansible shows differences."""
        return {
            "before_header": str(self.bucket),
            "after_header": str(self.bucket),
            "before": {drift.setting: drift.before for drift in self.drift},
            "after": {drift.setting: drift.after for drift in self.drift},
        }


def _wait(clock: Clock, deadline: float, shown: t.Callable[[], bool], what: str) -> None:
    while not shown():
        if clock.now() >= deadline:
            raise AmiStoreError(
                message=f"S3 accepted what it was asked for, but after {SECONDS_UNTIL_SHOWN:.0f} s"
                f" {what}. If the next run changes it again, something else sets it, too"
            )
        clock.sleep(SECONDS_BETWEEN_LOOKS)
