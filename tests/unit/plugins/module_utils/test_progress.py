# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a run is and how long it may take, followed in virtual time."""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.amistore.aws.plugins.module_utils import _progress_file
from ansible_collections.amistore.aws.plugins.module_utils._fleet import Entry, Fleet, Phase
from ansible_collections.amistore.aws.plugins.module_utils._images import Snapshot
from ansible_collections.amistore.aws.plugins.module_utils._pacing import (
    STORE_LIMITS,
    Limits,
    Rate,
)
from ansible_collections.amistore.aws.plugins.module_utils._progress import (
    Watcher,
    Work,
    least_seconds_left,
    typical_duration,
    watcher_of,
)
from ansible_collections.amistore.aws.plugins.module_utils._progress_file import (
    Progress,
    RunningImage,
)
from ansible_collections.amistore.aws.plugins.module_utils._report import Report
from ansible_collections.amistore.aws.plugins.module_utils._restore import RestoreEntry
from ansible_collections.amistore.aws.plugins.module_utils._run import RunOptions, run
from ansible_collections.amistore.aws.plugins.module_utils._store import StoreEntry
from tests.unit.plugins.module_utils.scripted_operation import Script
from tests.unit.plugins.module_utils.virtual_clock import VirtualClock

LIMITS = Limits(Rate(burst=2, seconds_per_request=10.0), in_flight=100)


@dataclass
class Told(Entry):
    """An entry whose progress is what a test says."""

    percent: int | None = None

    @property
    def progress(self) -> int | None:
        return self.percent


@dataclass
class Watch:
    """A watcher with all that it has told."""

    limits: Limits = LIMITS
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(1000.0))
    told: list[Progress] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watcher = Watcher("store into s3://b", self.limits, self.clock, self.told.append)

    def at(self, seconds: float, *entries: Entry, next_start: float = 0.0) -> Progress:
        """Look at the entries so long after the start."""
        self.clock.pass_by(1000.0 + seconds - self.clock.now())
        self.watcher(entries, next_start)
        return self.told[-1]


def running(percent: int | None, label: str = "a", size: int = 8) -> Told:
    return Told(label, size, Phase.RUNNING, started_at=1000.0, percent=percent)


def in_phases(*phases: Phase) -> list[Entry]:
    return [Entry(str(place), 1, phase) for place, phase in enumerate(phases)]


# Counts


def test_every_entry_is_counted_once() -> None:
    progress = Watch().at(0, *in_phases(*Phase))
    assert progress == Progress(
        what="store into s3://b",
        done=1,
        in_flight=1,
        not_started=3,
        failed=1,
        running=(RunningImage("3", None, None),),
        seconds_left=None,
    )
    assert progress.total == len(Phase)


def test_the_ten_that_have_been_running_for_longest_are_named() -> None:
    watch = Watch()
    late, early = running(None, "late"), [running(None, str(place)) for place in range(12)]
    late.phase = Phase.READY
    watch.at(0, late, *early)
    late.phase = Phase.RUNNING
    early[3].phase = Phase.DONE
    progress = watch.at(60, late, *early)
    assert [image.label for image in progress.running] == [*"012456789", "10"]
    assert progress.in_flight == 12


def test_labels_are_short_and_printable() -> None:
    image = Watch().at(0, running(1, "\x1b[2Jdr/\n\ud800ä" + "x" * 200)).running[0]
    assert image.label == "?[2Jdr/??ä" + "x" * 37 + "..." + "x" * 50


KEY = "ami-0abcdef1234567890.bin"


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("p" * 74 + "/" + KEY, "p" * 74 + "/" + KEY),
        ("p" * 200 + "/" + KEY, "p" * 72 + "..." + KEY),
        ("p" * 200 + f"/{KEY} as 'web'", "p" * 63 + f"...{KEY} as 'web'"),
        ("p" * 200 + f"/{KEY} as '{'n' * 128}'", f"...{KEY} as '{'n' * 67}"),
        ("ami-00000001.bin/" + "p" * 200 + f"/{KEY}", "ami-00000001.bin/" + "p" * 55 + f"...{KEY}"),
    ],
    ids=["fits", "a long prefix", "with a name", "with a long name", "a folder that looks like it"],
)
def test_the_ami_of_a_long_label_is_shown(label: str, shown: str) -> None:
    image = Watch().at(0, running(1, label)).running[0]
    assert image.label == shown
    assert len(shown) == 100


# Estimates of one AMI


def left(watch: Watch, seconds: float, entry: Told) -> float | None:
    return watch.at(seconds, entry).running[0].seconds_left


def test_an_estimate_goes_by_the_pace_so_far() -> None:
    watch, entry = Watch(), running(None)
    assert left(watch, 0, entry) is None
    assert left(watch, 20, entry) is None
    entry.percent = 4
    assert left(watch, 25, entry) is None
    entry.percent = 25
    assert left(watch, 30, entry) == pytest.approx(30 / 25.5 * 75)
    # AWS says the same for a while: time goes on.
    assert left(watch, 50, entry) == pytest.approx(30 / 25.5 * 75 - 20)
    entry.percent = 50
    assert left(watch, 80, entry) == pytest.approx(80 / 50.5 * 50)
    assert left(watch, 500, entry) == 0.0


