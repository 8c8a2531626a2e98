"""All that the router looks at in a text: the encoder's vector, its surface and its n-grams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.ngrams import ngram_counts
from router.surface import surface_features

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]
    """From texts to their vectors, shape (texts, dimensions)."""


@dataclass(frozen=True, slots=True, eq=False)
class TextView:
    """One text."""

    embedding: npt.NDArray[np.float32]
    """Shape (dimensions,), of length 1."""
    surface: npt.NDArray[np.float32]
    """Shape (len(router.surface.NAMES),)."""
    buckets: npt.NDArray[np.int64]
    """The n-grams that are there, ascending."""
    weights: npt.NDArray[np.float32]
    """Their weights."""


def view_texts(texts: Sequence[str], encode: Encode) -> list[TextView]:
    """Look at texts; the encoder reads them together."""
    if not texts:
        return []
    return [
        TextView(vector, surface_features(text), *ngram_counts(text))
        for text, vector in zip(texts, encode(texts), strict=True)
    ]
