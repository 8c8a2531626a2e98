"""How hard a text was, once a small model has answered."""

from __future__ import annotations

import numpy as np
import pytest

from router.hindsight import Answered, Hindsight, fit_hindsight, wrong_probabilities
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


def test_an_opinion_shows_which_sure_answers_are_wrong() -> None:
    """Confidence is right about half of the errors, an opinion about the others: together they rank best."""
    rng = np.random.default_rng(2)
    confidence, opinion = rng.uniform(0.5, 1.0, 600), rng.uniform(0.05, 0.95, 600)
    wrong = rng.uniform(size=600) < (1.0 - confidence) * (1.5 - 1.4 * opinion)
    flat = np.full(600, 0.2)
    alone = wrong_probabilities(confidence, ["a"] * 600, flat, wrong)
    found = wrong_probabilities(confidence, ["a"] * 600, flat, wrong, opinion)

    assert (auroc(found, wrong) or 0.0) > (auroc(alone, wrong) or 0.0) + 0.05


def test_what_was_fitted_is_a_weighted_sum_of_log_odds() -> None:
    """By hand: the odds of confidence are 3, of complexity 1, of the opinion 1/9.

    They count 3, 0.3 and 0.5 times their weights -1/3, 5 and -1: odds of 1/3 * 1 * 3 = 1.
    """
    weights = np.array([-1 / 3, 5.0, -1.0, 0.0, 0.0])
    seen = Answered(np.array([0.75]), ["a"], np.array([0.5]), np.array([0.1]))

    assert Hindsight("all", ("a",), weights, 0.0).wrong_probabilities(seen) == pytest.approx([0.5])


def test_an_answer_that_was_not_there_to_fit_to_counts_as_no_label() -> None:
    """Weights: confidence, complexity, then of the label `a`, which counts 0.3 times, and its confidence."""
    weights = np.array([0.0, 0.0, np.log(3.0) / 0.3, 0.0])
    seen = Answered(np.array([0.75, 0.75]), ["a", "b"], np.array([0.5, 0.5]))

    assert Hindsight("all", ("a",), weights, 0.0).wrong_probabilities(seen) == pytest.approx([0.75, 0.5])


def test_an_opinion_is_needed_exactly_where_it_was_fitted_to() -> None:
    """Silently leaving a weight out would shift every probability."""
    confidence, answers, complexity, wrong = records()
    fitted = fit_hindsight(Answered(confidence, answers, complexity), wrong).hindsight

    assert fitted.way == "all"
    with pytest.raises(ValueError, match="fitted to 6 inputs, got 7: give the second opinion here if it was"):
        fitted.wrong_probabilities(Answered(confidence, answers, complexity, complexity))


def test_other_records_are_ranked_as_the_held_back_ones() -> None:
    """Fitted to one half, it ranks the other: as well, and the same each time."""
    confidence, answers, complexity, wrong = records(2_000)
    first = Answered(confidence[:1000], answers[:1000], complexity[:1000])
    rest = Answered(confidence[1000:], answers[1000:], complexity[1000:])
    fitted, again = (fit_hindsight(first, wrong[:1000]) for _ in range(2))
    found = fitted.hindsight.wrong_probabilities(rest)

    assert found.tolist() == again.hindsight.wrong_probabilities(rest).tolist()
    held_back = auroc(fitted.held_back, wrong[:1000]) or 0.0
    assert auroc(found, wrong[1000:]) == pytest.approx(held_back, abs=0.05)


def test_parts_of_different_lengths_are_refused() -> None:
    """They would be of different records."""
    with pytest.raises(ValueError, match=r"have the lengths \[2, 1, 2\]"):
        Answered(np.array([0.5, 0.6]), ["a"], np.array([0.5, 0.6]))
