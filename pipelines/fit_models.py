"""Learning from the pilot: prompts, heads and confidence curves of each small model and task."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.fit_answers import JudgedAnswer, fit_answers
from pipelines.prompt_search import PromptSearch
from router.assets import asset_path
from router.calibration import ChosenPrompt, ModelCalibration, answers_of, surety
from router.catalogue import load_catalogue
from router.confidence import ConfidenceCurve, fit_confidence
from router.evidence import gather
from router.gate_calibration import ModelReport, StudentReport
from router.head_training import ScaledScores, TrainingRows, choose_head
from router.job import LlamaCppModel
from router.job_generation import GENERATE
from router.prompt_search import MOST_LABELS_SCORED, LabelledText, forms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from pipelines.calibrate import Calibrator
    from pipelines.pilot_run import PilotRun, Prompts
    from router.generated import Generated
    from router.head import Head
    from router.job import Job, Task
    from router.pilot import Pilot
    from router.records import LabelScores, Work
    from router.student import Student

_EXAMPLES_A_LABEL = 8
_MOST_EXAMPLES = 200
_SHARE_FOR_EXAMPLES = 100
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


def examples_wanted(job: Job, pilot: Pilot) -> int:
    """How many records to set aside as a source of examples: none where the user gave examples."""
    if job.calibration.search_seconds <= 0.0:
        return 0
    labels = [len(task.labels) for task in job.tasks if task.kind == "single_label" and task.examples == ()]
    wanted = min(sum(_EXAMPLES_A_LABEL * count for count in labels), _MOST_EXAMPLES)
    return min(wanted, max(24, pilot.records // _SHARE_FOR_EXAMPLES)) if labels else 0


def search_prompts(
    calibrator: Calibrator, examples: Sequence[Work], rows: Sequence[Work]
) -> tuple[Prompts, dict[tuple[str, str], tuple[dict[str, Any], ...]]]:
    """The prompt of each small model and task that the rows are routed to, and what was tried."""
    job = calibrator.run.plan.job
    catalogue = load_catalogue(asset_path("configs/models.yaml"))
    prompts: dict[str, dict[str, ChosenPrompt]] = defaultdict(dict)
    tried: dict[tuple[str, str], tuple[dict[str, Any], ...]] = {}
    for (name, task_name), group in _groups(calibrator, rows).items():
        task, model = calibrator.run.plan.task(task_name), job.models[name]
        prompts[name][task_name] = unchanged_prompt(calibrator.run, name, task)
        if task.kind != "single_label" or job.calibration.search_seconds <= 0.0:
            continue
        known = _known(calibrator, group, task)
        if not known:
            continue
        if not isinstance(model, LlamaCppModel):
            continue
        pool = _pool(calibrator, name, task, examples)
        search = PromptSearch(calibrator.run, name, task, known, pool, seconds=job.calibration.search_seconds)
        best = search.search(list(forms(model, catalogue.entry(model.source))))
        calibrator.tell(
            f"prompt of {name} for {task_name}: {best.candidate.name}, log-loss {best.log_loss:.3f}; "
            f"the best of {len({one.candidate.prompt for one in search.tried})}"
        )
        prompts[name][task_name] = best.candidate.prompt
        tried[name, task_name] = tuple(
            {"prompt": one.candidate.name, "log_loss": one.log_loss, "rows": one.rows} for one in search.tried
        )
        for (one, key), answer in search.spent.items():
            if one != best.candidate.prompt:
                calibrator.charge(key, answer)
    return prompts, tried


def _pool(calibrator: Calibrator, name: str, task: Task, examples: Sequence[Work]) -> Sequence[LabelledText]:
    """What the prompt's examples may be drawn from."""
    opening = calibrator.run.plan.opening
    retrieval = opening.references.by_model.get(name, {}).get(task.name)
    if retrieval is not None and retrieval.examples is not None:
        # Each record has examples of its own: only the form is searched for.
        return ()
    return opening.pools.get(task.name) or [
        LabelledText(work.record.text, task.label_names[label])
        for work, label in _known(calibrator, examples, task)
    ]


def unchanged_prompt(run: PilotRun, name: str, task: Task) -> ChosenPrompt:
    """How the model is asked without a search."""
    many = task.kind == "single_label" and len(task.labels) > MOST_LABELS_SCORED
    given = run.plan.opening.prompts.get(name, {}).get(task.name, ChosenPrompt(None, None))
    return replace(given, label_tree=not many)


def _groups(calibrator: Calibrator, rows: Sequence[Work]) -> dict[tuple[str, str], list[Work]]:
    job = calibrator.run.plan.job
    found: dict[tuple[str, str], list[Work]] = defaultdict(list)
    for work in rows:
        if work.route.model != job.routing.escalate_to:
            found[work.route.model, work.record.task].append(work)
    return found


def _known(calibrator: Calibrator, works: Sequence[Work], task: Task) -> list[tuple[Work, int]]:
    """The records of a single_label task on which the oracle has a word, with its label's index."""
    found = []
    for work in works:
        labels = calibrator.oracle_labels(work) if work.record.task == task.name else None
        if labels is not None and len(labels) == 1:
            [label] = labels
            found.append((work, task.label_names.index(label)))
    return found


def fit_models(calibrator: Calibrator, rows: Sequence[Work], prompts: Prompts) -> Fitted:
    """Ask the small models about the training rows and fit how their scores are read."""
    calibrator.ask_small(rows, prompts)
    prints = calibrator.run.fingerprints(prompts)
    models, reports = [], []
    confidence, agrees = np.full(len(rows), -1.0), np.zeros(len(rows), bool)
    halved, halved_agrees = confidence.copy(), agrees.copy()
    said: list[frozenset[str] | None] = [None] * len(rows)
    scored, written = calibrator.scored(rows), calibrator.written(rows)
    for name, task_name in sorted(_groups(calibrator, rows)):
        task = calibrator.run.plan.task(task_name)
        chosen = prompts.get(name, {}).get(task_name) or unchanged_prompt(calibrator.run, name, task)
        if task.kind == GENERATE:
            judged = _judged_answers(calibrator, rows, written.get((name, task_name), ()))
            learned = fit_answers(task, judged)
            print_of = prints[name][task_name]
            models.append(
                ModelCalibration(
                    name, task_name, print_of, chosen, None, None, learned.curve, len(judged), learned.head
                )
            )
            reports.append(ModelReport(learned.reason, {}, ()))
            at = [one.place for one in judged]
            confidence[at], agrees[at] = learned.sure, learned.right
            halved[at], halved_agrees[at] = learned.halved, learned.right
            for one in judged:
                said[one.place] = frozenset({one.answer.text})
            continue
        answered = [
            _Answered(place, one, words)
            for place, one in scored.get((name, task_name), ())
            if (words := calibrator.oracle_labels(rows[place])) is not None
        ]
        if len(answered) < _LEAST_ANSWERS:
            answered = []
        fit = _fit(task, answered)
        model = ModelCalibration(
            name, task_name, prints[name][task_name], chosen, fit.scaled, fit.head, fit.curve, len(answered)
        )
        models.append(model)
        reports.append(ModelReport(fit.reason, fit.trials, ()))
        at = [one.place for one in answered]
        confidence[at], agrees[at] = model.curve(fit.sure), fit.right
        halved[at], halved_agrees[at] = model.curve(fit.halved_sure), fit.halved_right
        for place, labels in zip(at, fit.said, strict=True):
            said[place] = labels
    return Fitted(
        tuple(models), tuple(reports), prompts, confidence, agrees, tuple(said), halved, halved_agrees
    )


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
