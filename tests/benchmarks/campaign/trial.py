# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One trial: the task is run through its troubles, then in peace until all is well, and judged."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ansible_collections.amistore.aws.plugins.module_utils._fleet import Phase
from ansible_collections.amistore.aws.plugins.module_utils._run import RunOptions, run
from tests.benchmarks.campaign.account import CampaignAws, Process
from tests.benchmarks.campaign.clock import ProcessClock
from tests.benchmarks.campaign.plans import Plan, RunPlan, draw
from tests.benchmarks.campaign.restores import Restoring
from tests.benchmarks.campaign.side import DESCRIBE, Ended, Side
from tests.benchmarks.campaign.stores import Storing
from tests.benchmarks.campaign.troubles import Broken, Session, Trouble, Weather
from tests.unit.plugins.module_utils.fake_aws import HERE

PEACE = RunPlan(pause=600.0)
# Every planned failure may need a run of its own.
PEACEFUL_RUNS = 12
AFTER_EXPIRY = 10
REPORTED = 10
NEVER_STARTED = "NotStarted"


@dataclass
class Verdict:
    """What became of a trial; `broken` is empty when every rule held."""

    seed: int
    broken: str = ""
    fired: Counter[Trouble] = field(default_factory=Counter)
    runs: int = 0
    requests: int = 0
    story: Sequence[str] = ()


def try_seed(seed: int, tell: bool = False) -> Verdict:
    """Return the verdict of the trial that this seed makes up."""
    plan = draw(seed)
    trial = Trial(plan, Restoring(plan) if plan.restoring else Storing(plan), tell)
    verdict = Verdict(seed)
    with _seeded(seed):
        try:
            trial.play()
        except Broken as broken:
            verdict.broken = str(broken)
            trial.aws.tell(f"BROKEN: {broken}")
    verdict.fired, verdict.runs = trial.aws.fired, len(trial.ended)
    verdict.requests, verdict.story = len(trial.aws.calls), trial.aws.story
    return verdict


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let what the code under test leaves to chance be the same for the same seed."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


