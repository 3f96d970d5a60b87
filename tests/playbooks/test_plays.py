# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plays under ansible-runner, with the extra variables that a survey sends."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.client import Emulator
from tests.playbooks import survey_rules
from tests.playbooks.jobs import Controller, Job

ROOT = Path(__file__).resolve().parents[2]
CREATES = ("CreateStoreImageTask", "CreateRestoreImageTask")

Launch = Callable[..., Job]


@pytest.fixture
def launch(controller: Controller) -> Launch:
    """Starts a play with the answers of its survey: what is not given is sent as AWX sends it."""

    def launch(play: str, options: str = "", **given: Any) -> Job:
        survey = survey_rules.load(ROOT / "extensions" / "awx" / "surveys" / f"{play}.json")
        return controller.run(play, survey_rules.answers(survey, **given), options=options)

    return launch


@pytest.fixture
def web_and_db(emulator: Emulator) -> list[str]:
    emulator.plant_buckets({"name": "vault"})
    disks = [{"device": "/dev/xvda", "size": 8}, {"device": "/dev/sdf", "size": 20}]
    return emulator.seed(
        [
            {"name": "web (1)", "tags": {"env": "prod", "backup": ""}, "volumes": disks},
            {"name": "db-1", "tags": {"env": "prod"}},
            {"name": "db-2", "tags": {"env": "test"}},
        ]
    )


def creates(emulator: Emulator) -> int:
    requests = emulator.requests()
    return sum(requests.get(action, 0) for action in CREATES)


def stored(emulator: Emulator, image_ids: Iterable[str], bucket: str = "vault") -> None:
    """Have the AMIs in the bucket, without a play."""
    tasks = [{"image_id": image_id, "bucket": bucket, "seconds": 60.5} for image_id in image_ids]
    emulator.plant_tasks(*tasks)
    time.sleep(0.7)
    emulator.images()


@pytest.mark.every_core
def test_a_disaster_and_the_way_back(
    launch: Launch, emulator: Emulator, web_and_db: list[str]
) -> None:
    web, db, _other = web_and_db
    answers = {
        "amistore_bucket": "safe",
        "amistore_prefix": "dr/",
        "amistore_image_names": "web (?)\r\ndb-*\r\n",
        "amistore_image_tags": "env = prod",
        "amistore_tags": "service=shop\r\n",
    }
    secured = launch("secure_bucket", amistore_bucket="safe", amistore_bucket_tags="a=b")
    assert secured.succeeded, secured.output
    assert secured.artifacts["amistore_secured_buckets"] == ["safe"]

    job = launch("store", **answers)
    assert job.succeeded, job.output
    assert job.artifacts["amistore_stored_image_ids"] == [web, db]
    assert job.artifacts["amistore_stored_object_keys"] == [f"dr/{web}.bin", f"dr/{db}.bin"]
    assert job.changed() == 1
    again = launch("store", **answers)
    assert (again.succeeded, again.changed(), creates(emulator)) == (True, 0, 2)

    for image_id in (web, db):
        emulator.set_image_state(image_id, "deregistered")
    back = {"amistore_bucket": "safe", "amistore_prefix": "dr"}
    job = launch("restore", **back)
    assert job.succeeded, job.output
    restored = job.artifacts["amistore_restored_images"]
    assert set(restored) == {f"safe/dr/{web}.bin", f"safe/dr/{db}.bin"}
    names = {image["image_id"]: image["name"] for image in emulator.images()}
    assert names[restored[f"safe/dr/{web}.bin"]] == "web (1)"
    [shown] = [r["msg"] for r in job.results("Show the comparison")]
    assert f"{web} is back as {restored[f'safe/dr/{web}.bin']}, web (1): 2 disks, 28 GiB" in shown
    again = launch("restore", **back)
    assert (again.succeeded, again.changed(), creates(emulator)) == (True, 0, 4)


