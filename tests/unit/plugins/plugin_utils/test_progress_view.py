# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown, and when, with a clock of numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.amistore.aws.plugins.module_utils._progress_file import (
    Progress,
    RunningImage,
)
from ansible_collections.amistore.aws.plugins.plugin_utils._progress_view import (
    View,
    block,
    duration,
    heartbeat,
)

START = 1000.0
RUNNING = (
    RunningImage("ami-0abc", 7, 3900.0),
    RunningImage("ami-0abcdef1", 100, 0.0),
    RunningImage("ami-02", None, None),
)
PROGRESS = Progress("store into s3://vault", 3, 5, 4, 1, RUNNING, 7260.0)
NOTHING_YET = Progress("store into s3://vault", 0, 0, 1, 0, (), None)


def shown(view: View, progress: Progress | None, *moments: float) -> list[float]:
    """The seconds after the start at which something is shown."""
    return [moment for moment in moments if view.text(START + moment, progress)]


def view() -> View:
    return View("web1", "amistore.aws.ec2_ami_store", START)


def test_a_block_has_the_counts_and_the_running_amis() -> None:
    assert block("web1", PROGRESS) == (
        "web1: store into s3://vault: 3 of 13 AMIs done, 5 in flight, 4 not started, 1 failed;"
        " about 2 h 1 min left\n"
        "  ami-0abc        7 %, about 1 h 5 min left\n"
        "  ami-0abcdef1  100 %, about 1 min left\n"
        "  ami-02          ? %\n"
        "  and 2 more in flight"
    )


def test_a_block_without_anything_in_flight_is_one_line() -> None:
    assert block("web1", NOTHING_YET) == (
        "web1: store into s3://vault: 0 of 1 AMI done, 0 in flight, 1 not started, 0 failed"
    )


def test_a_heartbeat_is_one_line_even_when_nothing_is_known() -> None:
    assert heartbeat("web1", "m", 240.0, PROGRESS) == (
        "web1: m still runs after 4 min: 3 of 13 AMIs done, 5 in flight, 4 not started, 1 failed"
    )
    assert heartbeat("web1", "m", 8000.0, None) == "web1: m still runs after 2 h 13 min"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1 min"),
        (89.0, "1 min"),
        (90.0, "2 min"),
        (3569.0, "59 min"),
        (3600.0, "1 h 0 min"),
        (90061.0, "25 h 1 min"),
    ],
)
def test_times_are_told_in_minutes(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_run_that_ends_at_once_shows_nothing() -> None:
    assert shown(view(), PROGRESS, 0, 1, 5, 9.9) == []


def test_blocks_come_when_something_has_changed_and_not_more_than_once_a_minute() -> None:
    watched = view()
    assert shown(watched, PROGRESS, *range(65)) == [10]
    moved = replace(PROGRESS, running=(replace(RUNNING[0], percent=8), *RUNNING[1:]))
    assert shown(watched, moved, *range(65, 130)) == [70]
    counted = replace(moved, done=4, not_started=3)
    assert shown(watched, counted, *range(130, 200)) == [130]
    fails = replace(counted, done=3, failed=2)
    assert shown(watched, fails, 200, 201, 260, 261) == [200]


def test_what_changes_again_and_again_comes_once_a_minute() -> None:
    watched = view()
    moments = [
        second
        for second in range(300)
        if watched.text(START + second, replace(PROGRESS, done=second))
    ]
    assert moments == [10, 70, 130, 190, 250]


def test_an_estimate_alone_is_no_news() -> None:
    watched = view()
    assert shown(watched, PROGRESS, 10) == [10]
    images = tuple(replace(image, seconds_left=1.0) for image in RUNNING)
    assert shown(watched, replace(PROGRESS, seconds_left=1.0, running=images), *range(249)) == []


def test_a_line_comes_after_four_silent_minutes_and_again() -> None:
    watched = view()
    assert shown(watched, PROGRESS, *range(800)) == [10, 250, 490, 730]
    line = watched.text(START + 970, PROGRESS)
    assert line == heartbeat("web1", "amistore.aws.ec2_ami_store", 970.0, PROGRESS)


def test_a_module_that_says_nothing_gets_its_line_too() -> None:
    watched = view()
    assert shown(watched, None, *range(300)) == [240]
    assert watched.text(START + 480, None) == (
        "web1: amistore.aws.ec2_ami_store still runs after 8 min"
    )


def test_after_a_line_news_wait_their_minute() -> None:
    watched = view()
    assert shown(watched, None, *range(241)) == [240]
    assert shown(watched, PROGRESS, *range(241, 310)) == [300]


def test_what_was_last_known_is_kept_when_the_file_is_gone() -> None:
    watched = view()
    assert watched.text(START + 10, PROGRESS) == block("web1", PROGRESS)
    line = watched.text(START + 250, None)
    assert line == heartbeat("web1", "amistore.aws.ec2_ami_store", 250.0, PROGRESS)
