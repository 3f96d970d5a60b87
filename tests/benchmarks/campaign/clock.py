# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's clock in the campaign."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tests.benchmarks.campaign.account import CampaignAws


@dataclass
class ProcessClock:
    """Virtual time; a process may be killed in a pause as it may in a request."""

    aws: CampaignAws

    def now(self) -> float:
        return self.aws.clock.now()

    def date(self) -> datetime:
        return self.aws.clock.date()

    def sleep(self, seconds: float) -> None:
        self.aws.tell(f"pause of {seconds:.1f} s")
        self.aws.pause(seconds)
