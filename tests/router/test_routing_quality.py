"""How well a score ranks records by what they need."""

from __future__ import annotations

import pytest

from router.routing_quality import auroc, routing_quality


def test_auroc_by_hand() -> None:
    """Positives .9 and .4 against negatives .5 and .1: of 4 pairs 3 are in order."""
    assert auroc([0.9, 0.5, 0.4, 0.1], [True, False, True, False]) == 0.75
    assert auroc([0.5, 0.5], [True, False]) == 0.5
    assert auroc([0.1, 0.2], [True, True]) is None


def test_a_perfect_score_recovers_the_gap_with_the_fewest_calls() -> None:
    """Ten records, the small model wrong on two: 20 % of the calls recover everything, 10 % a half."""
    small = [False, False] + [True] * 8
    found = routing_quality(range(10, 0, -1), small, [True] * 10)

    assert found.auroc == 1.0
    assert found.apgr == pytest.approx((0.5 + 9 * 1.0) / 10)
    assert (found.cpt_50, found.cpt_80) == (0.1, 0.2)


def test_a_score_that_says_nothing_recovers_what_its_share_of_calls_does() -> None:
    """All alike: 10 % of the calls recover 10 % of the gap."""
    found = routing_quality([0.5] * 10, [False] * 5 + [True] * 5, [True] * 10)

    assert found.apgr == pytest.approx(0.55)
    assert (found.cpt_50, found.cpt_80) == (0.5, 0.8)


def test_a_record_that_only_the_small_model_gets_right_costs() -> None:
    """Small right on 1 of 3, large on 2 of 3: the lead is 1, and sending the first loses 1."""
    found = routing_quality([3.0, 2.0, 1.0], [True, False, False], [False, True, True])

    assert found.cpt_50 == 1.0


def test_without_a_lead_there_is_nothing_to_recover() -> None:
    """The other measures are then None."""
    found = routing_quality([1.0, 2.0], [True, False], [False, True])

    assert (found.apgr, found.cpt_50, found.cpt_80) == (None, None, None)


def test_arrays_of_different_lengths_are_refused() -> None:
    """With their lengths."""
    with pytest.raises(ValueError, match="2 scores, 1 and 1 outcomes"):
        routing_quality([1.0, 2.0], [True], [True])
