"""Students of a job: taught and cut on the pilot's training rows, and asked ahead of the small models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.calibration_store import CalibrationError
from router.gate_calibration import StudentReport
from router.guarantee import Population, tolerated_errors
from router.student import LEAST_SHARE, Cut, Judged, Student, choose_cut, combine
from router.student_training import FittedStudent, fit_student, with_cut
from transforms.ask_student import StudentSession, encoder_digest, look_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pipelines.calibrate import Calibrator
    from pipelines.fit_models import Fitted
    from router.job import Job, Task
    from router.pilot_size import SizePlan, Terms
    from router.records import Answer, Work

_USUAL_ROWS = 400
"""Certifying rows where none are planned yet: what they tolerate is near what others would."""


def teach(  # noqa: PLR0913, PLR0917 - the rows, the promise and the plan
    calibrator: Calibrator, fitted: Fitted, works: Sequence[Work], first: int, terms: Terms, plan: SizePlan
) -> Fitted:
    """Teach a student for each single_label task, and combine it with the small models where it pays.

    Args:
        calibrator: with the oracle's answers to the rows.
        fitted: the small models on the rows.
        works: the training rows.
        first: how many of those were not drawn at random; they teach, and do not judge.
        terms: the promise, as the certifying rows are planned for.
        plan: how many those are with the small models alone.
    """
    job = calibrator.run.plan.job
    if job.routing.gate.student != "auto":
        return fitted
    wrong, drawn = _tolerated(terms, plan), np.arange(len(works)) >= first
    for task in job.tasks:
        if task.kind != "single_label":
            continue
        places, labels = _rows_of(calibrator, task, works)
        views = look_at([works[at].record.text for at in places])
        found = fit_student(task.name, views, labels, encoder=encoder_digest())
        cut, reason = None, "left out: too few records of two labels to learn from"
        if found is not None:
            cut = choose_cut(
                _some(_over(found.judged, places, len(works)), drawn),
                _some(Judged(fitted.confidence, fitted.agrees), drawn),
                target=terms.target,
                wrong=wrong,
                escalates=job.routing.escalate_to is not None,
            )
            reason = _reason(cut)
        calibrator.tell(f"student for {task.name}: {reason}")
        reports = (*fitted.student_reports, StudentReport(task.name, reason))
        fitted = replace(fitted, student_reports=reports)
        if found is not None and cut is not None:
            fitted = _with(fitted, found, places, cut)
    return fitted


def _with(fitted: Fitted, found: FittedStudent, places: Sequence[int], cut: Cut) -> Fitted:
    """The training rows as small models and the student read them together."""
    rows = len(fitted.confidence)
    now = _over(found.judged, places, rows)
    both = combine(now, Judged(fitted.confidence, fitted.agrees), cut.confidence)
    halved = _over(found.halved, places, rows)
    half = combine(halved, Judged(fitted.halved, fitted.halved_agrees), cut.confidence)
    return replace(
        fitted,
        confidence=both.confidence,
        agrees=both.agrees,
        halved=half.confidence,
        halved_agrees=half.agrees,
        students=(*fitted.students, with_cut(found.student, cut.confidence)),
    )


def _reason(cut: Cut | None) -> str:
    if cut is None:
        return (
            f"left out: on fewer than {LEAST_SHARE:.0%} of the training records it is as good as the target "
            "or the small model, without more of them escalated"
        )
    return (
        f"answers {cut.taken:.0%} of the training records, from a confidence of {cut.confidence:.3f} on; "
        f"{cut.kept:.0%} kept with it, {cut.before:.0%} without"
    )


def _tolerated(terms: Terms, plan: SizePlan) -> float:
    """The share of the certifying rows that may be kept and disagree."""
    size = min(plan.certify or _USUAL_ROWS, terms.records)
    population = Population(terms.records, terms.job) if 0 < terms.records <= terms.job else None
    allowed = tolerated_errors(size, target=terms.target, delta=terms.delta, population=population)
    return 0.0 if not allowed else allowed / size


def _rows_of(calibrator: Calibrator, task: Task, works: Sequence[Work]) -> tuple[list[int], list[str]]:
    """Places of the task's rows that a small model would answer, and what the oracle said of them."""
    large = calibrator.run.plan.job.routing.escalate_to
    places, labels = [], []
    for place, work in enumerate(works):
        if work.record.task != task.name or work.route.model == large:
            continue
        words = calibrator.oracle_labels(work)
        if words is not None and len(words) == 1:
            places.append(place)
            labels.append(next(iter(words)))
    return places, labels


def _over(judged: Judged, places: Sequence[int], rows: int) -> Judged:
    """The same over all rows: no answer where the task is another."""
    found = Judged(np.full(rows, -1.0), np.zeros(rows, bool))
    found.confidence[list(places)], found.agrees[list(places)] = judged.confidence, judged.agrees
    return found


def _some(judged: Judged, at: npt.NDArray[np.bool_]) -> Judged:
    return Judged(judged.confidence[at], judged.agrees[at])


def open_session(students: Sequence[Student], job: Job) -> StudentSession:
    """Students ready to answer records of the job."""
    return StudentSession(students, {task.name: task.label_names for task in job.tasks})


def student_answers(job: Job, students: Sequence[Student], works: Sequence[Work]) -> dict[int, Answer]:
    """What students say of the records that they take, by place; those go to no small model."""
    if not students:
        return {}
    session, found = open_session(students, job), {}
    for place, work in enumerate(works):
        said = None if work.route.model == job.routing.escalate_to else session.answer(work)
        if said is not None and said[1]:
            found[place] = said[0]
    return found


def check_students(students: Sequence[Student], job: Job) -> None:
    """Raise `CalibrationError` unless the students fit the job and the encoder is theirs."""
    if not students:
        return
    digest, names = encoder_digest(), {task.name: set(task.label_names) for task in job.tasks}
    for one in students:
        if one.encoder != digest or not set(one.labels) <= names.get(one.task, set()):
            raise CalibrationError(
                f"calibration: its student of task {one.task} was taught with other labels or another "
                "sentence encoder; calibrate again"
            )


def stated_students(students: Sequence[Student]) -> dict[str, Any]:
    """Digests by task, for the manifest."""
    return {one.task: {"digest": one.digest} for one in students}
