"""The way of the records, as a picture."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from router.flow import MOST, REFUSED, flow_diagram, sent_to, ways
from tests.router.test_report import Page


def way(records: int, rule: int | None = None, model: str = "small", status: str = "kept") -> dict[str, Any]:
    """So many records that went one way; they were sent to the small model."""
    return {"rule": rule, "chosen": "small", "model": model, "status": status, "records": records}


FLOW = [way(60), way(30, model="big", status="escalated"), way(10, rule=0, status="routed")]


def titles(svg: str | None) -> list[str]:
    """What the picture says of its bands and bars."""
    assert svg is not None
    return [one.text or "" for one in ET.fromstring(svg).iter("title")]


def test_records_are_followed_from_column_to_column() -> None:
    """100 annotated and 5 refused; what the gate sent on is told from what stayed."""
    assert ways(FLOW, 5) == {
        ((0, "records"), (1, "default → small"), "way"): 90,
        ((0, "records"), (1, "rule 0 → small"), "way"): 10,
        ((0, "records"), (1, REFUSED), "refused"): 5,
        ((1, "default → small"), (2, "small"), "way"): 60,
        ((1, "default → small"), (2, "big"), "escalated"): 30,
        ((1, "rule 0 → small"), (2, "small"), "way"): 10,
        ((2, "small"), (3, "kept"), "way"): 60,
        ((2, "big"), (3, "escalated"), "escalated"): 30,
        ((2, "small"), (3, "routed"), "way"): 10,
    }


def test_what_the_student_answers_was_not_escalated() -> None:
    """It stands in for the model that the record was sent to."""
    found = ways([way(7, model="student")], 0)

    assert {kind for _, _, kind in found} == {"way"}


def test_bands_and_bars_say_how_many_records_they_are() -> None:
    """For those who cannot measure them."""
    said = titles(flow_diagram(FLOW, 5))

    assert "records, then dead letters: 5 records" in said
    assert "default → small, then big: 30 records" in said
    assert "records: 105 records" in said
    assert "small: 70 records" in said


def test_a_band_is_as_wide_as_its_records_are_many() -> None:
    """300 high, less the head and three gaps: 208 for 104 records, 2 for each."""
    svg = flow_diagram([way(52), way(52, model="big", status="escalated")], 0)

    assert svg is not None
    widths = [one.get("stroke-width") for one in ET.fromstring(svg).iter("path")]
    assert widths == ["208.00", "104.00", "104.00", "104.00", "104.00"]


def test_one_record_of_a_million_can_be_seen() -> None:
    """It has a thin band all the same."""
    svg = flow_diagram([way(1_000_000), way(1, model="big", status="escalated")], 0)

    assert svg is not None
    assert min(float(one.get("stroke-width", "0")) for one in ET.fromstring(svg).iter("path")) == 1.5


def test_a_copy_of_an_escalated_record_went_the_same_way() -> None:
    """Its status is duplicate, and the large model's answer stands for it."""
    found = ways([way(3, model="big", status="duplicate")], 0)

    assert found[(2, "big"), (3, "duplicate"), "escalated"] == 3


def test_many_rules_are_drawn_as_few() -> None:
    """The most frequent ones by name, the others together."""
    found = ways([way(100 - rule, rule=rule) for rule in range(MOST + 2)], 0)

    names = {end[1]: records for (_, end, _), records in found.items() if end[0] == 1}
    assert len(names) == MOST
    assert names["rule 0 → small"] == 100
    assert names["others"] == 93 + 92 + 91


def test_nothing_was_read() -> None:
    """There is nothing to draw."""
    assert flow_diagram([], 0) is None


def test_everything_was_refused() -> None:
    """There is: it all went the same way."""
    assert titles(flow_diagram([], 7)) == [
        "records, then dead letters: 7 records",
        "records: 7 records",
        "dead letters: 7 records",
    ]


def test_long_names_are_cut_and_told_in_full() -> None:
    """22 characters of them; the tooltip has the rest."""
    name = "a-model-with-a-long-name-indeed"

    svg = flow_diagram([way(1, model=name)], 0)

    assert svg is not None
    words = [one.text for one in ET.fromstring(svg).iter("text")]
    assert "a-model-with-a-long-n…" in words
    assert f"{name}: 1 records" in titles(svg)


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '" onload="alert(1)', "]]></svg><b>", "a&b;\x01"]
)
def test_names_are_text(hostile: str) -> None:
    """Whatever a model is called, the picture has the same elements and attributes."""
    plain, found = flow_diagram([way(1, model="big")], 0), flow_diagram([way(1, model=hostile)], 0)

    assert plain is not None
    assert found is not None
    assert found.count("<") == plain.count("<")
    [old, new] = [Page(f"<body>{svg}</body>").tags for svg in (plain, found)]
    assert [(tag, [key for key, _ in given]) for tag, given in new] == [
        (tag, [key for key, _ in given]) for tag, given in old
    ]


@pytest.mark.parametrize(("rule", "said"), [(None, "default → m"), (0, "rule 0 → m"), (12, "rule 12 → m")])
def test_what_sent_a_record(rule: int | None, said: str) -> None:
    """Rules are counted from 0, as in the rows."""
    assert sent_to(rule, "m") == said
