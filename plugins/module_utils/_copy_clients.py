# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clients of a copy: the usual connection options reach the destination, their `source_` twins
the source.
"""

from __future__ import annotations

import contextlib
import functools
import typing as t
import urllib.parse

with contextlib.suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore.config
    import botocore.loaders
    import botocore.session
    from botocore.exceptions import BotoCoreError
    from botocore.regions import EndpointResolver

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.amistore.aws.plugins.module_utils._aws import NO_ANSWER, InputError
from ansible_collections.amistore.aws.plugins.module_utils._copy_inputs import CopyOptions
from ansible_collections.amistore.aws.plugins.module_utils._copy_sides import (
    DESTINATION,
    SOURCE,
    Side,
    StoppedError,
)
from ansible_collections.amistore.aws.plugins.module_utils._copy_stretches import MOST_STRETCHES
from ansible_collections.amistore.aws.plugins.module_utils._inputs import given
from ansible_collections.amistore.aws.plugins.module_utils._pacing import Clock

KEY_OPTIONS = ("source_access_key", "source_secret_key", "source_session_token")


def source_options() -> dict[str, t.Any]:
    """Return the argument spec of the options that reach the source."""
    return {
        "source_region": {"type": "str"},
        "source_profile": {"type": "str"},
        "source_access_key": {"type": "str", "no_log": False},
        "source_secret_key": {"type": "str", "no_log": True},
        "source_session_token": {"type": "str", "no_log": True},
        "source_endpoint_url": {"type": "str"},
        "source_aws_ca_bundle": {"type": "path"},
        "source_validate_certs": {"type": "bool"},
    }


def sides(
    module: AnsibleAWSModule, options: CopyOptions, clock: Clock, deadline: float
) -> tuple[Side, Side]:
    """Return the source and the destination.

    :raises InputError: for source options that do not go together.
    """
    params = module.params
    config = client_config(params, options.concurrency * MOST_STRETCHES)
    destination = Side(
        DESTINATION,
        module.client("s3", aws_config=config),
        options.bucket,
        clock,
        deadline,
        owner=options.expected_bucket_owner,
        verifies=bool(params["validate_certs"]),
        custom_endpoint=given(params["endpoint_url"]),
    )
    send_at_once(destination.client)
    connection = source_connection(params)
    verify = connection.get("verify", params["validate_certs"])
    source = Side(
        SOURCE,
        module.client("s3", aws_config=config, **connection),
        options.source_bucket,
        clock,
        deadline,
        owner=options.source_expected_bucket_owner,
        verifies=bool(verify),
        custom_endpoint=given(connection.get("endpoint", params["endpoint_url"])),
    )
    return source, destination


def endpoint_beside_aws(client: t.Any) -> str | None:
    """Return host, port and path that a client sends its requests to, None where that is AWS.

    Besides options, a profile or the environment may give it. The endpoints of AWS differ by Region
    and network; behind all of those of a partition, the name of a bucket means the same bucket.
    """
    url = urllib.parse.urlsplit(str(client.meta.endpoint_url))
    if (url.hostname or "").endswith(_suffixes_of_aws()):
        return None
    usual_port = 443 if url.scheme == "https" else 80
    return f"{url.hostname}:{url.port or usual_port}{url.path.rstrip('/')}"


@functools.cache
def _suffixes_of_aws() -> tuple[str, ...]:
    """Return what the names of AWS's own hosts end with, in all partitions."""
    resolver = EndpointResolver(botocore.loaders.create_loader().load_data("endpoints"))
    return tuple(
        f".{suffix}"
        for partition in resolver.get_available_partitions()
        for tags in ([], ["dualstack"])
        if (suffix := resolver.get_partition_dns_suffix(partition, tags))
    )


