"""Learning from the pilot: heads and confidence curves of each small model and task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.fit_answers import JudgedAnswer, fit_answers
from pipelines.pilot_prompts import small_groups, unchanged_prompt
from router.calibration import ChosenPrompt, ModelCalibration, answers_of, surety
from router.confidence import ConfidenceCurve, fit_confidence
from router.evidence import gather
from router.gate_calibration import ModelReport, StudentReport
from router.head_training import ScaledScores, TrainingRows, choose_head
from router.job_generation import GENERATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from pipelines.calibrate import Calibrator
    from pipelines.pilot_run import Prompts
    from router.answer_confidence import AnswerHead
    from router.generated import Generated
    from router.head import Head
    from router.job import Task
    from router.records import LabelScores, Work
    from router.student import Student

_LEAST_ANSWERS = 2
"""One alone cannot be held back from a fit to the others."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """What the training rows gave, and how they fare under fits without them."""

    models: tuple[ModelCalibration, ...]
    reports: tuple[ModelReport, ...]
    prompts: Prompts
    confidence: npt.NDArray[np.float64]
    """Of each training row that a small model answered; -1 for the others."""
    agrees: npt.NDArray[np.bool_]
    said: tuple[frozenset[str] | None, ...]
    """The small model's labels of each training row, as a fit without it reads them; None for the others."""
    halved: npt.NDArray[np.float64]
    """Confidence of each training row where the fit was to half of the rows."""
    halved_agrees: npt.NDArray[np.bool_]
    students: tuple[Student, ...] = ()
    """What answers ahead of the small models; then the confidences are those of both together."""
    student_reports: tuple[StudentReport, ...] = ()


def fit_models(calibrator: Calibrator, rows: Sequence[Work], prompts: Prompts) -> Fitted:
    """Ask the small models about the training rows and fit how their scores are read."""
    calibrator.ask_small(rows, prompts)
    prints = calibrator.run.fingerprints(prompts)
    scored, written = calibrator.scored(rows), calibrator.written(rows)
    fits = []
    for name, task_name in sorted(small_groups(calibrator, rows)):
        task = calibrator.run.plan.task(task_name)
        chosen = prompts.get(name, {}).get(task_name) or unchanged_prompt(calibrator.run, name, task)
        asked = _Asked(name, task, prints[name][task_name], chosen)
        if task.kind == GENERATE:
            fits.append(
                _fit_written(asked, _judged_answers(calibrator, rows, written.get((name, task_name), ())))
            )
        else:
            fits.append(_fit_scored(asked, _answered(calibrator, rows, scored.get((name, task_name), ()))))
    return _gathered(fits, len(rows), prompts)


@dataclass(frozen=True, eq=False)
class _Asked:
    """A model and a task, and how it is asked."""

    model: str
    task: Task
    fingerprint: str
    prompt: ChosenPrompt

    def read_by(
        self,
        curve: ConfidenceCurve,
        rows: int,
        *,
        scaled: ScaledScores | None = None,
        head: Head | None = None,
        answers: AnswerHead | None = None,
    ) -> ModelCalibration:
        """The calibration that was fitted to so many rows."""
        return ModelCalibration(
            self.model, self.task.name, self.fingerprint, self.prompt, scaled, head, curve, rows, answers
        )


@dataclass(frozen=True, eq=False)
class _ModelFit:
    """What one model's answers to one task gave; the sequences are of the rows at its places."""

    model: ModelCalibration
    report: ModelReport
    places: Sequence[int]
    confidence: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    halved: npt.NDArray[np.float64]
    halved_right: npt.NDArray[np.bool_]
    said: Sequence[frozenset[str]]


def _fit_written(asked: _Asked, judged: Sequence[JudgedAnswer]) -> _ModelFit:
    learned = fit_answers(asked.task, judged)
    return _ModelFit(
        asked.read_by(learned.curve, len(judged), answers=learned.head),
        ModelReport(learned.reason, {}, ()),
        [one.place for one in judged],
        learned.sure,
        learned.right,
        learned.halved,
        learned.right,
        [frozenset({one.answer.text}) for one in judged],
    )