@pytest.mark.every_core
def test_an_audit_changes_nothing_and_fails_on_request(
    controller: Controller, emulator: Emulator
) -> None:
    emulator.plant_buckets({"name": "vault"})
    variables = {"amistore_bucket": "vault", "amistore_fail": "true"}
    job = controller.run("secure_bucket", variables, options="--check")
    assert not job.succeeded
    assert job.failure.startswith("s3://vault is not as it should be in versioning, ")
    assert "versioning" in job.artifacts["amistore_bucket_drift"]["vault"]
    assert not [name for name in emulator.requests() if name.startswith(("Put", "Create"))]


@pytest.mark.every_core
def test_status_tells_every_kind_of_problem(
    launch: Launch, emulator: Emulator, web_and_db: list[str]
) -> None:
    web, db, other = web_and_db
    stored(emulator, [web])
    emulator.plant_tasks(
        {"image_id": db, "bucket": "vault", "state": "Failed", "reason": "snapshot gone"},
        {"image_id": "ami-0aaaaaaaaaaaaaaaa", "bucket": "vault", "percent": 40},
    )
    emulator.set_storage_class("vault", f"{web}.bin", "GLACIER")
    problems = {
        "missing": [f"{db} is not stored.", f"{other} is not stored."],
        "no_manifest": [
            f"{web}.bin has no manifest that can be read, so a restore needs a name for it."
        ],
        "not_restorable": [
            f"{web}.bin is archived in GLACIER and must be thawed before a restore."
        ],
    }
    job = launch("status", amistore_bucket="vault", amistore_image_names="*")
    assert not job.succeeded
    found = job.artifacts["amistore_status_problems"]
    [failed] = [line for line in found if "failed: snapshot gone." in line]
    assert sorted(found) == sorted([failed, *itertools.chain(*problems.values())])
    assert job.failure.startswith("s3://vault/: stored 1 (")
    assert all(problem in job.failure for problem in found)
    assert "ami-0aaaaaaaaaaaaaaaa   40 %" in job.shown("Show the state")
    # ansible-core 2.17 hands numbers on as text.
    assert int(job.artifacts["amistore_status_in_progress"]) == 1

    job = launch(
        "status",
        amistore_bucket="vault",
        amistore_accept="failed\nno_manifest\nnot_restorable",
        amistore_max_age_days="2",
    )
    assert job.succeeded, job.output
    assert int(job.artifacts["amistore_status_stored"]) == 1
    emulator.advance(3 * 86400)
    job = launch("status", amistore_bucket="vault", amistore_fail="false")
    assert job.succeeded, job.output


def test_status_of_an_empty_bucket_is_a_problem(launch: Launch, web_and_db: list[str]) -> None:
    job = launch("status", amistore_bucket="vault", amistore_prefix="nightly")
    assert not job.succeeded
    assert job.artifacts["amistore_status_problems"] == [
        "Nothing is stored under s3://vault/nightly."
    ]


def test_a_schedule_that_finds_nothing_is_no_success(
    launch: Launch, emulator: Emulator, web_and_db: list[str]
) -> None:
    names = "db-*\nweb-old*"
    job = launch("store", amistore_bucket="vault", amistore_image_names=names)
    assert not job.succeeded
    assert job.failure.startswith("No AMI of this account matches: web-old*. Check account")
    job = launch("store", amistore_bucket="vault")
    assert job.failure.startswith("No AMIs are given: ")
    assert creates(emulator) == 0
    job = launch(
        "store", amistore_bucket="vault", amistore_image_names="x", amistore_allow_none="true"
    )
    assert job.succeeded, job.output
    job = launch("restore", amistore_bucket="vault")
    assert not job.succeeded
    assert job.failure.startswith("No stored image lies directly under prefix ''")


