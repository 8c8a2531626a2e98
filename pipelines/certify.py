"""The certifying rows of a pilot: from answers to a certified gate, and what they say of the confidence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.fit_answers import NEVER
from router.calibration import answers_of, surety
from router.certification import Certificate, Certification, CertifyingRows, certify, certify_slices
from router.evaluation import calibration_error, reliability, share
from router.evidence import gather
from router.gate import NOTHING, GateRule, call_size, least_gain, slice_of
from router.gate_calibration import AgreementParts, StudentReport, agreement_parts
from router.guarantee import Population
from router.job import OpenAIModel
from router.job_generation import GENERATE
from router.likeness import agree
from router.names import STUDENT
from router.records import Answer, Usage
from router.rules import wanted
from router.verdict import Readings, read_answer
from transforms.journal_scan import paid_calls
from transforms.route_records import load_router

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from pipelines.calibrate import Calibrator
    from pipelines.fit_models import Fitted
    from router.calibration import ModelCalibration
    from router.job import Job
    from router.pilot import Pilot
    from router.records import Work
    from router.student import Student


@dataclass(frozen=True, eq=False)
class Certified:
    """The gate, and what the rows showed."""

    rule: GateRule
    certification: Certification
    held_back: tuple[Mapping[str, Any], ...]
    """One for each calibrated model and task."""
    rows: CertifyingRows
    note: str
    parts: AgreementParts
    student_reports: tuple[StudentReport, ...] = ()


@dataclass(frozen=True, eq=False)
class Read:
    """Answers of small models and students to the rows; -1 and no labels where there is none."""

    confidence: list[float]
    labels: list[frozenset[str] | None]
    models: list[str]
    """Who gave them, or would have."""


def certify_rows(  # noqa: PLR0913, PLR0917 - all that it rests on
    calibrator: Calibrator,
    pilot: Pilot,
    fitted: Fitted,
    works: Sequence[Work],
    taken: Mapping[int, Answer],
    asked: int,
) -> Certified:
    """Certify the gate on records of which `asked` earlier ones of the pilot's order were used otherwise.

    `taken` are the students' answers, by place; the small models were asked about the others.
    """
    gate = calibrator.run.plan.job.routing.gate
    large = calibrator.run.plan.job.routing.escalate_to
    read = read_works(calibrator, fitted.models, works, fitted.students, taken)
    words = [calibrator.oracle_labels(work) for work in works]
    agrees = _agree(calibrator, works, words, read.labels)
    escalated = None
    if gate.oracle == "gold" and large is not None:
        got = [calibrator.large_labels(work) for work in works]
        escalated = _agree(calibrator, works, words, got)
    slices = (
        ()
        if gate.per is None
        else [
            slice_of(gate.per, work.route, tuple(sorted(labels or ())))
            for work, labels in zip(works, read.labels, strict=True)
        ]
    )
    rows = CertifyingRows(np.array(read.confidence), agrees, escalated, slices)
    rule, certification = _gate(calibrator, pilot, rows, asked)
    # A gold column is no answer: what was learned from is still to be annotated, and so is all without gold.
    others = pilot.job - len(works) if gate.oracle == "gold" else pilot.records - asked - len(works)
    rule, note = _within_budget(calibrator, rule, works, read, others)
    held = tuple(_held_back(one.model, one.task, works, read, rows) for one in fitted.models)
    students = tuple(
        replace(one, held_back=_held_back(STUDENT, one.task, works, read, rows))
        for one in fitted.student_reports
    )
    parts = _parts(calibrator, works, read, rows, rule)
    return Certified(rule, certification, held, rows, note or _useless(certification), parts, students)


def _agree(
    calibrator: Calibrator,
    works: Sequence[Work],
    words: Sequence[frozenset[str] | None],
    said: Sequence[frozenset[str] | None],
) -> npt.NDArray[np.bool_]:
    """Whether what was said of each record agrees with the oracle's word, where there are both."""
    task = calibrator.run.plan.task
    return np.array(
        [
            w is not None and one is not None and agree(task(work.record.task), one, w, work.record.text)
            for work, w, one in zip(works, words, said, strict=True)
        ],
        bool,
    )


