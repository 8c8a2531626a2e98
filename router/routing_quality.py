"""How well a score ranks records by whether they need the large model.

Measures of RouteLLM (Ong et al., 2024, arXiv 2406.18665, section 2.2): records with the highest scores go to
the large model, and the performance gap recovered (PGR) is the part of the large model's lead over the small
one that this gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    import numpy.typing as npt

_SHARES = np.linspace(0.1, 1.0, 10)


@dataclass(frozen=True, slots=True)
class RoutingQuality:
    """What a score is worth; None where the large model has no lead, or all records are alike."""

    auroc: float | None
    """Of telling the records that only the large model gets right from the others."""
    apgr: float | None
    """PGR averaged over calls for 10 %, 20 %, ... of the records; .55 is what chance gets."""
    cpt_50: float | None
    """The least share of records to send so that PGR reaches .5 (call-performance threshold)."""
    cpt_80: float | None


def routing_quality(
    score: npt.ArrayLike, small_correct: npt.ArrayLike, large_correct: npt.ArrayLike
) -> RoutingQuality:
    """Measure a score (higher: harder) against which of the two models was right; arrays of shape (records,).

    Raises `ValueError` where the arrays differ in length.
    """
    scores = np.asarray(score, np.float64)
    small, large = np.asarray(small_correct, bool), np.asarray(large_correct, bool)
    if not len(scores) == len(small) == len(large):
        raise ValueError(
            f"{len(scores)} scores, {len(small)} and {len(large)} outcomes: they must be as many"
        )
    lead = int(large.sum()) - int(small.sum())
    if lead <= 0:
        return RoutingQuality(auroc(scores, large & ~small), None, None, None)
    recovered = _recovered(scores, large.astype(float) - small.astype(float)) / lead
    count = len(scores)
    at = np.round(_SHARES * count).astype(int)
    return RoutingQuality(
        auroc(scores, large & ~small),
        float(recovered[at].mean()),
        _least(recovered, 0.5, count),
        _least(recovered, 0.8, count),
    )


def auroc(score: npt.ArrayLike, positive: npt.ArrayLike) -> float | None:
    """Area under the ROC curve: how probable a positive one has the higher score; ties count half."""
    scores, hits = np.asarray(score, np.float64), np.asarray(positive, bool)
    positives = int(hits.sum())
    negatives = len(hits) - positives
    if not positives or not negatives:
        return None
    ranks = stats.rankdata(scores)
    return float((ranks[hits].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _recovered(scores: npt.NDArray[np.float64], gain: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What sending the 0, 1, 2, ... hardest gains; of ties each has the mean gain. Shape (records + 1,)."""
    values, at = np.unique(-scores, return_inverse=True)
    means = np.bincount(at, gain, len(values)) / np.bincount(at, minlength=len(values))
    order = np.argsort(-scores, kind="stable")
    return np.concatenate([[0.0], np.cumsum(means[at][order])])


def _least(recovered: npt.NDArray[np.float64], wanted: float, count: int) -> float | None:
    reached = np.flatnonzero(recovered >= wanted - 1e-12)
    return float(reached[0] / count) if len(reached) else None
