"""The gate and the final word: from the answers on a record to its annotation, or on to the next model."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from router.gate import NOTHING, GateRule
from router.judge import JudgeRule, settle
from router.judgement import View
from router.likeness import agree
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
from router.rules import why_matched
from router.verdict import Readings, Verdict, read_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.job import Job, Task, When
    from router.records import Answer


@dataclass(frozen=True, slots=True)
class Policy:
    """What the decision needs to know of the job."""

    tasks: Mapping[str, Task]
    gate: GateRule
    escalate_to: str | None
    rules: tuple[When, ...] = ()
    """The conditions of the job's rules, to say which values met them."""
    pilot_is_final: bool = False
    """Whether what `escalate_to` said of a record in the pilot is that record's answer."""
    judge: JudgeRule | None = None
    """Which records a judge is asked about."""

    @classmethod
    def of(cls, job: Job, gate: GateRule | None = None) -> Policy:
        """The policy that a job file asks for; `gate` is what a calibration has found, where there is one.

        Raises `ValueError` where the job's gate has to be certified and no calibration is given.
        """
        fixed, audit = job.routing.gate.min_confidence, job.audit.fraction if job.audit is not None else 0.0
        if gate is None and fixed is None:
            raise ValueError("routing.gate: a gate with a target needs a calibration")
        rule = gate or GateRule(fixed or 0.0)
        tasks = {task.name: task for task in job.tasks}
        final = job.routing.gate.oracle == "llm"
        conditions = tuple(one.when for one in job.routing.rules)
        rule = replace(rule, audit=audit)
        return cls(tasks, rule, job.routing.escalate_to, conditions, final, JudgeRule.of(job))


def decide(work: Work, policy: Policy, readings: Readings) -> Annotated | DeadLetter | Work:
    """Annotate the record, send it on (`Work.ask` names the model), or give it up as a dead letter.

    Work that waits for an answer comes back as it is. The last answer counts. A small model's answer is
    trusted from `min_confidence` on; below it the record is sent on, if there is a model to escalate to that
    has not been asked. Where that model fails, the small model's answer stands and the status says so. A dead
    letter has no `record`: what the row looks like is known outside.
    """
    # The calibration sample may hold the next model's answer already: then there is nothing to wait for.
    while work.ask is None:
        outcome = _judge(work, policy, readings)
        if not isinstance(outcome, Work):
            return _settled(outcome, work, policy, readings)
        work = outcome
    return work


def _settled(
    outcome: Annotated | DeadLetter, work: Work, policy: Policy, readings: Readings
) -> Annotated | DeadLetter | Work:
    """The outcome, or the work on its way to the judge where the models dispute."""
    if policy.judge is None or isinstance(outcome, DeadLetter):
        return outcome
    task = policy.tasks[work.record.task]
    said = ((answer.model, read_answer(answer, task, readings)) for answer in work.answers)
    views = [View(name, one.labels, one.confidence, one.scores) for name, one in said if one is not None]
    return settle(outcome, work, policy.judge, views)


def _judge(work: Work, policy: Policy, readings: Readings) -> Annotated | DeadLetter | Work:
    last = work.answers[-1]
    large = policy.escalate_to
    verdict = read_answer(last, policy.tasks[work.record.task], readings)
    if verdict is None:
        if large is None or last.model == large:
            return _fall_back(work, policy, readings)
        return ask_next(work, large)
    if not last.weighed or large is None or last.model == large:
        return _better(work, verdict, policy, readings) or _finished(work, verdict, policy, readings)
    return _gate(work, verdict, policy, readings)


def _better(work: Work, verdict: Verdict, policy: Policy, readings: Readings) -> Annotated | None:
    """The record with an earlier answer that passes the checks which the last one fails."""
    if not verdict.checks:
        return None
    reason = f"{work.answers[-1].model}: {verdict.checks[0]}"
    return _earlier(work, policy, readings, (Status.LLM_UNUSABLE, reason), passing=True)