def _parts(
    calibrator: Calibrator, works: Sequence[Work], read: Read, rows: CertifyingRows, rule: GateRule
) -> AgreementParts:
    """How many kept answers agree, in each language and domain and of each label."""
    plan = calibrator.run.plan
    router = load_router(plan.reader.router)
    kept = [
        (work, tuple(sorted(labels or ())), bool(agrees))
        for work, sure, labels, agrees in zip(works, read.confidence, read.labels, rows.agrees, strict=True)
        if labels is not None and sure >= rule.threshold_of(work.route, tuple(sorted(labels)))
    ]
    found = router.find([work.record for work, _, _ in kept], wanted(plan.job))
    written = {task.name for task in plan.job.tasks if task.kind == GENERATE}
    return agreement_parts(
        (one.language, one.domain, None if work.record.task in written else ", ".join(labels), agrees)
        for one, (work, labels, agrees) in zip(found, kept, strict=True)
    )


def _gate(
    calibrator: Calibrator, pilot: Pilot, rows: CertifyingRows, asked: int
) -> tuple[GateRule, Certification]:
    job = calibrator.run.plan.job
    gate, escalates = job.routing.gate, job.routing.escalate_to is not None
    target, delta = gate.target or 0.0, gate.delta or 0.0
    if gate.per is not None:
        found = certify_slices(
            rows,
            count_slices(job, pilot),
            target=target,
            delta=delta,
            escalates=escalates,
        )
        if rows.large_agrees is not None:
            # What is escalated there may differ from the oracle too, and nothing bounds how often.
            unknown = Certificate(NOTHING, certified=False, rows=0, tolerated=None, kept=0, disagreed=0)
            found |= {name: unknown for name in pilot.slices if name not in found}
        thresholds = {name: one.threshold for name, one in found.items()}
        return GateRule(NOTHING, gate.per, thresholds), Certification(None, found)
    population = None
    if pilot.records > asked:
        # The oracle's own answers stand for what it was asked before; a gold column answers nothing.
        job_size = pilot.job if gate.oracle == "llm" else pilot.records - asked
        population = Population(pilot.records - asked, job_size)
    whole = certify(rows, target=target, delta=delta, population=population, escalates=escalates)
    return GateRule(whole.threshold), Certification(whole)


def count_slices(job: Job, pilot: Pilot) -> int:
    """How many slices the job has, or may have, where the promise is asked per slice."""
    if job.routing.gate.per == "label":
        # And what is routed to the large model gets no label of a small one.
        return 1 + sum(
            len(task.labels) if task.kind == "single_label" else 2 ** len(task.labels) for task in job.tasks
        )
    return len(pilot.slices)


def read_works(
    calibrator: Calibrator,
    models: Sequence[ModelCalibration],
    works: Sequence[Work],
    students: Sequence[Student],
    taken: Mapping[int, Answer],
) -> Read:
    """How the answers to records read: students' where they were taken, else small models'."""
    read = Read([-1.0] * len(works), [None] * len(works), [work.route.model for work in works])
    scored = calibrator.scored(works)
    for model in models:
        if (model.model, model.task) not in scored:
            continue
        task = calibrator.run.plan.task(model.task)
        at, scores = zip(*scored[model.model, model.task], strict=True)
        multi = task.kind == "multi_label"
        seen = model.probabilities(gather(scores))
        sure = model.curve(surety(seen, multi_label=multi))
        said = answers_of(seen, task.label_names, multi_label=multi)
        for number, value, names in zip(at, sure, said, strict=True):
            read.confidence[number], read.labels[number] = float(value), frozenset(names)
    _read_written(calibrator, models, works, read)
    readings: Readings = {(STUDENT, one.task): one.reading for one in students}
    for number, answer in taken.items():
        verdict = read_answer(answer, calibrator.run.plan.task(works[number].record.task), readings)
        if verdict is not None and verdict.confidence is not None:
            read.confidence[number], read.labels[number] = verdict.confidence, frozenset(verdict.labels)
            read.models[number] = STUDENT
    return read


