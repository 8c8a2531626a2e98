"""A threshold with a promise: at least so many of a job's annotations are what the oracle would have said.

Records at or above the threshold keep the small model's answer, all others get the oracle's own. So what can
be wrong in the whole job are accepted records on which the small model disagrees with the oracle, and a
sample that was answered by both tells how many of those there can be.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Population:
    """The finite job that a sample was drawn from."""

    records: int
    """Records that the sample was drawn from without replacement, those in the sample included."""
    job: int
    """Annotations in the job: `records`, and others that are known to be the oracle's."""

    def __post_init__(self) -> None:
        """Refuse a job smaller than what was drawn from it."""
        if not 0 < self.records <= self.job:
            raise ValueError(
                f"{self.records} records were drawn from, in a job of {self.job}: the first is a part of the "
                "second and not empty"
            )


def certify_threshold(
    confidence: npt.ArrayLike,
    agrees: npt.ArrayLike,
    *,
    target: float,
    delta: float,
    population: Population | None = None,
) -> float | None:
    """Return the lowest threshold that keeps the promise, or None where none can.

    **The promise.** With probability at least 1 - delta over the draw of the sample, at least the fraction
    `target` of the job's annotations equal the oracle's, if exactly those records whose confidence is at
    least the threshold keep the small model's answer, and all others get the oracle's. It holds for any
    number of classes, any sample size, any model and any distribution of scores, ties included.

    **Assumptions.** The sample is uniform: every set of its size was equally likely. It had no part in making
    the scores: what trained or calibrated them is disjoint from it.

    **Why it holds.** Order all records on which model and oracle disagree by falling confidence (within
    ties in any order). A threshold is wrong if it accepts more than A of them that are not in the sample,
    where A is what the target allows. The threshold returned lies just above the (k+1)-th disagreement *of
    the sample* in that order, so it is wrong only if at most k of the first A + 1 + k disagreements are in
    the sample. How many are is hypergeometric, whatever the scores are, since the order does not depend on
    the draw; k is the largest number for which that has a probability of at most delta. No union over
    thresholds is paid for: the event is about one fixed set of records. This is fixed-sequence testing
    (Maurer, Hothorn and Lehmacher 1995) from the strictest threshold on, with the exact test of each
    threshold, in the form in which the first non-rejection can be read off. In an infinite population
    (`population` None) the hypergeometric becomes a binomial with the rate 1 - target (Clopper and Pearson
    1934).

    The promise allows the fraction 1 - target to be wrong, so a small share of a useless model's answers
    passes too; whether that is worth anything is for the caller to judge.

    Args:
        confidence: of each sampled record, shape (n,); any finite scale on which more is surer.
        agrees: whether model and oracle said the same of it, shape (n,).
        target: fraction of annotations that must agree, between 0 and 1.
        delta: probability with which the promise may be broken, between 0 and 1.
        population: the finite job; None where it is unbounded, or its size is not known.

    Raises:
        ValueError: a value is out of its range, not finite, or the arrays differ in length.
    """
    scores, right = _checked(confidence, agrees, target, delta)
    if population is not None and len(scores) > population.records:
        raise ValueError(f"{len(scores)} records were sampled from {population.records}")
    allowed = tolerated_errors(len(scores), target=target, delta=delta, population=population)
    if allowed is None or not len(scores):
        return None
    wrong = np.sort(scores[~right])[::-1]
    if len(wrong) <= allowed:
        return float(scores.min())
    # Above the whole tie group of the first disagreement that is one too many.
    accepted = scores[scores > wrong[allowed]]
    return float(accepted.min()) if len(accepted) else None


@functools.lru_cache(maxsize=4096)
def tolerated_errors(
    sampled: int, *, target: float, delta: float, population: Population | None = None
) -> int | None:
    """How many accepted disagreements a sample may show: the k of `certify_threshold`.

    The largest k for which seeing at most k would have a probability of at most `delta` if the promise were
    broken. None where even 0 proves nothing, because the sample is too small.
    """
    chance = _chance_at(sampled, target, population)
    least, most = -1, sampled
    # The chance grows with k.
    while least < most:
        middle = (least + most + 1) // 2
        if chance(middle) <= delta:
            least = middle
        else:
            most = middle - 1
    return None if least < 0 else least


@functools.lru_cache(maxsize=4096)
def broken_at_most(
    sampled: int, *, target: float, delta: float, population: Population | None = None
) -> int | None:
    """How many differences of any kind a sample may show, where no record is known to be the oracle's.

    The largest k for which seeing at most k would have a probability of at most `delta` if more annotations
    differed than the target allows. For one threshold that was settled before: `certify_threshold` needs
    less, because what it escalates cannot differ. None where even 0 proves nothing.
    """
    if population is None:
        return tolerated_errors(sampled, target=target, delta=delta)
    wrong = _allowed(target, population.job) + 1
    if wrong > population.records:
        return sampled
    least = -1
    while least < sampled and hypergeometric_at_most(least + 1, population.records, wrong, sampled) <= delta:
        least += 1
    return None if least < 0 else least


def _chance_at(sampled: int, target: float, population: Population | None) -> Callable[[int], float]:
    """For each k: the chance of at most k accepted disagreements in the sample of a broken promise."""
    if population is None:
        return lambda k: binomial_at_most(k, sampled, 1.0 - target)
    allowed = _allowed(target, population.job)

    def chance(k: int) -> float:
        wrong = allowed + 1 + k
        # Fewer records than it would take to break the promise cannot break it.
        return (
            0.0
            if wrong > population.records
            else hypergeometric_at_most(k, population.records, wrong, sampled)
        )

    return chance


def _allowed(target: float, job: int) -> int:
    """Annotations that may differ: the largest whole number that leaves the fraction `target`."""
    allowed = math.floor(job * (1.0 - target))
    # 1 - .9 is a little more than .1 as a float, or a little less.
    while job - allowed < target * job:
        allowed -= 1
    while job - (allowed + 1) >= target * job:
        allowed += 1
    return allowed


def binomial_at_most(k: int, n: int, p: float) -> float:
    """P(X <= k) for a binomial X of n draws at rate p."""
    if k < 0:
        return 0.0
    return 1.0 if k >= n else float(special.bdtr(k, n, p))


def hypergeometric_at_most(k: int, population: int, marked: int, drawn: int) -> float:
    """P(X <= k), where X of `drawn` records are among the `marked` of a population, summed exactly."""
    least, most = max(0, drawn - (population - marked)), min(marked, drawn)
    if k < least:
        return 0.0
    if k >= most:
        return 1.0
    seen = np.arange(least, k + 1)
    terms = _log_choose(marked, seen) + _log_choose(population - marked, drawn - seen)
    return min(1.0, float(np.exp(terms - _log_choose(population, np.array([drawn]))).sum()))


def _log_choose(n: int, k: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    found = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return np.asarray(found, np.float64)


def _checked(
    confidence: npt.ArrayLike, agrees: npt.ArrayLike, target: float, delta: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    for name, value in (("target", target), ("delta", delta)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} is {value}: give a fraction between 0 and 1, such as 0.95 or 0.05")
    scores, right = np.asarray(confidence, dtype=np.float64), np.asarray(agrees)
    if scores.ndim != 1 or scores.shape != right.shape:
        raise ValueError(
            f"confidence has shape {scores.shape} and agrees {right.shape}: give one value of each a record"
        )
    if not np.isfinite(scores).all():
        raise ValueError("a confidence is not finite: leave out records that got none, and escalate them")
    if not np.isin(right, (0, 1)).all():
        raise ValueError("agrees holds something other than true and false")
    return scores, right.astype(bool)
