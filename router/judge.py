"""Which records a judge is asked about, and how its verdict becomes the annotation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from router.judgement import Dispute, Judged, Judgement, View
from router.names import JUDGE
from router.records import Annotated, Failure, Status, Usage, Work, write_money

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from router.job import Job

_WHY_CHARACTERS = 500
_NO_VERDICT = {
    Failure.OVER_BUDGET: "the judge was not asked to the end",
    Failure.UNAVAILABLE: "the judge could not be asked",
    Failure.UNUSABLE: "the judge gave no verdict",
    Failure.ERROR: "the judge failed",
}


@dataclass(frozen=True, slots=True)
class JudgeRule:
    """Which records are judged."""

    large: str
    disagree_above: float | None
    unsure_below: float | None

    @classmethod
    def of(cls, job: Job) -> JudgeRule | None:
        """The rule that a job file asks for; None where nobody judges."""
        judge, large = job.routing.judge, job.routing.escalate_to
        if judge is None or large is None:
            return None
        return cls(large, judge.when.disagree_above, judge.when.unsure_below)


def settle(outcome: Annotated, work: Work, rule: JudgeRule, views: Sequence[View]) -> Annotated | Work:
    """The outcome as it is, the work on its way to the judge, or the outcome with the judge's verdict.

    Args:
        outcome: What would be annotated without a judge.
        work: The record with the answers given, and with the judgement where there is one.
        rule: Which records are judged.
        views: What the models said, in the order in which they were asked.
    """
    if work.dispute is not None and work.judgement is not None:
        return apply_judgement(outcome, work.dispute, work.judgement)
    why = dispute_of(outcome, rule)
    return outcome if why is None else replace(work, ask=JUDGE, dispute=Dispute(why, tuple(views)))


def dispute_of(outcome: Annotated, rule: JudgeRule) -> str | None:
    """Why a record is to be judged, in words; None where it is not."""
    said, small = outcome.annotation, outcome.overruled
    if said.model != rule.large:
        return None
    if (
        small is not None
        and rule.disagree_above is not None
        and small.confidence is not None
        and small.confidence >= rule.disagree_above
        and set(small.labels) != set(said.labels)
    ):
        return (
            f"{small.model} said {_listed(small.labels)} with confidence {small.confidence:.3f}, "
            f"{said.model} {_listed(said.labels)}"
        )
    if rule.unsure_below is not None and said.confidence is not None and said.confidence < rule.unsure_below:
        return f"{said.model} said {_listed(said.labels)} with confidence {said.confidence:.3f} only"
    return None


def apply_judgement(outcome: Annotated, dispute: Dispute, judgement: Judgement) -> Annotated:
    """The outcome with the verdict and what it took; without a verdict the large model's answer stands."""
    said = outcome.annotation
    why = " ".join(judgement.reason.split())[:_WHY_CHARACTERS]
    changed = judgement.labels is not None and set(judgement.labels) != set(said.labels)
    if judgement.labels is not None:
        decided = f"the judge decided {_listed(judgement.labels)}: {why}"
        annotation = replace(
            said,
            labels=judgement.labels,
            confidence=None,
            scores=(),
            model=JUDGE,
            status=Status.JUDGED,
            reason=f"{dispute.why}; {decided}",
        )
    elif judgement.needs_human:
        reason = f"{dispute.why}; the judge says that a person must decide: {why}"
        annotation = replace(said, confidence=None, status=Status.NEEDS_HUMAN, reason=reason)
    else:
        failed = _NO_VERDICT[judgement.failure or Failure.ERROR]
        annotation = replace(said, reason=f"{dispute.why}; {failed}: {why}")
    calls = dict(outcome.calls)
    for model, usage in judgement.calls.items():
        calls[model] = calls.get(model, Usage()) + usage
    total = sum(judgement.calls.values(), outcome.usage)
    judged = Judged(dispute, judgement, changed)
    return replace(outcome, annotation=annotation, usage=total, calls=calls, judged=judged)


def count_judged(judged: Judged) -> Counter[str]:
    """What a judged record adds to the job's totals."""
    judgement = judged.judgement
    counts = Counter({"disputes": 1, "steps": len(judgement.steps)})
    if judgement.labels is not None:
        counts["verdicts"] += 1
        counts["changed"] += int(judged.changed)
    else:
        counts["needs_human" if judgement.needs_human else "without_verdict"] += 1
        counts["unavailable"] += int(judgement.failure is Failure.UNAVAILABLE)
        counts["over_budget"] += int(judgement.failure is Failure.OVER_BUDGET)
    return +counts


def judge_summary(counts: Counter[str], usage: Mapping[str, Usage]) -> dict[str, Any]:
    """The `judge` of `summary.json`: sums over the records that were judged."""
    why = ("without_verdict", "unavailable", "over_budget")
    names = ("disputes", "verdicts", "changed", "needs_human", *why, "steps")
    spent = usage.get(JUDGE, Usage()).usd
    return {**{name: counts[name] for name in names}, "usd": write_money(spent)}


def judge_line(found: Mapping[str, Any]) -> str:
    """What is printed of that at the end of a job: no dispute is left as it was without a word."""
    told = [f"{found['verdicts']:,} settled", f"{found['needs_human']:,} left to a person"]
    if found["without_verdict"]:
        whys = {
            "for want of money (routing.judge.max_usd, budget.max_usd)": found.get("over_budget", 0),
            "because an endpoint was not available": found["unavailable"],
        }
        why = ", ".join(f"{count:,} {said}" for said, count in whys.items() if count)
        stands = "without a verdict, where the large model's answer stands"
        told.append(f"{found['without_verdict']:,} {stands}{f' ({why})' if why else ''}")
    return f"Disputes: {found['disputes']:,}; {', '.join(told)}."


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels) if labels else "none of the labels"