def _gate(work: Work, verdict: Verdict, policy: Policy, readings: Readings) -> Annotated | Work:
    """What becomes of a small model's answer, where there is a large one to ask."""
    large = policy.escalate_to or ""
    if _in_pilot(work, policy):
        return ask_next(work, large)
    trusted = _trusted(work, verdict, policy)
    if trusted and not policy.gate.audits(work.record):
        return _finished(work, verdict, policy, readings)
    if not trusted and not policy.gate.affords(verdict.confidence or 0.0, len(work.record.text)):
        return _annotate(work, verdict, work.answers[-1], Status.OVER_BUDGET, _NOT_WORTH)
    return ask_next(work, large)


_NOT_WORTH = "not asked: other records gain more for what budget.max_usd allows"


def _finished(work: Work, verdict: Verdict, policy: Policy, readings: Readings) -> Annotated:
    overruled = _overruled(work, policy, readings)
    found = _annotate(work, verdict, work.answers[-1], *_status(work, verdict, policy, overruled))
    if overruled is None:
        return found
    if not _audited(work, overruled, policy):
        return replace(found, overruled=overruled)
    task, text = policy.tasks[work.record.task], work.record.text
    agrees = agree(task, overruled.labels, verdict.labels, text)
    return replace(found, overruled=overruled, audit=agrees)


def _audited(work: Work, small: Opinion, policy: Policy) -> bool:
    """Whether the record was asked about only to check an answer that is trusted."""
    if small.confidence is None or small.checks or _in_pilot(work, policy):
        return False
    return small.confidence >= _threshold(work, small.labels, policy) and policy.gate.audits(work.record)


def _in_pilot(work: Work, policy: Policy) -> bool:
    """Whether the record's answer is what the oracle said in the pilot."""
    large = policy.escalate_to
    return policy.pilot_is_final and any(one.model == large and not one.spare for one in work.pilot)


def _overruled(work: Work, policy: Policy, readings: Readings) -> Opinion | None:
    if len(work.answers) == 1:
        return None
    first = work.answers[0]
    said = read_answer(first, policy.tasks[work.record.task], readings)
    return None if said is None else Opinion(first.model, said.labels, said.confidence, said.checks or ())


def ask_next(work: Work, model: str) -> Work:
    """The work with `model` to answer next, or answered already where the calibration sample did."""
    for pilot in work.pilot:
        if pilot.model == model and not pilot.spare:
            return replace(work, ask=None, answers=(*work.answers, pilot))
    return replace(work, ask=model)


def _trusted(work: Work, verdict: Verdict, policy: Policy) -> bool:
    threshold = _threshold(work, verdict.labels, policy)
    # What fails a check is trusted from no threshold on.
    return verdict.confidence is not None and not verdict.checks and verdict.confidence >= threshold


def _threshold(work: Work, labels: tuple[str, ...], policy: Policy) -> float:
    return policy.gate.threshold_of(work.route, labels)


def _status(work: Work, verdict: Verdict, policy: Policy, overruled: Opinion | None) -> tuple[Status, str]:
    rule = _ruled(work, policy)
    if len(work.answers) > 1:
        return Status.ESCALATED, _why_escalated(work, policy, overruled)
    if verdict.confidence is None or work.answers[0].model == policy.escalate_to:
        return (Status.ROUTED, rule) if rule is not None else (Status.KEPT, "default model")
    reason = _compared(verdict.confidence, _threshold(work, verdict.labels, policy))
    if verdict.checks:
        reason = f"{verdict.checks[0]}; {reason}"
    if not _trusted(work, verdict, policy):
        reason += ", no model to escalate to"
    return (Status.ROUTED, f"{rule}; {reason}") if rule is not None else (Status.KEPT, reason)


def _ruled(work: Work, policy: Policy) -> str | None:
    """Which rule chose the model, and which values met it; None where it was the default."""
    number = work.route.rule
    if number is None:
        return None
    if number >= len(policy.rules):
        return f"rule {number}"
    return f"rule {number} ({why_matched(policy.rules[number], work.record, work.route)})"


