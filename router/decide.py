"""The gate and the final word: from the answers on a record to its annotation, an escalation or a dead letter."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from router.bias import remove_bias
from router.records import Annotated, Annotation, DeadLetter, Failure, Reason, Status, Usage, Work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.bias import LabelBias
    from router.job import Job, Task
    from router.records import Answer

Biases = dict[tuple[str, str], "LabelBias"]
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
            raise ValueError("routing.gate: only min_confidence can be run; a certified target is not available yet")
        tasks = {task.name: task for task in job.tasks}
        return cls(tasks, job.routing.gate.min_confidence, job.routing.escalate_to)


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer as labels with a confidence; no labels where the model failed."""

    labels: tuple[str, ...]
    confidence: float | None
    scores: tuple[tuple[str, float], ...]


def decide(work: Work, policy: Policy, biases: Biases) -> Annotated | DeadLetter | Work:
    """Decide on a record as far as the answers go; see `_decide_once`."""
    outcome = _decide_once(work, policy, biases)
    # The calibration sample may hold the large model's answer already: then there is nothing to send on.
    while isinstance(outcome, Work) and outcome.ask is None:
        outcome = _decide_once(outcome, policy, biases)
    return outcome


def _decide_once(work: Work, policy: Policy, biases: Biases) -> Annotated | DeadLetter | Work:
    """Annotate the record, send it on (`Work.ask` names the model), or give it up as a dead letter.

    Work that still waits for an answer comes back as it is. The last answer counts. A small model's answer is trusted from `min_confidence` on; below it the record is
    sent on, if there is a model to escalate to and it has not been asked. Where that model fails, the small
    model's answer stands and the status says so.
    """
    if work.ask is not None:
        return work
    last = work.answers[-1]
    asked_large = last.model == policy.escalate_to
    verdict = read_answer(last, policy.tasks[work.record.task], biases)
    if verdict is None:
        if policy.escalate_to is not None and not asked_large:
            return ask_next(work, policy.escalate_to)
        return _fall_back(work, policy, biases)
    if asked_large or last.scores is None or policy.escalate_to is None or _trusted(verdict, policy):
        return _annotate(work, verdict, last, *_status(work, verdict, policy))
    return ask_next(work, policy.escalate_to)


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


def _status(work: Work, verdict: Verdict, policy: Policy) -> tuple[Status, str]:
    rule = work.route.rule
    if len(work.answers) > 1:
        return Status.ESCALATED, _why_escalated(work, policy)
    if verdict.confidence is None or work.answers[-1].model == policy.escalate_to:
        return (Status.ROUTED, f"rule {rule}") if rule is not None else (Status.KEPT, "default model")
    compared = "at least" if _trusted(verdict, policy) else "below"
    reason = f"confidence {verdict.confidence:.3f} {compared} {policy.min_confidence:g}"
    if compared == "below":
        reason += ", no model to escalate to"
    if rule is not None:
        return Status.ROUTED, f"rule {rule}; {reason}"
    return Status.KEPT, reason


def _why_escalated(work: Work, policy: Policy) -> str:
    first = work.answers[0]
    return first.detail or f"{first.model} was below {policy.min_confidence:g}"


_FALL_BACK = {
    Failure.UNUSABLE: (Status.LLM_UNUSABLE, Reason.LLM_UNUSABLE),
    Failure.UNAVAILABLE: (Status.LLM_UNAVAILABLE, Reason.LLM_UNAVAILABLE),
    Failure.OVER_BUDGET: (Status.OVER_BUDGET, Reason.LLM_UNAVAILABLE),
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
    return DeadLetter(
        record.position, record.id, reason, f"{last.model}: {last.detail}", "answer", record.text
    )


def _annotate(work: Work, verdict: Verdict, answer: Answer, status: Status, reason: str) -> Annotated:
    spare = [pilot for pilot in work.pilot if all(pilot is not given for given in work.answers)]
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
