"""Drift: whether two samples of confidences are of one kind."""

from __future__ import annotations

import numpy as np
import pytest

from router.drift import compare_confidences


def test_the_same_sample_has_no_distance() -> None:
    """And chance makes a distance of 0 always."""
    found = compare_confidences([0.1, 0.5, 0.9], [0.1, 0.5, 0.9])

    assert (found.distance, found.p_value, found.drifted) == (0.0, 1.0, False)


def test_a_distance_by_hand() -> None:
    """At .5, three quarters of the one and none of the other are below."""
    assert compare_confidences([0.1, 0.2, 0.5, 0.9], [0.6, 0.95]).distance == 0.75


def test_ties_count_once() -> None:
    """All of both lie at the same place."""
    assert compare_confidences([0.5] * 10, [0.5] * 3).distance == 0.0


def test_samples_of_one_kind_are_rarely_taken_for_two() -> None:
    """In about 1 of 100 pairs: more than 15 of 500 have a probability of less than 1 in 1,000."""
    rng = np.random.default_rng(4)
    pairs = [compare_confidences(rng.beta(5, 1, 300), rng.beta(5, 1, 400)) for _ in range(500)]

    assert sum(pair.drifted for pair in pairs) <= 15


def test_a_model_that_became_unsure_is_noticed() -> None:
    """Its confidence fell from .83 to .67 in the mean."""
    rng = np.random.default_rng(5)

    assert compare_confidences(rng.beta(5, 1, 300), rng.beta(2, 1, 300)).drifted


def test_nothing_to_compare_is_refused() -> None:
    """It would look like no drift."""
    with pytest.raises(ValueError, match="0 confidences cannot be compared with 1"):
        compare_confidences([], [0.5])


def test_a_sample_may_stand_for_more() -> None:
    """A distance of .5: sqrt(8 * 8 / 16) * .5 = 1, and K(1) = .27; with 800 each it is no chance."""
    before, now = [0.1, 0.2, 0.8, 0.9], [0.8, 0.9, 0.95, 0.99]

    found = compare_confidences(before, now, (8, 8))

    assert found.distance == 0.5
    assert found.p_value == pytest.approx(0.27, abs=1e-5)
    assert compare_confidences(before, now, (800, 800)).drifted
