"""Fitting a student to what the oracle said of the pilot's training records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from router.calibration import surety
from router.confidence import fit_confidence
from router.route_training import LEAST_ROWS_A_LABEL, RouteRows, fit_route_head, halved_probabilities
from router.student import Judged, Student

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from router.confidence import ConfidenceCurve
    from router.route_head import RouteHead
    from router.text_view import TextView

LEAST_ROWS = 50
"""With fewer there is nothing to tell its confidence by."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedStudent:
    """A student without a cut, and how it fares on the rows under fits without them."""

    student: Student
    judged: Judged
    halved: Judged
    """The same where the fit was to half of the rows."""


def fit_student(
    task: str, views: Sequence[TextView], labels: Sequence[str], *, encoder: str
) -> FittedStudent | None:
    """Fit a student; None where the rows are too few, or have one label only. Deterministic.

    A label that a single row has is not learned, and the student is wrong on that row.

    Args:
        task: the task's name.
        views: what is seen of the texts, in an order that says nothing about them.
        labels: what the oracle said of each.
        encoder: digest of the encoder whose vectors the views hold.
    """
    counts = Counter(labels)
    known = [place for place, label in enumerate(labels) if counts[label] >= LEAST_ROWS_A_LABEL]
    if len(labels) < LEAST_ROWS or len({labels[place] for place in known}) < 2:  # noqa: PLR2004 - one label leaves nothing to tell apart
        return None
    rows = RouteRows([views[place] for place in known], [labels[place] for place in known])
    fitted = fit_route_head(rows)
    head, held_back = fitted.head, fitted.held_back
    curve = fit_confidence(surety(held_back, multi_label=False), _right(head, held_back, rows))
    others = [place for place in range(len(labels)) if counts[labels[place]] < LEAST_ROWS_A_LABEL]
    missed = head.probabilities([views[place] for place in others])

    def judged(seen: npt.NDArray[np.float64]) -> Judged:
        found = Judged(np.full(len(labels), -1.0), np.zeros(len(labels), bool))
        found.confidence[known] = curve(surety(seen, multi_label=False))
        found.agrees[known] = _right(head, seen, rows)
        if others:
            # A label that was not learned is answered all the same: wrongly, and as surely as any other.
            found.confidence[others] = curve(surety(missed, multi_label=False))
        return found

    student = _student(task, head, curve, rows=len(labels), encoder=encoder)
    return FittedStudent(student, judged(held_back), judged(halved_probabilities(rows, head.temperature)))


def _right(head: RouteHead, seen: npt.NDArray[np.float64], rows: RouteRows) -> npt.NDArray[np.bool_]:
    said = [head.labels[best] for best in seen.argmax(axis=1).tolist()]
    return np.array([one == label for one, label in zip(said, rows.labels, strict=True)], bool)


def _student(task: str, head: RouteHead, curve: ConfidenceCurve, *, rows: int, encoder: str) -> Student:
    buckets = np.flatnonzero(head.ngrams.any(axis=1)).astype(np.int32)
    return Student(
        task,
        head.labels,
        head.dense,
        buckets,
        head.ngrams[buckets],
        head.intercept,
        head.temperature,
        curve,
        cut=1.0,
        rows=rows,
        encoder=encoder,
    )


def with_cut(student: Student, cut: float) -> Student:
    """The student with the confidence from which on its answers count."""
    return replace(student, cut=cut)
