"""Copies of a text: read again when the first record with it has its answer, which they share."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam import pvalue

from router.records import Annotated, DeadLetter, Position, Record, Status, Usage
from router.repeats import Repeat, Role
from transforms.read_records import DEAD, Reader, read_validated, whole_row

if TYPE_CHECKING:
    from transforms.reading import Split

    Repeats = Mapping[Position, Repeat]
    Outcomes = Mapping[bytes, Annotated | DeadLetter]


def outcome_to_share(
    outcome: Annotated | DeadLetter, repeats: Repeats
) -> Iterator[tuple[bytes, Annotated | DeadLetter]]:
    """The outcome of a record that has copies, keyed by text and without the row; nothing for others."""
    position = outcome.position if isinstance(outcome, DeadLetter) else outcome.record.position
    repeat = repeats.get(position)
    if repeat is None or repeat.role is not Role.ORIGINAL:
        return
    if isinstance(outcome, Annotated):
        light = dataclasses.replace(outcome.record, text="", payload=b"")
        yield repeat.key, dataclasses.replace(outcome, record=light)
    else:
        yield repeat.key, dataclasses.replace(outcome, record=None)


class ReadCopies(beam.PTransform[Any, Any]):
    """Repeats to the annotated copies; those whose original is a dead letter go to the output `dead`."""

    def __init__(self, reader: Reader, splits: Sequence[Split], outcomes: pvalue.AsDict) -> None:
        """`splits` are in input order; `outcomes` is the side input made by `outcome_to_share`."""
        super().__init__()
        self._reader = reader
        self._splits = tuple(splits)
        self._outcomes = outcomes

    def expand(self, repeats: beam.PCollection[tuple[Position, Repeat]]) -> Any:  # noqa: ANN401 - two outputs
        """Only splits that hold copies are read again."""
        return (
            repeats
            | "CopiesBySplit"
            >> beam.FlatMap(_copy_in_split, starts=[_start(split) for split in self._splits])
            | "GroupCopies" >> beam.GroupByKey()
            | "ReadSplit"
            >> beam.ParDo(_ReadCopiesDoFn(self._reader, self._splits), self._outcomes).with_outputs(
                DEAD, main="copies"
            )
        )


def _start(split: Split) -> Position:
    return Position(split.file, split.start if split.kind == "jsonl" else split.first_row)


def _copy_in_split(
    entry: tuple[Position, Repeat], starts: Sequence[Position]
) -> Iterator[tuple[int, Repeat]]:
    position, repeat = entry
    if repeat.role is Role.COPY:
        yield bisect.bisect_right(starts, position) - 1, repeat


class _ReadCopiesDoFn(beam.DoFn):
    def __init__(self, reader: Reader, splits: tuple[Split, ...]) -> None:
        self._reader = reader
        self._splits = splits

    def process(
        self, held: tuple[int, Iterable[Repeat]], outcomes: Outcomes
    ) -> Iterator[Annotated | pvalue.TaggedOutput[Any, Any]]:
        number, repeats = held
        copies = {repeat.position: repeat for repeat in repeats}
        for row in read_validated(self._splits[number], self._reader, with_payload=True):
            repeat = copies.get(row.position)
            if repeat is None or isinstance(row, DeadLetter):
                continue
            record = row
            if self._reader.job.input.id is None:
                # Ids made from the content are equal for equal texts, and ids must be unique.
                record = dataclasses.replace(row, id=f"{row.id}-{repeat.rank + 1}")
            outcome = share_outcome(record, outcomes[repeat.key])
            if isinstance(outcome, DeadLetter):
                shown = whole_row(record.payload, self._reader.schema)
                yield pvalue.TaggedOutput(DEAD, dataclasses.replace(outcome, record=shown))
            else:
                yield outcome


def share_outcome(record: Record, outcome: Annotated | DeadLetter) -> Annotated | DeadLetter:
    """What becomes of a copy: the original's labels at no cost, or the original's dead letter."""
    if isinstance(outcome, DeadLetter):
        detail = f"same text as {outcome.id!r}: {outcome.detail}"
        return dataclasses.replace(outcome, position=record.position, id=record.id, detail=detail)
    annotation = dataclasses.replace(
        outcome.annotation, status=Status.DUPLICATE, reason=f"same text as {outcome.record.id!r}"
    )
    return Annotated(record, annotation, outcome.route, Usage())
