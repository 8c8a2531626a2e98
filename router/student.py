"""The student: a linear head on the text alone that answers, ahead of the small model, what it is sure of.

It learned from what the oracle said of the pilot's training records (`router.student_training`). Whatever it
is sure enough of is its answer, all else the small model's: together they are one labeller, settled before
anybody looks at the records that certify it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.calibration import surety
from router.names import STUDENT
from router.ngrams import BUCKETS
from router.route_head import RouteHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from router.confidence import ConfidenceCurve
    from router.records import LabelScores
    from router.text_view import TextView

LEAST_SHARE = 0.05
"""With fewer of the records it does not pay: it looks at every text, and the others are asked as before."""


_BAND, _BAND_SHARE = 40, 10
"""How many of its least sure answers are looked at to see how good the small model is there: at least so
many, and a tenth of the records."""


@dataclass(frozen=True, slots=True)
class StudentReading:
    """How the student's probabilities become a confidence; no weights, so that it travels light."""

    model: str
    task: str
    curve: ConfidenceCurve
    rows: int
    """How many answers of the oracle it was fitted to."""

    def read(self, scores: LabelScores) -> tuple[npt.NDArray[np.float64], float]:
        """Probabilities of the labels, and the probability that the answer they give is the oracle's."""
        seen = scores.probabilities
        return seen, float(self.curve(surety(seen[None, :], multi_label=False))[0])


@dataclass(frozen=True, slots=True, eq=False)
class Student:
    """What was learned of a single_label task. Weights of n-grams that no training text had are left out."""

    task: str
    labels: tuple[str, ...]
    """Labels that the training records had, in alphabetical order."""
    dense: npt.NDArray[np.float32]
    """Weights of the encoder's vector and the surface, shape (labels, dimensions + surface features)."""
    buckets: npt.NDArray[np.int32]
    """The n-grams that count, ascending."""
    ngrams: npt.NDArray[np.float16]
    """Their weights, shape (buckets, labels)."""
    intercept: npt.NDArray[np.float32]
    """Shape (labels,)."""
    temperature: float
    curve: ConfidenceCurve
    cut: float
    """From this confidence on its answer counts, and the small model is not asked."""
    rows: int
    """How many answers of the oracle it was fitted to."""
    encoder: str
    """Digest of the encoder whose vectors it looks at."""

    @property
    def reading(self) -> StudentReading:
        """How its answers are read."""
        return StudentReading(STUDENT, self.task, self.curve, self.rows)

    @property
    def head(self) -> RouteHead:
        """All weights, ready to look at texts."""
        ngrams = np.zeros((BUCKETS, len(self.labels)), np.float16)
        ngrams[self.buckets] = self.ngrams
        return RouteHead(self.labels, self.dense, ngrams, self.intercept, self.temperature)

    @property
    def digest(self) -> str:
        """What its answers depend on: 16 hexadecimal digits."""
        found = hashlib.blake2b(digest_size=8, person=b"tekizai.student")
        curve = (self.curve.above, self.curve.below, self.curve.shift)
        facts = (self.task, self.labels, self.temperature, curve, self.cut, self.encoder)
        found.update(repr(facts).encode("utf-8", "surrogatepass"))
        for values in (self.dense, self.buckets, self.ngrams, self.intercept):
            found.update(np.ascontiguousarray(values).tobytes())
        return found.hexdigest()


def task_probabilities(
    head: RouteHead, views: Sequence[TextView], names: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Probabilities of a task's labels, shape (texts, labels): 0 for those that the head does not know."""
    found = np.zeros((len(views), len(names)))
    found[:, [names.index(label) for label in head.labels]] = head.probabilities(views)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Answers to the training records, from fits without them; -1 and False where there is none."""

    confidence: npt.NDArray[np.float64]
    """Shape (rows,)."""
    agrees: npt.NDArray[np.bool_]
    """Shape (rows,): whether the oracle said the same."""


def combine(student: Judged, small: Judged, cut: float) -> Judged:
    """The two as one labeller: the student answers from a confidence of `cut` on, else the small model."""
    takes = student.confidence >= cut
    return Judged(
        np.where(takes, student.confidence, small.confidence), np.where(takes, student.agrees, small.agrees)
    )


@dataclass(frozen=True, slots=True)
class Cut:
    """From which confidence on the student's answers count, and what that does to the training records."""

    confidence: float
    taken: float
    """Share of the records that it answers."""
    kept: float
    """Share that is kept by both together with the disagreements that the promise tolerates."""
    before: float
    """The same by the small model alone."""


def choose_cut(
    student: Judged, small: Judged, *, target: float, wrong: float, escalates: bool = True
) -> Cut | None:
    """The lowest cut at which the student costs neither the promise nor calls; None where it does not pay.

    From it on, the student agrees with the oracle at least as often as the target asks, and no fewer records
    are kept than by the small model alone. Its least sure answers are as good as the target asks, or at least
    as good as the small model's there: what the promise leaves open is not spent on worse answers. The cut
    lies half way between the confidence found and the next lower one.

    Args:
        student: its answers.
        small: the small model's.
        target: the fraction of annotations that must agree.
        wrong: the share of all records that may be kept and disagree, as the certifying rows will tolerate.
        escalates: whether there is a model that answers what is not kept; if not, every answer stands, and
            no fewer may agree than with the small model alone.
    """
    # It needs SciPy, for which a run without a student would have to wait at its start.
    from router.pilot_size import kept_share  # noqa: PLC0415 - see above

    def worth(one: Judged) -> float:
        if escalates:
            return kept_share(one.confidence, one.agrees, wrong)
        return float(one.agrees.mean())

    if not len(student.confidence):
        return None
    before = worth(small)
    # Of equal confidences either all are taken or none, and what has no answer is never taken.
    found = np.unique(student.confidence[student.confidence >= 0.0])
    for number, cut in enumerate(found):
        takes = student.confidence >= cut
        if float(takes.mean()) < LEAST_SHARE:
            return None
        if float(student.agrees[takes].mean()) < target or cut < min(
            target, _least_sure(student, small, cut)
        ):
            continue
        kept = worth(combine(student, small, float(cut)))
        if kept >= before:
            # The head is fitted anew to all rows: what it says of alike texts is a little more, or less.
            lower = cut if number == 0 else (found[number - 1] + cut) / 2.0
            return Cut(float(lower), float(takes.mean()), kept, before)
    return None


def _least_sure(student: Judged, small: Judged, cut: float) -> float:
    """How often the small model agrees on the records of which the student is least sure, from the cut on."""
    takes = np.flatnonzero(student.confidence >= cut)
    size = max(_BAND, len(student.confidence) // _BAND_SHARE)
    band = takes[np.argsort(student.confidence[takes], kind="stable")][:size]
    return float(small.agrees[band].mean())
