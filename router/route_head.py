"""A head of the router: a linear map from what is seen of a text to the probabilities of some labels.

How it is fitted is in `router.route_training`; to apply it takes numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.head import softmax
from router.ngrams import BUCKETS
from router.surface import NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from router.text_view import TextView


@dataclass(frozen=True, slots=True, eq=False)
class RouteHead:
    """Multinomial logistic regression, its logits divided by a temperature."""

    labels: tuple[str, ...]
    dense: npt.NDArray[np.float32]
    """Weights of the encoder's vector and the surface, shape (labels, dimensions + surface features)."""
    ngrams: npt.NDArray[np.float16]
    """Weights of the n-grams, shape (buckets, labels)."""
    intercept: npt.NDArray[np.float32]
    """Shape (labels,)."""
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        count = len(self.labels)
        shapes = (self.dense.shape[0], self.ngrams.shape, self.intercept.shape)
        if shapes != (count, (BUCKETS, count), (count,)):
            raise ValueError(f"a head with {count} labels has weights of the shapes {shapes}: train it anew")

    def probabilities(self, views: Sequence[TextView]) -> npt.NDArray[np.float64]:
        """Probabilities of the labels, shape (texts, labels).

        Raises `ValueError` where the vectors are not those of the encoder that the head was trained on.
        """
        if not views:
            return np.zeros((0, len(self.labels)))
        dense = np.stack([np.concatenate([one.embedding, one.surface]) for one in views])
        if dense.shape[1] != self.dense.shape[1]:
            raise ValueError(
                f"a head trained on {self.dense.shape[1] - len(NAMES)} dimensions got "
                f"{dense.shape[1] - len(NAMES)}: it belongs to another encoder; train it anew"
            )
        # Text by text: the result must not depend on what was looked at together.
        logits = np.stack([self.dense @ row for row in dense]) + self.intercept
        for row, one in enumerate(views):
            logits[row] += one.weights @ self.ngrams[one.buckets].astype(np.float32)
        return softmax(logits.astype(np.float64) / self.temperature)