class Trial:
    """The account, the runs of the task in it, and the rules for each."""

    def __init__(self, plan: Plan, side: Side, tells: bool = False) -> None:
        self.plan = plan
        self.side = side
        self.aws: CampaignAws = side.account()
        self.aws.tells = tells
        self.ended: list[Ended] = []
        self._chance = random.Random(f"trial {plan.seed}")

    def play(self) -> None:
        for each in self.plan.runs:
            self.run(each)
        if sum(ended.killed for ended in self.ended) > 1:
            self.aws.happens(Trouble.KILLED_AGAIN)
        self._let_others_end()
        last = self._run_in_peace()
        self._check_end(last)

    # Runs

    def run(self, plan: RunPlan) -> Ended:
        aws = self.aws
        aws.clock.pass_by(plan.pause)
        aws.process = process = self._process(plan)
        aws.tell(f"run {len(self.ended) + 1}: {plan}")
        begun = self.side.begin(aws, plan)
        began, killed = aws.clock.now(), False
        struck, changes = len(aws.struck), len(aws.changes)
        options = RunOptions(False, plan.wait, plan.wait_timeout)
        with aws.in_virtual_time():
            try:
                run(
                    begun.operation,
                    self.plan.limits,
                    options,
                    ProcessClock(aws),
                    lambda: begun.operation.bucket.check(HERE.region),
                    begun.report,
                )
            except KeyboardInterrupt:
                killed = True
        process.dead = True
        ended = Ended(
            plan,
            began,
            aws.clock.now(),
            killed,
            begun.report,
            begun.results(),
            process.expired_at is not None,
            len(aws.changes) > changes,
            len(aws.struck) > struck,
        )
        self.ended.append(ended)
        aws.settle()
        aws.tell("killed" if killed else f"message: {begun.report.message}")
        self._check_requests(process)
        if not killed:
            self._check_run(process, ended)
        return ended

    def _process(self, plan: RunPlan) -> Process:
        chance = random.Random(f"{self.plan.seed} {len(self.ended)}")
        weather = Weather(chance, plan.share, plan.dies_at, plan.slowest)
        session = Session(self.aws.event_clock, plan.session, plan.renewable)
        most_steps = 3000 + 300 * len(self.plan.sizes)
        return Process(weather, session, most_steps, began=self.aws.clock.now())

    def _let_others_end(self) -> None:
        """Wait until others have done what they do, so that peaceful runs meet nothing new."""
        others = max((each.moment for each in self.plan.others), default=0.0)
        self.aws.clock.pass_by(max(0.0, others - self.aws.clock.now()) + 1000.0)

    def _run_in_peace(self) -> Ended:
        for _run in range(PEACEFUL_RUNS):
            ended = self.run(PEACE)
            if not self._open_subjects(ended):
                return ended
        raise Broken(
            f"{self._open_subjects(ended)} are not done after {PEACEFUL_RUNS} runs in peace:"
            f" {ended.report.message}"
        )

    def _open_subjects(self, ended: Ended) -> list[str]:
        hopeless = {self.side.subject(number) for number in self.plan.hopeless}
        return [
            self.side.subject_of(result)
            for result in ended.results
            if result["state"] != self.side.done and self.side.subject_of(result) not in hopeless
        ]

    # Rules for one run

    def _check_requests(self, process: Process) -> None:
        process.requests.check(self.side.create, self.plan.limits.create_rate)
        process.requests.check(DESCRIBE, self.plan.describe_rate)
        for rule in self.side.broken_rules(self.aws):
            raise Broken(rule)

    def _check_run(self, process: Process, ended: Ended) -> None:
        self._check_results(process, ended)
        self._check_failures(ended)
        if ended.expired:
            self._check_expired(process, ended)
        elif ended.report.stopped_by and (
            not ended.troubled or process.requests.moments[self.side.create]
        ):
            raise Broken(f"stopped by what passes: {ended.report.stopped_by}")
        if ended.report.timed_out:
            self.aws.happens(Trouble.DEADLINE)
        if not ended.troubled:
            self._check_untroubled(ended)

    def _check_results(self, process: Process, ended: Ended) -> None:
        """No result is lost, and each tells what was so."""
        given = [self.side.subject(number) for number in range(len(self.plan.sizes))]
        told = [self.side.subject_of(result) for result in ended.results]
        if told != given:
            raise Broken(f"results of {told}, not of {given}")
        for result in ended.results:
            subject = self.side.subject_of(result)
            if not self.side.is_true(self.aws, ended, result):
                raise Broken(f"{subject}: {result['state']} is not true: {result}")
            not_started = result["state"] == NEVER_STARTED
            if subject in process.knowledge.accepted and not_started:
                raise Broken(f"{subject}: AWS accepted it, but the result is {result}")
            if subject in process.knowledge.started and not (result["changed"] or not_started):
                raise Broken(f"{subject}: AWS has begun it, but the result is {result}")
        if not ended.troubled and ended.report.changed != ended.changed:
            raise Broken(f"changed is {ended.report.changed}, and the world says {ended.changed}")

    def _check_failures(self, ended: Ended) -> None:
        """What is named as failed has a reason in the world, and the user is told."""
        failed = [
            (entry, result)
            for entry, result in zip(ended.report.entries, ended.results, strict=True)
            if entry.phase is Phase.FAILED
        ]
        for entry, _result in failed:
            if not entry.reason:
                raise Broken(f"{entry.label}: failed without a reason")
        causeless = [
            f"{entry.label}: failed without cause: {entry.reason}"
            for entry, result in failed
            if not self.side.may_fail(self.aws, result)
        ]
        # The one whose create request met expired credentials is told apart.
        if len(causeless) > ended.expired:
            raise Broken(causeless[-1])
        if failed and not ended.report.failed:
            raise Broken("something has failed, but the task has not")
        for entry, _result in failed[:REPORTED]:
            if entry.label not in ended.report.message:
                raise Broken(f"{entry.label}: failed, but not named in: {ended.report.message}")

    def _check_expired(self, process: Process, ended: Ended) -> None:
        """Expired credentials end a run soon, in words that tell of them."""
        if not ended.report.failed or "xpired" not in ended.report.message:
            raise Broken(f"no word of expired credentials: {ended.report.message}")
        refused = sum(process.after_expiry.values())
        if refused > AFTER_EXPIRY:
            raise Broken(f"{refused} requests after the credentials had expired")

    def _check_untroubled(self, ended: Ended) -> None:
        """A run that nothing strikes ends all that it waits for."""
        if ended.expired or not ended.plan.wait:
            return
        late = ended.ended - ended.began - ended.plan.wait_timeout
        if late > 60.0 + len(self.plan.sizes) * 5 * ended.plan.slowest:
            raise Broken(f"the run went on for {late:.0f} s after its wait_timeout")
        left = [entry.label for entry in ended.report.entries if entry.open]
        if left and not ended.report.timed_out:
            raise Broken(f"ended while {left} were open")

    # Rules for the end

    def _check_end(self, last: Ended) -> None:
        """Every AMI is stored or restored once, or named as failed."""
        for result in last.results:
            subject = self.side.subject_of(result)
            if result["state"] != self.side.done:
                if subject not in last.report.message and len(last.results) <= REPORTED:
                    raise Broken(f"{subject}: neither done nor named: {last.report.message}")
                continue
            lacking = self.side.unfinished(self.aws, result)
            if lacking:
                raise Broken(f"{subject}: done, but {lacking}")
        again = self.run(PEACE)
        changed = [
            self.side.subject_of(result)
            for before, result in zip(last.results, again.results, strict=True)
            if result["changed"] and before["state"] == self.side.done
        ]
        if changed:
            raise Broken(f"{changed} changed in a run after the last")
