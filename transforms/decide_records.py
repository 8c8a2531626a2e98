"""The gate in the pipeline: annotated records, dead letters, and what goes on to each large model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue

from router.decide import Policy, decide
from router.records import Annotated, Work
from router.verdict import Readings
from transforms.read_copies import light_outcome
from transforms.read_records import DEAD, SHARED, whole_row

if TYPE_CHECKING:
    import pyarrow as pa


class Decided(NamedTuple):
    """What was decided, as collections."""

    annotated: Any
    """PCollection[Annotated]."""
    dead: Any
    """PCollection[DeadLetter]."""
    shared: Any
    """PCollection[tuple[bytes, Annotated | DeadLetter]]: outcomes that copies wait for, by text key."""
    ask: Mapping[str, Any]
    """PCollection[Work] by the large model that is to answer next."""


class DecideRecords(beam.PTransform[Any, Any]):
    """Apply the policy to each answered record."""

    def __init__(
        self, policy: Policy, large_models: Sequence[str], readings: pvalue.AsDict, schema: pa.Schema | None
    ) -> None:
        """`readings` is the side input that says how scores are read; `schema` is the input's."""
        super().__init__()
        self._policy = policy
        self._schema = schema
        self._large_models = tuple(large_models)
        self._readings = readings

    def expand(self, work: beam.PCollection[Work]) -> Decided:
        """Wire the decision."""
        dofn = _DecideDoFn(self._policy, self._schema)
        tags = {name: f"ask:{name}" for name in self._large_models}
        found = work | "Decide" >> beam.ParDo(dofn, self._readings, tags).with_outputs(
            DEAD, SHARED, *tags.values(), main="annotated"
        )
        ask = {name: found[tag] for name, tag in tags.items()}
        return Decided(found["annotated"], found[DEAD], found[SHARED], ask)


class _DecideDoFn(beam.DoFn):
    def __init__(self, policy: Policy, schema: pa.Schema | None) -> None:
        self._policy = policy
        self._schema = schema

    def process(
        self, work: Work, readings: Readings, tags: Mapping[str, str]
    ) -> Iterator[Annotated | pvalue.TaggedOutput[Any, Any]]:
        outcome = decide(work, self._policy, readings)
        if isinstance(outcome, Work):
            # A model that was asked and did not answer is no key here: a bug must not lose a record.
            yield pvalue.TaggedOutput(tags[outcome.ask or ""], outcome)
            return
        if work.shared_key is not None:
            yield pvalue.TaggedOutput(SHARED, (work.shared_key, light_outcome(outcome)))
        if isinstance(outcome, Annotated):
            yield outcome
        else:
            shown = whole_row(work.record.payload, self._schema)
            yield pvalue.TaggedOutput(DEAD, dataclasses.replace(outcome, record=shown))
