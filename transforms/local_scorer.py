"""A local model as the job wants it, loaded, with what answers each task: label scores or written text."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from router.adapters import AdaptedModel
from router.answer_prompt import build_answer_prompt
from router.assets import asset_path
from router.calibration import asked_task
from router.catalogue import choose_form, load_catalogue, records_together
from router.job_generation import GENERATE
from router.prompts import LabelPrompt, build_prompt
from transforms.adapter_files import check_adapter, fetch_adapter
from transforms.label_scorer import LabelScorer, ScorerConfig
from transforms.llama_adapter import LlamaModel, ModelFileError
from transforms.llama_context import EngineError
from transforms.lora_model import LoraModel, shared_model
from transforms.model_files import fetch_model
from transforms.text_generator import TextGenerator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from router.calibration import ChosenPrompt
    from router.catalogue import CatalogueEntry
    from router.generated import Generated
    from router.job import LlamaCppModel, Task
    from router.records import LabelScores, Usage
    from router.retrieval import Found, Retrieval


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A local model as the job wants it: its name, its file, threads and the price of an hour."""

    name: str
    model: LlamaCppModel
    threads: int
    usd_per_hour: Decimal
    prompts: Mapping[str, ChosenPrompt] = field(default_factory=dict)
    """How it is asked about the tasks for which that was searched for."""
    embedding: bool = False
    """Whether the sentence encoder reads each text too, for a learned head."""
    trial: bool = False
    """Whether a prompt that does not fit the context is a failure to answer, and not the job's."""
    digest: str | None = None
    """SHA-256 that the file must have in a worker elsewhere, because answers are journaled under it."""
    retrieval: Mapping[str, Retrieval] = field(default_factory=dict)
    """What is found for each record and shown with it, by task."""

    @property
    def pack(self) -> int:
        """The most records that are evaluated together."""
        return records_together(_entry(self), self.model)


class LocalScorer:
    """The loaded model with a label scorer per task, made when the task first appears."""

    def __init__(self, local: LocalModel, tasks: Mapping[str, Task]) -> None:
        """Load the weights. Raises `ModelFileError` where the file is missing or not a model."""
        self._local = local
        self._tasks = tasks
        self._model = load_local(local)
        self._scorers: dict[str, LabelScorer] = {}
        self._generators: dict[str, TextGenerator] = {}
        # A context evaluates one batch at a time, and a runner may call from several threads.
        self._lock = threading.Lock()

    def score(self, task: str, text: str) -> tuple[LabelScores, Usage]:
        """Label probabilities of a text; see `LabelScorer.score`.

        `EngineError` is about this text. What would go wrong with every text of the task is a `ValueError`.
        """
        with self._lock:
            return self._scorer(task).score(text)

    def score_many(self, task: str, texts: Sequence[str]) -> list[tuple[LabelScores, Usage] | EngineError]:
        """What `score` gives for each text, or its `EngineError`; see `LabelScorer.score_many`."""
        with self._lock:
            return self._scorer(task).score_many(texts)

    def generate(self, task: str, text: str, found: Found) -> tuple[Generated, Usage, Found]:
        """The answer to a text under a generate task, and what of what was found for it had room.

        See `TextGenerator.generate`. Errors as of `score`.
        """
        with self._lock:
            if task not in self._generators:
                try:
                    self._generators[task] = self.open_generator(task)
                except EngineError as error:
                    raise ModelFileError(f"models.{self._local.name}: {error}") from error
            generator = self._generators[task]
            shown = generator.fit(text, found)
            return *generator.generate(text, shown), shown

    def score_with(self, task: str, text: str, found: Found) -> tuple[LabelScores, Usage, Found]:
        """What `score` gives with what was found for a record, and what of that had room."""
        with self._lock:
            scorer = self._scorer(task)
            shown = scorer.fit(text, found)
            return *scorer.score(text, shown), shown

    def _scorer(self, task: str) -> LabelScorer:
        if task not in self._scorers:
            try:
                self._scorers[task] = self.open_scorer(task)
            except EngineError as error:
                raise ModelFileError(f"models.{self._local.name}: {error}") from error
        return self._scorers[task]

    def open_scorer(self, task: str) -> LabelScorer:
        """A scorer for a task in the form the catalogue or the job file says."""
        wanted, prompt, tree = prompt_of(self._model, self._local, self._tasks[task])
        tokens = self._retrieved_tokens(task)
        config = ScorerConfig(self._local.threads, self._local.model.context, tree, self._local.pack, tokens)
        return LabelScorer(self._model, wanted, prompt, config)

    def open_generator(self, task: str) -> TextGenerator:
        """A generator for a task in the form the catalogue or the job file says."""
        wanted, prompt, _ = prompt_of(self._model, self._local, self._tasks[task])
        tokens = self._retrieved_tokens(task)
        config = ScorerConfig(self._local.threads, self._local.model.context, retrieved_tokens=tokens)
        return TextGenerator(self._model, wanted, prompt, config)

    def _retrieved_tokens(self, task: str) -> int:
        retrieval = self._local.retrieval.get(task)
        if retrieval is None:
            return 0
        sets = ((retrieval.examples, _EXAMPLE_TOKENS), (retrieval.passages, _PASSAGE_TOKENS))
        return sum(one.k * tokens for one, tokens in sets if one is not None)


def load_local(local: LocalModel) -> LlamaModel:
    """A local model with its adapter on it, where it has one. Raises `ModelFileError`.

    Its weights are in memory once for all in this process that have the same file.
    """
    path, model = fetch_model(local.name, local.model, local.digest), local.model
    weights = shared_model(path)
    if not isinstance(model, AdaptedModel):
        return weights
    adapter = fetch_adapter(model)
    if local.digest is not None:
        # The machine that began the job need not have had both files.
        check_adapter(model, adapter, path)
    return LoraModel(weights, adapter, model.adapter.scale)


_EXAMPLE_TOKENS, _PASSAGE_TOKENS = 96, 192
"""About what most of them have at most; where that is too little, the farthest are left out."""


def _entry(local: LocalModel) -> CatalogueEntry:
    return load_catalogue(asset_path("configs/models.yaml")).entry(local.model.source)


def prompt_of(model: LlamaModel, local: LocalModel, task: Task) -> tuple[Task, LabelPrompt, bool]:
    """How a model is asked about a task, and whether its labels are scored to their end."""
    entry = _entry(local)
    template, chosen = model.chat_template, local.prompts.get(task.name)
    wanted = asked_task(task, chosen)
    form = chosen.form if chosen is not None else None
    if form is not None and form.form == "auto":
        form = dataclasses.replace(form, form="chat" if template is not None else "plain")
    retrieval = local.retrieval.get(task.name)
    examples = bool(wanted.shown) or (retrieval is not None and retrieval.examples is not None)
    if form is None:
        form = choose_form(entry, local.model, examples=examples, has_template=template is not None)
    bos, eos, retrieved = model.token_text("bos"), model.token_text("eos"), retrieval is not None
    if task.kind == GENERATE:
        written = build_answer_prompt(
            wanted, form.form, chat_template=template, bos=bos, eos=eos, retrieved=retrieved
        )
        return wanted, written, True
    prompt = build_prompt(wanted, form, chat_template=template, bos=bos, eos=eos, retrieved=retrieved)
    return wanted, prompt, chosen is None or chosen.label_tree
