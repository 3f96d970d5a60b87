# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bucket is created or adopted, audited, corrected; what would break stores is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.amistore.aws.plugins.modules import s3_bucket_baseline
from tests.unit.bucket_in_memory import CLOSED, BucketInMemory
from tests.unit.cloud import ACCOUNT, BUCKET, REGION, Cloud, Refusal, VirtualClock, forbidden_head
from tests.unit.module_runner import Runner

MODULE = s3_bucket_baseline

OTHER = "444455556666"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
KEY_ID = KEY.rpartition("/")[2]
ROLE = f"arn:aws:iam::{ACCOUNT}:role/dr/restorer"
Spoil = Callable[[BucketInMemory, Cloud], None]

FOREIGN_STATEMENT = {
    "Sid": "TheirAudit",
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{OTHER}:role/audit"},
    "Action": "s3:GetBucketTagging",
    "Resource": f"arn:aws:s3:::{BUCKET}",
}
FOREIGN_RULE = {
    "ID": "tidy-logs",
    "Status": "Enabled",
    "Filter": {"Prefix": "logs/"},
    "Expiration": {"Days": 30},
}


@pytest.fixture
def memory(cloud: Cloud) -> BucketInMemory:
    return BucketInMemory(cloud)


@pytest.fixture
def safe(run: Runner, memory: BucketInMemory, cloud: Cloud) -> BucketInMemory:
    """A bucket that has been brought to the baseline."""
    assert run(bucket=BUCKET)["changed"]
    cloud.calls.clear()
    return memory


def settings(result: Any) -> list[str]:
    return [drift["setting"] for drift in result["drift"]]


# From nothing to a safe bucket


def test_a_bucket_that_does_not_exist_is_audited_made_and_left_alone(
    run: Runner, memory: BucketInMemory, cloud: Cloud
) -> None:
    del cloud.buckets[BUCKET]
    audit = run(check=True, bucket=BUCKET)
    assert memory.writes() == []
    made = run(bucket=BUCKET)
    assert (audit["changed"], made["changed"]) == (True, True)
    assert audit["drift"] == made["drift"]
    assert not made["existed"]
    assert made["arn"] == f"arn:aws:s3:::{BUCKET}"
    assert settings(made) == [
        "bucket",
        "public_access_block.BlockPublicAcls",
        "public_access_block.IgnorePublicAcls",
        "public_access_block.BlockPublicPolicy",
        "public_access_block.RestrictPublicBuckets",
        "object_ownership",
        "encryption.algorithm",
        "versioning",
        "policy.AmistoreDenyInsecureTransport",
        "policy.AmistoreDenyOldTls",
        "policy.AmistoreDenyCustomerKeys",
        "lifecycle.amistore-abort-incomplete-uploads",
        "eventbridge",
    ]
    cloud.calls.clear()
    again = run(bucket=BUCKET)
    assert (again["changed"], again["drift"], again["existed"]) == (False, [], True)
    assert memory.writes() == []


def test_a_new_bucket_is_made_in_the_region_without_acls(
    run: Runner, memory: BucketInMemory, cloud: Cloud
) -> None:
    del cloud.buckets[BUCKET]
    run(bucket=BUCKET)
    assert cloud.params("CreateBucket") == [
        {
            "Bucket": BUCKET,
            "ObjectOwnership": "BucketOwnerEnforced",
            "CreateBucketConfiguration": {"LocationConstraint": REGION},
        }
    ]
    assert memory.values["PublicAccessBlockConfiguration"] == CLOSED
    assert memory.values["VersioningConfiguration"] == {"Status": "Enabled"}
    assert memory.values["NotificationConfiguration"] == {"EventBridgeConfiguration": {}}


def test_somebody_who_made_it_meanwhile_does_no_harm(
    run: Runner, memory: BucketInMemory, cloud: Cloud
) -> None:
    objects = cloud.buckets.pop(BUCKET)

    def lost(_params: dict[str, Any]) -> dict[str, Any]:
        cloud.buckets[BUCKET] = objects
        raise Refusal("BucketAlreadyOwnedByYou", status=409)

    cloud.replies["CreateBucket"] = lost
    assert run(bucket=BUCKET)["changed"]
    assert memory.values["PublicAccessBlockConfiguration"] == CLOSED


def test_what_somebody_else_writes_meanwhile_stays(
    run: Runner, memory: BucketInMemory, cloud: Cloud
) -> None:
    objects = cloud.buckets.pop(BUCKET)

    def lost(_params: dict[str, Any]) -> dict[str, Any]:
        cloud.buckets[BUCKET] = objects
        memory.policy = {"Version": "2012-10-17", "Statement": [FOREIGN_STATEMENT]}
        memory.values["LifecycleConfiguration"] = {"Rules": [FOREIGN_RULE]}
        memory.values["VersioningConfiguration"] = {"Status": "Enabled"}
        raise Refusal("BucketAlreadyOwnedByYou", status=409)

    cloud.replies["CreateBucket"] = lost
    assert run(bucket=BUCKET)["changed"]
    assert memory.policy["Statement"][0] == FOREIGN_STATEMENT
    assert memory.rules[0] == FOREIGN_RULE
    assert "PutBucketVersioning" not in memory.writes()


