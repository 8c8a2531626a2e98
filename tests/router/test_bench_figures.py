"""Medians, ratios and percentiles of benchmarks, with values worked out by hand."""

from __future__ import annotations

import pytest

from router.bench_figures import (
    Spread,
    by_turns,
    digits,
    gflops_a_core,
    percentile,
    ratio_of_turns,
    slice_of,
)


def test_a_spread_is_the_median_between_the_lowest_and_the_highest() -> None:
    """Of an even number of values the median lies half way between the middle ones."""
    assert Spread.of([5.0, 1.0, 3.0]) == Spread(3.0, 1.0, 5.0)
    assert Spread.of([4.0, 1.0, 2.0, 9.0]) == Spread(3.0, 1.0, 9.0)
    assert Spread.of([12.34567]).as_json() == {"median": 12.35, "low": 12.35, "high": 12.35}


def test_no_measurement_is_no_spread() -> None:
    """It is refused, and not taken for zero."""
    with pytest.raises(ValueError, match="at least one repeat"):
        Spread.of([])


def test_a_ratio_is_taken_turn_by_turn() -> None:
    """In the second turn the machine was ten times slower for both: their ratio stays the same."""
    assert ratio_of_turns([20.0, 2.0, 30.0], [10.0, 1.0, 10.0]) == Spread(2.0, 2.0, 3.0)


def test_a_turn_that_took_no_time_makes_no_ratio() -> None:
    """Nor do turns that nothing stands against."""
    with pytest.raises(ValueError, match="more records"):
        ratio_of_turns([1.0], [0.0])
    with pytest.raises(ValueError, match="argument"):
        ratio_of_turns([1.0, 2.0], [1.0])


def test_ways_are_measured_forwards_and_backwards_by_turns() -> None:
    """Each way once a turn, with the turn's number."""
    order: list[str] = []

    def way(name: str) -> float:
        order.append(name)
        return float(len(order))

    told: list[str] = []
    found = by_turns({"a": lambda _: way("a"), "b": lambda turn: way(f"b{turn}")}, 3, told.append)

    assert order == ["a", "b0", "b1", "a", "a", "b2"]
    assert found == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}
    assert told[:3] == ["turn 1 of 3: a", "turn 1 of 3: b", "turn 2 of 3: b"]


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 20.0), (75, 30.0), (76, 40.0), (99, 40.0), (100, 40.0), (1, 10.0)]
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    """Of 10, 20, 30 and 40, each stands for a quarter."""
    assert percentile([40.0, 10.0, 30.0, 20.0], percent) == expected


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_a_percentile_that_does_not_exist_is_refused(values: list[float], percent: float) -> None:
    """No value, or no such percentage."""
    with pytest.raises(ValueError, match="does not exist"):
        percentile(values, percent)


def test_operations_are_two_for_each_parameter_and_token() -> None:
    """100 million parameters at 250 tokens a second: 50 billion, or 25 on each of two cores."""
    assert gflops_a_core(100_000_000, 250.0, 1) == 50.0
    assert gflops_a_core(100_000_000, 250.0, 2) == 25.0


def test_significant_digits_are_kept() -> None:
    """Four, wherever the point stands."""
    assert [digits(value) for value in (1234.56, 0.0123456, 0.0)] == [1235.0, 0.01235, 0.0]


def test_each_turn_takes_the_next_items_and_starts_over_after_the_last() -> None:
    """Three items, two a turn."""
    assert [slice_of("abc", turn, 2) for turn in range(3)] == [["a", "b"], ["c", "a"], ["b", "c"]]
