"""The calibration sample in the pipeline: what each local model says of it, and the bias that shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import apache_beam as beam

from router.bias import LabelBias, estimate_bias
from router.identity import text_key
from router.records import Answer, Work
from transforms.ask_in_batches import Asked, asking
from transforms.progress import CountProgress

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class PilotOutput(NamedTuple):
    """What the sample gave, as collections that later stages take as side inputs."""

    biases: Any
    """PCollection[tuple[tuple[str, str], LabelBias]]: by (model, task)."""
    answers: Any
    """PCollection[tuple[bytes, tuple[Answer, ...]]]: by text key; they are not asked for again."""


class AskPilot(beam.PTransform[Any, Any]):
    """Ask the models about the sample drawn for them."""

    def __init__(self, handlers: Mapping[str, Asked], models: Sequence[str], state: str) -> None:
        """`models` are the local ones, in the order in which they are asked; progress is noted in `state`."""
        super().__init__()
        self._state = state
        self._handlers = handlers
        self._models = tuple(models)

    def expand(self, sample: beam.PCollection[Work]) -> PilotOutput:
        """Wire the sample through every model; each answers only what was drawn for it."""
        work = (
            sample
            | "CountToAsk" >> beam.ParDo(CountProgress(self._state, "to_ask"))
            | "Spread" >> beam.Reshuffle()
            | "AskRouted" >> beam.Map(_ask_routed)
        )
        for name in self._models:
            work = work | f"Ask {name}" >> asking(self._handlers[name])
        work = work | "CountAsked" >> beam.ParDo(CountProgress(self._state, "asked"))
        biases = (
            work
            | "Predictions" >> beam.FlatMap(_prediction)
            | "ByModelAndTask" >> beam.GroupByKey()
            | "EstimateBias" >> beam.MapTuple(_bias)
        )
        answers = (
            work
            | "Answers" >> beam.FlatMap(_keyed_answers)
            | "ByText" >> beam.GroupByKey()
            | "InOrder" >> beam.MapTuple(_in_order)
        )
        return PilotOutput(biases, answers)


def _ask_routed(work: Work) -> Work:
    return dataclasses.replace(work, ask=work.route.model)


def _prediction(work: Work) -> Iterator[tuple[tuple[str, str], npt.NDArray[np.float64]]]:
    for answer in work.answers:
        if answer.scores is not None:
            yield (answer.model, work.record.task), answer.scores.probabilities


def _bias(
    key: tuple[str, str], predictions: Iterable[npt.NDArray[np.float64]]
) -> tuple[tuple[str, str], LabelBias]:
    # Sums of floats depend on their order, and a runner promises none.
    ordered = sorted(predictions, key=tuple)
    return key, estimate_bias(*key, ordered)


def _keyed_answers(work: Work) -> Iterator[tuple[bytes, Answer]]:
    for answer in work.answers:
        if answer.failure is None:
            yield text_key(work.record.text, work.record.task), answer


def _in_order(key: bytes, answers: Iterable[Answer]) -> tuple[bytes, tuple[Answer, ...]]:
    return key, tuple(sorted(answers, key=lambda answer: answer.model))
