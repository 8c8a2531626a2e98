"""Fitting a head and choosing between it and the label scores, by cross-validated log-loss.

Only rows that the certification never sees may be given to these functions. scikit-learn is imported where
it is used: it takes a second, which a job without a target need not wait.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from router.head import FLOOR, Head, head_parts, looks_at, softmax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from router.evidence import Evidence
    from router.head import Inputs, Part

FOLDS = 5
_LEAST_ROWS = 30
_LEAST_GAIN = 0.5
_DIRECTIONS = 256
"""Features and embedding are rotated onto their widest directions before fitting: a tenth of the time, the
same head (docs/measurements.md). Nothing is whitened: narrow directions stay narrow."""
_SPREADS: dict[Part, float] = {"features": 10.0, "embedding": 5.0}
_STRENGTHS: dict[Inputs, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "scores": ((0.1, 1.0), (0.3,)),
    "features": ((0.03, 0.1, 0.3), (0.3,)),
    "embedding": ((0.1, 0.3), (1.0,)),
    "features and embedding": ((0.03, 0.1), (1.0,)),
}
"""scikit-learn's C, for few labels and for many: those that have ever won on the datasets measured."""
_MANY_LABELS = 20
_TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """Answers of one model on one single_label task, with what the oracle said."""

    seen: Evidence
    answers: npt.NDArray[np.int64]
    """Shape (rows,): index of the oracle's label."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        rows, labels = self.seen.scores.shape
        if self.answers.shape != (rows,):
            raise ValueError(f"{rows} rows of scores do not go with {len(self.answers)} answers")
        if rows and not 0 <= int(self.answers.min()) <= int(self.answers.max()) < labels:
            raise ValueError(f"an answer is not one of the {labels} labels")


@dataclass(frozen=True, slots=True)
class ScaledScores:
    """The label scores without a head: divided by their mean, and raised to a power for all alike."""

    mean: tuple[float, ...]
    temperature: float

    def probabilities(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Probabilities of the labels, shape (records, labels)."""
        logs = np.log(np.maximum(scores, FLOOR)) - np.log(np.maximum(np.asarray(self.mean), FLOOR))
        return softmax(logs / self.temperature)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One way to get probabilities, with what it was worth on rows it was not fitted on."""

    name: str
    losses: npt.NDArray[np.float64]
    """Log-loss of each row."""
    held_back: npt.NDArray[np.float64]
    """Probabilities of each row, from a fit without it; shape (rows, labels)."""

    @property
    def log_loss(self) -> float:
        """Mean over the rows, in nats."""
        return float(self.losses.mean())


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What was chosen, and all that was tried."""

    chosen: Trial
    head: Head | None
    """None where the label scores stay."""
    scaled: ScaledScores
    trials: tuple[Trial, ...]
    reason: str
    halved: npt.NDArray[np.float64]
    """Held-back probabilities of the chosen way where it is fitted to half of the rows: what fewer rows would
    have given. Shape (rows, labels)."""


def choose_head(rows: TrainingRows) -> Choice:
    """Fit heads of several kinds and strengths and choose the best, or none.

    A head is taken only if its log-loss over held-back rows is lower than that of the label scores by more
    than half the standard error of the difference: a whole one kept good heads away from small pilots, and
    none at all takes one of a dozen by chance. Deterministic: the folds are by position, so the rows must be
    in an order that says nothing about them, as hashed ids are.
    """
    # Threads that wait for each other stand still on a busy machine, and these matrices are small.
    with threadpool_limits(limits=1):
        return _choose(rows)


def _choose(rows: TrainingRows) -> Choice:
    scaled = fit_scaled(rows.seen.scores, rows.answers)
    plain = _trial("label scores", rows, _fit_plain(rows))
    trials = [plain]
    fittings: dict[str, _Fitting] = {}
    if len(rows.answers) >= _LEAST_ROWS and len(np.unique(rows.answers)) > 1:
        turns: dict[Part | None, npt.NDArray[np.float64]] = {}
        for kind, strengths in _kinds(rows):
            prepared = _Prepared(rows, kind, turns)
            for strength in strengths:
                fitting = _Fitting(prepared, strength)
                trial = _trial(f"{kind}, C={strength:g}", rows, fitting.fold)
                trials.append(trial)
                fittings[trial.name] = fitting
    best = min(trials, key=lambda trial: trial.log_loss)
    gains = plain.losses - best.losses
    if best is plain or gains.mean() <= _LEAST_GAIN * gains.std(ddof=1) / math.sqrt(len(gains)):
        halved = _trial("halves", rows, _fit_plain(rows), folds=2).held_back
        return Choice(plain, None, scaled, tuple(trials), _told(plain, trials[1:]), halved)
    told = f"the head on {best.name} has log-loss {best.log_loss:.3f}, the label scores {plain.log_loss:.3f}"
    fitting = fittings[best.name]
    halved = _trial("halves", rows, fitting.fold, folds=2).held_back
    return Choice(best, fitting.whole(), scaled, tuple(trials), told, halved)


def _told(plain: Trial, heads: list[Trial]) -> str:
    if not heads:
        return f"too few rows, or only one label in them, to train a head ({len(plain.losses)} rows)"
    best = min(heads, key=lambda trial: trial.log_loss)
    return (
        f"no head beat the label scores by more than chance: log-loss {best.log_loss:.3f} against "
        f"{plain.log_loss:.3f}"
    )


