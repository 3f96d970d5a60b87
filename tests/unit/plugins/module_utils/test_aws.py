# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How calls are sent and how AWS's errors are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import botocore.exceptions
import botocore.parsers
import pytest
from botocore.exceptions import ClientError

from ansible_collections.amistore.aws.plugins.module_utils import _aws
from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    Answer,
    InputError,
    Reply,
    aws_words,
    call_aws,
    caller_account,
    client_without_retries,
    error_code,
    error_text,
    is_forbidden,
    is_transient,
    send_create,
)
from tests.unit.cloud import ACCOUNT, Cloud, Refusal, forbidden

CONNECTION_LOST: list[Exception] = [
    botocore.exceptions.ConnectionClosedError(endpoint_url="https://ec2.example"),
    botocore.exceptions.ReadTimeoutError(endpoint_url="https://ec2.example"),
    botocore.exceptions.EndpointConnectionError(endpoint_url="https://ec2.example"),
    botocore.exceptions.ConnectTimeoutError(endpoint_url="https://ec2.example"),
    botocore.parsers.ResponseParserError("a proxy's page"),
]


def client_error(code: str, message: str = "words", **more: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message, **more}}, "CreateThing")


def wrapped(error: Exception) -> AmiStoreError:
    return AmiStoreError(message="Failed to do it", exception=error)


def sent(error: Exception) -> Reply:
    def create_thing(**_params: Any) -> dict[str, Any]:
        raise error

    return send_create(create_thing, "Id")


# send_create: what each answer means


def test_an_accepted_request_gives_the_new_id() -> None:
    asked: list[dict[str, Any]] = []

    def create_thing(**params: Any) -> dict[str, Any]:
        asked.append(params)
        return {"Id": "ami-1"}

    assert send_create(create_thing, "Id", Name="web") == Reply(Answer.ACCEPTED, "ami-1")
    assert asked == [{"Name": "web"}]


@pytest.mark.parametrize("code", sorted(_aws.THROTTLING_CODES))
def test_throttling_is_told_from_everything_else(code: str) -> None:
    assert sent(client_error(code)) == Reply(Answer.THROTTLED, f"{code}: words", code)


@pytest.mark.parametrize("code", sorted(_aws.SERVER_CODES))
def test_a_server_fault_leaves_open_what_happened(code: str) -> None:
    assert sent(client_error(code)).answer is Answer.UNCERTAIN


@pytest.mark.parametrize("error", CONNECTION_LOST, ids=lambda error: type(error).__name__)
def test_a_lost_connection_leaves_open_what_happened(error: Exception) -> None:
    reply = sent(error)
    assert reply.answer is Answer.UNCERTAIN
    assert reply.text.startswith("no answer from AWS: ")


@pytest.mark.parametrize("code", sorted(_aws.PERMANENT_CODES))
def test_a_permanent_refusal_is_final(code: str) -> None:
    assert sent(client_error(code)) == Reply(Answer.FAILED, f"{code}: words", code)


@pytest.mark.parametrize(
    ("code", "message", "answer"),
    [
        (
            "InvalidRequest",
            "A CreateStoreImageTask is already in progress for the AMI.",
            Answer.BUSY,
        ),
        ("InvalidRequest", "ALREADY IN PROGRESS", Answer.BUSY),
        ("InvalidAMIName.Duplicate", "AMI name web is already in use", Answer.BUSY),
        ("InvalidRequest", "The AMI already exists in the bucket.", Answer.EXISTS),
        ("InvalidRequest", "Something else.", Answer.REFUSED),
        ("ResourceLimitExceeded", "Too much in flight.", Answer.REFUSED),
        ("NeverHeardOf", "", Answer.REFUSED),
        ("DryRunOperation", "Request would have succeeded", Answer.WOULD_SUCCEED),
    ],
)
def test_the_other_answers(code: str, message: str, answer: Answer) -> None:
    assert sent(client_error(code, message)).answer is answer


@pytest.mark.parametrize(
    "error",
    [
        botocore.exceptions.NoCredentialsError(),
        botocore.exceptions.ParamValidationError(report="Name is too short"),
    ],
    ids=["no credentials", "bad parameters"],
)
def test_a_request_that_could_not_be_made_is_an_error(error: Exception) -> None:
    with pytest.raises(AmiStoreError, match="Failed to call create_thing"):
        sent(error)


