"""How long a pipeline waited for batches of concurrent calls, from the metrics that RunInference keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apache_beam.metrics.metric import MetricsFilter

from transforms.llm_handler import OpenAICompatibleModelHandler

if TYPE_CHECKING:
    from apache_beam.runners.runner import PipelineResult

    from transforms.ask_in_batches import Asked

_COLD = 3.0
_FEWEST = 3
_MICRO = 1e-6


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """Sums over the batches of one model."""

    seconds: float
    slowest: float
    batches: int
    records: int

    def by_record(self, concurrency: int) -> float:
        """Worker time of a record, without a first batch of a server that was cold.

        A batch counts as such if it is the slowest and took over three times as long as the others did.
        """
        rest, others = self.seconds - self.slowest, self.batches - 1
        if self.batches >= _FEWEST and self.slowest > _COLD * rest / others:
            return rest / max(1, self.records - concurrency)
        return self.seconds / self.records


def batch_times(result: PipelineResult, asked: Asked) -> BatchTimes | None:
    """The times of a model's batches in a pipeline; None where it is not asked so, or asked nothing."""
    if not isinstance(asked, OpenAICompatibleModelHandler):
        return None
    space = MetricsFilter().with_namespace(asked.get_metrics_namespace())
    found = result.metrics().query(space)
    records = sum(one.result for one in found["counters"] if one.key.metric.name == "num_inferences")
    name = "inference_batch_latency_micro_secs"
    times = [one.result for one in found["distributions"] if one.key.metric.name == name]
    if not records or not times:
        return None
    total = sum(one.sum for one in times) * _MICRO
    slowest = max(one.max for one in times) * _MICRO
    return BatchTimes(total, slowest, sum(one.count for one in times), records)
