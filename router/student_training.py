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
    known = np.array([counts[label] >= LEAST_ROWS_A_LABEL for label in labels], bool)
    if len(labels) < LEAST_ROWS or sum(count >= LEAST_ROWS_A_LABEL for count in counts.values()) < 2:  # noqa: PLR2004 - one label leaves nothing to tell apart
        return None
    at = np.flatnonzero(known)
    rows = RouteRows([views[place] for place in at], [labels[place] for place in at])
    fitted = fit_route_head(rows)
    head = fitted.head
    halved = halved_probabilities(rows, head.temperature)
    names = np.array(head.labels, dtype=object)
    said = np.array(rows.labels, dtype=object)
    right = names[fitted.held_back.argmax(axis=1)] == said
    curve = fit_confidence(surety(fitted.held_back, multi_label=False), right.astype(bool))

    def judged(seen: npt.NDArray[np.float64]) -> Judged:
        found = Judged(np.full(len(labels), -1.0), np.zeros(len(labels), bool))
        found.confidence[at] = curve(surety(seen, multi_label=False))
        found.agrees[at] = names[seen.argmax(axis=1)] == said
        return found

    held_back = judged(fitted.held_back)
    # A row whose label was not learned is answered all the same, wrongly, and as surely as any other.
    for place in np.flatnonzero(~known):
        held_back.confidence[place] = float(
            curve(surety(head.probabilities([views[place]]), multi_label=False))[0]
        )
    buckets = np.flatnonzero(head.ngrams.any(axis=1)).astype(np.int32)
    student = Student(
        task,
        head.labels,
        head.dense,
        buckets,
        head.ngrams[buckets],
        head.intercept,
        head.temperature,
        curve,
        1.0,
        len(labels),
        encoder,
    )
    return FittedStudent(student, held_back, judged(halved))


def with_cut(student: Student, cut: float) -> Student:
    """The student with the confidence from which on its answers count."""
    return replace(student, cut=cut)
