"""How probable a small model's answer is to a head that reads the text alone.

The head learns the right labels of other texts. It need not be better than the small model: it errs
elsewhere, so an answer that it finds improbable is wrong more often than the model's confidence says.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.route_training import LEAST_ROWS_A_LABEL, RouteRows, fit_route_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from router.route_head import RouteHead
    from router.text_view import TextView

LEAST = 1e-3
"""No answer is less probable: a label that few rows have, or none, is not impossible."""


@dataclass(frozen=True, slots=True, eq=False)
class SecondOpinion:
    """A head of the labels of a task, or of all tasks of a job together."""

    head: RouteHead

    def of(self, views: Sequence[TextView], answers: Sequence[str]) -> npt.NDArray[np.float64]:
        """Probability of each text's answer, shape (texts,); of a label that it does not know, `LEAST`."""
        return _of_answers(self.head.labels, self.head.probabilities(views), answers)


@dataclass(frozen=True, slots=True, eq=False)
class FittedOpinion:
    """An opinion, and what it says of the answers to the texts that it was fitted to."""

    opinion: SecondOpinion
    held_back: npt.NDArray[np.float64]
    """Probability of each answer, from a fit without that text; shape (texts,)."""


def fit_opinion(
    views: Sequence[TextView], truths: Sequence[str], answers: Sequence[str]
) -> FittedOpinion | None:
    """Fit a head to the right labels of texts. None where fewer than two labels have two rows each.

    Args:
        views: the texts.
        truths: their right labels.
        answers: what the small model said of them, as the labels are written.
    """
    counts = Counter(truths)
    learned = np.array([counts[truth] >= LEAST_ROWS_A_LABEL for truth in truths], bool)
    used = [view for view, use in zip(views, learned, strict=True) if use]
    labels = [truth for truth, use in zip(truths, learned, strict=True) if use]
    if len(set(labels)) < 2:  # noqa: PLR2004 - one label leaves nothing to tell apart
        return None
    fitted = fit_route_head(RouteRows(used, labels))
    probabilities = fitted.head.probabilities(views)
    probabilities[learned] = fitted.held_back
    return FittedOpinion(SecondOpinion(fitted.head), _of_answers(fitted.head.labels, probabilities, answers))


def _of_answers(
    labels: Sequence[str], probabilities: npt.NDArray[np.float64], answers: Sequence[str]
) -> npt.NDArray[np.float64]:
    places = {label: at for at, label in enumerate(labels)}
    found = [
        row[places[answer]] if answer in places else LEAST
        for row, answer in zip(probabilities, answers, strict=True)
    ]
    return np.maximum(np.array(found, np.float64), LEAST)
