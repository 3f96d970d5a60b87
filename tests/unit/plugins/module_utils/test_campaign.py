# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A short campaign of faults, and that a campaign would see what it is there for.

`make campaign` runs the long one, and plants every defect.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._pacing import Rate
from tests.benchmarks.campaign.__main__ import LEAST_FIRED, SEEDS, campaign, main, report
from tests.benchmarks.campaign.defects import DEFECTS
from tests.benchmarks.campaign.knowledge import Knowledge, Requests
from tests.benchmarks.campaign.plans import draw
from tests.benchmarks.campaign.trial import Verdict, try_seed
from tests.benchmarks.campaign.troubles import Broken, Trouble
from tests.emulator.model import Place, Work

FEW = range(40)
# Those that a handful of seeds catches; the others take a longer search.
SOON = 16
CAUGHT_SOON = (
    "lost-answers",
    "retrying-client",
    "throttled-fails",
    "room",
    "empty-answer",
    "completed-record",
    "one-page",
    "name-as-proof",
    "failed-restore",
    "good-restore",
    "pending-restore",
    "passing-fault",
    "unchanged",
)


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    return campaign(FEW)


def test_no_rule_is_broken(verdicts: list[Verdict]) -> None:
    assert [(verdict.seed, verdict.broken) for verdict in verdicts if verdict.broken] == []


def test_stores_and_restores_run_through_troubles(verdicts: list[Verdict]) -> None:
    fired = sum((verdict.fired for verdict in verdicts), Counter[Trouble]())
    assert fired[Trouble.STORE_FAILED]
    assert fired[Trouble.RESTORE_FAILED]
    assert sum(1 for trouble in Trouble if fired[trouble]) >= 20
    assert {draw(seed).restoring for seed in FEW} == {True, False}


@pytest.mark.parametrize("name", CAUGHT_SOON)
def test_a_planted_defect_is_caught(name: str) -> None:
    with DEFECTS[name].plant():
        assert any(try_seed(seed).broken for seed in range(SOON))


def test_the_same_seed_tells_the_same_story(capsys: pytest.CaptureFixture[str]) -> None:
    random.seed(1)
    assert main(["--seed", "12"]) == 0
    first = capsys.readouterr().out
    random.seed(2)
    assert main(["--seed", "12"]) == 0
    assert capsys.readouterr().out == first
    assert "CreateStoreImageTask" in first


def test_a_campaign_in_which_a_trouble_stays_away_fails() -> None:
    verdicts = [Verdict(seed, fired=Counter(dict.fromkeys(Trouble, 1))) for seed in range(SEEDS)]
    assert not [line for line in report(verdicts) if "FAILED" in line]
    for verdict in verdicts[LEAST_FIRED - 1 :]:
        verdict.fired[Trouble.EXPIRED] = 0
    assert report(verdicts)[-1] == "FAILED: less than 50 times: session credentials expired"


# The rules themselves


def requests_at(*moments: float) -> Requests:
    requests = Requests()
    requests.moments["Create"].extend(moments)
    return requests


@pytest.mark.parametrize(
    "moments",
    [(0.0, 0.0, 0.0), (0.0, 0.0, 9.0), (0.0, 500.0, 500.0, 509.0), (0.0, 9.0, 18.0, 20.0, 28.0)],
)
def test_a_window_with_more_requests_than_the_bucket_gives_is_seen(moments: list[float]) -> None:
    with pytest.raises(Broken, match="are more than 2 and one per 10"):
        requests_at(*moments).check("Create", Rate(2, 10.0))


@pytest.mark.parametrize("moments", [(), (0.0, 0.0, 10.0, 20.0), (0.0, 300.0, 300.0, 310.0)])
def test_what_the_bucket_gives_is_allowed(moments: list[float]) -> None:
    requests_at(*moments).check("Create", Rate(2, 10.0))


def work(image_id: str, gib: int) -> Work:
    return Work(Place("111122223333", "eu-central-1"), image_id, "bucket", "key", gib, 0.0, 100.0)


def test_what_is_known_to_be_in_flight_counts() -> None:
    knowledge, theirs, unknown = Knowledge(), work("theirs", 8), work("unknown", 90)
    knowledge.see_tasks(["theirs"], first=True, last=True)
    knowledge.check_room("one", work("one", 2), [theirs, unknown], 10)
    with pytest.raises(Broken, match="1 GiB are started while 10 GiB are known"):
        knowledge.check_room("two", work("two", 1), [theirs, unknown, *knowledge.own], 10)


def test_one_that_is_larger_than_the_limit_starts_alone() -> None:
    Knowledge().check_room("one", work("one", 90), [], 10)
