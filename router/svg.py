"""Charts as inline SVG, drawn when a page is made, so that it needs no script, and in the page's colours."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import vl_convert

if TYPE_CHECKING:
    from collections.abc import Mapping

    import altair as alt

COLOURS: Mapping[str, str] = {
    "#010101": "var(--ink)",
    "#020202": "var(--faint)",
    "#030303": "var(--line)",
    "#040404": "var(--bar)",
    "#050505": "var(--alarm)",
    "#060606": "var(--page)",
}
"""Stand-ins in which charts are drawn, and the page's colours that take their place (`page.html.j2`)."""
INK, FAINT, LINE, BAR, ALARM, PAGE = COLOURS

_SPACE = "{http://www.w3.org/2000/svg}"
_ELEMENTS = frozenset({"svg", "g", "path", "line", "rect", "text", "title"})
_ATTRIBUTES = frozenset(
    {
        *("d", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "transform", "viewBox", "text-anchor"),
        *("fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "stroke-opacity"),
        *("stroke-miterlimit", "stroke-linecap", "stroke-linejoin", "font-size", "font-weight"),
    }
)
"""What a chart needs. Anything else (roles, ids, links, fonts) is dropped."""


def inline_svg(chart: alt.LayerChart | alt.Chart, said: str) -> str:
    """A chart as an SVG element for a page.

    Names of a job may be in it as text: they come out escaped, and elements that a chart does not need are
    refused, so that no name can become one.

    Args:
        chart: Drawn in the stand-ins of `COLOURS`. What its marks say (`description`) becomes their tooltip.
        said: What the chart shows, for those who cannot see it.

    Raises:
        ValueError: the chart has an element that charts do not have.
    """
    finished = chart.configure_view(stroke=None).configure_axis(
        aria=False,
        labelColor=FAINT,
        titleColor=FAINT,
        gridColor=LINE,
        domainColor=FAINT,
        tickColor=LINE,
        tickCount=5,
        labelFontSize=11,
        titleFontSize=11,
        titleFontWeight="normal",
    )
    finished = finished.properties(background="transparent", padding=2)
    root = ET.fromstring(_drawn(finished.to_json(indent=None)))  # noqa: S314 - made here
    _adopt(root)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.attrib |= {"class": "plot", "role": "img", "aria-label": said}
    return ET.tostring(root, encoding="unicode")


@functools.lru_cache(maxsize=128)
def _drawn(specification: str) -> str:
    # Where a part of the records is all of them, pages ask for the same chart again.
    return vl_convert.vegalite_to_svg(specification)


def _adopt(element: ET.Element) -> None:
    """Keep what a chart needs, give it the page's colours, and turn what is said of a mark into its title."""
    element.tag = element.tag.removeprefix(_SPACE)
    if element.tag not in _ELEMENTS:
        raise ValueError(f"a chart has no element <{element.tag}>")
    said = element.get("aria-label") if element.get("role") == "graphics-symbol" else None
    element.attrib = {
        name: COLOURS.get(value, value) for name, value in element.attrib.items() if name in _ATTRIBUTES
    }
    for child in list(element):
        if child.tag == f"{_SPACE}defs":
            element.remove(child)
        else:
            _adopt(child)
    if said is not None:
        title = ET.Element("title")
        title.text = said
        element.insert(0, title)
