# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ec2_ami_store_copy with credentials of a profile that end, and are renewed, during a copy.

The clients are those that the module makes of its options. Their requests are signed by botocore,
with what its credentials are at that moment, and end at the S3 in memory.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from botocore.awsrequest import create_request_object
from botocore.exceptions import ClientError

from ansible_collections.amistore.aws.plugins.modules import ec2_ami_store_copy
from tests.unit.cloud import REGION, Cloud, Wire
from tests.unit.module_runner import Runner
from tests.unit.relay import BODY, KEY, PART
from tests.unit.s3_in_memory import SOURCE_BUCKET, TARGET_BUCKET, S3InMemory, StoredThing

MODULE = ec2_ami_store_copy
CLIENT = AnsibleAWSModule.client

LASTING_KEY = "AKIALASTING"
RENEWED_KEY = "AKIARENEWED"
# botocore renews what has less than ten minutes left, here with each request.
PROGRAM = f"""
import datetime, json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
number = len(list(folder.iterdir()))
(folder / str(number)).touch()
end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)
print(json.dumps({{
    "Version": 1,
    "AccessKeyId": f"{RENEWED_KEY}{{number}}",
    "SecretAccessKey": f"secret{{number}}",
    "SessionToken": f"token{{number}}",
    "Expiration": end.isoformat(),
}}))
"""


class Gate:
    """Refuses what is signed with keys that have expired.

    They do so as soon as the first part is on its way: all that the program has given until then.
    """

    def __init__(self, part: str) -> None:
        self._part = re.compile(part)
        self._lock = threading.Lock()
        self.expired: set[str] = set()
        self.all_keys: list[str] = []
        self.keys_of_parts: list[str] = []
        """What the requests for parts of the object were signed with, in their order."""

    def check(self, model: Any, params: Any, request_signer: Any, **_context: Any) -> None:
        """Sign a request as botocore does before it sends it."""
        with self._lock:
            request = create_request_object(params)
            request_signer.sign(model.name, request)
            [key] = re.findall(r"Credential=(\w+)/", request.headers["Authorization"])
            if key in self.expired:
                error = {"Code": "ExpiredToken", "Message": "The provided token has expired."}
                answer = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}
                raise ClientError(answer, model.name)
            self.all_keys.append(key)
            if self._part.match(f"{model.name} {request.url}"):
                self.keys_of_parts.append(key)
                self.expired = self.expired or {
                    given for given in self.all_keys if given.startswith(RENEWED_KEY)
                }


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One profile with keys that last, one whose program gives other keys each time."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    program, calls, config = tmp_path / "program.py", tmp_path / "calls", tmp_path / "config"
    program.write_text(PROGRAM)
    calls.mkdir()
    process = shlex.join([sys.executable, "-S", str(program), str(calls)])
    config.write_text(
        f"[profile renewed]\nregion = {REGION}\ncredential_process = {process}\n"
        f"[profile lasting]\nregion = {REGION}\n"
        f"aws_access_key_id = {LASTING_KEY}\naws_secret_access_key = secret\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"source_profile": "renewed", "profile": "lasting"}, rf"GetObject .*{KEY}"),
        ({"source_profile": "lasting", "profile": "renewed"}, r"UploadPart .*partNumber=\d\b"),
    ],
    ids=["source", "destination"],
)
def test_a_side_whose_keys_expire_during_a_copy_goes_on_with_new_ones(
    run: Runner,
    wire: Wire,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, str],
    part: str,
) -> None:
    gate = Gate(part)

    def client(module: AnsibleAWSModule, service: str, **extra: Any) -> Any:
        made = CLIENT(module, service, **extra)
        wire.lead_here(made)
        made.meta.events.register_first("before-call.*.*", gate.check)
        return made

    monkeypatch.setattr(AnsibleAWSModule, "client", client)
    s3 = S3InMemory(cloud)
    s3.put(KEY, StoredThing.in_parts(BODY, PART))
    result = run(
        source_bucket=SOURCE_BUCKET,
        bucket=TARGET_BUCKET,
        object_keys=[KEY],
        method="streaming",
        **options,
    )
    assert not result.failed, result["msg"]
    assert (result.image["state"], result.image["parts_sent"]) == ("Copied", 4)
    assert s3.get(KEY).body == BODY
    first, *later = gate.keys_of_parts
    assert first in gate.expired
    assert len(later) >= 3
    assert all(key.startswith(RENEWED_KEY) for key in later)
    assert gate.expired.isdisjoint(later)
    assert LASTING_KEY in gate.all_keys
