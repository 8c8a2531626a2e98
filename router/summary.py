"""The job's totals, as sums over the records that were written (`summary.json`)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from router.evaluation import share
from router.failed_checks import checks_summary, count_checks
from router.judge import count_judged, judge_summary
from router.records import (
    JUDGE_STATUSES,
    MONEY_QUANTUM,
    DeadLetter,
    Reason,
    Status,
    Usage,
    write_money,
)
from router.timeline import Timeline, timeline_of, timeline_summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from router.records import Annotated


_REASONS = tuple(reason.value for reason in Reason)


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over annotated records and dead letters; tallies add up."""

    annotated: int = 0
    dead_lettered: int = 0
    usage: Usage = field(default_factory=Usage)
    calibration_usd: Decimal = Decimal(0)
    answered_by: Counter[str] = field(default_factory=Counter)
    status: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    """Records on which each model was asked."""
    usage_by_model: Mapping[str, Usage] = field(default_factory=dict)
    audited: int = 0
    """Trusted answers that the oracle was asked about all the same."""
    agreed: int = 0
    """Those on which it said what the small model had said."""
    lost_usd: Decimal = Decimal(0)
    """What was spent on records that became dead letters."""
    timeline: Timeline = field(default_factory=Timeline)
    """When the models' answers came."""
    judge: Counter[str] = field(default_factory=Counter)
    """What came of disputes (`router.judge.count_judged`)."""
    checks: Counter[str] = field(default_factory=Counter)
    """Written answers, and which checks they fail (`router.failed_checks.count_checks`)."""
    served: Counter[str] = field(default_factory=Counter)
    """Records on which each model was asked and took tokens: not those on which it could not be reached."""

    def __add__(self, other: Tally) -> Tally:
        """Sum two tallies field by field."""
        models = {*self.usage_by_model, *other.usage_by_model}
        none = Usage()
        return Tally(
            self.annotated + other.annotated,
            self.dead_lettered + other.dead_lettered,
            self.usage + other.usage,
            self.calibration_usd + other.calibration_usd,
            self.answered_by + other.answered_by,
            self.status + other.status,
            self.reasons + other.reasons,
            self.calls + other.calls,
            {m: self.usage_by_model.get(m, none) + other.usage_by_model.get(m, none) for m in sorted(models)},
            self.audited + other.audited,
            self.agreed + other.agreed,
            self.lost_usd + other.lost_usd,
            self.timeline + other.timeline,
            self.judge + other.judge,
            self.checks + other.checks,
            self.served + other.served,
        )


def tally_annotated(rows: Iterable[Annotated]) -> Tally:
    """Sums over annotated records."""
    count, usage, calibration = 0, Usage(), Decimal(0)
    answered, status = Counter[str](), Counter[str]()
    audits: list[bool] = []
    timed: list[tuple[str, Usage]] = []
    judged, checks = Counter[str](), Counter[str]()
    for row in rows:
        count += 1
        usage += row.usage
        calibration += row.calibration_usd
        answered[row.annotation.model] += 1
        status[row.annotation.status.value] += 1
        timed += row.calls.items()
        audits += [] if row.audit is None else [row.audit]
        if row.judged is not None:
            judged += count_judged(row.judged)
        if row.annotation.checks is not None:
            checks += count_checks(row.annotation)
    return replace(
        _tally_calls(timed),
        annotated=count,
        usage=usage,
        calibration_usd=calibration,
        answered_by=answered,
        status=status,
        audited=len(audits),
        agreed=sum(audits),
        judge=judged,
        checks=checks,
    )


def _tally_calls(timed: Sequence[tuple[str, Usage]]) -> Tally:
    """Sums by model over what each record's calls took."""
    asked, served = Counter[str](), Counter[str]()
    by_model: dict[str, Usage] = {}
    for model, used in timed:
        asked[model] += 1
        served[model] += bool(used.usd or used.input_tokens)
        by_model[model] = by_model.get(model, Usage()) + used
    return Tally(calls=asked, served=served, usage_by_model=by_model, timeline=timeline_of(timed))


