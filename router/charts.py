"""The charts of the pages, as inline SVG (`router.svg`).

All are drawn at the width of a phone, so that their words stay readable there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import altair as alt

from router.evaluation import share
from router.svg import ALARM, BAR, FAINT, inline_svg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT = 300, 220
_RISKS = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Where the axis of wrong answers may end: a good model's curve should not lie flat on the ground."""
_FULL = (0.0, 1.0)
_STYLES: tuple[tuple[str, list[int], str], ...] = (
    (BAR, [], ""),
    (ALARM, [], ""),
    (BAR, [6, 3], " (dashed)"),
    (FAINT, [2, 2], " (dotted)"),
)
_LINE_HEIGHT = 14


def reliability_diagram(bins: Sequence[Mapping[str, Any]], what: str = "accuracy") -> str:
    """Confidence against accuracy, a point a bin; on the diagonal an answer is as often right as it is sure.

    The line through a point is the exact interval of its accuracy.

    Args:
        bins: As `router.evaluation.quality` gives them.
        what: The name of the second axis.
    """
    rows = []
    for one in bins:
        found = share(round(one["accuracy"] * one["records"]), one["records"])
        said = f"confidence {one['confidence']:.3f}: {found.count:,} of {found.of:,} right"
        rows.append(
            {"x": one["confidence"], "y": one["accuracy"], "low": found.low, "high": found.high, "said": said}
        )
    ends = [{"x": end, "y": end} for end in _FULL]
    across, up = _axis("x", "confidence", _FULL), _axis("y", what, _FULL)
    diagonal = alt.Chart(_data(ends)).mark_line(aria=False, color=FAINT, strokeDash=[4, 4], strokeWidth=1)
    return inline_svg(
        _sized(
            diagonal.encode(x=across, y=up),
            _spans(rows, across),
            _dots(rows, across, up),
        ),
        f"Reliability diagram: confidence, {what}",
    )


def risk_coverage_curve(points: Sequence[Mapping[str, Any]], threshold: float | None = None) -> str:
    """What share of the records a threshold keeps, against the share of those that is wrong.

    Args:
        points: As `router.evaluation.quality` gives them, the strictest threshold first.
        threshold: The one that was chosen; the last point that it keeps is marked.
    """
    rows = [
        # 1 - .95 is a little more than .05 as a float.
        {"x": one["kept"], "y": round(1.0 - one["accuracy"], 12), "said": _coverage(one)}
        for one in points
    ]
    kept = [] if threshold is None else [one for one in points if one["threshold"] >= threshold]
    marked = [rows[len(kept) - 1] | {"name": f"threshold {threshold:.3g}"}] if kept else []
    top = next(end for end in _RISKS if max((row["y"] for row in rows), default=0.0) <= end)
    across, up = _axis("x", "share of records kept", _FULL), _axis("y", "share of them wrong", (0.0, top))
    mark, name = alt.Chart(_data(marked)), alt.Text("name:N")
    return inline_svg(
        _sized(
            _curve(rows, across, up),
            _dots(rows, across, up),
            mark.mark_point(aria=False, color=ALARM, size=110, strokeWidth=2).encode(x=across, y=up),
            mark.mark_text(aria=False, color=ALARM, align="right", dx=-9, dy=-9).encode(
                x=across, y=up, text=name
            ),
        ),
        "Risk-coverage curve: share of records kept, share of them wrong",
    )


def confidence_histogram(counts: Sequence[int], threshold: float | None = None) -> str:
    """How many answers have about which confidence, with the threshold.

    Args:
        counts: Of bins of equal width from 0 to 1.
        threshold: From which on an answer was trusted.
    """
    width = 1.0 / len(counts)
    rows = [
        {
            "x": number * width,
            "x2": (number + 1) * width,
            "y": count,
            "said": f"{number * width:.2f} to {(number + 1) * width:.2f}: {count:,} answers",
        }
        for number, count in enumerate(counts)
    ]
    across = _axis("x", "confidence", _FULL)
    up = alt.Y("y:Q", title="answers", axis=alt.Axis(format="~s"), scale=alt.Scale(zero=True, nice=5))
    bars = alt.Chart(_data([{**row, "y2": 0} for row in rows])).mark_rect(color=BAR, x2Offset=-1).encode(
        x=across, x2="x2", y=up, y2="y2", description="said:N"
    )  # fmt: skip
    line = [] if threshold is None else [{"x": threshold}]
    rule = alt.Chart(_data(line)).mark_rule(aria=False, color=ALARM, strokeWidth=1.5).encode(x=across)
    return inline_svg(_sized(bars, rule), "Histogram of confidences")


def spending_curve(points: Sequence[Mapping[str, Any]]) -> str:
    """What the dearest records cost together.

    Args:
        points: `records` and what so many of the dearest cost together, in `usd`.
    """
    rows = [{"x": 0, "y": 0.0, "said": "none"}] + [
        {
            "x": one["records"],
            "y": float(one["usd"]),
            "said": f"the dearest {one['records']:,} records: {one['usd']} USD",
        }
        for one in points
    ]
    across = alt.X(
        "x:Q",
        title="records, the dearest first",
        axis=alt.Axis(format="~s"),
        scale=alt.Scale(domain=[0, max(row["x"] for row in rows)], nice=False),
    )
    up = alt.Y("y:Q", title="USD together")
    return inline_svg(
        _sized(
            alt.Chart(_data(rows)).mark_area(aria=False, color=BAR, opacity=0.2).encode(x=across, y=up),
            _curve(rows, across, up),
            _dots(rows[1:], across, up, size=6),
        ),
        "Curve of spending: records from the dearest on, what they cost together",
    )


