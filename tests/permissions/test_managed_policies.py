# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policies in an account: made once, changed once, removed, and at work on a user."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.modules import ec2_ami_restore, ec2_ami_store

from .plays import BUCKET, PLACE, plant_image, stored_image
from .rendering import POLICIES, ROLE, play, role_task, run_playbook, run_plays
from .stage import ACCOUNT, REGION, Stage

OPTIONS: dict[str, Any] = {
    "name": BUCKET,
    "region": REGION,
    "policies": "store, restore",
    "policy_prefixes": "dr",
}
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/dr/amistore-vault"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/a"


def test_policies_are_made_once_changed_alone_and_removed(stage: Stage, tmp_path: Path) -> None:
    given = {**OPTIONS, "policy_path": "/dr/", "policy_tags": {"team": "dr"}, "owner": ACCOUNT}
    present, with_key = policies_play(given), policies_play({**given, "policy_restore_keys": [KEY]})
    plays = [{**present, "check_mode": True}, present, with_key, with_key]
    printed = run_plays(plays, tmp_path, stage.emulator.environment)
    assert outcomes(printed) == [
        {"amistore-vault-store": word, "amistore-vault-restore": other}
        for word, other in (("changed", "changed"),) * 2 + (("ok", "changed"), ("ok", "ok"))
    ]
    iam = stage.client("iam")
    made = iam.list_policies(Scope="Local", PathPrefix="/dr/")["Policies"]
    assert {item["Arn"] for item in made} == {f"{POLICY}-store", f"{POLICY}-restore"}
    tags = iam.list_policy_tags(PolicyArn=f"{POLICY}-store")["Tags"]
    assert tags == [{"Key": "team", "Value": "dr"}]
    assert KEY not in only_version(stage, f"{POLICY}-store")
    assert KEY in only_version(stage, f"{POLICY}-restore")
    gone = policies_play({**given, "policy_state": "absent"})
    printed = run_plays([gone, gone], tmp_path, stage.emulator.environment)
    assert [set(words.values()) for words in outcomes(printed)] == [{"changed"}, {"ok"}]
    assert iam.list_policies(Scope="Local", PathPrefix="/dr/")["Policies"] == []


def only_version(stage: Stage, arn: str) -> str:
    """The document of a policy that has no other."""
    iam = stage.client("iam")
    (version,) = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    shown = iam.get_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    return json.dumps(shown["PolicyVersion"]["Document"])


def test_a_user_with_the_store_policy_can_store_and_not_restore(
    stage: Stage, tmp_path: Path
) -> None:
    run_plays(
        [policies_play({**OPTIONS, "policies": ["store"]})], tmp_path, stage.emulator.environment
    )
    iam = stage.client("iam")
    iam.create_user(UserName="storing")
    key = iam.create_access_key(UserName="storing")["AccessKey"]["AccessKeyId"]
    store_policy = f"arn:aws:iam::{ACCOUNT}:policy/amistore-vault-store"
    iam.attach_user_policy(UserName="storing", PolicyArn=store_policy)
    stored = stored_image(stage)
    image_id = plant_image(stage, "database")
    stage.emulator.scenario(enforce_iam=True)
    outcome = stage.run(ec2_ami_store, key=key, image_ids=[image_id], **PLACE)
    assert not outcome.failed, outcome.text
    place = {"bucket": BUCKET, "object_key": f"dr/{stored}.bin"}
    outcome = stage.run(ec2_ami_restore, key=key, name="web-restored", **place)
    assert outcome.failed
    assert "user/storing is not authorized to perform: ec2:CreateRestoreImageTask" in outcome.text


