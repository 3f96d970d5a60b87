# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay between two emulators that stand for two partitions, with a profile for each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.emulator.client import Emulator
from tests.playbooks import survey_rules
from tests.playbooks.conftest import SCENARIO
from tests.playbooks.jobs import ROOT, Controller, Job
from tests.tools.environments import Environment

SURVEY = survey_rules.load(ROOT / "extensions" / "awx" / "surveys" / "relay.json")
# Three parts of what S3 splits a stored image into.
OBJECT_SIZE = 20 * 1024**2 + 5
# A manifest, a list, a tag set: never the body of a stored image.
SMALL = 100_000
FLEET = 500
# It takes a few, and would take minutes if each were looked for among all.
MOST_SECONDS = 45.0
DISKS = [
    {"device": "/dev/xvda", "size": 8, "snapshot_tags": {"disk": "root"}},
    {"device": "/dev/sdf", "size": 20},
]
TAGS = {"env": "prod", "backup": ""}
WEB = {"name": "web (1)", "tags": TAGS, "volumes": DISKS}
DB = {"name": "db-1", "description": "a database", "tags": {"env": "prod"}, "volumes": DISKS[:1]}

SIDES = {
    "commercial": {"profile": "commercial", "region": "us-east-1"},
    "govcloud": {"profile": "govcloud", "region": "us-gov-west-1"},
}
# Of the environment, which may have some.
NO_KEYS = {"access_key": "", "secret_key": "", "session_token": ""}

Launch = Callable[..., Job]
Look = Callable[[str, str, str, str], tuple[Any, Any, bytes]]


@pytest.fixture(scope="module")
def only_target() -> Iterator[Emulator]:
    with Emulator(partition="aws-us-gov") as emulator:
        yield emulator


@pytest.fixture
def target(only_target: Emulator) -> Emulator:
    """GovCloud with an empty bucket."""
    only_target.reset()
    only_target.reset_scenario()
    only_target.scenario(**SCENARIO)
    only_target.plant_buckets({"name": "landing"})
    return only_target


@pytest.fixture
def source(emulator: Emulator) -> Emulator:
    """The commercial partition with an empty bucket."""
    emulator.scenario(object_size=OBJECT_SIZE)
    emulator.plant_buckets({"name": "vault"})
    return emulator


