"""Rounding an activation with scales that are fixed for each channel: which, and what it loses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from transforms.activation_ranges import ActivationRange

_LARGEST = 127.0
_LEAST = 1e-12
_MOVED = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""How much of the channels' differences moves into the weights: what loses least is taken."""
_ROOM = 1.1
"""Values so much beyond those measured are not cut off."""
_LEAST_CHANNEL = 0.1
"""A channel's range is at least this share of the mean: what was always near zero may not stay there."""


@dataclass(frozen=True, slots=True)
class FixedScales:
    """Scales that are the same for all rows."""

    channels: npt.NDArray[np.float32]
    """What each channel is divided by."""
    step: float
    zero: int
    error: float
    """Expected square of what rounding changes in the product."""


def fixed_scales(found: ActivationRange, matrix: npt.NDArray[np.float32]) -> FixedScales:
    """The best scales for an activation and the matrix that it is multiplied by."""
    return min((_fixed(found, matrix, moved) for moved in _MOVED), key=lambda one: one.error)


def _fixed(found: ActivationRange, matrix: npt.NDArray[np.float32], moved: float) -> FixedScales:
    """Divide each channel by how far its range goes, as far as its weights can bear it."""
    reach = np.maximum(found.highest, -found.lowest)
    reach = np.maximum(reach, _LEAST_CHANNEL * reach.mean() + _LEAST)
    weights = np.abs(matrix).max(axis=1)
    weights = np.maximum(weights, _LEAST_CHANNEL * weights.mean() + _LEAST)
    divisors = reach**moved / weights ** (1.0 - moved)
    channels = (divisors / np.exp(np.log(divisors).mean())).astype(np.float32)
    lowest = _ROOM * min(float((found.lowest / channels).min()), 0.0)
    highest = _ROOM * max(float((found.highest / channels).max()), 0.0)
    step = max((highest - lowest) / 255.0, _LEAST)
    error = _error(matrix * channels[:, None], step**2, found.power / np.square(channels))
    return FixedScales(channels, step, round(-lowest / step), error)


def row_error(found: ActivationRange, matrix: npt.NDArray[np.float32], largest: float) -> float:
    """The expected error where each row has its own scale."""
    return _error(matrix, found.peak_power / largest**2, found.power)


def _error(matrix: npt.NDArray[np.float32], step_power: float, power: npt.NDArray[np.float64]) -> float:
    """Of rounding both, each step times what it is multiplied by (uniform noise, but for a constant)."""
    column_steps = np.abs(matrix).max(axis=0) / _LARGEST
    of_activation = step_power * float(np.square(matrix).sum())
    return of_activation + float(np.square(column_steps).sum()) * float(power.sum())
