"""Learning from the pilot how often written answers pass the checker, by what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.answer_checks import failed_checks
from router.answer_confidence import answer_features, fit_answer_head, held_back
from router.confidence import ConfidenceCurve, fit_confidence
from router.likeness import agree

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from router.answer_confidence import AnswerHead
    from router.generated import Generated
    from router.job import Task

NEVER = -1.0
"""The confidence of an answer that fails a check: it is trusted from no threshold on."""
_LEAST = 8
"""With fewer answers nothing is learned, so nothing is trusted."""


@dataclass(frozen=True, eq=False)
class JudgedAnswer:
    """A written answer to a row, with the oracle's."""

    place: int
    """Of the row."""
    answer: Generated
    oracle: frozenset[str]
    text: str


@dataclass(frozen=True, eq=False)
class AnswerFit:
    """What was learned, and how each answer fares under fits without it."""

    head: AnswerHead | None
    curve: ConfidenceCurve
    reason: str
    sure: npt.NDArray[np.float64]
    """Shape (answers,): calibrated; `NEVER` where a check fails."""
    right: npt.NDArray[np.bool_]
    halved: npt.NDArray[np.float64]
    """The same where the fit was to half of the rows."""


def fit_answers(task: Task, judged: Sequence[JudgedAnswer]) -> AnswerFit:
    """Fit a regression and its curve to answers that pass the checks of length, schema and language.

    Raises `CheckerError` where the task's checker fails.
    """
    right = np.array([agree(task, {one.answer.text}, one.oracle, one.text) for one in judged], bool)
    whole = np.array([not failed_checks(task, one.answer) for one in judged], bool)
    sure, halved = np.full(len(judged), NEVER), np.full(len(judged), NEVER)
    if whole.sum() < _LEAST:
        reason = f"{int(whole.sum())} answers to learn from are too few, so none is trusted"
        return AnswerFit(None, ConfidenceCurve(), reason, sure, right, halved)
    features, wanted = answer_features([one.answer for one in judged])[whole], right[whole]
    out = held_back(features, wanted)
    curve = fit_confidence(out, wanted)
    sure[whole] = curve(out)
    halved[whole] = curve(held_back(features, wanted, folds=2))
    reason = (
        "a regression on token probabilities, agreement and length; "
        f"{int(wanted.sum())} of {len(wanted)} answers pass the check"
    )
    return AnswerFit(fit_answer_head(features, wanted), curve, reason, sure, right, halved)