@pytest.fixture
def sides(source: Emulator, target: Emulator, tmp_path: Path) -> dict[str, str]:
    """The environment of one who has a profile for each partition, and nothing else."""
    config = ConfigParser()
    for name, emulator in (("commercial", source), ("govcloud", target)):
        own = emulator.environment
        config[f"profile {name}"] = {
            "region": own["AWS_REGION"],
            "endpoint_url": emulator.url,
            "aws_access_key_id": own["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": own["AWS_SECRET_ACCESS_KEY"],
        }
    with (tmp_path / "config").open("w") as file:
        config.write(file)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("".join(Path(side.ca_bundle).read_text() for side in (source, target)))
    return {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_CA_BUNDLE": str(bundle),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def relay(leg: Environment, sides: dict[str, str], python: str, tmp_path: Path) -> Launch:
    """Starts the relay with the answers of its survey, and more that is not asked there."""
    controller = Controller(leg, None, tmp_path, python)

    def relay(options: str = "", more: dict[str, Any] | None = None, **given: Any) -> Job:
        answers = {
            "amistore_source_bucket": "vault",
            "amistore_source_prefix": "dr",
            "amistore_source_region": "us-east-1",
            "amistore_bucket": "landing",
            "amistore_region": "us-gov-west-1",
            **given,
        }
        profiles = {
            "amistore_source_profile": "commercial",
            "amistore_profile": "govcloud",
            **(more or {}),
        }
        variables = {**survey_rules.answers(SURVEY, **answers), **profiles}
        return controller.run("relay", variables, options=options, environment=sides)

    return relay


@pytest.fixture
def look(leg: Environment, sides: dict[str, str], python: str, tmp_path: Path) -> Look:
    """Tells what AWS shows of an AMI and of its stored image, whatever the relay says."""
    folder = tmp_path / "look"
    folder.mkdir()
    controller = Controller(leg, None, folder, python)

    def look(profile: str, image_id: str, bucket: str, object_key: str) -> tuple[Any, Any, bytes]:
        body = folder / profile
        there = {"bucket": bucket, "object": object_key, "mode": "get", "dest": str(body)}
        beside = {"bucket": bucket, "prefix": str(Path(object_key).parent), "include": ["manifest"]}
        tasks = [
            {"name": "image", "amazon.aws.ec2_ami_info": {"image_ids": [image_id]}},
            {"name": "beside", "amistore.aws.ec2_ami_store_info": beside},
            {"name": "body", "amazon.aws.s3_object": there},
        ]
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "module_defaults": {"group/amistore.aws.aws": {**SIDES[profile], **NO_KEYS}},
            "tasks": tasks,
        }
        (folder / "play.yml").write_text(json.dumps([play]))
        job = controller.run(str(folder / "play.yml"), {}, environment=sides)
        assert job.succeeded, job.output
        [image] = job.results("image")[0]["images"]
        manifests = {
            stored["object_key"]: stored["manifest"]
            for stored in job.results("beside")[0]["stored_images"]
        }
        return image, manifests[object_key], body.read_bytes()

    return look


def of_the_image(image: dict[str, Any]) -> dict[str, Any]:
    """What an AMI brings along, and nothing of its place."""
    same = ("name", "description", "architecture", "root_device_name", "virtualization_type")
    disks = {
        disk["device_name"]: {
            name: disk["ebs"][name] for name in ("volume_size", "volume_type", "encrypted")
        }
        for disk in image["block_device_mappings"]
    }
    return {name: image.get(name) for name in same} | {"disks": disks}


def images_by_name(emulator: Emulator) -> dict[str, dict[str, Any]]:
    return {image["name"]: image for image in emulator.images()}


def large_bodies(emulator: Emulator) -> list[dict[str, Any]]:
    """The requests that carried more than a document."""
    return [entry for entry in emulator.log() if max(entry["sent"], entry["received"]) > SMALL]


@pytest.mark.every_core
def test_from_one_partition_to_another_and_once_more(
    relay: Launch, look: Look, source: Emulator, target: Emulator, tmp_path: Path
) -> None:
    web, db = source.seed([WEB, DB])
    report = tmp_path / "report.json"
    answers: dict[str, Any] = {
        "amistore_image_names": "web*\r\ndb-1\r\n",
        "amistore_object_tags": "service=shop",
        "amistore_tags": "relayed=yes",
        "more": {"amistore_report": str(report)},
    }
    job = relay(**answers)
    assert job.succeeded, job.output
    there = images_by_name(target)
    assert job.artifacts["amistore_relayed_image_ids"] == {
        web: there["web (1)"]["image_id"],
        db: there["db-1"]["image_id"],
    }
    assert there["web (1)"]["tags"].items() >= {**TAGS, "relayed": "yes"}.items()
    assert len(there["web (1)"]["snapshot_ids"]) == len(DISKS)
    assert {image["state"] for image in there.values()} == {"available"}
    assert {image["owner"] for image in there.values()} == {"210987654321"}
    [told] = [entry for entry in json.loads(report.read_text()) if entry["former_image_id"] == web]
    assert (told["stored"], told["copied"], told["state"]) == ("Completed", "Copied", "available")
    assert (told["method"], told["size"], told["compared"]) == ("streaming", OBJECT_SIZE, True)
    assert sum(entry["received"] for entry in large_bodies(target)) == 2 * OBJECT_SIZE
    for former, name in ((web, "web (1)"), (db, "db-1")):
        key = f"dr/{former}.bin"
        original, manifest, body = look("commercial", former, "vault", key)
        image, manifest_of_copy, copied = look("govcloud", there[name]["image_id"], "landing", key)
        assert of_the_image(image) == of_the_image(original)
        added = {
            tag: value for tag, value in image["tags"].items() if not tag.startswith("amistore:")
        }
        assert added == {**original["tags"], "relayed": "yes"}
        assert manifest_of_copy["image"] == manifest["image"]
        assert manifest_of_copy["snapshots"] == manifest["snapshots"]
        assert len(body) == OBJECT_SIZE
        assert copied == body

    for side in (source, target):
        side.call("POST", "/requests/reset", {})
    again = relay(**answers)
    assert (again.succeeded, again.changed()) == (True, 0)
    assert (
        again.artifacts["amistore_relayed_image_ids"] == job.artifacts["amistore_relayed_image_ids"]
    )
    assert large_bodies(source) + large_bodies(target) == []
    for side in (source, target):
        assert not [
            name for name in side.requests() if name.startswith(("Create", "Put", "Upload"))
        ]


@pytest.mark.every_core
def test_one_that_fails_does_not_keep_the_others(
    relay: Launch, source: Emulator, target: Emulator, tmp_path: Path
) -> None:
    web, gone = [*source.seed([WEB]), "ami-0aaaaaaaaaaaaaaaa"]
    report = tmp_path / "report.json"
    more = {"amistore_report": str(report)}
    job = relay(amistore_image_ids=f"{gone}\n{web}", more=more)
    assert not job.succeeded
    assert images_by_name(target)["web (1)"]["state"] == "available"
    assert list(job.artifacts["amistore_relayed_image_ids"]) == [web]
    assert job.artifacts["amistore_not_relayed_image_ids"] == [gone]
    [told] = job.results("Fail where an AMI did not arrive")
    assert gone in told["msg"]
    reasons = {
        entry["former_image_id"]: entry["reason"] for entry in json.loads(report.read_text())
    }
    assert reasons[web] is None
    assert "not visible to this account" in reasons[gone]


@pytest.mark.parametrize("options", ["", "--check"])
def test_a_wrong_target_is_seen_before_anything_is_stored(
    relay: Launch, source: Emulator, target: Emulator, options: str
) -> None:
    [web] = source.seed([WEB])
    job = relay(options, amistore_image_ids=web, amistore_bucket="landign")
    assert "landign" in job.failure
    assert "CreateStoreImageTask" not in source.requests()


@pytest.mark.parametrize("options", ["", "--check"])
def test_what_a_copy_cannot_be_given_is_seen_before_anything_is_stored(
    relay: Launch, source: Emulator, options: str
) -> None:
    [web] = source.seed([WEB])
    job = relay(options, amistore_image_ids=web, more={"amistore_concurrency": 1000})
    assert "concurrency" in job.failure
    assert "1000" in job.failure
    assert "CreateStoreImageTask" not in source.requests()


def test_a_copy_that_breaks_off_goes_on_where_it_was(
    relay: Launch, source: Emulator, target: Emulator
) -> None:
    [web] = source.seed([WEB])
    # The first part is read over four connections.
    fault = {"action": "GetObject", "key": "*.bin", "error": "ExpiredToken", "after": 4}
    source.scenario(faults=[fault])
    more = {"amistore_concurrency": 1}
    job = relay(amistore_image_ids=web, more=more)
    assert not job.succeeded
    assert "source" in job.results("Copy them to the target")[0]["msg"]
    source.scenario(faults=[])
    first = [entry["part"] for entry in large_bodies(target)]
    job = relay(amistore_image_ids=web, more=more)
    assert job.succeeded, job.output
    assert len(first) == 1
    parts = [entry["part"] for entry in large_bodies(target) if entry["action"] == "UploadPart"]
    assert sorted(parts) == ["1", "2", "3"]


def test_what_is_stored_can_be_relayed_without_its_ami(
    relay: Launch, source: Emulator, target: Emulator
) -> None:
    [web] = source.seed([WEB])
    assert relay(amistore_image_ids=web, amistore_restore="false").succeeded
    assert target.images() == []
    source.set_image_state(web, "deregistered")
    source.call("POST", "/requests/reset", {})
    job = relay(amistore_image_ids=web, amistore_store="false", amistore_prefix="from-home")
    assert job.succeeded, job.output
    assert job.artifacts["amistore_relayed_object_keys"] == [f"from-home/{web}.bin"]
    assert images_by_name(target)["web (1)"]["state"] == "available"
    assert not [action for action in source.requests() if action.startswith("Create")]


def test_check_mode_moves_nothing(relay: Launch, source: Emulator, target: Emulator) -> None:
    [web] = source.seed([WEB])
    job = relay("--check", amistore_image_ids=web)
    assert job.succeeded, job.output
    assert job.changed() == 1
    assert relay(amistore_image_ids=web, amistore_restore="false").succeeded
    source.call("POST", "/requests/reset", {})
    job = relay("--check", amistore_image_ids=web)
    assert job.succeeded, job.output
    assert large_bodies(source) == []
    assert target.images() == []


def test_keys_of_the_source_can_be_in_the_environment(
    relay: Launch, source: Emulator, target: Emulator, sides: dict[str, str]
) -> None:
    [web] = source.seed([WEB])
    own = source.environment
    # The environment has room for the endpoint of one side only, so both are in one partition here.
    source.plant_buckets({"name": "landing"})
    sides |= {
        "AWS_ENDPOINT_URL": source.url,
        "AMISTORE_SOURCE_ACCESS_KEY_ID": own["AWS_ACCESS_KEY_ID"],
        "AMISTORE_SOURCE_SECRET_ACCESS_KEY": "a-secret-of-the-source",
        "AMISTORE_SOURCE_SESSION_TOKEN": "a-token-of-the-source",
        "AWS_ACCESS_KEY_ID": "EMULATEDACCESSKEY002",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-target",
    }
    source.scenario(accounts={"EMULATEDACCESSKEY002": "222222222222"})
    nothing = {"amistore_source_profile": "", "amistore_profile": ""}
    job = relay(
        "-vvv",
        amistore_image_ids=web,
        amistore_region="us-east-1",
        amistore_restore="false",
        more=nothing,
    )
    assert not job.succeeded
    for secret in ("a-secret-of-the", "a-token-of-the"):
        assert secret not in job.output
        assert secret not in str(job.events)
    callers = {entry["account"] for entry in source.log() if entry["bucket"] == "landing"}
    assert callers == {"222222222222"}
    assert {entry["account"] for entry in source.log() if entry["service"] == "ec2"} == {
        "123456789012"
    }


def test_roles_are_taken_on_anew_for_each_step_that_may_come_late(
    relay: Launch, source: Emulator, target: Emulator, sides: dict[str, str]
) -> None:
    [web] = source.seed([WEB])
    own = source.environment
    source.plant_buckets({"name": "landing", "owner": "222222222222"})
    sides |= {
        name: own[name]
        for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    }
    more = {
        "amistore_source_profile": "",
        "amistore_profile": "",
        "amistore_source_role_arn": "arn:aws:iam::123456789012:role/out",
        "amistore_role_arn": "arn:aws:iam::222222222222:role/in",
    }
    job = relay("-vvv", amistore_image_ids=web, amistore_region="us-east-1", more=more)
    assert job.succeeded, job.output
    assert [image["owner"] for image in source.images()] == ["123456789012", "222222222222"]
    log = source.log()
    taken_on = [n for n, entry in enumerate(log) if entry["action"] == "AssumeRole"]
    # With what the machine has, not with what a role gave before.
    assert {log[number]["account"] for number in taken_on} == {"123456789012"}
    steps = [
        next(n for n, entry in enumerate(log) if entry["action"] == action)
        for action in ("CreateStoreImageTask", "CreateMultipartUpload", "CreateRestoreImageTask")
    ]
    assert [sum(number < step for number in taken_on) for step in steps] == [2, 4, 5]
    assert len(job.results(WARNING)) == 1


def test_what_came_of_a_fleet_is_told_in_seconds(
    leg: Environment, python: str, tmp_path: Path
) -> None:
    [play] = yaml.safe_load((ROOT / "playbooks" / "relay.yml").read_text())
    [steps] = [task for task in play["tasks"] if "always" in task]
    told = ("Show how far each came", "Hand the result on to the next job of a workflow")
    ids = [f"ami-{number:017x}" for number in range(FLEET)]
    keys = [
        {"source_key": f"dr/{image_id}.bin", "object_key": f"dr/{image_id}.bin"} for image_id in ids
    ]
    copied = {"size": 1, "bytes_sent": 1, "seconds": 1.5, "method": "streaming", "checksum": "sum"}
    results = {
        "stored": [
            {"image_id": image_id, "state": "Completed", "failure_reason": None} for image_id in ids
        ],
        "copied": [
            {**key, **copied, "state": "Copied", "proof": {}, "reason": None} for key in keys
        ],
        "result": [
            {**key, "image_id": image_id, "name": "web", "state": "available", "state_reason": None}
            for key, image_id in zip(keys, ids[1:] + ids[:1], strict=True)
        ],
    }
    given: dict[str, Any] = {
        f"amistore__{name}": {"images": images} for name, images in results.items()
    }
    given |= {"amistore__image_ids": ids, "amistore__given": {"store": True, "restore": True}}
    stand_in = {
        **{name: play[name] for name in ("connection", "gather_facts")},
        "hosts": "localhost",
        "vars": {
            name: value for name, value in play["vars"].items() if name.startswith("amistore__")
        },
        "tasks": [{"name": "Begin", "ansible.builtin.set_fact": given}]
        + [task for task in steps["always"] if task["name"] in told],
    }
    (tmp_path / "play.yml").write_text(json.dumps([stand_in]))
    began = time.monotonic()
    job = Controller(leg, None, tmp_path, python).run(str(tmp_path / "play.yml"), {})
    assert time.monotonic() - began < MOST_SECONDS
    assert job.succeeded, job.output[-2000:]
    assert len(job.shown(told[0])) == FLEET
    assert job.artifacts["amistore_relayed_image_ids"][ids[0]] == ids[1]
    assert job.artifacts["amistore_not_relayed_image_ids"] == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"more": {"amistore_source_profile": ""}}, "and the source has none"),
        ({"amistore_store": "false", "amistore_image_names": "web*"}, "amistore_store is false"),
        ({"amistore_image_ids": ""}, "No AMIs are given"),
        ({"amistore_image_ids": "ami-1", "amistore_copy_timeout": 0}, "amistore_copy_timeout"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    relay: Launch, source: Emulator, target: Emulator, given: dict[str, Any], words: str
) -> None:
    assert words in relay(**given).failure
    assert source.requests() | target.requests() == {}


