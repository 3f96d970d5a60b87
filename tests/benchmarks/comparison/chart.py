# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results as bars, in an SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from tests.benchmarks.comparison.claims import DESCRIBE
from tests.benchmarks.comparison.outcome import Outcome

PANELS: dict[str, Callable[[Outcome], float]] = {
    "AMIs lost or wrong": lambda outcome: outcome.lost_or_wrong,
    "wall time, s": lambda outcome: outcome.seconds,
    "CPU, s": lambda outcome: outcome.cpu,
    DESCRIBE: lambda outcome: outcome.count(DESCRIBE),
    "throttled answers": lambda outcome: outcome.throttled,
}
WIDTH, NAMES, NUMBERS, EDGE = 760, 250, 70, 16
BAR, GAP, TITLE = 18, 6, 34
OURS, OTHERS = "#0b6e4f", "#9aa5b1"


def svg(outcomes: Sequence[Outcome]) -> str:
    """The first of them is ours."""
    panel = TITLE + len(outcomes) * (BAR + GAP)
    height = len(PANELS) * panel + EDGE
    size = {"width": str(WIDTH), "height": str(height)}
    picture = Element(
        "svg",
        size | {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDTH} {height}"},
    )
    SubElement(picture, "title").text = "Storing one fleet of AMIs in four ways"
    SubElement(picture, "rect", size | {"fill": "white"})
    style = {"font-family": "sans-serif", "font-size": "13", "fill": "#1f2933"}
    body = SubElement(picture, "g", style)
    for number, (title, figure) in enumerate(PANELS.items()):
        _panel(body, number * panel, title, [(o.name, figure(o)) for o in outcomes])
    indent(picture)
    return tostring(picture, encoding="unicode") + "\n"


def _panel(body: Element, top: int, title: str, bars: Sequence[tuple[str, float]]) -> None:
    _text(body, EDGE, top + TITLE - 10, title).set("font-weight", "bold")
    longest = max(value for _name, value in bars) or 1.0
    room = WIDTH - NAMES - NUMBERS - EDGE
    for number, (name, value) in enumerate(bars):
        y = top + TITLE + number * (BAR + GAP)
        width = room * value / longest
        shape = {"x": str(NAMES), "y": str(y), "height": str(BAR), "width": f"{width:.1f}"}
        SubElement(body, "rect", shape | {"fill": OTHERS if number else OURS})
        _text(body, EDGE, y + BAR - 5, name)
        _text(body, NAMES + width + GAP, y + BAR - 5, f"{value:,.0f}")


def _text(body: Element, x: float, y: float, words: str) -> Element:
    element = SubElement(body, "text", {"x": f"{x:.1f}", "y": str(y)})
    element.text = words
    return element
