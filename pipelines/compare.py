"""`tekizai models compare`: every model of a job on the same records, and who should answer what.

The records are the first of the pilot's order, so a run's own pilot asks none of them again. What is asked is
journaled like everything else: a comparison that was killed goes on where it ended.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipelines.compare_asking import Asking
from pipelines.compare_notes import too_few
from pipelines.compare_pilot import Pace, Room, with_compared
from pipelines.compare_rows import GOLD, Rows, truth_of
from pipelines.compare_ways import compared_ways
from pipelines.errors import JobFailedError
from pipelines.pilot_run import PilotRun
from pipelines.plan_estimates import estimated_calls, most_cost
from pipelines.plan_pilot import draw_plan
from router.adapters import adapters_of
from router.escalation import Terms
from router.job import OpenAIModel
from router.job_generation import GENERATE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.compare_models import Compared
    from router.job import Job
    from router.records import Position, Work

TARGET, DELTA = 0.95, 0.05
USUAL, LEAST, STEP = 400, 100, 50
"""Records where nobody says how many: fewer where that takes too long or costs too much."""
_PROBE = 8
"""Records that local models answer first, to know how long they take."""
_PATIENCE = 600.0
"""Seconds that local models may take together where nobody says how many records."""
_MARGIN = Decimal("1.5")
"""An estimate of money from the texts' length may be wrong by so much."""


@dataclass(frozen=True)
class CompareOptions:
    """What the command line says; None where it says nothing."""

    records: int | None = None
    target: float | None = None


def compare_models(
    compared: Compared, options: PipelineOptions, tell: Callable[[str], None], wanted: CompareOptions
) -> dict[str, Any]:
    """Ask every model about the pilot and weigh what they said; returns JSON values.

    Args:
        compared: The prepared job, able to ask all models, whose output folder is claimed.
        options: Beam's.
        tell: Says what is going on, and the price before anything is spent.
        wanted: What the command line says.

    Raises:
        ValueError: There is nothing to compare on, or it would cost more than may be spent.
        JobFailedError: The oracle did not answer.
    """
    run = PilotRun(compared.plan, options)
    job, gold = run.plan.job, asks_gold(run.plan.job)
    for name, why in compared.left_out.items():
        tell(f"{name} is left out: {why}")
    draw = draw_plan(run, max(USUAL, wanted.records or 0), gold_only=gold)
    works = _judged(draw.pilot.works, job, tell)
    if not works:
        lacks = f"no record has a label in {job.input.gold}" if gold else "there is no record to ask about"
        fix = "give its tasks a `check`" if draw.pilot.works else "give an input with some"
        raise ValueError(f"{lacks}; {fix}")
    asking = Asking(compared, run, tell, {}, {})
    terms = terms_of(job, wanted.target)
    room = Room.of(draw, job, terms, gold=gold)
    pace = asking.paces(works[: min(_PROBE, wanted.records or _PROBE)])
    works = works[: _size(asking, works, pace, room, wanted.records)]
    asking.run = with_compared(run, room.compared(works))
    if (few := too_few(len(works), terms)) is not None:
        tell(f"there will be no proposal: {few}")
    elif (left := room.too_few_left(works)) is not None:
        tell(left)
    _tell_price(asking, works, pace)
    asking.ask(asking.local, works)
    asking.ask([name for name in asking.names if name not in asking.local], works)
    oracle = GOLD if gold else _largest(asking, pace, works)
    rows = rows_of(asking, works, oracle, terms)
    return {
        "job": job.name,
        "made": datetime.now(tz=timezone.utc).isoformat(timespec="seconds"),
        "records": {"read": draw.census.read, "to_answer": draw.census.answered, "asked": len(works)},
        "oracle": oracle,
        "failed": asking.failed,
        "left_out": dict(compared.left_out),
        **compared_ways(rows, draw.census.answered, tell, room.too_few_left(works)),
    }


def _judged(works: Sequence[Work], job: Job, tell: Callable[[str], None]) -> tuple[Work, ...]:
    """Records of tasks whose answers can be right or wrong."""
    without = [task.name for task in job.tasks if task.kind == GENERATE and task.check is None]
    if without:
        tell(f"{', '.join(without)}: left out, because without `check` nothing tells a right answer")
    return tuple(work for work in works if work.record.task not in without)


def asks_gold(job: Job) -> bool:
    """Whether the gold column is the oracle: the gate says so, or it says nothing and there is one."""
    said = job.routing.gate.oracle
    return job.input.gold is not None if said is None else said == "gold"


def terms_of(job: Job, target: float | None) -> Terms:
    """The target, which may be wished otherwise than in the job, and the chance of missing it."""
    gate = job.routing.gate
    return Terms(target or gate.target or TARGET, gate.delta or DELTA)


