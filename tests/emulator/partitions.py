# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The partitions of AWS, of which an emulator serves one: two of them share nothing but the rules.

https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .wire import Request

VARIABLE = "AMISTORE_EMULATED_PARTITION"


@dataclass(frozen=True)
class Partition:
    """A partition with the Region, account and access key that its emulator starts with.

    Regions begin with `prefix`; one that begins with none of them is of the commercial partition.
    """

    name: str
    prefix: str
    region: str
    account: str
    access_key: str
    suffix: str = "amazonaws.com"


# Access keys are no credentials: the emulator checks no signatures.
PARTITIONS = {
    partition.name: partition
    for partition in (
        Partition("aws", "", "us-east-1", "123456789012", "EMULATEDACCESSKEY001"),
        Partition("aws-us-gov", "us-gov-", "us-gov-west-1", "210987654321", "EMULATEDGOVCLOUDKEY1"),
        Partition(
            "aws-cn",
            "cn-",
            "cn-north-1",
            "321098765432",
            "EMULATEDCHINAKEY0001",
            "amazonaws.com.cn",
        ),
    )
}


@cache
def served() -> Partition:
    """The partition that this process stands for."""
    return PARTITIONS[os.environ.get(VARIABLE, "aws")]


def _partition_of(region: str) -> Partition:
    fitting = (p for p in PARTITIONS.values() if p.prefix and region.startswith(p.prefix))
    return next(fitting, PARTITIONS["aws"])


def suffix_of(region: str) -> str:
    return _partition_of(region).suffix


def refusal(request: Request) -> tuple[str, str, int] | None:
    """Why a request does not belong here: code, message and status of what AWS answers.

    A partition knows no access key of another one. Elsewhere than in the commercial partition,
    where tests use Regions of all kinds, it has no Region of another one either.
    """
    here = served()
    keys = {partition.access_key for partition in PARTITIONS.values()} - {here.access_key}
    if request.access_key in keys:
        return _UNKNOWN_KEY.get(request.service, _UNKNOWN_TOKEN)
    elsewhere = request.region and _partition_of(request.region) is not here
    if here.name != "aws" and elsewhere:
        return _WRONG_REGION.get(request.service, _UNKNOWN_TOKEN)
    return None


_UNKNOWN_TOKEN = (
    "InvalidClientTokenId",
    "The security token included in the request is invalid.",
    403,
)
_UNKNOWN_KEY = {
    "ec2": (
        "AuthFailure",
        "AWS was not able to validate the provided access credentials",
        401,
    ),
    "s3": (
        "InvalidAccessKeyId",
        "The AWS Access Key Id you provided does not exist in our records.",
        403,
    ),
}
_WRONG_REGION = {
    "ec2": ("AuthFailure", "Credential should be scoped to a valid region.", 401),
    "s3": (
        "AuthorizationHeaderMalformed",
        "The authorization header is malformed; the region is wrong",
        400,
    ),
}