def test_what_somebody_else_corrects_meanwhile_is_not_a_change_of_ours(
    run: Runner, safe: BucketInMemory, cloud: Cloud
) -> None:
    good = cloud.replies["GetBucketVersioning"]
    late = iter([{}])
    cloud.replies["GetBucketVersioning"] = lambda params: next(late, good(params))
    result = run(bucket=BUCKET)
    assert (result["changed"], safe.writes()) == (False, [])
    assert settings(result) == ["versioning"]


@pytest.mark.parametrize("who", ["another account", "nobody that STS tells"])
def test_a_bucket_is_not_made_in_another_account_than_its_owners(
    run: Runner, memory: BucketInMemory, cloud: Cloud, who: str
) -> None:
    del cloud.buckets[BUCKET]
    cloud.bucket_owner = OTHER
    if who != "another account":
        cloud.denials["GetCallerIdentity"] = Refusal("AccessDenied", status=403)
    for check in (True, False):
        result = run(check=check, bucket=BUCKET, expected_bucket_owner=OTHER)
        assert result.failed
        assert f"and not in {OTHER}" in result["msg"]
    assert memory.writes() == []


def test_a_name_that_is_busy_is_asked_for_again(
    run: Runner, memory: BucketInMemory, cloud: Cloud
) -> None:
    del cloud.buckets[BUCKET]
    cloud.faults["CreateBucket"] = [Refusal("OperationAborted", status=409)]
    assert run(bucket=BUCKET)["changed"]
    assert cloud.operations().count("CreateBucket") == 2


def test_a_new_bucket_that_is_not_shown_everywhere_is_read_again(
    run: Runner, memory: BucketInMemory, cloud: Cloud
) -> None:
    del cloud.buckets[BUCKET]
    cloud.faults["GetBucketVersioning"] = [Refusal("NoSuchBucket", status=404)]
    assert run(bucket=BUCKET)["changed"]
    assert memory.values["VersioningConfiguration"] == {"Status": "Enabled"}


# Drift


def test_exactly_what_drifts_is_told_and_corrected(run: Runner, safe: BucketInMemory) -> None:
    good = copy.deepcopy(safe.values)
    safe.values["PublicAccessBlockConfiguration"]["BlockPublicPolicy"] = False
    policy = safe.policy
    policy["Statement"] = [s for s in policy["Statement"] if s["Sid"] != "AmistoreDenyOldTls"]
    safe.policy = policy
    safe.rules[0]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] = 1
    audit = run(check=True, diff=True, bucket=BUCKET)
    assert settings(audit) == [
        "public_access_block.BlockPublicPolicy",
        "policy.AmistoreDenyOldTls",
        "lifecycle.amistore-abort-incomplete-uploads",
    ]
    assert audit["diff"]["before"]["public_access_block.BlockPublicPolicy"] is False
    assert audit["diff"]["after"]["public_access_block.BlockPublicPolicy"] is True
    assert safe.writes() == []
    assert run(bucket=BUCKET)["drift"] == audit["drift"]
    assert safe.writes() == [
        "PutPublicAccessBlock",
        "PutBucketPolicy",
        "PutBucketLifecycleConfiguration",
    ]
    assert {**safe.values, "Policy": None} == {**good, "Policy": None}
    names = {statement["Sid"] for statement in safe.policy["Statement"]}
    assert names == {s["Sid"] for s in json.loads(good["Policy"])["Statement"]}


def test_what_belongs_to_others_stays(run: Runner, memory: BucketInMemory) -> None:
    topic = {"Id": "theirs", "TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:t", "Events": ["s3:*"]}
    memory.policy = {"Version": "2008-10-17", "Id": "theirs", "Statement": FOREIGN_STATEMENT}
    memory.values["LifecycleConfiguration"] = {"Rules": [FOREIGN_RULE]}
    memory.values["NotificationConfiguration"] = {"TopicConfigurations": [topic]}
    memory.values["Tagging"] = {"TagSet": [{"Key": "aws:made-by", "Value": "them"}]}
    memory.values["BucketLoggingStatus"] = {
        "LoggingEnabled": {"TargetBucket": "their-logs", "TargetPrefix": "x/"}
    }
    assert run(bucket=BUCKET, tags={"team": "dr"}, purge_tags=True)["changed"]
    assert memory.policy["Statement"][0] == FOREIGN_STATEMENT
    assert (memory.policy["Version"], memory.policy["Id"]) == ("2008-10-17", "theirs")
    assert memory.rules[0] == FOREIGN_RULE
    assert memory.values["NotificationConfiguration"] == {
        "TopicConfigurations": [topic],
        "EventBridgeConfiguration": {},
    }
    assert memory.values["BucketLoggingStatus"]["LoggingEnabled"]["TargetBucket"] == "their-logs"
    assert {tag["Key"] for tag in memory.values["Tagging"]["TagSet"]} == {"aws:made-by", "team"}
    assert not run(bucket=BUCKET, tags={"team": "dr"}, purge_tags=True)["changed"]


