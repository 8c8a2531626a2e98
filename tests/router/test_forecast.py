"""A forecast's expected values are worked out by hand, and its intervals hold what they promise."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from router.forecast import Answered, Observed, Pace, Workload, forecast
from router.forecast_lines import fit_line, occupancy, without_cold_starts

SMALL = Answered((0.001,) * 100, (0.1,) * 100, (50,) * 100, 100)
LARGE = Answered((0.02,) * 20, (0.5,) * 20, (50,) * 20, 20)
PATHS = Counter({("small",): 80, ("small", "big"): 20})
SIZES = {"small": (50,) * 100, "big": (50,) * 20}
OBSERVED = Observed(PATHS, SIZES, {"small": SMALL, "big": LARGE})
WORK = Workload(1000, 50.0, "small", "big")
PACE = Pace(concurrency={"big": 1})


def test_money_and_time_of_the_job_are_those_of_its_pilot_drawn_up() -> None:
    """1,000 records, a fifth escalated: 1 + 4 dollars; 900 small and 180 large answers are still to come."""
    found = forecast(OBSERVED, WORK, PACE)

    job = found.ways["this_job"]
    assert job.usd.expected == pytest.approx(1000 * 0.001 + 200 * 0.02)
    assert job.seconds.expected == pytest.approx(900 * 0.1 + 180 * 0.5)
    assert job.large_records.expected == pytest.approx(200)
    assert found.asked["small"].expected == found.asked["small"].low == 1000


def test_the_other_ways() -> None:
    """All small 1 dollar, all large 20, and at random 4 / .019 records large for the same 5 dollars."""
    ways = forecast(OBSERVED, WORK, PACE).ways

    assert ways["all_small"].usd.expected == pytest.approx(1.0)
    assert ways["all_large"].usd.expected == pytest.approx(20.0)
    assert ways["all_large"].seconds.expected == pytest.approx(500.0)
    assert ways["random_split"].usd == ways["this_job"].usd
    assert ways["random_split"].large_records.expected == pytest.approx(4 / 0.019)


def test_workers_share_the_work_but_not_the_start() -> None:
    """Two workers take half as long for everything but the start."""
    pace = Pace(workers=2, start_seconds=10.0, record_seconds=0.01, concurrency={"big": 1})

    found = forecast(OBSERVED, WORK, pace)

    assert found.ways["this_job"].seconds.expected == pytest.approx(10.0 + (1000 * 0.01 + 180.0) / 2)


def test_a_budget_caps_the_hosted_part_and_leaves_records_out() -> None:
    """Of 4 dollars for calls 1 is allowed: a quarter of the 200 records is asked about."""
    work = Workload(1000, 50.0, "small", "big", budget=1.0)

    found = forecast(OBSERVED, work, PACE)

    assert found.ways["this_job"].usd.expected == pytest.approx(2.0)
    assert found.ways["this_job"].large_records.expected == pytest.approx(50.0)
    assert found.over_budget.expected == pytest.approx(150.0)


def test_settled_records_are_counted_as_they_are() -> None:
    """A calibration asked about 300 records; of the other 700 a fifth will be escalated."""
    observed = Observed(PATHS, SIZES, OBSERVED.answered, Counter({("small", "big"): 300}))

    found = forecast(observed, WORK, PACE)

    assert found.asked["big"].expected == pytest.approx(300 + 140)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.6])
def test_intervals_hold_the_truth_in_at_least_nine_of_ten_jobs(share: float) -> None:
    """300 jobs of 5,000 records, each with a pilot of 300 of its own."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(300):
        escalated = rng.random(5000) < share
        seen = int(escalated[:300].sum())
        sizes = {"small": (50,) * 300, "big": (50,) * seen}
        paths = Counter({("small",): 300 - seen, ("small", "big"): seen})
        observed = Observed(paths, sizes, {"small": SMALL, "big": LARGE})
        found = forecast(observed, Workload(5000, 50.0, "small", "big"), PACE).asked["big"]
        held += found.low <= escalated.sum() <= found.high

    assert held / 300 >= 0.92


def test_longer_texts_outside_the_pilot_cost_more() -> None:
    """Each byte costs a thousandth of a dollar; the input's texts are twice as long as those answered."""
    sizes = tuple(range(10, 30))
    answered = Answered(tuple(0.001 * size for size in sizes), (0.1,) * 20, sizes, 0)
    observed = Observed(Counter({("small",): 20}), {"small": sizes}, {"small": answered})

    found = forecast(observed, Workload(1000, 39.0, "small", None), Pace())

    assert found.ways["all_small"].usd.expected == pytest.approx(39.0)
    assert "all_large" not in found.ways


def test_what_the_pilot_does_not_show_is_an_error() -> None:
    """An empty pilot, and a model without answers."""
    with pytest.raises(ValueError, match="no records"):
        forecast(Observed(Counter(), {}, {}), WORK, PACE)
    with pytest.raises(ValueError, match="no answers of big"):
        forecast(Observed(PATHS, SIZES, {"small": SMALL}), WORK, PACE)


def test_a_line_needs_some_answers_and_texts_of_different_length() -> None:
    """Few answers, or equal texts: the mean, whatever the length."""
    assert fit_line((1.0, 3.0), (10, 20)).slope == 0.0
    assert fit_line((2.0,) * 9, (10,) * 9).at(1000.0) == 2.0
    with pytest.raises(ValueError, match="no answer"):
        fit_line((), ())


def test_a_worker_waits_for_the_slowest_of_its_calls() -> None:
    """Equal calls are shared evenly; a server that serves one at a time gains nothing from asking at once."""
    assert occupancy((0.5,) * 10, 4) == pytest.approx(0.25)
    queue = tuple(float(place) for place in range(1, 9)) * 10
    assert occupancy(queue, 8) * np.mean(queue) == pytest.approx(1.0, rel=0.1)
    assert occupancy((0.5,), 1) == 1.0


def test_the_first_calls_of_a_cold_server_say_nothing_of_the_others() -> None:
    """Two connections: two calls over three times the median are taken for first ones, a third one is not."""
    assert without_cold_starts((10.0, 1.0, 11.0, 1.0, 1.2), 2) == (1.2, 1.0, 1.2, 1.0, 1.2)
    assert without_cold_starts((10.0, 1.0, 11.0, 1.0, 1.0, 12.0, 1.0), 2)[0] == 10.0
    assert without_cold_starts((2.9, 1.0, 1.0), 1) == (2.9, 1.0, 1.0)
    assert without_cold_starts((), 2) == ()
