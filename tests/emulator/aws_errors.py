# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Between our `Refused` and moto's exceptions for EC2."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from moto.ec2.exceptions import EC2ClientError

from .model import Refused


def answers_refusals(method: Callable[..., Any]) -> Callable[..., Any]:
    """A response method whose Refused becomes the error answer that moto serializes."""

    @functools.wraps(method)
    def answered(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Refused as refused:
            raise EC2ClientError(refused.code, refused.message) from refused

    return answered
