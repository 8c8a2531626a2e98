"""RunInference on a quantised local model: one or a few records at once, one copy of the model a process."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler
from apache_beam.utils.shared import Shared

from router.assets import asset_path
from router.generated import Generated
from router.identity import text_key
from router.job_generation import GENERATE
from router.prices import local_cost
from router.records import Answer, Failure, Record, Usage, Work, as_kept, text_bytes
from transforms.journal import Journal, JournalOf
from transforms.label_scorer import PromptTooLongError
from transforms.llama_context import EngineError
from transforms.local_scorer import LocalModel, LocalScorer
from transforms.retriever import Retriever
from transforms.text_encoder import ENCODER, TextEncoder, shared_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from router.job import Task
    from router.records import LabelScores, Shown
    from router.retrieval import Found

    _Said = (
        tuple[LabelScores, Usage]
        | tuple[LabelScores, Usage, Shown]
        | tuple[Generated, Usage, Shown | None]
        | EngineError
        | PromptTooLongError
    )


_BUNDLES = 4
"""Bundles in a batch: among four times as many records are some of about the same length."""
_UNPACKED = 16
"""Records in a batch of a model that is not packed: a batch of one costs as much of Beam's time as this."""


class LocalSession:
    """A model that is loaded when the first record needs it, and the answers given before."""

    def __init__(
        self,
        load: Callable[[], LocalScorer],
        journal: JournalOf | None,
        encoder: TextEncoder | None = None,
        retriever: Retriever | None = None,
    ) -> None:
        """`load` makes the scorer; `encoder` reads each text too; `retriever` finds what is shown with it."""
        self._load = load
        self.retriever = Retriever({}) if retriever is None else retriever
        self._encoder = encoder
        self._lock = threading.Lock()
        self._scorer: LocalScorer | None = None
        self.journal = None if journal is None else Journal(journal)

    @property
    def scorer(self) -> LocalScorer:
        """The loaded model. Raises `ModelFileError` where it cannot be loaded."""
        with self._lock:
            if self._scorer is None:
                self._scorer = self._load()
            return self._scorer

    def score_many(self, task: str, texts: Sequence[str]) -> list[tuple[LabelScores, Usage] | EngineError]:
        """What the model says of each text, or why it failed, with the texts' vectors for an encoder."""
        if len(texts) == 1:
            try:
                found: list[tuple[LabelScores, Usage] | EngineError] = [self.scorer.score(task, texts[0])]
            except EngineError as error:
                return [error]
        else:
            found = self.scorer.score_many(task, texts)
        return [
            one if isinstance(one, EngineError) else self._with_vector(text, *one)
            for text, one in zip(texts, found, strict=True)
        ]

    def generate(self, record: Record) -> tuple[Generated, Usage, Shown | None] | EngineError:
        """What the model writes about a record with what is found for it, and the ids of what was shown.

        These are None where its task has no retrieval.
        """
        found, search = self._find(record)
        try:
            said, usage, shown = self.scorer.generate(record.task, record.text, found)
        except EngineError as error:
            return error
        return said, usage + search, shown.shown if self.retriever.retrieves(record.task) else None

    def _find(self, record: Record) -> tuple[Found, Usage]:
        started = time.perf_counter()
        found = self.retriever.find(record)
        return found, Usage(seconds=time.perf_counter() - started)

    def score_found(self, record: Record) -> tuple[LabelScores, Usage, Shown] | EngineError:
        """What the model says of a record with what is found for it, and the ids of what was shown."""
        found, search = self._find(record)
        try:
            scores, usage, shown = self.scorer.score_with(record.task, record.text, found)
        except EngineError as error:
            return error
        return *self._with_vector(record.text, scores, usage + search), shown.shown

    def _with_vector(self, text: str, scores: LabelScores, usage: Usage) -> tuple[LabelScores, Usage]:
        if self._encoder is None:
            return scores, usage
        started = time.perf_counter()
        scores = dataclasses.replace(scores, embedding=as_kept(self._encoder.encode(text)))
        return scores, usage + Usage(seconds=time.perf_counter() - started)