def send_at_once(client: t.Any) -> None:
    """Let a client send bodies without asking first whether they are welcome.

    botocore asks with `Expect: 100-continue`, which takes a round trip for each part.
    """
    asking = _Asking()
    # The event of every request that comes after botocore has added the header.
    client.meta.events.register("before-sign.s3", asking.begin, unique_id="amistore-ask")
    # Ahead of botocore's own handlers, which may raise.
    client.meta.events.register_first("needs-retry.s3", asking.end, unique_id="amistore-hear")


class _Asking:
    """Asks only while the last request got no answer.

    A server that closes the connection in the middle of a body may have refused it, with words that
    are lost then; asked first, it says them before any body is sent.
    """

    def __init__(self) -> None:
        self._asks = False

    def begin(self, request: t.Any, **_context: t.Any) -> None:
        if not self._asks:
            del request.headers["Expect"]

    def end(self, caught_exception: Exception | None = None, **_context: t.Any) -> None:
        self._asks = isinstance(caught_exception, NO_ANSWER)


def client_config(params: t.Mapping[str, t.Any], connections: int) -> dict[str, t.Any]:
    """Return botocore's settings for both sides, on top of those of the user.

    Each request is sent once, since the copy itself decides what is sent again. Bodies are not
    hashed for the signature: the checksum that goes with each part is signed, and covers it.
    """
    given_config = dict(params.get("aws_config") or {})
    config = {
        **given_config,
        "max_pool_connections": connections,
        "retries": {"total_max_attempts": 1},
        "s3": {**(given_config.get("s3") or {}), "payload_signing_enabled": False},
        "tcp_keepalive": True,
    }
    # Newer releases would make a second sum of everything that is read.
    if "response_checksum_validation" in botocore.config.Config.OPTION_DEFAULTS:
        config.setdefault("response_checksum_validation", "when_required")
    return config


def source_connection(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what differs from the connection to the destination, as AnsibleAWSModule.client takes
    it.

    :raises InputError: for source options that do not go together.
    """
    profile, region = given(params["source_profile"]), given(params["source_region"])
    keys = [given(params[option]) for option in KEY_OPTIONS]
    if profile and any(keys):
        raise InputError("source_profile and source_access_key are both given: use one of them.")
    if any(keys) and not (keys[0] and keys[1]):
        raise InputError(
            "source_access_key and source_secret_key go together, with source_session_token where"
            " the credentials are temporary."
        )
    connection: dict[str, t.Any] = {}
    if profile or any(keys):
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        connection = {**dict(zip(names, keys)), "profile_name": profile}
    if region or profile:
        connection["region"] = region or _region_of(str(profile))
    if given(params["source_endpoint_url"]) or region or connection:
        connection["endpoint"] = given(params["source_endpoint_url"])
    bundle, validate = params["source_aws_ca_bundle"], params["source_validate_certs"]
    if bundle or validate is not None:
        connection["verify"] = bundle if bundle and validate is not False else validate is not False
    return {name: value for name, value in connection.items() if name != "region" or value}


def _region_of(profile: str) -> str | None:
    """Return the Region that a profile itself gives, whatever the environment says for the other
    side.
    """
    try:
        return given(botocore.session.Session(profile=profile).get_scoped_config().get("region"))
    except BotoCoreError as error:
        raise InputError(f"source_profile {profile!r} cannot be used: {error}") from error


def check_bucket(side: Side) -> None:
    """Prove that the side's bucket exists, is where the client looks, and has the expected owner.

    A refusal (403) proves nothing and is left to the calls on the objects.

    :raises InputError: names the side and the fix.
    :raises StoppedError: the bucket cannot be looked at.
    """
    try:
        with side.explaining("look at", ""):
            region, may_look = side.bucket.region_of_bucket()
            if side.owner and may_look:
                side.bucket.check_owner()
    except InputError as error:
        raise InputError(f"{side.name}: {error.message}") from error
    option = "region" if side.is_destination else "source_region"
    if region is not None and region != side.region and side.custom_endpoint is None:
        raise StoppedError(
            f"{side.name} {side.bucket.url()} is in Region {region}, the task looks for it in"
            f" {side.region}: set {option}: {region}. Nothing was changed"
        )
