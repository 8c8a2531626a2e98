"""Sums over stretches of time."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from router.records import Usage
from router.timeline import STRETCHES, Timeline, timeline_of, timeline_summary

START = 1_795_000_000.0


def used(at: float | None, usd: str = "0.01", seconds: float = 0.5) -> Usage:
    """A call that was answered so many seconds after the start."""
    return Usage(10, 0, 1, seconds, Decimal(usd), None if at is None else START + at)


def test_answers_are_added_up_by_quarter_second_and_model() -> None:
    """Two answers in the first quarter, none in the second, one of another model in the third."""
    found = timeline_summary(
        timeline_of([("small", used(0.0)), ("small", used(0.2)), ("big", used(0.5, "0.07", 1.5))])
    )

    assert found == {
        "start": "2026-11-18T11:06:40.000+00:00",
        "stretch_seconds": 0.25,
        "stretches": [0, 2],
        "by_model": {
            "big": {"answers": [0, 1], "seconds": [0.0, 1.5], "usd": ["0.000000", "0.070000"]},
            "small": {"answers": [2, 0], "seconds": [1.0, 0.0], "usd": ["0.020000", "0.000000"]},
        },
        "undated": {},
    }


def test_stretches_grow_with_the_run() -> None:
    """64 stretches of a quarter fit; one answer more, and each is half a second."""
    answers = [("small", used(number / 4)) for number in range(STRETCHES)]

    assert timeline_of(answers).width == 0.25
    assert timeline_of([*answers, ("small", used(STRETCHES / 4))]).width == 0.5


def test_a_night_between_two_runs_costs_no_stretches() -> None:
    """Only stretches with answers count."""
    found = timeline_summary(timeline_of([("small", used(0.0)), ("small", used(86_400.0))]))

    assert found is not None
    assert (found["stretch_seconds"], found["stretches"]) == (0.25, [0, 345_600])


def test_parts_add_up_in_any_order() -> None:
    """However answers are parted, the timeline is that of all of them, and its money theirs."""
    drawn = random.Random(6)
    answers = [
        (drawn.choice(["small", "big"]), used(drawn.uniform(0, 900), f"0.{drawn.randrange(10**6):06}", 0.25))
        for _ in range(400)
    ]
    whole = timeline_of(answers)
    drawn.shuffle(answers)
    parts = sum((timeline_of(answers[start : start + 7]) for start in range(0, 400, 7)), Timeline())

    assert parts == whole
    assert sum(one.usd for one in whole.sums.values()) == sum(usage.usd for _, usage in answers)


@pytest.mark.parametrize("at", [None, -START - 1.0, 1e300, float("inf")])
def test_an_answer_without_a_time_is_counted_apart(at: float | None) -> None:
    """Those of earlier versions, and of damaged lines."""
    found = timeline_summary(timeline_of([("small", used(0.0)), ("small", used(at, "0.03"))]))

    assert found is not None
    assert found["by_model"]["small"]["answers"] == [1]
    assert found["undated"] == {"small": {"answers": 1, "seconds": 0.5, "usd": "0.030000"}}


def test_no_call_is_no_answer() -> None:
    """A record over the budget, or a dead endpoint."""
    assert timeline_of([("big", Usage())]) == Timeline()


def test_nothing_to_tell() -> None:
    """Neither of no answers nor of undated ones."""
    assert timeline_summary(Timeline()) is None
    assert timeline_summary(timeline_of([("small", used(None))])) is None
