"""`tekizai plan`: what a job will cost and take, from a pilot of its own records."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np

from pipelines.calibrate import Calibrator
from pipelines.calibrated import calibrated_plan, reused_plan
from pipelines.calibration_store import find_stored
from pipelines.pilot_run import PilotRun
from pipelines.plan_estimates import estimated_calls, most_cost, record_seconds, time_to_begin, usual_small
from pipelines.plan_judge import judge_forecast
from pipelines.plan_pilot import (
    LARGE_CALLS,
    MOST,
    PlanPilot,
    Seen,
    draw_plan,
    grow,
    observed,
    read_sample,
    spare_answers,
)
from pipelines.stored_plan import PLAN_FILE
from router.forecast import Observed, Pace, Workload, forecast
from router.forecast_lines import without_cold_starts
from router.job import OpenAIModel
from router.pilot_size import KeptShare, foresee_kept
from router.planned import Agreement, Planned, plan_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.annotate import Plan
    from router.forecast import Answered, Path
    from router.records import Work
    from transforms.draw_plan import PlanDraw


@dataclass
class _Planning:
    """What a plan rests on."""

    plan: Plan
    options: PipelineOptions
    tell: Callable[[str], None]
    draw: PlanDraw
    begin_seconds: float
    """What it takes to begin any pipeline: the run begins one, the plan several."""
    read_seconds: float
    """What it took to read the input, the beginning included."""

    @property
    def small(self) -> str:
        """The small model that answers where no rule says otherwise."""
        return usual_small(self.plan)


def make_plan(
    plan: Plan, options: PipelineOptions, tell: Callable[[str], None], *, size: int | None
) -> dict[str, Any]:
    """Ask a pilot, forecast the job, and keep the forecast in the state folder for the run to compare with.

    Args:
        plan: The prepared job, whose output folder is claimed.
        options: Beam's.
        tell: Says what is going on.
        size: Records to ask small models about; None: until the share of large calls is well known.

    Raises `JobFailedError` where a pilot cannot be answered.
    """
    begin = time_to_begin(options)
    started = time.monotonic()
    draw = draw_plan(PilotRun(plan, options), max(MOST, size or 0))
    planning = _Planning(plan, options, tell, draw, begin, time.monotonic() - started)
    found = _nothing(planning) if not draw.pilot.works else _planned(planning, size)
    value = plan_value(plan.job, found, made=datetime.now(tz=timezone.utc))
    value["job_digest"] = plan.ending.manifest["job_digest"]
    value["prices"] = plan.ending.manifest["prices"]
    with fsspec.open(f"{plan.state}/{PLAN_FILE}", "w", encoding="utf-8") as stream:
        json.dump(value, stream, ensure_ascii=False, indent=1)
    return value


def _planned(planning: _Planning, size: int | None) -> Planned:
    plan = planning.plan
    if plan.policy is not None and plan.job.calibration.artefact is None:
        return _from_pilot(planning, size)
    if plan.job.calibration.artefact is not None:
        settled = reused_plan(plan, planning.options, planning.tell)
        return _from_pilot(_with(planning, settled), size)
    stored = find_stored(f"{plan.state}/calibration", str(plan.ending.manifest["job_digest"]))
    return _from_first_look(planning) if stored is None else _from_calibration(planning)


def _with(planning: _Planning, plan: Plan) -> _Planning:
    """The same planning of a plan that is settled further."""
    return replace(planning, plan=plan)


def _from_pilot(planning: _Planning, size: int | None) -> Planned:
    """A gate that is known: the pilot's records go through it as the job's will."""
    plan = planning.plan
    pilot = PlanPilot(PilotRun(plan, planning.options), planning.tell)
    readings = read_sample(pilot, planning.draw.sample)
    seen = grow(pilot, planning.draw, readings, size)
    for name, works in seen.to_large(plan.small_models).items():
        if name in _in_batches(plan):
            continue
        asked = works[: _full_batches(plan, name)]
        most = "" if (usd := most_cost(plan, name, asked)) is None else f", for ${usd} at most"
        planning.tell(f"pilot: {name} is asked about {len(asked)} of {len(works)} records{most}")
        pilot.ask_large(asked, name)
    spare = spare_answers(pilot, planning.draw.sample, seen)
    return _forecast(planning, pilot, seen, observed(pilot, seen, planning.small), spare)


def _from_first_look(planning: _Planning) -> Planned:
    """A gate that is still to be certified: what the first part of its pilot lets expect of it."""
    plan = planning.plan
    calibrator = Calibrator(PilotRun(plan, planning.options), planning.tell)
    first = calibrator.first_look()
    pilot = PlanPilot(calibrator.run, planning.tell, dict(calibrator.answers))
    works = first.pilot.works[: first.used + first.trained]
    sure, agrees = (
        rows[len(first.pilot.corrected) :] for rows in (first.fitted.confidence, first.fitted.agrees)
    )
    kept = foresee_kept(sure, agrees, first.plan, first.terms, first.used + first.trained)
    asked = (0 if plan.job.routing.gate.oracle == "gold" else len(works)) + first.plan.certify
    planning.tell(
        f"plan: the gate is not certified yet, so this rests on {first.trained} records; `tekizai calibrate` "
        f"asks about {first.plan.certify} more, and a plan after it knows better"
    )
    agreement = Agreement(float(agrees.mean()) if len(agrees) else None, None)
    return _calibrated(planning, pilot, works, kept, asked, agreement)


def _from_calibration(planning: _Planning) -> Planned:
    """A certified gate: its certifying records are the sample."""
    plan = calibrated_plan(planning.plan, planning.options, planning.tell)
    planning = _with(planning, plan)
    gate = plan.ending.gate
    sizes, slices = gate["pilot"], gate.get("slices") or {}
    rows, kept = sizes["certify"], gate.get("kept", 0)
    disagreed = gate.get("disagreed", 0)
    if slices:
        kept = sum(one["kept"] for one in slices.values())
        disagreed = sum(one["disagreed"] for one in slices.values())
    settled = sizes["certify"]
    if plan.job.routing.gate.oracle != "gold":
        settled += sizes["examples"] + sizes["train"]
    pilot = PlanPilot(PilotRun(plan, planning.options), planning.tell)
    works = planning.draw.pilot.works[: min(settled, LARGE_CALLS * 10)]
    pilot.ask_small(works)
    if plan.job.routing.escalate_to is not None:
        pilot.ask_large(works, plan.job.routing.escalate_to)
    agreement = Agreement(None, 1.0 - disagreed / rows if rows else None)
    share = KeptShare(kept / rows if rows else 0.0, float(max(1, rows)))
    return _calibrated(planning, pilot, works, share, settled, agreement)


def _calibrated(  # noqa: PLR0913, PLR0917 - all of them are what a calibration says
    planning: _Planning,
    pilot: PlanPilot,
    works: Sequence[Work],
    kept: KeptShare,
    settled: int,
    agreement: Agreement,
) -> Planned:
    """A forecast from the share that a gate keeps, and the number of records that are asked in any case."""
    large, small = planning.plan.job.routing.escalate_to, planning.small
    both: Path = (small,) if large is None else (small, large)
    paths: dict[Path, float] = {(small,): kept.rows}
    if large is not None:
        paths = {(small,): kept.expected * kept.rows, both: (1.0 - kept.expected) * kept.rows}
    seen = Seen(tuple(works), (both,) * len(works))
    answered = observed(pilot, seen, small).answered
    # The pilot was drawn at random: its texts are as long as the others.
    found = Observed(paths, {}, answered, {both: float(settled)})
    return replace(_forecast(planning, pilot, seen, found), agreement=agreement)


def _forecast(
    planning: _Planning, pilot: PlanPilot, seen: Seen, found: Observed, spare: Answered | None = None
) -> Planned:
    plan, census = planning.plan, planning.draw.census
    job = plan.job
    missing = [
        name
        for name in {job.routing.escalate_to or planning.small, planning.small, *plan.large_models}
        if name not in found.answered
    ]
    guessed = {name: estimated_calls(plan, name, seen.works) for name in missing}
    found = replace(found, answered=_warm(plan, {**found.answered, **guessed}))
    budget = None if job.budget is None else float(job.budget.max_usd)
    work = Workload(census.answered, census.mean_bytes, planning.small, job.routing.escalate_to, budget)
    if spare is not None:
        work = replace(work, spare=spare)
    pace = Pace(
        plan.opening.workers,
        planning.read_seconds + max(0.0, pilot.idle_seconds - planning.begin_seconds),
        record_seconds(plan, seen.works),
        {name: one.concurrency for name, one in _hosted(plan).items()},
        _occupied(plan, pilot, found),
    )
    notes = [
        f"{name} was not asked in the pilot: its cost is estimated from the texts' length, its time unknown"
        for name in missing
    ]
    notes += [f"{name} answers in batches, for which its provider has a day" for name in _in_batches(plan)]
    asked = Counter(name for name, _ in pilot.answers)
    told = forecast(found, work, pace)
    judge = judge_forecast(
        plan, pilot.answers, seen.works, pilot.readings, told.ways["this_job"].large_records
    )
    return Planned(census, tuple(seen.works), told, asked, tuple(notes), pace=pace, judge=judge)


def _warm(plan: Plan, answered: Mapping[str, Answered]) -> dict[str, Answered]:
    """The answers, without the first calls of a hosted model that was cold."""
    found = dict(answered)
    for name, model in _hosted(plan).items():
        if name in found:
            connections = model.concurrency * plan.opening.workers
            seconds = without_cold_starts(found[name].seconds, connections)
            found[name] = replace(found[name], seconds=seconds)
    return found


def _occupied(plan: Plan, pilot: PlanPilot, found: Observed) -> dict[str, float]:
    """What part of a call's time a worker waited for it, by hosted model that the pilot asked just now."""
    models, waits = _hosted(plan), pilot.run.waits
    by_record = {name: one.by_record(models[name].concurrency) for name, one in waits.items()}
    mean = {name: float(np.mean(found.answered[name].seconds)) for name in waits if name in found.answered}
    return {name: by_record[name] / seconds for name, seconds in mean.items() if seconds > 0.0}


def _hosted(plan: Plan) -> dict[str, OpenAIModel]:
    return {
        name: model
        for name, model in plan.job.models.items()
        if isinstance(model, OpenAIModel) and name in plan.handlers
    }


def _full_batches(plan: Plan, name: str) -> int:
    """How many records to ask a large model about: so many that all calls of a worker are under way at once.

    A worker that asks about fewer at once than it will in the run would tell another time.
    """
    model = _hosted(plan).get(name)
    at_once = 1 if model is None else model.concurrency * plan.opening.workers
    return max(LARGE_CALLS // at_once, 1) * at_once


def _in_batches(plan: Plan) -> list[str]:
    """Models whose pilot would have to wait for a batch."""
    return [name for name, model in _hosted(plan).items() if model.batching is not None]


def _nothing(planning: _Planning) -> Planned:
    """A plan for an input in which nothing is to be asked."""
    return Planned(planning.draw.census, (), None, Counter(), ("there is no record to ask a model about",))