def test_a_create_request_is_sent_exactly_once(ec2: Any, cloud: Cloud) -> None:
    cloud.denials["CreateStoreImageTask"] = Refusal("RequestLimitExceeded", status=503)
    reply = send_create(
        ec2.create_store_image_task, "ObjectKey", ImageId="ami-0abcdef1", Bucket="bucket"
    )
    assert reply.answer is Answer.THROTTLED
    assert cloud.operations() == ["CreateStoreImageTask"]


def test_no_code_means_two_things() -> None:
    """A code that is in two of the sets would be judged by the order of the questions."""
    sets = [_aws.THROTTLING_CODES, _aws.SERVER_CODES, _aws.PERMANENT_CODES]
    assert sum(map(len, sets)) == len(frozenset().union(*sets))
    assert _aws.CREDENTIAL_CODES <= _aws.PERMANENT_CODES


# call_aws


@pytest.mark.parametrize("code", sorted(_aws.THROTTLING_CODES | _aws.SERVER_CODES))
def test_a_read_is_retried_after_throttling_and_server_faults(
    code: str, ec2: Any, cloud: Cloud, slept: list[float]
) -> None:
    cloud.faults["GetEbsEncryptionByDefault"] = [Refusal(code), Refusal(code)]
    answer = call_aws("read", ec2.get_ebs_encryption_by_default)
    assert answer["EbsEncryptionByDefault"] is True
    assert len(cloud.calls) == 3
    assert len(slept) == 2


def test_a_read_is_given_up_after_five_attempts(ec2: Any, cloud: Cloud, slept: list[float]) -> None:
    cloud.denials["GetEbsEncryptionByDefault"] = Refusal("RequestLimitExceeded", "slow down")
    with pytest.raises(AmiStoreError) as caught:
        call_aws("read the setting", ec2.get_ebs_encryption_by_default)
    assert error_text(caught.value) == (
        "Failed to read the setting: RequestLimitExceeded: slow down"
    )
    assert len(cloud.calls) == 5
    assert sum(slept) <= 3 + 6 + 12 + 24


def test_a_refusal_is_not_repeated(ec2: Any, cloud: Cloud) -> None:
    cloud.denials["GetEbsEncryptionByDefault"] = forbidden()
    with pytest.raises(AmiStoreError):
        call_aws("read", ec2.get_ebs_encryption_by_default)
    assert len(cloud.calls) == 1


@pytest.mark.parametrize("text", ["{0}", "{}", "{kwargs}", "{Bucket}", "{", "100%s"])
def test_a_key_is_told_as_it_is(text: str) -> None:
    """Object keys may hold braces; they are text, never a template."""

    def get_thing(**_params: Any) -> str:
        raise client_error("AccessDenied")

    with pytest.raises(AmiStoreError) as caught:
        call_aws(f"look at s3://bucket/{text}", get_thing, Bucket="secret")
    assert caught.value.message == f"Failed to look at s3://bucket/{text}"


def test_a_key_with_braces_does_not_disturb_a_call_that_works() -> None:
    assert call_aws("look at s3://bucket/{0}", lambda: 42) == 42


# Reading errors


def test_the_code_is_found_behind_both_kinds_of_errors() -> None:
    assert error_code(client_error("Blocked")) == "Blocked"
    assert error_code(wrapped(client_error("Blocked"))) == "Blocked"


@pytest.mark.parametrize(
    "error", [None, ValueError("x"), InputError(message="x"), wrapped(CONNECTION_LOST[0])]
)
def test_what_aws_did_not_answer_has_no_code(error: BaseException | None) -> None:
    assert error_code(error) == ""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("403", True),
        ("AccessDenied", True),
        ("AuthFailure", True),
        ("Forbidden", True),
        ("UnauthorizedOperation", True),
        ("404", False),
        ("SlowDown", False),
    ],
)
def test_forbidden(code: str, expected: bool) -> None:
    assert is_forbidden(wrapped(client_error(code))) is expected


@pytest.mark.parametrize("code", sorted(_aws.THROTTLING_CODES | _aws.SERVER_CODES))
def test_throttling_and_server_faults_pass(code: str) -> None:
    assert is_transient(wrapped(client_error(code)))


