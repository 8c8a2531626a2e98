"""The models that a job opens: their files, prices, keys and journals, found before the pipeline is built."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import fsspec

from pipelines.open_judge import Known, asks_confidence, judge_sharers, open_judge
from pipelines.output_folder import LEDGER
from pipelines.paths_anywhere import model_anywhere
from pipelines.references import References
from router.adapters import AdaptedModel
from router.assets import asset_path
from router.calibration import ChosenPrompt
from router.catalogue import load_catalogue
from router.job import LlamaCppModel, OpenAIModel
from router.journal import hosted_fingerprint, local_fingerprint
from router.names import JUDGE
from router.price_notes import PriceNote, hosted_note, local_note
from router.prices import hosted_price, load_price_table, local_price
from transforms.adapter_files import known_adapter
from transforms.batch_books import LlmBatches
from transforms.cpus import usable_cores
from transforms.journal import JournalOf, JournalPlace, Tier
from transforms.journal_files import can_append
from transforms.journal_scan import paid_calls
from transforms.llm_access import preflight
from transforms.llm_handler import BudgetShare, OpenAICompatibleModelHandler
from transforms.local_scorer import LocalModel
from transforms.model_files import cache_folder, known_digest
from transforms.slm_handler import LlamaCppModelHandler
from transforms.text_encoder import ENCODER, read_card

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.job import Job
    from router.prompt_search import LabelledText
    from transforms.ask_in_batches import Asked
    from transforms.judge_handler import JudgeHandler


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
    budget = _budget(opening, len(hosted) + judge_sharers(job))
    local, digests = _found_files(opening, local)
    opened = _open_hosted(opening, hosted, budget) | _open_local(opening, local, digests)
    found = Models(
        {name: opened[name].handler for name in job.used_models},
        digests,
        {name: opened[name].journal for name in used},
        {name: one.price for name, one in opened.items()},
    )
    if job.routing.judge is None:
        return found
    return _with_judge(found, opening, {name: one.handler for name, one in opened.items()}, budget)


@dataclass(frozen=True)
class _Opened:
    """One model: how to ask it, where its answers are, and what it costs."""

    handler: Asked
    journal: JournalOf
    price: PriceNote


def _found_files(
    opening: Opening, models: Mapping[str, LlamaCppModel]
) -> tuple[dict[str, LlamaCppModel], dict[str, str]]:
    """Local models with their adapters settled, and the SHA-256 of all their files."""
    found = dict(models)
    digests = {
        name: opening.digests.get(name) or known_digest(name, model, local=opening.local)
        for name, model in models.items()
    }
    for name, model in models.items():
        if isinstance(model, AdaptedModel):
            place = model.place
            digests[place] = opening.digests.get(place) or known_adapter(model, local=opening.local)
            found[name] = model.pinned(digests[place])
    return found, digests


def _open_hosted(
    opening: Opening, models: Mapping[str, OpenAIModel], budget: BudgetShare | None
) -> dict[str, _Opened]:
    job, tasks = opening.job, {task.name: task for task in opening.job.tasks}
    opened = {}
    for name, model in models.items():
        preflight(model)
        journal = _journal_of(opening, "llm", name, _hosted_prints(opening, name, model))
        price = hosted_price(model)
        retrieval = opening.references.by_model.get(name, {})
        handler: Asked
        if model.batching is None:
            sure = asks_confidence(job, name)
            handler = OpenAICompatibleModelHandler(
                name, model, price, tasks, budget, journal, retrieval, confidence=sure
            )
        else:
            handler = LlmBatches(name, model, price, tasks, journal, budget, retrieval)
        opened[name] = _Opened(handler, journal, hosted_note(price))
    return opened


def _open_local(
    opening: Opening, models: Mapping[str, LlamaCppModel], digests: Mapping[str, str]
) -> dict[str, _Opened]:
    job, tasks = opening.job, {task.name: task for task in opening.job.tasks}
    table = load_price_table(asset_path("configs/prices.yaml"))
    prints = _local_prints(opening, models, digests)
    opened = {}
    for name, model in models.items():
        threads = model.threads or (max(1, usable_cores() // opening.workers) if opening.local else 1)
        usd = local_price(model, threads, table, job.machine)
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
        journal = _journal_of(opening, "slm", name, prints[name])
        note = local_note(model, threads, usd, table, job.machine)
        opened[name] = _Opened(LlamaCppModelHandler(wanted, tasks, journal), journal, note)
    return opened


def _with_judge(
    models: Models, opening: Opening, handlers: Mapping[str, Asked], budget: BudgetShare | None
) -> Models:
    """The models with the judge, whose verdicts are one more answer."""
    known = Known(
        handlers,
        {name: of.fingerprints for name, of in models.journals.items()},
        opening.references.by_model.get(JUDGE, {}),
        opening.references.by_model,
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