def test_what_of_ours_is_no_longer_asked_for_goes(run: Runner, safe: BucketInMemory) -> None:
    asked = {
        "noncurrent_days": 90,
        "transition_days": 30,
        "transition_storage_class": "GLACIER_IR",
        "allowed_accounts": [ACCOUNT],
    }
    added = [
        "policy.AmistoreDenyOthers",
        "lifecycle.amistore-expire-old-versions",
        "lifecycle.amistore-transition",
    ]
    assert settings(run(bucket=BUCKET, **asked)) == added
    gone = run(bucket=BUCKET)
    assert settings(gone) == added
    assert {drift["after"] for drift in gone["drift"]} == {None}
    assert "AmistoreDenyOthers" not in safe.values["Policy"]


def test_our_policy_in_other_words_is_no_drift(run: Runner, safe: BucketInMemory) -> None:
    policy = safe.policy
    for statement in policy["Statement"]:
        statement["Principal"] = {"AWS": "*"}
        statement["Action"] = [statement["Action"]]
    safe.policy = policy
    assert run(bucket=BUCKET)["drift"] == []


def test_a_setting_that_nobody_asks_for_stays(run: Runner, safe: BucketInMemory) -> None:
    safe.values["VersioningConfiguration"] = {"Status": "Suspended"}
    safe.values["NotificationConfiguration"] = {}
    assert run(bucket=BUCKET, versioning=False, eventbridge=False)["drift"] == []
    assert settings(run(check=True, bucket=BUCKET)) == ["versioning", "eventbridge"]


def test_acls_of_others_end_with_acls(run: Runner, memory: BucketInMemory) -> None:
    logs = "http://acs.amazonaws.com/groups/s3/LogDelivery"
    memory.grants = [{"Grantee": {"Type": "Group", "URI": logs}, "Permission": "WRITE"}]
    audit = run(check=True, bucket=BUCKET)
    assert settings(audit)[4:6] == ["acl_grants", "object_ownership"]
    run(bucket=BUCKET)
    assert memory.grants == []
    written = memory.writes()
    assert written.index("PutBucketAcl") < written.index("PutBucketOwnershipControls")
    assert not run(bucket=BUCKET)["changed"]


def test_rules_of_the_old_form_are_written_in_the_new_one(
    run: Runner, safe: BucketInMemory
) -> None:
    old = {"ID": "old", "Status": "Enabled", "Prefix": "tmp/", "Expiration": {"Days": 1}}
    safe.values["LifecycleConfiguration"]["Rules"] = [old]
    run(bucket=BUCKET)
    assert safe.rules[0] == {
        "ID": "old",
        "Status": "Enabled",
        "Filter": {"Prefix": "tmp/"},
        "Expiration": {"Days": 1},
    }


# Encryption


def by_default(memory: BucketInMemory) -> dict[str, Any]:
    (rule,) = memory.values["ServerSideEncryptionConfiguration"]["Rules"]
    return dict(rule)