def test_one_that_ran_before_counts_from_where_it_was_met() -> None:
    watch, entry = Watch(), running(60)
    assert left(watch, 0, entry) is None
    entry.percent = 70
    assert left(watch, 100, entry) == pytest.approx(100 / 10.5 * 30)


def test_percentages_that_jump_about_do_no_harm() -> None:
    watch, entry = Watch(), running(50)
    for seconds, percent in enumerate((10, 90, None, 100, 0, 100)):
        entry.percent = percent
        estimate = left(watch, float(seconds), entry)
        assert estimate is None or estimate >= 0


def test_one_without_news_takes_as_long_as_others_did() -> None:
    watch = Watch()
    done, slow = running(None, "a"), running(None, "b")
    watch.at(0, done, slow)
    done.phase = Phase.DONE
    [image] = watch.at(200, done, slow).running
    assert image.seconds_left == pytest.approx(0.0)
    watch = Watch()
    done, slow = running(None, "a"), running(None, "b")
    watch.at(0, done)
    done.phase = Phase.DONE
    slow.started_at = 1150.0
    watch.at(150, done, slow)
    [image] = watch.at(200, done, slow).running
    assert image.seconds_left == pytest.approx(100.0)


def test_what_has_failed_tells_nothing_about_durations() -> None:
    watch, entry = Watch(), running(None)
    other = Entry("b", 8, Phase.READY)
    watch.at(0, entry, other)
    entry.phase = Phase.FAILED
    assert watch.at(100, entry, other).seconds_left is None


# Typical durations


def test_nothing_is_typical_before_anything_was_seen() -> None:
    assert typical_duration([]) is None


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([(8, 60.0)], {8: 60.0, 100: 60.0}),
        ([(8, 60.0), (8, 80.0)], {8: 70.0, 100: 70.0}),
        ([(10, 50.0), (20, 80.0)], {10: 50.0, 40: 140.0, 0: 20.0}),
        ([(10, 80.0), (20, 50.0)], {10: 65.0, 100: 65.0}),
        ([(10, 10.0), (20, 50.0)], {0: 0.0, 10: 20.0, 20: 40.0}),
        ([(0, 30.0), (0, 50.0)], {0: 40.0, 8: 40.0}),
    ],
    ids=["one", "one size", "a line", "never falling", "never below zero", "sizes unknown"],
)
def test_the_typical_duration_grows_with_the_size(
    samples: list[tuple[int, float]], expected: dict[int, float]
) -> None:
    typical = typical_duration(samples)
    assert typical is not None
    assert {size: typical(size) for size in expected} == pytest.approx(expected)


@given(
    samples=st.lists(
        st.tuples(st.integers(0, 5000), st.floats(0.01, 1e6)), min_size=1, max_size=20
    ),
    size=st.integers(0, 5000),
)
def test_a_typical_duration_is_never_negative(samples: list[tuple[int, float]], size: int) -> None:
    typical = typical_duration(samples)
    assert typical is not None
    assert typical(size) >= -1e-6


# Estimates of the fleet


@pytest.mark.parametrize(
    ("going_on", "waiting", "next_start", "expected"),
    [
        ([], [], 0.0, 0.0),
        ([Work(1, 70.0), Work(1, 30.0)], [], 0.0, 70.0),
        ([Work(1, 10.0)], [Work(1, 50.0)], 0.0, 50.0),
        ([], [Work(1, 50.0)] * 2, 0.0, 50.0),
        ([], [Work(1, 50.0)] * 4, 0.0, 70.0),
        ([], [Work(1, 50.0)] * 4, 7.0, 87.0),
        ([], [Work(1, 10.0), Work(1, 10.0), Work(1, 10.0), Work(1, 100.0)], 0.0, 100.0),
        ([Work(100, 60.0)], [Work(100, 60.0)], 0.0, 120.0),
        ([Work(50, 60.0)], [Work(500, 60.0)], 0.0, 90.0),
    ],
    ids=[
        "nothing",
        "what runs",
        "what waits",
        "all at once",
        "the request rate",
        "the request rate, used up",
        "the longest first",
        "no room in flight",
        "one that is larger than the limit",
    ],
)
def test_the_rest_takes_as_long_as_the_limits_make_it(
    going_on: list[Work], waiting: list[Work], next_start: float, expected: float
) -> None:
    assert least_seconds_left(going_on, waiting, LIMITS, next_start) == pytest.approx(expected)


def test_the_fleets_estimate_needs_one_that_has_moved() -> None:
    watch, entry = Watch(), running(None)
    others = [Entry(str(place), 8, Phase.READY) for place in range(3)]
    assert watch.at(20, entry, *others, next_start=10.0).seconds_left is None
    entry.percent = 50
    # Three starts, the first in 10 s and then one each 10 s, and then the last one's time.
    progress = watch.at(40, entry, *others, next_start=10.0)
    assert progress.seconds_left == pytest.approx(30.0 + 40 / 50.5 * 100)


