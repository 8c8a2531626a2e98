"""What a plan estimates where its pilot measured nothing: tokens of calls, and the pipeline's own time."""

from __future__ import annotations

import json
import time
from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING

import apache_beam as beam

from pipelines.runner import is_local, run_pipeline
from router.forecast import Answered
from router.job import OpenAIModel
from router.llm_prompt import answer_schema, estimated_answer, messages
from router.prices import cost, hosted_price
from router.records import text_bytes
from router.rules import wanted
from router.spending import worst_cost
from transforms.llm_wire import estimated_tokens
from transforms.retriever import Retriever
from transforms.route_records import BATCH, load_router

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.annotate import Plan
    from router.records import Work

_PIPELINE_SECONDS = 0.0006
"""What reading, deciding, writing and the journal take for a record beside router and models (measured)."""
_TIMED = 4 * BATCH
_SHOWN = Decimal("0.0001")


def estimated_calls(plan: Plan, name: str, works: Sequence[Work]) -> Answered:
    """What calls about the records would cost, from the length of what is sent; their time is not known.

    A local model costs its time, of which the length says nothing: it is left out, as 0.
    """
    model = plan.job.models[name]
    sizes = tuple(text_bytes(work.record) for work in works)
    if not isinstance(model, OpenAIModel):
        return Answered((0.0,) * len(works), (0.0,) * len(works), sizes, 0)
    price, usd, retriever = hosted_price(model), [], _retriever(plan, name)
    for work in works:
        task = plan.task(work.record.task)
        found = retriever.fitting(task, work.record, model.context)
        chat = sum(len(message["content"]) for message in messages(task, work.record.text, found))
        made = estimated_tokens(estimated_answer(task))
        sent = estimated_tokens(chat + len(json.dumps(answer_schema(task))))
        usd.append(float(cost(price, sent, 0, made)))
    return Answered(tuple(usd), (0.0,) * len(works), sizes, 0)


def usual_small(plan: Plan) -> str:
    """The small model that answers where no rule says otherwise, else any that the rules use."""
    default, small = plan.job.routing.default, plan.small_models
    return default if default in small or not small else small[0]


def most_cost(plan: Plan, name: str, works: Sequence[Work]) -> Decimal | None:
    """The most that a hosted model can cost for the records; None for a local one."""
    model = plan.job.models[name]
    if not isinstance(model, OpenAIModel):
        return None
    price, retriever, most = hosted_price(model), _retriever(plan, name), Decimal(0)
    for work in works:
        task = plan.task(work.record.task)
        found = retriever.fitting(task, work.record, model.context)
        most += worst_cost(task, work.record.text, price, model.max_output_tokens, found)
    return most.quantize(_SHOWN, rounding=ROUND_UP)


def _retriever(plan: Plan, name: str) -> Retriever:
    """What finds that which a model is shown."""
    return Retriever(plan.opening.references.by_model.get(name, {}))


def time_to_begin(options: PipelineOptions) -> float:
    """Seconds that a pipeline takes that does nothing; 0 on other runners than the local one."""
    if not is_local(options):
        return 0.0
    started = time.perf_counter()
    run_pipeline(lambda pipeline: pipeline | "Nothing" >> beam.Create([None]) | beam.Reshuffle(), options)
    return time.perf_counter() - started


def record_seconds(plan: Plan, works: Sequence[Work]) -> float:
    """What a worker needs for a record beside the models: the router is timed, the rest is known."""
    records = [work.record for work in works[:_TIMED]]
    need = wanted(plan.job)
    if not records:
        return _PIPELINE_SECONDS
    router = load_router(plan.reader.router)
    router.find(records[:BATCH], need)
    started = time.perf_counter()
    for begin in range(0, len(records), BATCH):
        router.find(records[begin : begin + BATCH], need)
    return _PIPELINE_SECONDS + (time.perf_counter() - started) / len(records)
