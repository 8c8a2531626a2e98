"""Fitting a head of the router to labelled rows.

scikit-learn is imported where it is used: it takes a second.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg, optimize, sparse
from threadpoolctl import threadpool_limits

from router.head import softmax
from router.head_training import log_losses
from router.ngrams import BUCKETS, VIEWS
from router.route_head import RouteHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from router.text_view import TextView

FOLDS = 5
LEAST_ROWS_A_LABEL = 2
_STRENGTH = 10.0
"""scikit-learn's C; of 3, 10 and 30 the best on rows of prompts (docs/measurements.md)."""
_EMBEDDING, _SURFACE = 2.0, 0.5
"""How much the parts count beside each other: their scale decides what regularisation costs them."""
_LEAST_TEXTS = 2
"""An n-gram of a single text says nothing about others."""
_TEMPERATURES = (0.2, 5.0)
_ROTATED_ROWS = 2000
"""Up to so many rows are rotated into as many directions, which are far fewer than n-grams."""
_FLAT = 1e-7
"""Directions that are narrower than this share of the widest one hold nothing but rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class RouteRows:
    """Labelled texts."""

    views: Sequence[TextView]
    labels: Sequence[str]
    weights: npt.NDArray[np.float64] | None = None
    """How much each row counts; None: all the same."""

    def __post_init__(self) -> None:
        """Refuse rows without labels, labels with too few rows, and a single label."""
        if len(self.views) != len(self.labels):
            raise ValueError(f"{len(self.views)} texts do not go with {len(self.labels)} labels")
        names, counts = np.unique(np.array(self.labels, dtype=object).astype(str), return_counts=True)
        if len(names) < 2:  # noqa: PLR2004 - one label leaves nothing to tell apart
            raise ValueError(f"the rows have {len(names)} label; a head needs at least 2 to tell apart")
        few = [str(name) for name, count in zip(names, counts, strict=True) if count < LEAST_ROWS_A_LABEL]
        if few:
            least = LEAST_ROWS_A_LABEL
            raise ValueError(
                f"the label {few[0]!r} has a single row; give each label {least} at least, better 30"
            )


@dataclass(frozen=True, slots=True, eq=False)
class FittedHead:
    """A head and what it is worth on rows that it was not fitted on."""

    head: RouteHead
    held_back: npt.NDArray[np.float64]
    """Probabilities of each row from a fit without it, shape (rows, labels)."""


def fit_route_head(rows: RouteRows) -> FittedHead:
    """Fit a head, its temperature by cross-validation (Guo et al., ICML 2017).

    Deterministic. The folds are drawn by the rows' order within each label.
    """
    labels = tuple(sorted(set(rows.labels)))
    answers = np.array([labels.index(label) for label in rows.labels], np.int64)
    with threadpool_limits(limits=1):
        inputs = _Inputs(rows.views)
        logits = _held_back(inputs, answers, labels, rows, _folds(answers))
        temperature = _temperature(logits, answers, rows.weights)
        coefficients, intercept = _fit(inputs.seen, answers, labels, rows, np.ones(len(answers), bool))
    head = inputs.as_head(labels, coefficients, intercept, temperature)
    return FittedHead(head, softmax(logits / temperature))


def halved_probabilities(rows: RouteRows, temperature: float) -> npt.NDArray[np.float64]:
    """Probabilities of each row from a fit to the other half of the rows: what fewer rows would have given.

    Args:
        rows: As `fit_route_head` takes them.
        temperature: By which logits are divided.

    Returns:
        Shape (rows, labels), labels in alphabetical order.
    """
    labels = tuple(sorted(set(rows.labels)))
    answers = np.array([labels.index(label) for label in rows.labels], np.int64)
    with threadpool_limits(limits=1):
        logits = _held_back(_Inputs(rows.views), answers, labels, rows, _folds(answers, 2))
    return softmax(logits / temperature)


def _held_back(
    inputs: _Inputs,
    answers: npt.NDArray[np.int64],
    labels: tuple[str, ...],
    rows: RouteRows,
    folds: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Logits of each row from a fit without its fold, shape (rows, labels)."""
    logits = np.zeros((len(answers), len(labels)))
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        coefficients, intercept = _fit(inputs.seen[~held], answers[~held], labels, rows, ~held)
        logits[held] = inputs.seen[held] @ coefficients.T + intercept
    return logits


