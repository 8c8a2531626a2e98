"""How a model's scores become probabilities and a confidence."""

from __future__ import annotations

import numpy as np
import pytest

from router.calibration import ChosenPrompt, answers_of, asked_task, surety
from router.confidence import ConfidenceCurve
from router.evidence import Evidence
from router.head import Head
from router.job import Example
from router.records import LabelScores
from tests.router.calibration_examples import model
from tests.router.work_examples import SENTIMENT

HEAD = Head("features", np.zeros(3), np.array([[0.0] * 3, [1.0, 0.0, 0.0]]), np.zeros(2))


def scores(*probabilities: float, features: list[float] | None = None) -> LabelScores:
    """What a model said."""
    given = None if features is None else np.array(features, np.float32)
    return LabelScores(np.array(probabilities), given)


def test_label_scores_are_divided_by_their_mean() -> None:
    """.4/.8 against .6/.2 is 1 to 6, and the confidence that of the likeliest."""
    probabilities, confidence = model().read(scores(0.4, 0.6))

    assert probabilities == pytest.approx([1 / 7, 6 / 7])
    assert confidence == pytest.approx(6 / 7)


def test_the_curve_makes_the_confidence() -> None:
    """With a shift of log(1/6), odds of 6 to 1 become even."""
    probabilities, confidence = model(curve=ConfidenceCurve(1.0, 1.0, -np.log(6.0))).read(scores(0.4, 0.6))

    assert probabilities == pytest.approx([1 / 7, 6 / 7])
    assert confidence == pytest.approx(0.5)


def test_a_head_takes_the_place_of_the_label_scores() -> None:
    """A feature of log(3) is three quarters, whatever the scores say."""
    probabilities, confidence = model(head=HEAD).read(scores(0.9, 0.1, features=[np.log(3.0)]))

    assert probabilities == pytest.approx([0.25, 0.75])
    assert confidence == pytest.approx(0.75)


def test_a_head_without_its_features_is_refused() -> None:
    """As after a run that did not keep them."""
    with pytest.raises(ValueError, match="score the texts again"):
        model(head=HEAD).read(scores(0.9, 0.1))
    with pytest.raises(ValueError, match="another model or task"):
        model(head=HEAD).read(scores(0.9, 0.1, features=[1.0, 2.0]))


def test_scores_of_many_labels_are_taken_as_they_are() -> None:
    """multi_label: the confidence is that of the least certain decision, .7 against the last one."""
    probabilities, confidence = model(scaled=None).read(scores(0.9, 0.8, 0.3))

    assert probabilities.tolist() == [0.9, 0.8, 0.3]
    assert confidence == pytest.approx(0.7)


def test_many_answers_are_read_as_each_alone() -> None:
    """At once or one by one."""
    many = np.array([[0.4, 0.6], [0.9, 0.1], [0.5, 0.5]])

    for one in (model(), model(head=HEAD), model(scaled=None)):
        features = np.array([[1.0], [2.0], [-1.0]], np.float32)
        found = one.probabilities(Evidence(many, features))
        alone = [one.read(LabelScores(row, f))[0] for row, f in zip(many, features, strict=True)]
        assert found == pytest.approx(np.array(alone))


def test_how_sure_answers_look() -> None:
    """The likeliest label of one, the least certain decision of many."""
    given = np.array([[0.2, 0.8], [0.6, 0.4]])

    assert surety(given, multi_label=False).tolist() == [0.8, 0.6]
    assert surety(given, multi_label=True).tolist() == [0.8, 0.6]
    assert surety(np.array([[0.9, 0.45]]), multi_label=True) == pytest.approx([0.55])


def test_labels_of_probabilities() -> None:
    """The first of equal ones; in a multi_label task all from one half on, or none."""
    given = np.array([[0.5, 0.5], [0.2, 0.8], [0.4, 0.3]])

    assert answers_of(given, ("a", "b"), multi_label=False) == [("a",), ("b",), ("a",)]
    assert answers_of(given, ("a", "b"), multi_label=True) == [("a", "b"), ("b",), ()]


def test_a_chosen_prompt_shows_its_own_examples() -> None:
    """None of them are none; where nothing was chosen the job file's stay."""
    own = (Example(text="fine", label="good"),)
    with_own = SENTIMENT.model_copy(update={"examples": own})
    other = (Example(text="awful", label="bad"),)

    assert asked_task(with_own, None) is with_own
    assert asked_task(with_own, ChosenPrompt(None, None)) is with_own
    assert asked_task(with_own, ChosenPrompt(None, ())).examples == ()
    assert asked_task(with_own, ChosenPrompt(None, other)).examples == other
    assert with_own.examples == own