def test_encryption_that_nobody_asks_for_is_never_weakened(
    run: Runner, safe: BucketInMemory
) -> None:
    run(bucket=BUCKET, kms_key_id=KEY)
    assert by_default(safe) == {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY},
        "BucketKeyEnabled": True,
    }
    kept = run(bucket=BUCKET)
    assert (kept["drift"], kept["kms_key_id"]) == ([], KEY)
    weaker = run(bucket=BUCKET, encryption="AES256")
    assert weaker["kms_key_id"] is None
    assert settings(weaker) == [
        "encryption.algorithm",
        "encryption.kms_key_id",
        "encryption.bucket_key_enabled",
    ]
    assert by_default(safe)["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_the_key_of_aws_is_no_key_of_the_bucket(run: Runner, safe: BucketInMemory) -> None:
    result = run(bucket=BUCKET, kms_key_id="alias/aws/s3")
    assert (result["changed"], result["kms_key_id"]) == (True, None)


@pytest.mark.parametrize("name", [KEY, KEY_ID], ids=["arn", "id"])
def test_a_key_is_the_same_by_its_arn_and_its_id(
    run: Runner, safe: BucketInMemory, name: str
) -> None:
    run(bucket=BUCKET, kms_key_id=KEY)
    assert run(bucket=BUCKET, kms_key_id=name)["drift"] == []


@pytest.mark.parametrize(
    ("present", "asked"),
    [
        (KEY, {"encryption": "aws:kms"}),
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/vault", {"kms_key_id": "alias/vault"}),
        ("alias/aws/s3", {"encryption": "aws:kms"}),
        (None, {"kms_key_id": "alias/aws/s3"}),
    ],
    ids=["no key named", "alias", "aws/s3 by name", "aws/s3 without a name"],
)
def test_a_key_that_serves_is_kept(
    run: Runner, safe: BucketInMemory, present: str | None, asked: dict[str, Any]
) -> None:
    named = {"KMSMasterKeyID": present} if present else {}
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", **named}}
    configuration = {"Rules": [{**rule, "BucketKeyEnabled": True}]}
    safe.values["ServerSideEncryptionConfiguration"] = configuration
    assert run(bucket=BUCKET, **asked)["drift"] == []


def test_a_key_without_its_arn_is_replaced_by_the_arn(run: Runner, safe: BucketInMemory) -> None:
    run(bucket=BUCKET, kms_key_id=KEY_ID)
    shared = {"allowed_accounts": [ACCOUNT, OTHER]}
    assert "is not an ARN" in run(bucket=BUCKET, **shared)["msg"]
    result = run(bucket=BUCKET, kms_key_id=KEY, **shared)
    assert "encryption.kms_key_id" in settings(result)
    assert by_default(safe)["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == KEY


def test_another_key_leaves_both_layers(run: Runner, safe: BucketInMemory) -> None:
    double = {"SSEAlgorithm": "aws:kms:dsse", "KMSMasterKeyID": KEY}
    rule = {"ApplyServerSideEncryptionByDefault": double, "BucketKeyEnabled": False}
    safe.values["ServerSideEncryptionConfiguration"] = {"Rules": [rule]}
    other = KEY.replace("1234abcd", "5678abcd")
    assert settings(run(bucket=BUCKET, kms_key_id=other)) == ["encryption.kms_key_id"]
    assert by_default(safe) == {
        "ApplyServerSideEncryptionByDefault": {**double, "KMSMasterKeyID": other},
        "BucketKeyEnabled": False,
    }


def test_a_bucket_key_is_turned_on(run: Runner, safe: BucketInMemory) -> None:
    run(bucket=BUCKET, kms_key_id=KEY)
    rules = safe.values["ServerSideEncryptionConfiguration"]["Rules"]
    rules[0]["BucketKeyEnabled"] = False
    assert settings(run(bucket=BUCKET, kms_key_id=KEY)) == ["encryption.bucket_key_enabled"]


def test_two_layers_of_encryption_are_enough(run: Runner, safe: BucketInMemory) -> None:
    double = {"SSEAlgorithm": "aws:kms:dsse", "KMSMasterKeyID": KEY}
    rule = {"ApplyServerSideEncryptionByDefault": double, "BucketKeyEnabled": False}
    safe.values["ServerSideEncryptionConfiguration"] = {"Rules": [rule]}
    assert run(bucket=BUCKET, kms_key_id=KEY)["drift"] == []


# Options that go beyond


def test_logging_object_lock_and_the_account(run: Runner, safe: BucketInMemory) -> None:
    options = {"logging_bucket": safe.log_bucket, "object_lock": True}
    options["block_account_public_access"] = True
    changed = run(bucket=BUCKET, **options)
    assert settings(changed) == [
        "account_public_access_block.BlockPublicAcls",
        "account_public_access_block.IgnorePublicAcls",
        "account_public_access_block.BlockPublicPolicy",
        "account_public_access_block.RestrictPublicBuckets",
        "object_lock",
        "logging.TargetBucket",
        "logging.TargetPrefix",
    ]
    assert safe.account_block == CLOSED
    assert safe.values["ObjectLockConfiguration"] == {"ObjectLockEnabled": "Enabled"}
    assert safe.values["BucketLoggingStatus"]["LoggingEnabled"] == {
        "TargetBucket": safe.log_bucket,
        "TargetPrefix": f"{BUCKET}/",
    }
    assert run(bucket=BUCKET, **options)["drift"] == []


def test_the_expected_owner_goes_with_every_call(
    run: Runner, memory: BucketInMemory, cloud: Cloud
) -> None:
    run(bucket=BUCKET, expected_bucket_owner=ACCOUNT)
    calls = [call for call in cloud.calls if call.operation != "GetCallerIdentity"]
    assert {call.params.get("ExpectedBucketOwner") for call in calls} == {ACCOUNT}


def test_all_tags_can_be_purged(run: Runner, safe: BucketInMemory) -> None:
    run(bucket=BUCKET, tags={"team": "dr"})
    assert run(bucket=BUCKET, tags={"cost": 7})["changed"]
    assert len(safe.values["Tagging"]["TagSet"]) == 2
    assert settings(run(bucket=BUCKET, tags={}, purge_tags=True)) == ["tags.team", "tags.cost"]
    assert "Tagging" not in safe.values


# Refused by the options alone


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"abort_incomplete_upload_days": 6}, "one multipart upload"),
        ({"noncurrent_days": 0}, "is not a number of days"),
        ({"transition_days": 30}, "go together"),
        ({"transition_storage_class": "STANDARD_IA"}, "go together"),
        (
            {"transition_days": 1, "transition_storage_class": "GLACIER"},
            "cannot read an archived object",
        ),
        (
            {"transition_days": 1, "transition_storage_class": "DEEP_ARCHIVE"},
            "cannot read an archived object",
        ),
        ({"transition_days": 29, "transition_storage_class": "ONEZONE_IA"}, "after 30 days"),
        ({"encryption": "AES256", "kms_key_id": KEY}, "uses no KMS key"),
        ({"kms_key_id": "arn:aws:s3:::x"}, "is not the ARN of a KMS key"),
        ({"kms_key_id": "1234"}, "nor a key's id"),
        (
            {"prefix": "dr*", "allowed_accounts": [ACCOUNT], "grant": ["store"]},
            "a pattern in a policy",
        ),
        ({"tags": {"x": {"y": "z"}}}, "a tag holds plain text"),
        ({"tags": {"": "y"}}, "is blank or longer"),
        ({"allowed_organizations": ["o-a1b2c3d4e5"]}, "would lock it out"),
        (
            {"allowed_accounts": [ACCOUNT] + [f"{n:012}" for n in range(1400)]},
            "S3 takes 20480",
        ),
        ({"kms_key_id": KEY.replace(REGION, "us-east-1")}, "of the bucket's Region only"),
        ({"kms_key_id": KEY.replace("arn:aws:", "arn:aws-cn:")}, "across partitions"),
        ({"logging_bucket": BUCKET}, "logged in turn"),
        ({"logging_bucket": "logs/x"}, "holds a path"),
        ({"object_lock": True, "versioning": False}, "needs versioning"),
        ({"grant": ["store"]}, "nobody is allowed"),
        ({"allowed_accounts": ["12345"]}, "12 digits in quotes"),
        ({"allowed_organizations": ["acme"]}, "organization ids"),
        ({"allowed_principals": ["*"]}, "ARNs of IAM roles or users"),
        (
            {"allowed_principals": [f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"]},
            "not of its sessions",
        ),
        ({"allowed_accounts": [OTHER]}, "would lock it out"),
        ({"allowed_principals": [ROLE]}, "would lock it out"),
        ({"bucket": f"arn:aws:s3:::{BUCKET}"}, "plain name of a general-purpose bucket"),
        ({"bucket": "vault--euc1-az1--x-s3"}, "directory bucket"),
        ({"bucket": "ami.vault"}, "has a dot"),
        ({"tags": {"aws:x": "y"}}, "which AWS reserves"),
        ({"tags": {"x": "y" * 257}}, "longer than"),
        ({"tags": {str(number): "" for number in range(51)}}, "at most 50"),
        ({"expected_bucket_owner": "1"}, "12 digits"),
        (
            {
                "allowed_accounts": [ACCOUNT, OTHER],
                "encryption": "aws:kms",
            },
            "which no other account can ever use",
        ),
        (
            {
                "allowed_accounts": [ACCOUNT],
                "allowed_organizations": ["o-a1b2c3d4e5"],
                "kms_key_id": "alias/vault",
            },
            "is not an ARN",
        ),
    ],
)
def test_a_bad_option_is_refused_before_anything_changes(
    run: Runner, memory: BucketInMemory, options: dict[str, Any], words: str
) -> None:
    result = run(**{"bucket": BUCKET, **options})
    assert result.failed
    assert words in result["msg"]
    assert memory.writes() == []
    assert not result.values.get("changed")


