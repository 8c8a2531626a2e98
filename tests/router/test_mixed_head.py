"""A linear layer on the encoder's vector and a head on n-grams as one head."""

from __future__ import annotations

import numpy as np
import pytest

from router.head import softmax
from router.mixed_head import choose_shares, mix
from router.ngrams import BUCKETS
from router.route_head import RouteHead
from router.surface import NAMES
from router.text_view import view_texts

_LABELS = ("a", "b", "c")
_DIMENSIONS = 4


def ngram_head(rng: np.random.Generator) -> RouteHead:
    """A head that does not look at vectors."""
    return RouteHead(
        _LABELS,
        rng.normal(size=(3, len(NAMES))).astype(np.float32),
        (rng.normal(size=(BUCKETS, 3)) / 8).astype(np.float16),
        rng.normal(size=3).astype(np.float32),
        1.7,
    )


def test_the_mixture_is_the_weighted_sum_of_both_logits() -> None:
    """To what half precision rounds away, for every text."""
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(3, _DIMENSIONS)).astype(np.float32), np.ones(3, np.float32)
    ngrams = ngram_head(rng)
    texts = ["Translate this.", "一首诗", ""]
    vectors = rng.normal(size=(3, _DIMENSIONS)).astype(np.float32)
    views = view_texts(texts, lambda _: vectors)
    bare = view_texts(texts, lambda _: np.zeros((3, 0), np.float32))
    wanted = softmax(0.6 * (vectors @ weights.T + bias) + 0.3 * np.log(ngrams.probabilities(bare)))

    found = mix(weights, bias, ngrams, (0.6, 0.3)).probabilities(views)
    assert np.abs(found - wanted).max() < 2e-3


@pytest.mark.parametrize("better", [0, 1])
def test_the_part_that_is_right_counts_more(better: int) -> None:
    """On rows that neither was fitted to."""
    rng = np.random.default_rng(1)
    answers = rng.integers(0, 3, 400)
    right = 3.0 * np.eye(3)[answers] + rng.normal(size=(400, 3))
    parts = [rng.normal(size=(400, 3)), rng.normal(size=(400, 3))]
    parts[better] = right

    shares = choose_shares(parts[0], parts[1], answers)
    assert shares[better] > 5 * shares[1 - better]
