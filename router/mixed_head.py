"""A head of two: a linear layer that was trained with its encoder, and a head on n-grams.

The weighted mean of their log-probabilities, once it is normalised, is a linear map of what both look at: so
the mixture is a `RouteHead` like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize

from router.head import softmax
from router.head_training import log_losses
from router.route_head import RouteHead

if TYPE_CHECKING:
    import numpy.typing as npt

_LOGARITHMS = (-4.0, 2.0)
"""Bounds of the logarithms of what each part counts."""


def choose_shares(
    tuned: npt.NDArray[np.float64], ngrams: npt.NDArray[np.float64], answers: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """How much the logits of each part count, for the least log-loss on rows that neither was fitted to.

    Both together are the mixture's weight and its temperature.
    """

    def loss(logarithms: npt.NDArray[np.float64]) -> float:
        first, second = np.exp(logarithms)
        return float(log_losses(softmax(first * tuned + second * ngrams), answers).mean())

    found = optimize.minimize(
        loss, np.log([0.5, 0.5]), method="Nelder-Mead", bounds=[_LOGARITHMS, _LOGARITHMS]
    )
    first, second = np.exp(found.x)
    return float(first), float(second)


def mix(
    weights: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32],
    ngrams: RouteHead,
    shares: tuple[float, float],
) -> RouteHead:
    """One head of a linear layer on the encoder's vector and a head that was fitted without it."""
    first, second = shares
    second /= ngrams.temperature
    return RouteHead(
        ngrams.labels,
        np.hstack([first * weights, second * ngrams.dense]).astype(np.float32),
        (second * ngrams.ngrams.astype(np.float32)).astype(np.float16),
        (first * bias + second * ngrams.intercept).astype(np.float32),
    )
