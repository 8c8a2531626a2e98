"""Complexity after the answer: learned from the records of a finished job, and found for those of another."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from router.hindsight import Answered, fit_hindsight
from router.route_labels import HARD
from router.routing_quality import routing_quality
from router.second_opinion import fit_opinion

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pipelines.router_training import LabelledTexts
    from router.hindsight import Hindsight
    from router.route_head import RouteHead
    from router.route_training import FittedHead
    from router.second_opinion import SecondOpinion
    from router.text_view import TextView


@dataclass(frozen=True, slots=True, eq=False)
class LearnedHindsight:
    """All that looks at a record once the small model has answered it."""

    complexity: RouteHead
    opinion: SecondOpinion | None
    hindsight: Hindsight
    held_back: npt.NDArray[np.float64]
    """Probability that each answer it was learned from is wrong, from a fit without that record."""

    def wrong_probabilities(
        self, rows: LabelledTexts, views: Sequence[TextView]
    ) -> npt.NDArray[np.float64] | None:
        """Probability that each answer is wrong, shape (rows,); None where a confidence is not known."""
        confidence = known_confidence(rows)
        if confidence is None:
            return None
        complexity = self.complexity.probabilities(views)[:, self.complexity.labels.index(HARD)]
        opinion = None if self.opinion is None else self.opinion.of(views, rows.answers)
        return self.hindsight.wrong_probabilities(Answered(confidence, rows.answers, complexity, opinion))


def learn_hindsight(
    rows: LabelledTexts, views: Sequence[TextView], fitted: FittedHead
) -> LearnedHindsight | None:
    """Learn from answered records and the head of complexity that was fitted to them.

    None where the small model's confidence is not known, or its answers are nearly all alike.
    """
    confidence = known_confidence(rows)
    if confidence is None:
        return None
    wrong = np.array([not small for small, _ in rows.outcomes], bool)
    complexity = fitted.held_back[:, fitted.head.labels.index(HARD)]
    opinion = fit_opinion(views, rows.truths, rows.answers)
    seen = Answered(confidence, rows.answers, complexity, None if opinion is None else opinion.held_back)
    try:
        found = fit_hindsight(seen, wrong)
    except ValueError:
        return None
    return LearnedHindsight(
        fitted.head, None if opinion is None else opinion.opinion, found.hindsight, found.held_back
    )


def known_confidence(rows: LabelledTexts) -> npt.NDArray[np.float64] | None:
    """The small model's confidence, shape (rows,); None where that of any row is not known."""
    sure = np.array([np.nan if one is None else one for one in rows.confidences], np.float64)
    return None if len(sure) != len(rows.texts) or np.isnan(sure).any() else sure


def rank_held_back(rows: LabelledTexts, views: Sequence[TextView], fitted: FittedHead) -> dict[str, Any]:
    """How well held-back complexity ranks, alone and beside the small model's confidence and answer."""
    small, large = (np.array(one) for one in zip(*rows.outcomes, strict=True))
    found = {"complexity": fitted.held_back[:, fitted.head.labels.index(HARD)]}
    sure = known_confidence(rows)
    if sure is not None:
        found["confidence"] = -sure
        learned = learn_hindsight(rows, views, fitted)
        if learned is not None:
            found["both"] = learned.held_back
    return {f"held_back_{name}": asdict(routing_quality(one, small, large)) for name, one in found.items()}
