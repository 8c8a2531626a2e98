"""Asking a hosted model by the provider's batches, in the place of RunInference: works in, works out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference

from router.records import Work
from transforms.batch_books import LlmBatches
from transforms.batch_session import BatchSession

Asked = ModelHandler[Work, Work, Any] | LlmBatches
"""How a model is asked: one record after the other, or many at once."""


def asking(asked: Asked) -> beam.PTransform[Any, Any]:
    """The transform that appends a model's answer to each work."""
    return AskInBatches(asked) if isinstance(asked, LlmBatches) else RunInference(asked)


class AskInBatches(beam.PTransform[Any, Any]):
    """Gather all works that wait for a model, ask about them together, and append its answers.

    One worker gathers them, whatever the runner: so the files, and which records a budget suffices for, are
    the same everywhere, and an open batch of an earlier run is one worker's to take up.
    """

    def __init__(self, asked: LlmBatches) -> None:
        """`asked` is plain data; client and books are opened in the worker."""
        super().__init__()
        self._asked = asked

    def expand(self, works: beam.PCollection[Work]) -> beam.PCollection[Work]:
        """Wire the gathering."""
        answered: beam.PCollection[Work] = (
            works
            | "Together" >> beam.Map(_together)
            | "Gather" >> beam.GroupByKey()
            | "AskBatches" >> beam.ParDo(_AskFn(self._asked))
        )
        return answered


def _together(work: Work) -> tuple[int, Work]:
    return 0, work


class _AskFn(beam.DoFn):
    def __init__(self, asked: LlmBatches) -> None:
        self._asked = asked

    def process(self, gathered: tuple[int, Iterable[Work]]) -> Iterator[Work]:
        with contextlib.closing(BatchSession(self._asked)) as session:
            answered = session.answer(gathered[1])
        for name, count in session.counts.items():
            Metrics.counter(f"tekizai.{self._asked.name}", name).inc(count)
        yield from answered