@dataclass(frozen=True, slots=True)
class Course:
    """A figure of one model over the run."""

    name: str
    points: Sequence[tuple[float, float]]
    """Time and value."""


def course(courses: Sequence[Course], unit: str, what: str, breaks: Sequence[float] = ()) -> str:
    """A figure over the time that a run took, a line for each model.

    Args:
        courses: At most as many as there are styles of lines (four).
        unit: Of the time.
        what: The name of the figure.
        breaks: Moments at which time was left out, because nothing came.
    """
    across = alt.X("x:Q", title=f"{unit} of the run", scale=alt.Scale(zero=True, nice=False))
    up = alt.Y("y:Q", title=what, axis=alt.Axis(format="~g"), scale=alt.Scale(zero=True))
    layers = [
        alt.Chart(_data([{"x": at} for at in breaks]))
        .mark_rule(aria=False, color=FAINT, strokeDash=[2, 4])
        .encode(x=across)
    ]
    for number, (one, (colour, dash, look)) in enumerate(zip(courses, _STYLES, strict=False)):
        rows = [{"x": x, "y": y, "said": f"{one.name}, {x:.3g} {unit}: {y:.6g}"} for x, y in one.points]
        line = alt.Chart(_data(rows)).mark_line(aria=False, color=colour, strokeWidth=1.5, strokeDash=dash)
        name = alt.Chart(_data([{"name": one.name + look}])).mark_text(aria=False, color=colour, align="left")
        dots = alt.Chart(_data(rows)).mark_point(filled=True, color=colour, opacity=1, size=6)
        layers += [
            line.encode(x=across, y=up),
            dots.encode(x=across, y=up, description="said:N"),
            name.encode(x=alt.value(8), y=alt.value(_LINE_HEIGHT * (number - len(courses))), text="name:N"),
        ]
    return inline_svg(_sized(*layers), f"Over the run: {what}, by model")


def trend(points: Sequence[Mapping[str, Any]], what: str, *, share_of: bool = False) -> str:
    """A figure of several runs, run by run.

    Args:
        points: For each run its `time` (ISO), the `value`, what is `said` of it, whether it stands `out`, and
            where the value has an interval, `low` and `high`.
        what: The name of the figure, for those who cannot see it; the page shows it above.
        share_of: Whether it is a share, to be shown in percent.
    """
    rows = [
        {"x": one["time"], "y": one["value"], "said": one["said"], "out": bool(one["out"])}
        | ({"low": one["low"], "high": one["high"]} if one.get("low") is not None else {})
        for one in points
    ]
    moments = alt.Axis(tickCount=4, labelOverlap=True)
    across = alt.X("x:T", title=None, scale=alt.Scale(type="utc"), axis=moments)
    top = max((row.get("high", row["y"]) for row in rows), default=0.0)
    # Where all is nothing, an axis of nothing would say nothing.
    scale = alt.Scale(zero=True) if top > 0 else alt.Scale(domain=list(_FULL))
    up = alt.Y("y:Q", title=None, axis=alt.Axis(format="~p" if share_of else "~g"), scale=scale)
    colour = alt.condition("datum.out", alt.value(ALARM), alt.value(BAR))
    layers = [_curve(rows, across, up), _dots(rows, across, up).encode(color=colour)]
    spans = [row for row in rows if "low" in row]
    if spans:
        layers.insert(0, _spans(spans, across).encode(color=colour))
    return inline_svg(_sized(*layers, height=160), f"Run by run: {what}")


def _coverage(one: Mapping[str, Any]) -> str:
    return f"threshold {one['threshold']:.3f}: {one['kept']:.1%} kept, {one['accuracy']:.1%} of them right"


def _spans(rows: list[dict[str, Any]], across: alt.X) -> alt.Chart:
    rules = alt.Chart(_data(rows)).mark_rule(aria=False, color=BAR, strokeWidth=1.5)
    found: alt.Chart = rules.encode(x=across, y=alt.Y("low:Q"), y2="high:Q")
    return found


def _curve(rows: list[dict[str, Any]], across: alt.X, up: alt.Y) -> alt.Chart:
    line = alt.Chart(_data(rows)).mark_line(aria=False, color=BAR, strokeWidth=1.5)
    found: alt.Chart = line.encode(x=across, y=up)
    return found


def _dots(rows: list[dict[str, Any]], across: alt.X, up: alt.Y, size: int = 40) -> alt.Chart:
    dots = alt.Chart(_data(rows)).mark_point(filled=True, color=BAR, opacity=1, size=size)
    found: alt.Chart = dots.encode(x=across, y=up, description="said:N")
    return found


def _axis(name: str, title: str, domain: tuple[float, float]) -> Any:  # noqa: ANN401 - X or Y
    channel = {"x": alt.X, "y": alt.Y}[name]
    return channel(f"{name}:Q", title=title, scale=alt.Scale(domain=list(domain), nice=False))


def _sized(*layers: alt.Chart, height: int = _HEIGHT) -> alt.LayerChart:
    found: alt.LayerChart = alt.layer(*layers).properties(width=_WIDTH, height=height)
    return found


def _data(rows: list[dict[str, Any]]) -> alt.InlineData:
    # Without rows a type cannot be told, and a chart of nothing still has its axes.
    return alt.InlineData(values=rows)
