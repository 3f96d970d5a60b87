# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How every AWS call of this collection is sent, and how its errors are read."""

from __future__ import annotations

import contextlib
import email.utils
import functools
import typing as t
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum

NO_ANSWER: tuple[type[Exception], ...] = ()
"""What is raised when no answer came, be it that the request was never received."""

with contextlib.suppress(ImportError):  # AnsibleAWSModule says what is missing.
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as NoConnectionError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    # An answer that cannot be read, such as a proxy's page, is none of AWS's. What breaks off while
    # a body or an error is read, botocore does not always put into words of its own.
    NO_ANSWER = (HTTPClientError, NoConnectionError, ResponseParserError, HTTPError)

from ansible_collections.amazon.aws.plugins.module_utils.common import set_collection_info
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

COLLECTION_VERSION = "1.1.0"

# https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html and, for S3,
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
THROTTLING_CODES = frozenset(
    {
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
SERVER_CODES = frozenset(
    {
        "500",
        "502",
        "503",
        "504",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "ServerInternal",
        "ServiceUnavailable",
        "Unavailable",
    }
)
# Refusals that waiting cannot cure. Anything else may be a limit on the work in flight, whose code
# AWS does
# not document.
PERMANENT_CODES = frozenset(
    {
        "AccessDenied",
        "AuthFailure",
        "Blocked",
        "CustomerKeyHasBeenRevoked",
        "ExpiredToken",
        "IncompleteSignature",
        "InvalidAction",
        "InvalidAMIID.Malformed",
        "InvalidAMIID.NotFound",
        "InvalidAMIID.Unavailable",
        "InvalidAMIName.Malformed",
        "InvalidClientTokenId",
        "InvalidParameter",
        "InvalidParameterCombination",
        "InvalidParameterValue",
        "MissingParameter",
        "OperationNotPermitted",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "TagLimitExceeded",
        "TagPolicyViolation",
        "UnauthorizedOperation",
        "UnknownParameter",
        "UnsupportedOperation",
        "ValidationError",
    }
)
# The credentials or the account itself are refused: no other call of this run can succeed either.
CREDENTIAL_CODES = frozenset(
    {
        "ExpiredToken",
        "InvalidClientTokenId",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
    }
)

_Result = t.TypeVar("_Result")


class AmiStoreError(AnsibleAWSError):
    """A failure that the user reads: what failed, for which AMI or bucket, AWS's own words last."""


class InputError(AmiStoreError):
    """The task's options are wrong by themselves; nothing was looked at or changed."""


@contextlib.contextmanager
def _trying_to(description: str) -> t.Iterator[None]:
    """Turn the errors of botocore, and of urllib3 below it, into ours.

    amazon.aws's own handlers take the description for a template since 11.4, and an object's key
    may hold braces.
    """
    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError, HTTPError) as error:
        raise AmiStoreError(message=f"Failed to {description}", exception=error) from error


def identify_collection() -> None:
    """Put the collection's name and version into the user agent, where AWS's logs show them."""
    set_collection_info(collection_name="amistore.aws", collection_version=COLLECTION_VERSION)


def client_without_retries(module: AnsibleAWSModule, service: str) -> t.Any:
    """Return a client that sends each request once.

    CreateStoreImageTask and CreateRestoreImageTask take no client token, so a repeat must come
    after a new look.
    """
    settings = dict(module.params.get("aws_config") or {})
    return module.client(service, aws_config=settings | {"retries": {"total_max_attempts": 1}})


def caller_account(module: AnsibleAWSModule) -> t.Callable[[], str | None]:
    """Return a function that asks STS once for the caller's account id, None where STS does not
    tell.
    """

    @functools.cache
    def ask() -> str | None:
        try:
            answer = call_aws("ask who calls", module.client("sts").get_caller_identity)
        except AmiStoreError:
            return None
        return str(answer["Account"])

    return ask


def call_aws(description: str, call: t.Callable[..., _Result], **params: t.Any) -> _Result:
    """Send one call, retried while AWS throttles it or fails inside.

    :param description: completes "Failed to …" in the error.
    :raises AmiStoreError: with AWS's words.
    """
    retried = AWSRetry.jittered_backoff(
        retries=5, catch_extra_error_codes=sorted(THROTTLING_CODES | SERVER_CODES)
    )(call)
    with _trying_to(description):
        return t.cast(_Result, retried(**params))


def send_once(description: str, call: t.Callable[..., _Result], **params: t.Any) -> _Result:
    """Send one call, once as far as the client's own settings go.

    :raises AmiStoreError: with AWS's words.
    """
    with _trying_to(description):
        return call(**params)


def answered_at(answer: t.Mapping[str, t.Any]) -> datetime | None:
    """Return when AWS answered, by its own clock: that of this machine may be wrong."""
    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        moment = email.utils.parsedate_to_datetime(text) if text else None
    except (TypeError, ValueError):
        return None
    if moment is not None and moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    return moment


def error_code(error: BaseException | None) -> str:
    """Return AWS's error code behind an exception, "" where AWS did not answer with one."""
    cause = getattr(error, "exception", None) or error
    response = getattr(cause, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def is_forbidden(error: BaseException) -> bool:
    """Tell whether S3 or EC2 refused the caller the right to do this."""
    return error_code(error) in (
        "403",
        "AccessDenied",
        "AuthFailure",
        "Forbidden",
        "UnauthorizedOperation",
    )


def refuses_caller(error: BaseException) -> bool:
    """Tell whether AWS refused the credentials themselves, so that no other call can succeed."""
    return error_code(error) in CREDENTIAL_CODES


def is_transient(error: AnsibleAWSError) -> bool:
    """Tell whether the same call may work a little later: throttling, a server fault, a lost
    connection.
    """
    code = error_code(error)
    if code:
        return code in THROTTLING_CODES or code in SERVER_CODES
    return is_lost(error)


def is_lost(error: AnsibleAWSError) -> bool:
    """Tell whether no answer came."""
    return isinstance(error.exception, NO_ANSWER)


def may_have_happened(error: AnsibleAWSError) -> bool:
    """Tell whether AWS may have executed the failed call: the answer got lost, or the server
    failed.
    """
    return is_transient(error) and error_code(error) not in THROTTLING_CODES


@contextlib.contextmanager
def noting_change(note: t.Callable[[], None]) -> t.Iterator[None]:
    """Note what happens inside as a change, also when its answer got lost."""
    try:
        yield
    except AnsibleAWSError as error:
        if may_have_happened(error):
            note()
        raise
    note()


def aws_words(error: BaseException) -> str:
    """Return AWS's own words, with the decode command where the message is encoded."""
    cause = getattr(error, "exception", None) or error
    response = getattr(cause, "response", None)
    if not isinstance(response, dict):
        return str(cause)
    message = str(response.get("Error", {}).get("Message", ""))
    plain, marker, encoded = message.partition("Encoded authorization failure message:")
    words = f"{error_code(error)}: {plain.strip()}"
    if error_code(error) == "400":
        words += " (S3 gives no reason to a HEAD request; expired credentials are a common one)"
    if marker:
        words += (
            " To see what is missing, run: aws sts decode-authorization-message --query"
            " DecodedMessage"
            f" --output text --encoded-message {encoded.strip()}"
        )
    return words


def error_text(error: AnsibleAWSError) -> str:
    """Return what failed, then AWS's words."""
    if error.exception is None:
        return str(error)
    return f"{error.message}: {aws_words(error)}" if error.message else aws_words(error)


class Answer(Enum):
    """How AWS answered a create request, as far as it matters for what to do next."""

    ACCEPTED = "accepted"
    THROTTLED = "throttled"
    """Not executed; the request rate is used up."""
    UNCERTAIN = "uncertain"
    """The answer got lost or the server failed: executed or not, only a new look tells."""
    BUSY = "busy"
    """Something of the same AMI or name is under way: look again."""
    EXISTS = "exists"
    """The AMI is in the bucket already, perhaps under another key: look again."""
    REFUSED = "refused"
    """A refusal that is not known to be permanent."""
    FAILED = "failed"
    """A refusal that waiting cannot cure."""
    WOULD_SUCCEED = "would succeed"
    """The answer to a DryRun."""


@dataclass(frozen=True)
class Reply:
    """The answer to a create request; `text` is the new id or key, or AWS's words."""

    answer: Answer
    text: str
    code: str = ""


def send_create(call: t.Callable[..., dict[str, t.Any]], result_key: str, **params: t.Any) -> Reply:
    """Send a create request exactly once and classify the answer.

    :param call: a method of a client without retries.
    :raises AmiStoreError: when the request could not even be made (no credentials, bad parameters).
    """
    try:
        with _trying_to(f"call {call.__name__}"):
            response = call(**params)
    except AmiStoreError as error:
        if is_lost(error):
            return Reply(Answer.UNCERTAIN, f"no answer from AWS: {error.exception}")
        if not isinstance(error.exception, ClientError):
            raise
        return Reply(_classify(error), aws_words(error), error_code(error))
    return Reply(Answer.ACCEPTED, str(response[result_key]))


def _classify(error: AmiStoreError) -> Answer:
    code = error_code(error)
    # One code for two conditions: only the text tells them apart.
    text = aws_words(error).lower()
    if code == "DryRunOperation":
        return Answer.WOULD_SUCCEED
    if code in THROTTLING_CODES:
        return Answer.THROTTLED
    if code in SERVER_CODES:
        return Answer.UNCERTAIN
    if "already in progress" in text or code == "InvalidAMIName.Duplicate":
        return Answer.BUSY
    if "already exists in the bucket" in text:
        return Answer.EXISTS
    return Answer.FAILED if code in PERMANENT_CODES else Answer.REFUSED