def test_answers_that_cannot_be_meant_are_refused_before_aws_is_asked(
    controller: Controller, emulator: Emulator
) -> None:
    emulator.reset_requests()
    variables = {"amistore_bucket": " ", "amistore_wait": "ture", "amistore_wait_timeout": "2h"}
    job = controller.run("store", variables)
    assert not job.succeeded
    assert job.failure == (
        "amistore_bucket is required and blank. amistore_wait is true or false, not 'ture'. "
        "amistore_wait_timeout is a whole number, not '2h'."
    )
    variables = {"amistore_bucket": "b", "amistore_state": "absent", "amistore_image_names": "*"}
    assert controller.run("store", variables).failure.startswith("amistore_state is absent")
    variables = {
        "amistore_bucket": "b",
        "amistore_image_ids": "ami-1",
        "amistore_stored_images": "k",
    }
    assert controller.run("restore", variables).failure.startswith("amistore_image_ids and ")
    assert emulator.requests() == {}


def test_one_bad_ami_fails_the_job_and_the_others_are_handed_on(
    launch: Launch, web_and_db: list[str]
) -> None:
    web, *_others = web_and_db
    bad = "ami-0bbbbbbbbbbbbbbbb"
    job = launch(
        "store",
        amistore_bucket="vault",
        amistore_image_ids=f"{bad}, {web}",
    )
    assert not job.succeeded
    assert job.failure.startswith("2 AMIs: 1 failed, 1 stored in s3://vault.")
    assert bad in job.failure
    assert job.artifacts["amistore_stored_image_ids"] == [web]
    assert job.artifacts["amistore_store_failed_image_ids"] == [bad]


@pytest.mark.every_core
def test_a_drill_runs_beside_the_originals(
    launch: Launch, emulator: Emulator, web_and_db: list[str]
) -> None:
    web, db, _other = web_and_db
    answers = {"amistore_bucket": "vault", "amistore_image_ids": f"{web}\n{db}"}
    assert launch("store", **answers).succeeded
    job = launch(
        "restore",
        amistore_bucket="vault",
        amistore_name_suffix="-drill",
        amistore_tags="drill=yes",
    )
    assert job.succeeded, job.output
    names = {image["name"]: image["tags"] for image in emulator.images()}
    assert names["web (1)-drill"]["drill"] == names["db-1-drill"]["drill"] == "yes"
    objects = f"{web}.bin another web\n{db}.bin\n"
    job = launch("restore", "--check", amistore_bucket="vault", amistore_stored_images=objects)
    assert "another web" in job.output


@pytest.mark.every_core
def test_a_drill_is_compared_recorded_and_shared(launch: Launch, emulator: Emulator) -> None:
    emulator.plant_buckets({"name": "vault"})
    friend, stranger = "222222222222", "333333333333"
    [web] = emulator.seed([{"name": "web", "shared_with": [friend, stranger]}])
    assert launch("store", amistore_bucket="vault", amistore_image_ids=web).succeeded
    drill = {
        "amistore_bucket": "vault",
        "amistore_name_suffix": "-drill",
        "amistore_verify": "strict",
        "amistore_record_evidence": "true",
        "amistore_launch_permissions": "restore",
        "amistore_allowed_launch_permissions": f"{friend}\r\n444444444444\r\n",
    }
    job = launch("restore", **drill)
    assert job.succeeded, job.output
    [restored] = job.results("Restore the AMIs")[0]["images"]
    assert restored["verification"]["equal"] is True
    assert restored["evidence"]["verified_at"]
    assert restored["launch_permissions"]["shared_with"] == [friend]
    assert restored["launch_permissions"]["left_out"] == [stranger]
    assert emulator.requests()["ModifyImageAttribute"] == 1
    again = launch("restore", **drill)
    assert (again.succeeded, again.changed()) == (True, 0)
    assert again.results("Restore the AMIs")[0]["images"] == [restored | {"changed": False}]
    status = launch("status", amistore_bucket="vault")
    assert status.succeeded, status.output
    assert int(status.artifacts["amistore_status_stored"]) == 1


