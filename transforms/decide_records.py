"""The gate in the pipeline: annotated records, dead letters, and what goes on to each large model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue

from router.decide import Policy, decide
from router.records import Annotated, DeadLetter, Work

if TYPE_CHECKING:
    from router.bias import LabelBias


class Decided(NamedTuple):
    """What was decided, as collections."""

    annotated: Any
    """PCollection[Annotated]."""
    dead: Any
    """PCollection[DeadLetter]."""
    ask: Mapping[str, Any]
    """PCollection[Work] by the large model that is to answer next."""

    def outcomes(self) -> dict[str, Any]:
        """The final outcomes by kind."""
        return {"annotated": self.annotated, "dead": self.dead}


class DecideRecords(beam.PTransform):
    """Apply the policy to each answered record."""

    def __init__(self, policy: Policy, large_models: Sequence[str], biases: pvalue.AsDict) -> None:
        """`biases` is the side input of label biases by (model, task)."""
        super().__init__()
        self._policy = policy
        self._large_models = tuple(large_models)
        self._biases = biases

    def expand(self, work: beam.PCollection[Work]) -> Decided:
        """Wire the decision."""
        dofn = _DecideDoFn(self._policy)
        tags = [_asks(name) for name in self._large_models]
        found = work | "Decide" >> beam.ParDo(dofn, self._biases).with_outputs(dofn.DEAD, *tags, main="annotated")
        return Decided(found["annotated"], found[dofn.DEAD], {name: found[_asks(name)] for name in self._large_models})


def _asks(name: str) -> str:
    return f"ask:{name}"


class _DecideDoFn(beam.DoFn):
    DEAD = "dead"

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def process(
        self, work: Work, biases: Mapping[tuple[str, str], LabelBias]
    ) -> Iterator[Annotated | pvalue.TaggedOutput]:
        outcome = decide(work, self._policy, biases)
        if isinstance(outcome, Annotated):
            yield outcome
        elif isinstance(outcome, DeadLetter):
            yield pvalue.TaggedOutput(self.DEAD, outcome)
        elif outcome.ask is None:
            raise ValueError(f"record {outcome.record.id!r} was neither decided nor sent on; this is a bug")
        else:
            yield pvalue.TaggedOutput(_asks(outcome.ask), outcome)


def answered(work: Work) -> Work:
    """The work with its question answered: what was asked is in the answers now."""
    return dataclasses.replace(work, ask=None)
