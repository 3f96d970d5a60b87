# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders of starts to compare the engine's own with."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.amistore.aws.plugins.module_utils._start_order import (
    Order,
    Queue,
    keep_both_busy,
)


def first_in_first_out(fitting: Sequence[int], queue: Queue) -> int:
    return 0


def largest_first(fitting: Sequence[int], queue: Queue) -> int:
    return fitting.index(max(fitting))


def smallest_first(fitting: Sequence[int], queue: Queue) -> int:
    return fitting.index(min(fitting))


ORDERS: dict[str, Order] = {
    "FIFO": first_in_first_out,
    "SPT": smallest_first,
    "LPT": largest_first,
    "ours": keep_both_busy,
}