def _why_escalated(work: Work, policy: Policy, small: Opinion | None) -> str:
    first = work.answers[0]
    if small is None:
        return f"{first.model}: {first.detail}"
    if small.confidence is None:
        return f"{first.model}: not calibrated for this task, so it is not trusted"
    if small.checks:
        return f"{first.model}: {small.checks[0]}"
    threshold = _threshold(work, small.labels, policy)
    said = f"{first.model}: {_compared(small.confidence, threshold)}"
    if small.confidence < threshold:
        return said
    return f"{said}; {'asked for the pilot' if _in_pilot(work, policy) else 'asked to audit it'}"


def _compared(confidence: float, threshold: float) -> str:
    if threshold == NOTHING:
        return f"confidence {confidence:.3f}, but no threshold keeps the promise"
    side = "at least" if confidence >= threshold else "below"
    # As many digits as tell the two apart: a certified threshold lies right above a confidence.
    digits = next((n for n in range(3, 17) if round(confidence, n) != round(threshold, n)), 3)
    return f"confidence {confidence:.{digits}f} {side} {threshold:.{max(digits, 3)}g}"


_FALL_BACK = {
    Failure.UNUSABLE: (Status.LLM_UNUSABLE, Reason.LLM_UNUSABLE),
    Failure.UNAVAILABLE: (Status.LLM_UNAVAILABLE, Reason.LLM_UNAVAILABLE),
    Failure.OVER_BUDGET: (Status.OVER_BUDGET, Reason.OVER_BUDGET),
    Failure.ERROR: (Status.LLM_UNAVAILABLE, Reason.MODEL_ERROR),
}


def _fall_back(work: Work, policy: Policy, readings: Readings) -> Annotated | DeadLetter:
    last = work.answers[-1]
    status, reason = _FALL_BACK[last.failure or Failure.ERROR]
    stands = _earlier(work, policy, readings, (status, last.detail))
    if stands is not None:
        return stands
    record, detail = work.record, f"{last.model}: {last.detail}"
    calls = {name: used for name, used in _account(work)[0].items() if used != Usage()}
    return DeadLetter(record.position, record.id, reason, detail, "answer", None, calls)


def _earlier(
    work: Work, policy: Policy, readings: Readings, told: tuple[Status, str], *, passing: bool = False
) -> Annotated | None:
    """The record with the latest earlier answer that says something; `passing`: that fails no check."""
    task = policy.tasks[work.record.task]
    for answer in reversed(work.answers[:-1]):
        verdict = read_answer(answer, task, readings)
        if verdict is None or (passing and verdict.checks):
            continue
        # An answer that was to be audited is trusted all the same.
        if answer.weighed and _trusted(work, verdict, policy):
            told = (Status.KEPT if work.route.rule is None else Status.ROUTED, told[1])
        return _annotate(work, verdict, answer, *told)
    return None


def _annotate(work: Work, verdict: Verdict, answer: Answer, status: Status, reason: str) -> Annotated:
    calls, spare = _account(work)
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
        checks=verdict.checks,
        shown=answer.shown,
    )
    total = next(iter(calls.values())) if len(calls) == 1 else sum(calls.values(), Usage())
    return Annotated(work.record, annotation, work.route, total, calls, spare)


def _account(work: Work) -> tuple[dict[str, Usage], Decimal]:
    """What was used on a record, by model, and what of its cost was for calibration only."""
    if len(work.answers) == 1 and not work.pilot and not work.passed:
        # Nearly every record: nothing is to be added up.
        [only] = work.answers
        return {only.model: only.usage}, Decimal(0)
    used = {given.model for given in work.answers}
    spare = [pilot for pilot in work.pilot if pilot.spare or pilot.model not in used]
    calls: dict[str, Usage] = defaultdict(Usage)
    for given in (*work.passed, *work.answers, *spare):
        calls[given.model] += given.usage
    return dict(calls), sum((pilot.usage.usd for pilot in spare), Decimal(0))
