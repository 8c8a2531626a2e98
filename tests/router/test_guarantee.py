"""The promise of the gate: worked out by hand at its edges, and kept over many simulated jobs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from router.guarantee import (
    Population,
    binomial_at_most,
    broken_at_most,
    certify_threshold,
    hypergeometric_at_most,
    tolerated_errors,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Scores = npt.NDArray[np.float64]
    Truth = npt.NDArray[np.bool_]

TARGET, DELTA = 0.95, 0.05


def test_fifty_nine_records_are_the_fewest_that_prove_anything() -> None:
    """0.95 ** 58 is .0510 and 0.95 ** 59 is .0485: with 58 even a clean sample proves nothing at 95 %."""
    assert tolerated_errors(58, target=TARGET, delta=DELTA) is None
    assert tolerated_errors(59, target=TARGET, delta=DELTA) == 0
    assert certify_threshold([0.9] * 58, [True] * 58, target=TARGET, delta=DELTA) is None
    assert certify_threshold([0.9] * 59, [True] * 59, target=TARGET, delta=DELTA) == 0.9


def test_the_threshold_lies_above_the_first_disagreement_too_many() -> None:
    """With 100 records one may be wrong (P(X <= 1) is .0371): all above the second one is accepted."""
    scores = np.linspace(0.01, 1.0, 100)
    agrees = np.ones(100, bool)
    agrees[[89, 79, 69]] = False

    assert tolerated_errors(100, target=TARGET, delta=DELTA) == 1
    assert certify_threshold(scores, agrees, target=TARGET, delta=DELTA) == pytest.approx(0.81)
    agrees[[79, 69]] = True
    assert certify_threshold(scores, agrees, target=TARGET, delta=DELTA) == pytest.approx(0.01)


def test_ties_are_refused_whole() -> None:
    """A threshold cannot tell equal scores apart: the whole group of the disagreement is escalated."""
    scores = [0.9] * 50 + [0.5] * 50
    agrees = [True] * 50 + [False] * 2 + [True] * 48

    assert certify_threshold(scores, agrees, target=TARGET, delta=DELTA) == 0.9
    assert certify_threshold([0.9] * 100, [False] * 2 + [True] * 98, target=TARGET, delta=DELTA) is None


def test_of_a_useless_model_no_more_passes_than_may_be_wrong() -> None:
    """It is surest where it is wrong: of 500 records the 16 that the sample tolerates, and no more."""
    scores = np.arange(500) / 500

    assert tolerated_errors(500, target=TARGET, delta=DELTA) == 16
    assert certify_threshold(scores, scores < 0.5, target=TARGET, delta=DELTA) == 484 / 500


def test_a_sample_that_is_the_whole_job_proves_everything() -> None:
    """All its records have the oracle's own answer; and the few that are left cannot break the promise."""
    scores, agrees = [0.5] * 20, [False] * 20

    assert certify_threshold(
        scores, agrees, target=TARGET, delta=DELTA, population=Population(20, 20)
    ) == pytest.approx(0.5)
    # One of 21 records is left; at 95 % one of 21 may be wrong.
    assert certify_threshold(
        scores, agrees, target=TARGET, delta=DELTA, population=Population(21, 21)
    ) == pytest.approx(0.5)


def test_a_finite_job_allows_more() -> None:
    """Answers that the pilot has from the oracle cannot be wrong, so the others may be more often."""
    unbounded = tolerated_errors(1000, target=TARGET, delta=DELTA)

    assert unbounded == 38
    assert tolerated_errors(1000, target=TARGET, delta=DELTA, population=Population(10**9, 10**9)) == 38
    assert tolerated_errors(1000, target=TARGET, delta=DELTA, population=Population(4000, 5000)) == 66


def test_no_records_give_no_threshold() -> None:
    """Though of two records left in a job of 100 none could break the promise: there is no confidence."""
    assert tolerated_errors(0, target=TARGET, delta=DELTA, population=Population(2, 100)) == 0
    assert certify_threshold([], [], target=TARGET, delta=DELTA, population=Population(2, 100)) is None
    assert certify_threshold([], [], target=TARGET, delta=DELTA) is None


def test_differences_of_any_kind_in_an_unbounded_job() -> None:
    """They are as many as may be accepted ones."""
    for sampled, expected in ((58, None), (59, 0), (100, 1), (1000, 38)):
        assert broken_at_most(sampled, target=TARGET, delta=DELTA) == expected


@pytest.mark.parametrize(
    ("sampled", "expected"),
    [
        # At 80 %, 2 of 10 may differ. If 3 do, 5 draws miss them all with 7*6*5*4*3 / 10*9*8*7*6 = 1/12 ...
        (5, None),
        # ... 6 draws with 4*3*2 / 10*9*8 = 1/30, and see at most one with 1/30 + 3 * C(7,5) / C(10,6) = 1/3.
        (6, 0),
        # 9 draws see at least 2 of 3, and 2 of them with 3 * C(7,7) / C(10,9) = .3.
        (9, 1),
        (10, 2),
    ],
)
def test_differences_of_any_kind_in_a_finite_job(sampled: int, expected: int | None) -> None:
    """Of a sample that is the whole job as many may differ as of the job."""
    assert broken_at_most(sampled, target=0.8, delta=0.05, population=Population(10, 10)) == expected


