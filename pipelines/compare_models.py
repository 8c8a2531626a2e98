"""Which models a comparison asks: all of the job file that can be asked, named by the routing or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from pipelines.open_models import ledger_path, open_models
from pipelines.prepare import drawn_prompts
from pipelines.references import gather_references
from router.adapters import adapters_of
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


def check_comparable(job: Job) -> None:
    """Raise `ValueError` for a job whose models have adapters: the rules that are proposed can name none."""
    for name, model in job.models.items():
        if adapters_of(model):
            raise ValueError(
                f"models.{name}.adapters: are not compared; a rule names {name}, and the record settles "
                "which adapter. Leave them out of the job that is compared, and see what one is worth with "
                "`tekizai models bench MODEL MODEL+ADAPTER`"
            )


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
    models = {name: _singly(model) for name, model in job.models.items() if name not in left_out}
    never = When(characters_above=job.limits.max_characters)
    rules = tuple(Rule(when=never, use=name) for name in others if name not in left_out)
    routing = job.routing.model_copy(update={"rules": (*job.routing.rules, *rules)})
    budget = Budget(max_usd=limit, workers=None if job.budget is None else job.budget.workers)
    wide = job.model_copy(update={"models": models, "routing": routing, "budget": budget})
    opening = replace(
        plan.opening,
        job=wide,
        ledger=ledger_path(plan.ending.output) if plan.opening.local else None,
        prompts=drawn_prompts(wide, plan.opening.pools),
        references=gather_references(wide, plan.state, plan.reader.router, local=plan.opening.local),
    )
    opened = open_models(opening)
    opening = replace(opening, digests=opened.digests)
    wide_plan = replace(plan, job=wide, handlers=opened.handlers, opening=opening)
    return Compared(wide_plan, left_out, max(Decimal(0), limit - spent))


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
