# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests that do not wait for one another: across a border, each takes its time."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor


def together(*calls: t.Callable[[], t.Any]) -> list[t.Callable[[], t.Any]]:
    """Make the calls at the same time and wait for all.

    :return: for each a function that returns its result, or raises what it has raised.
    """
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
    return [future.result for future in futures]
