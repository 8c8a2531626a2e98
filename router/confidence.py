"""From how sure a model looks to how often it agrees with the oracle: beta calibration.

Source: Kull, Silva Filho and Flach, "Beta calibration", AISTATS 2017. The map is smooth and rising, so it
changes no order: what is surer stays surer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_EDGE = 1e-9
_LEAST_SLOPE = 0.01
"""Above 0, so that no two different values become equal."""
_PRIOR_ROWS = 2.0
"""How many rows the assumption weighs that the model is right as often as it looks: settles small samples."""


@dataclass(frozen=True, slots=True)
class ConfidenceCurve:
    """log odds of agreement = above * log(p) - below * log(1 - p) + shift."""

    above: float = 1.0
    below: float = 1.0
    shift: float = 0.0

    def __call__(self, raw: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Probabilities of agreement for probabilities between 0 and 1, of the same shape."""
        # Importing it takes a quarter of a second, which a job without calibration need not wait for.
        from scipy import special  # noqa: PLC0415 - see above

        up, down = _logs(np.asarray(raw, np.float64))
        return np.asarray(special.expit(self.above * up - self.below * down + self.shift), np.float64)


def fit_confidence(raw: npt.ArrayLike, agrees: npt.ArrayLike) -> ConfidenceCurve:
    """Fit the curve to answers that had no part in making `raw` (held-back rows of a cross-validation).

    With no rows it is the curve that changes nothing; with few it stays near that.

    Args:
        raw: how sure the model looked, between 0 and 1, shape (rows,).
        agrees: whether the oracle said the same, shape (rows,).

    Raises:
        ValueError: the shapes differ, or a value is outside 0 to 1.
    """
    from scipy import optimize, special  # noqa: PLC0415 - see `ConfidenceCurve`

    sure, right = np.asarray(raw, np.float64), np.asarray(agrees, np.float64)
    if sure.shape != right.shape or sure.ndim != 1:
        raise ValueError(f"raw has shape {sure.shape} and agrees {right.shape}: give one value of each a row")
    if not ((sure >= 0.0) & (sure <= 1.0)).all():
        raise ValueError("a value of raw is not between 0 and 1")
    up, down = _logs(sure)

    def loss(terms: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        odds = terms[0] * up - terms[1] * down + terms[2]
        away = terms - np.array([1.0, 1.0, 0.0])
        missed = special.expit(odds) - right
        value = float((np.logaddexp(0.0, odds) - right * odds).sum() + _PRIOR_ROWS / 2 * (away @ away))
        slope = np.array([missed @ up, -(missed @ down), missed.sum()]) + _PRIOR_ROWS * away
        return value, slope

    bounds = [(_LEAST_SLOPE, None), (_LEAST_SLOPE, None), (None, None)]
    found = optimize.minimize(loss, np.array([1.0, 1.0, 0.0]), jac=True, bounds=bounds, method="L-BFGS-B")
    above, below, shift = (float(value) for value in found.x)
    return ConfidenceCurve(above, below, shift)


def _logs(p: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    inside = np.clip(p, _EDGE, 1.0 - _EDGE)
    return np.log(inside), np.log1p(-inside)