def _read_written(
    calibrator: Calibrator, models: Sequence[ModelCalibration], works: Sequence[Work], read: Read
) -> None:
    """Put in how written answers read: those that fail a check are never trusted."""
    known: Readings = {(one.model, one.task): one for one in models}
    for (model, task), answers in calibrator.written(works).items():
        for number, said in answers if (model, task) in known else ():
            answer = Answer(model, Usage(), generated=said)
            verdict = read_answer(answer, calibrator.run.plan.task(task), known)
            if verdict is not None and verdict.confidence is not None:
                read.confidence[number] = NEVER if verdict.checks else verdict.confidence
                read.labels[number] = frozenset(verdict.labels)


def _held_back(
    model: str, task: str, works: Sequence[Work], read: Read, rows: CertifyingRows
) -> dict[str, Any]:
    """What the confidence of a model's answers is worth on the rows."""
    at = np.array(
        [
            (name, work.record.task) == (model, task) and sure >= 0.0
            for name, work, sure in zip(read.models, works, rows.confidence, strict=True)
        ],
        bool,
    )
    bins = reliability(rows.confidence[at], rows.agrees[at])
    agreed = share(int(rows.agrees[at].sum()), int(at.sum()))
    return {
        "rows": agreed.of,
        "agreement": agreed.rate,
        "low": agreed.low,
        "high": agreed.high,
        "calibration_error": calibration_error(bins) if bins else None,
        "bins": [
            {"records": one.records, "confidence": one.confidence, "agreement": one.accuracy} for one in bins
        ],
    }


def _useless(certification: Certification) -> str:
    whole = certification.whole
    if whole is None or whole.threshold < NOTHING:
        return ""
    if not whole.rows:
        return "no pilot is expected to save more calls than it costs: every record is escalated"
    if whole.tolerated is None:
        return f"{whole.rows:,} records are too few to certify anything: every record is escalated"
    return "the small models agree with the oracle too rarely for any threshold: every record is escalated"


_SPARE = Decimal("0.97")
"""The share of the budget that is planned with: a sample's mean cost is not the job's."""


def _within_budget(
    calibrator: Calibrator, rule: GateRule, works: Sequence[Work], read: Read, others: int
) -> tuple[GateRule, str]:
    """Where the money does not suffice for all that is not trusted: ask where it corrects most.

    `works` are a sample of the job, in which there are so many `others`.
    """
    plan = calibrator.run.plan
    budget, large = plan.job.budget, plan.job.routing.escalate_to
    # What a local model takes is no money of the budget's.
    if budget is None or large is None or not works or not isinstance(plan.job.models[large], OpenAIModel):
        return rule, ""
    costs = [
        (answer.usage.usd, call_size(len(work.record.text)))
        for work in works
        if (answer := calibrator.answer(large, work)) is not None
    ]
    if not any(usd for usd, _ in costs):
        return rule, ""
    each = sum((usd for usd, _ in costs), Decimal(0)) / sum(size for _, size in costs)
    spent = sum((call.usd for call in paid_calls(f"{plan.state}/journal")), Decimal(0))
    left = max(Decimal(0), budget.max_usd * _SPARE - spent)
    waiting = [
        (max(sure, 0.0), len(work.record.text))
        for work, sure, labels in zip(works, read.confidence, read.labels, strict=True)
        if sure < rule.threshold_of(work.route, tuple(sorted(labels or ())))
    ]
    sizes = sum(call_size(characters) for _, characters in waiting)
    needed = each * sizes * max(0, others) / len(works)
    if needed <= left:
        return rule, ""
    affordable = float(left / needed)
    least = least_gain([sure for sure, _ in waiting], [n for _, n in waiting], affordable)
    note = (
        f"budget.max_usd allows about {affordable:.0%} of the calls that the gate wants "
        f"(${needed:.2f} for ${left:.2f}): those with the largest expected gain are made"
    )
    return replace(rule, least_gain=least), note