def tally_dead(letters: Iterable[DeadLetter]) -> Tally:
    """Sums over dead letters, those of the calls that came to nothing among them."""
    reasons = Counter[str]()
    timed: list[tuple[str, Usage]] = []
    for letter in letters:
        reasons[letter.reason.value] += 1
        timed += letter.calls.items()
    found = _tally_calls(timed)
    lost = sum(found.usage_by_model.values(), Usage())
    return replace(found, dead_lettered=reasons.total(), usage=lost, reasons=reasons, lost_usd=lost.usd)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What asking the large model for every record would have cost, estimated from the calls it answered."""

    usd: Decimal | None
    basis: str


def estimate_baseline(tally: Tally, large: str | None) -> Baseline:
    """Mean cost of a record that the large model was asked about and reached, times all annotated records.

    Unknown (None) where no large model is named or none of its calls can tell its cost.
    """
    if large is None:
        return Baseline(None, "no large model is named (routing.escalate_to)")
    asked = tally.served[large]
    if not asked:
        why = "could not be reached" if tally.calls[large] else "was not asked"
        return Baseline(None, f"{large} {why}, so its cost per record is not known")
    mean = tally.usage_by_model[large].usd / asked
    return Baseline(
        (mean * tally.annotated).quantize(MONEY_QUANTUM),
        f"mean of {asked} records that {large} was asked about",
    )


_NOT_ASKED = (Status.OVER_BUDGET, Status.LLM_UNAVAILABLE, Status.LLM_UNUSABLE)
_GIVEN_UP = (Reason.MODEL_ERROR, Reason.LLM_UNUSABLE, Reason.LLM_UNAVAILABLE, Reason.OVER_BUDGET)


def gate_summary(gate: Mapping[str, Any], tally: Tally) -> dict[str, Any]:
    """What became of the gate: a promise is kept only if all that should have been asked was answered."""
    missing = sum(tally.status[status.value] for status in _NOT_ASKED)
    missing += sum(tally.reasons[reason.value] for reason in _GIVEN_UP)
    changed = tally.judge["changed"]
    if not gate["certified"] or not (missing or changed):
        return dict(gate)
    notes = [gate.get("note", "")]
    if missing:
        notes.append(f"{missing:,} records that the gate did not trust have no answer from the oracle")
    if changed:
        notes.append(f"the promise is about the answers before the judge, which changed {changed:,} of them")
    return {**gate, "certified": False, "note": "; ".join(filter(None, notes))}


def _statuses(tally: Tally) -> dict[str, int]:
    """Records by status, those that only a judge gives where there are any."""
    shown = (one for one in Status if one not in JUDGE_STATUSES or tally.status[one.value])
    return {status.value: tally.status[status.value] for status in shown}


def _used(usage: Usage, records: int) -> dict[str, Any]:
    """What one model was used for: on how many records, and what that took."""
    return {
        "asked": records,
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "seconds": round(usage.seconds, 3),
        "usd": write_money(usage.usd),
    }


def _audit(tally: Tally) -> dict[str, Any]:
    found = share(tally.agreed, tally.audited)
    agreed = {"records": found.of, "agreed": found.count}
    return {**agreed, "rate": found.rate, "low": found.low, "high": found.high}


def summarise(
    tally: Tally, *, read: int, seconds: float, gate: Mapping[str, Any], large: str | None
) -> dict[str, Any]:
    """The contents of `summary.json` that every reader may rely on.

    Args:
        tally: sums over all that was written.
        read: rows of the input.
        seconds: how long the job took.
        gate: thresholds and promise, as they were settled before the main pass.
        large: the model that others escalate to, if there is one.
    """
    baseline = estimate_baseline(tally, large)
    total = tally.usage.usd
    saved = None if not baseline.usd else float(1 - total / baseline.usd)
    over_time = timeline_summary(tally.timeline)
    return {
        "records": {
            "read": read,
            "annotated": tally.annotated,
            "dead_lettered": tally.dead_lettered,
            "duplicates": tally.status[Status.DUPLICATE.value],
        },
        "answered_by": dict(sorted(tally.answered_by.items())),
        "status": _statuses(tally),
        "dead_letters": {reason: tally.reasons[reason] for reason in _REASONS if tally.reasons[reason]},
        "cost_usd": {
            "total": write_money(total),
            "by_model": {model: write_money(used.usd) for model, used in tally.usage_by_model.items()},
            "calibration": write_money(tally.calibration_usd),
            "dead_letters": write_money(tally.lost_usd),
            "baseline_all_llm": None if baseline.usd is None else write_money(baseline.usd),
            "baseline_basis": baseline.basis,
            "saved_fraction": saved,
        },
        "tokens": {
            "input": tally.usage.input_tokens,
            "cached": tally.usage.cached_tokens,
            "output": tally.usage.output_tokens,
        },
        "by_model": {name: _used(used, tally.calls[name]) for name, used in tally.usage_by_model.items()},
        "gate": gate_summary(gate, tally),
        **({"audit": _audit(tally)} if tally.audited else {}),
        **({"judge": judge_summary(tally.judge, tally.usage_by_model)} if tally.judge else {}),
        **({"checks": checks_summary(tally.checks, large)} if tally.checks else {}),
        **({} if over_time is None else {"over_time": over_time}),
        "seconds": round(seconds, 3),
        "records_per_second": round(tally.annotated / seconds, 3) if seconds > 0 else 0.0,
    }
