"""The promise of a gate after a choice among models, over simulated jobs."""

from __future__ import annotations

from router.guarantee import binomial_at_most
from tools.simulate_choice import TERMS, simulate

JOBS, MOST = 200, 18
"""A method that breaks its promise in 5 % of all jobs does so in more than 18 of 200 once in 100 times."""


def test_the_promise_holds_only_on_records_that_had_no_part_in_the_choice() -> None:
    """Told which records were compared, the run keeps it; certifying on them breaks it far too often."""
    assert 1.0 - binomial_at_most(MOST, JOBS, TERMS.delta) <= 1 / 100

    found = simulate(JOBS, 8)

    assert found.told <= MOST < found.untold