WARNING = "Warn that the copies may outlast the credentials of a role"
SOURCE_ROLE = {"source_role_arn": "arn:aws:iam::123456789012:role/out"}
TARGET_ROLE = {"role_arn": "arn:aws:iam::222222222222:role/in"}


@pytest.mark.parametrize(
    ("given", "roles", "profiles"),
    [
        (SOURCE_ROLE, "amistore_source_role_arn", "amistore_source_profile"),
        (TARGET_ROLE, "amistore_role_arn", "amistore_profile"),
        (
            SOURCE_ROLE | TARGET_ROLE,
            "amistore_source_role_arn and amistore_role_arn",
            "amistore_source_profile and amistore_profile",
        ),
        ({}, None, None),
        (SOURCE_ROLE | {"role_seconds": 43200}, None, None),
        (SOURCE_ROLE | {"ids": []}, None, None),
    ],
)
def test_copies_that_may_outlast_the_credentials_of_a_role_are_told_of(
    leg: Environment,
    python: str,
    tmp_path: Path,
    given: dict[str, Any],
    roles: str | None,
    profiles: str | None,
) -> None:
    [play] = yaml.safe_load((ROOT / "playbooks" / "relay.yml").read_text())
    names = [task["name"] for task in play["tasks"]]
    assert names.index(WARNING) < names.index("Relay, and tell what came of it")
    values = {"role_seconds": 3600, "copy_timeout": 43200, **given}
    facts = {"amistore__image_ids": values.pop("ids", ["ami-1"]), "amistore__given": values}
    stand_in = {
        **{name: play[name] for name in ("connection", "gather_facts")},
        "hosts": "localhost",
        "tasks": [
            {"name": "Begin", "ansible.builtin.set_fact": facts},
            *[task for task in play["tasks"] if task["name"] == WARNING],
        ],
    }
    (tmp_path / "play.yml").write_text(json.dumps([stand_in]))
    job = Controller(leg, None, tmp_path, python).run(str(tmp_path / "play.yml"), {})
    assert (job.succeeded, job.changed()) == (True, 0), job.output
    if roles is None:
        assert job.shown(WARNING) == []
        return
    lasts, stops, way_out = job.shown(WARNING)
    assert f"the credentials of {roles} are good for 3600 seconds (amistore_role_seconds)" in lasts
    assert "which may take 43200 (amistore_copy_timeout)" in lasts
    assert "running it again goes on from them" in stops
    assert f"a profile with role_arn, which renews its credentials ({profiles})" in way_out
