"""Whether records look like those that a calibration was made on, judged by the model's confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    import numpy.typing as npt

LEVEL = 0.01
"""Inputs that have not changed are taken for changed ones so often."""
SAMPLE = 300
"""Records of today's input that are compared."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The largest distance between the two distributions, and how often chance alone makes one as large."""

    distance: float
    p_value: float

    @property
    def drifted(self) -> bool:
        """Whether the inputs differ by more than chance."""
        return self.p_value < LEVEL


def compare_confidences(
    before: npt.ArrayLike, now: npt.ArrayLike, sizes: tuple[int, int] | None = None
) -> Drift:
    """Two-sample Kolmogorov-Smirnov test of confidences (Smirnov 1939; p-value by the limit law).

    Args:
        before: The confidences of one sample, or evenly spaced ones of a larger sample.
        now: Those of the other.
        sizes: How many each stands for; None: the samples are whole.

    Raises:
        ValueError: either sample is empty.
    """
    old, new = np.sort(np.asarray(before, np.float64)), np.sort(np.asarray(now, np.float64))
    if not len(old) or not len(new):
        raise ValueError(f"{len(old)} confidences cannot be compared with {len(new)}: both must have some")
    points = np.concatenate([old, new])
    shares = [np.searchsorted(sample, points, side="right") / len(sample) for sample in (old, new)]
    distance = float(np.abs(shares[0] - shares[1]).max())
    first, second = sizes or (len(old), len(new))
    size = math.sqrt(first * second / (first + second))
    return Drift(distance, float(special.kolmogorov(size * distance)))
