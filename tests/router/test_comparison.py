"""Figures of models side by side, with values worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from router.comparison import Learned, Said, Tagged, figures, segments_of, side_by_side

ALL = np.ones(4, bool)


def said(answered: str = "yyyy", right: str = "yyyn", seconds: float = 0.5) -> Said:
    """Four answers, `y` for yes; each costs .001 dollars."""
    there = np.array([letter == "y" for letter in answered])
    return Said(
        there,
        there & np.array([letter == "y" for letter in right]),
        (Decimal("0.001"),) * 4,
        np.full(4, seconds),
        (40, 4),
    )


def test_quality_cost_and_speed_of_all_records() -> None:
    """Three of four are right: 1 USD for a thousand, two records a second."""
    found = figures(said(), None, ALL)
    assert (found.quality.count, found.quality.of, found.quality.rate) == (3, 4, 0.75)
    # Clopper and Pearson's interval for 3 of 4.
    assert (found.quality.low, found.quality.high) == pytest.approx((0.1941, 0.9937), abs=1e-4)
    assert found.usd_per_thousand == Decimal(1)
    assert (found.records_per_second, found.median_seconds, found.slowest_seconds) == (2.0, 0.5, 0.5)
    assert (found.learned, found.kept, found.failed) == (None, None, 0)


def test_failures_are_counted_apart_from_quality() -> None:
    """Two failed; of the other two one is right."""
    found = figures(said("nyny"), None, ALL)
    assert (found.failed, found.quality.count, found.quality.of) == (2, 1, 2)


def test_a_model_that_never_answered_has_no_quality_and_no_speed() -> None:
    """Nothing is divided by nothing."""
    found = figures(said("nnnn"), None, ALL)
    assert (found.quality.rate, found.records_per_second, found.median_seconds) == (None, None, None)


def test_what_could_be_kept_is_counted_from_the_threshold_on() -> None:
    """.9 and .8 of four are at least .8; an answer that is missing is never kept, whatever the threshold."""
    right = np.array([True, True, False, False])
    learned = Learned(np.array([0.9, 0.8, 0.7, -1.0]), right, 0.8)
    found = figures(said(), learned, ALL)
    assert found.kept is not None
    assert found.learned is not None
    assert (found.kept.count, found.kept.of, found.learned.count) == (2, 4, 2)
    everything = Learned(learned.confidence, right, -1.0)
    assert everything.kept.tolist() == [True, True, True, False]


def test_a_segment_has_figures_of_its_own() -> None:
    """The second half only: one of two right."""
    found = figures(said(), None, np.array([False, False, True, True]))
    assert (found.records, found.quality.count, found.quality.of) == (2, 1, 2)
    assert found.usd_per_thousand == Decimal(1)
    nothing = figures(said(), None, np.zeros(4, bool))
    assert (nothing.records, nothing.usd_per_thousand) == (0, Decimal(0))


def test_segments_are_those_that_tell_records_apart() -> None:
    """One task only is no segment; a domain that cannot be told has none; the largest comes first."""
    tags = [
        Tagged("ja", "travel", "mood"),
        Tagged("en", None, "mood"),
        Tagged("en", "travel", "mood"),
        Tagged("en", "law", "mood"),
    ]
    found = segments_of(tags)
    assert list(found) == [
        ("language", "en"),
        ("language", "ja"),
        ("domain", "travel"),
        ("domain", "law"),
    ]
    assert found["language", "en"].tolist() == [False, True, True, True]
    assert list(segments_of(tags, 2)) == [("language", "en"), ("domain", "travel")]
    assert segments_of([]) == {}


def test_side_by_side_is_json_values() -> None:
    """Money is text; every model stands in every segment."""
    at = np.array([True, False, False, True])
    found = side_by_side({"one": (said(), None)}, {("language", "en"): at}, 4)
    assert found["all"]["one"]["usd_per_thousand"] == "1.000000"
    assert found["by"]["language"]["en"]["one"]["quality"]["of"] == 2