# Refused by what is there


def _policy(**statement: Any) -> Spoil:
    denial = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:*", **statement}

    def spoil(memory: BucketInMemory, _cloud: Cloud) -> None:
        memory.policy = {"Version": "2012-10-17", "Statement": [denial]}

    return spoil


def _rule(**rule: Any) -> Spoil:
    def spoil(memory: BucketInMemory, _cloud: Cloud) -> None:
        theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {}, **rule}
        memory.values["LifecycleConfiguration"] = {"Rules": [theirs]}

    return spoil


def _default_retention(memory: BucketInMemory, _cloud: Cloud) -> None:
    retention = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": retention}
    memory.values["ObjectLockConfiguration"] = lock


def _requester_pays(memory: BucketInMemory, _cloud: Cloud) -> None:
    memory.values["RequestPaymentConfiguration"] = {"Payer": "Requester"}


def _public(memory: BucketInMemory, _cloud: Cloud) -> None:
    memory.policy = {"Statement": [{**FOREIGN_STATEMENT, "Principal": "*"}]}
    memory.public = True


def _elsewhere(_memory: BucketInMemory, cloud: Cloud) -> None:
    cloud.bucket_region = "us-east-1"


def _foreign(_memory: BucketInMemory, cloud: Cloud) -> None:
    cloud.denials["HeadBucket"] = forbidden_head()