class LlamaCppModelHandler(ModelHandler[Work, Work, LocalSession]):
    """Appends a local model's answer to each `Work` that is to ask this model; others pass through.

    Passing through keeps the pipeline one fused chain: a partition and a flatten would make the local runner
    hold every record in memory between them.
    """

    def __init__(
        self, local: LocalModel, tasks: Mapping[str, Task], journal: JournalOf | None = None
    ) -> None:
        """Take plain data only; the model is loaded in the worker. Without a journal no answer is kept."""
        self._local = local
        self._tasks = dict(tasks)
        self._journal = journal
        # The same handler serves the calibration sample and the main pass: one copy a process for both.
        self._shared = Shared()
        self._pack = local.pack

    @property
    def local(self) -> LocalModel:
        """The model as the job wants it."""
        return self._local

    def load_model(self) -> LocalSession:
        """The session of this process; the weights are loaded when a record needs them."""

        def open_session() -> LocalSession:
            encoder = self.load_encoder() if self._local.embedding else None
            return LocalSession(self.load_scorer, self._journal, encoder, Retriever(self._local.retrieval))

        session: LocalSession = self._shared.acquire(open_session)
        return session

    def load_scorer(self) -> LocalScorer:
        """Load the model."""
        return LocalScorer(self._local, self._tasks)

    def load_encoder(self) -> TextEncoder:
        """The sentence encoder, where a head looks at its vectors."""
        return shared_encoder(asset_path(ENCODER))

    def run_inference(
        self, batch: Sequence[Work], model: LocalSession, inference_args: Mapping[str, Any] | None = None
    ) -> Iterable[Work]:
        """Answer the records; one that the engine fails on costs that record only."""
        if inference_args:
            raise ValueError(f"LlamaCppModelHandler takes no inference_args, got {sorted(inference_args)}")
        namespace = self.get_metrics_namespace()
        records = Metrics.counter(namespace, "slm_records")
        evaluated = Metrics.counter(namespace, "slm_evaluated_tokens")
        latency = Metrics.distribution(namespace, "slm_latency_milliseconds")
        answers = iter(self._answers([work for work in batch if work.ask == self._local.name], model))
        for work in batch:
            if work.ask != self._local.name:
                yield work
                continue
            answer = next(answers)
            records.inc()
            evaluated.inc(answer.usage.input_tokens - answer.usage.cached_tokens)
            latency.update(round(answer.usage.seconds * 1000))
            yield dataclasses.replace(work, ask=None, answers=(*work.answers, answer))

    def _answers(self, works: Sequence[Work], session: LocalSession) -> list[Answer]:
        """An answer for each work: the journal's, or the model's, which the journal then has."""
        keys = [(work.record.task, text_key(work.record.text, work.record.task)) for work in works]
        answers = dict[tuple[str, bytes], Answer]()
        asked = dict[str, dict[tuple[str, bytes], Record]]()
        for work, key in zip(works, keys, strict=True):
            known = None if session.journal is None else session.journal.find(*key)
            if known is not None:
                answers[key] = known
            else:
                asked.setdefault(work.record.task, {})[key] = work.record
        for task, texts in asked.items():
            # What is written takes long, so each answer is journaled as it is given.
            size = 1 if self._pack == 1 or self._generates(task) else len(texts)
            for group in (list(texts)[begin : begin + size] for begin in range(0, len(texts), size)):
                scored = self._score(task, [texts[key] for key in group], session)
                for key, found in zip(group, scored, strict=True):
                    answer = self._answer(found)
                    if session.journal is not None and answer.failure is None:
                        answer = session.journal.keep(*key, answer)
                    answers[key] = answer
        return [answers[key] for key in keys]

    def _generates(self, task: str) -> bool:
        return self._tasks[task].kind == GENERATE

    def _score(self, task: str, records: Sequence[Record], session: LocalSession) -> Sequence[_Said]:
        try:
            if self._generates(task):
                return [session.generate(record) for record in records]
            if session.retriever.retrieves(task):
                # What is found makes the runs too long to gain from being evaluated together.
                return [session.score_found(record) for record in records]
            return session.score_many(task, [record.text for record in records])
        except PromptTooLongError as error:
            if not self._local.trial:
                raise
            return [error] * len(records)

    def _answer(self, found: _Said) -> Answer:
        if isinstance(found, Exception):
            return Answer(self._local.name, Usage(), failure=Failure.ERROR, detail=str(found))
        said, usage, *shown = found
        usd = local_cost(usage.seconds, self._local.usd_per_hour)
        usage = dataclasses.replace(usage, usd=usd).there(time.time())
        shown_ids = shown[0] if shown else None
        if isinstance(said, Generated):
            return Answer(self._local.name, usage, generated=said, shown=shown_ids)
        return Answer(self._local.name, usage, scores=said, shown=shown_ids)

    def get_metrics_namespace(self) -> str:
        """Namespace of this model's metrics."""
        return f"tekizai.{self._local.name}"

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Some records that share what Beam does for a batch, or bundles of records to be packed by length.

        A model that is not packed evaluates them one by one. The size is fixed: Beam's own search for one
        tries sizes, and would make a restart evaluate other records together.
        """
        size = _UNPACKED if self._pack == 1 else self._pack * _BUNDLES
        return {"min_batch_size": size, "max_batch_size": size}

    def get_num_bytes(self, batch: Sequence[Work]) -> int:
        """Bytes of text in a batch."""
        return sum(text_bytes(work.record) for work in batch)
