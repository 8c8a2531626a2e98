"""What a job will cost and take, from what a pilot showed: totals with intervals.

Who is asked is forecast by a Dirichlet-multinomial over the ways of a record (the models that are asked about
it, one after the other) with Jeffreys' prior, which holds for a uniform pilot of any size; what an answer
takes, by a line over the text's length, because the texts outside the pilot are measured too. Intervals are
the middle 95 % of simulated jobs. Only these estimates are floating point: what is charged is in decimals.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.forecast_lines import Answered, Line, Pace, fit_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Draws = npt.NDArray[np.float64]

__all__ = ["Answered", "Forecast", "Interval", "Observed", "Pace", "Way", "Workload", "forecast"]

_LEVEL = 0.95
_DRAWS = 4000
_SEED = 0
_PRIOR = 0.5
_UNREST = 0.04
"""How far two equal runs of a machine differ in time, as a share: no pilot can foresee that."""

Path = tuple[str, ...]
"""The models that are asked about a record, in order."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What is expected, and between what it lies with 95 % probability."""

    expected: float
    low: float
    high: float

    def over(self, whole: float) -> Interval:
        """The same as shares of a whole; nothing of nothing."""
        if not whole:
            return Interval(0.0, 0.0, 0.0)
        return Interval(self.expected / whole, self.low / whole, self.high / whole)


@dataclass(frozen=True, slots=True)
class Observed:
    """What the pilot showed."""

    paths: Mapping[Path, float]
    """How many records of a uniform sample went each way, or as much weight as what is known of it has."""
    sizes: Mapping[str, tuple[int, ...]]
    """Bytes of the texts that each model was or would be asked about."""
    answered: Mapping[str, Answered]
    """What answers took, for every model that can be asked."""
    settled: Mapping[Path, float] | None = None
    """The ways of all records that are settled already; None where they are those of the sample."""

    @property
    def records(self) -> float:
        """Records of the sample."""
        return sum(self.paths.values())

    @property
    def known(self) -> Mapping[Path, float]:
        """Records whose way is known."""
        return self.paths if self.settled is None else self.settled


@dataclass(frozen=True, slots=True)
class Workload:
    """What there is to do."""

    records: int
    """Records that models have to answer, the pilot's included."""
    mean_bytes: float
    """Mean length of their texts."""
    small: str
    """The model that answers where no rule says otherwise."""
    large: str | None
    """The model that others escalate to."""
    budget: float | None = None
    """What may be spent on hosted models."""
    spare: Answered | None = None
    """Answers of the large model that were needed for the calibration only."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to do the whole job."""

    usd: Interval
    seconds: Interval
    large_records: Interval
    """Records that the large model is asked about."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """All ways to do the job, and who is asked in the job as it stands."""

    ways: Mapping[str, Way]
    asked: Mapping[str, Interval]
    over_budget: Interval
    """Records that keep the small model's answer because the money is spent."""


def forecast(observed: Observed, work: Workload, pace: Pace) -> Forecast:
    """Forecast a job.

    Raises:
        ValueError: The pilot is empty, or a model that can be asked has no answers to learn from.

    """
    if not observed.records:
        raise ValueError("the pilot has no records, so nothing can be forecast")
    simulation = _Simulation(observed, work, pace)
    job, over = simulation.job()
    ways = {"all_small": simulation.all_small()}
    if work.large is not None:
        ways["all_large"] = simulation.all_large()
    ways["this_job"] = job
    if work.large is not None:
        ways["random_split"] = simulation.random_split(job)
    asked = {name: simulation.interval(*simulation.asked(name)) for name in simulation.models}
    return Forecast(ways, asked, over)