def _kinds(rows: TrainingRows) -> Iterator[tuple[Inputs, tuple[float, ...]]]:
    """The inputs that the rows have, with the strengths to try."""
    many = rows.seen.scores.shape[1] > _MANY_LABELS
    there: dict[Part, bool] = {
        "features": rows.seen.features is not None,
        "embedding": rows.seen.embedding is not None,
    }
    for kind, strengths in _STRENGTHS.items():
        if all(has or not looks_at(kind, part) for part, has in there.items()):
            yield kind, strengths[many]


def _trial(
    name: str,
    rows: TrainingRows,
    fit: Callable[[npt.NDArray[np.bool_]], npt.NDArray[np.float64]],
    folds: int = FOLDS,
) -> Trial:
    number = np.arange(len(rows.answers))
    folds = min(folds, len(number))
    held_back = np.zeros_like(rows.seen.scores)
    for fold in range(folds):
        held = number % folds == fold
        held_back[held] = fit(~held)
    return Trial(name, log_losses(held_back, rows.answers), held_back)


def log_losses(
    probabilities: npt.NDArray[np.float64], answers: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Negative logarithm of the probability of each row's answer, in nats; shape (rows,)."""
    return np.asarray(-np.log(np.maximum(probabilities[np.arange(len(answers)), answers], FLOOR)))


def _fit_plain(
    rows: TrainingRows,
) -> Callable[[npt.NDArray[np.bool_]], npt.NDArray[np.float64]]:
    scores = rows.seen.scores
    return lambda use: fit_scaled(scores[use], rows.answers[use]).probabilities(scores[~use])


def fit_scaled(scores: npt.NDArray[np.float64], answers: npt.NDArray[np.int64]) -> ScaledScores:
    """The mean of the scores, and the temperature with the least log-loss (Guo et al., ICML 2017)."""
    from scipy import optimize  # noqa: PLC0415 - see `router.evaluation.share`

    mean = tuple(float(value) for value in scores.mean(axis=0))

    def loss(log_temperature: float) -> float:
        scaled = ScaledScores(mean, math.exp(log_temperature))
        return float(log_losses(scaled.probabilities(scores), answers).mean())

    low, high = (math.log(value) for value in _TEMPERATURES)
    found = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded")
    return ScaledScores(mean, math.exp(float(found.x)))


class _Prepared:
    """The inputs of heads of one kind, which are the same for every strength."""

    def __init__(
        self, rows: TrainingRows, kind: Inputs, turns: dict[Part | None, npt.NDArray[np.float64]]
    ) -> None:
        """`turns` holds how each part was turned for the kinds before this one, and takes what is new."""
        self.kind, self.answers, self.labels = kind, rows.answers, rows.seen.scores.shape[1]
        parts = head_parts(kind, rows.seen)
        self.center = np.hstack([part.mean(axis=0) for part in parts])
        names = [*(part for part in _SPREADS if looks_at(kind, part)), None]
        for name, part in zip(names, parts, strict=True):
            if name not in turns:
                turns[name] = _turned(part - part.mean(axis=0), name)
        from scipy import linalg  # noqa: PLC0415 - see `router.evaluation.share`

        self.rotation = linalg.block_diag(*(turns[name] for name in names))
        self.inputs = (np.hstack(parts) - self.center) @ self.rotation


class _Fitting:
    """Heads of one kind and strength: on some of the rows, or on all."""

    def __init__(self, prepared: _Prepared, strength: float) -> None:
        self._prepared, self._strength = prepared, strength

    def fold(self, use: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        weights, intercept = self._fit(use)
        return softmax(self._prepared.inputs[~use] @ weights.T + intercept)

    def whole(self) -> Head:
        of = self._prepared
        weights, intercept = self._fit(np.ones(len(of.answers), dtype=bool))
        return Head(of.kind, of.center, weights @ of.rotation.T, intercept)

    def _fit(self, use: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - see the module's beginning

        inputs, labels = self._prepared.inputs[use], self._prepared.labels
        weights = np.zeros((labels, inputs.shape[1]))
        intercept = np.full(labels, -np.inf)
        answers = self._prepared.answers[use]
        seen = np.unique(answers)
        if len(seen) == 1:
            intercept[seen] = 0.0
            return weights, intercept
        model = LogisticRegression(C=self._strength, tol=1e-3, max_iter=300)
        with warnings.catch_warnings():
            # Few rows for each of many labels: the cross-validation sees what such a head is worth.
            warnings.filterwarnings("ignore", message="The number of unique classes is greater")
            model.fit(inputs, answers)
        if len(seen) == 2:  # noqa: PLR2004 - scikit-learn then gives the weights of the second label only
            weights[seen[1]], intercept[seen] = model.coef_[0], (0.0, float(model.intercept_[0]))
        else:
            weights[seen], intercept[seen] = model.coef_, model.intercept_
        return weights, intercept


def _turned(centered: npt.NDArray[np.float64], part: Part | None) -> npt.NDArray[np.float64]:
    """From a part of the inputs to its widest directions, its spread brought to a fixed size.

    Shape (inputs, directions). The label scores, which are no named part, are taken as they are.
    """
    if part is None:
        return np.eye(centered.shape[1])
    from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415 - see the module's beginning

    spread = math.sqrt(float(centered.var(axis=0).sum()))
    directions = min(_DIRECTIONS, *centered.shape)
    _, _, axes = randomized_svd(centered, n_components=directions, random_state=0)
    return np.asarray(axes.T * (_SPREADS[part] / max(spread, FLOOR)))
