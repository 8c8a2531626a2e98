"""From which confidence on the student answers, and what it and the small model are together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from router.confidence import ConfidenceCurve
from router.records import LabelScores
from router.route_head import RouteHead
from router.student import Judged, Student, choose_cut, combine, task_probabilities
from router.student_training import fit_student, with_cut
from router.text_view import view_texts


def judged(*rows: tuple[float, int]) -> Judged:
    """Answers: how sure, and whether right."""
    return Judged(np.array([sure for sure, _ in rows]), np.array([right == 1 for _, right in rows]))


SURE = judged((0.9, 1), (0.8, 1), (0.7, 1), (0.6, 0), (0.5, 1))
SMALL = judged((0.55, 0), (0.95, 0), (0.65, 1), (0.85, 1), (0.75, 1))


def test_the_student_answers_from_the_cut_on() -> None:
    """Two rows are surer than .75: theirs are the student's answers, the other three the small model's."""
    both = combine(SURE, SMALL, 0.75)

    assert both.confidence.tolist() == [0.9, 0.8, 0.65, 0.85, 0.75]
    assert both.agrees.tolist() == [True, True, True, True, True]


def test_the_lowest_cut_that_costs_nothing_is_taken() -> None:
    """From .6 on three of four answers are right, as the target asks, and the small model's are right on two.

    One mistake in five rows is tolerated: the small model alone keeps four, both together all. From .5 on
    the student is no better than the small model, of whose five answers three are right. So the cut is .55.
    """
    found = choose_cut(SURE, SMALL, target=0.75, wrong=0.2)

    assert found is not None
    assert found.confidence == pytest.approx(0.55)
    assert (found.taken, found.kept, found.before) == (0.8, 1.0, 0.8)


def test_answers_that_miss_the_target_do_not_count() -> None:
    """For .9 the mistake at .6 is one too many: only the three answers above it count."""
    found = choose_cut(SURE, SMALL, target=0.9, wrong=0.2)

    assert found is not None
    assert found.confidence == pytest.approx(0.65)
    assert (found.taken, found.kept) == (0.6, 1.0)


def test_what_the_promise_leaves_open_is_not_spent() -> None:
    """A mistake would be tolerated, but at .6 the small model is right, and the target asks for more."""
    student = judged((0.95, 1), (0.95, 1), (0.6, 1), (0.6, 0))

    found = choose_cut(student, judged(*[(0.9, 1)] * 4), target=0.75, wrong=0.25)

    assert found is not None
    assert found.confidence == pytest.approx(0.775)
    assert found.taken == 0.5


def test_a_student_that_costs_calls_is_left_out() -> None:
    """Its surest answer is a mistake, above which nothing is kept; the small model keeps three of four."""
    student = judged((0.95, 1), (0.96, 0), (0.1, 0), (0.1, 0))
    small = judged((0.9, 1), (0.8, 1), (0.7, 1), (0.6, 0))

    assert choose_cut(student, small, target=0.5, wrong=0.0) is None


def test_a_student_with_few_answers_is_left_out() -> None:
    """One of 25 records is less than a twentieth, so looking at all of them does not pay."""
    student = judged((0.9, 1), *[(0.1, 0)] * 24)
    small = judged(*[(0.5, 1)] * 25)

    assert choose_cut(student, small, target=0.9, wrong=0.0) is None


def test_equal_confidences_are_taken_together() -> None:
    """Two of three answers at .8 are right: none of them counts where nine of ten must be."""
    student = judged((0.8, 1), (0.8, 1), (0.8, 0), (0.1, 0))

    assert choose_cut(student, judged(*[(0.0, 0)] * 4), target=0.9, wrong=0.0) is None


def test_without_a_large_model_no_fewer_may_agree() -> None:
    """Every answer stands: with the student from .7 on all five agree, and three without it."""
    found = choose_cut(SURE, SMALL, target=0.9, wrong=0.0, escalates=False)

    assert found is not None
    assert found.confidence == pytest.approx(0.65)
    assert (found.kept, found.before) == (1.0, 0.6)


def encode(texts: list[str]) -> np.ndarray:
    """Vectors that say nothing."""
    return np.tile(np.array([1.0, 0.0], np.float32), (len(texts), 1))


def rows(count: int) -> tuple[list, list[str]]:
    """Texts that say good or bad, and their labels; every fourth says neither."""
    texts, labels = [], []
    for number in range(count):
        label = ("negative", "positive")[number % 2]
        word = "thing" if number // 2 % 2 == 0 else {"negative": "awful", "positive": "lovely"}[label]
        texts.append(f"it was a {word}")
        labels.append(label)
    return view_texts(texts, encode), labels


def test_a_student_knows_what_it_knows() -> None:
    """It is sure, and right, where a word tells, and unsure elsewhere: on rows that it did not learn from."""
    views, labels = rows(200)

    found = fit_student("sentiment", views, labels, encoder="e")

    assert found is not None
    told = np.arange(200) // 2 % 2 == 1
    assert found.judged.agrees[told].all()
    assert found.judged.confidence[told].min() > 0.9
    assert found.judged.confidence[~told].max() < 0.7
    assert found.student.rows == 200


def test_a_label_of_one_record_counts_as_a_mistake() -> None:
    """It cannot be learned; the student's answer to that record is held against it."""
    views, labels = rows(100)
    labels[3] = "mixed"

    found = fit_student("sentiment", views, labels, encoder="e")

    assert found is not None
    assert found.student.labels == ("negative", "positive")
    assert not found.judged.agrees[3]
    assert found.judged.confidence[3] > 0.9


