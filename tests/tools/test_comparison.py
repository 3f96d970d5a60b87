# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison counts what is lost, tells what does not hold, and skips nothing but sleep."""

from __future__ import annotations

import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks import growth
from tests.benchmarks.comparison import chart, results
from tests.benchmarks.comparison.claims import Outcomes, claims
from tests.benchmarks.comparison.outcome import COMPLETED, FAILED, Outcome
from tests.benchmarks.comparison.skipped_time import SKIPPING
from tests.benchmarks.comparison.skipping.sitecustomize import SOCKET, SPEED

AMIS = frozenset({"ami-1", "ami-2"})
FAILING = "ami-3"
GOOD = Outcome(
    name="good",
    seconds=800.0,
    skipped=780.0,
    cpu=10.0,
    polling_cpu=30.0,
    requests={"DescribeStoreImageTasks": {"OK": 20}, "CreateStoreImageTask": {"OK": 3}},
    stored=AMIS,
    storable=AMIS,
    verdicts={"ami-1": COMPLETED, "ami-2": COMPLETED, FAILING: FAILED},
)
POLLING = {"DescribeStoreImageTasks": {"OK": 150, "RequestLimitExceeded": 50}}
ALL_HOLD = Outcomes(
    ours=GOOD,
    loop=replace(GOOD, seconds=801.0, cpu=200.0, requests=POLLING),
    threads=replace(GOOD, requests=POLLING),
    for_ever=replace(GOOD, seconds=785.0),
)


def test_what_aws_fails_to_store_is_not_lost() -> None:
    assert (GOOD.lost, GOOD.wrong) == (frozenset(), frozenset())


@pytest.mark.parametrize(
    ("image_id", "verdict"),
    [(FAILING, COMPLETED), ("ami-1", FAILED), ("ami-1", "NotStarted"), ("ami-1", None)],
)
def test_a_report_that_is_not_so_is_wrong(image_id: str, verdict: str | None) -> None:
    told = {**GOOD.verdicts, image_id: verdict}
    outcome = replace(GOOD, verdicts={name: word for name, word in told.items() if word})
    assert outcome.wrong == {image_id}
    assert outcome.lost_or_wrong == 1


def test_what_could_be_stored_and_is_not_is_lost_also_when_that_is_told() -> None:
    told = {**GOOD.verdicts, "ami-2": FAILED}
    outcome = replace(GOOD, stored=AMIS - {"ami-2"}, verdicts=told)
    assert outcome.lost == {"ami-2"}
    assert not outcome.wrong
    assert outcome.lost_or_wrong == 1


def test_throttled_and_refused_answers_are_counted_apart() -> None:
    answers = {"OK": 1, "RequestLimitExceeded": 4, "ResourceLimitExceeded": 2}
    outcome = replace(GOOD, requests={"CreateStoreImageTask": answers, **POLLING})
    assert (outcome.throttled, outcome.refused, outcome.all_requests) == (54, 2, 207)


def test_every_promise_can_hold() -> None:
    assert all(claim.holds for claim in claims(ALL_HOLD))


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (0, replace(ALL_HOLD, ours=replace(GOOD, verdicts={}))),
        (1, replace(ALL_HOLD, threads=GOOD)),
        (2, replace(ALL_HOLD, loop=replace(ALL_HOLD.loop, requests=GOOD.requests))),
        (3, replace(ALL_HOLD, loop=replace(ALL_HOLD.loop, cpu=199.0))),
        (4, replace(ALL_HOLD, loop=replace(ALL_HOLD.loop, seconds=800.0))),
        (5, replace(ALL_HOLD, for_ever=replace(GOOD, seconds=784.0))),
    ],
)
def test_every_promise_can_be_broken(number: int, found: Outcomes) -> None:
    broken = [place for place, claim in enumerate(claims(found)) if not claim.holds]
    assert number in broken
    assert len(broken) == 1 or number == 0


def needs(*figures: tuple[int, float, float]) -> list[growth.Need]:
    return [growth.Need(count, cpu, memory) for count, cpu, memory in figures]


def test_linear_growth_is_no_fault_and_more_is() -> None:
    linear = needs((1, 1.1, 90.1), (10, 2.0, 91.0), (100, 11.0, 100.0), (1000, 101.0, 190.0))
    assert growth.faults_of(linear) == []
    assert "0.1667" in growth.faults_of([*linear[:-1], growth.Need(1000, 161.0, 190.0)])[0]
    assert "memory" in growth.faults_of([*linear[:-1], growth.Need(1000, 101.0, 250.0)])[0]


def test_results_can_be_shown_again(tmp_path: Path) -> None:
    kept = results.Results(100, 1.0, 0.04, [GOOD, ALL_HOLD.loop], needs((1, 1.5, 90.0)))
    kept.save(tmp_path / "kept")
    assert results.load(tmp_path / "kept") == kept


def test_bars_are_as_long_as_their_numbers() -> None:
    picture = ElementTree.fromstring(chart.svg([GOOD, replace(GOOD, seconds=1600.0)]))
    bars = [float(rect.get("width", "")) for rect in picture.findall(".//{*}g/{*}rect")]
    assert bars[2] == pytest.approx(bars[3] / 2, abs=0.1)
    assert {"800", "1,600"} <= {text.text for text in picture.findall(".//{*}text")}


class Clock(socketserver.UnixStreamServer):
    """Notes what is to be skipped."""

    skipped: list[float]


class OneSkip(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Clock)
        self.server.skipped.append(float(self.rfile.readline()))
        self.wfile.write(b"\n")


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[Clock]:
    with Clock(str(tmp_path / "clock"), OneSkip) as server:
        server.skipped = []
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(program: str, clock: Clock) -> str:
    skipping = {SOCKET: str(clock.server_address), SPEED: "1.0", "PYTHONPATH": str(SKIPPING)}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | skipping,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ended.stdout.strip()


def test_a_program_skips_its_sleep_and_its_clock_goes_on(clock: Clock) -> None:
    program = "import time; a = time.monotonic(); time.sleep(900); print(time.monotonic() - a)"
    assert 900 <= float(run(program, clock)) < 930
    assert clock.skipped == [900.0]


def test_short_pauses_stay(clock: Clock) -> None:
    run("import time; time.sleep(0.01)", clock)
    assert clock.skipped == []


THREADS = """
import threading, time
def work(name, *pauses):
    for pause in pauses:
        time.sleep(pause)
        print(name, round(time.monotonic() - begun, -1))
begun = time.monotonic()
threads = [threading.Thread(target=work, args=a) for a in (("slow", 700), ("quick", 300, 300))]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_threads_wake_in_the_order_of_their_pauses(clock: Clock) -> None:
    lines = run(THREADS, clock).splitlines()
    assert lines == ["quick 300.0", "quick 600.0", "slow 700.0"]
    assert sum(clock.skipped) == pytest.approx(700, abs=10)


BUSY = """
import threading, time
ended = threading.Event()
def work():
    until = time.process_time() + 0.3
    while time.process_time() < until: pass
    ended.set()
def sleep():
    time.sleep(600)
    print(ended.is_set())
threads = [threading.Thread(target=work), threading.Thread(target=sleep)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_nothing_is_skipped_while_a_thread_works(clock: Clock) -> None:
    assert run(BUSY, clock) == "True"