@pytest.mark.every_core
def test_what_comes_back_otherwise_fails_the_job_and_stays(
    launch: Launch, emulator: Emulator, web_and_db: list[str]
) -> None:
    web, db, _other = web_and_db
    assert launch("store", amistore_bucket="vault", amistore_image_ids=f"{web}\n{db}").succeeded
    altered = {"boot_mode": "uefi", "sizes": {"/dev/sdf": 21}, "lost_tags": ["backup"]}
    emulator.scenario(restore_alterations={web: altered})
    drill = {"amistore_bucket": "vault", "amistore_name_suffix": "-drill"}
    job = launch("restore", **drill)
    assert not job.succeeded
    restored = job.artifacts["amistore_restored_images"]
    image_id = restored[f"vault/{web}.bin"]
    assert job.failure == (
        f"{image_id} differs from the manifest of {web}.bin in boot_mode,"
        " disks./dev/sdf.volume_size, tags.backup."
    )
    [shown] = [r["msg"] for r in job.results("Show the comparison")]
    assert f"{web} is back as {image_id}, web (1)-drill: 2 disks, 29 GiB" in shown
    job = launch("restore", amistore_verify="strict", **drill)
    assert not job.succeeded
    assert "stays for inspection" in job.results("Restore the AMIs")[0]["msg"]
    assert job.changed() == 0
    states = {image["image_id"]: image["state"] for image in emulator.images()}
    assert {states[image_id] for image_id in restored.values()} == {"available"}


def test_start_now_and_watch_later(
    launch: Launch, emulator: Emulator, web_and_db: list[str]
) -> None:
    web, *_others = web_and_db
    answers = {"amistore_bucket": "vault", "amistore_image_ids": web, "amistore_wait": "false"}
    job = launch("store", **answers)
    assert job.succeeded, job.output
    assert job.artifacts["amistore_store_unfinished_image_ids"] == [web]


def test_stored_images_are_deleted_by_id_only(
    controller: Controller, emulator: Emulator, web_and_db: list[str]
) -> None:
    web, db, _other = web_and_db
    stored(emulator, [web, db])
    variables = {"amistore_bucket": "vault", "amistore_image_ids": web, "amistore_state": "absent"}
    job = controller.run("store", variables)
    assert job.succeeded, job.output
    job = controller.run("status", {"amistore_bucket": "vault", "amistore_accept": "no_manifest"})
    assert int(job.artifacts["amistore_status_stored"]) == 1


def test_a_misspelled_variable_restores_nothing(
    controller: Controller, emulator: Emulator, web_and_db: list[str]
) -> None:
    stored(emulator, web_and_db[:2])
    emulator.reset_requests()
    job = controller.run("restore", {"amistore_bucket": "vault", "amistore_image_id": "ami-1"})
    assert job.failure == (
        "amistore_image_id is read by no playbook of the collection; is amistore_image_ids meant?"
    )
    assert emulator.requests() == {}


def test_a_pattern_that_fits_no_host_is_no_success(controller: Controller) -> None:
    hosts: dict[str, dict[str, Any]] = {"shop": {"amistore_bucket": "vault"}}
    for play in ("relay", "restore", "secure_bucket", "status", "store"):
        job = controller.run(play, {"amistore_hosts": "shopp"}, hosts=hosts)
        assert not job.succeeded
        words = "amistore_hosts is shopp, which fits no host of the inventory."
        assert words in " ".join(job.output.split())


