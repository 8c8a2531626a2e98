"""How far a written answer is to be trusted: from its tokens' probabilities and a second sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.generated import LEAST_LOG_PROBABILITY

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from router.generated import Generated

FOLDS = 5
_RIDGE = 1.0
_EDGE = 1e-6
FEATURES = ("mean log-probability", "least log-probability", "agreement", "log of tokens")


def raw_confidence(answer: Generated) -> float | None:
    """How sure a model looks of an answer; None where it gives no probabilities.

    The geometric mean of its tokens' probabilities; with a second sample, the geometric mean of that and of
    how alike the two are. Nothing makes it the probability that the answer is right.
    """
    mean = answer.mean_probability
    if mean is None or answer.agreement is None:
        return mean
    return math.sqrt(mean * answer.agreement)


def answer_features(answers: Sequence[Generated]) -> npt.NDArray[np.float64]:
    """What a fit looks at, shape (answers, 4): `FEATURES`; what is not known is 0."""
    rows = [
        (
            max(one.log_probability or 0.0, LEAST_LOG_PROBABILITY),
            max(one.least or 0.0, LEAST_LOG_PROBABILITY),
            1.0 if one.agreement is None else one.agreement,
            math.log1p(one.tokens),
        )
        for one in answers
    ]
    return np.array(rows, np.float64).reshape(-1, len(FEATURES))


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """A logistic regression from `FEATURES` to the probability that the checker passes an answer."""

    center: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    def __call__(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Probabilities for features of shape (answers, 4), shape (answers,); never exactly 0 or 1."""
        inputs = (features - np.array(self.center)) / np.array(self.scale)
        odds = inputs @ np.array(self.weights) + self.intercept
        return np.asarray(
            np.clip(1.0 / (1.0 + np.exp(-np.clip(odds, -40, 40))), _EDGE, 1.0 - _EDGE), np.float64
        )


def fit_answer_head(features: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> AnswerHead:
    """Fit the regression, with a ridge that settles few rows. Raises `ValueError` where there is no row."""
    from scipy import optimize, special  # noqa: PLC0415 - importing it takes a quarter of a second

    if not len(features):
        raise ValueError("there is no answer to learn from")
    center, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > _EDGE, spread, 1.0)
    inputs, wanted = (features - center) / scale, right.astype(np.float64)

    def loss(terms: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        odds = inputs @ terms[:-1] + terms[-1]
        missed = special.expit(odds) - wanted
        held = np.append(terms[:-1], 0.1 * terms[-1])
        value = float((np.logaddexp(0.0, odds) - wanted * odds).sum() + _RIDGE / 2 * (held @ held))
        slope = np.append(inputs.T @ missed + _RIDGE * terms[:-1], missed.sum() + 0.01 * _RIDGE * terms[-1])
        return value, slope

    found = optimize.minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return AnswerHead(
        tuple(center.tolist()), tuple(scale.tolist()), tuple(found[:-1].tolist()), float(found[-1])
    )


def held_back(
    features: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], folds: int = FOLDS
) -> npt.NDArray[np.float64]:
    """What fits without its own fold say of each row, shape (rows,); rows go to folds in turn."""
    folds = max(1, min(folds, len(right)))
    turn = np.arange(len(right)) % folds
    found = np.empty(len(right))
    for fold in range(folds):
        out = turn == fold
        use = ~out if folds > 1 else out
        found[out] = fit_answer_head(features[use], right[use])(features[out])
    return found
