"""The gate: which threshold a record meets, which trusted answers are checked, and what a call is worth."""

from __future__ import annotations

import math
import random

import pytest

from router.gate import NOTHING, GateRule, call_size, fixed_gate, gain, least_gain, slice_of
from router.records import Route
from tests.router.work_examples import record

EN = Route("en", "mood", "small", None, domain="shop")


def test_without_slices_all_records_have_one_threshold() -> None:
    """Whatever the route and the labels are."""
    assert GateRule(0.7).threshold_of(EN, ("good",)) == 0.7
    assert GateRule(0.7).threshold_of(Route("ja", "topics", "small", 2), ()) == 0.7


def test_a_slice_has_its_own_threshold() -> None:
    """In a slice that nothing is known of, nothing is trusted; nor is the threshold of the whole used."""
    rule = GateRule(0.1, "language", {"en": 0.7, "de": NOTHING})

    assert rule.threshold_of(EN, ("good",)) == 0.7
    assert rule.threshold_of(Route("de", "mood", "small", None), ("good",)) == NOTHING
    assert rule.threshold_of(Route("ja", "mood", "small", None), ("good",)) == NOTHING


def test_slices_are_what_the_router_found_or_the_small_model_said() -> None:
    """A domain that nobody told and an answer without labels are the empty text."""
    assert slice_of("language", EN, ("good",)) == "en"
    assert slice_of("task", EN, ("good",)) == "mood"
    assert slice_of("domain", EN, ("good",)) == "shop"
    assert slice_of("domain", Route("en", "mood", "small", None), ("good",)) == ""
    assert slice_of("label", EN, ("good",)) == "good"
    assert slice_of("label", EN, ()) == ""


def test_labels_in_any_order_are_one_slice() -> None:
    """The certificate and the decision must name it alike."""
    assert slice_of("label", EN, ("b", "a")) == slice_of("label", EN, ("a", "b")) == "a, b"


def test_a_fixed_threshold_promises_nothing() -> None:
    """The summary says so."""
    assert fixed_gate(0.8) == {"threshold": 0.8, "certified": False, "target": None, "delta": None}


def test_none_or_all_are_audited() -> None:
    """At the ends of the fraction."""
    records = [record(offset=number) for number in range(200)]

    assert not any(GateRule(0.5).audits(one) for one in records)
    assert not any(GateRule(0.5, audit=0.0).audits(one) for one in records)
    assert all(GateRule(0.5, audit=1.0).audits(one) for one in records)


def test_the_audited_share_is_that_asked_for() -> None:
    """10,000 draws at 1 in 10 have a standard deviation of 30; a larger share holds the smaller one."""
    records = [record(offset=number) for number in range(10_000)]

    few = {one.id for one in records if GateRule(0.5, audit=0.1).audits(one)}
    more = {one.id for one in records if GateRule(0.5, audit=0.2).audits(one)}

    assert len(few) == pytest.approx(1000, abs=120)
    assert few < more


def test_an_audit_depends_on_the_id_alone() -> None:
    """So that a continued run checks the same records; an id may hold lone surrogates."""
    rule = GateRule(0.5, audit=0.5)

    assert rule.audits(record("one", offset=7)) == rule.audits(record("two", offset=7))
    odd = record()
    assert isinstance(rule.audits(type(odd)(odd.position, "\ud800", "x", "mood", None, b"")), bool)


def test_a_call_costs_more_than_the_text() -> None:
    """400 characters for instruction and answer: a doubt of .4 over 500 characters is .0008 for each."""
    assert call_size(100) == 500
    assert gain(0.6, 100) == pytest.approx(0.0008)
    assert gain(1.0, 100) == 0.0


CONFIDENCE, CHARACTERS = [0.9, 0.5, 0.5], [100, 100, 600]
"""Gains .0002, .001 and .0005 for calls of 500, 500 and 1,000 characters: 2,000 in all."""


@pytest.mark.parametrize(
    ("affordable", "expected"),
    [
        (1.0, 0.0),
        (1.5, 0.0),
        (0.99, 0.0005),
        (0.75, 0.0005),
        (0.74, 0.001),
        (0.25, 0.001),
        (0.24, math.inf),
        (0.0, math.inf),
    ],
)
def test_the_least_gain_by_hand(affordable: float, expected: float) -> None:
    """The largest gains come first, as far as the money goes."""
    assert least_gain(CONFIDENCE, CHARACTERS, affordable) == pytest.approx(expected)


def test_equal_gains_are_afforded_together_or_not_at_all() -> None:
    """A bound cannot tell them apart, so asking about one of two would cost both."""
    assert least_gain([0.5, 0.5], [100, 100], 0.5) == math.inf
    assert least_gain([0.2, 0.5, 0.5], [100, 100, 100], 0.5) == pytest.approx(0.8 / 500)


def test_without_doubted_records_all_are_afforded() -> None:
    """There is nothing to save on."""
    assert least_gain([], [], 0.0) == 0.0


def test_no_more_is_spent_than_can_be_afforded() -> None:
    """Whatever the records are, ties among them; and the next gain would be too much."""
    rng = random.Random(1)
    for _ in range(300):
        count = rng.randint(1, 30)
        sure = [rng.choice((0.1, 0.5, rng.random())) for _ in range(count)]
        lengths = [rng.choice((10, 100, rng.randint(1, 5000))) for _ in range(count)]
        share = rng.random()

        rule = GateRule(0.9, least_gain=least_gain(sure, lengths, share))

        costs = [call_size(n) for c, n in zip(sure, lengths, strict=True) if rule.affords(c, n)]
        assert sum(costs) <= share * sum(map(call_size, lengths))
        left_out = [gain(c, n) for c, n in zip(sure, lengths, strict=True) if not rule.affords(c, n)]
        if left_out:
            looser = GateRule(0.9, least_gain=max(left_out))
            more = [call_size(n) for c, n in zip(sure, lengths, strict=True) if looser.affords(c, n)]
            assert sum(more) > share * sum(map(call_size, lengths))


def test_a_call_at_the_least_gain_is_afforded() -> None:
    """The bound itself is enough; with 0 every doubt is, and with infinity none."""
    assert GateRule(0.9, least_gain=gain(0.5, 100)).affords(0.5, 100)
    assert not GateRule(0.9, least_gain=gain(0.5, 100)).affords(0.51, 100)
    assert GateRule(0.9).affords(1.0, 10**6)
    assert not GateRule(0.9, least_gain=math.inf).affords(0.0, 1)
