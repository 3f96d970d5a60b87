# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark of copies counts what crosses the wire, and tells what does not hold."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.benchmarks.relay import __main__ as program
from tests.benchmarks.relay import chart, contenders, race, results, table
from tests.benchmarks.relay.claims import claims
from tests.benchmarks.relay.contenders import Command
from tests.benchmarks.relay.field import Field, order
from tests.benchmarks.relay.kills import NO_PARTS, Killed, acknowledged, sent_again
from tests.benchmarks.relay.network import DIRECT, Network, capped, delayed
from tests.benchmarks.relay.outcome import GIB, MIB, Outcome
from tests.servers.proxies import Exchange
from tests.tools.places import BUILD

# Seconds for one GiB.
FAIR: Mapping[contenders.Contender, float] = {
    contenders.OURS: 10.0,
    contenders.RCLONE: 11.0,
    contenders.S5CMD_PIPE: 12.0,
    contenders.AWS_PIPE: 30.0,
    contenders.AWS_FILE: 31.0,
    contenders.S5CMD_UP: 8.0,
    contenders.S5CMD_DOWN: 2.0,
}
KILLED = Killed(10, GIB, extra=5 * MIB, most_extra=320 * MIB, sent_again=0, is_equal=True)


def outcome(way: contenders.Contender, network: Network, size: int, seconds: float) -> Outcome:
    return Outcome(
        name=way.name,
        network=network.name,
        size=size,
        seconds=seconds,
        cpu=4.0,
        memory=300.0,
        written=0 if way is contenders.OURS else size,
        start=0.7,
    )


def field(
    network: Network = DIRECT,
    size: int = GIB,
    changed: Mapping[contenders.Contender, float] | None = None,
) -> Field:
    """`changed` has other seconds."""
    times = {**FAIR, **(changed or {})}
    return Field(network, size, [outcome(way, network, size, s) for way, s in times.items()])


def broken(*fields: Field, killed: Killed | None = None) -> list[str]:
    return [claim.words for claim in claims(fields, killed) if not claim.holds]


def test_every_promise_can_hold() -> None:
    assert broken(field(), field(delayed(20)), field(capped(5)), killed=KILLED) == []
    assert len(list(claims([field(), field(capped(5))], KILLED))) == 4 + 1 + 2 + 3


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({contenders.OURS: 10.1}, "0.8 of the slower"),
        ({contenders.S5CMD_PIPE: 9.9}, "s5cmd's pipe"),
        ({contenders.RCLONE: 9.9}, "rclone"),
        ({contenders.AWS_PIPE: 9.9}, "aws s3 cp"),
        ({contenders.AWS_FILE: 9.9}, "aws s3 cp"),
    ],
)
def test_a_way_that_is_faster_breaks_its_promise(
    changed: dict[contenders.Contender, float], words: str
) -> None:
    [found] = broken(field(delayed(80), changed=changed))
    assert words in found


def test_the_slower_of_the_one_way_transfers_is_the_bound() -> None:
    assert field(
        changed={contenders.S5CMD_UP: 5.0, contenders.S5CMD_DOWN: 9.0}
    ).of_the_bound == pytest.approx(0.9)


def test_where_the_network_bounds_three_times_are_promised() -> None:
    [found] = broken(field(capped(5), changed={contenders.AWS_PIPE: 29.0}))
    assert "3 times" in found


def test_of_several_caps_the_slowest_is_judged() -> None:
    worse = {contenders.AWS_PIPE: 29.0}
    assert broken(field(capped(2.5)), field(capped(5), changed=worse)) == []
    [found] = broken(field(capped(2.5), changed=worse), field(capped(5)))
    assert "2.5 MiB/s" in found


def test_small_objects_are_not_judged() -> None:
    assert broken(field(size=64 * MIB, changed={contenders.OURS: 60.0})) == []


@pytest.mark.parametrize(
    ("changed", "words"), [({"memory": 512.0}, "memory"), ({"written": 1}, "disk")]
)
def test_every_run_of_ours_counts_for_memory_and_disk(changed: dict[str, Any], words: str) -> None:
    usual = field()
    worse = [
        replace(run, **changed) if run.name == contenders.OURS.name else run
        for run in usual.outcomes
    ]
    [found] = broken(field(delayed(20)), replace(usual, outcomes=worse))
    assert words in found


@pytest.mark.parametrize(
    ("worse", "words"),
    [
        (replace(KILLED, extra=321 * MIB), "extra bytes"),
        (replace(KILLED, sent_again=1), "sent again"),
        (replace(KILLED, is_equal=False), "equal"),
    ],
)
def test_what_a_killed_copy_does_is_judged(worse: Killed, words: str) -> None:
    [found] = broken(killed=worse)
    assert words in found