class _Simulation:
    """Simulated jobs: every quantity is an expected value with draws of what it may be."""

    def __init__(self, observed: Observed, work: Workload, pace: Pace) -> None:
        self._observed, self._work, self._pace = observed, work, pace
        self._random = np.random.default_rng(_SEED)
        self._paths = _possible(observed, work)
        self.models = sorted({name for path in self._paths for name in path})
        missing = [name for name in {*self.models, work.small} if not observed.answered.get(name)]
        if missing:
            raise ValueError(f"no answers of {', '.join(sorted(missing))} to forecast with")
        self._totals = self._draw_totals()
        self._usd = {name: fit_line(one.usd, one.sizes) for name, one in observed.answered.items()}
        self._seconds = {name: fit_line(one.seconds, one.sizes) for name, one in observed.answered.items()}
        # The machine is as restless in one way of doing the job as in another.
        self._unrest = np.exp(self._random.normal(0.0, _UNREST, _DRAWS))

    def _draw_totals(self) -> Draws:
        seen = np.array([self._observed.paths.get(path, 0.0) for path in self._paths], np.float64)
        known = np.array([self._observed.known.get(path, 0.0) for path in self._paths], np.float64)
        shares = self._random.dirichlet(seen + _PRIOR, _DRAWS)
        return np.asarray(known + self._random.multinomial(self._rest, shares), np.float64)

    @property
    def _rest(self) -> int:
        return max(0, self._work.records - round(sum(self._observed.known.values())))

    def asked(self, name: str) -> tuple[float, Draws]:
        """How many records a model is asked about."""
        with_it = [name in path for path in self._paths]
        seen = sum(count for path, count in self._observed.paths.items() if name in path)
        known = sum(count for path, count in self._observed.known.items() if name in path)
        expected = known + seen / self._observed.records * self._rest
        return expected, self._totals[:, with_it].sum(axis=1)

    def _mean_size(self, name: str) -> tuple[float, float]:
        """Mean length of the texts that a model is asked about, and how uncertain that is."""
        sizes = self._observed.sizes.get(name, ())
        if not sizes or len(sizes) >= self._observed.records:
            return self._work.mean_bytes, 0.0
        return float(np.mean(sizes)), float(np.std(sizes) / np.sqrt(len(sizes)))

    def _rate(self, line: Line, size: tuple[float, float]) -> tuple[float, Draws]:
        return line.at(size[0]), line.draw(self._random, *size, _DRAWS)

    def _usd_of(self, name: str, asked: tuple[float, Draws]) -> tuple[float, Draws]:
        """What a model costs in the whole job, the pilot's part of which is known."""
        answers, line = self._observed.answered[name], self._usd[name]
        known = sum(answers.usd) if answers.counted else 0.0
        expected, draws = self._rate(line, self._mean_size(name))
        left = np.maximum(0.0, asked[1] - answers.counted)
        unrest = self._random.normal(0.0, 1.0, _DRAWS) * line.spread * np.sqrt(left)
        return known + max(0.0, asked[0] - answers.counted) * expected, known + left * draws + unrest

    def _seconds_of(self, name: str, asked: tuple[float, Draws]) -> tuple[float, Draws]:
        """Worker time that a model takes from now on."""
        answers = self._observed.answered[name]
        expected, draws = self._rate(self._seconds[name], self._mean_size(name))
        factor = self._pace.factor(name, answers.seconds)
        left = np.maximum(0.0, asked[1] - answers.counted)
        return max(0.0, asked[0] - answers.counted) * expected * factor, left * draws * factor

    def _elapsed(self, expected: float, draws: Draws) -> Interval:
        pace = self._pace
        rest = pace.start_seconds + self._work.records * pace.record_seconds / pace.workers
        return self.interval(rest + expected / pace.workers, (rest + draws / pace.workers) * self._unrest)

    def job(self) -> tuple[Way, Interval]:
        """The job as it stands, and how many records the budget leaves out."""
        usd = {name: self._usd_of(name, self.asked(name)) for name in self.models}
        seconds = [self._seconds_of(name, self.asked(name)) for name in self.models]
        hosted = _added([one for name, one in usd.items() if name in self._pace.concurrency])
        local = _added([one for name, one in usd.items() if name not in self._pace.concurrency])
        limit = self._work.budget
        over = Interval(0.0, 0.0, 0.0)
        large = self.asked(self._work.large) if self._work.large in self.models else self._nothing()
        if limit is not None and hosted[0] > 0.0:
            kept = (limit / hosted[0], limit / np.maximum(hosted[1], 1e-12))
            cut = (max(0.0, 1.0 - kept[0]) * large[0], np.maximum(0.0, 1.0 - kept[1]) * large[1])
            over, large = self.interval(*cut), (large[0] - cut[0], large[1] - cut[1])
            hosted = (min(limit, hosted[0]), np.minimum(limit, hosted[1]))
        spare = () if self._work.spare is None else self._work.spare.usd
        large = (large[0] + len(spare), large[1] + len(spare))
        spent = _added([hosted, local, (sum(spare), np.full(_DRAWS, sum(spare)))])
        return Way(self.interval(*spent), self._elapsed(*_added(seconds)), self.interval(*large)), over

    def _nothing(self) -> tuple[float, Draws]:
        return 0.0, np.zeros(_DRAWS)

    def _each(self, name: str) -> tuple[tuple[float, Draws], tuple[float, Draws]]:
        """Money and worker time of a record of mean length that a model is asked about."""
        size = (self._work.mean_bytes, 0.0)
        factor = self._pace.factor(name, self._observed.answered[name].seconds)
        seconds, draws = self._rate(self._seconds[name], size)
        return self._rate(self._usd[name], size), (seconds * factor, draws * factor)

    def _all_by(self, names: Mapping[str, float], large: float) -> Way:
        """Every record by one model alone, each by its share of the records."""
        money, time = [], []
        for name, share in names.items():
            usd, seconds = self._each(name)
            count = share * self._work.records
            money.append((usd[0] * count, usd[1] * count))
            time.append((seconds[0] * count, seconds[1] * count))
        records = Interval(large, large, large)
        return Way(self.interval(*_added(money)), self._elapsed(*_added(time)), records)

    def all_small(self) -> Way:
        """Each record by the small model that it goes to first."""
        firsts: dict[str, float] = defaultdict(float)
        for path, count in self._observed.paths.items():
            firsts[path[0] if path[0] != self._work.large else self._work.small] += count
        return self._all_by({name: count / self._observed.records for name, count in firsts.items()}, 0.0)

    def all_large(self) -> Way:
        """Every record by the large model."""
        return self._all_by({self._work.large or "": 1.0}, float(self._work.records))

    def random_split(self, job: Way) -> Way:
        """As many records as the job's money pays, drawn at random, by the large model; the others small."""
        records = float(self._work.records)
        (small, _), (small_seconds, _) = self._each(self._work.small)
        (large, _), (large_seconds, _) = self._each(self._work.large or "")
        more = large - small

        def afforded(usd: float) -> float:
            return min(records, max(0.0, (usd - records * small) / more)) if more > 0.0 else records

        spent = job.usd
        count = Interval(afforded(spent.expected), afforded(spent.low), afforded(spent.high))
        busy = count.expected * large_seconds + (records - count.expected) * small_seconds
        return Way(spent, self._elapsed(busy, np.full(_DRAWS, busy)), count)

    @staticmethod
    def interval(expected: float, draws: Draws) -> Interval:
        """An expected value with the middle of its draws, which holds it."""
        low, high = np.quantile(draws, [(1.0 - _LEVEL) / 2.0, (1.0 + _LEVEL) / 2.0])
        return Interval(float(expected), float(min(low, expected)), float(max(high, expected)))


def _possible(observed: Observed, work: Workload) -> list[Path]:
    """The ways that records went, and those on which any of them may be escalated or not."""
    paths = {*observed.paths, *observed.known}
    if work.large is not None:
        for path in list(paths):
            if path[0] != work.large:
                paths |= {(path[0],), (path[0], work.large)}
    return sorted(paths)


def _added(parts: list[tuple[float, Draws]]) -> tuple[float, Draws]:
    draws = np.zeros(_DRAWS)
    for _, one in parts:
        draws = draws + one
    return sum(expected for expected, _ in parts), draws
