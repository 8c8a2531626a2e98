"""Student and small model as one labeller keep the promise: simulated jobs whose whole truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from router.certification import CertifyingRows, certify
from router.guarantee import Population, tolerated_errors
from router.student import Judged, choose_cut, combine

JOBS, RECORDS, TRAINED, CERTIFYING = 400, 10_000, 200, 300
TARGET, DELTA = 0.9, 0.1


@dataclass(frozen=True)
class Job:
    """What both say of each record."""

    student: Judged
    small: Judged


def draw(rng: np.random.Generator) -> Job:
    """Records of which each of the two knows some; either is a little surer than it should be."""

    def answers(skill: float) -> Judged:
        right = rng.beta(skill, 0.5, RECORDS)
        sure = np.clip(right + 0.15 * rng.random(RECORDS), 0.0, 1.0)
        return Judged(sure.round(3), rng.random(RECORDS) < right)

    return Job(answers(0.7), answers(1.0))


def some(judged: Judged, at: np.ndarray) -> Judged:
    """The answers to some of the records."""
    return Judged(judged.confidence[at], judged.agrees[at])


def run_job(rng: np.random.Generator, *, peeks: bool) -> tuple[bool, float]:
    """Whether the whole job misses the target, and the share that the student answered.

    The cut comes from the training rows. One that `peeks` also takes the lowest threshold at which the
    certifying rows themselves reach the target.
    """
    job, order = draw(rng), rng.permutation(RECORDS)
    training, sampled = order[:TRAINED], order[TRAINED : TRAINED + CERTIFYING]
    population = Population(RECORDS - TRAINED, RECORDS)
    allowed = tolerated_errors(CERTIFYING, target=TARGET, delta=DELTA, population=population)
    wrong = (allowed or 0) / CERTIFYING
    cut = choose_cut(some(job.student, training), some(job.small, training), target=TARGET, wrong=wrong)
    both = job.small if cut is None else combine(job.student, job.small, cut.confidence)
    rows = some(both, sampled)
    if peeks:
        surest = np.argsort(-rows.confidence, kind="stable")
        fine = np.flatnonzero(np.cumsum(~rows.agrees[surest]) <= (1.0 - TARGET) * CERTIFYING)
        threshold = rows.confidence[surest][fine[-1]]
    else:
        certifying = CertifyingRows(rows.confidence, rows.agrees)
        threshold = certify(
            certifying, target=TARGET, delta=DELTA, population=population, escalates=True
        ).threshold
    asked = np.zeros(RECORDS, bool)
    asked[order[: TRAINED + CERTIFYING]] = True
    missed = int((~asked & (both.confidence >= threshold) & ~both.agrees).sum())
    taken = 0.0 if cut is None else float((job.student.confidence >= cut.confidence).mean())
    return RECORDS - missed < TARGET * RECORDS, taken


def test_the_promise_holds_for_both_together() -> None:
    """It breaks in no more jobs than delta allows: a binomial test at 1 % does not refute that."""
    rng = np.random.default_rng(7)

    outcomes = [run_job(rng, peeks=False) for _ in range(JOBS)]

    broken = sum(one for one, _ in outcomes)
    assert stats.binomtest(broken, JOBS, DELTA, alternative="greater").pvalue > 0.01
    # Otherwise nothing was tested.
    assert np.mean([taken for _, taken in outcomes]) > 0.1


def test_the_simulation_can_refute() -> None:
    """A threshold at which the sample itself reaches the target breaks the promise far too often."""
    rng = np.random.default_rng(7)

    broken = sum(run_job(rng, peeks=True)[0] for _ in range(100))

    assert stats.binomtest(broken, 100, DELTA, alternative="greater").pvalue < 0.001
