"""Which models a comparison asks: all of the job file that can be asked, named by the routing or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from pipelines.compare_pilot import uncompared_adapters
from pipelines.open_models import ledger_path, open_models
from pipelines.prepare import drawn_prompts, routes_of
from pipelines.references import gather_references
from router.adapters import ModelsByName, adapters_of
from router.job import Budget, OpenAIModel, Routing, Rule, When
from router.prices import hosted_price
from transforms.journal_scan import paid_calls
from transforms.llm_access import LlmStop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.annotate import Plan
    from router.job import Job, Model


@dataclass(frozen=True)
class Compared:
    """A plan in which every model can be asked."""

    plan: Plan
    left_out: Mapping[str, str]
    """Models that cannot be asked, with the reason and what to do."""
    allowed: Decimal
    """Dollars that may be spent on hosted models from now on."""


def with_all_models(plan: Plan, max_usd: Decimal) -> Compared:
    """The plan of a job, able to ask all of its models, and to spend so much on hosted ones.

    The routing stays as it is for every record: a model that it does not name gets a rule that no text meets.
    A model that it does name can be asked, or `prepare` had said why not.

    Args:
        plan: Of the job as it stands.
        max_usd: Dollars for hosted models, beside what was spent before; the job's budget holds too.
    """
    job = plan.job
    spent = sum((one.usd for one in paid_calls(f"{plan.state}/journal")), Decimal(0))
    limit = spent + max_usd if job.budget is None else min(job.budget.max_usd, spent + max_usd)
    others = [name for name in job.models if name not in job.used_models]
    left_out = {name: why for name in others if (why := _trouble(plan, name)) is not None}
    _check_adapters(job, left_out)
    models = {name: _singly(model) for name, model in job.models.items() if name not in left_out}
    never = When(characters_above=job.limits.max_characters)
    rules = tuple(Rule(when=never, use=name) for name in others if name not in left_out)
    routing = job.routing.model_copy(update={"rules": (*job.routing.rules, *rules)})
    budget = Budget(max_usd=limit, workers=None if job.budget is None else job.budget.workers)
    wide = job.model_copy(update={"models": ModelsByName(models), "routing": routing, "budget": budget})
    opening = replace(
        plan.opening,
        job=wide,
        ledger=ledger_path(plan.ending.output) if plan.opening.local else None,
        prompts=drawn_prompts(wide, plan.opening.pools),
        references=gather_references(wide, plan.state, plan.reader.router, local=plan.opening.local),
    )
    opened = open_models(opening)
    opening = replace(opening, digests=opened.digests)
    # What the adapters of all models ask of a record has to be found, whether the routing names them or not.
    reader = replace(plan.reader, job=wide, routes=routes_of(opening, plan.reader.router))
    wide_plan = replace(plan, job=wide, reader=reader, handlers=opened.handlers, opening=opening)
    return Compared(_in_order(wide_plan), left_out, max(Decimal(0), limit - spent))


def _check_adapters(job: Job, left_out: Mapping[str, str]) -> None:
    """Raise `ValueError` where a model with adapters cannot be asked: they settle the pilot's order."""
    for name, why in left_out.items():
        if adapters_of(job.models[name]):
            raise ValueError(
                f"models.{name}: it has adapters and cannot be asked ({why}). Adapters settle the order in "
                "which records are drawn, so mend this, or leave the model out of the job file"
            )


def _in_order(plan: Plan) -> Plan:
    """The plan without the word of an earlier comparison that had other adapters, so in another order."""
    if not uncompared_adapters(plan):
        return plan
    calibration = plan.job.calibration
    fresh = calibration.pilot.model_copy(update={"compared": None, "adapters": ()})
    calibration = calibration.model_copy(update={"pilot": fresh})
    return replace(plan, job=plan.job.model_copy(update={"calibration": calibration}))


def _trouble(plan: Plan, name: str) -> str | None:
    """Why a model cannot be asked; None where it can."""
    alone = plan.job.model_copy(update={"routing": Routing(default=name)})
    try:
        open_models(replace(plan.opening, job=alone, ledger=None))
    except (ValueError, OSError, LlmStop) as error:
        return str(error)
    return None


def _singly(model: Model) -> Model:
    """The same model, asked about each record at once: nobody waits a day for a comparison."""
    if not isinstance(model, OpenAIModel):
        return model
    return model.model_copy(update={"batch": False})


def batch_share(job: Job, name: str) -> Decimal:
    """What part of the price of single calls a run of the job pays: less where it uses batches."""
    model = job.models[name]
    if not isinstance(model, OpenAIModel) or model.batching is None:
        return Decimal(1)
    alone = hosted_price(model.model_copy(update={"batch": False}))
    return hosted_price(model).input / alone.input if alone.input else Decimal(1)
