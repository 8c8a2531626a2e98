"""How far a written answer is to be trusted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from router.answer_confidence import answer_features, fit_answer_head, held_back, raw_confidence
from router.generated import Generated, read_generated, write_generated


def test_the_confidence_is_the_mean_probability_and_the_agreement() -> None:
    """Geometric means: of the tokens, then of both figures; none where the model gives none."""
    assert raw_confidence(Generated("a", "en")) is None
    assert raw_confidence(Generated("a", "en", 2, math.log(0.81))) == pytest.approx(0.81)
    assert raw_confidence(Generated("a", "en", 2, math.log(0.81), -1.0, 0.25)) == pytest.approx(0.45)
    assert raw_confidence(Generated("a", "en", 2, math.log(0.81), -1.0, 0.0)) == 0.0


def test_features_are_finite() -> None:
    """What is not known is 0, and an agreement that was not asked for is 1."""
    rows = answer_features(
        [Generated("a", "en", 3, -0.5, -2.0, 0.5), Generated("b", "en", 0, -900.0, -900.0)]
    )

    assert rows.tolist() == [[-0.5, -2.0, 0.5, pytest.approx(math.log(4))], [-50.0, -50.0, 1.0, 0.0]]


def test_a_fit_learns_what_tells_right_from_wrong() -> None:
    """Answers of likely tokens are right in this sample, others are not; held-back rows show it too."""
    rng = np.random.default_rng(3)
    right = rng.random(400) < 0.5
    features = np.column_stack(
        [
            np.where(right, -0.2, -1.0) + rng.normal(0, 0.2, 400),
            np.full(400, -2.0),
            np.ones(400),
            np.ones(400),
        ]
    )

    head = fit_answer_head(features, right)
    sure = held_back(features, right)

    assert head(np.array([[-0.1, -2.0, 1.0, 1.0]]))[0] > 0.9
    assert head(np.array([[-1.2, -2.0, 1.0, 1.0]]))[0] < 0.1
    assert ((sure > 0.5) == right).mean() > 0.95


def test_a_fit_to_rows_of_one_kind_stays_finite() -> None:
    """All right, all features alike, or a single row."""
    features = np.zeros((10, 4))

    assert 0.5 < fit_answer_head(features, np.ones(10, bool))(features)[0] < 1.0
    assert held_back(features[:1], np.ones(1, bool)).shape == (1,)
    with pytest.raises(ValueError, match="no answer to learn from"):
        fit_answer_head(features[:0], np.ones(0, bool))


def test_an_answer_is_written_and_read() -> None:
    """All of it, and what is not known is left out."""
    whole = Generated("Zürich", "de", 3, -0.5, -1.5, 0.75, cut=True)
    bare = Generated("x", "und")

    assert read_generated(write_generated(whole)) == whole
    assert write_generated(bare) == {"text": "x", "generated": {"asked_in": "und", "tokens": 0}}
    assert read_generated(write_generated(bare)) == bare
    assert read_generated({"labels": []}) is None