def _largest(asking: Asking, pace: Mapping[str, Pace], works: Sequence[Work]) -> str:
    """The model whose word counts: what others escalate to, else the dearest hosted one, else the slowest."""
    named = asking.job.routing.escalate_to
    if named is not None:
        return named
    plan = asking.run.plan
    costs = {
        name: sum(estimated_calls(plan, name, works).usd)
        for name in asking.names
        if isinstance(asking.job.models[name], OpenAIModel)
    }
    found = costs or {
        name: one.usual for name, one in pace.items() if not adapters_of(asking.job.models[name])
    }
    if not found:
        raise ValueError(
            "there is no model whose word can count: it would be asked as it is, and all have adapters. Give "
            "a gold column (input.gold), a hosted model, or a source under another name without adapters"
        )
    return max(found, key=lambda name: found[name])


@dataclass(frozen=True)
class _Bill:
    """What hosted models would cost, without the records that they have answered already."""

    missing: Mapping[str, Sequence[Work]]
    """Records that each of them is still to be asked about."""
    by_record: Mapping[Position, Decimal]
    by_model: Mapping[str, Decimal]

    def about(self, works: Sequence[Work]) -> Decimal:
        """What these records may cost: more than is expected, because an estimate may be wrong."""
        return (
            sum((self.by_record.get(work.record.position, Decimal(0)) for work in works), Decimal(0))
            * _MARGIN
        )


def _bill(asking: Asking, works: Sequence[Work]) -> _Bill:
    hosted = [name for name in asking.names if name not in asking.local]
    missing = asking.missing(dict.fromkeys(hosted, works))
    by_record: dict[Position, Decimal] = defaultdict(Decimal)
    by_model: dict[str, Decimal] = defaultdict(Decimal)
    for name, rows in missing.items():
        for work, usd in zip(rows, estimated_calls(asking.run.plan, name, rows).usd, strict=True):
            by_record[work.record.position] += Decimal(repr(usd))
            by_model[name] += Decimal(repr(usd))
    return _Bill(missing, by_record, by_model)


def _size(
    asking: Asking, works: Sequence[Work], pace: Mapping[str, Pace], room: Room, wanted: int | None
) -> int:
    """How many records to ask about. Raises `ValueError` where they cost more than may be spent."""
    # A run certifies on others, and takes as many again.
    usual = max(LEAST, min(USUAL, room.records // 2))
    count, allowed = min(wanted or usual, len(works)), asking.compared.allowed
    bill = _bill(asking, works[:count])
    while wanted is None and count - STEP >= LEAST:
        seconds = count * sum(one.usual for one in pace.values()) / asking.run.plan.opening.workers
        if seconds <= _PATIENCE and bill.about(works[:count]) <= allowed:
            break
        count -= STEP
    usd = bill.about(works[:count])
    if usd > allowed:
        raise ValueError(
            f"asking hosted models about {count:,} records costs about ${usd:.4f}, and ${allowed:.4f} may be "
            "spent (--max-usd, and the job's budget); nothing was spent. Allow more, or ask about fewer with "
            "--records"
        )
    return count


def _tell_price(asking: Asking, works: Sequence[Work], pace: Mapping[str, Pace]) -> None:
    missing = asking.missing(asking.called(asking.local, works))
    bill, plan = _bill(asking, works), asking.run.plan
    paces = {name: pace[asking.model_of(name)] for name in missing}
    told = [_time(missing, paces, plan.opening.workers)] if missing else []
    for name, rows in bill.missing.items():
        most = most_cost(plan, name, rows)
        told.append(f"{name} costs about ${bill.by_model[name]:.4f} and ${most:.4f} at most")
    allowed = f"; ${asking.compared.allowed:.4f} may be spent" if bill.missing else ""
    said = ", ".join(told) or "the journal holds every answer"
    asking.tell(f"{len(works):,} records, {len(asking.names)} models: {said}{allowed}")


def _time(missing: Mapping[str, Sequence[Work]], pace: Mapping[str, Pace], workers: int) -> str:
    def seconds(of: Callable[[Pace], float]) -> float:
        return sum(len(rows) * of(pace[name]) for name, rows in missing.items()) / workers

    least, most = seconds(operator.attrgetter("low")), seconds(operator.attrgetter("high"))
    usual = seconds(operator.attrgetter("usual"))
    return f"local models take about {usual:,.0f} s ({least:,.0f} to {most:,.0f}, judged by few records)"


def rows_of(asking: Asking, works: Sequence[Work], oracle: str, terms: Terms) -> Rows:
    """The records on which the oracle has a word, with the models that answered any of them."""
    truth = truth_of(asking.run, works, asking.answers, oracle)
    known = [(work, word) for work, word in zip(works, truth, strict=True) if word is not None]
    if not known:
        raise JobFailedError(
            f"{oracle} answered none of {len(works):,} records "
            f"({asking.failed.get(oracle, 'no reason given')}); without it nothing can be compared"
        )
    answered = {asking.model_of(called) for called, _ in asking.answers}
    names = tuple(name for name in asking.names if name in answered)
    kept, words = zip(*known, strict=True)
    return Rows(asking.run, kept, asking.answers, names, oracle, words, terms)
