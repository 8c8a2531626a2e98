"""Heads: what they compute, and when one is taken in place of the label scores."""

from __future__ import annotations

import numpy as np
import pytest

from router.evidence import Evidence
from router.head import Head, head_inputs
from router.head_training import TrainingRows, choose_head, fit_scaled, log_losses


def test_a_head_by_hand() -> None:
    """Logits 0 and log(3): a quarter and three quarters."""
    head = Head("scores", np.zeros(2), np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([0.0, np.log(6.0)]))

    assert head.probabilities(Evidence(np.array([[0.5, 0.5]])))[0] == pytest.approx([0.25, 0.75])


def test_features_stand_before_the_logarithms_of_the_scores() -> None:
    """In the order in which a calibration stores the weights."""
    found = head_inputs("features", Evidence(np.array([[0.5, 1.0]]), np.array([[7.0]], np.float32)))

    assert found[0] == pytest.approx([7.0, np.log(0.5), 0.0])


def test_a_head_of_another_model_is_refused() -> None:
    """Its number of inputs tells."""
    head = Head("features", np.zeros(5), np.zeros((2, 5)), np.zeros(2))

    with pytest.raises(ValueError, match="trained on 5 inputs got 3"):
        head.probabilities(Evidence(np.array([[0.5, 0.5]]), np.zeros((1, 1), np.float32)))


def test_answers_without_features_are_refused_by_a_head_that_needs_them() -> None:
    """A missing feature is no zero."""
    with pytest.raises(ValueError, match="score the texts again"):
        Head("features", np.zeros(3), np.zeros((2, 3)), np.zeros(2)).probabilities(Evidence(np.ones((1, 2))))


def _rows(count: int, *, useful: bool, labels: int = 3) -> TrainingRows:
    """Scores that say nothing; features that tell the label where they are useful."""
    rng = np.random.default_rng(1)
    answers = rng.integers(0, labels, count)
    features = rng.normal(size=(count, 40))
    if useful:
        features[np.arange(count), answers] += 3.0
    return TrainingRows(
        Evidence(np.full((count, labels), 1.0 / labels), features.astype(np.float32)), answers
    )


def test_useful_features_are_used() -> None:
    """The scores say nothing, the features nearly everything."""
    rows, other = _rows(300, useful=True), _rows(400, useful=True)

    choice = choose_head(rows)

    assert choice.head is not None
    assert choice.head.inputs == "features"
    assert "the head on features" in choice.reason
    probabilities = choice.head.probabilities(other.seen.take(np.arange(300, 400)))  # type: ignore[index]
    assert (probabilities.argmax(axis=1) == other.answers[300:]).mean() > 0.9
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(100))


def test_the_head_is_the_one_that_was_tried() -> None:
    """Turning it back from the directions in which it was fitted changes nothing."""
    rows = _rows(300, useful=True)
    choice = choose_head(rows)

    assert choice.head is not None
    seen = choice.head.probabilities(rows.seen)
    assert log_losses(seen, rows.answers).mean() < choice.chosen.log_loss


def test_useless_features_leave_the_label_scores() -> None:
    """A head must beat them by more than chance."""
    choice = choose_head(_rows(300, useful=False))

    assert choice.head is None
    assert "no head beat the label scores" in choice.reason


def test_few_rows_leave_the_label_scores() -> None:
    """Twenty rows are too few for a head of dozens of inputs."""
    choice = choose_head(_rows(20, useful=True))

    assert choice.head is None
    assert "too few rows" in choice.reason


def test_more_labels_than_rows_of_each_make_no_noise() -> None:
    """scikit-learn would warn of them, and warnings are errors here."""
    answers = np.arange(40) % 30

    choice = choose_head(TrainingRows(Evidence(np.full((40, 30), 1 / 30)), answers))

    assert choice.head is None


def test_a_useful_embedding_is_used() -> None:
    """Alone, or beside features that say something else."""
    rows = _rows(300, useful=True)
    features, rng = rows.seen.features, np.random.default_rng(5)
    assert features is not None
    noise = rng.normal(size=features.shape).astype(np.float32)
    halves = features.copy(), features.copy()
    halves[0][:, 1], halves[1][:, 0] = noise[:, 1], noise[:, 0]

    def chosen(*parts: np.ndarray[tuple[int, int], np.dtype[np.float32]] | None) -> str | None:
        head = choose_head(TrainingRows(Evidence(rows.seen.scores, *parts), rows.answers)).head
        return None if head is None else head.inputs

    assert chosen(None, features) == "embedding"
    assert chosen(noise, features) == "embedding"
    assert chosen(*halves) == "features and embedding"
    assert chosen(noise, noise) is None


def test_a_head_takes_its_parts_in_order() -> None:
    """Features, embedding, logarithms: as a calibration stores the weights."""
    seen = Evidence(np.array([[0.5, 1.0]]), np.array([[7.0]], np.float32), np.array([[8.0]], np.float32))

    assert head_inputs("features and embedding", seen)[0] == pytest.approx([7.0, 8.0, np.log(0.5), 0.0])
    assert head_inputs("embedding", seen)[0] == pytest.approx([8.0, np.log(0.5), 0.0])


def test_one_label_only_leaves_the_label_scores() -> None:
    """There is nothing to tell apart."""
    rows = TrainingRows(Evidence(np.full((50, 2), 0.5)), np.zeros(50, np.int64))

    assert choose_head(rows).head is None


def test_a_label_that_was_never_said_gets_no_probability() -> None:
    """And two that were make a head of two, whose weights scikit-learn gives as one row."""
    rng = np.random.default_rng(2)
    answers = rng.choice([0, 2], 200)
    scores = np.full((200, 3), 0.2)
    scores[np.arange(200), np.where(answers == 0, 1, 2)] = 0.6

    choice = choose_head(TrainingRows(Evidence(scores), answers))

    assert choice.head is not None
    found = choice.head.probabilities(Evidence(np.array([[0.2, 0.6, 0.2], [0.2, 0.2, 0.6]])))
    assert found.argmax(axis=1).tolist() == [0, 2]
    assert found[:, 1].tolist() == [0.0, 0.0]


def test_scaled_scores_are_divided_by_their_mean() -> None:
    """At temperature 1: .5/.8 against .5/.2 is 1 to 4."""
    found = fit_scaled(np.array([[0.8, 0.2]] * 4), np.array([0, 1, 0, 1]))

    assert found.mean == pytest.approx((0.8, 0.2))
    again = type(found)(found.mean, 1.0).probabilities(np.array([[0.5, 0.5]]))
    assert again[0] == pytest.approx([0.2, 0.8])


def test_the_temperature_takes_an_overconfident_model_down() -> None:
    """It says 9 to 1 and is right in 3 of 4: odds of 3 need the exponent log(3)/log(9) = 1/2."""
    scores = np.array([[0.9, 0.1], [0.1, 0.9]] * 200)
    answers = np.where(np.arange(400) % 8 < 6, np.arange(400) % 2, 1 - np.arange(400) % 2)

    assert fit_scaled(scores, answers).temperature == pytest.approx(2.0, abs=0.01)


def test_rows_that_do_not_belong_together_are_refused() -> None:
    """Lengths differ, or an answer is no label."""
    with pytest.raises(ValueError, match="do not go with"):
        TrainingRows(Evidence(np.ones((3, 2))), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="not one of the 2 labels"):
        TrainingRows(Evidence(np.ones((1, 2))), np.array([2]))
