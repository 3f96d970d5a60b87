# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The throughputs as bars, in an SVG: one panel for each object and network."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from tests.benchmarks.relay.contenders import OURS
from tests.benchmarks.relay.field import Field
from tests.benchmarks.relay.outcome import in_words

WIDTH, NAMES, NUMBERS, EDGE = 760, 250, 70, 16
BAR, GAP, TITLE = 18, 6, 34
OUR_COLOUR, OTHERS, BOUNDS = "#0b6e4f", "#9aa5b1", "#d9dee4"


def svg(fields: Sequence[Field]) -> str:
    heights = [TITLE + len(field.names()) * (BAR + GAP) for field in fields]
    height = sum(heights) + EDGE
    size = {"width": str(WIDTH), "height": str(height)}
    picture = Element(
        "svg",
        size | {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDTH} {height}"},
    )
    SubElement(picture, "title").text = "Throughput of copies between two S3 servers, MiB/s"
    SubElement(picture, "rect", size | {"fill": "white"})
    style = {"font-family": "sans-serif", "font-size": "13", "fill": "#1f2933"}
    body = SubElement(picture, "g", style)
    for number, field in enumerate(fields):
        _panel(body, sum(heights[:number]), field)
    indent(picture)
    return tostring(picture, encoding="unicode") + "\n"


def _panel(body: Element, top: int, field: Field) -> None:
    title = f"{in_words(field.size)}, {field.network.name}: MiB/s"
    _text(body, EDGE, top + TITLE - 10, title).set("font-weight", "bold")
    bars = {name: field.throughput(name) for name in field.names()}
    room = (WIDTH - NAMES - NUMBERS - EDGE) / max(bars.values())
    for number, (name, value) in enumerate(bars.items()):
        y = top + TITLE + number * (BAR + GAP)
        shape = {"x": str(NAMES), "y": str(y), "height": str(BAR), "width": f"{room * value:.1f}"}
        SubElement(body, "rect", shape | {"fill": _colour(name)})
        _text(body, EDGE, y + BAR - 5, name.replace("\\|", "|"))
        _text(body, NAMES + room * value + GAP, y + BAR - 5, f"{value:,.1f}")


def _colour(name: str) -> str:
    if name == OURS.name:
        return OUR_COLOUR
    return BOUNDS if name.endswith("alone") else OTHERS


def _text(body: Element, x: float, y: float, words: str) -> Element:
    element = SubElement(body, "text", {"x": f"{x:.1f}", "y": str(y)})
    element.text = words
    return element
