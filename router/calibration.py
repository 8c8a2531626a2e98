"""What was learned of a model on a task: how it is asked, and how its scores are read.

A `ModelCalibration` belongs to exact weights, prompt and labels; its fingerprint says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.answer_confidence import answer_features
from router.evidence import gather

if TYPE_CHECKING:
    import numpy.typing as npt

    from router.answer_confidence import AnswerHead
    from router.confidence import ConfidenceCurve
    from router.evidence import Evidence
    from router.generated import Generated
    from router.head import Head
    from router.head_training import ScaledScores
    from router.job import Example, Task
    from router.prompts import PromptForm
    from router.records import LabelScores

APPLIES = 0.5
"""From this probability on, a label of a multi_label task applies."""


@dataclass(frozen=True, slots=True)
class ChosenPrompt:
    """How a local model is asked about a task, where that was searched for."""

    form: PromptForm | None
    """None: as the job file or the catalogue says."""
    examples: tuple[Example, ...] | None
    """None: those of the job file."""
    label_tree: bool = True
    """Whether labels are scored to their last token; else by their first one, which costs nothing more."""


def asked_task(task: Task, chosen: ChosenPrompt | None) -> Task:
    """The task with the examples that a model is shown."""
    if chosen is None or chosen.examples is None:
        return task
    return task.model_copy(update={"examples": chosen.examples})


@dataclass(frozen=True, slots=True, eq=False)
class ModelCalibration:
    """How one model's scores on one task become probabilities and a confidence."""

    model: str
    task: str
    fingerprint: str
    """Of weights, prompt, labels and scoring (`router.journal.local_fingerprint`)."""
    prompt: ChosenPrompt
    scaled: ScaledScores | None
    """How label scores are read without a head; None for multi_label tasks, whose scores are taken as
    they are."""
    head: Head | None
    curve: ConfidenceCurve
    rows: int
    """How many answers of the oracle it was fitted to."""
    answers: AnswerHead | None = None
    """Of a generate task: from what is known of an answer to how often such ones pass the checker."""

    def read(self, scores: LabelScores) -> tuple[npt.NDArray[np.float64], float]:
        """Probabilities of the labels, and the probability that the answer they give is the oracle's.

        Raises `ValueError` where the scores do not fit the head.
        """
        probabilities = self.probabilities(gather([scores]))
        return probabilities[0], float(self.curve(surety(probabilities, multi_label=self.scaled is None))[0])

    def sure_of(self, answer: Generated) -> float | None:
        """The probability that a written answer passes the task's checker; None where nothing was learned."""
        if self.answers is None or answer.log_probability is None:
            return None
        return float(self.curve(self.answers(answer_features([answer])))[0])

    def probabilities(self, seen: Evidence) -> npt.NDArray[np.float64]:
        """Probabilities of the labels for many answers at once, shape (records, labels)."""
        if self.head is not None:
            return self.head.probabilities(seen)
        return seen.scores if self.scaled is None else self.scaled.probabilities(seen.scores)


@dataclass(frozen=True, slots=True)
class NotCalibrated:
    """The reading of a model's scores on a task of which nothing was learned: no confidence, so no trust."""

    model: str
    task: str


def surety(probabilities: npt.NDArray[np.float64], *, multi_label: bool) -> npt.NDArray[np.float64]:
    """How sure the answers look, shape (records,): the likeliest label's probability.

    multi_label: that of the least certain decision.
    """
    if multi_label:
        return np.asarray(np.maximum(probabilities, 1.0 - probabilities).min(axis=1), np.float64)
    return np.asarray(probabilities.max(axis=1), np.float64)


def answers_of(
    probabilities: npt.NDArray[np.float64], names: tuple[str, ...], *, multi_label: bool
) -> list[tuple[str, ...]]:
    """The labels that probabilities of shape (records, labels) stand for."""
    if multi_label:
        return [tuple(n for n, p in zip(names, row, strict=True) if p >= APPLIES) for row in probabilities]
    return [(names[int(best)],) for best in probabilities.argmax(axis=1)]
