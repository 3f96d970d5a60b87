# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file between module and controller: what is written is read, and nonsense is nothing."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.amistore.aws.plugins.module_utils import _progress_file
from ansible_collections.amistore.aws.plugins.module_utils._progress_file import (
    FILE_NAME,
    MOST_BYTES,
    Progress,
    RunningImage,
    read,
    write,
)

PROGRESS = Progress(
    what="store into s3://vault",
    done=1,
    in_flight=2,
    not_started=3,
    failed=4,
    running=(RunningImage("ami-1", 40, 61.5), RunningImage("ami-2", None, None)),
    seconds_left=120.0,
)


def changed(**values: Any) -> str:
    return json.dumps({**asdict(PROGRESS), **values})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(str(tmp_path), PROGRESS)
    assert read(str(tmp_path)) == PROGRESS
    write(str(tmp_path), replace(PROGRESS, done=2))
    assert read(str(tmp_path)) == replace(PROGRESS, done=2)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_the_file_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(str(tmp_path), PROGRESS)
    seen = []

    def look_then_replace(new: str, old: str) -> None:
        seen.append(read(str(tmp_path)))
        os.rename(new, old)

    monkeypatch.setattr(_progress_file.os, "replace", look_then_replace)
    write(str(tmp_path), replace(PROGRESS, done=2))
    assert seen == [PROGRESS]


def test_ten_images_with_the_longest_labels_fit(tmp_path: Path) -> None:
    images = (RunningImage("\U0001f4a5" * 100, 100, 1e8 / 3),) * 10
    write(str(tmp_path), replace(PROGRESS, running=images))
    assert read(str(tmp_path)) == replace(PROGRESS, running=images)
    assert (tmp_path / FILE_NAME).stat().st_size < MOST_BYTES / 2


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        '"done"',
        "[" * 50_000,
        "9" * 60_000,
        changed(done="1"),
        changed(done=True),
        changed(done=-1),
        changed(done=10**12),
        changed(done=1.5),
        changed(what=None),
        changed(what="\x1b[2Jstore"),
        changed(what="two\nlines"),
        changed(running=None),
        changed(running=[{}]),
        changed(running=["ami-1"]),
        changed(running=[{"label": "\x07", "percent": 1, "seconds_left": 1}]),
        changed(running=[{"label": "ami-1", "percent": -1, "seconds_left": 1}]),
        changed(running=[{"label": "ami-1", "percent": "1", "seconds_left": 1}]),
        changed(seconds_left=float("nan")),
        changed(seconds_left=float("inf")),
        changed(seconds_left=-1),
        changed(seconds_left="1"),
        changed(seconds_left=True),
        json.dumps({"done": 1}),
    ],
)
def test_nonsense_is_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    assert read(str(tmp_path)) is None


@given(content=st.binary())
def test_any_bytes_are_survived(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / FILE_NAME).write_bytes(content)
    assert read(str(folder)) is None


def test_what_is_no_plain_file_is_nothing_and_never_waited_for(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    assert read(str(tmp_path)) is None
    assert read(str(tmp_path / "gone")) is None
    path.mkdir()
    assert read(str(tmp_path)) is None
    path.rmdir()
    os.mkfifo(path)
    assert read(str(tmp_path)) is None
    path.unlink()
    (tmp_path / "elsewhere").write_text(changed())
    path.symlink_to(tmp_path / "elsewhere")
    assert read(str(tmp_path)) is None


def test_a_file_that_is_too_long_is_nothing(tmp_path: Path) -> None:
    text = changed()
    (tmp_path / FILE_NAME).write_text(text + " " * (MOST_BYTES - len(text)))
    assert read(str(tmp_path)) == PROGRESS
    (tmp_path / FILE_NAME).write_text(text + " " * (MOST_BYTES - len(text) + 1))
    assert read(str(tmp_path)) is None


def test_a_disk_that_fails_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int, _count: int) -> bytes:
        raise OSError("Input/output error")

    write(str(tmp_path), PROGRESS)
    monkeypatch.setattr(_progress_file.os, "read", fail)
    assert read(str(tmp_path)) is None
