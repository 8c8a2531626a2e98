"""RunInference on an OpenAI-compatible endpoint: the records of a batch are asked about at once."""

from __future__ import annotations

import dataclasses
import time
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from apache_beam.metrics.metric import Metrics
from apache_beam.ml.inference.base import RemoteModelHandler

from router.identity import text_key
from router.journal import call_name
from router.records import Answer, Failure, Usage, Work
from router.spending import Spending, worst_cost
from transforms.budget_ledger import BudgetLedger
from transforms.journal import Journal, JournalOf
from transforms.llm_client import LlmClient, LlmReply
from transforms.llm_reading import told_answer, with_language
from transforms.one_at_a_time import OneAtATime
from transforms.retriever import Retriever

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from router.job import OpenAIModel, Task
    from router.prices import TokenPrice
    from router.records import Shown
    from router.retrieval import Retrieval

_MICRO = Decimal(1_000_000)


@dataclasses.dataclass(frozen=True)
class BudgetShare:
    """What a worker process may spend: a `limit` of its own, or what a `ledger` shared with others allows."""

    limit: Decimal
    ledger: str | None = None
    """Path of a `BudgetLedger`."""


@dataclasses.dataclass(frozen=True)
class LlmSession:
    """A worker's client, the money it may still spend, and the answers given before."""

    client: LlmClient
    spending: Spending | BudgetLedger
    journal: Journal | None
    asking: OneAtATime = dataclasses.field(default_factory=OneAtATime)
    """The questions under way, by task and text."""
    retriever: Retriever = dataclasses.field(default_factory=lambda: Retriever({}))


