"""A user's own domains without any rows: how near a text is to the domains' descriptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.head import softmax

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from router.text_view import Encode, TextView

_TEMPERATURE = 0.05
"""Cosines of MiniLM lie close together: this turns a lead of .1 into odds of seven to one."""


@dataclass(frozen=True, slots=True, eq=False)
class ZeroShot:
    """Labels by the vectors of their descriptions."""

    labels: tuple[str, ...]
    vectors: npt.NDArray[np.float32]
    """Shape (labels, dimensions), each of length 1."""

    @classmethod
    def of(cls, descriptions: Mapping[str, str | None], encode: Encode) -> ZeroShot:
        """Read each label's name and description once (Yin et al., EMNLP 2019).

        A description that lists things ("banking, cards, tax") is read whole and thing by thing.
        """
        labels = tuple(descriptions)
        vectors = []
        for label, description in descriptions.items():
            named = label.replace("_", " ")
            things = [one.strip() for one in (description or "").split(",") if one.strip()]
            found = encode([f"{named}: {description}" if description else named, named, *things])
            mean = found.mean(axis=0)
            vectors.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
        return cls(labels, np.stack(vectors).astype(np.float32))

    def probabilities(self, views: Sequence[TextView]) -> npt.NDArray[np.float64]:
        """Probabilities of the labels, shape (texts, labels): a ranking, not calibrated."""
        if not views:
            return np.zeros((0, len(self.labels)))
        cosines = np.stack([self.vectors @ one.embedding for one in views])
        return softmax(cosines.astype(np.float64) / _TEMPERATURE)
