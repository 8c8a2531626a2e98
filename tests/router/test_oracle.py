"""What the oracle said of a record."""

from __future__ import annotations

import pytest

from router.oracle import gold_labels, oracle_labels
from router.records import Failure
from tests.router.work_examples import SENTIMENT, TOPICS, failed, said, scored


def test_labels_of_a_hosted_model() -> None:
    """In any order; a multi_label answer may have none."""
    assert oracle_labels(said("good"), SENTIMENT) == frozenset({"good"})
    assert oracle_labels(said("b", "a"), TOPICS) == frozenset({"a", "b"})
    assert oracle_labels(said(), TOPICS) == frozenset()


def test_labels_of_a_large_local_model() -> None:
    """Its scores are taken as they are."""
    assert oracle_labels(scored([0.4, 0.6], model="big"), SENTIMENT) == frozenset({"good"})
    assert oracle_labels(scored([0.5, 0.6, 0.4], model="big"), TOPICS) == frozenset({"a", "b"})


@pytest.mark.parametrize("failure", list(Failure))
def test_without_an_answer_the_oracle_has_no_word(failure: Failure) -> None:
    """Which is not the same as saying that no label applies."""
    assert oracle_labels(failed(failure), TOPICS) is None
    assert oracle_labels(None, TOPICS) is None


@pytest.mark.parametrize(
    ("gold", "labels"),
    [
        (None, None),
        ("a", {"a"}),
        ('["b", "a"]', {"a", "b"}),
        ('["a", "a"]', {"a"}),
        ("[]", set()),
        ('"a"', None),
    ],
)
def test_gold_labels_of_many(gold: str | None, labels: set[str] | None) -> None:
    """A JSON list of names, or one name; text that is neither is refused."""
    if gold is not None and labels is None:
        with pytest.raises(ValueError, match="is not a label of task 'topics'"):
            gold_labels(gold, TOPICS)
    else:
        assert gold_labels(gold, TOPICS) == (None if labels is None else frozenset(labels))


def test_a_gold_label_of_one() -> None:
    """The name itself; a list is no label of the task."""
    assert gold_labels("bad", SENTIMENT) == frozenset({"bad"})
    assert gold_labels(None, SENTIMENT) is None
    with pytest.raises(ValueError, match="is not a label"):
        gold_labels('["bad"]', SENTIMENT)


def test_a_label_may_look_like_json() -> None:
    """Numbers, `true` and `null` are names in a multi_label task too."""
    names = [{"name": name} for name in ("1", "true", "null")]
    task = TOPICS.model_validate({**TOPICS.model_dump(), "labels": names})

    for name in ("1", "true", "null"):
        assert gold_labels(name, task) == frozenset({name})
    assert gold_labels('["1", "null"]', task) == frozenset({"1", "null"})


@pytest.mark.parametrize("gold", ["Good", "good ", "", "neutral"])
def test_another_label_is_refused(gold: str) -> None:
    """With the label, the task's own ones and what to do."""
    with pytest.raises(ValueError, match=r"input.gold: '.*' is not .* task 'mood' \(bad, good\): correct"):
        gold_labels(gold, SENTIMENT)
