"""A learned head: a linear map from what one forward pass shows to the probabilities of the oracle's labels.

How it is fitted is in `router.head_training`; to apply it takes numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from router.evidence import Evidence

Inputs = Literal["scores", "features", "embedding", "features and embedding"]
"""`scores`: the logarithms of the label probabilities. The others: what they name, and those."""

Part = Literal["features", "embedding"]

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

    def probabilities(self, seen: Evidence) -> npt.NDArray[np.float64]:
        """Probabilities of the labels, shape (records, labels).

        Raises `ValueError` where what the head looks at is missing, or has more or fewer inputs than it was
        trained on.
        """
        inputs = head_inputs(self.inputs, seen)
        if inputs.shape[1] != len(self.center):
            raise ValueError(
                f"a head trained on {len(self.center)} inputs got {inputs.shape[1]}: its calibration is of "
                "another model or task"
            )
        return softmax((inputs - self.center) @ self.weights.T + self.intercept)


def looks_at(inputs: Inputs, part: Part) -> bool:
    """Whether a head of these inputs needs that part of what is seen of a record."""
    return part in inputs.split(" and ")


def head_inputs(inputs: Inputs, seen: Evidence) -> npt.NDArray[np.float64]:
    """What a head looks at, shape (records, inputs). Raises `ValueError` where some of it is missing."""
    return np.hstack(head_parts(inputs, seen))


def head_parts(inputs: Inputs, seen: Evidence) -> list[npt.NDArray[np.float64]]:
    """The parts of that, in their order: features, embedding, scores."""
    parts = []
    found: tuple[tuple[Part, npt.NDArray[np.float32] | None], ...] = (
        ("features", seen.features),
        ("embedding", seen.embedding),
    )
    for name, values in found:
        if not looks_at(inputs, name):
            continue
        if values is None:
            raise ValueError(f"the head looks at {name}, but the answers hold none: score the texts again")
        parts.append(values.astype(np.float64))
    return [*parts, np.log(np.maximum(seen.scores, FLOOR))]


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), np.float64)
