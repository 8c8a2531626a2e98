"""What an answer takes: by the length of its text, and by how a worker waits for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

_LEAST = 8
"""With fewer answers the length of the texts is left aside."""
_GROUPS = 2000
_SEED = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """What answers of one model took, and how long their texts were in bytes."""

    usd: tuple[float, ...]
    seconds: tuple[float, ...]
    sizes: tuple[int, ...]
    counted: int
    """How many of them the job has already: all, or none where they are estimates."""

    def __bool__(self) -> bool:
        """Whether there is anything to learn from."""
        return bool(self.usd)


@dataclass(frozen=True, slots=True)
class Line:
    """A mean that depends on a text's length."""

    mean: float
    slope: float
    """More of it by byte."""
    centre: float
    """Mean length of the texts that it was fitted to."""
    noise: float
    """Standard deviation around the line."""
    spread: float
    """Standard deviation around the mean."""
    count: int

    def at(self, size: float) -> float:
        """The mean for texts of a mean length; never below 0."""
        return max(0.0, self.mean + self.slope * (size - self.centre))

    def draw(
        self, random: np.random.Generator, size: float, error: float, count: int
    ) -> npt.NDArray[np.float64]:
        """What that mean may be, with a standard error of the mean length."""
        sizes = size + error * random.normal(0.0, 1.0, count)
        means = self.mean + self.slope * (sizes - self.centre)
        means += random.normal(0.0, 1.0, count) * self.noise / np.sqrt(self.count)
        return np.asarray(np.maximum(0.0, means), np.float64)


def fit_line(values: Sequence[float], sizes: Sequence[int]) -> Line:
    """The least-squares line; a flat one where there are few values or all texts are equally long.

    Raises `ValueError` where there is no value.
    """
    if not values:
        raise ValueError("there is no answer to fit a line to")
    taken, long = np.asarray(values, np.float64), np.asarray(sizes, np.float64)
    mean, centre = float(taken.mean()), float(long.mean())
    # One value alone says nothing of the others: it may be off by as much as it is.
    spread = float(taken.std(ddof=1)) if len(taken) > 1 else mean
    varies = float(((long - centre) ** 2).sum())
    if len(taken) < _LEAST or varies == 0.0:
        return Line(mean, 0.0, centre, spread, spread, len(taken))
    slope = float(((long - centre) * (taken - mean)).sum()) / varies
    rest = taken - mean - slope * (long - centre)
    return Line(mean, slope, centre, float(np.sqrt((rest**2).sum() / (len(taken) - 2))), spread, len(taken))


def occupancy(seconds: Sequence[float], concurrency: int) -> float:
    """What part of a call's time a worker waits for it, where it makes so many calls at once.

    A worker asks about `concurrency` records and waits for the slowest: the mean of the slowest of so many,
    drawn from the calls that were timed, over their number.
    """
    mean = float(np.mean(seconds))
    if concurrency == 1 or mean <= 0.0:
        return 1.0
    groups = np.random.default_rng(_SEED).choice(np.asarray(seconds), (_GROUPS, concurrency))
    return float(groups.max(axis=1).mean()) / concurrency / mean


_COLD = 3.0
"""How many times the median a call takes that is taken for a cold server's first one."""


def without_cold_starts(seconds: Sequence[float], connections: int) -> tuple[float, ...]:
    """Times of calls, those of a server that was still cold replaced by the median.

    At most one call for each connection can be the first one, so no more of the slowest are looked at: slow
    calls that keep coming are the endpoint's own and stay.
    """
    if not seconds:
        return ()
    median = float(np.median(np.asarray(seconds, np.float64)))
    slowest = sorted(range(len(seconds)), key=lambda at: -seconds[at])[:connections]
    cold = {at for at in slowest if seconds[at] > _COLD * median}
    return tuple(median if at in cold else value for at, value in enumerate(seconds))


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the machine is, apart from the models."""

    workers: int = 1
    start_seconds: float = 0.0
    """What a run takes that has nothing to do."""
    record_seconds: float = 0.0
    """What a worker needs for a record beside the models."""
    concurrency: Mapping[str, int] = field(default_factory=dict)
    """By hosted model: how many records a worker asks about at once."""
    occupied: Mapping[str, float] = field(default_factory=dict)
    """By hosted model: the worker's time for a record as a part of a call's, where that was measured."""

    def factor(self, name: str, seconds: Sequence[float]) -> float:
        """What part of a call's time a worker waits for it, from times of calls where it was not measured."""
        known = self.occupied.get(name)
        return occupancy(seconds, self.concurrency.get(name, 1)) if known is None else known
