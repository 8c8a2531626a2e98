"""The figures of a comparison, the ways to do the job, and the one that is proposed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.compare_notes import (
    about_adapters,
    about_input,
    about_pilot,
    about_prompts,
    about_proposal,
    why_nothing,
)
from pipelines.compare_pilot import calibration_of
from pipelines.compare_rows import (
    GOLD,
    KnownAnswers,
    about_model,
    as_it_stands,
    first_choice,
    large_of,
    nobody_of,
    tags_of,
    taught,
)
from router import pilot_size
from router.adapters import adapters_of
from router.comparison import Learned, segments_of, side_by_side
from router.escalation import outcome, saved
from router.evaluation import share
from router.gate import NOTHING
from router.guarantee import certify_threshold
from router.proposal import choose, cross_fitted, kept_to
from router.proposal_text import gate_of, routing_of, routing_text, section_text
from router.records import write_money

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from pipelines.compare_rows import Rows
    from pipelines.fit_models import Fitted
    from router.comparison import Segment
    from router.escalation import Large, Outcome
    from router.job import Job
    from router.proposal import Chosen, CrossFit

    Mask = npt.NDArray[np.bool_]
    Places = npt.NDArray[np.int64]
    Names = npt.NDArray[np.object_]

THIS_JOB, PROPOSAL = "this job", "proposal"
_MICRO = Decimal("0.000001")
_SHOWN_SEGMENT = 10
"""Segments with fewer records are not shown."""


@dataclass(frozen=True, eq=False)
class Weighing:
    """What the choice is made from."""

    rows: Rows
    larges: Mapping[str, Large]
    fitted: Mapping[str, Fitted]
    """Of each small model, where the oracle of the comparison teaches."""
    segments: Mapping[Segment, Mask]
    records: int
    """Records of the whole input that models answer."""

    @property
    def size(self) -> int:
        """Records of the sample."""
        return len(self.rows.works)

    def alone(self, name: str) -> Names:
        """Every record to one model first."""
        return np.full(self.size, name, dtype=object)

    def chooses(self, at: Places) -> Chosen | None:
        """The cheapest way on the records at these places."""
        return choose(list(self.larges.values()), self.segments, at, self.rows.terms)


@dataclass(frozen=True, eq=False)
class _Told:
    """A way to do the job: what it is worth on records that it was not chosen on."""

    outcome: Outcome
    input_usd: float
    """Dollars for the whole input, the run's own pilot included."""

    def stated(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "quality": asdict(self.outcome.quality),
            "usd_per_thousand": _money(self.outcome.cost * 1000),
            "escalated": asdict(share(int(self.outcome.escalated.sum()), len(self.outcome.escalated))),
            "input_usd": _money(self.input_usd),
        }


def _money(value: float) -> str:
    return write_money(Decimal(repr(value)).quantize(_MICRO))


def compared_ways(
    rows: Rows, records: int, tell: Callable[[str], None], few_left: str | None = None
) -> dict[str, Any]:
    """Figures of the models, ways to do the job with what each is expected to cost, and a proposal.

    Args:
        rows: What every model said.
        records: Records of the whole input that models answer.
        tell: Says what is going on.
        few_left: Why a run cannot certify on the records that are not compared; None where it can.
    """
    weighing = weigh(rows, records, tell)
    said = {name: rows.said(name) for name in rows.names}
    both = {name: (said[name], _learned(weighing, name)) for name in rows.names}
    tell("weighing who should answer what")
    chosen = weighing.chooses(np.arange(weighing.size))
    crossed = None if chosen is None else cross_fitted(weighing.size, weighing.chooses)
    ways = _ways(weighing, chosen, crossed)
    proposal, told = _proposal(weighing, chosen, crossed, ways)
    models = {name: about_model(rows, name) for name in rows.names}
    return {
        "judged": weighing.size,
        "target": rows.terms.target,
        "delta": rows.terms.delta,
        "models": models,
        "figures": side_by_side(both, segments_of(tags_of(rows), _SHOWN_SEGMENT), weighing.size),
        "ways": {name: way.stated() for name, way in ways.items()},
        "proposal": proposal,
        "notes": [
            *about_adapters(models),
            *about_prompts(rows),
            *told,
            *about_pilot(rows, proposal, few_left),
        ],
    }


def weigh(rows: Rows, records: int, tell: Callable[[str], None]) -> Weighing:
    """What a choice is made from: every model that could be escalated to, with what its gate would learn."""
    fitted = taught(rows, rows.oracle, tell)
    larges = {}
    for name in rows.names:
        if rows.oracle in (GOLD, name):
            # A model with adapters answers first and is never escalated to: nobody stands before it.
            before = {} if adapters_of(rows.run.plan.job.models[name]) else fitted
            larges[name] = large_of(rows, name, before)
        elif name not in rows.local or name == rows.run.plan.job.routing.escalate_to:
            right = rows.right(rows.labels(name))
            # What is far from the target by itself does not reach it with a smaller one in front.
            if share(int(right.sum()), len(right)).high >= rows.terms.target:
                larges[name] = large_of(rows, name, taught(rows, name, tell))
    if rows.oracle == GOLD:
        larges[""] = nobody_of(rows, fitted)
    return Weighing(rows, larges, fitted, segments_of(tags_of(rows)), records)


def _learned(weighing: Weighing, name: str) -> Learned | None:
    fit, terms = weighing.fitted.get(name), weighing.rows.terms
    if fit is None:
        return None
    right = weighing.rows.right(fit.said)
    threshold = certify_threshold(
        fit.confidence,
        right,
        target=terms.target,
        delta=terms.delta,
    )
    return Learned(fit.confidence, right, NOTHING if threshold is None else threshold)