def test_fewer_records_than_may_differ_cannot_break_the_promise() -> None:
    """Of 100 five may differ, and five are left: all of the sample may."""
    population = Population(5, 100)

    assert broken_at_most(3, target=TARGET, delta=DELTA, population=population) == 3
    assert broken_at_most(0, target=TARGET, delta=DELTA, population=population) == 0
    assert broken_at_most(0, target=TARGET, delta=DELTA, population=Population(6, 100)) is None


def test_differences_that_nothing_makes_good_are_tolerated_less() -> None:
    """What a threshold escalates is right for certain, so of accepted records more may be wrong."""
    population = Population(4000, 5000)

    accepted = tolerated_errors(1000, target=TARGET, delta=DELTA, population=population)
    any_kind = broken_at_most(1000, target=TARGET, delta=DELTA, population=population)

    assert accepted == 66
    assert any_kind is not None
    # 251 of 4,000 differ where it is broken: 62.75 of 1,000, with a deviation of 6.6.
    assert hypergeometric_at_most(any_kind, 4000, 251, 1000) <= DELTA
    assert hypergeometric_at_most(any_kind + 1, 4000, 251, 1000) > DELTA
    assert any_kind < accepted


@pytest.mark.parametrize(
    ("k", "n", "p", "expected"),
    [(0, 2, 0.5, 0.25), (1, 2, 0.5, 0.75), (2, 2, 0.5, 1.0), (-1, 2, 0.5, 0.0), (0, 3, 0.1, 0.729)],
)
def test_binomial(k: int, n: int, p: float, expected: float) -> None:
    """Sums by hand."""
    assert binomial_at_most(k, n, p) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("k", "population", "marked", "drawn", "expected"),
    [
        (0, 10, 3, 2, 7 * 6 / 90),
        (1, 10, 3, 2, 1 - 3 * 2 / 90),
        (0, 10, 8, 3, 0.0),
        (1, 10, 8, 3, 8 / math.comb(10, 3)),
        (3, 10, 3, 5, 1.0),
    ],
)
def test_hypergeometric(k: int, population: int, marked: int, drawn: int, expected: float) -> None:
    """Sums by hand, with more draws than unmarked records too."""
    assert hypergeometric_at_most(k, population, marked, drawn) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("scores", "agrees", "options", "said"),
    [
        ([0.5], [True], {"target": 1.0}, "target is 1.0"),
        ([0.5], [True], {"delta": 0.0}, "delta is 0.0"),
        ([0.5, 0.6], [True], {}, r"shape \(2,\) and agrees \(1,\)"),
        ([math.nan], [True], {}, "not finite"),
        ([0.5], [2], {}, "other than true and false"),
        ([0.5, 0.5], [True, True], {"population": Population(1, 1)}, "2 records were sampled from 1"),
    ],
)
def test_what_cannot_be_is_refused(
    scores: list[float], agrees: list[bool], options: dict[str, Any], said: str
) -> None:
    """With the value and what to do."""
    with pytest.raises(ValueError, match=said):
        certify_threshold(scores, agrees, **{"target": TARGET, "delta": DELTA, **options})


def useful(rng: np.random.Generator, size: int) -> tuple[Scores, Truth]:
    """A model that is right four times in five, and mostly knows where."""
    scores = rng.random(size)
    return scores, rng.random(size) < 0.6 + 0.4 * scores


def overconfident(rng: np.random.Generator, size: int) -> tuple[Scores, Truth]:
    """A model that says 1.0 of most, whether it is right or not."""
    scores = np.where(rng.random(size) < 0.7, 1.0, rng.random(size))
    return scores, rng.random(size) < 0.94


def useless(rng: np.random.Generator, size: int) -> tuple[Scores, Truth]:
    """A model of 77 classes that guesses."""
    return rng.random(size), rng.random(size) < 1 / 77


def broken(
    method: Callable[[Scores, Truth, Population], float | None],
    model: Callable[[np.random.Generator, int], tuple[Scores, Truth]],
    jobs: int,
) -> int:
    """In how many simulated jobs of 1,000 records, 200 of them sampled, the promise is broken."""
    rng = np.random.default_rng(5)
    count, size, sampled = 0, 1000, 200
    for _ in range(jobs):
        scores, agrees = model(rng, size)
        sample = rng.permutation(size) < sampled
        threshold = method(scores[sample], agrees[sample], Population(size, size))
        accepted = ~sample & (scores >= (math.inf if threshold is None else threshold))
        count += int((accepted & ~agrees).sum() > 50)
    return count


JOBS = 600
MOST = 44
"""A method that breaks its promise in 5 % of all jobs does so in more than 44 of 600 once in 200 times."""


def ours(scores: Scores, agrees: Truth, population: Population) -> float | None:
    """The method under test."""
    return certify_threshold(scores, agrees, target=TARGET, delta=DELTA, population=population)


def naive(scores: Scores, agrees: Truth, population: Population) -> float | None:
    """The lowest threshold at which the sample itself looks good enough."""
    order = np.argsort(-scores)
    wrong = np.cumsum(~agrees[order])
    fine = np.flatnonzero(wrong <= 0.05 * len(scores))
    return float(scores[order][fine[-1]]) if len(fine) else None


@pytest.mark.parametrize("model", [useful, overconfident, useless])
def test_the_promise_is_kept(model: Callable[[np.random.Generator, int], tuple[Scores, Truth]]) -> None:
    """Over the draw of the sample, for models of every kind."""
    assert broken(ours, model, JOBS) <= MOST


def test_the_simulation_would_notice_a_wrong_method() -> None:
    """The naive threshold breaks the promise in far more jobs than it may."""
    assert broken(naive, useful, JOBS) > 2 * MOST
