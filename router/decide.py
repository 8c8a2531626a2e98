"""The gate and the final word: from the answers on a record to its annotation, or on to the next model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from router.bias import remove_bias
from router.records import (
    Annotated,
    Annotation,
    DeadLetter,
    Failure,
    Opinion,
    Reason,
    Status,
    Usage,
    Work,
)

if TYPE_CHECKING:
    from router.bias import LabelBias
    from router.job import Job, Task
    from router.records import Answer

Biases = Mapping[tuple[str, str], "LabelBias"]
"""Label bias by (model, task)."""

_APPLIES = 0.5


@dataclass(frozen=True, slots=True)
class Policy:
    """What the decision needs to know of the job."""

    tasks: Mapping[str, Task]
    min_confidence: float
    escalate_to: str | None

    @classmethod
    def of(cls, job: Job) -> Policy:
        """The policy that a job file asks for. Raises `ValueError` where its gate is not a fixed one."""
        if job.routing.gate.min_confidence is None:
            raise ValueError(
                "routing.gate: a certified target cannot be run yet; give min_confidence in its place"
            )
        tasks = {task.name: task for task in job.tasks}
        return cls(tasks, job.routing.gate.min_confidence, job.routing.escalate_to)


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer as labels with a confidence; no labels where the model failed."""

    labels: tuple[str, ...]
    confidence: float | None
    scores: tuple[tuple[str, float], ...]


def decide(work: Work, policy: Policy, biases: Biases) -> Annotated | DeadLetter | Work:
    """Annotate the record, send it on (`Work.ask` names the model), or give it up as a dead letter.

    Work that waits for an answer comes back as it is. The last answer counts. A small model's answer is
    trusted from `min_confidence` on; below it the record is sent on, if there is a model to escalate to that
    has not been asked. Where that model fails, the small model's answer stands and the status says so. A dead
    letter has no `record`: what the row looks like is known outside.
    """
    # The calibration sample may hold the next model's answer already: then there is nothing to wait for.
    while work.ask is None:
        outcome = _judge(work, policy, biases)
        if not isinstance(outcome, Work):
            return outcome
        work = outcome
    return work


def _judge(work: Work, policy: Policy, biases: Biases) -> Annotated | DeadLetter | Work:
    last = work.answers[-1]
    large = policy.escalate_to
    verdict = read_answer(last, policy.tasks[work.record.task], biases)
    if verdict is None:
        if large is None or last.model == large:
            return _fall_back(work, policy, biases)
        return ask_next(work, large)
    if last.scores is None or large is None or last.model == large or _trusted(verdict, policy):
        found = _annotate(work, verdict, last, *_status(work, verdict, policy, biases))
        return replace(found, overruled=_overruled(work, policy, biases))
    return ask_next(work, large)


def _overruled(work: Work, policy: Policy, biases: Biases) -> Opinion | None:
    if len(work.answers) == 1:
        return None
    first = work.answers[0]
    said = read_answer(first, policy.tasks[work.record.task], biases)
    return None if said is None else Opinion(first.model, said.labels, said.confidence)


def ask_next(work: Work, model: str) -> Work:
    """The work with `model` to answer next, or answered already where the calibration sample did."""
    for pilot in work.pilot:
        if pilot.model == model:
            return replace(work, ask=None, answers=(*work.answers, pilot))
    return replace(work, ask=model)


def _trusted(verdict: Verdict, policy: Policy) -> bool:
    return verdict.confidence is not None and verdict.confidence >= policy.min_confidence


def read_answer(answer: Answer, task: Task, biases: Biases) -> Verdict | None:
    """Labels and confidence of an answer, None where the model gave none.

    multi_label: a label applies from .5 on, and the confidence is that of the least certain decision.
    """
    if answer.labels is not None:
        return Verdict(answer.labels, None, ())
    if answer.scores is None:
        return None
    names = task.label_names
    if task.kind == "single_label":
        probabilities = remove_bias(answer.scores.probabilities, biases.get((answer.model, task.name)))
        labels: tuple[str, ...] = (names[int(np.argmax(probabilities))],)
        confidence = float(np.max(probabilities))
    else:
        probabilities = answer.scores.probabilities
        labels = tuple(name for name, p in zip(names, probabilities, strict=True) if p >= _APPLIES)
        confidence = float(np.min(np.maximum(probabilities, 1.0 - probabilities)))
    order = np.argsort(-probabilities, kind="stable")
    return Verdict(labels, confidence, tuple((names[i], float(probabilities[i])) for i in order))


def _status(work: Work, verdict: Verdict, policy: Policy, biases: Biases) -> tuple[Status, str]:
    rule = work.route.rule
    if len(work.answers) > 1:
        return Status.ESCALATED, _why_escalated(work, policy, biases)
    if verdict.confidence is None or work.answers[0].model == policy.escalate_to:
        return (Status.ROUTED, f"rule {rule}") if rule is not None else (Status.KEPT, "default model")
    reason = _compared(verdict.confidence, policy)
    if not _trusted(verdict, policy):
        reason += ", no model to escalate to"
    return (Status.ROUTED, f"rule {rule}; {reason}") if rule is not None else (Status.KEPT, reason)


def _why_escalated(work: Work, policy: Policy, biases: Biases) -> str:
    first = work.answers[0]
    verdict = read_answer(first, policy.tasks[work.record.task], biases)
    if verdict is None or verdict.confidence is None:
        return f"{first.model}: {first.detail}"
    return f"{first.model}: {_compared(verdict.confidence, policy)}"


def _compared(confidence: float, policy: Policy) -> str:
    side = "at least" if confidence >= policy.min_confidence else "below"
    return f"confidence {confidence:.3f} {side} {policy.min_confidence:g}"


_FALL_BACK = {
    Failure.UNUSABLE: (Status.LLM_UNUSABLE, Reason.LLM_UNUSABLE),
    Failure.UNAVAILABLE: (Status.LLM_UNAVAILABLE, Reason.LLM_UNAVAILABLE),
    Failure.OVER_BUDGET: (Status.OVER_BUDGET, Reason.OVER_BUDGET),
    Failure.ERROR: (Status.LLM_UNAVAILABLE, Reason.MODEL_ERROR),
}


def _fall_back(work: Work, policy: Policy, biases: Biases) -> Annotated | DeadLetter:
    last = work.answers[-1]
    status, reason = _FALL_BACK[last.failure or Failure.ERROR]
    task = policy.tasks[work.record.task]
    for answer in reversed(work.answers[:-1]):
        verdict = read_answer(answer, task, biases)
        if verdict is not None:
            return _annotate(work, verdict, answer, status, last.detail)
    record = work.record
    return DeadLetter(record.position, record.id, reason, f"{last.model}: {last.detail}", "answer", None)


def _annotate(work: Work, verdict: Verdict, answer: Answer, status: Status, reason: str) -> Annotated:
    used = {given.model for given in work.answers}
    spare = [pilot for pilot in work.pilot if pilot.model not in used]
    calls: dict[str, Usage] = defaultdict(Usage)
    for given in (*work.answers, *spare):
        calls[given.model] += given.usage
    annotation = Annotation(
        task=work.record.task,
        labels=verdict.labels,
        confidence=verdict.confidence,
        scores=verdict.scores,
        model=answer.model,
        status=status,
        reason=reason,
        parts=answer.scores.parts if answer.scores is not None else 1,
        raw_answer=work.answers[-1].raw,
    )
    total = sum(calls.values(), Usage())
    calibration = sum((pilot.usage.usd for pilot in spare), Decimal(0))
    return Annotated(work.record, annotation, work.route, total, dict(calls), calibration)
