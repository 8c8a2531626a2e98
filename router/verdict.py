"""What an answer says: its labels or text, and how sure it is, as a calibration reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.answer_checks import failed_checks
from router.answer_confidence import raw_confidence
from router.bias import remove_bias
from router.calibration import ModelCalibration, NotCalibrated, answers_of, surety
from router.student import StudentReading

if TYPE_CHECKING:
    from router.bias import LabelBias
    from router.generated import Generated
    from router.job import Task
    from router.records import Answer

Readings = Mapping[tuple[str, str], "LabelBias | ModelCalibration | StudentReading | NotCalibrated"]
"""How the scores of each (model, task) are read: with their bias removed, or as a calibration learned."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer as labels with a confidence; no labels where the model failed."""

    labels: tuple[str, ...]
    confidence: float | None
    scores: tuple[tuple[str, float], ...]
    checks: tuple[str, ...] | None = None
    """What a written answer does not pass; None for labels."""


def read_answer(answer: Answer, task: Task, readings: Readings) -> Verdict | None:
    """Labels and confidence of an answer, None where the model gave none.

    multi_label: a label applies from .5 on, and the confidence is that of the least certain decision.
    """
    if answer.labels is not None:
        return Verdict(answer.labels, answer.confidence, ())
    if answer.generated is not None:
        return _read_written(answer.generated, task, readings.get((answer.model, task.name)))
    if answer.scores is None:
        return None
    names, multi = task.label_names, task.kind == "multi_label"
    reading = readings.get((answer.model, task.name))
    confidence: float | None
    if isinstance(reading, ModelCalibration | StudentReading):
        probabilities, confidence = reading.read(answer.scores)
    elif isinstance(reading, NotCalibrated):
        probabilities, confidence = answer.scores.probabilities, None
    else:
        probabilities = answer.scores.probabilities
        if not multi:
            probabilities = remove_bias(probabilities, reading)
        confidence = float(surety(probabilities[None, :], multi_label=multi)[0])
    [labels] = answers_of(probabilities[None, :], names, multi_label=multi)
    pairs = zip(names, probabilities.tolist(), strict=True)
    return Verdict(labels, confidence, tuple(sorted(pairs, key=_probability, reverse=True)))


def _read_written(
    answer: Generated,
    task: Task,
    reading: LabelBias | ModelCalibration | StudentReading | NotCalibrated | None,
) -> Verdict:
    """A written answer: what fails a check is not to be trusted at all."""
    checks = failed_checks(task, answer)
    confidence = raw_confidence(answer)
    if isinstance(reading, ModelCalibration):
        confidence = reading.sure_of(answer)
    elif isinstance(reading, NotCalibrated):
        confidence = None
    if checks and confidence is not None:
        confidence = 0.0
    return Verdict((answer.text,), confidence, (), checks)


def _probability(score: tuple[str, float]) -> float:
    return score[1]