class OpenAICompatibleModelHandler(RemoteModelHandler[Work, Work, LlmSession]):
    """Appends an LLM's answer to each `Work`: labels, or the reason why there are none."""

    def __init__(  # noqa: PLR0913, PLR0917 - the model and what surrounds it
        self,
        model_name: str,
        model: OpenAIModel,
        price: TokenPrice,
        tasks: Mapping[str, Task],
        budget: BudgetShare | None = None,
        journal: JournalOf | None = None,
        retrieval: Mapping[str, Retrieval] | None = None,
        *,
        confidence: bool = False,
    ) -> None:
        """Take plain data only; the client is made in the worker, where the key is.

        Args:
            model_name: The model's name in the job file, which the answers and metrics carry.
            model: Endpoint, limits and the name of the key's variable.
            price: What its tokens cost.
            tasks: The tasks by name; each record's must be among them.
            budget: What the worker process may spend; None for no limit.
            journal: Where answers are kept and found again; None to keep none.
            retrieval: What is found for each record and shown with it, by task.
            confidence: Whether to ask how sure the model is, where its endpoint can tell.

        """
        # The base class would repeat whole batches, paid answers included; the client retries single calls.
        super().__init__(namespace=f"tekizai.{model_name}", num_retries=0, retry_filter=_never)
        self._model_name = model_name
        self._model = model
        self._price = price
        self._tasks = dict(tasks)
        self._budget = budget
        self._journal = journal
        self._retrieval = dict(retrieval or {})
        self._confidence = confidence

    def create_client(self) -> LlmSession:
        """Open the client. Raises `LlmStop` where the worker's environment lacks the key."""
        client = LlmClient(self._model, self._price, confidence=self._confidence)
        spending: Spending | BudgetLedger = Spending(self._budget.limit if self._budget else None)
        if self._budget is not None and self._budget.ledger is not None:
            spending = BudgetLedger(self._budget.ledger)
        journal = None if self._journal is None else Journal(self._journal)
        return LlmSession(client, spending, journal, retriever=Retriever(self._retrieval))

    def request(
        self, batch: Sequence[Work], model: LlmSession, inference_args: Mapping[str, Any] | None = None
    ) -> list[Work]:
        """Ask about each record once; return as many as came, in their order.

        Raises:
            LlmStop: The endpoint refuses the key, knows neither the model nor the URL, or is dead and the job
                file says `when_dead: stop`.
            JournalError: An answer could not be kept.
            ValueError: There are inference_args: nothing here would heed them.

        """
        self.validate_inference_args(inference_args)
        answered = model.client.calls.each(lambda work: self._answer(work, model), batch)
        # Metrics belong to the thread that Beam called, so they are counted here and not in the pool.
        for _, reply in answered:
            if reply is not None:
                self._count(reply)
        return [
            dataclasses.replace(work, ask=None, answers=(*work.answers, answer))
            for work, (answer, _) in zip(batch, answered, strict=True)
        ]

    def _answer(self, work: Work, session: LlmSession) -> tuple[Answer, LlmReply | None]:
        """The answer from the journal, or from a call that the budget allows; with the call's reply."""
        key = text_key(work.record.text, work.record.task)
        if session.journal is None:
            return self._told_or_asked(work, key, session)
        # A runner may have given up on a bundle that goes on in this process, and repeat it here meanwhile:
        # whoever comes second finds the first one's answer in the journal.
        with session.asking.holding((work.record.task, key)):
            return self._told_or_asked(work, key, session)

    def _told_or_asked(self, work: Work, key: bytes, session: LlmSession) -> tuple[Answer, LlmReply | None]:
        task = work.record.task
        known = None if session.journal is None else session.journal.find(task, key)
        if known is not None:
            return with_language(known, work.record.text), None
        asked, text, bound = self._tasks[task], work.record.text, self._model.max_output_tokens
        found = session.retriever.fitting(asked, work.record, self._model.context)
        worst = worst_cost(asked, text, self._price, bound, found)
        call = self._call(task, key)
        if not session.spending.reserve(call, worst):
            return self._kept(session, task, key, self._over_budget(worst)), None
        spent = Decimal(0)
        try:
            reply = session.client.label(asked, text, found)
            spent = reply.usage.usd
            shown = found.shown if session.retriever.retrieves(task) else None
            # Kept before anything else can fail, and settled after: a crash between the two costs nothing.
            answer = told_answer(self._tasks[task], text, self._told(reply, shown))
            return self._kept(session, task, key, answer), reply
        finally:
            session.spending.settle(call, spent)

    def _call(self, task: str, key: bytes) -> bytes:
        """The name of a call in the budget's ledger."""
        return call_name("" if self._journal is None else self._journal.fingerprints[task], key)

    @staticmethod
    def _kept(session: LlmSession, task: str, key: bytes, answer: Answer) -> Answer:
        return answer if session.journal is None else session.journal.keep(task, key, answer)

    def _over_budget(self, worst: Decimal) -> Answer:
        detail = f"a call may cost up to ${worst:f}, which is more than is left of budget.max_usd"
        return Answer(self._model_name, Usage(), failure=Failure.OVER_BUDGET, detail=detail)

    def validate_inference_args(self, inference_args: Mapping[str, Any] | None) -> None:
        """Refuse inference_args: everything that shapes a call is in the job file."""
        if inference_args:
            given = sorted(inference_args)
            raise ValueError(f"{type(self).__name__} takes no inference_args, got {given}: use the job file")

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Batch as many records as are asked about at once."""
        return {"min_batch_size": self._model.concurrency, "max_batch_size": self._model.concurrency}

    def get_metrics_namespace(self) -> str:
        """Namespace of this model's metrics."""
        return f"tekizai.{self._model_name}"

    def get_num_bytes(self, batch: Sequence[Work]) -> int:
        """Bytes of text in a batch; the default would pickle all of it to find out."""
        return sum(len(work.record.text.encode("utf-8", "replace")) for work in batch)

    def _told(self, reply: LlmReply, shown: Shown | None) -> Answer:
        return Answer(
            model=self._model_name,
            usage=reply.usage.there(time.time()),
            labels=reply.labels,
            failure=reply.failure,
            detail=reply.detail,
            raw=reply.raw,
            shown=shown,
            confidence=reply.confidence,
        )

    def _count(self, reply: LlmReply) -> None:
        namespace = self.get_metrics_namespace()
        # Metrics truncate fractions silently, hence whole micro-dollars and milliseconds.
        micro_usd = int((reply.usage.usd * _MICRO).to_integral_value(ROUND_HALF_UP))
        Metrics.counter(namespace, "llm_requests").inc(reply.requests)
        Metrics.counter(namespace, "llm_retries").inc(reply.retries)
        Metrics.counter(namespace, "llm_unusable").inc(int(reply.failure is Failure.UNUSABLE))
        Metrics.counter(namespace, "llm_cost_micro_usd").inc(micro_usd)
        Metrics.distribution(namespace, "llm_latency_milliseconds").update(round(reply.usage.seconds * 1000))


def _never(error: Exception) -> bool:  # noqa: ARG001 - the base class passes it
    return False
