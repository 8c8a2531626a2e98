"""The way of a job's records as a picture: read, sent on or refused, answered, and how that came about.

Drawn here because the chart library has no such diagram.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from router.names import STUDENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST = 8
"""How many rules, models and statuses the picture shows each; the rest are drawn as one."""

COLUMNS = ("read", "sent to", "answered by", "came about as")
REFUSED = "dead letters"
_READ = "records"
_OTHERS = "others"

_WIDTH, _HEIGHT, _TOP = 760.0, 300.0, 26.0
_LEFT = (0.0, 165.0, 405.0, 600.0)
_NODE, _GAP = 12.0, 22.0
_THINNEST = 1.5
_NAME = 22
"""Characters of a name that are shown; all of it is in the tooltip."""

Node = tuple[int, str]
"""The column in which it stands, and its name."""
Link = tuple[Node, Node, str]
"""From where to where records went, and of which kind they are: `way`, `escalated` or `refused`."""


@dataclass
class _Place:
    """Where a node stands, and how far its two sides are used up."""

    top: float
    height: float
    used_in: float = 0.0
    used_out: float = 0.0


def ways(flow: Iterable[Mapping[str, Any]], refused: int) -> dict[Link, int]:
    """How many records went from each node of the picture to each of the next column.

    Args:
        flow: Records by `rule`, `chosen`, `model` and `status`, as the output's tables have them.
        refused: Dead letters.
    """
    rows = list(flow)
    sent = _named(rows, lambda row: sent_to(row["rule"], row["chosen"]))
    answered = _named(rows, lambda row: str(row["model"]))
    found: Counter[Link] = Counter()
    for row in rows:
        route, model = sent[sent_to(row["rule"], row["chosen"])], answered[str(row["model"])]
        path = ((0, _READ), (1, route), (2, model), (3, str(row["status"])))
        # A copy of an escalated record went the same way.
        # What the student answers is not asked of the chosen model, but nothing was escalated either.
        kind = "way" if row["model"] in (row["chosen"], STUDENT) else "escalated"
        for begin, end in itertools.pairwise(path):
            found[begin, end, "way" if begin[0] == 0 else kind] += row["records"]
    if refused:
        found[(0, _READ), (1, REFUSED), "refused"] += refused
    return dict(found)


def sent_to(rule: int | None, model: str) -> str:
    """What chose a model, and which."""
    return f"{'default' if rule is None else f'rule {rule}'} → {model}"


def flow_diagram(flow: Iterable[Mapping[str, Any]], refused: int) -> str | None:
    """The picture as an SVG element; None where no record was read. Arguments as of `ways`."""
    links = ways(flow, refused)
    total = sum(records for (begin, _, _), records in links.items() if begin[0] == 0)
    if not total:
        return None
    places = _places(links, total)
    said = "Flow of records: " + ", ".join(COLUMNS)
    attributes = {"class": "flow", "viewBox": f"0 0 {_WIDTH:g} {_bottom(places):g}", "role": "img"}
    root = ET.Element("svg", {**attributes, "aria-label": said})
    for left, name in zip(_LEFT, COLUMNS, strict=True):
        _text(root, left, 12.0, name, "column")
    scale = _scale(total)
    # Ends in the order in which they stand, so that ribbons cross as little as they can.
    for link, records in sorted(links.items(), key=lambda one: _order(one[0], places)):
        _ribbon(root, link, records, places, max(_THINNEST, records * scale))
    for node, place in places.items():
        _node(root, node, place, _through(node, links))
    return ET.tostring(root, encoding="unicode")


def _named(rows: Iterable[Mapping[str, Any]], name_of: Any) -> dict[str, str]:  # noqa: ANN401 - a function of a row
    """The most frequent names as they are, and all others as one."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[name_of(row)] += row["records"]
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    shown = ordered if len(ordered) <= MOST else ordered[: MOST - 1]
    return {name: name if name in shown else _OTHERS for name in ordered}


def _through(node: Node, links: Mapping[Link, int]) -> int:
    out = sum(records for (begin, _, _), records in links.items() if begin == node)
    return out or sum(records for (_, end, _), records in links.items() if end == node)


def _scale(total: int) -> float:
    return (_HEIGHT - _TOP - 3 * _GAP) / total


def _places(links: Mapping[Link, int], total: int) -> dict[Node, _Place]:
    widths: dict[str, defaultdict[Node, float]] = {"in": defaultdict(float), "out": defaultdict(float)}
    for (begin, end, _), records in links.items():
        width = max(_THINNEST, records * _scale(total))
        widths["out"][begin] += width
        widths["in"][end] += width
    nodes = {*widths["in"], *widths["out"]}
    places, tops = {}, dict.fromkeys(range(len(COLUMNS)), _TOP)
    for node in sorted(nodes, key=lambda node: (node[1] == REFUSED, -_through(node, links), node[1])):
        height = max(widths["in"][node], widths["out"][node])
        places[node] = _Place(tops[node[0]], height)
        tops[node[0]] += max(height, 14.0) + _GAP
    return places


def _bottom(places: Mapping[Node, _Place]) -> float:
    return max(place.top + max(place.height, 14.0) for place in places.values()) + 8.0


def _order(link: Link, places: Mapping[Node, _Place]) -> tuple[float, float, float, str]:
    begin, end, kind = link
    return begin[0], places[begin].top, places[end].top, kind


def _ribbon(root: ET.Element, link: Link, records: int, places: Mapping[Node, _Place], width: float) -> None:
    begin, end, kind = link
    source, target = places[begin], places[end]
    x1, x2 = _LEFT[begin[0]] + _NODE, _LEFT[end[0]]
    y1, y2 = source.top + source.used_out + width / 2.0, target.top + target.used_in + width / 2.0
    source.used_out += width
    target.used_in += width
    bend = (x1 + x2) / 2.0
    curve = f"M{x1:g},{y1:.2f}C{bend:g},{y1:.2f} {bend:g},{y2:.2f} {x2:g},{y2:.2f}"
    path = ET.SubElement(root, "path", {"class": kind, "d": curve, "stroke-width": f"{width:.2f}"})
    ET.SubElement(path, "title").text = f"{begin[1]}, then {end[1]}: {records:,} records"


def _node(root: ET.Element, node: Node, place: _Place, records: int) -> None:
    column, name = node
    left = _LEFT[column]
    box = {"x": f"{left:g}", "y": f"{place.top:.2f}", "width": f"{_NODE:g}", "height": f"{place.height:.2f}"}
    rect = ET.SubElement(root, "rect", {"class": "refused" if name == REFUSED else "node", **box})
    ET.SubElement(rect, "title").text = f"{name}: {records:,} records"
    middle = place.top + place.height / 2.0
    shown = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
    _text(root, left + _NODE + 5.0, middle - 1.0, shown, "name")
    _text(root, left + _NODE + 5.0, middle + 12.0, f"{records:,}", "count")


def _text(root: ET.Element, x: float, y: float, text: str, kind: str) -> None:
    ET.SubElement(root, "text", {"class": kind, "x": f"{x:g}", "y": f"{y:.2f}"}).text = text