def _ways(weighing: Weighing, chosen: Chosen | None, crossed: CrossFit | None) -> dict[str, _Told]:
    rows = weighing.rows
    found = {THIS_JOB: _this_job(weighing)}
    usual = _usual_large(weighing, chosen)
    for name, large in weighing.larges.items():
        if large.answers and (name not in rows.local or large is usual):
            everything = outcome(large, weighing.alone(name), NOTHING, np.arange(weighing.size))
            found[f"{name} alone"] = _Told(everything, everything.cost * weighing.records)
    if usual is not None:
        for name in usual.small:
            found[f"{name}, then {usual.name}"] = _gated(weighing, usual, weighing.alone(name))
    if chosen is not None and crossed is not None:
        usd = crossed.outcome.cost * weighing.records
        if chosen.way.large is not None:
            usd = _input_usd(weighing, chosen.large, chosen.firsts)
        found[PROPOSAL] = _Told(crossed.outcome, usd)
    return found


def _usual_large(weighing: Weighing, chosen: Chosen | None) -> Large | None:
    """The model that the single small ones are shown with: the proposal's, else the job's or the oracle."""
    wanted = [] if chosen is None else [chosen.large.name]
    wanted += [weighing.rows.run.plan.job.routing.escalate_to or "", weighing.rows.oracle]
    return next((weighing.larges[name] for name in wanted if name and name in weighing.larges), None)


def _this_job(weighing: Weighing) -> _Told:
    routing, everywhere = weighing.rows.run.plan.job.routing, np.arange(weighing.size)
    large = weighing.larges.get(routing.escalate_to or "")
    if routing.gate.target is None or large is None:
        found = as_it_stands(weighing.rows)
        return _Told(found, found.cost * weighing.records)
    if large.answers:
        return _gated(weighing, large, first_choice(weighing.rows))
    # Nobody is escalated to, so every answer stands, certified or not.
    found = outcome(large, first_choice(weighing.rows), 0.0, everywhere)
    return _Told(found, found.cost * weighing.records)


def _gated(weighing: Weighing, large: Large, firsts: Names) -> _Told:
    """With a gate that promises the target; where it cannot, everything is escalated."""
    crossed = cross_fitted(weighing.size, kept_to(large, firsts, weighing.rows.terms))
    if crossed is None:
        found = outcome(large, firsts, NOTHING, np.arange(weighing.size))
        return _Told(found, found.cost * weighing.records)
    return _Told(crossed.outcome, _input_usd(weighing, large, firsts))


def _input_usd(weighing: Weighing, large: Large, firsts: Names) -> float:
    """Dollars for the whole input, the run's own pilot included."""
    rows, records = weighing.rows, weighing.records
    confidence, agrees, usd = np.full(weighing.size, -1.0), np.zeros(weighing.size, bool), 0.0
    for name, small in large.small.items():
        at = firsts == name
        confidence[at], agrees[at] = small.confidence[at], small.agrees[at]
        usd += float(small.usd[at].sum()) / weighing.size
    calibrator, pilot = KnownAnswers(rows.run, lambda _: None), rows.run.plan.job.calibration.pilot
    trained = calibrator.first_size(records, records, 0)
    terms = pilot_size.Terms(rows.terms.target, rows.terms.delta, records, records)
    plan = pilot_size.plan_size(confidence, agrees, terms, trained, fixed=pilot.certify)
    calls = plan.calls
    if rows.oracle == GOLD and plan.certify:
        # The column answers the records that are learned from.
        calls -= trained
    return usd * records + calls * float(large.usd.mean())


def _proposal(
    weighing: Weighing, chosen: Chosen | None, crossed: CrossFit | None, ways: Mapping[str, _Told]
) -> tuple[dict[str, Any] | None, list[str]]:
    """The proposed routing, and what is to be said of it."""
    if chosen is None or crossed is None:
        return None, [why_nothing(weighing.rows)]
    rows, job = weighing.rows, weighing.rows.run.plan.job
    gate = gate_of(
        rows.terms.target,
        rows.terms.delta,
        rows.oracle,
        {"per": job.routing.gate.per, "student": _student(job)},
    )
    routing = routing_of(chosen.way, gate)
    # Where nothing is certified, nothing has to be kept apart for that.
    others = {"calibration": calibration_of(job)} if "gate" in routing else {}
    less, error = saved(ways[THIS_JOB].outcome, crossed.outcome)
    found = {
        "routing": routing,
        **others,
        "yaml": routing_text(routing) + "".join(section_text(*one) for one in others.items()),
        "rules": [
            {
                "segment": list(rule.segment),
                "use": rule.model,
                "saves_usd_per_thousand": _money(rule.gain * 1000) if chosen.large.answers else None,
            }
            for rule in chosen.way.rules
        ],
        "threshold": None if chosen.threshold == NOTHING else chosen.threshold,
        "saved_per_thousand": {"usd": less * 1000, "error": error * 1000},
        "chosen_alike": sum(
            (one.default, one.large) == (chosen.way.default, chosen.way.large) for one in crossed.ways
        ),
        "folds": len(crossed.ways),
    }
    alone = ways.get(f"{chosen.large.name} alone")
    notes = about_proposal(rows, chosen, routing)
    if chosen.way.large is not None and chosen.large.is_oracle and alone is not None:
        notes += about_input(weighing.records, chosen.large.name, alone.input_usd - ways[PROPOSAL].input_usd)
    return found, notes


def _student(job: Job) -> str | None:
    return None if job.routing.gate.student in (None, "off") else job.routing.gate.student
