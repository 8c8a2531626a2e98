"""RunInference on an OpenAI-compatible endpoint: the records of a batch are asked about at once."""

from __future__ import annotations

import dataclasses
from decimal import ROUND_HALF_UP, Decimal
from itertools import compress
from typing import TYPE_CHECKING, Any

from apache_beam.metrics.metric import Metrics
from apache_beam.ml.inference.base import RemoteModelHandler

from router.records import Answer, Failure, Usage, Work
from router.spending import Spending, worst_cost
from transforms.llm_client import LlmClient, LlmReply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from router.job import OpenAIModel, Task
    from router.prices import TokenPrice

_MICRO = Decimal(1_000_000)


@dataclasses.dataclass(frozen=True)
class LlmSession:
    """A worker's client, and the money it may still spend."""

    client: LlmClient
    spending: Spending


class OpenAICompatibleModelHandler(RemoteModelHandler[Work, Work, LlmSession]):
    """Appends an LLM's answer to each `Work`: labels, or the reason why there are none."""

    def __init__(
        self,
        model_name: str,
        model: OpenAIModel,
        price: TokenPrice,
        tasks: Mapping[str, Task],
        max_usd: Decimal | None = None,
    ) -> None:
        """Take plain data only; the client is made in the worker, where the key is.

        Args:
            model_name: The model's name in the job file, which the answers and metrics carry.
            model: Endpoint, limits and the name of the key's variable.
            price: What its tokens cost.
            tasks: The tasks by name; each record's must be among them.
            max_usd: What each worker process may spend; None for no limit.

        """
        # The base class would repeat whole batches, paid answers included; the client retries single calls.
        super().__init__(namespace=f"tekizai.{model_name}", num_retries=0, retry_filter=_never)
        self._model_name = model_name
        self._model = model
        self._price = price
        self._tasks = dict(tasks)
        self._max_usd = max_usd

    def create_client(self) -> LlmSession:
        """Open the client. Raises `LlmStop` where the worker's environment lacks the key."""
        return LlmSession(LlmClient(self._model, self._price), Spending(self._max_usd))

    def request(
        self, batch: Sequence[Work], model: LlmSession, inference_args: Mapping[str, Any] | None = None
    ) -> list[Work]:
        """Ask about each record once; return as many as came, in their order.

        Raises:
            LlmStop: The endpoint refuses the key, or knows neither the model nor the URL.
            ValueError: There are inference_args: nothing here would heed them.

        """
        self.validate_inference_args(inference_args)
        worst = [self._worst(work) for work in batch]
        asked = [model.spending.reserve(amount) for amount in worst]
        questions = [(self._tasks[work.record.task], work.record.text) for work in compress(batch, asked)]
        replies = iter(model.client.label_all(questions))
        answers = [
            self._settle(next(replies), amount, model) if ask else self._over_budget(amount)
            for ask, amount in zip(asked, worst, strict=True)
        ]
        return [
            dataclasses.replace(work, ask=None, answers=(*work.answers, answer))
            for work, answer in zip(batch, answers, strict=True)
        ]

    def _worst(self, work: Work) -> Decimal:
        task = self._tasks[work.record.task]
        return worst_cost(task, work.record.text, self._price, self._model.max_output_tokens)

    def _settle(self, reply: LlmReply, worst: Decimal, session: LlmSession) -> Answer:
        session.spending.settle(worst, reply.usage.usd)
        # Metrics belong to the thread that Beam called, so they are counted here and not in the pool.
        self._count(reply)
        return self._answer(reply)

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

    def _answer(self, reply: LlmReply) -> Answer:
        return Answer(
            model=self._model_name,
            usage=reply.usage,
            labels=reply.labels,
            failure=reply.failure,
            detail=reply.detail,
            raw=reply.raw,
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
