"""How hard a text was, once a small model has answered."""

from __future__ import annotations

import numpy as np
import pytest

from router.hindsight import wrong_probabilities
from router.routing_quality import auroc


def records(count: int = 400) -> tuple[np.ndarray, list[str], np.ndarray, np.ndarray]:
    """Confidence says nothing; complexity and the answer do: `b` is wrong twice as often."""
    rng = np.random.default_rng(0)
    complexity = rng.uniform(0.05, 0.95, count)
    answers = ["a" if number % 2 else "b" for number in range(count)]
    risk = complexity * np.array([0.4 if answer == "a" else 0.8 for answer in answers])
    return rng.uniform(0.5, 1.0, count), answers, complexity, rng.uniform(size=count) < risk


def test_complexity_and_answer_help_a_confidence_that_says_nothing() -> None:
    """The area under the curve is then far above chance."""
    confidence, answers, complexity, wrong = records()
    found = wrong_probabilities(confidence, answers, complexity, wrong)

    assert (auroc(found, wrong) or 0.0) > 0.7
    assert abs((auroc(-confidence, wrong) or 0.0) - 0.5) < 0.1
    assert found.min() > 0.0
    assert found.max() < 1.0


def test_confidence_alone_stays_where_the_others_say_nothing() -> None:
    """The order is then exactly that of the confidence."""
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1.0, 400)
    wrong = rng.uniform(size=400) < 1.0 - confidence
    found = wrong_probabilities(confidence, ["a"] * 400, rng.uniform(size=400), wrong)

    assert np.argsort(found).tolist() == np.argsort(-confidence).tolist()


@pytest.mark.parametrize("wrong", [0, 4, 396, 400])
def test_answers_that_are_nearly_all_alike_teach_nothing(wrong: int) -> None:
    """Five of each are needed, one for each fold."""
    confidence, answers, complexity, _ = records()
    with pytest.raises(ValueError, match=f"{wrong} of 400 answers are wrong: more of both are needed"):
        wrong_probabilities(confidence, answers, complexity, np.arange(400) < wrong)
