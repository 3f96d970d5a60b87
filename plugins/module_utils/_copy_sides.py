# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two sides of a copy: how each is asked, and what its refusals mean to the user."""

from __future__ import annotations

import contextlib
import random
import re
import shlex
import threading
import typing as t
from dataclasses import dataclass, field

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    SERVER_CODES,
    THROTTLING_CODES,
    AmiStoreError,
    InputError,
    aws_words,
    error_code,
    is_lost,
    send_once,
)
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Clock
from ansible_collections.amistore.aws.plugins.module_utils._stored_images import (
    Bucket,
    ObjectForbiddenError,
)

SOURCE = "source"
DESTINATION = "destination"

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html: the bytes did not arrive as
# they were sent.
DAMAGE_CODES = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "InvalidDigest",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)
PASSING_CODES = frozenset(
    {"ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "429"}
)
BUSY_CODES = THROTTLING_CODES | {"429", "503", "ServiceUnavailable"}
# Not a 500 without words, which some servers answer to a HEAD that they do not know.
OUTAGE_CODES = (BUSY_CODES | SERVER_CODES | {"RequestTimeout"}) - {"500"}
EXPIRED_CODES = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
)
UNKNOWN_KEY_CODES = frozenset({"InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken"})
WRONG_REGION_CODES = frozenset(
    {"301", "307", "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"}
)
FORBIDDEN_CODES = frozenset({"403", "AccessDenied", "Forbidden"})
MISSING_CODES = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
CHANGED_CODES = frozenset({"412", "PreconditionFailed"})

MOST_TRIES = 10
# In seconds. A copy of a day is to outlast a server that restarts, a link that fails over and a
# storm of throttling; what lasts longer takes somebody to look at it.
LONGEST_OUTAGE = 15 * 60.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0

# What botocore raises when there are no credentials to send.
NO_CREDENTIALS = frozenset(
    {
        "CredentialRetrievalError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "SSOTokenLoadError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
    }
)

# What botocore raises when a body ends early, as newer releases of urllib3 tell as a lost
# connection, and when it does not have its checksum.
CUT_SHORT = "IncompleteReadError"
INCOMPLETE = frozenset({"FlexibleChecksumError", CUT_SHORT})

_R = t.TypeVar("_R")

LOOK = "look at"
GOES_ON = "Running the same task again goes on from what is there"


class CopyError(AmiStoreError):
    """One object cannot be copied; the message names side, bucket, key and what to do."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message=message)
        self.code = code
        """AWS's own, where it has answered with one."""


class StoppedError(CopyError):
    """No other object can be copied in this run either."""


class SourceChangedError(CopyError):
    """The source is not what it was when the copy began."""


class TakenError(CopyError):
    """Something appeared under the key at the destination during the copy."""


class UploadGoneError(CopyError):
    """The unfinished upload is not there any more."""


class DamagedError(CopyError):
    """Bytes did not arrive as they were sent; sending them again may help."""


class MismatchError(CopyError):
    """What was read or written is not what it should be; going on cannot cure it."""


UPLOAD_GONE = (
    "The unfinished upload has gone: a lifecycle rule that aborts incomplete uploads too soon, or"
    " somebody who aborted or completed it. Give the rule more days than a copy takes. Running the"
    " same task again starts anew"
)
KMS_RIGHTS = (
    "With a KMS key, the source takes kms:Decrypt, the destination kms:GenerateDataKey and"
    " kms:Decrypt on the key, in its policy too where another account owns it; a disabled key"
    " refuses everybody."
)
# How S3 speaks of KMS: by the right that lacks or by the key. Names of buckets, keys of objects and
# users may hold these letters as well.
_OF_KMS = re.compile(r"(?<![\w./-])kms:[A-Z][A-Za-z]+|\barn:aws[a-z-]*:kms:")
PART_ADVICE = "The server takes no part of this size: set part_size (5 to 5120 MiB)"
DAMAGE_ADVICE = f"The bytes were damaged on the way, again and again. {GOES_ON}"
ADVICE = {
    "EntityTooLarge": PART_ADVICE,
    "EntityTooSmall": PART_ADVICE,
    **dict.fromkeys(DAMAGE_CODES, DAMAGE_ADVICE),
}


