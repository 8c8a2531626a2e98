"""Charts: a plot is 300 wide and 220 high, and its left upper corner is (0, 0)."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import altair as alt
import pytest

from router.charts import (
    confidence_histogram,
    reliability_diagram,
    risk_coverage_curve,
    spending_curve,
    trend,
)
from router.svg import COLOURS, inline_svg


def said(svg: str) -> dict[str | None, str]:
    """Where the marks are that say something, by what they say."""
    parents = [one for one in ET.fromstring(svg).iter() if one.find("title") is not None]
    return {one.findtext("title"): one.get("transform") or one.get("d", "") for one in parents}


def lines(svg: str, colour: str) -> list[tuple[str | None, str | None, str | None]]:
    """Where the straight lines of a colour begin, and how far they go."""
    found = [one for one in ET.fromstring(svg).iter("line") if one.get("stroke") == f"var(--{colour})"]
    return [(one.get("transform"), one.get("x2"), one.get("y2")) for one in found]


def paths(svg: str, colour: str) -> list[str]:
    """The curves of a colour."""
    found = [one for one in ET.fromstring(svg).iter("path") if one.get("stroke") == f"var(--{colour})"]
    return [one.get("d", "") for one in found]


def words(svg: str) -> list[str | None]:
    """All that is written in the picture."""
    return [one.text for one in ET.fromstring(svg).iter("text")]


def test_a_bin_stands_at_its_confidence_and_accuracy() -> None:
    """300 * .6 across; 220 - 220 * .5 and 220 - 220 * 1 downwards."""
    svg = reliability_diagram(
        [
            {"records": 10, "confidence": 0.6, "accuracy": 0.5},
            {"records": 4, "confidence": 0.95, "accuracy": 1.0},
        ]
    )

    assert said(svg) == {
        "confidence 0.600: 5 of 10 right": "translate(180,110)",
        "confidence 0.950: 4 of 4 right": "translate(285,0)",
    }


def test_the_line_through_a_bin_is_its_exact_interval() -> None:
    """5 of 10 is .1871 to .8129 (Clopper and Pearson): from 220 - 220 * .1871 = 178.84, 137.68 upwards."""
    svg = reliability_diagram([{"records": 10, "confidence": 0.6, "accuracy": 0.5}])

    [(begin, across, up)] = lines(svg, "bar")
    assert begin is not None
    assert re.match(r"translate\(180,178\.84\d+\)", begin)
    assert across == "0"
    assert float(up or 0) == pytest.approx(-137.68, abs=0.01)


def test_the_diagonal_goes_from_corner_to_corner() -> None:
    """There a confidence is as often right as it says; without bins it is all there is."""
    svg = reliability_diagram([])

    assert paths(svg, "faint") == ["M0,220L300,0"]
    assert said(svg) == {}


COVERAGE = [
    {"threshold": 0.9, "kept": 0.25, "accuracy": 1.0},
    {"threshold": 0.7, "kept": 0.5, "accuracy": 0.9},
    {"threshold": 0.2, "kept": 1.0, "accuracy": 0.8},
]


def test_what_a_threshold_keeps_and_how_much_of_it_is_wrong() -> None:
    """At most .2 are wrong, so .2 is the top: half of it is at 110."""
    svg = risk_coverage_curve(COVERAGE)

    assert paths(svg, "bar") == ["M75,220L150,110L300,0"]
    assert said(svg)["threshold 0.700: 50.0% kept, 90.0% of them right"] == "translate(150,110)"


@pytest.mark.parametrize(
    ("threshold", "place"),
    [(0.95, None), (0.9, "translate(75,220)"), (0.65, "translate(150,110)"), (0.1, "translate(300,0)")],
)
def test_the_chosen_threshold_is_marked(threshold: float, place: str | None) -> None:
    """At the last point that it keeps; one that keeps nothing has no place."""
    svg = risk_coverage_curve(COVERAGE, threshold)

    marks = [one for one in ET.fromstring(svg).iter("path") if one.get("stroke") == "var(--alarm)"]
    assert [one.get("transform") for one in marks] == ([] if place is None else [place])
    assert (f"threshold {threshold:.3g}" in words(svg)) == (place is not None)


@pytest.mark.parametrize(
    ("accuracy", "top"), [(1.0, "0.05"), (0.95, "0.05"), (0.94, "0.10"), (0.85, "0.20"), (0.0, "1.0")]
)
def test_the_axis_ends_where_the_curve_does(accuracy: float, top: str) -> None:
    """A good model's mistakes are seen, and a bad one's fit."""
    svg = risk_coverage_curve([{"threshold": 0.5, "kept": 1.0, "accuracy": accuracy}])

    ends = [one.text for one in ET.fromstring(svg).iter("text") if one.get("transform") == "translate(-7,3)"]
    assert ends == [top]


def test_a_curve_of_nothing_has_axes_only() -> None:
    """Their names are told to those who cannot see the picture."""
    svg = risk_coverage_curve([])

    assert paths(svg, "bar") == []
    assert (
        ET.fromstring(svg).attrib["aria-label"]
        == "Risk-coverage curve: share of records kept, share of them wrong"
    )


def test_confidences_are_counted_in_bins() -> None:
    """Four bins of .25 each; the threshold stands at 300 * .6 = 180."""
    svg = confidence_histogram([0, 2, 0, 10], 0.6)

    assert list(said(svg)) == [
        "0.00 to 0.25: 0 answers",
        "0.25 to 0.50: 2 answers",
        "0.50 to 0.75: 0 answers",
        "0.75 to 1.00: 10 answers",
    ]
    # 10 is the top; 2 is a fifth of 220 high, and begins a quarter of 300 across.
    assert said(svg)["0.25 to 0.50: 2 answers"] == "M75,176h74v44h-74Z"
    assert lines(svg, "alarm") == [("translate(180,0)", "0", "220")]


def test_spending_begins_at_nothing() -> None:
    """Two records: the dearer one cost .03, both .04, which is the top."""
    svg = spending_curve([{"records": 1, "usd": "0.030000"}, {"records": 2, "usd": "0.040000"}])

    assert paths(svg, "bar") == ["M0,220L150,55L300,0"]
    assert said(svg)["the dearest 1 records: 0.030000 USD"] == "translate(150,55)"


def test_a_trend_marks_what_stands_out() -> None:
    """Three days: at 0, half and the whole of the width; the last one in the colour of alarm."""
    svg = trend(
        [
            {"time": "2026-09-01T00:00:00+00:00", "value": 0.0, "said": "a", "out": False},
            {"time": "2026-09-02T00:00:00+00:00", "value": 0.5, "said": "b", "out": False},
            {
                "time": "2026-09-03T00:00:00+00:00",
                "value": 1.0,
                "said": "c",
                "out": True,
                "low": 0.5,
                "high": 1.0,
            },
        ],
        "share",
        share_of=True,
    )

    assert said(svg) == {"a": "translate(0,160)", "b": "translate(150,80)", "c": "translate(300,0)"}
    filled = [one.get("fill") for one in ET.fromstring(svg).iter("path") if one.find("title") is not None]
    assert filled == ["var(--bar)", "var(--bar)", "var(--alarm)"]
    assert lines(svg, "alarm") == [("translate(300,80)", "0", "-80")]


def test_only_what_a_chart_needs_is_left() -> None:
    """No ids, roles, fonts or links inside, and no colour that is not the page's."""
    root = ET.fromstring(risk_coverage_curve(COVERAGE, 0.65))
    inner = [one for one in root.iter() if one is not root]

    names = {name for one in inner for name in one.attrib}
    assert names.isdisjoint({"id", "role", "class", "style", "href", "font-family", "aria-label", "onload"})
    colours = {one.get(side) for one in inner for side in ("fill", "stroke")} - {None, "none"}
    assert colours <= set(COLOURS.values())


def test_words_in_a_chart_are_text() -> None:
    """Whatever a mark says or shows, it is escaped."""
    hostile = '<script>alert(1)</script>" onload="alert(1)'
    data = alt.InlineData(values=[{"x": 1, "name": hostile}])
    chart = alt.Chart(data).mark_text().encode(x="x:Q", text="name:N", description="name:N")

    svg = inline_svg(chart, hostile)

    assert "<script" not in svg
    root = ET.fromstring(svg)
    assert root.get("aria-label") == hostile
    assert root.get("onload") is None
    assert list(said(svg)) == [hostile]


def test_pictures_are_refused() -> None:
    """A chart has no element that fetches anything."""
    data = alt.InlineData(values=[{"x": 1, "url": "data:image/png;base64,iVBORw0KGgo="}])
    chart = alt.Chart(data).mark_image(width=5, height=5).encode(x="x:Q", url="url:N")

    with pytest.raises(ValueError, match="a chart has no element <image>"):
        inline_svg(chart, "a picture")
