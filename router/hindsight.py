"""How hard a text was, once a small model has answered: the probability that the answer is wrong.

A small logistic regression weighs the model's confidence against what the text alone says: its complexity,
and how probable the answer is to a head that never saw the model (`router.second_opinion`). It shows what
reading a text adds to the model's own confidence (`tekizai router train --head complexity`); what becomes of
an answer is the gate's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from scipy import special

from router.head import FLOOR
from router.head_training import log_losses

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

Way = Literal["confidence", "all"]
"""What counts. With all, confidence counts for each label apart: a model may be surer of one than it should
be."""

FOLDS = 5
_STRENGTH = 0.3
"""scikit-learn's C."""
_CONFIDENCE, _COMPLEXITY, _OPINION, _ANSWER = 3.0, 0.3, 0.5, 0.3
"""How freely each part may count: all weights are held down, those of small parts the most. So few records
leave the order near that of confidence, which they could only spoil (docs/measurements.md)."""
_LEAST_GAIN = 0.5
"""Standard errors by which all together must lower the log-loss of confidence alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """Records that a small model has answered."""

    confidence: npt.NDArray[np.float64]
    """Shape (records,)."""
    answers: Sequence[str]
    complexity: npt.NDArray[np.float64]
    """As it was before the answer, shape (records,)."""
    opinion: npt.NDArray[np.float64] | None = None
    """Probability of each answer by the text alone, shape (records,); None where nothing learned it."""

    def __post_init__(self) -> None:
        """Refuse parts of different lengths."""
        parts = [self.confidence, self.answers, self.complexity]
        lengths = [len(one) for one in (parts if self.opinion is None else [*parts, self.opinion])]
        if len(set(lengths)) > 1:
            raise ValueError(f"confidence, answers, complexity and opinion have the lengths {lengths}")


@dataclass(frozen=True, slots=True, eq=False)
class Hindsight:
    """Log-odds of a wrong answer = weights @ inputs + intercept."""

    way: Way
    labels: tuple[str, ...]
    """The answers that it was fitted to; any other counts as none of them."""
    weights: npt.NDArray[np.float64]
    intercept: float

    def wrong_probabilities(self, seen: Answered) -> npt.NDArray[np.float64]:
        """Probability that each answer is wrong, shape (records,).

        Raises `ValueError` where there is an opinion and there was none to fit to, or the other way round.
        """
        inputs = _inputs(self.way, seen, self.labels)
        if inputs.shape[1] != len(self.weights):
            raise ValueError(
                f"fitted to {len(self.weights)} inputs, got {inputs.shape[1]}: give the second opinion here "
                "if it was there then, and only then"
            )
        return np.asarray(special.expit(inputs @ self.weights + self.intercept), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class FittedHindsight:
    """What was fitted, and what it says of the records that it was fitted to."""

    hindsight: Hindsight
    held_back: npt.NDArray[np.float64]
    """From a fit to other records; shape (records,). Of confidence alone: from all, which keeps its order."""


def fit_hindsight(seen: Answered, wrong: npt.NDArray[np.bool_]) -> FittedHindsight:
    """Fit to all that is known, or to confidence alone.

    That is what stays where the rest does not lower the log-loss on held-back records (five folds) by more
    than half the standard error of the difference. Complexity and opinion must not have been learned from the
    records that they are of. Deterministic.

    Raises:
        ValueError: nearly all answers are right, or wrong, so that nothing can be learned.
    """
    if not FOLDS <= int(wrong.sum()) <= len(wrong) - FOLDS:
        raise ValueError(f"{int(wrong.sum())} of {len(wrong)} answers are wrong: more of both are needed")
    labels = tuple(sorted(set(seen.answers)))
    alone, both = (_held_back(_inputs(way, seen, labels), wrong) for way in get_args(Way))
    answered = wrong.astype(np.int64)
    gain = log_losses(_as_pairs(alone), answered) - log_losses(_as_pairs(both), answered)
    if gain.mean() > _LEAST_GAIN * gain.std(ddof=1) / np.sqrt(len(gain)):
        return FittedHindsight(_fit("all", seen, labels, wrong), both)
    found = _fit("confidence", seen, labels, wrong)
    return FittedHindsight(found, found.wrong_probabilities(seen))


def wrong_probabilities(
    confidence: npt.NDArray[np.float64],
    answers: Sequence[str],
    complexity: npt.NDArray[np.float64],
    wrong: npt.NDArray[np.bool_],
    opinion: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float64]:
    """Probability that each answer is wrong, from a fit to other records; see `fit_hindsight`."""
    return fit_hindsight(Answered(confidence, answers, complexity, opinion), wrong).held_back


def _inputs(way: Way, seen: Answered, labels: Sequence[str]) -> npt.NDArray[np.float64]:
    """Shape (records, inputs)."""
    sure = _logit(seen.confidence)[:, None]
    parts = [_CONFIDENCE * sure]
    if way == "confidence":
        return parts[0]
    parts.append(_COMPLEXITY * _logit(seen.complexity)[:, None])
    if seen.opinion is not None:
        parts.append(_OPINION * _logit(seen.opinion)[:, None])
    names = np.array(seen.answers, dtype=object).astype(str)
    said = _ANSWER * (names[:, None] == np.array(labels)[None]).astype(np.float64)
    return np.hstack([*parts, said, said * sure])


def _held_back(inputs: npt.NDArray[np.float64], wrong: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    folds = np.arange(len(wrong)) % FOLDS
    # Each fold has both kinds, whatever the order of the records.
    folds[np.argsort(wrong, kind="stable")] = folds.copy()
    found = np.zeros(len(wrong))
    for fold in range(FOLDS):
        held = folds == fold
        weights, intercept = _weights(inputs[~held], wrong[~held])
        found[held] = special.expit(inputs[held] @ weights + intercept)
    return found


def _fit(way: Way, seen: Answered, labels: tuple[str, ...], wrong: npt.NDArray[np.bool_]) -> Hindsight:
    return Hindsight(way, labels, *_weights(_inputs(way, seen, labels), wrong))


def _weights(
    inputs: npt.NDArray[np.float64], wrong: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], float]:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - takes a second to import

    model = LogisticRegression(C=_STRENGTH, max_iter=500).fit(inputs, wrong)
    return np.asarray(model.coef_[0], np.float64), float(model.intercept_[0])


def _as_pairs(wrong: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities of right and wrong, shape (records, 2)."""
    return np.stack([1.0 - wrong, wrong], axis=1)


def _logit(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    clipped = np.clip(probabilities, FLOOR, 1.0 - FLOOR)
    return np.asarray(np.log(clipped / (1.0 - clipped)))
