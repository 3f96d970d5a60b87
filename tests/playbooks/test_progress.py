# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees of a long task, in a terminal and in a job of AWX, and what nobody may see.

One play and one job run side by side, with the periods that users have.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.client import Emulator
from tests.integration.run import module_python
from tests.playbooks.jobs import Controller, Job
from tests.tools import surroundings
from tests.tools.environments import Environment

# A gibibyte takes a second. A block comes after ten seconds, and the next a minute later.
SCENARIO = {"store_seconds": 2.0, "store_seconds_per_gib": 1.0}
SHORT, LONG = 18, 70
KILLED = 137
# By host, what is special about its task.
HOSTS: dict[str, dict[str, Any]] = {
    "watched": {},
    "piped": {"ansible_pipelining": True},
    "secret": {"hidden": True},
    "off": {"progress": False},
    "later": {"limit": 120},
    "checked": {"checked": True},
    "remote": {"ansible_connection": "elsewhere"},
    "killed": {},
}
# A Python that is killed a while after its module has begun to tell of its progress.
MORTAL = """#!/bin/sh
(
  until [ -e "$(dirname "$1")/amistore_progress.json" ]; do sleep 1; done
  sleep 12
  kill -9 $$
) &
exec {python} "$@"
"""
ELSEWHERE = '''
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: elsewhere
short_description: this machine, which looks like another one
description: [Runs things here.]
extends_documentation_fragment: [connection_pipelining]
"""


class Connection(Local):
    transport = "elsewhere"
'''


@dataclass(frozen=True)
class Seen:
    """What came out of the play and of the job."""

    stdout: str
    stderr: str
    job: Job
    image_ids: Mapping[str, str]

    def blocks(self, host: str) -> list[str]:
        """What was shown for a host: lines that begin with its name, and the indented ones."""
        return re.findall(rf"^{host}: .*\n(?:  .*\n)*", self.stderr, re.MULTILINE)

    def result(self, host: str) -> dict[str, Any]:
        [task] = json.loads(self.stdout)["plays"][0]["tasks"]
        return dict(task["hosts"][host])


def playbook(options: Mapping[str, Any], **keywords: Any) -> str:
    arguments = {"bucket": "vault", "region": "us-east-1", **options}
    task = {"name": "Store", "amistore.aws.ec2_ami_store": arguments, **keywords}
    return json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}])


def start_play(
    leg: Environment, emulator: Emulator, folder: Path, images: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start one play on all hosts at once, with a callback that writes JSON to stdout."""
    (folder / "elsewhere.py").write_text(ELSEWHERE)
    mortal = folder / "mortal"
    mortal.write_text(MORTAL.format(python=leg.python))
    mortal.chmod(0o755)
    own = {
        host: {
            "ansible_connection": "local",
            "ansible_python_interpreter": str(mortal if host == "killed" else leg.python),
            "image_id": images[host],
            **variables,
        }
        for host, variables in HOSTS.items()
    }
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": own}}))
    options = {"image_id": "{{ image_id }}", "progress": "{{ progress | default(true) }}"}
    keywords = {
        "no_log": "{{ hidden | default(false) }}",
        "check_mode": "{{ checked | default(false) }}",
        "async": "{{ limit | default(0) }}",
        "poll": 2,
    }
    (folder / "play.yml").write_text(playbook(options, **keywords))
    variables = surroundings.without_proxies(surroundings.for_ansible(leg)) | {
        "ANSIBLE_CONNECTION_PLUGINS": str(folder),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        **emulator.environment,
    }
    command = ("--forks", str(len(HOSTS)), "-i", "hosts.json", "play.yml")
    return subprocess.Popen(
        [str(leg.program("ansible-playbook")), *command],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_job(controller: Controller, folder: Path, images: Sequence[str]) -> Job:
    """Run a loop over two AMIs as AWX does."""
    play = folder / "job.yml"
    play.write_text(playbook({"image_id": "{{ item }}"}, loop=list(images)))
    return controller.run(str(play), {}, hosts={"looped": {"ansible_connection": "local"}})


@pytest.fixture(scope="module")
def seen(
    leg: Environment, only_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Seen:
    folder = tmp_path_factory.mktemp("progress")
    only_emulator.reset()
    only_emulator.reset_scenario()
    only_emulator.scenario(**SCENARIO)
    only_emulator.plant_buckets({"name": "vault"})
    sizes = dict.fromkeys((*HOSTS, "first item", "second item"), SHORT) | {"watched": LONG}
    images = only_emulator.seed(
        [
            {"name": host, "volumes": [{"device": "/dev/xvda", "size": size}]}
            for host, size in sizes.items()
        ]
    )
    image_ids = dict(zip(sizes, images, strict=True))
    with start_play(leg, only_emulator, folder, image_ids) as play:
        controller = Controller(leg, only_emulator, folder, str(module_python(leg)))
        job = run_job(controller, folder, images[-2:])
        stdout, stderr = play.communicate(timeout=300)
    return Seen(stdout, stderr, job, image_ids)


def test_a_block_comes_early_and_then_once_a_minute(seen: Seen) -> None:
    first, second = seen.blocks("watched")[:2]
    begin = "watched: store into s3://vault: 0 of 1 AMI done"
    assert first.startswith(f"{begin}, ")
    title, image = second.splitlines()
    counts = f"{begin}, 1 in flight, 0 not started, 0 failed"
    assert re.fullmatch(re.escape(counts) + r"; about \d min left", title)
    image_id = seen.image_ids["watched"]
    assert re.fullmatch(rf"  {image_id}  +\d+ %, about \d min left", image)
    assert seen.result("watched")["changed"] is True


def test_modules_that_are_piped_in_are_shown_too(seen: Seen) -> None:
    assert len(seen.blocks("piped")) == 1
    assert seen.result("piped")["changed"] is True


@pytest.mark.parametrize("host", ["secret", "off", "later", "checked", "remote"])
def test_nothing_is_shown_where_nothing_may_or_can_be(seen: Seen, host: str) -> None:
    assert seen.blocks(host) == []
    assert seen.image_ids[host] not in seen.stderr
    assert seen.result(host)["changed"] is True


def test_a_module_that_is_killed_ends_as_any_other(seen: Seen) -> None:
    result = seen.result("killed")
    assert len(seen.blocks("killed")) == 1
    assert result["failed"] is True
    assert result["rc"] == KILLED


def test_a_job_shows_the_blocks_of_every_item_among_its_events(seen: Seen) -> None:
    assert seen.job.succeeded, seen.job.output
    [done] = [event for event in seen.job.events if event["event"] == "runner_on_ok"]
    assert [item["changed"] for item in done["event_data"]["res"]["results"]] == [True, True]
    shown = [event["stdout"] for event in seen.job.events if event["event"] == "verbose"]
    blocks = [text for text in shown if text.startswith("looped: store into s3://vault: 0 of 1")]
    assert len(blocks) == 2
    assert all(line in seen.job.output for text in blocks for line in text.splitlines())
