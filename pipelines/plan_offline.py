"""`tekizai plan --offline`: no model is asked; tokenizers count, and an earlier run tells the rates."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipelines.pilot_run import PilotRun
from pipelines.plan_estimates import estimated_calls, usual_small
from pipelines.plan_pilot import answered_of, draw_plan
from pipelines.runner import options_of
from router.forecast import Answered, Observed, Pace, Workload, forecast
from router.job import LlamaCppModel
from router.planned import Planned, plan_value
from router.prices import cost, hosted_price, local_cost
from router.records import text_bytes
from transforms.count_tokens import count_tokens
from transforms.slm_handler import LlamaCppModelHandler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipelines.annotate import Plan
    from router.forecast import Path
    from router.records import Work

_SAMPLE = 1000
_GUESS = 0.01
"""The weight of a guess, in records."""


@dataclass(frozen=True)
class EarlierRun:
    """What an earlier run's summary tells of its models."""

    summary: Mapping[str, Any]

    def used(self, name: str) -> Mapping[str, Any] | None:
        """What a model was used for; None where it was not asked."""
        found: Mapping[str, Any] | None = self.summary.get("by_model", {}).get(name)
        return found if found is not None and found["asked"] else None

    def share(self, name: str) -> tuple[int, int]:
        """On how many of the records that models had to answer a model was asked."""
        records = self.summary["records"]
        used = self.used(name)
        return 0 if used is None else int(used["asked"]), records["annotated"] - records["duplicates"]


def make_offline_plan(plan: Plan, earlier: EarlierRun | None) -> dict[str, Any]:
    """Forecast the job from token counts and an earlier run's rates.

    Without an earlier run nobody knows how many records will be escalated: from none to all of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        draw = draw_plan(PilotRun(replace(plan, state=folder), options_of([])), _SAMPLE)
    works, census, job = draw.pilot.works, draw.census, plan.job
    made = datetime.now(tz=timezone.utc)
    if not works:
        nothing = ("there is no record to ask a model about",)
        return plan_value(job, Planned(census, (), None, Counter(), nothing), made=made)
    small, large = usual_small(plan), job.routing.escalate_to
    notes: list[str] = []
    names = {small, *([large] if large else []), *plan.large_models, *(work.route.model for work in works)}
    answered = {name: _rates(plan, name, works, earlier, notes) for name in sorted(names)}
    paths = _paths(plan, works, earlier)
    if large is not None and (earlier is None or earlier.used(large) is None):
        notes.append(f"no earlier run tells how often {large} is asked: half of the records is a mere guess")
    if job.routing.judge is not None:
        most = f"${job.routing.judge.max_usd:f} for each record that is disputed"
        notes.append(f"what the judge costs is not in these figures: at most {most}")
    sizes = {name: tuple(text_bytes(work.record) for work in works) for name in names}
    found = Observed(paths, sizes, answered, {})
    budget = None if job.budget is None else float(job.budget.max_usd)
    work = Workload(census.answered, census.mean_bytes, small, large, budget)
    concurrency = {name: 1 for name in names if not isinstance(job.models[name], LlamaCppModel)}
    told = forecast(found, work, Pace(plan.opening.workers, concurrency=concurrency))
    planned = Planned(census, works, told, Counter(), ("no model was asked (--offline)", *notes))
    return {**plan_value(job, planned, made=made), "offline": True}


def _paths(plan: Plan, works: Sequence[Work], earlier: EarlierRun | None) -> dict[Path, float]:
    """The ways of the sample: rules are known, and what the gate sends on is an earlier run's share."""
    large, paths = plan.job.routing.escalate_to, defaultdict[tuple[str, ...], float](float)
    asked, of = (0, 0) if large is None or earlier is None else earlier.share(large)
    for name, count in Counter(work.route.model for work in works).items():
        if large is None or name not in plan.small_models:
            paths[name,] += count
            continue
        share = asked / of if asked and of else 0.5
        paths[name, large] += share * count
        paths[name,] += (1.0 - share) * count
    # Where nothing tells the share, the sample must not look as if it did.
    weight = 1.0 if large is None or asked else _GUESS / max(1, len(works))
    return {path: count * weight for path, count in paths.items()}


def _rates(
    plan: Plan, name: str, works: Sequence[Work], earlier: EarlierRun | None, notes: list[str]
) -> Answered:
    used = None if earlier is None else earlier.used(name)
    handler = plan.handlers[name]
    if used is None:
        notes.append(f"no earlier run tells how fast {name} is")
    if not isinstance(handler, LlamaCppModelHandler):
        return estimated_calls(plan, name, works) if used is None else _as_before(plan, name, works, used)
    tasks = {task.name: task for task in plan.job.tasks}
    tokens = count_tokens(handler.local, tasks, [work.record for work in works])
    evaluated = 0 if used is None else used["input_tokens"] - used["cached_tokens"]
    pace = 0.0 if used is None or not evaluated else used["seconds"] / evaluated
    rows = [
        (float(local_cost(count * pace, handler.local.usd_per_hour)), count * pace, text_bytes(work.record))
        for count, work in zip(tokens, works, strict=True)
    ]
    return answered_of(rows, counted=False)


def _as_before(plan: Plan, name: str, works: Sequence[Work], used: Mapping[str, Any]) -> Answered:
    """A call costs what the earlier run's calls did, at today's price."""
    model = plan.job.models[name]
    if isinstance(model, LlamaCppModel):
        raise TypeError(f"{name} runs in the worker")
    asked = used["asked"]
    # Rounded up: a price is never told too low by less than a token.
    sent, cached, made = (
        -(-used[key] // asked) for key in ("input_tokens", "cached_tokens", "output_tokens")
    )
    usd = cost(hosted_price(model), sent, min(cached, sent), made)
    row = (float(Decimal(usd)), used["seconds"] / asked)
    return answered_of([(*row, text_bytes(work.record)) for work in works], counted=False)
