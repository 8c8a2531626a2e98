"""What a head is compared with."""

from __future__ import annotations

from router.baselines import keywords, majority, naive_bayes

ROWS = [("good film", "pos"), ("good good", "pos"), ("bad film", "neg")]


def test_the_majority_says_the_commonest_label() -> None:
    """Of everything."""
    assert majority(["a", "b", "a"], ["x", "y"]) == ["a", "a"]


def test_keywords_count_and_fall_back_to_the_commonest_label() -> None:
    """Where no word is in the text."""
    words = {"pos": ["good"], "neg": ["bad", "awful"]}

    assert keywords(ROWS, ["Awful and bad, good", "nothing"], words) == ["neg", "pos"]


def test_naive_bayes_by_hand() -> None:
    """`bad`: neg 1/3 * 2/5 against pos 2/3 * 1/7; `good`: pos 2/3 * 4/7 against neg 1/3 * 1/5."""
    assert naive_bayes(ROWS, ["bad", "good", "unknown"]) == ["neg", "pos", "pos"]
