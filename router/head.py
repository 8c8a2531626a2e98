"""A learned head: a linear map from what one forward pass shows to the probabilities of the oracle's labels.

How it is fitted is in `router.head_training`; to apply it takes numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

Inputs = Literal["scores", "features"]
"""`scores`: the logarithms of the label probabilities. `features`: the features and those."""

FLOOR = 1e-6
"""Probabilities are not taken for less: the logarithm of none would outweigh everything else."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Multinomial logistic regression: softmax(weights @ (inputs - center) + intercept).

    Labels that no training row had are given the probability 0.
    """

    inputs: Inputs
    center: npt.NDArray[np.float64]
    """Shape (inputs,)."""
    weights: npt.NDArray[np.float64]
    """Shape (labels, inputs)."""
    intercept: npt.NDArray[np.float64]
    """Shape (labels,); minus infinity for a label that no training row had."""

    def probabilities(
        self, scores: npt.NDArray[np.float64], features: npt.NDArray[np.float32] | None
    ) -> npt.NDArray[np.float64]:
        """Probabilities of the labels, shape (records, labels).

        Args:
            scores: probabilities that the model gave the labels, shape (records, labels).
            features: shape (records, features); may be None where the head does not look at them.

        Raises:
            ValueError: the features are missing, or there are more or fewer inputs than it was trained on.
        """
        inputs = head_inputs(self.inputs, scores, features)
        if inputs.shape[1] != len(self.center):
            raise ValueError(
                f"a head trained on {len(self.center)} inputs got {inputs.shape[1]}: its calibration is of "
                "another model or task"
            )
        return softmax((inputs - self.center) @ self.weights.T + self.intercept)


def head_inputs(
    inputs: Inputs, scores: npt.NDArray[np.float64], features: npt.NDArray[np.float32] | None
) -> npt.NDArray[np.float64]:
    """What a head looks at, shape (records, inputs). Raises `ValueError` where features are missing."""
    logs = np.log(np.maximum(scores, FLOOR))
    if inputs == "scores":
        return np.asarray(logs, np.float64)
    if features is None:
        raise ValueError("the head looks at features, but the answers hold none: score the texts again")
    return np.hstack([features.astype(np.float64), logs])


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), np.float64)
