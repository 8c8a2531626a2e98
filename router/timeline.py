"""When a job's answers came and what they cost: sums over equal stretches of time, by model.

Every part of the output has such sums, and they add up: whatever the order, the same answers come to the same
timeline, whose money is that of the records.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from router.records import Usage, write_money

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STRETCHES = 64
"""At most so many stretches have answers; where there would be more, each becomes twice as long."""
SHORTEST = 0.25
"""Seconds of a stretch at level 0."""
_LATEST = 1e11
"""A time beyond it is a damaged one: it is some three thousand years away."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What came and what it took."""

    answers: int = 0
    seconds: float = 0.0
    usd: Decimal = Decimal(0)

    def __add__(self, other: Spent) -> Spent:
        """Sum field by field."""
        return Spent(self.answers + other.answers, self.seconds + other.seconds, self.usd + other.usd)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Sums by stretch and model; timelines add up."""

    level: int = 0
    """A stretch lasts `SHORTEST` × 2 ** level seconds."""
    sums: Mapping[tuple[int | None, str], Spent] = field(default_factory=dict)
    """By the stretch's number since 1970, None where an answer's time is not known, and the model's name."""

    @property
    def width(self) -> float:
        """Seconds of a stretch."""
        return SHORTEST * 2.0**self.level

    def __add__(self, other: Timeline) -> Timeline:
        """Sum two timelines, in stretches long enough for both."""
        level = max(self.level, other.level)
        sums: dict[tuple[int | None, str], Spent] = defaultdict(Spent)
        for one in (self, other):
            for (number, model), spent in one.sums.items():
                sums[None if number is None else number >> (level - one.level), model] += spent
        return _bounded(level, sums)


def timeline_of(calls: Iterable[tuple[str, Usage]]) -> Timeline:
    """The timeline of records' calls: the model, and what it took on the record."""
    sums: dict[tuple[int | None, str], Spent] = defaultdict(Spent)
    for model, usage in calls:
        if usage == Usage():
            # There was no answer: the budget was spent, or the endpoint was dead.
            continue
        at = usage.at if usage.at is not None and 0 < usage.at < _LATEST else None
        number = None if at is None else int(at / SHORTEST)
        sums[number, model] += Spent(1, usage.seconds, usage.usd)
    return _bounded(0, sums)


def _bounded(level: int, sums: Mapping[tuple[int | None, str], Spent]) -> Timeline:
    while len({number for number, _ in sums if number is not None}) > STRETCHES:
        longer: dict[tuple[int | None, str], Spent] = defaultdict(Spent)
        for (number, model), spent in sums.items():
            longer[None if number is None else number >> 1, model] += spent
        level, sums = level + 1, longer
    return Timeline(level, dict(sums))


def timeline_summary(timeline: Timeline) -> dict[str, Any] | None:
    """The timeline as JSON values; None where no answer's time is known.

    Returns:
        `start` of the first stretch (ISO, UTC), `stretch_seconds`, `stretches` (numbers, counted from the
        first one; those in which nothing came are left out), and for each model of `by_model` its `answers`,
        `seconds` and `usd` in each of them. `undated` is the same of answers whose time is not known.
    """
    numbers = sorted({number for number, _ in timeline.sums if number is not None})
    if not numbers:
        return None
    models = sorted({model for number, model in timeline.sums if number is not None})
    none = Spent()
    start = datetime.fromtimestamp(numbers[0] * timeline.width, timezone.utc)
    return {
        "start": start.isoformat(timespec="milliseconds"),
        "stretch_seconds": timeline.width,
        "stretches": [number - numbers[0] for number in numbers],
        "by_model": {
            model: _columns([timeline.sums.get((number, model), none) for number in numbers])
            for model in models
        },
        "undated": {
            model: {name: column[0] for name, column in _columns([spent]).items()}
            for (number, model), spent in sorted(timeline.sums.items(), key=lambda item: item[0][1])
            if number is None
        },
    }


def _columns(spent: list[Spent]) -> dict[str, list[Any]]:
    return {
        "answers": [one.answers for one in spent],
        "seconds": [round(one.seconds, 3) for one in spent],
        "usd": [write_money(one.usd) for one in spent],
    }