def part(number: str, sent: int, status: int, upload: str = "u") -> Exchange:
    return Exchange("PUT", f"/vault/k?partNumber={number}&uploadId={upload}", "", sent, status, 0)


def test_a_part_that_was_acknowledged_before_is_sent_again() -> None:
    seen = [part("1", 8, 200), part("2", 3, 0), part("2", 8, 200), part("3", 8, 500)]
    assert (sent_again(seen), acknowledged(seen)) == (0, 16)
    assert sent_again([*seen, part("1", 8, 200)]) == 1
    assert sent_again([*seen, part("2", 1, 0)]) == 1
    assert sent_again([*seen, part("1", 8, 200, upload="another")]) == 1


def test_the_marks_of_an_upload_are_no_parts_of_the_object() -> None:
    marks = [part(number, 1024, 200) for number in NO_PARTS]
    assert sent_again(marks + marks) == 0


def test_the_median_of_the_repeats_counts() -> None:
    runs = [outcome(contenders.OURS, DIRECT, GIB, seconds) for seconds in (1.0, 8.0, 2.0)]
    assert Field(DIRECT, GIB, runs).throughput(contenders.OURS.name) == 512.0


def test_ways_run_forwards_and_backwards_each_pair_of_turns_from_another_one_on() -> None:
    ways = list(contenders.ALL)
    count = len(ways)
    turns = list(order(ways, 3))
    assert turns[:count] == ways
    assert turns[count : 2 * count] == ways[::-1]
    assert turns[2 * count :] == [*ways[1:], ways[0]]
    assert len(list(order(ways, 2 * count + 1))) == count * (2 * count + 1)


def test_results_can_be_shown_again(tmp_path: Path) -> None:
    kept = results.Results(
        "seaweedfs", 2, [field(), field(capped(5))], results.Between(400.0, 380.0), KILLED
    )
    kept.save(tmp_path / "kept")
    assert results.load(tmp_path / "kept") == kept


def test_the_page_gets_the_tables_between_its_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{program.BEGIN}\nof another run\n{program.END}\nafter\n")
    monkeypatch.setattr(program, "PAGE", page)
    monkeypatch.setattr(program, "CHART", tmp_path / "chart.svg")
    program.write_docs(results.Results("seaweedfs", 2, [field()], killed=KILLED))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "of another run" not in text
    assert "| **amistore.aws.ec2_ami_store_copy** | 102.4 |" in text
    assert ", one run\n" in text
    assert (tmp_path / "chart.svg").exists()


def test_the_page_of_the_project_has_the_marks() -> None:
    text = program.PAGE.read_text()
    assert text.index(program.BEGIN) < text.index(program.END)


def test_bars_are_as_long_as_their_numbers() -> None:
    picture = ElementTree.fromstring(
        chart.svg([field(changed={contenders.OURS: 5.0, contenders.RCLONE: 10.0})])
    )
    bars = [float(rect.get("width", "")) for rect in picture.findall(".//{*}g/{*}rect")]
    assert bars[0] == pytest.approx(2 * bars[1], abs=0.1)


def test_a_table_has_a_row_for_each_way() -> None:
    rows = [line for line in table.field(field()) if line.startswith("| ")]
    assert len(rows) == 1 + len(contenders.ALL)


WRITER = "import sys; open(sys.argv[1], 'wb').write(bytes(3 << 20)); print('done')"
READER = "import sys, time; data = sys.stdin.read(); assert data == 'word'; b = bytes(40 << 20)"


def test_what_programs_of_a_pipe_use_is_added_up(tmp_path: Path) -> None:
    python = sys.executable
    say = Command([python, "-c", "print('word', end='')"])
    _seconds, one = race.measured([[Command([python, "-c", READER], "word")]], {}, tmp_path)
    _seconds, both = race.measured([[say, Command([python, "-c", READER])]], {}, tmp_path)
    assert both.memory > one.memory
    assert both.cpu > 0


def test_what_is_written_to_disk_is_counted() -> None:
    BUILD.mkdir(exist_ok=True)
    # Not where temporary files go: that may be memory.
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        written = Command([sys.executable, "-c", WRITER, f"{name}/file"])
        _seconds, used = race.measured([[written]], {}, Path(name))
    assert used.written >= 3 << 20


def test_a_program_that_fails_is_no_result(tmp_path: Path) -> None:
    wrong = Command([sys.executable, "-c", "raise SystemExit('it broke')"])
    with pytest.raises(race.Failed, match="it broke"):
        race.measured([[wrong]], {}, tmp_path)
