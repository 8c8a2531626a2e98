"""Comparing answers and times of several models, with values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from router.bias import LabelBias
from router.job import Task
from router.model_bench import Said, Turn, read_said, read_truth, speed, turn_of, worth
from router.records import Answer, Failure, LabelScores, Position, Record, Usage


def task_of(kind: str = "single_label") -> Task:
    """Two labels."""
    return Task.model_validate(
        {"name": "t", "kind": kind, "instruction": "Judge.", "labels": [{"name": "bad"}, {"name": "good"}]}
    )


def answer(*probabilities: float, tokens: int = 10, seconds: float = 0.5) -> Answer:
    """What a local model answers; 6 of its tokens were cached."""
    return Answer("1", Usage(tokens, 6, 0, seconds), scores=LabelScores(np.array(probabilities)))


def record(gold: str | None) -> Record:
    """A record with a true label."""
    return Record(Position(0, 0), "a", "text", "t", gold, b"")


FAILED = Answer("1", Usage(), failure=Failure.ERROR)


def test_a_turn() -> None:
    """Tokens that were evaluated, and the seconds; a record on which the engine failed is not counted."""
    assert turn_of([answer(1, 0), FAILED, answer(1, 0, tokens=9)]) == Turn(2, 7, 1.0)
    assert turn_of([FAILED]) == Turn(0, 0, 0.0)


def test_speed_is_the_median_of_the_turns() -> None:
    """One slow turn moves neither the median nor the ratio to the first model, taken turn by turn."""
    first = [Turn(10, 100, 1.0), Turn(10, 100, 2.0), Turn(10, 100, 10.0)]
    turns = [Turn(10, 100, 0.5), Turn(10, 100, 4.0), Turn(10, 100, 5.0)]

    found = speed(turns, first)

    # 20, 2.5 and 2 records/s; 2, 0.5 and 2 times as fast as the first.
    assert found["records_per_second"] == 2.5
    assert found["tokens_per_second"] == 25.0
    assert found["times_first"] == 2.0
    assert found["turns"][0] == {"records": 10, "tokens": 100, "seconds": 0.5}
    assert speed(first, first)["times_first"] == 1.0


def test_no_speed_without_answers() -> None:
    """Where the engine failed on everything there is nothing to divide."""
    found = speed([Turn(0, 0, 0.0)], [Turn(1, 1, 1.0)])

    assert (found["records_per_second"], found["tokens_per_second"], found["times_first"]) == (None,) * 3


def test_answers_are_read_as_in_a_run() -> None:
    """Divided by the mean: .4 / .8 and .6 / .2, so .5 and 3, so 1/7 and 6/7."""
    bias = LabelBias("1", "t", (0.8, 0.2), 20)

    [raw, failed] = read_said([answer(0.6, 0.4), FAILED], task_of(), None)
    [divided] = read_said([answer(0.4, 0.6)], task_of(), bias)

    assert (raw, failed) == (Said("bad", 0.6), None)
    assert divided is not None
    assert divided.label == "good"
    assert divided.confidence == pytest.approx(6 / 7)


def test_several_labels() -> None:
    """Answers and truth have one form, whatever order the gold column has."""
    task = task_of("multi_label")

    [said] = read_said([answer(0.9, 0.7)], task, None)

    assert said is not None
    assert [said.label] == read_truth([record('["good", "bad"]')], task)
    assert said.confidence == 0.7


def test_a_true_label_that_the_task_does_not_have() -> None:
    """It is refused: an accuracy against other labels would mean nothing."""
    assert read_truth([record("bad")], task_of()) == ["bad"]
    with pytest.raises(ValueError, match="'awful' is not a label of task 't'"):
        read_truth([record("awful")], task_of())


def test_what_answers_are_worth() -> None:
    """Four records: the second model mends one, spoils one, and fails on one."""
    truth = ["a", "a", "b", "b"]
    first = [Said("a", 0.9), Said("b", 0.9), Said("b", 0.9), Said("b", 0.9)]
    second = [Said("b", 0.5), Said("a", 1.0), Said("b", 1.0), None]

    found = worth(second, first, truth, multi=False)

    assert (found["accuracy"]["count"], found["accuracy"]["of"]) == (2, 3)
    assert (found["agreement"]["count"], found["agreement"]["of"]) == (1, 3)
    assert (found["gained"], found["lost"], found["failed"]) == (1, 1, 1)
    # One answer of confidence .5 is wrong, two of confidence 1 are right.
    assert found["calibration_error"] == pytest.approx(0.5 / 3)


def test_a_model_agrees_with_itself() -> None:
    """Nothing gained or lost; accuracy 1 of 2 with its exact interval."""
    said = [Said("a", 0.75), Said("b", 0.75)]

    found = worth(said, said, ["a", "a"], multi=False)

    assert found["agreement"]["rate"] == 1.0
    assert (found["gained"], found["lost"], found["failed"]) == (0, 0, 0)
    # Of 2 trials, 1: the upper end is 1 - the lower one, and 1 - (1 - p)^2 = .025 at the lower.
    assert found["accuracy"]["low"] == pytest.approx(1 - 0.975**0.5)
    assert found["accuracy"]["high"] == pytest.approx(0.975**0.5)
    assert found["calibration_error"] == pytest.approx(0.25)