@dataclass
class Failures:
    """How often one request has failed, and since when."""

    outages: int = 0
    others: int = 0
    """Those that no outage explains, such as damaged content."""
    first_at: float = 0.0
    last_at: float = 0.0

    @property
    def number(self) -> int:
        return self.outages + self.others

    def add(self, error: AmiStoreError, now: float) -> None:
        if not self.number:
            self.first_at = now
        self.last_at = now
        if is_outage(error):
            self.outages += 1
        else:
            self.others += 1


@dataclass
class Side:
    """One bucket with the client that reaches it, every call bounded by the run's deadline."""

    name: str
    client: t.Any
    bucket_name: str
    clock: Clock
    deadline: float
    owner: str | None = None
    verifies: bool = True
    """Whether the server's certificate is checked."""
    custom_endpoint: str | None = None
    halt: threading.Event = field(default_factory=threading.Event)
    """Set when the copy ends: nothing waits any longer."""
    on_throttled: t.Callable[[], None] = lambda: None
    bucket: Bucket = field(init=False)
    patient: bool = True
    """Whether outages are waited out; not any more once one was waited for in vain."""
    _fastest: float = field(default=float("inf"), init=False)
    _answered_at: float | None = field(default=None, init=False)
    """When a request has last succeeded, or was refused for good."""

    def __post_init__(self) -> None:
        owner_option = ("" if self.is_destination else "source_") + "expected_bucket_owner"
        self.bucket = Bucket(
            self.client, self.bucket_name, self.owner, self._patiently, owner_option
        )

    @property
    def region(self) -> str:
        return str(self.client.meta.region_name or "")

    @property
    def is_destination(self) -> bool:
        return self.name == DESTINATION

    @property
    def round_trip(self) -> float:
        """Seconds of the fastest call so far, 0 before the first."""
        return self._fastest if self._fastest < float("inf") else 0.0

    @property
    def encrypted_in_transit(self) -> bool:
        """Whether TLS with a checked certificate protects every byte on the way."""
        return self.url_scheme == "https" and self.verifies

    @property
    def url_scheme(self) -> str:
        return str(self.client.meta.endpoint_url).partition(":")[0]

    def takes(self, operation: str, parameter: str) -> bool:
        """Tell whether the installed botocore knows a parameter."""
        shape = self.client.meta.service_model.operation_model(operation).input_shape
        return parameter in shape.members

    def call(
        self, what: str, method: str, key: str = "", for_key: str = "", **params: t.Any
    ) -> t.Any:
        """Send one call, again while it fails for a passing reason and time is left.

        :param what: completes "cannot …" in the error, such as "look at".
        :param for_key: what the error names where the call itself takes no key.
        :raises CopyError: says what to do.
        """
        return self.retry(what, key or for_key, lambda: self.send(what, method, key, **params))

    def send(self, what: str, method: str, key: str = "", **params: t.Any) -> t.Any:
        """Send one call once."""
        return self.send_with(what, getattr(self.client, method), key, **params)

    def send_with(
        self, what: str, call: t.Callable[..., t.Any], key: str = "", **params: t.Any
    ) -> t.Any:
        """Send one call once, through a function of one's own."""
        owner = {"ExpectedBucketOwner": self.owner} if self.owner else {}
        began = self.clock.now()
        answer = send_once(
            f"{what} {self.bucket.url(key)}",
            call,
            Bucket=self.bucket.name,
            **({"Key": key} if key else {}),
            **owner,
            **params,
        )
        self._fastest = min(self._fastest, self.clock.now() - began)
        return answer

    def may_list(self, key: str) -> bool:
        """Tell whether the credentials are good for a listing, asked once."""
        try:
            self.send("list", "list_objects_v2", Prefix=key, MaxKeys=1)
        except AmiStoreError:
            return False
        return True

    def _patiently(self, description: str, call: t.Callable[..., t.Any], **params: t.Any) -> t.Any:
        return self._again(lambda: send_once(description, call, **params))

    def retry(self, what: str, key: str, work: t.Callable[[], _R]) -> _R:
        """Do the work, again while it fails for a passing reason and time is left.

        :raises CopyError: says what to do.
        """
        with self.explaining(what, key):
            return self._again(work)

    @contextlib.contextmanager
    def explaining(self, what: str, key: str) -> t.Iterator[None]:
        """Turn what S3 refuses into what the user reads."""
        try:
            yield
        except (CopyError, InputError):
            raise
        except AmiStoreError as error:
            if error.exception is None and not isinstance(error, ObjectForbiddenError):
                raise CopyError(f"{self.name}: {error.message}") from error
            raise explain(self, what, key, error) from error

    def _again(self, work: t.Callable[[], _R]) -> _R:
        failures = Failures()
        while True:
            try:
                answer = work()
            except AmiStoreError as error:
                self._refuse_to_go_on(error, failures)
                self._pause(failures.number, error)
            else:
                self._answered_at = self.clock.now()
                return answer

    def _refuse_to_go_on(self, error: AmiStoreError, failures: Failures) -> None:
        """Count a failure, and raise it where the request is not to be sent again."""
        now = self.clock.now()
        if not is_passing(error):
            if error_code(error):
                self._answered_at = now
            raise error
        waits_until = self._waits_until(error, failures)
        failures.add(error, now)
        # A few tries may take long by themselves, where a large part gets lost at its end.
        if failures.others >= MOST_TRIES:
            raise error
        if failures.outages >= MOST_TRIES and now >= (waits_until or now):
            if waits_until:
                self.patient = False
            raise error
        if error_code(error) in BUSY_CODES:
            self.on_throttled()

    def _waits_until(self, error: AmiStoreError, failures: Failures) -> float | None:
        """Return until when a request that has failed before may fail again.

        | the side                                  | it may                                   |
        |-------------------------------------------|------------------------------------------|
        | was waited for in vain in this run        | be tried a few times                     |
        | has never answered: it may not exist      | be tried a few times                     |
        | asks to slow down                         | fail for 15 minutes                      |
        | answers others: it is this request only   | be tried a few times                     |
        | has answered before, and answers nobody   | fail for 15 minutes from the last answer |

        :return: None for a few times. What was answered before its last failure was on its way.
        """
        answered_at = self._answered_at
        if not self.patient or answered_at is None:
            return None
        if error_code(error) in BUSY_CODES:
            return failures.first_at + LONGEST_OUTAGE
        if answered_at > failures.last_at:
            return None
        return max(failures.first_at, answered_at) + LONGEST_OUTAGE

    def _pause(self, tries: int, error: AmiStoreError) -> None:
        """Wait before the next try, by chance, since the other parts wait as well."""
        longest = min(FIRST_PAUSE * 2.0 ** (tries - 1), LONGEST_PAUSE)
        seconds = longest * (0.5 + random.random() / 2.0)
        if self.halt.is_set() or self.clock.now() + seconds >= self.deadline:
            raise error
        self.clock.sleep(seconds)