@pytest.mark.parametrize("count", [0, 20])
def test_too_few_records_teach_nobody(count: int) -> None:
    """There is nothing to tell a confidence by."""
    assert fit_student("sentiment", *rows(count), encoder="e") is None


def test_one_label_teaches_nobody() -> None:
    """There is nothing to tell apart."""
    views, labels = rows(100)

    assert fit_student("sentiment", views, ["positive"] * len(labels), encoder="e") is None


def test_what_is_kept_answers_like_what_was_fitted() -> None:
    """Weights of n-grams that no text had are left out, and come back as zeros."""
    views, labels = rows(100)
    found = fit_student("sentiment", views, labels, encoder="e")
    assert found is not None
    head = found.student.head

    assert isinstance(head, RouteHead)
    assert 0 < len(found.student.buckets) < 1000
    seen = task_probabilities(head, views[:4], ("positive", "unseen", "negative"))
    assert seen[:, 1].tolist() == [0.0] * 4
    np.testing.assert_allclose(seen.sum(axis=1), 1.0)
    assert seen[3, 0] > 0.9
    assert seen[2, 0] < 0.1


def test_its_digest_is_that_of_all_it_depends_on() -> None:
    """Another cut or another weight is another student."""
    one = Student(
        "t",
        ("a", "b"),
        np.zeros((2, 3), np.float32),
        np.zeros(0, np.int32),
        np.zeros((0, 2), np.float16),
        np.zeros(2, np.float32),
        1.0,
        ConfidenceCurve(),
        0.9,
        100,
        "e",
    )
    other = dataclasses.replace(one, intercept=np.ones(2, np.float32))

    assert one.digest == with_cut(one, 0.9).digest
    assert len({one.digest, with_cut(one, 0.8).digest, other.digest}) == 3


def test_its_confidence_is_the_curve_of_its_likeliest_label() -> None:
    """The log odds are 2 log(p) - log(1 - p): for p = .8, log(.64 / .2), which makes .64 / .84."""
    student = Student(
        "t",
        ("a", "b"),
        np.zeros((2, 3), np.float32),
        np.zeros(0, np.int32),
        np.zeros((0, 2), np.float16),
        np.zeros(2, np.float32),
        1.0,
        ConfidenceCurve(2.0, 1.0, 0.0),
        0.9,
        100,
        "e",
    )

    _, confidence = student.reading.read(LabelScores(np.array([0.2, 0.8])))

    assert confidence == pytest.approx(0.64 / 0.84)