def _tiers(memory: BucketInMemory, _cloud: Cloud) -> None:
    tier = {"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}
    memory.tiers = [{"Id": "cold", "Status": "Enabled", "Tierings": [tier]}]


def _no_log_bucket(memory: BucketInMemory, _cloud: Cloud) -> None:
    memory.log_bucket = "another"


def _logs_elsewhere(memory: BucketInMemory, _cloud: Cloud) -> None:
    memory.log_region = None


def _locked_logs(memory: BucketInMemory, _cloud: Cloud) -> None:
    retention = {"DefaultRetention": {"Mode": "COMPLIANCE", "Years": 1}}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": retention}
    memory.log_values["ObjectLockConfiguration"] = lock


def _encrypted_logs(memory: BucketInMemory, _cloud: Cloud) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    memory.log_values["ServerSideEncryptionConfiguration"] = {"Rules": [rule]}


def _mfa_delete(memory: BucketInMemory, _cloud: Cloud) -> None:
    memory.values["VersioningConfiguration"] = {"Status": "Enabled", "MFADelete": "Enabled"}


def _many_tags(memory: BucketInMemory, _cloud: Cloud) -> None:
    tags = [{"Key": f"theirs-{number}", "Value": ""} for number in range(50)]
    memory.values["Tagging"] = {"TagSet": tags}


def _tiers_by_their_rule(memory: BucketInMemory, cloud: Cloud) -> None:
    _tiers(memory, cloud)
    _rule(Transitions=[{"Days": 1, "StorageClass": "INTELLIGENT_TIERING"}])(memory, cloud)


def _tiers_on_a_late_page(memory: BucketInMemory, cloud: Cloud) -> None:
    _tiers(memory, cloud)
    memory.tiers.insert(0, {**memory.tiers[0], "Id": "off", "Status": "Disabled"})
    memory.tiers_per_page = 1


def _tiers_for(**scope: Any) -> Spoil:
    def spoil(memory: BucketInMemory, cloud: Cloud) -> None:
        _tiers(memory, cloud)
        memory.tiers[0]["Filter"] = scope

    return spoil


def _managed_key(memory: BucketInMemory, _cloud: Cloud) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    memory.values["ServerSideEncryptionConfiguration"] = {"Rules": [rule]}


LOGS = {"logging_bucket": "access-logs"}
TIERED = {"transition_days": 0, "transition_storage_class": "INTELLIGENT_TIERING"}
IN_A_VPC = {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}


@pytest.mark.parametrize(
    ("spoil", "options", "words"),
    [
        (_default_retention, {}, "refuses uploads without a checksum"),
        (_requester_pays, {}, "Set the payer to BucketOwner"),
        (_public, {}, "makes it public"),
        (_elsewhere, {}, "is in Region us-east-1, the task runs in"),
        (_foreign, {}, "S3 answers 403"),
        (_tiers, TIERED, "archive tiers"),
        (_tiers_by_their_rule, {}, "archive tiers"),
        (_tiers_on_a_late_page, TIERED, "'cold' moves objects into archive tiers"),
        (_tiers_for(Prefix="dr/x"), {**TIERED, "prefix": "dr"}, "archive tiers"),
        (_mfa_delete, {}, "MFA delete is on, with which its lifecycle cannot be set"),
        (_many_tags, {"tags": {"ours": ""}}, "would have 51 tags"),
        (
            _policy(Effect="Allow", Principal={"AWS": ["AIDAEXAMPLEEXAMPLE123", OTHER]}),
            {},
            "'Theirs' is about AIDAEXAMPLEEXAMPLE123, the id of",
        ),
        (
            _policy(Effect="Allow", Principal={"AWS": OTHER}, Action=["s3:x" * 5000]),
            {},
            "S3 takes 20480",
        ),
        (_no_log_bucket, LOGS, "bucket 'access-logs', does not exist"),
        (_logs_elsewhere, LOGS, "is in Region us-east-1: S3 writes"),
        (_locked_logs, LOGS, "cannot deliver access logs"),
        (_managed_key, {"allowed_accounts": [ACCOUNT, OTHER]}, "which no other account"),
        (_policy(Condition=IN_A_VPC), {}, "'Theirs' denies requests from outside a VPC"),
        (_policy(Condition={"Null": {"aws:SourceVpc": "true"}}), {}, "aws:sourcevpc"),
        (_policy(Action=["s3:Put*"], Condition=IN_A_VPC), {}, "'Theirs' denies"),
        (
            _rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}),
            {},
            "'theirs' aborts incomplete uploads after 1 days",
        ),
        (
            _rule(Transitions=[{"Days": 1, "StorageClass": "DEEP_ARCHIVE"}]),
            {},
            "'theirs' moves objects to DEEP_ARCHIVE",
        ),
    ],
)
def test_a_bucket_that_would_break_stores_is_refused_and_left_as_it_is(
    run: Runner,
    memory: BucketInMemory,
    cloud: Cloud,
    spoil: Spoil,
    options: dict[str, Any],
    words: str,
) -> None:
    spoil(memory, cloud)
    for check in (True, False):
        result = run(check=check, bucket=BUCKET, **options)
        assert result.failed
        assert words in result["msg"]
        assert "othing was changed" in result["msg"]
    assert memory.writes() == []


def test_all_reasons_are_told_at_once(run: Runner, memory: BucketInMemory, cloud: Cloud) -> None:
    _default_retention(memory, cloud)
    _requester_pays(memory, cloud)
    message = run(bucket=BUCKET)["msg"]
    assert "(1) Object Lock has" in message
    assert "(2) it is a Requester Pays" in message


@pytest.mark.parametrize(
    ("spoil", "options"),
    [
        (_tiers, {}),
        (_tiers, {**TIERED, "allow_archive": True}),
        (_tiers_for(Prefix="reports/"), {**TIERED, "prefix": "dr"}),
        (_tiers_for(And={"Prefix": "", "Tags": [{"Key": "a", "Value": "b"}]}), TIERED),
        (_many_tags, {"tags": {"ours": ""}, "purge_tags": True}),
        (_managed_key, {"allowed_accounts": [ACCOUNT]}),
        (_policy(Condition={**IN_A_VPC, "Bool": {"aws:ViaAWSService": "false"}}), {}),
        (_policy(Condition={"StringEquals": {"aws:SourceVpce": "vpce-1"}}), {}),
        (_policy(Principal={"AWS": OTHER}, Condition=IN_A_VPC), {}),
        (_policy(Action="s3:DeleteObject", Condition=IN_A_VPC), {}),
        (_policy(NotAction=["s3:*"], Action=[], Condition=IN_A_VPC), {}),
        (_rule(Status="Disabled", Transitions=[{"Days": 1, "StorageClass": "GLACIER"}]), {}),
        (_rule(Transitions=[{"Days": 1, "StorageClass": "GLACIER"}]), {"allow_archive": True}),
        (
            _rule(
                Filter={"Prefix": "logs/"},
                AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1},
            ),
            {"prefix": "dr"},
        ),
        (
            _rule(
                Filter={"Tag": {"Key": "cold", "Value": "yes"}},
                Transitions=[{"Days": 1, "StorageClass": "GLACIER"}],
            ),
            {},
        ),
    ],
)
def test_what_does_no_harm_is_let_be(
    run: Runner, memory: BucketInMemory, cloud: Cloud, spoil: Spoil, options: dict[str, Any]
) -> None:
    spoil(memory, cloud)
    assert not run(bucket=BUCKET, **options).failed


