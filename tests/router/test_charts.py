"""Charts: the plot of a picture of 360 by 300 begins at (50, 250) and is 300 wide and 240 high."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from router.charts import reliability_diagram, risk_coverage_curve


def elements(svg: str, kind: str) -> list[dict[str, str]]:
    """The attributes of each element with a class, in the order of the picture."""
    return [one.attrib for one in ET.fromstring(svg).iter() if one.get("class") == kind]


def places(svg: str) -> list[tuple[str, str]]:
    """Where the points are."""
    return [(one["cx"], one["cy"]) for one in elements(svg, "dot")]


def titles(svg: str) -> list[str | None]:
    """What is said of each point."""
    return [one.text for one in ET.fromstring(svg).iter("title")]


def test_a_bin_stands_at_its_confidence_and_accuracy() -> None:
    """50 + 300 * .6 across; 250 - 240 * .5 and 250 - 240 * 1 upwards."""
    svg = reliability_diagram(
        [
            {"records": 10, "confidence": 0.6, "accuracy": 0.5},
            {"records": 4, "confidence": 0.95, "accuracy": 1.0},
        ]
    )

    assert places(svg) == [("230", "130"), ("335", "10")]
    assert titles(svg) == ["confidence 0.600: 5 of 10 right", "confidence 0.950: 4 of 4 right"]


def test_the_line_through_a_bin_is_its_exact_interval() -> None:
    """5 of 10 is .1871 to .8129 (Clopper and Pearson): 250 - 240 * .1871 = 205.10 and 54.90."""
    [line] = elements(
        reliability_diagram([{"records": 10, "confidence": 0.6, "accuracy": 0.5}]), kind="whisker"
    )

    assert (line["x1"], line["x2"]) == ("230", "230")
    assert (line["y1"], line["y2"]) == ("205.1", "54.9")


def test_the_diagonal_goes_from_corner_to_corner() -> None:
    """There a confidence is as often right as it says; without bins it is all there is."""
    svg = reliability_diagram([])

    [line] = elements(svg, "guide")
    assert line == {"class": "guide", "x1": "50", "y1": "250", "x2": "350", "y2": "10"}
    assert places(svg) == []


def test_what_a_threshold_keeps_and_how_much_of_it_is_wrong() -> None:
    """At most .2 are wrong, so .2 is the top: half of it is at 250 - 240 / 2."""
    svg = risk_coverage_curve(
        [
            {"threshold": 0.9, "kept": 0.25, "accuracy": 1.0},
            {"threshold": 0.7, "kept": 0.5, "accuracy": 0.9},
            {"threshold": 0.2, "kept": 1.0, "accuracy": 0.8},
        ]
    )

    assert places(svg) == [("125", "250"), ("200", "130"), ("350", "10")]
    assert elements(svg, "curve")[0]["points"] == "125,250 200,130 350,10"
    assert titles(svg)[1] == "threshold 0.700: 50.0% kept, 90.0% of them right"


@pytest.mark.parametrize(
    ("accuracy", "ticks"),
    [
        (1.0, ["0", "0.01", "0.02", "0.03", "0.04", "0.05"]),
        (0.95, ["0", "0.01", "0.02", "0.03", "0.04", "0.05"]),
        (0.94, ["0", "0.02", "0.04", "0.06", "0.08", "0.1"]),
        (0.0, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
    ],
)
def test_the_axis_ends_where_the_curve_does(accuracy: float, ticks: list[str]) -> None:
    """A good model's mistakes are seen, and a bad one's fit."""
    svg = risk_coverage_curve([{"threshold": 0.5, "kept": 1.0, "accuracy": accuracy}])

    assert re.findall(r'class="end".*?>(.*?)<', svg) == ticks


def test_a_curve_of_nothing_has_axes_only() -> None:
    """Their names are told to those who cannot see the picture."""
    svg = risk_coverage_curve([])

    assert elements(svg, "curve") == []
    assert len(elements(svg, "axis")) == 2
    assert (
        ET.fromstring(svg).attrib["aria-label"]
        == "Risk-coverage curve: share of records kept, share of them wrong"
    )
