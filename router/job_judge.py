"""Who settles a dispute between models: `routing.judge` of a job file."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from router import job_checks
from router.job_base import Count, Fraction, Name, NotEmpty, Strict
from router.job_checks import is_number
from router.job_wording import suggestion
from router.names import JUDGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.job import Model, Routing
    from router.job_checks import Problem

Tool = Literal["nearest_examples", "guidelines", "opinions", "second_opinion", "calculator"]


class JudgeWhen(Strict):
    """Which records are judged: those that meet any of the conditions given."""

    disagree_above: Fraction | None = None
    """The small model's confidence from which on another answer of the large one is a dispute."""
    unsure_below: Fraction | None = None
    """The large model's own confidence below which it counts as unsure."""

    @model_validator(mode="after")
    def _has_a_condition(self) -> JudgeWhen:
        if self.disagree_above is None and self.unsure_below is None:
            says = "has no condition; give disagree_above, unsure_below or both"
            job_checks.refuse([((), says, None)])
        return self


class Judge(Strict):
    """An agent with tools that has the last word on disputed records (docs/judge.md)."""

    model: Name
    """The openai model that judges."""
    when: JudgeWhen = JudgeWhen(disagree_above=0.8)
    max_steps: Annotated[Count, Field(le=50)] = 6
    """The most requests to the model about one record."""
    max_usd: Annotated[Decimal, Field(gt=0, allow_inf_nan=False), BeforeValidator(is_number)] = Decimal(
        "0.01"
    )
    """US dollars that judging one record may cost, the second opinion included."""
    max_output_tokens: Count = 512
    """The longest answer of one step that is paid for."""
    tools: Annotated[tuple[Tool, ...], NotEmpty] | None = None
    """What it may look at; null: all that the job can serve."""
    second_opinion: Name | None = None
    """Another model of the job that it may ask."""
    tool_calls: Literal["native", "json"] = "native"
    """How the model calls tools: by the API's own calls, or as JSON objects where it does not know those."""


def judge_problems(routing: Routing, models: Mapping[str, Model] | None) -> list[Problem]:
    """What is wrong with a judge, as triples of `router.job_checks`; models that are None were invalid."""
    judge = routing.judge
    if judge is None:
        return []
    problems: list[Problem] = []
    if routing.escalate_to is None:
        says = "needs a model in routing.escalate_to, with which the small ones can disagree; name one"
        problems.append((("judge",), says, None))
    if judge.tools is not None and "second_opinion" in judge.tools and judge.second_opinion is None:
        says = "is among the tools, but routing.judge.second_opinion names no model; name one"
        problems.append((("judge", "tools"), says, "second_opinion"))
    if models is None:
        return problems
    named = {"model": judge.model, "second_opinion": judge.second_opinion}
    for key, name in named.items():
        if name is not None and name not in models:
            says = f"is not one of the models; {suggestion(name, models)}"
            problems.append((("judge", key), says, name))
        elif name is not None and models[name].engine == "openai" and _batched(models[name]):
            says = "answers in batches, and a judge goes step by step; name a model without `batch`"
            problems.append((("judge", key), says, name))
    if judge.model in models and models[judge.model].engine != "openai":
        says = "cannot judge: it writes no text here; name an openai model (llama.cpp's server is one)"
        problems.append((("judge", "model"), says, judge.model))
    if JUDGE in models:
        says = f"is not possible where a model is named {JUDGE}, as the verdicts are; rename the model"
        problems.append((("judge",), says, None))
    return problems


def _batched(model: Model) -> bool:
    return model.engine == "openai" and model.batching is not None