def test_status_needs_no_more_than_a_policy_for_a_prefix(
    controller: Controller, emulator: Emulator, web_and_db: list[str]
) -> None:
    variables = {"amistore_bucket": "vault", "amistore_prefix": "dr"}
    given = {"amistore_image_ids": web_and_db[0]}
    assert controller.run("store", {**variables, **given}).succeeded
    under = {"StringLike": {"s3:prefix": ["dr/*"]}}
    allowed: list[dict[str, Any]] = [
        {"Action": "ec2:DescribeStoreImageTasks", "Resource": "*"},
        {"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::vault", "Condition": under},
        {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::vault/dr/*"},
    ]
    statements = [{"Effect": "Allow", **statement} for statement in allowed]
    policy = {"Version": "2012-10-17", "Statement": statements}
    emulator.scenario(policies={emulator.environment["AWS_ACCESS_KEY_ID"]: [policy]})
    seen = {"amistore_bucket": "vault", "amistore_prefix": "dr"}
    job = controller.run("status", seen)
    assert job.succeeded, job.output
    assert job.artifacts["amistore_status_problems"] == []


def test_status_tells_which_prefix_restores_what(
    controller: Controller, emulator: Emulator, web_and_db: list[str]
) -> None:
    web, db, _other = web_and_db
    variables = {"amistore_bucket": "vault"}
    for prefix, image_id in (("dr/shop", web), ("dr", db)):
        answers = {"amistore_prefix": prefix, "amistore_image_ids": image_id}
        assert controller.run("store", {**variables, **answers}).succeeded
    job = controller.run("status", {"amistore_bucket": "vault", "amistore_prefix": "dr/"})
    [summary, hint] = job.shown("Show the state")
    assert hint == "1 of them lie in dr/shop: amistore_prefix=dr/shop restores those."
    assert "stored 2 (" in summary


def test_the_age_of_a_stored_image_is_the_same_in_every_time_zone(
    controller: Controller, emulator: Emulator, web_and_db: list[str]
) -> None:
    stored(emulator, web_and_db[:1])
    answers = {"amistore_bucket": "vault", "amistore_accept": "no_manifest"}
    limit = {"amistore_max_age_days": 1}
    job = controller.run("status", {**answers, **limit}, environment={"TZ": "WEST24:59"})
    assert job.succeeded, job.output


ROLE = "arn:aws:iam::123456789012:role/amistore"


@pytest.mark.every_core
def test_a_role_is_assumed_with_a_profile_of_the_environment(
    controller: Controller, emulator: Emulator, web_and_db: list[str], tmp_path: Path
) -> None:
    stored(emulator, web_and_db[:1])
    aws = emulator.environment
    profile = tmp_path / "credentials"
    profile.write_text(
        f"[night]\naws_access_key_id={aws['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key={aws['AWS_SECRET_ACCESS_KEY']}\n"
    )
    variables = {
        "amistore_bucket": "vault",
        "amistore_accept": "no_manifest",
        "amistore_region": f" {aws['AWS_REGION']} ",
    }
    files = {"AWS_SHARED_CREDENTIALS_FILE": str(profile)}
    without_keys = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "night"}
    job = controller.run(
        "status", {**variables, "amistore_role_arn": ROLE}, environment={**files, **without_keys}
    )
    assert job.succeeded, job.output
    # And a profile of its own beside the keys that AWX puts into the environment.
    job = controller.run("status", {**variables, "amistore_profile": "night"}, environment=files)
    assert job.succeeded, job.output


def test_a_role_that_is_refused_says_why(controller: Controller, emulator: Emulator) -> None:
    fault = {"action": "AssumeRole", "error": "AccessDenied", "message": "not yours to assume"}
    emulator.scenario(faults=[fault])
    job = controller.run("status", {"amistore_bucket": "vault", "amistore_role_arn": ROLE})
    assert not job.succeeded
    assert job.failure.startswith(f"{ROLE} can't be assumed: ")
    assert "not yours to assume" in job.failure


@pytest.mark.every_core
def test_a_search_that_is_refused_says_why(controller: Controller, emulator: Emulator) -> None:
    emulator.scenario(deny=["ec2:DescribeImages"])
    job = controller.run("store", {"amistore_bucket": "vault", "amistore_image_names": "web"})
    assert not job.succeeded
    assert job.failure.startswith("AMIs can't be searched for. ")
    assert "DescribeImages" in job.failure


def test_a_drill_leaves_nothing_for_the_next_play_of_a_run(
    controller: Controller, emulator: Emulator, web_and_db: list[str], tmp_path: Path
) -> None:
    web, _db, _other = web_and_db
    variables = {"amistore_bucket": "vault"}
    assert controller.run("store", {**variables, "amistore_image_ids": web}).succeeded
    emulator.set_image_state(web, "deregistered")
    restore = str(ROOT / "playbooks" / "restore.yml")
    plays: list[dict[str, Any]] = [
        {"import_playbook": restore, "vars": {"amistore_name_suffix": "-drill"}},
        {"import_playbook": restore},
    ]
    (tmp_path / "both.yml").write_text(json.dumps(plays))
    job = controller.run(str(tmp_path / "both.yml"), variables)
    assert job.succeeded, job.output
    assert {image["name"] for image in emulator.images()} >= {"web (1)", "web (1)-drill"}


@pytest.mark.every_core
def test_what_was_not_compared_is_told(
    controller: Controller, emulator: Emulator, web_and_db: list[str], tmp_path: Path
) -> None:
    web, db, _other = web_and_db
    stored(emulator, [web])
    variables = {"amistore_bucket": "vault"}
    assert controller.run("store", {**variables, "amistore_image_ids": db}).succeeded
    answers = {"amistore_stored_images": f"{web}.bin web-back\n{db}.bin db-back"}
    report = {"amistore_report": str(tmp_path / "report.json")}
    hosts: dict[str, dict[str, Any]] = {"one": {}, "two": {}}
    everywhere = {"amistore_hosts": "all", "amistore_adopt": "true"}
    job = controller.run("restore", {**variables, **answers, **report})
    assert job.succeeded, job.output
    [result] = job.results("Show the comparison")
    restored = job.artifacts["amistore_restored_images"][f"vault/{web}.bin"]
    assert result["msg"][-1] == (f"{restored} of {web}.bin was not compared: it has no manifest.")
    assert [
        row["former_image_id"] for row in json.loads((tmp_path / "report.json").read_text())
    ] == [db]
    job = controller.run("restore", {**variables, **answers, **report, **everywhere}, hosts=hosts)
    assert job.succeeded, job.output
    for host in hosts:
        assert (tmp_path / f"report-{host}.json").exists()


ACCOUNTS = {
    "shop": ("111111111111", "us-east-1"),
    "bank": ("222222222222", "eu-central-1"),
}


def test_one_host_for_each_account_and_region(controller: Controller, emulator: Emulator) -> None:
    for name, (account, region) in ACCOUNTS.items():
        emulator.seed([{"name": f"{name}-web", "owner": account, "region": region}])
        emulator.plant_buckets({"name": f"{name}-vault", "owner": account, "region": region})
    hosts = {
        name: {
            "amistore_bucket": f"{name}-vault",
            "amistore_region": region,
            "amistore_role_arn": f"arn:aws:iam::{account}:role/amistore",
        }
        for name, (account, region) in ACCOUNTS.items()
    }
    variables = {
        "amistore_hosts": "all",
        "amistore_image_names": "*-web",
    }
    job = controller.run("store", variables, hosts=hosts, options="--forks 2")
    assert job.succeeded, job.output
    assert len(job.artifacts["amistore_stored_image_ids"]) == 2
    assert {task["bucket"] for task in emulator.tasks()} == {"shop-vault", "bank-vault"}
    secrets = [r for r in job.results("Assume the role") if r != {"censored": r.get("censored")}]
    assert secrets == []

    # A slice of the job has a part of the inventory.
    part = controller.run("store", variables, hosts={"bank": hosts["bank"]})
    assert part.succeeded, part.output
    assert part.changed("bank") == 0
    assert len(part.artifacts["amistore_stored_image_ids"]) == 1
