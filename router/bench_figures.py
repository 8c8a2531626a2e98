"""Figures of a benchmark: turns of several ways, their medians, and what one way is to another."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_GIGA = 1e9


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of repeated measurements and how far they lie apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value. Raises `ValueError` for none."""
        if not values:
            raise ValueError("there is no measurement: give at least one repeat")
        return cls(statistics.median(values), min(values), max(values))

    def as_json(self) -> dict[str, float]:
        """Plain data, rounded to four digits that say something."""
        return {"median": digits(self.median), "low": digits(self.low), "high": digits(self.high)}


def digits(value: float, count: int = 4) -> float:
    """The value rounded to so many significant digits."""
    return float(f"{value:.{count}g}")


def ratio_of_turns(ours: Sequence[float], others: Sequence[float]) -> Spread:
    """What one way is to another, turn by turn: a machine that gets slower meanwhile slows both.

    Raises `ValueError` where they had not as many turns, or one took no time that can be measured.
    """
    if any(value <= 0 for value in others):
        raise ValueError("a turn was too short to be measured: give more records")
    return Spread.of([mine / other for mine, other in zip(ours, others, strict=True)])


def by_turns(
    ways: Mapping[str, Callable[[int], float]],
    repeats: int,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, list[float]]:
    """Measure each way once a turn, forwards and backwards by turns, so that none is always the first.

    Args:
        ways: by name, what measures one turn (they are counted from 0) and returns its figure.
        repeats: how many turns.
        tell: is told what is measured next.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats):
        for name in list(ways) if turn % 2 == 0 else list(ways)[::-1]:
            tell(f"turn {turn + 1} of {repeats}: {name}")
            found[name].append(ways[name](turn))
    return found


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of the values do not exceed (nearest rank).

    Raises `ValueError` for no values, or a percentage outside (0, 100].
    """
    if not values or not 0 < percent <= 100:  # noqa: PLR2004 - percent
        raise ValueError(f"the {percent:g}th percentile of {len(values)} values does not exist")
    return sorted(values)[math.ceil(percent / 100 * len(values)) - 1]


def gflops_a_core(parameters: int, tokens_a_second: float, threads: int) -> float:
    """Billions of operations a second on each core: a token multiplies and adds each parameter once."""
    return 2 * parameters * tokens_a_second / threads / _GIGA


def slice_of(items: Sequence[str], turn: int, size: int) -> list[str]:
    """The items of a turn: each turn takes the next ones, and goes on at the first after the last."""
    return [items[(turn * size + number) % len(items)] for number in range(size)]