def is_passing(error: AmiStoreError) -> bool:
    """Tell whether the same request may work a little later."""
    if isinstance(error, CopyError):
        return isinstance(error, DamagedError)
    if type(error.exception).__name__ in INCOMPLETE:
        return True
    code = error_code(error)
    if code:
        return code in THROTTLING_CODES | SERVER_CODES | PASSING_CODES | DAMAGE_CODES
    # S3 may answer 200 and fail afterwards; older releases of botocore then keep no code.
    return is_lost(error) or isinstance(getattr(error.exception, "response", None), dict)


def is_outage(error: AmiStoreError) -> bool:
    """Tell whether the server, or the way to it, fails whatever is asked, and not this request."""
    code = error_code(error)
    if code:
        return code in OUTAGE_CODES
    return is_lost(error) or type(error.exception).__name__ == CUT_SHORT


def explain(side: Side, what: str, key: str, error: AmiStoreError) -> CopyError:
    """Return the failure as the user reads it: side, bucket and key, AWS's words, what to do."""
    code, words = error_code(error), aws_words(error)
    if isinstance(error, ObjectForbiddenError):
        code = "403"
    kind, advice = _refused_run(side, code, error) or _refused_object(side, what, key, code, words)
    return kind(
        f"{side.name} {side.bucket.url(key)}: cannot {what} it: {words.rstrip('.')}. {advice}", code
    )