class _Inputs:
    """The rows as one sparse matrix, its parts scaled against each other."""

    def __init__(self, views: Sequence[TextView]) -> None:
        dense = np.stack([np.concatenate([one.embedding, one.surface]) for one in views])
        embedding = len(views[0].embedding)
        self._dense = np.where(np.arange(dense.shape[1]) < embedding, _EMBEDDING, _SURFACE)
        counts = ngram_matrix(views)
        texts = np.asarray((counts > 0).sum(axis=0)).ravel()
        rarity = np.log((1.0 + len(views)) / (1.0 + texts)) + 1.0
        rarity[texts < _LEAST_TEXTS] = 0.0
        weighed = counts.multiply(rarity).tocsr()
        length = float(np.sqrt(weighed.multiply(weighed).sum(axis=1)).mean())
        wanted = math.sqrt(sum(view.weight**2 for view in VIEWS))
        self._ngrams = rarity * (wanted / max(length, 1e-9))
        scaled = sparse.hstack(
            [sparse.csr_matrix(dense * self._dense), counts.multiply(self._ngrams)]
        ).tocsr()
        self._basis: Any = None
        self.seen: Any = scaled
        """What is fitted to, shape (rows, inputs) or (rows, directions)."""
        if len(views) <= _ROTATED_ROWS:
            self._rotate(scaled)

    def _rotate(self, scaled: Any) -> None:  # noqa: ANN401 - a sparse matrix
        """Turn the rows onto the directions that they span: a ridge penalty has the same solution there."""
        values, vectors = linalg.eigh((scaled @ scaled.T).toarray())
        wide = values > max(float(values[-1]), 1e-12) * _FLAT
        lengths = np.sqrt(values[wide])
        self.seen = vectors[:, wide] * lengths
        self._basis = (scaled.T @ (vectors[:, wide] / lengths)).T

    def as_head(
        self,
        labels: tuple[str, ...],
        coefficients: npt.NDArray[np.float64],
        intercept: npt.NDArray[np.float64],
        temperature: float,
    ) -> RouteHead:
        """The head on inputs that are neither rotated nor scaled."""
        if self._basis is not None:
            coefficients = coefficients @ self._basis
        width = len(self._dense)
        dense = (coefficients[:, :width] * self._dense).astype(np.float32)
        ngrams = (coefficients[:, width:] * self._ngrams).T.astype(np.float16)
        return RouteHead(
            labels, dense, np.ascontiguousarray(ngrams), intercept.astype(np.float32), temperature
        )


def ngram_matrix(views: Sequence[TextView]) -> Any:  # noqa: ANN401 - scipy has no types
    """The n-grams' weights as a sparse matrix, shape (texts, buckets)."""
    ends = np.cumsum([0, *(len(one.buckets) for one in views)])
    values = np.concatenate([one.weights for one in views])
    columns = np.concatenate([one.buckets for one in views])
    return sparse.csr_matrix((values, columns, ends), shape=(len(views), BUCKETS))


def _folds(answers: npt.NDArray[np.int64], count: int = FOLDS) -> npt.NDArray[np.int64]:
    """Each label's rows in turn to the folds, so that every fold has some."""
    order = np.argsort(answers, kind="stable")
    folds = np.zeros(len(answers), np.int64)
    folds[order] = np.arange(len(answers)) % count
    return folds


def _fit(
    inputs: Any,  # noqa: ANN401 - a sparse matrix
    answers: npt.NDArray[np.int64],
    labels: tuple[str, ...],
    rows: RouteRows,
    use: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - see the module's beginning

    coefficients = np.zeros((len(labels), inputs.shape[1]))
    # A label that no row of this part has is as good as impossible.
    intercept = np.full(len(labels), -30.0)
    model = LogisticRegression(C=_STRENGTH, tol=1e-3, max_iter=200)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes is greater")
        model.fit(inputs, answers, sample_weight=None if rows.weights is None else rows.weights[use])
    if len(model.classes_) == 2:  # noqa: PLR2004 - scikit-learn then gives the weights of the second label only
        coefficients[model.classes_[1]] = model.coef_[0]
        intercept[model.classes_] = 0.0, float(model.intercept_[0])
    else:
        coefficients[model.classes_], intercept[model.classes_] = model.coef_, model.intercept_
    return coefficients, intercept


def _temperature(
    logits: npt.NDArray[np.float64],
    answers: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64] | None,
) -> float:
    def loss(log_temperature: float) -> float:
        losses = log_losses(softmax(logits / math.exp(log_temperature)), answers)
        return float(np.average(losses, weights=weights))

    low, high = (math.log(value) for value in _TEMPERATURES)
    return math.exp(float(optimize.minimize_scalar(loss, bounds=(low, high), method="bounded").x))
