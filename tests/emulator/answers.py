# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of our own making: AWS's error documents and the control endpoint's JSON."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field, replace
from typing import Any
from xml.sax.saxutils import escape

from .journal import ACCEPTED
from .wire import Request

_CODE = re.compile(rb"<Code>([^<]+)</Code>")
_REQUEST_ID = "x-amzn-RequestId"


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer; `cut_at` is where the connection ends within its body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cut_at: int | None = None

    def with_header(self, name: str, value: str) -> Answer:
        kept = tuple(h for h in self.headers if h[0].lower() != name.lower())
        return replace(self, headers=(*kept, (name, value)))

    def outcome(self) -> str:
        """OK, AWS's error code, or the bare status of an answer without a body."""
        if self.status < 300 or self.status == 304:
            return ACCEPTED
        code = _CODE.search(self.body)
        return code[1].decode() if code else str(self.status)


@dataclass(frozen=True)
class Error:
    """An error that AWS would answer with."""

    code: str
    message: str
    status: int = 400
    headers: tuple[tuple[str, str], ...] = ()
    details: dict[str, str] = field(default_factory=dict)


def error_answer(request: Request, error: Error) -> Answer:
    """The error in the form of the request's service; without a body for HEAD, as S3 does."""
    request_id = str(uuid.uuid4())
    headers = (("Content-Type", "application/xml"), (_REQUEST_ID, request_id), *error.headers)
    if request.method == "HEAD":
        return Answer(error.status, headers)
    return Answer(error.status, headers, _document(request.service, error, request_id).encode())


def _document(service: str, error: Error, request_id: str) -> str:
    code, message = escape(error.code), escape(error.message)
    inner = f"<Code>{code}</Code><Message>{message}</Message>"
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    if service == "s3":
        details = "".join(f"<{k}>{escape(v)}</{k}>" for k, v in error.details.items())
        return f"{head}<Error>{inner}{details}<RequestId>{request_id}</RequestId></Error>"
    if service == "ec2":
        return (
            f"{head}<Response><Errors><Error>{inner}</Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>"
        )
    return (
        f"{head}<ErrorResponse><Error><Type>Sender</Type>{inner}</Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )


def json_answer(content: Any, status: int = 200) -> Answer:
    body = json.dumps(content, indent=1, sort_keys=True).encode()
    return Answer(status, (("Content-Type", "application/json"),), body)
