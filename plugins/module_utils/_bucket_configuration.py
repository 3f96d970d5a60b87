# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The S3 side of a bucket's settings: one bucket, read and written part by part."""

from __future__ import annotations

import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

from ansible_collections.amistore.aws.plugins.module_utils._aws import (
    AmiStoreError,
    InputError,
    call_aws,
    error_code,
    is_forbidden,
)

# A new bucket, or one whose settings were just changed, may not take the next change at once; nor
# is the name of a bucket free while somebody else makes or deletes it.
# Object Lock is refused until versioning, which it needs, is on everywhere.
_BUSY_CODES = ("InvalidBucketState", "NoSuchBucket", "OperationAborted")


def _patient(call: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    """Return the same call, repeated while the bucket is busy."""
    again = AWSRetry.jittered_backoff(retries=8, catch_extra_error_codes=list(_BUSY_CODES))
    return t.cast(t.Callable[..., t.Any], again(call))


class BucketConfiguration:
    """One bucket, every call to which carries the expected owner."""

    def __init__(self, client: t.Any, name: str, expected_owner: str | None = None) -> None:
        self._client = client
        self.name = name
        self._expected_owner = expected_owner
        self._is_new = False

    @property
    def region(self) -> str:
        """The Region that the calls go to."""
        return str(self._client.meta.region_name)

    @property
    def partition(self) -> str:
        """The partition of that Region."""
        return str(self._client.meta.partition)

    @property
    def arn(self) -> str:
        """The bucket's ARN."""
        return f"arn:{self.partition}:s3:::{self.name}"

    def exists(self) -> bool:
        """Tell whether the bucket exists, and prove that it is ours to change.

        :raises InputError: when it is in another Region or belongs to somebody else.
        """
        try:
            answer = call_aws(f"look at {self}", self._client.head_bucket, **self._address())
        except AmiStoreError as error:
            if error_code(error) in ("404", "NoSuchBucket"):
                return False
            self._check_region(getattr(error.exception, "response", None) or {})
            if not is_forbidden(error):
                raise
            whose = f"account {self._expected_owner}" if self._expected_owner else "this account"
            raise InputError(
                f"{self} exists, but S3 answers 403: it does not belong to {whose}, or the caller"
                " lacks s3:ListBucket. Bucket names are unique in a partition; nothing was changed."
            ) from error
        self._check_region(answer)
        return True

    def _check_region(self, answer: t.Mapping[str, t.Any]) -> None:
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        actual = headers.get("x-amz-bucket-region")
        if actual and actual != self.region:
            raise InputError(
                f"{self} is in Region {actual}, the task runs in {self.region}. AWS stores and"
                f" restores only through a bucket of the same Region: set region: {actual}, or use"
                f" a bucket in {self.region}. Nothing was changed."
            )

    def create(self) -> bool:
        """Create the bucket, without ACLs from the start; tell whether it was not there yet."""
        params: dict[str, t.Any] = {"Bucket": self.name, "ObjectOwnership": "BucketOwnerEnforced"}
        if self.region != "us-east-1":
            params["CreateBucketConfiguration"] = {"LocationConstraint": self.region}
        self._is_new = True
        try:
            call_aws(f"create {self}", _patient(self._client.create_bucket), **params)
        except AmiStoreError as error:
            if error_code(error) != "BucketAlreadyOwnedByYou":
                raise
            return False
        return True

    def read(self, what: str, method: str, *missing: str, **params: t.Any) -> t.Any:
        """Return S3's answer, {} where it says that there is no such setting.

        :param missing: the codes that say so.
        """
        call = getattr(self._client, method)
        address = {
            name: value for name, value in self._address().items() if self.takes(method, name)
        }
        try:
            return call_aws(
                f"read the {what} of {self}",
                _patient(call) if self._is_new else call,
                **address,
                **params,
            )
        except AmiStoreError as error:
            if error_code(error) in missing:
                return {}
            raise

    def write(self, what: str, method: str, **params: t.Any) -> None:
        """Write one setting."""
        call = _patient(getattr(self._client, method))
        call_aws(f"set the {what} of {self}", call, **self._address(), **params)

    def takes(self, method: str, param: str) -> bool:
        """Tell whether the installed botocore knows a parameter of a call."""
        operation = self._client.meta.method_to_api_mapping[method]
        shape = self._client.meta.service_model.operation_model(operation).input_shape
        return param in shape.members

    def other(self, name: str, account: str | None) -> BucketConfiguration:
        """Return another bucket of the same owner, which is the account if no other is expected."""
        return BucketConfiguration(self._client, name, self._expected_owner or account)

    def _address(self) -> dict[str, str]:
        owner = {"ExpectedBucketOwner": self._expected_owner} if self._expected_owner else {}
        return {"Bucket": self.name, **owner}

    def __str__(self) -> str:
        return f"bucket '{self.name}'"


class AccountConfiguration:
    """The S3 settings of a whole account."""

    def __init__(self, client: t.Any, account: str) -> None:
        self._client = client
        self._account = account

    def read(self, what: str, method: str, *missing: str) -> t.Any:
        """Return S3's answer, {} where it says that there is no such setting."""
        call = getattr(self._client, method)
        try:
            return call_aws(f"read the {what} of {self}", call, AccountId=self._account)
        except AmiStoreError as error:
            if error_code(error) in missing:
                return {}
            raise

    def write(self, what: str, method: str, **params: t.Any) -> None:
        """Write one setting."""
        call = getattr(self._client, method)
        call_aws(f"set the {what} of {self}", call, AccountId=self._account, **params)

    def __str__(self) -> str:
        return f"account {self._account}"
