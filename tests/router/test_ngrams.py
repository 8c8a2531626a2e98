"""Hashed n-grams of a text."""

from __future__ import annotations

import time

import numpy as np
import pytest

from router.ngrams import BUCKETS, VIEWS, ngram_counts


def test_the_same_text_has_the_same_buckets_on_every_machine() -> None:
    """Heads are trained on one machine and used on others: these values are written down."""
    buckets, weights = ngram_counts("Hi!")

    assert len(buckets) == len(weights)
    assert int(buckets.sum()) == 2022049
    assert buckets[:3].tolist() == [0, 174, 999]


def test_case_and_white_space_do_not_count() -> None:
    """What is asked does not depend on them."""
    one, other = ngram_counts("Translate  this\n\nnow"), ngram_counts("translate this now")

    assert one[0].tolist() == other[0].tolist()
    assert one[1].tolist() == other[1].tolist()


def test_each_view_has_its_length() -> None:
    """A short text's few n-grams count as much as a long text's many."""
    longest = sum(view.weight for view in VIEWS)

    for text in ("a", "word", "A whole sentence with some words in it.", "long " * 5_000):
        buckets, weights = ngram_counts(text)
        assert buckets.tolist() == sorted(set(buckets.tolist()))
        assert 0 <= buckets[0] <= buckets[-1] < BUCKETS
        assert 0.5 * longest / len(VIEWS) < float(np.linalg.norm(weights)) <= longest


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u3000"])
def test_nothing_gives_a_few_marks_at_most(text: str) -> None:
    """White space is one space, so there is no word in it."""
    buckets, weights = ngram_counts(text)

    assert len(buckets) < 20
    assert np.isfinite(weights).all()


def test_hostile_texts_take_bounded_time() -> None:
    """A megabyte, half characters, and control characters."""
    started = time.perf_counter()
    for text in ("x" * 1_000_000, "\ud800" * 1_000, "\x00" * 10_000, "日本語" * 300_000, "\u202e" * 5_000):
        assert np.isfinite(ngram_counts(text)[1]).all()

    assert time.perf_counter() - started < 2.0


def test_beginning_and_end_are_told_apart() -> None:
    """The same words in another order have other n-grams."""
    one, other = ngram_counts("first then second"), ngram_counts("second then first")

    assert one[0].tolist() != other[0].tolist()
