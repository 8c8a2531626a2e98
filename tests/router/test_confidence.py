"""Confidence: beta calibration of how sure a model looks."""

from __future__ import annotations

import numpy as np
import pytest

from router.confidence import ConfidenceCurve, fit_confidence


def test_the_curve_with_no_terms_changes_nothing() -> None:
    """Log odds = log(p) - log(1 - p)."""
    assert ConfidenceCurve()([0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9])


def test_a_curve_by_hand() -> None:
    """2 log(.5) - log(.5) + 0 = log(.5), whose odds 1:2 are a third."""
    assert ConfidenceCurve(2.0, 1.0, 0.0)([0.5]) == pytest.approx([1 / 3])


def test_no_rows_leave_the_curve_as_it_is() -> None:
    """There is nothing to learn from."""
    assert fit_confidence([], []) == ConfidenceCurve()


def test_an_overconfident_model_is_taken_down() -> None:
    """It says .95 and is right in 6 of 10."""
    raw, agrees = np.full(1000, 0.95), np.arange(1000) % 10 < 6

    assert fit_confidence(raw, agrees)([0.95]) == pytest.approx([0.6], abs=0.01)


def test_an_underconfident_model_is_brought_up() -> None:
    """Two levels, each with its own rate: three terms can meet both."""
    raw = np.repeat([0.4, 0.6], 1000)
    agrees = np.concatenate([np.arange(1000) % 10 < 7, np.arange(1000) % 100 < 98])

    assert fit_confidence(raw, agrees)([0.4, 0.6]) == pytest.approx([0.7, 0.98], abs=0.02)


def test_it_never_changes_the_order() -> None:
    """Even where the surer answers of the sample were the worse ones."""
    raw = np.linspace(0.3, 0.999, 400)
    curve = fit_confidence(raw, raw < 0.6)

    assert (np.diff(curve(np.linspace(0.0, 1.0, 101))) > 0).all()


@pytest.mark.parametrize("agrees", [True, False])
def test_a_model_that_is_always_or_never_right_gets_a_finite_curve(agrees: bool) -> None:
    """A rate of 0 or 1 in a sample is none in the job."""
    found = fit_confidence(np.full(20, 0.7), np.full(20, agrees))([0.7])[0]

    assert (0.9 < found < 1.0) if agrees else (0.0 < found < 0.2)


def test_certainty_is_taken_for_almost_certainty() -> None:
    """0 and 1 have no finite odds."""
    assert np.isfinite(ConfidenceCurve(3.0, 3.0, 0.0)([0.0, 1.0])).all()


@pytest.mark.parametrize(
    ("raw", "agrees", "says"),
    [
        ([0.5], [True, False], "shape"),
        ([1.5], [True], "between 0 and 1"),
        ([float("nan")], [True], "between"),
    ],
)
def test_wrong_arrays_are_refused(raw: list[float], agrees: list[bool], says: str) -> None:
    """With what is wrong."""
    with pytest.raises(ValueError, match=says):
        fit_confidence(raw, agrees)
