"""The simulation of `python -m tools.validity` counts right, and a few hundred of its jobs keep the promise.

They have what `test_guarantee` leaves out: label probabilities, of 77 labels too, skewed, or rounded to ties.
"""

from __future__ import annotations

import numpy as np
import pytest

from router.gate import NOTHING
from tools.validity import (
    SETTINGS,
    Outcome,
    Setting,
    Simulated,
    naive,
    outcome,
    run_setting,
    simulate,
    verdict,
)

TEN = Setting(2, "useful", 0.8, 0.05, sampled=5, job=10)
"""Of ten records two may be wrong."""


def job_of_ten(wrong: list[int]) -> Simulated:
    """The surest record is number 9; the odd ones certify."""
    agrees = np.ones(10, bool)
    agrees[wrong] = False
    certifying = np.arange(10) % 2 == 1
    return Simulated(np.arange(10) / 10, agrees, certifying, certifying.copy())


def test_a_job_is_broken_by_one_wrong_record_more_than_allowed() -> None:
    """Exactly at the target it is not: .8 of ten records is 8, whatever floats make of it."""
    assert outcome(job_of_ten([4, 8]), 0.0, TEN) == Outcome(broken=False, accepted=0.5)
    assert outcome(job_of_ten([4, 6, 8]), 0.0, TEN) == Outcome(broken=True, accepted=0.5)


def test_only_accepted_records_that_the_oracle_did_not_answer_can_be_wrong() -> None:
    """Those of the pilot and those below the threshold have the oracle's word."""
    assert outcome(job_of_ten([1, 3, 5, 7, 9]), 0.0, TEN) == Outcome(broken=False, accepted=0.5)
    assert outcome(job_of_ten([0, 2, 4, 6, 8]), 0.6, TEN) == Outcome(broken=False, accepted=0.2)
    assert outcome(job_of_ten([0, 2, 4, 6, 8]), NOTHING, TEN) == Outcome(broken=False, accepted=0.0)


def test_the_naive_threshold_just_meets_the_target_in_the_sample() -> None:
    """Of five sampled records one may be wrong: the second wrong one is not accepted."""
    assert naive(job_of_ten([7]), TEN) == 0.1
    assert naive(job_of_ten([7, 3]), TEN) == 0.5
    assert naive(job_of_ten([9, 7]), TEN) == 0.9
    tied = job_of_ten([9, 7])
    tied.confidence[:] = 0.5
    assert naive(tied, TEN) == NOTHING


def test_the_verdict_is_an_exact_binomial_tail() -> None:
    """Two or more of three at one half: (3 + 1) / 8."""
    outcomes = [Outcome(broken=True, accepted=0.3), Outcome(broken=True, accepted=0.6), Outcome(False, 0.0)]

    found = verdict(outcomes, 0.5)

    assert (found.broken, found.p, found.accepted) == pytest.approx((2, 0.5, 0.3))


def test_what_certifies_is_disjoint_from_what_was_learned_from() -> None:
    """And every confidence of a calibrated setting is a probability."""
    [setting, *_] = [one for one in SETTINGS if one.learned and one.labels > 2]
    job = simulate(np.random.default_rng(1), setting)

    assert job.certifying.sum() == setting.sampled
    assert job.asked.sum() == setting.sampled + setting.learned
    assert not (job.certifying & ~job.asked).any()
    assert 0.0 <= job.confidence.min() < job.confidence.max() <= 1.0


def test_the_settings_are_the_ones_that_are_promised() -> None:
    """Every number of labels, kind of model and target, and samples from 100 to 2,000."""
    assert {one.labels for one in SETTINGS} == {2, 7, 77}
    assert {one.model for one in SETTINGS} == {"useful", "useless", "overconfident"}
    assert {one.target for one in SETTINGS} == {0.8, 0.9, 0.95}
    assert {min(one.sampled for one in SETTINGS), max(one.sampled for one in SETTINGS)} == {100, 2000}


@pytest.mark.parametrize(("number", "jobs"), [(1, 300), (2, 300), (4, 60)])
def test_the_promise_is_kept_and_the_naive_one_is_not(number: int, jobs: int) -> None:
    """A useless model with skewed labels, rounded scores, and an overconfident model of 77 labels."""
    ours, theirs = run_setting(number, jobs)

    assert not ours.refuted
    assert theirs.refuted
    assert 0.1 < ours.accepted < 0.95
