"""How large a pilot pays: calls that a larger one is expected to save against the calls it costs.

All is judged from training rows by cross-validation. The rows that certify are not looked at before their
number is settled, because a sample that stops when it likes what it sees is not uniform any more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.guarantee import Population, tolerated_errors

if TYPE_CHECKING:
    import numpy.typing as npt

_SIZES = (50, 75, 100, 150, 200, 300, 400, 600, 800, 1000, 1300, 1700, 2200, 3000, 4000, 6000)
_MOST_OF_JOB = 0.5
_SLOWER = 0.6
"""A doubling of the training rows brings about so much of what the last one brought: learning curves fall by
a power of the rows (Viering and Loog, 2023), and .6 is that of an error falling with the power -0.75."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The promise that is asked for, and the job."""

    target: float
    delta: float
    records: int
    """Records that can be drawn."""
    job: int


@dataclass(frozen=True, slots=True)
class SizePlan:
    """How many records to certify with, and what the whole job is then expected to ask."""

    certify: int
    calls: float
    """Expected calls of the oracle, those of the pilot included."""
    kept: float
    """Expected share of the records outside the pilot that keep the small model's answer."""


def kept_share(confidence: npt.ArrayLike, agrees: npt.ArrayLike, wrong: float) -> float:
    """The largest share of records that can be kept with at most the share `wrong` of all kept and wrong."""
    sure, right = np.asarray(confidence, np.float64), np.asarray(agrees, bool)
    order = np.argsort(-sure, kind="stable")
    sure, errors = sure[order], np.cumsum(~right[order])
    # Where the next one is equally sure, a threshold cannot stop.
    ends = np.append(sure[:-1] != sure[1:], True) & (errors <= wrong * len(sure))
    found = np.flatnonzero(ends)
    return float((found[-1] + 1) / len(sure)) if len(found) else 0.0


def plan_size(
    confidence: npt.ArrayLike, agrees: npt.ArrayLike, terms: Terms, trained: int, *, fixed: int | None = None
) -> SizePlan:
    """The number of certifying records with which the whole job asks the oracle least.

    Args:
        confidence: of training rows, from fits without them.
        agrees: whether the oracle said the same.
        terms: the promise and the job.
        trained: records that were or will be used for training.
        fixed: certify with so many; None to choose.
    """
    sizes = _sizes(terms, trained, fixed)
    plans = [_plan(confidence, agrees, terms, trained, size) for size in sizes]
    # Asking the oracle about everything is always possible and certain.
    nothing = SizePlan(0, float(terms.records), 0.0)
    if fixed is not None and plans:
        return plans[0]
    return min([nothing, *plans], key=lambda plan: plan.calls)


def can_certify(terms: Terms, trained: int, *, fixed: int | None = None) -> bool:
    """Whether any number of certifying records proves something, where a small model errs on none of them."""
    return any(_tolerated(terms, trained, size) is not None for size in _sizes(terms, trained, fixed))


def _sizes(terms: Terms, trained: int, fixed: int | None) -> list[int]:
    """The numbers of certifying records that there can be."""
    left = terms.records - trained
    most = max(0, int(min(left, _MOST_OF_JOB * terms.records)))
    sizes = [min(fixed, left)] if fixed is not None else [size for size in _SIZES if size <= most]
    return [size for size in sizes if size > 0]


def _tolerated(terms: Terms, trained: int, size: int) -> int | None:
    population = Population(terms.records - trained, terms.job)
    return tolerated_errors(size, target=terms.target, delta=terms.delta, population=population)


def _plan(
    confidence: npt.ArrayLike, agrees: npt.ArrayLike, terms: Terms, trained: int, size: int
) -> SizePlan:
    allowed, others = _tolerated(terms, trained, size), terms.records - trained - size
    kept = 0.0 if allowed is None else kept_share(confidence, agrees, allowed / size)
    return SizePlan(size, trained + size + others * (1.0 - kept), kept)


_MORE = math.log2(1.6)
"""Doublings from a half of the rows to the four fifths that a cross-validation in five folds fits to."""


def with_half(now: SizePlan, halved: SizePlan) -> SizePlan:
    """The plan as it would be with half of the training rows.

    Args:
        now: from confidences of fits to four fifths of the rows.
        halved: from those of fits to half of the same rows, which makes the two comparable.
    """
    gained = (now.kept - halved.kept) / _MORE
    return SizePlan(now.certify, halved.calls, now.kept - gained)


def worth_growing(now: SizePlan, before: SizePlan | None, trained: int, terms: Terms) -> bool:
    """Whether twice the training rows are expected to save more calls than they cost.

    Args:
        now: with all training rows.
        before: with half of them; None where that is not known, and growing is tried.
        trained: how many there are.
        terms: the promise and the job.
    """
    after = 2 * trained
    if after > terms.records * _MOST_OF_JOB / 2:
        return False
    if before is None:
        return True
    outside = max(0, terms.records - after - now.certify)
    saved = _SLOWER * max(0.0, now.kept - before.kept) * outside
    # Of the records that are asked early, those that would not have been kept cost nothing more.
    return saved > trained * now.kept


@dataclass(frozen=True, slots=True)
class KeptShare:
    """What share of the records a gate that is still to be certified will keep."""

    expected: float
    rows: float
    """How many rows of a simple random sample would know it as well: few where the gate may go either way."""


_DRAWS = 200
_SEED = 0


def foresee_kept(
    confidence: npt.ArrayLike, agrees: npt.ArrayLike, plan: SizePlan, terms: Terms, trained: int
) -> KeptShare:
    """How sure the kept share of a plan is, by certifying on samples of the training rows again and again.

    Each time, both the training rows and a certifying sample are drawn from them with replacement.
    """
    sure, right = np.asarray(confidence, np.float64), np.asarray(agrees, bool)
    if not plan.certify or not len(sure):
        return KeptShare(plan.kept, 1.0)
    population = Population(terms.records - trained, terms.job)
    allowed = tolerated_errors(plan.certify, target=terms.target, delta=terms.delta, population=population)
    if allowed is None:
        return KeptShare(0.0, float(len(sure)))
    random = np.random.default_rng(_SEED)
    found = np.empty(_DRAWS)
    for number in range(_DRAWS):
        rows = random.choice(random.integers(0, len(sure), len(sure)), plan.certify)
        found[number] = kept_share(sure[rows], right[rows], allowed / plan.certify)
    mean, variance = float(found.mean()), float(found.var())
    if variance <= 0.0:
        return KeptShare(mean, float(len(sure)))
    return KeptShare(mean, min(float(len(sure)), max(1.0, mean * (1.0 - mean) / variance - 1.0)))
