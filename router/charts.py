"""Charts as inline SVG: numbers only, drawn in the colours of the page (`page.html.j2`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.evaluation import share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LEFT, _TOP, _WIDTH, _HEIGHT = 50.0, 10.0, 300.0, 240.0
"""The plot in a picture of 360 by 300."""
_TICKS = 5
_RISKS = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Where the axis of wrong answers may end: a good model's curve should not lie flat on the ground."""


def reliability_diagram(bins: Sequence[Mapping[str, Any]]) -> str:
    """Confidence against accuracy, a point a bin; on the diagonal an answer is as often right as it is sure.

    The line through a point is the exact interval of its accuracy.

    Args:
        bins: As `router.evaluation.quality` gives them.
    """
    marks = [_line((0.0, 0.0), (1.0, 1.0), "guide")]
    for one in bins:
        found = share(round(one["accuracy"] * one["records"]), one["records"])
        sure = one["confidence"]
        marks += [
            _line((sure, found.low), (sure, found.high), "whisker"),
            _dot(sure, one["accuracy"], f"confidence {sure:.3f}: {found.count:,} of {found.of:,} right"),
        ]
    return _picture("Reliability diagram", ("confidence", "accuracy"), 1.0, marks)


def risk_coverage_curve(points: Sequence[Mapping[str, Any]]) -> str:
    """What share of the records a threshold keeps, against the share of those that is wrong.

    Args:
        points: As `router.evaluation.quality` gives them, the strictest threshold first.
    """
    # 1 - .95 is a little more than .05 as a float.
    risks = [round(1.0 - one["accuracy"], 12) for one in points]
    top = next(end for end in _RISKS if max(risks, default=0.0) <= end)
    places = [(one["kept"], risk / top) for one, risk in zip(points, risks, strict=True)]
    path = " ".join(f"{_across(x)},{_up(y)}" for x, y in places)
    marks = [f'<polyline class="curve" points="{path}"/>'] if places else []
    for one, (x, y) in zip(points, places, strict=True):
        said = (
            f"threshold {one['threshold']:.3f}: {one['kept']:.1%} kept, {one['accuracy']:.1%} of them right"
        )
        marks.append(_dot(x, y, said))
    return _picture("Risk-coverage curve", ("share of records kept", "share of them wrong"), top, marks)


def _picture(name: str, axes: tuple[str, str], top: float, marks: Sequence[str]) -> str:
    """A plot with axes from 0 to 1 across and from 0 to `top` upwards."""
    across, up = axes
    parts = [f'<svg class="plot" viewBox="0 0 360 300" role="img" aria-label="{name}: {across}, {up}">']
    for tick in range(_TICKS + 1):
        part = tick / _TICKS
        x, y = _across(part), float(_up(part))
        parts += [
            _line((0.0, part), (1.0, part), "grid"),
            f'<text class="middle" x="{x}" y="{_number(_TOP + _HEIGHT + 16)}">{part:g}</text>',
            f'<text class="end" x="{_number(_LEFT - 6)}" y="{_number(y + 4)}">{part * top:.3g}</text>',
        ]
    middle = _number(_TOP + _HEIGHT / 2)
    parts += [
        _line((0.0, 0.0), (1.0, 0.0), "axis"),
        _line((0.0, 0.0), (0.0, 1.0), "axis"),
        f'<text class="middle" x="{_across(0.5)}" y="{_number(_TOP + _HEIGHT + 38)}">{across}</text>',
        f'<text class="middle" x="12" y="{middle}" transform="rotate(-90 12 {middle})">{up}</text>',
        *marks,
        "</svg>",
    ]
    return "\n".join(parts)


def _line(begin: tuple[float, float], end: tuple[float, float], kind: str) -> str:
    (x1, y1), (x2, y2) = begin, end
    return f'<line class="{kind}" x1="{_across(x1)}" y1="{_up(y1)}" x2="{_across(x2)}" y2="{_up(y2)}"/>'


def _dot(x: float, y: float, said: str) -> str:
    """A point; browsers show what is said when the pointer rests on it."""
    return f'<circle class="dot" cx="{_across(x)}" cy="{_up(y)}" r="3.5"><title>{said}</title></circle>'


def _across(part: float) -> str:
    return _number(_LEFT + _WIDTH * part)


def _up(part: float) -> str:
    return _number(_TOP + _HEIGHT * (1.0 - part))


def _number(value: float) -> str:
    """With at most two places, and none that say nothing."""
    return f"{round(value, 2):g}"
