"""How large a pilot pays, by hand."""

from __future__ import annotations

import pytest

from router.pilot_size import (
    KeptShare,
    SizePlan,
    Terms,
    foresee_kept,
    kept_share,
    plan_size,
    worth_growing,
)

LARGE = Terms(0.95, 0.05, 10_000, 10_000)
SURE, ALL_RIGHT = [0.9, 0.8, 0.7, 0.6], [True] * 4


@pytest.mark.parametrize(
    ("agrees", "wrong", "expected"),
    [
        ([True, True, False, True], 0.0, 0.5),
        ([True, True, False, True], 0.24, 0.5),
        ([True, True, False, True], 0.25, 1.0),
        ([False, True, True, True], 0.0, 0.0),
        ([False, True, True, False], 0.25, 0.75),
        ([True] * 4, 0.0, 1.0),
        ([False] * 4, 0.0, 0.0),
        ([False] * 4, 0.5, 0.5),
    ],
)
def test_the_share_that_can_be_kept(agrees: list[bool], wrong: float, expected: float) -> None:
    """As far down as no more than a fraction of all four is kept and wrong."""
    assert kept_share(SURE, agrees, wrong) == expected
    assert kept_share(SURE[::-1], agrees[::-1], wrong) == expected


def test_equal_confidences_are_kept_together() -> None:
    """A threshold cannot stop between them, whichever of them is wrong."""
    sure = [0.9, 0.9, 0.5, 0.5]

    assert kept_share(sure, [True, False, True, True], 0.0) == 0.0
    assert kept_share(sure, [False, True, True, True], 0.0) == 0.0
    assert kept_share(sure, [True, True, True, False], 0.0) == 0.5
    assert kept_share(sure, [True, False, True, True], 0.25) == 1.0


def test_nothing_is_kept_of_no_rows() -> None:
    """Nothing is known."""
    assert kept_share([], [], 0.5) == 0.0


def test_a_perfect_model_is_certified_with_the_fewest_rows() -> None:
    """50 prove nothing at 95 % (.95 ** 50 is .077) and 75 do: with 100 for training 175 are asked about."""
    assert plan_size(SURE, ALL_RIGHT, LARGE, 100) == SizePlan(75, 175.0, 1.0)


def test_a_useless_model_is_not_certified() -> None:
    """Asking the oracle about everything costs no more."""
    assert plan_size(SURE, [False] * 4, LARGE, 100) == SizePlan(0, 10_000.0, 0.0)


def test_a_good_model_is_worth_more_rows() -> None:
    """The two surest of 100 are wrong: much is kept only with rows of which 2 % may be, as 3 of 150 may.

    Of 100 one may be, so that the surest alone is kept, and of 75 none.
    """
    sure, agrees = [number / 100 for number in range(100)], [True] * 98 + [False] * 2

    assert plan_size(sure, agrees, LARGE, 100) == SizePlan(150, 250.0, 1.0)
    assert plan_size(sure, agrees, LARGE, 100, fixed=100).kept == 0.01
    assert plan_size(sure, agrees, LARGE, 100, fixed=75).kept == 0.0


def test_a_small_job_is_not_worth_a_pilot() -> None:
    """Of 90 records no more than half certify, and 45 would prove nothing."""
    assert plan_size(SURE, ALL_RIGHT, Terms(0.95, 0.05, 90, 90), 20) == SizePlan(0, 90.0, 0.0)


def test_a_number_that_the_user_gave_is_taken() -> None:
    """Whether it pays or not, as far as there are so many records left."""
    assert plan_size(SURE, ALL_RIGHT, LARGE, 100, fixed=200) == SizePlan(200, 300.0, 1.0)
    assert plan_size(SURE, ALL_RIGHT, LARGE, 100, fixed=10) == SizePlan(10, 10_000.0, 0.0)
    assert plan_size(SURE, ALL_RIGHT, Terms(0.95, 0.05, 100, 100), 60, fixed=5000) == SizePlan(40, 100.0, 1.0)


def test_without_records_left_nothing_certifies() -> None:
    """All were used for training."""
    assert plan_size(SURE, ALL_RIGHT, Terms(0.95, 0.05, 60, 60), 60, fixed=10) == SizePlan(0, 60.0, 0.0)
    assert plan_size(SURE, ALL_RIGHT, Terms(0.95, 0.05, 60, 60), 60) == SizePlan(0, 60.0, 0.0)


def test_fewer_records_than_may_differ_are_all_kept() -> None:
    """Of a job of 10,000 only 200 are not known to be the oracle's: 500 may differ, so these may."""
    terms = Terms(0.95, 0.05, 200, 10_000)

    assert plan_size(SURE, [False] * 4, terms, 50) == SizePlan(50, 100.0, 1.0)


@pytest.mark.parametrize(
    ("kept", "before", "trained", "expected"),
    [
        # .6 * .1 of 9,600 records outside is 576 calls; 50 of 100 more training rows would have been kept.
        (0.5, 0.4, 100, True),
        # 1 in 100 more: 57.6 against 50; half of that: 28.8.
        (0.5, 0.49, 100, True),
        (0.5, 0.495, 100, False),
        # The last doubling brought nothing, or less.
        (0.5, 0.5, 100, False),
        (0.4, 0.5, 100, False),
        # Nothing is kept yet, so that early questions cost nothing; but nothing is gained either.
        (0.0, 0.0, 100, False),
        (0.01, 0.0, 100, True),
        # 2,500 are a quarter of the records, 2,502 more.
        (0.9, 0.1, 1250, True),
        (0.9, 0.1, 1251, False),
    ],
)
def test_growing_by_hand(kept: float, before: float, trained: int, expected: bool) -> None:
    """What the last doubling brought tells what the next one will."""
    now, earlier = SizePlan(200, 0.0, kept), SizePlan(200, 0.0, before)

    assert worth_growing(now, earlier, trained, LARGE) is expected


def test_the_first_doubling_is_tried() -> None:
    """Nothing is known then, unless the job is too small for it."""
    now = SizePlan(200, 0.0, 0.0)

    assert worth_growing(now, None, 100, LARGE)
    assert not worth_growing(now, None, 100, Terms(0.95, 0.05, 799, 799))
    assert worth_growing(now, None, 100, Terms(0.95, 0.05, 800, 800))


def test_a_gate_that_may_go_either_way_is_known_badly() -> None:
    """Half of the records are surely right; whether the others may be kept hangs on a few of them."""
    sure = [0.95, 0.6] * 100
    clear = foresee_kept(sure, [True, False] * 100, SizePlan(200, 0.0, 0.5), LARGE, 200)
    either = foresee_kept(sure, [True, True] * 96 + [True, False] * 4, SizePlan(200, 0.0, 0.5), LARGE, 200)

    assert clear.expected == pytest.approx(0.5, abs=0.05)
    assert clear.rows > 50
    assert either.rows < 5


def test_without_certifying_rows_the_kept_share_is_the_plans() -> None:
    """Nothing will be certified, so nothing can be foreseen."""
    assert foresee_kept([0.9], [True], SizePlan(0, 100.0, 0.0), LARGE, 1) == KeptShare(0.0, 1.0)