def _refused_run(side: Side, code: str, error: AmiStoreError) -> tuple[type[CopyError], str] | None:
    """Return what stops every object, None for what is wrong with one."""
    advice = ""
    if type(error.exception).__name__ in NO_CREDENTIALS:
        advice = f"There are no usable credentials for the {side.name}: set {_credentials(side)}"
    elif code in EXPIRED_CODES:
        advice = (
            f"The credentials of the {side.name} have expired. Renew them ({_credentials(side)})."
            f" {GOES_ON}"
        )
    elif code in UNKNOWN_KEY_CODES or code == "SignatureDoesNotMatch":
        advice = (
            f"The {side.name} does not accept these credentials: check {_credentials(side)}, and"
            f" that they are of the partition of {_region(side)}"
        )
    elif code in WRONG_REGION_CODES:
        advice = f"The bucket is in another Region: set {_region(side)} to the bucket's Region"
    elif code == "NoSuchBucket":
        advice = f"The bucket of the {side.name} does not exist: check its name"
    return (StoppedError, advice) if advice else None


def _refused_object(
    side: Side, what: str, key: str, code: str, words: str
) -> tuple[type[CopyError], str]:
    if code in CHANGED_CODES:
        return (TakenError if side.is_destination else SourceChangedError), _changed(side)
    if code in MISSING_CODES:
        kind = CopyError if side.is_destination else SourceChangedError
        return kind, f"The object is not there any more. {GOES_ON}, once it is back"
    if code == "NoSuchUpload":
        return UploadGoneError, UPLOAD_GONE
    if code == "InvalidObjectState":
        return CopyError, thaw_advice(side, key)
    if code == "400" and what == LOOK:
        return CopyError, _after_400(side, key)
    if code.startswith("KMS.") or _OF_KMS.search(words):
        return CopyError, f"{KMS_RIGHTS} {GOES_ON}"
    if code in FORBIDDEN_CODES:
        # A refused look has no words, and a checksum cannot be looked at without the key.
        return CopyError, f"{_rights(side)} {KMS_RIGHTS} {GOES_ON}"
    return CopyError, ADVICE.get(code, GOES_ON)


def _after_400(side: Side, key: str) -> str:
    """Return what to do about a 400, for which S3 gives no reason in its answer to a HEAD."""
    if not key or not side.may_list(key):
        return f"Renew the credentials of the {side.name}: {_credentials(side)}. {GOES_ON}"
    way_out = (
        "delete it or give another prefix"
        if side.is_destination
        else "have its owner write it anew with SSE-S3 or SSE-KMS"
    )
    return (
        f"The credentials of the {side.name} work: they have just listed the key. The object may be"
        " encrypted with a key that only its writer has (SSE-C); without that key nobody can look"
        f" at it or copy it: {way_out}"
    )


def thaw_advice(side: Side, key: str) -> str:
    return (
        "The object is archived. Bring it back first: aws s3api restore-object --bucket"
        f" {side.bucket.name} --key {shlex.quote(key)} --restore-request Days=7, and run the task"
        " again when S3 has done so"
    )


def _credentials(side: Side) -> str:
    if side.is_destination:
        return "access_key, secret_key, session_token or profile"
    return "source_access_key, source_secret_key, source_session_token or source_profile"


def _region(side: Side) -> str:
    return "region" if side.is_destination else "source_region"


def _changed(side: Side) -> str:
    if side.is_destination:
        return "Something else was written under this key meanwhile. Look at it, or set overwrite"
    return "The object was overwritten during the copy. Running the same task again copies the new"


def _rights(side: Side) -> str:
    if side.is_destination:
        return (
            "Needed are s3:PutObject, s3:GetObject, s3:PutObjectTagging, s3:GetObjectTagging,"
            " s3:AbortMultipartUpload and s3:ListMultipartUploadParts on the key, and"
            " s3:ListBucket and s3:ListBucketMultipartUploads on the bucket; s3:DeleteObject where"
            " overwrite removes a manifest."
        )
    return (
        "Needed are s3:GetObject and s3:GetObjectTagging on the key, and s3:ListBucket on the"
        " bucket."
    )
