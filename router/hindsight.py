"""How hard a text was, once a small model has answered: its confidence and answer beside the complexity.

A small logistic regression says whether the answer is wrong. It shows what reading a text beforehand adds to
the model's own confidence (`tekizai router train --head complexity`); what becomes of an answer is the gate's
to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from router.head import FLOOR
from router.head_training import log_losses

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

FOLDS = 5
_STRENGTH = 0.3
"""scikit-learn's C."""


def wrong_probabilities(
    confidence: npt.NDArray[np.float64],
    answers: Sequence[str],
    complexity: npt.NDArray[np.float64],
    wrong: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Probability that each answer is wrong, from a fit to other records; shape (records,).

    Confidence counts for each label apart, because a model may be surer of one than it should be. Where
    answer and complexity do not lower the log-loss by more than half its standard error, confidence alone
    counts.

    Raises:
        ValueError: nearly all answers are right, or wrong, so that nothing can be learned.
    """
    if not FOLDS <= int(wrong.sum()) <= len(wrong) - FOLDS:
        raise ValueError(f"{int(wrong.sum())} of {len(wrong)} answers are wrong: more of both are needed")
    said_names = np.array(answers, dtype=object).astype(str)
    said = (said_names[:, None] == np.unique(said_names)[None]).astype(np.float64)
    sure = _logit(confidence)[:, None]
    alone = _held_back(sure, wrong)
    both = _held_back(np.hstack([sure, _logit(complexity)[:, None], said, said * sure]), wrong)
    answered = wrong.astype(np.int64)
    gain = log_losses(_as_pairs(alone), answered) - log_losses(_as_pairs(both), answered)
    better = gain.mean() > 0.5 * gain.std(ddof=1) / np.sqrt(len(gain))
    return both if better else _fit(sure, wrong, sure)


def _held_back(inputs: npt.NDArray[np.float64], wrong: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    folds = np.arange(len(wrong)) % FOLDS
    # Each fold has both kinds, whatever the order of the records.
    folds[np.argsort(wrong, kind="stable")] = folds.copy()
    found = np.zeros(len(wrong))
    for fold in range(FOLDS):
        held = folds == fold
        found[held] = _fit(inputs[~held], wrong[~held], inputs[held])
    return found


def _fit(
    inputs: npt.NDArray[np.float64], wrong: npt.NDArray[np.bool_], others: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - takes a second to import

    model = LogisticRegression(C=_STRENGTH, max_iter=500).fit(inputs, wrong)
    return np.asarray(model.predict_proba(others)[:, 1])


def _as_pairs(wrong: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities of right and wrong, shape (records, 2)."""
    return np.stack([1.0 - wrong, wrong], axis=1)


def _logit(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    clipped = np.clip(probabilities, FLOOR, 1.0 - FLOOR)
    return np.asarray(np.log(clipped / (1.0 - clipped)))