# Doubts


@pytest.mark.parametrize(
    ("spoil", "options", "words"),
    [
        (
            _policy(
                Action="s3:PutObject",
                Condition={"Null": {"s3:x-amz-server-side-encryption": "true"}},
            ),
            {},
            "try a store and a restore before you rely on the bucket",
        ),
        (_rule(Expiration={"Days": 2}), {}, "stored AMIs go with them"),
        (_encrypted_logs, LOGS, "see whether logs arrive"),
        (
            lambda _memory, cloud: cloud.denials.update(
                GetBucketLocation=Refusal("AccessDenied", status=403)
            ),
            LOGS,
            "could not be looked at",
        ),
        (
            lambda _memory, cloud: cloud.denials.update(
                GetCallerIdentity=Refusal("AccessDenied", status=403)
            ),
            {"allowed_accounts": [OTHER]},
            "STS does not tell",
        ),
        (
            lambda _memory, cloud: cloud.denials.update(
                DescribeOrganization=Refusal("AccessDeniedException", status=400)
            ),
            {"allowed_organizations": ["o-a1b2c3d4e5"]},
            "does not tell whether it is one",
        ),
    ],
)
def test_a_doubt_is_told_and_stops_nothing(
    run: Runner,
    memory: BucketInMemory,
    cloud: Cloud,
    spoil: Spoil,
    options: dict[str, Any],
    words: str,
) -> None:
    spoil(memory, cloud)
    result = run(bucket=BUCKET, **options)
    assert not result.failed
    assert any(words in warning for warning in result.warnings)


def test_mfa_delete_is_let_be_where_nothing_is_to_be_set(run: Runner, safe: BucketInMemory) -> None:
    _mfa_delete(safe, safe.cloud)
    assert run(bucket=BUCKET)["drift"] == []


def test_a_deleted_principal_is_let_be_where_the_policy_is_not_written(
    run: Runner, safe: BucketInMemory
) -> None:
    gone = {**FOREIGN_STATEMENT, "Principal": {"AWS": "AROAEXAMPLEEXAMPLE123"}}
    safe.policy = {**safe.policy, "Statement": [gone, *safe.policy["Statement"]]}
    assert run(bucket=BUCKET)["drift"] == []


def test_a_member_of_an_allowed_organization_is_known(
    run: Runner, memory: BucketInMemory, cloud: Cloud
) -> None:
    organization = "o-a1b2c3d4e5"
    memory.organization = organization
    result = run(check=True, bucket=BUCKET, allowed_organizations=[organization])
    assert (result.failed, result.warnings) == (False, [])
    memory.organization = "o-anotherone"
    for check in (True, False):
        result = run(check=check, bucket=BUCKET, allowed_organizations=[organization])
        assert "would lock it out" in result["msg"]
    assert memory.writes() == []


def test_the_owner_of_the_account_to_close_is_the_buckets(
    run: Runner, memory: BucketInMemory, cloud: Cloud
) -> None:
    cloud.bucket_owner = OTHER
    options = {"expected_bucket_owner": OTHER, "block_account_public_access": True}
    assert f"would close account {ACCOUNT}" in run(bucket=BUCKET, **options)["msg"]
    assert memory.writes() == []


@pytest.mark.parametrize("options", [{}, {"expected_bucket_owner": ACCOUNT}])
def test_tiers_are_asked_for_as_this_botocore_can(
    run: Runner, memory: BucketInMemory, cloud: Cloud, options: dict[str, Any]
) -> None:
    tiered = {"transition_days": 0, "transition_storage_class": "INTELLIGENT_TIERING"}
    assert not run(check=True, bucket=BUCKET, **tiered, **options).failed
    assert len(cloud.params("ListBucketIntelligentTieringConfigurations")) == 1


def test_a_dotted_name_that_exists_is_only_doubted(
    run: Runner, memory: BucketInMemory, cloud: Cloud
) -> None:
    cloud.buckets["ami.vault"] = {}
    result = run(check=True, bucket="ami.vault")
    assert any("has a dot" in warning for warning in result.warnings)


@pytest.mark.parametrize(
    "principal",
    [ROLE, f"arn:aws:iam::{ACCOUNT}:role/dr/*", f"arn:aws:iam::{ACCOUNT}:role/restorer"],
)
def test_a_session_is_known_by_its_role(
    run: Runner, memory: BucketInMemory, cloud: Cloud, principal: str
) -> None:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/restorer/nightly"
    identity = {"Account": ACCOUNT, "UserId": "AROAEXAMPLE", "Arn": arn}
    cloud.replies["GetCallerIdentity"] = lambda _params: identity
    assert not run(bucket=BUCKET, allowed_principals=[principal]).failed


