"""RunInference on an OpenAI-compatible endpoint: the records of a batch are asked about at once."""

from __future__ import annotations

import dataclasses
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from apache_beam.metrics.metric import Metrics
from apache_beam.ml.inference.base import RemoteModelHandler

from router.records import Answer, Failure, Work
from transforms.llm_client import LlmClient, LlmReply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from router.job import OpenAIModel, Task
    from router.prices import TokenPrice

_MICRO = Decimal(1_000_000)


class OpenAICompatibleModelHandler(RemoteModelHandler[Work, Work, LlmClient]):
    """Appends an LLM's answer to each `Work`: labels, or the reason why there are none."""

    def __init__(
        self, model_name: str, model: OpenAIModel, price: TokenPrice, tasks: Mapping[str, Task]
    ) -> None:
        """Take plain data only; the client is made in the worker, where the key is.

        Args:
            model_name: The model's name in the job file, which the answers and metrics carry.
            model: Endpoint, limits and the name of the key's variable.
            price: What its tokens cost.
            tasks: The tasks by name; each record's must be among them.

        """
        # The base class would repeat whole batches, paid answers included; the client retries single calls.
        super().__init__(namespace=f"tekizai.{model_name}", num_retries=0, retry_filter=_never)
        self._model_name = model_name
        self._model = model
        self._price = price
        self._tasks = dict(tasks)

    def create_client(self) -> LlmClient:
        """Open the client. Raises `LlmStop` where the worker's environment lacks the key."""
        return LlmClient(self._model, self._price)

    def request(
        self, batch: Sequence[Work], model: LlmClient, inference_args: Mapping[str, Any] | None = None
    ) -> list[Work]:
        """Ask about each record once; return as many as came, in their order.

        Raises:
            LlmStop: The endpoint refuses the key, or knows neither the model nor the URL.
            ValueError: There are inference_args: nothing here would heed them.

        """
        self.validate_inference_args(inference_args)
        replies = model.label_all([(self._tasks[work.record.task], work.record.text) for work in batch])
        # Metrics belong to the thread that Beam called, so they are counted here and not in the pool.
        for reply in replies:
            self._count(reply)
        return [
            dataclasses.replace(work, answers=(*work.answers, self._answer(reply)))
            for work, reply in zip(batch, replies, strict=True)
        ]

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