@pytest.mark.parametrize("count", [1, 60, 300])
def test_the_estimate_comes_close_to_what_the_engine_needs(count: int) -> None:
    clock = VirtualClock()
    watch = Watch(STORE_LIMITS, clock)
    script = Script(clock, duration=600.0)

    def move(entries: Any, next_start: float) -> None:
        for entry in entries:
            if entry.phase is Phase.RUNNING:
                entry.percent = int((clock.now() - entry.started_at) / 6.0)
        watch.watcher(entries, next_start)
        moments.extend([clock.now()] * (len(watch.told) - len(moments)))

    moments: list[float] = []
    entries = [Told(str(place)) for place in range(count)]
    Fleet(script, entries, STORE_LIMITS, clock, 1e6, observer=move).run(wait=True)
    end = clock.now()
    estimates = [
        (progress.seconds_left, end - moment)
        for progress, moment in zip(watch.told, moments, strict=True)
        if progress.seconds_left is not None and moment > 60.0
    ]
    assert len(estimates) > 10
    for estimate, truth in estimates:
        assert estimate == pytest.approx(truth, rel=0.1, abs=60.0)


# From the run to the file


def test_a_run_is_told_from_its_first_look_to_its_end() -> None:
    watch = Watch(STORE_LIMITS, VirtualClock())
    script = Script(watch.clock)
    report = Report([Entry("a"), Entry("b")], "stored")
    options = RunOptions(check_mode=False, wait=True, wait_timeout=7200)
    run(script, STORE_LIMITS, options, watch.clock, lambda: None, report, watch.watcher)
    counts = [(p.not_started, p.in_flight, p.done) for p in watch.told]
    assert counts[:3] == [(2, 0, 0), (1, 1, 0), (0, 2, 0)]
    assert counts[-1] == (0, 0, 2)


def test_what_is_told_of_a_large_fleet_costs_each_of_its_amis_no_more() -> None:
    """A thousand must not be gone through ten times as often as a hundred."""

    def told(count: int) -> int:
        clock = VirtualClock()
        watch = Watch(STORE_LIMITS, clock)
        entries = [Entry(str(place), 8) for place in range(count)]
        Fleet(
            Script(clock, duration=600.0), entries, STORE_LIMITS, clock, 1e6, observer=watch.watcher
        ).run(wait=True)
        # Often enough for a block every minute all the same.
        assert len(watch.told) >= clock.now() / 50.0
        return len(watch.told) * count

    few, many = told(100), told(1000)
    assert many / 1000 < 5 * few / 100


def test_check_mode_tells_nothing() -> None:
    watch = Watch(STORE_LIMITS, VirtualClock())
    options = RunOptions(check_mode=True, wait=True, wait_timeout=7200)
    report = Report([Entry("a")], "stored", True)
    run(
        Script(watch.clock), STORE_LIMITS, options, watch.clock, lambda: None, report, watch.watcher
    )
    assert watch.told == []


def test_the_entries_tell_what_aws_tells() -> None:
    assert Entry("a").progress is None
    assert StoreEntry("a").progress is None
    snapshots = {
        name: Snapshot(name, size, percent, None, {}, {})
        for name, size, percent in (("snap-1", 30, 100), ("snap-2", 10, 20))
    }
    assert RestoreEntry("a", snapshots=snapshots).progress == 80


def module(folder: Path | None, progress: bool = True, **values: Any) -> Any:
    attributes = {
        "_tmpdir": folder and str(folder),
        "params": {"progress": progress},
        "no_log_values": set(),
    }
    return types.SimpleNamespace(**{**attributes, **values})


def test_the_module_writes_into_the_folder_that_the_controller_gave(tmp_path: Path) -> None:
    watcher = watcher_of(module(tmp_path), "store into s3://b", LIMITS, VirtualClock())
    assert watcher is not None
    watcher([running(5)], 0.0)
    progress = _progress_file.read(str(tmp_path))
    assert progress is not None
    assert progress.running == (RunningImage("a", 5, None),)


def test_values_that_must_not_be_shown_are_masked(tmp_path: Path) -> None:
    secretive = module(tmp_path, no_log_values={"hunter2"})
    watcher = watcher_of(secretive, "store into s3://hunter2", LIMITS, VirtualClock())
    assert watcher is not None
    watcher([running(5, "hunter2/ami-1")], 0.0)
    assert "hunter2" not in (tmp_path / _progress_file.FILE_NAME).read_text()
    progress = _progress_file.read(str(tmp_path))
    assert progress is not None
    assert progress.running[0].label == "********/ami-1"


@pytest.mark.parametrize("wanted", [True, False])
def test_nothing_is_written_where_nobody_looks(tmp_path: Path, wanted: bool) -> None:
    folder = None if wanted else tmp_path
    assert watcher_of(module(folder, wanted), "store", LIMITS, VirtualClock()) is None


def test_a_folder_that_is_gone_costs_no_run(tmp_path: Path) -> None:
    watcher = watcher_of(module(tmp_path / "gone"), "store", LIMITS, VirtualClock())
    assert watcher is not None
    watcher([running(5)], 0.0)
    assert list(tmp_path.iterdir()) == []