# When S3 does not do as asked


def test_a_refusal_half_way_tells_what_has_changed(
    run: Runner, memory: BucketInMemory, cloud: Cloud
) -> None:
    cloud.denials["PutBucketPolicy"] = Refusal("AccessDenied", "no", status=403)
    result = run(bucket=BUCKET)
    assert result.failed
    assert result["changed"]
    assert "policy.AmistoreDenyOldTls" in settings(result)
    assert f"Failed to set the policy of bucket '{BUCKET}': AccessDenied: no" in result["msg"]
    assert "PutPublicAccessBlock" in memory.writes()
    assert (
        "Changed before: public_access_block, object_ownership, encryption, versioning."
        in result["msg"]
    )
    del cloud.denials["PutBucketPolicy"]
    assert "policy.AmistoreDenyOldTls" in settings(run(bucket=BUCKET))
    assert run(bucket=BUCKET)["drift"] == []


def test_a_write_with_a_lost_answer_is_told_as_such(
    run: Runner, memory: BucketInMemory, cloud: Cloud
) -> None:
    cloud.denials["PutPublicAccessBlock"] = Refusal("InternalError", status=500)
    result = run(bucket=BUCKET)
    assert "may have been executed. Changed before: nothing." in result["msg"]


@pytest.mark.parametrize("operation", ["HeadBucket", "GetBucketVersioning"])
def test_a_bucket_that_may_not_be_looked_at_is_not_told_to_be_missing(
    run: Runner, memory: BucketInMemory, cloud: Cloud, operation: str
) -> None:
    refusal = forbidden_head() if operation == "HeadBucket" else Refusal("AccessDenied", status=403)
    cloud.denials[operation] = refusal
    for check in (True, False):
        result = run(check=check, bucket=BUCKET)
        assert result.failed
        assert not result["changed"]
        assert "existed" not in result
        assert "drift" not in result


def test_a_busy_bucket_is_written_again(
    run: Runner, safe: BucketInMemory, cloud: Cloud, slept: list[float]
) -> None:
    cloud.faults["PutBucketVersioning"] = [Refusal("OperationAborted", status=409)]
    del safe.values["VersioningConfiguration"]
    assert run(bucket=BUCKET)["changed"]
    assert cloud.operations().count("PutBucketVersioning") == 2
    assert slept


def test_object_lock_waits_for_versioning(
    run: Runner, memory: BucketInMemory, cloud: Cloud, slept: list[float]
) -> None:
    state = Refusal("InvalidBucketState", "Versioning must be 'Enabled' on the bucket", 409)
    cloud.faults["PutObjectLockConfiguration"] = [state]
    assert run(bucket=BUCKET, object_lock=True)["changed"]
    assert memory.values["ObjectLockConfiguration"] == {"ObjectLockEnabled": "Enabled"}
    assert slept


def test_a_setting_is_awaited_until_s3_shows_it(
    run: Runner, safe: BucketInMemory, cloud: Cloud, clock: VirtualClock
) -> None:
    good = cloud.replies["GetBucketVersioning"]
    late = iter([{}, {}, {}, {}])
    # The first two looks find the drift, the next two come too early.
    cloud.replies["GetBucketVersioning"] = lambda params: next(late, good(params))
    assert run(bucket=BUCKET)["changed"]
    assert clock.slept == [2.0, 2.0]


def test_a_setting_that_s3_never_shows_fails(
    run: Runner, safe: BucketInMemory, cloud: Cloud
) -> None:
    cloud.replies["GetBucketVersioning"] = lambda _params: {}
    result = run(bucket=BUCKET)
    assert result.failed
    assert (
        "after 60 s bucket 'ami-bucket' still shows another setting of versioning" in result["msg"]
    )
    assert result["changed"]


def test_a_new_bucket_is_awaited(
    run: Runner, memory: BucketInMemory, cloud: Cloud, clock: VirtualClock
) -> None:
    objects = cloud.buckets.pop(BUCKET)
    cloud.replies["CreateBucket"] = lambda _params: {}
    clock.during_sleep = [None, lambda: cloud.buckets.update({BUCKET: objects})]
    assert run(bucket=BUCKET)["changed"]
    assert clock.slept == [2.0, 2.0]


def test_a_lifecycle_that_this_botocore_cannot_keep_is_not_written(
    run: Runner, safe: BucketInMemory, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = cloud.replies["GetBucketLifecycleConfiguration"]
    headers = {"x-amz-transition-default-minimum-object-size": "varies_by_storage_class"}
    metadata = {"ResponseMetadata": {"HTTPHeaders": headers}}
    cloud.replies["GetBucketLifecycleConfiguration"] = lambda p: {**usual(p), **metadata}
    known = run.wire.clients["s3"].meta.service_model.operation_model(
        "PutBucketLifecycleConfiguration"
    )
    result = run(bucket=BUCKET, noncurrent_days=9)
    if "TransitionDefaultMinimumObjectSize" in known.input_shape.members:
        (put,) = cloud.params("PutBucketLifecycleConfiguration")
        assert put["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    else:
        assert "update botocore" in result["msg"]
        assert safe.writes() == []