@pytest.mark.parametrize("error", CONNECTION_LOST, ids=lambda error: type(error).__name__)
def test_a_lost_connection_passes(error: Exception) -> None:
    assert is_transient(wrapped(error))


@pytest.mark.parametrize("code", sorted(_aws.PERMANENT_CODES))
def test_a_refusal_does_not_pass(code: str) -> None:
    assert not is_transient(wrapped(client_error(code)))


def test_what_is_no_answer_of_aws_does_not_pass() -> None:
    assert not is_transient(InputError(message="bucket is blank"))
    assert not is_transient(wrapped(botocore.exceptions.NoCredentialsError()))


def test_the_words_show_the_decode_command() -> None:
    error = client_error(
        "UnauthorizedOperation",
        "You are not authorized. Encoded authorization failure message: aBc-123",
    )
    assert aws_words(error) == (
        "UnauthorizedOperation: You are not authorized. To see what is missing, run:"
        " aws sts decode-authorization-message --query DecodedMessage --output text"
        " --encoded-message aBc-123"
    )


def test_a_head_request_without_a_reason_is_explained() -> None:
    words = aws_words(client_error("400", "Bad Request"))
    assert words.startswith("400: Bad Request (S3 gives no reason to a HEAD request; expired")


def test_the_words_hold_nothing_but_code_and_message() -> None:
    error = client_error(
        "SignatureDoesNotMatch",
        "The signature does not match.",
        AWSAccessKeyId="AKIASECRET",
        StringToSign="secret",
    )
    assert error_text(wrapped(error)) == (
        "Failed to do it: SignatureDoesNotMatch: The signature does not match."
    )


def test_the_text_of_an_error_without_an_answer() -> None:
    assert error_text(InputError(message="bucket is blank")) == "bucket is blank"
    text = error_text(wrapped(CONNECTION_LOST[0]))
    assert text.startswith("Failed to do it: Connection was closed")


def test_the_text_of_an_error_without_a_message() -> None:
    assert error_text(AmiStoreError(exception=client_error("Blocked"))) == "Blocked: words"


# Clients and the caller


class FakeModule:
    def __init__(self, clients: dict[str, Any], **params: Any) -> None:
        self._clients, self.params = clients, params
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def client(self, service: str, **extra: Any) -> Any:
        self.asked.append((service, extra))
        return self._clients.get(service)


def test_the_create_client_sends_once() -> None:
    module = FakeModule({})
    client_without_retries(module, "ec2")
    retries = {"retries": {"total_max_attempts": 1}}
    assert module.asked == [("ec2", {"aws_config": retries})]


def test_the_create_client_keeps_the_users_other_settings() -> None:
    settings = {"proxies": {"https": "http://proxy:3128"}, "retries": {"max_attempts": 9}}
    module = FakeModule({}, aws_config=settings)
    client_without_retries(module, "ec2")
    assert module.asked[0][1]["aws_config"] == {
        "proxies": {"https": "http://proxy:3128"},
        "retries": {"total_max_attempts": 1},
    }


def test_the_account_is_asked_for_once(wire: Any, cloud: Cloud) -> None:
    module = FakeModule(wire.clients)
    account = caller_account(module)
    assert module.asked == []
    assert (account(), account()) == (ACCOUNT, ACCOUNT)
    assert cloud.operations() == ["GetCallerIdentity"]


def test_an_account_that_sts_does_not_tell_is_unknown(wire: Any, cloud: Cloud) -> None:
    cloud.denials["GetCallerIdentity"] = forbidden()
    assert caller_account(FakeModule(wire.clients))() is None


def test_the_collection_is_named_in_the_user_agent() -> None:
    _aws.identify_collection()
    from ansible_collections.amazon.aws.plugins.module_utils import common

    assert common.get_collection_info() == {
        "name": "amistore.aws",
        "version": _aws.COLLECTION_VERSION,
    }


def test_the_version_is_that_of_the_collection() -> None:
    galaxy = Path(_aws.__file__).resolve().parents[2] / "galaxy.yml"
    assert f"version: {_aws.COLLECTION_VERSION}" in galaxy.read_text().splitlines()
