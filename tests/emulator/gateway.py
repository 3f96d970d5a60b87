# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a request: count, limit, fault, authorize, then moto."""

from __future__ import annotations

import io
import logging
import traceback
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import run_wsgi_app

from . import faults, objects, partitions
from .answers import Answer, Error, error_answer
from .control import Control
from .ec2_targets import targets
from .faults import Target
from .journal import Entry
from .model import Refused
from .scenario import Fault
from .wire import Request, read
from .world import World

logger = logging.getLogger("emulator")

DROPPED = "dropped"
_SELF_AUTHORIZING = {"CreateStoreImageTask", "CreateRestoreImageTask"}
_STATUS_OF_REFUSAL = {"UnauthorizedOperation": 403, "RequestLimitExceeded": 503}
# EC2 answers a dry run with 412; moto with 400.
_DRY_RUN = b"<Code>DryRunOperation</Code>"


class Gateway:
    """Answers each request as a whole; None stands for a connection that is cut."""

    def __init__(self, world: World, control: Control) -> None:
        self._world = world
        self._control = control
        self._moto = DomainDispatcherApplication(create_backend_app)

    def now(self) -> float:
        """Emulated time in seconds since the epoch."""
        return self._world.now()

    def answer(self, environ: dict[str, Any]) -> Answer | None:
        if environ["PATH_INFO"].startswith("/emulator"):
            body = _take_body(environ)
            with self._world.lock:
                return self._control.answer(environ, body)
        early = read(environ, b"")
        fault = self._fault(early) if early.service == "s3" else None
        if fault and fault.drop == "middle" and early.body_size:
            self._break_upload(early, environ)
            return None
        body = _take_body(environ, flip=fault is not None and fault.body == "flipped")
        with self._world.lock:
            return self._answer_whole(environ, body, fault)

    def _fault(self, request: Request) -> Fault | None:
        target = Target(
            request.action, request.bucket, request.key, request.access_key, request.image_ids
        )
        with self._world.lock:
            return self._world.faults.pick(target)

    def _break_upload(self, request: Request, environ: dict[str, Any]) -> None:
        """Take half of the body, and do nothing with it."""
        half = len(environ["wsgi.input"].read(request.body_size // 2))
        with self._world.lock:
            self._world.journal.add(self._entry(request, None, half))

    def _answer_whole(
        self, environ: dict[str, Any], body: bytes, fault: Fault | None
    ) -> Answer | None:
        self._world.settle()
        request = read(environ, body)
        self._world.request = request
        try:
            answer = self._answer(request, environ, fault)
        finally:
            self._world.request = None
        # What this request did, such as deleting a snapshot, may end a task at once.
        self._world.settle()
        self._world.journal.add(self._entry(request, answer, len(body)))
        return answer

    def _answer(
        self, request: Request, environ: dict[str, Any], fault: Fault | None
    ) -> Answer | None:
        foreign = partitions.refusal(request)
        if foreign:
            return error_answer(request, Error(*foreign))
        if request.service == "ec2" and not self._within_rate(request):
            return error_answer(
                request, Error("RequestLimitExceeded", "Request limit exceeded.", 503)
            )
        if request.service != "s3":
            fault = self._fault(request)
        if fault is None:
            return self._authorized(request, environ)
        if fault.event:
            objects.let_happen(fault.event, request.bucket, request.key)
        if fault.drop == "before":
            return None
        if fault.error:
            code, status = faults.answer_of(fault, request.service)
            message = fault.message or f"The emulator was told to answer {code}."
            return error_answer(request, Error(code, message, status))
        answer = self._authorized(request, environ)
        return None if fault.drop == "after" else faults.spoiled(fault, answer)

    def _within_rate(self, request: Request) -> bool:
        rate = self._world.scenario.rate(request.action)
        if rate is None:
            return True
        key = (self._world.account, request.region, request.action)
        return self._world.rates.take(key, rate)

    def _authorized(self, request: Request, environ: dict[str, Any]) -> Answer:
        world = self._world
        try:
            error = self._refusal(request)
        except Refused as refused:
            error = Error(refused.code, refused.message, 403)
        if error:
            return error_answer(request, error)
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = world.account
        return self._corrected(request, self._from_moto(request, environ))

    def _refusal(self, request: Request) -> Error | None:
        """Why the caller may not send this. Raises Refused for EC2's refusals."""
        world = self._world
        if request.service == "s3":
            return world.access.s3_error(request, world.caller)
        if request.service != "ec2":
            return world.access.service_error(request, world.caller)
        if request.action not in _SELF_AUTHORIZING:
            backend = world.backend(world.account, request.region)
            action = f"ec2:{request.action}"
            world.access.require_ec2(request, world.caller, action, targets(backend, request))
        return None

    def _from_moto(self, request: Request, environ: dict[str, Any]) -> Answer:
        try:
            chunks, status, headers = run_wsgi_app(self._moto, environ, buffered=True)
        except NotImplementedError:
            message = f"The action {request.action} is not valid for this web service."
            return error_answer(request, Error("InvalidAction", message))
        except Exception as error:
            logger.error("%s failed\n%s", request.action, traceback.format_exc())
            return error_answer(request, Error("InternalError", repr(error), 500))
        return Answer(int(status.split()[0]), tuple(headers), b"".join(chunks))

    def _corrected(self, request: Request, answer: Answer) -> Answer:
        if request.service == "ec2" and answer.status == 400:
            return self._with_status(answer)
        if request.action == "HeadBucket" and answer.status < 400:
            bucket: Any = objects.find_bucket(request.bucket)
            return answer.with_header("x-amz-bucket-region", bucket.region_name)
        if request.method != "HEAD" and answer.status not in (204, 304):
            return answer.with_header("Content-Length", str(len(answer.body)))
        return answer

    @staticmethod
    def _with_status(answer: Answer) -> Answer:
        if _DRY_RUN in answer.body:
            return Answer(412, answer.headers, answer.body)
        status = _STATUS_OF_REFUSAL.get(answer.outcome(), 400)
        return Answer(status, answer.headers, answer.body)

    def _entry(self, request: Request, answer: Answer | None, received: int) -> Entry:
        return Entry(
            time=round(self._world.now(), 3),
            service=request.service,
            action=request.action,
            account=self._world.account_of(request.access_key),
            region=request.region,
            image_ids=request.image_ids,
            bucket=request.bucket,
            key=request.key,
            dry_run=request.dry_run,
            status=answer.status if answer else 0,
            outcome=answer.outcome() if answer and answer.cut_at is None else DROPPED,
            received=received,
            sent=_sent(request, answer),
            part=request.params.get("partNumber", ""),
            upload_id=request.params.get("uploadId", ""),
            version=request.params.get("versionId", ""),
            extent=request.headers.get("range", "")
            or request.headers.get("x-amz-copy-source-range", ""),
        )


def _sent(request: Request, answer: Answer | None) -> int:
    """How much of a body goes out: none to HEAD."""
    if answer is None or request.method == "HEAD":
        return 0
    return len(answer.body[: answer.cut_at])


def _take_body(environ: dict[str, Any], flip: bool = False) -> bytes:
    """Read the whole body, so that the connection can be used again, and put it back."""
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        body = stream.read()
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    else:
        body = stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    if flip:
        body = faults.flipped(body)
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    return bytes(body)