def _fit_scored(asked: _Asked, answered: Sequence[_Answered]) -> _ModelFit:
    if len(answered) < _LEAST_ANSWERS:
        answered = []
    fit = _fit(asked.task, answered)
    model = asked.read_by(fit.curve, len(answered), scaled=fit.scaled, head=fit.head)
    return _ModelFit(
        model,
        ModelReport(fit.reason, fit.trials, ()),
        [one.place for one in answered],
        model.curve(fit.sure),
        fit.right,
        model.curve(fit.halved_sure),
        fit.halved_right,
        fit.said,
    )


def _gathered(fits: Sequence[_ModelFit], rows: int, prompts: Prompts) -> Fitted:
    """All of them, with what they say of each training row in its place."""
    confidence, agrees = np.full(rows, -1.0), np.zeros(rows, bool)
    halved, halved_agrees = confidence.copy(), agrees.copy()
    said: list[frozenset[str] | None] = [None] * rows
    for fit in fits:
        at = list(fit.places)
        confidence[at], agrees[at] = fit.confidence, fit.right
        halved[at], halved_agrees[at] = fit.halved, fit.halved_right
        for place, labels in zip(at, fit.said, strict=True):
            said[place] = labels
    models, reports = tuple(fit.model for fit in fits), tuple(fit.report for fit in fits)
    return Fitted(models, reports, prompts, confidence, agrees, tuple(said), halved, halved_agrees)


def _answered(
    calibrator: Calibrator, rows: Sequence[Work], scored: Sequence[tuple[int, LabelScores]]
) -> list[_Answered]:
    """The scores of rows on which the oracle has a word."""
    return [
        _Answered(place, one, words)
        for place, one in scored
        if (words := calibrator.oracle_labels(rows[place])) is not None
    ]


def _judged_answers(
    calibrator: Calibrator, rows: Sequence[Work], answers: Sequence[tuple[int, Generated]]
) -> list[JudgedAnswer]:
    """The answers to rows on which the oracle has a word."""
    return [
        JudgedAnswer(place, answer, words, rows[place].record.text)
        for place, answer in answers
        if (words := calibrator.oracle_labels(rows[place])) is not None
    ]


@dataclass(frozen=True, eq=False)
class _Answered:
    """A row that the small model and the oracle have answered."""

    place: int
    scores: LabelScores
    oracle: frozenset[str]


@dataclass(frozen=True, eq=False)
class _Fit:
    scaled: ScaledScores | None
    head: Head | None
    curve: ConfidenceCurve
    reason: str
    trials: Mapping[str, float]
    said: tuple[frozenset[str], ...]
    sure: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    halved_sure: npt.NDArray[np.float64]
    halved_right: npt.NDArray[np.bool_]


def _fit(task: Task, answered: Sequence[_Answered]) -> _Fit:
    multi = task.kind == "multi_label"
    if not answered:
        # Nothing was learned, so nothing is assumed of the model.
        scaled = None if multi else ScaledScores((1.0 / len(task.labels),) * len(task.labels), 1.0)
        none, no = np.empty(0), np.empty(0, bool)
        return _Fit(scaled, None, ConfidenceCurve(), "no answer to learn from", {}, (), none, no, none, no)
    words = [one.oracle for one in answered]
    seen = gather([one.scores for one in answered])
    if multi:
        said, sure, right = _judged(seen.scores, words, task)
        curve, reason = fit_confidence(sure, right), "multi_label: the scores as they are"
        return _Fit(None, None, curve, reason, {}, said, sure, right, sure, right)
    labels = [task.label_names.index(next(iter(word))) for word in words]
    choice = choose_head(TrainingRows(seen, np.array(labels, np.int64)))
    trials = {trial.name: trial.log_loss for trial in choice.trials}
    said, sure, right = _judged(choice.chosen.held_back, words, task)
    curve, half = fit_confidence(sure, right), _judged(choice.halved, words, task)
    return _Fit(choice.scaled, choice.head, curve, choice.reason, trials, said, sure, right, *half[1:])


def _judged(
    seen: npt.NDArray[np.float64], words: Sequence[frozenset[str]], task: Task
) -> tuple[tuple[frozenset[str], ...], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The answers, how sure they look, and whether they are the oracle's."""
    multi = task.kind == "multi_label"
    given = tuple(map(frozenset, answers_of(seen, task.label_names, multi_label=multi)))
    right = [word == said for word, said in zip(words, given, strict=True)]
    return given, surety(seen, multi_label=multi), np.array(right, bool)
