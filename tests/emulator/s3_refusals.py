# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals of S3 by the operations that are answered here instead of by moto."""

from __future__ import annotations

from xml.sax.saxutils import escape


class S3Refusal(Exception):
    """An error that S3 answers with, under the HTTP status that it has on AWS."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def answer(self) -> tuple[int, dict[str, str], str]:
        inner = f"<Code>{escape(self.code)}</Code><Message>{escape(self.message)}</Message>"
        return self.status, {}, f'<?xml version="1.0" encoding="UTF-8"?><Error>{inner}</Error>'


def no_such_upload() -> S3Refusal:
    return S3Refusal(
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may "
        "have been aborted or completed.",
        404,
    )


def precondition_failed() -> S3Refusal:
    message = "At least one of the pre-conditions you specified did not hold"
    return S3Refusal("PreconditionFailed", message, 412)


def not_readable() -> S3Refusal:
    message = "The operation is not valid for the object's storage class"
    return S3Refusal("InvalidObjectState", message, 403)


def missing(version: str | None) -> S3Refusal:
    if version:
        return S3Refusal("NoSuchVersion", "The specified version does not exist.", 404)
    return S3Refusal("NoSuchKey", "The specified key does not exist.", 404)
