# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results as tables in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from tests.benchmarks.comparison.claims import Claim
from tests.benchmarks.comparison.outcome import Outcome
from tests.benchmarks.comparison.scene import Scene

FIGURES: dict[str, Callable[[Outcome], str]] = {
    "AMIs stored": lambda o: f"{len(o.stored)} of {len(o.storable)}",
    "**AMIs lost or wrong**": lambda o: f"**{o.lost_or_wrong}**",
    "lost: not stored though AWS could": lambda o: f"{len(o.lost)}",
    "wrong: reported otherwise than it is": lambda o: f"{len(o.wrong)}",
    "wall time, s": lambda o: f"{o.seconds:,.0f}",
    "wall time per stored AMI, s": lambda o: f"{o.seconds_per_stored:.2f}",
    "of the wall time, asleep, s": lambda o: f"{o.skipped:,.0f}",
    "CPU, s": lambda o: f"{o.cpu:,.1f}",
    "CPU with what Ansible polls meanwhile, s": lambda o: f"{o.cpu + o.polling_cpu:,.1f}",
    "throttled answers": lambda o: f"{o.throttled:,}",
    "refused for the GiB in flight": lambda o: f"{o.refused:,}",
    "requests": lambda o: f"{o.all_requests:,}",
}


def results(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield row("", *(outcome.name for outcome in outcomes))
    yield "|---|" + "---:|" * len(outcomes)
    for name, figure in FIGURES.items():
        yield row(name, *map(figure, outcomes))
    for action in sorted({action for outcome in outcomes for action in outcome.requests}):
        yield row(action, *(f"{outcome.count(action):,}" for outcome in outcomes))


def promises(claims: Iterable[Claim]) -> Iterator[str]:
    yield row("promised", "measured", "")
    yield "|---|---|---|"
    for claim in claims:
        yield row(claim.words, claim.measured, "holds" if claim.holds else "**does not hold**")


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def about(scene: Scene, speed: float) -> str:
    sizes = sorted({image.gib for image in scene.images})
    counted = ", ".join(
        f"{sum(image.gib == gib for image in scene.images)} of {gib} GiB" for gib in sizes
    )
    return (
        f"{len(scene.images)} AMIs ({counted}), of which AWS fails to store"
        f" {len(scene.failing)}. AWS's request rate and one task take"
        f" {scene.shortest_seconds:,.0f} s, whoever asks. Emulated seconds per second while a"
        f" program works: {speed:g}."
    )
