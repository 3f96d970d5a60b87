# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of five hundred AMIs fit into the events of a job.

ansible-runner drops a result of more than 700,000 characters (MAX_EVENT_RES) from its event.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.client import Emulator
from tests.playbooks.jobs import Controller
from tests.playbooks.programs import call
from tests.tools import surroundings
from tests.tools.environments import Environment
from tests.tools.places import ROOT

MOST = 700_000
FLEET = 500
BATCH = 50
MARGIN = 100_000


@pytest.fixture(scope="module")
def results(leg: Environment) -> dict[str, Any]:
    """Each module's result, as its own functions make it from the longest values."""
    script = Path(__file__).with_name("large_results.py")
    variables = surroundings.for_pytest()
    return dict(json.loads(call(variables, leg.python, script, str(FLEET))))


def test_the_results_of_each_module_fit_into_an_event(
    results: dict[str, Any], controller: Controller, tmp_path: Path
) -> None:
    modules = (
        "ec2_ami_store",
        "ec2_ami_restore",
        "ec2_ami_store_info",
        "ec2_ami_archive",
        "ec2_ami_store_retention",
    )
    shown = [
        {"name": name, "ansible.builtin.debug": {"msg": "{{ results." + name + " }}"}}
        for name in modules
    ]
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": shown}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    job = controller.run(str(tmp_path / "play.yml"), {"results": results})
    assert job.succeeded, job.output[-2000:]
    for name in modules:
        [event] = job.results(name)
        assert event["msg"] == results[name]
        assert len(results[name]["images" if "images" in results[name] else "store_tasks"]) == FLEET
        # What a module's result has besides: arguments, a message, warnings.
        assert len(str(event)) + MARGIN < MOST


def test_a_result_that_is_too_large_would_be_seen_to_be_dropped(
    controller: Controller, tmp_path: Path
) -> None:
    task = {"name": "large", "ansible.builtin.debug": {"msg": "{{ 'x' * " + str(MOST) + " }}"}}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    assert controller.run(str(tmp_path / "play.yml"), {}).results("large") == [{}]


def test_manifests_are_read_in_batches_that_fit(results: dict[str, Any]) -> None:
    assert len(str(results["manifest"])) * BATCH < MOST
    for name in ("name_restores", "verify_restored"):
        assert f"batch({BATCH})" in (ROOT / "playbooks" / "steps" / f"{name}.yml").read_text()


def test_events_of_a_fleet_keep_their_results(controller: Controller, emulator: Emulator) -> None:
    emulator.plant_buckets({"name": "vault"})
    disks = [{"device": "/dev/xvda", "size": 8}, {"device": "/dev/sdf", "size": 100}]
    image_ids = emulator.seed(
        [{"name": f"application-server-{number:03}", "volumes": disks} for number in range(FLEET)]
    )
    tasks = [{"image_id": image_id, "bucket": "vault", "seconds": 61} for image_id in image_ids]
    emulator.plant_tasks(*tasks)
    time.sleep(1.5)
    variables = {"amistore_bucket": "vault", "amistore_accept": "no_manifest"}
    job = controller.run("status", variables | {"amistore_image_ids": image_ids})
    assert job.succeeded, job.output[-2000:]
    [listed] = job.results("List the stored images and the stores in progress")
    assert len(listed["stored_images"]) == job.artifacts["amistore_status_stored"] == FLEET
    assert job.largest_result < MOST


def test_a_search_for_a_fleet_fits_too(controller: Controller, emulator: Emulator) -> None:
    emulator.plant_buckets({"name": "vault"})
    disks = [{"device": f"/dev/sd{letter}", "size": 8} for letter in "abcde"]
    tags = {f"a-tag-of-some-length-{number}": "v" * 40 for number in range(10)}
    emulator.seed(
        [{"name": f"server-{number}", "volumes": disks, "tags": tags} for number in range(FLEET)]
    )
    variables = {"amistore_bucket": "vault", "amistore_image_names": "server-*"}
    job = controller.run("store", variables, options="--check")
    assert job.succeeded, job.output[-2000:]
    assert all("res" not in e["event_data"] or e["event_data"]["res"] for e in job.events)
    assert len(job.shown("Say which AMIs were found")) == FLEET + 1
    assert job.largest_result < MOST