WRONG: tuple[dict[str, Any], ...] = (
    {"name": ""},
    {"region": ""},
    {"policy_accounts": []},
    {"policy_accounts": "1234"},
    {"policies": ["stores"]},
    {"policy_prefixes": ["dr*"]},
    {"policy_bucket_keys": "alias/vault"},
    {"kms_key_id": "alias/vault"},
    {"policy_restore_keys": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/a"},
    {"policy_restore_keys": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/*"},
    {"name": f"arn:aws:s3:::{BUCKET}"},
    {"policy_buckets": f"{BUCKET}/dr"},
    {"region": "*"},
    {"region": f"{REGION}a"},
    {"policy_prefixes": "/dr"},
    {"policy_prefixes": "dr//prod"},
    {"policy_state": "gone"},
    {"policy_path": "dr"},
    {"policy_names": {"store": "../dr"}},
    {"policy_names": {"store": "a" * 129}},
    {"policy_names": {"store": "dr", "restore": "dr"}},
    {"policy_names": {"stores": "dr"}},
    {"policy_prefixes": [f"production/team-{number}" for number in range(30)]},
)


def test_what_would_give_no_safe_policy_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "policies"
    right = {**OPTIONS, "policy_accounts": [ACCOUNT], "policy_directory": str(directory)}
    plays = [
        play(str(wrong), {**right, **wrong}, [refused(role_task("render_policies"))])
        for wrong in WRONG
    ]
    printed = run_plays(plays, tmp_path, {"AWS_REGION": "", "AWS_DEFAULT_REGION": ""})
    parts = printed.split("PLAY [")[1:]
    assert len(parts) == len(WRONG)
    assert [part for part in parts if "Refused. The policies cannot be made" not in part] == []
    assert not directory.exists()


def test_what_is_wrong_with_policies_is_told_before_the_bucket_is_made(
    stage: Stage, tmp_path: Path
) -> None:
    """With no Region of its own, as where module_defaults give it."""
    options = {"name": "new-vault", "policies": "store", "kms_key_id": "alias/vault"}
    task = {"name": "role", "ansible.builtin.include_role": {"name": ROLE}}
    printed = run_plays(
        [play("role", options, [refused(task)])], tmp_path, stage.emulator.environment
    )
    assert "by the ARN of the key" in printed
    assert [bucket["Name"] for bucket in stage.client("s3").list_buckets()["Buckets"]] == [BUCKET]


def test_the_key_is_that_of_the_adopted_bucket(tmp_path: Path) -> None:
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    directory = tmp_path / "policies"
    options = {
        "name": BUCKET,
        "policy_accounts": ACCOUNT,
        "policy_directory": str(directory),
        "kms_key_id": "",
        "result": {"bucket": BUCKET, "region": REGION, "kms_key_id": key},
    }
    run_plays([play("render", options, [role_task("render_policies")])], tmp_path)
    texts = {policy: (directory / file_of(policy)).read_text() for policy in POLICIES}
    # The one that reads and writes no objects needs no key.
    assert {policy for policy, text in texts.items() if key in text} == {*POLICIES} - {"usage"}


def test_the_region_is_not_that_of_another_bucket(tmp_path: Path) -> None:
    directory = tmp_path / "policies"
    options = {
        "name": BUCKET,
        "policy_accounts": ACCOUNT,
        "policy_directory": str(directory),
        "result": {"bucket": "another", "region": "eu-west-1"},
    }
    run_plays(
        [play("render", options, [role_task("render_policies")])], tmp_path, {"AWS_REGION": REGION}
    )
    written = (directory / "amistore-vault-store.json").read_text()
    assert f"arn:aws:ec2:{REGION}::image/*" in written
    assert "eu-west-1" not in written


def file_of(policy: str) -> str:
    return f"amistore-vault-{policy.replace('_', '-')}.json"


@pytest.mark.parametrize("directory", ["", "out/iam"])
def test_the_playbook_writes_where_it_is_called(directory: str, tmp_path: Path) -> None:
    values = {
        "ami_store_bucket_name": BUCKET,
        "ami_store_bucket_region": REGION,
        "ami_store_bucket_policy_accounts": ACCOUNT,
        "ami_store_bucket_policy_directory": directory,
    }
    run_playbook(["amistore.aws.render_policies", "-e", json.dumps(values)], tmp_path)
    written = {path.name for path in (tmp_path / (directory or "policies")).iterdir()}
    assert written == {file_of(policy) for policy in POLICIES}


def test_policies_in_use_are_not_removed(stage: Stage, tmp_path: Path) -> None:
    iam = stage.client("iam")
    run_plays([policies_play(OPTIONS)], tmp_path, stage.emulator.environment)
    iam.create_user(UserName="restoring")
    policy = f"arn:aws:iam::{ACCOUNT}:policy/amistore-vault-restore"
    iam.attach_user_policy(UserName="restoring", PolicyArn=policy)
    gone = play("gone", {**OPTIONS, "policy_state": "absent"}, [refused(role_task("policies"))])
    printed = run_plays([{**gone, "check_mode": True}, gone], tmp_path, stage.emulator.environment)
    told = '"msg": "Refused. These policies are attached to roles, users or groups, or bound them: '
    assert printed.count(f"{told}{policy}.") == len(("check", "run"))
    assert len(iam.list_policies(Scope="Local")["Policies"]) == len(("store", "restore"))
    assert iam.list_attached_user_policies(UserName="restoring")["AttachedPolicies"]


def test_a_policy_of_others_is_left_alone(stage: Stage, tmp_path: Path) -> None:
    iam = stage.client("iam")
    statement = {"Effect": "Deny", "Action": "iam:*", "Resource": "*"}
    theirs = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = iam.create_policy(PolicyName="backup", PolicyDocument=theirs)["Policy"]["Arn"]
    given = {**OPTIONS, "policy_names": {"store": "first", "restore": "backup"}}
    plays = [
        play(state, {**given, "policy_state": state}, [refused(role_task("policies"))])
        for state in ("present", "absent")
    ]
    printed = run_plays(plays, tmp_path, stage.emulator.environment)
    told = rf'"msg": "Refused\. .* this role did not make, by their descriptions: {arn}\.'
    assert len(re.findall(told, printed)) == len(plays)
    assert only_version(stage, arn) == json.dumps(json.loads(theirs))
    names = [item["PolicyName"] for item in iam.list_policies(Scope="Local")["Policies"]]
    assert names == ["backup"]


def refused(task: dict[str, Any]) -> dict[str, Any]:
    """The task, whose failure is told and then forgotten."""
    tell = {"msg": "Refused. {{ ansible_failed_result.msg }}"}
    return {"block": [task], "rescue": [{"name": "Tell", "ansible.builtin.debug": tell}]}


def policies_play(options: dict[str, Any]) -> dict[str, Any]:
    """A play that runs the role's tasks file for the policies."""
    return play("policies", options, [role_task("policies")])


def outcomes(printed: str) -> list[dict[str, str]]:
    """What each play did to each policy: changed, or found ok."""
    item = re.compile(r"^(changed|ok): \[localhost\] => \(item=(\S+)\)", re.MULTILINE)
    return [
        {name: word for word, name in item.findall(shown)}
        for shown in printed.split("PLAY [policies]")[1:]
    ]
