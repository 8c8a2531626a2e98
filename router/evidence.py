"""What one forward pass of a small model, and the sentence encoder, show of records: all a head looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from router.records import LabelScores


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Arrays with a row for each record."""

    scores: npt.NDArray[np.float64]
    """Probabilities that the model gave the labels, shape (records, labels)."""
    features: npt.NDArray[np.float32] | None = None
    """Shape (records, features); None where any record has none."""
    embedding: npt.NDArray[np.float32] | None = None
    """Shape (records, dimensions); None where any record has none."""

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths."""
        for name, values in (("features", self.features), ("embedding", self.embedding)):
            if values is not None and len(values) != len(self.scores):
                raise ValueError(f"{len(self.scores)} rows of scores do not go with {len(values)} of {name}")

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.scores)

    def take(self, at: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Evidence:
        """Some of the records."""
        features = None if self.features is None else self.features[at]
        return Evidence(self.scores[at], features, None if self.embedding is None else self.embedding[at])


def gather(answers: Sequence[LabelScores]) -> Evidence:
    """The evidence of one or more answers to the same task."""
    return Evidence(
        np.stack([one.probabilities for one in answers]),
        _stacked(answers, lambda one: one.features),
        _stacked(answers, lambda one: one.embedding),
    )


def _stacked(
    answers: Sequence[LabelScores], part: Callable[[LabelScores], npt.NDArray[np.float32] | None]
) -> npt.NDArray[np.float32] | None:
    found = [values for one in answers if (values := part(one)) is not None]
    return np.stack(found) if len(found) == len(answers) else None
