"""Label-free calibration: a small model's liking for some labels, estimated without knowing any right answer.

The mean prediction over a sample of the job's own records shows what the model says whatever it reads; each
prediction is divided by it and normalised again. Source: Zhao et al., "Calibrate Before Use", ICML 2021 (with
content-free inputs), and Fei et al., "Mitigating Label Biases for In-context Learning", ACL 2023 (with texts
of the task's own domain, as here).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

LEAST_SAMPLE = 20
"""Under this many records the mean says more about the records than about the model; nothing is divided."""

_FLOOR = 1e-9


@dataclass(frozen=True, slots=True)
class LabelBias:
    """Mean prediction of one model on one task."""

    model: str
    task: str
    mean: tuple[float, ...]
    records: int

    @property
    def usable(self) -> bool:
        """Whether enough records were seen to divide by the mean."""
        return self.records >= LEAST_SAMPLE


def estimate_bias(model: str, task: str, predictions: Sequence[npt.NDArray[np.float64]]) -> LabelBias:
    """Mean over predictions, each of shape (labels,). Raises `ValueError` where there is none."""
    if not predictions:
        raise ValueError(f"no prediction of {model!r} on task {task!r} to average")
    mean = np.mean(np.stack(predictions), axis=0)
    return LabelBias(model, task, tuple(float(value) for value in mean), len(predictions))


@functools.lru_cache(maxsize=256)
def _divisor(mean: tuple[float, ...]) -> npt.NDArray[np.float64]:
    return np.asarray(np.maximum(np.asarray(mean), _FLOOR), np.float64)


def remove_bias(probabilities: npt.NDArray[np.float64], bias: LabelBias | None) -> npt.NDArray[np.float64]:
    """Divide a single_label prediction by the mean and normalise; unchanged where the bias is not usable."""
    if bias is None or not bias.usable:
        return probabilities
    ratio = probabilities / _divisor(bias.mean)
    total = float(ratio.sum())
    return np.asarray(ratio / total, dtype=np.float64) if total > 0.0 else probabilities
