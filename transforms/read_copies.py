"""Copies of a text: read again when the first record with it has its answer, which they share."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam import pvalue

from router.records import Annotated, DeadLetter, Position, Record, Status, Usage
from router.repeats import Repeat, Role, bucket_of, pack_repeats, unpack_repeats
from transforms.read_records import DEAD, Reader, read_validated, whole_row
from transforms.split_repeats import split_of, split_starts

if TYPE_CHECKING:
    from transforms.reading import Split

    Outcome = Annotated | DeadLetter


class ReadCopies(beam.PTransform[Any, Any]):
    """Repeats and the outcomes of originals to the annotated copies, and to `dead` what shares a dead letter.

    Outcomes and copies meet by text, then with their splits; those that hold copies are read again.
    """

    def __init__(self, reader: Reader, splits: Sequence[Split]) -> None:
        """`splits` are in input order."""
        super().__init__()
        self._reader = reader
        self._splits = tuple(splits)

    def expand(self, inputs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - two outputs
        """Take the `repeats`, packed, and the `outcomes`, by text key."""
        met = {
            "copies": inputs["repeats"] | "CopiesByBucket" >> beam.FlatMap(_copies_by_bucket),
            "outcomes": inputs["outcomes"] | "OutcomesByBucket" >> beam.Map(_outcome_by_bucket),
        } | "MeetByText" >> beam.CoGroupByKey()
        return (
            met
            | "BySplit" >> beam.FlatMap(_by_split, split_starts(self._splits))
            | "GroupBySplit" >> beam.GroupByKey()
            | "ReadSplit"
            >> beam.ParDo(_ReadCopiesDoFn(self._reader, self._splits)).with_outputs(DEAD, main="copies")
        )


def _copies_by_bucket(packed: bytes) -> Iterator[tuple[int, bytes]]:
    copies = [repeat for repeat in unpack_repeats(packed) if repeat.role is Role.COPY]
    if copies:
        # One packed list is one bucket's.
        yield bucket_of(copies[0].key), pack_repeats(copies)


def _outcome_by_bucket(shared: tuple[bytes, Outcome]) -> tuple[int, tuple[bytes, Outcome]]:
    return bucket_of(shared[0]), shared


def _by_split(
    met: tuple[int, Mapping[str, Iterable[Any]]], starts: Sequence[Position]
) -> Iterator[tuple[int, list[tuple[Repeat, Outcome]]]]:
    outcomes = dict(met[1]["outcomes"])
    found: dict[int, list[tuple[Repeat, Outcome]]] = defaultdict(list)
    for packed in met[1]["copies"]:
        for repeat in unpack_repeats(packed):
            found[split_of(repeat.position, starts)].append((repeat, outcomes[repeat.key]))
    yield from found.items()


class _ReadCopiesDoFn(beam.DoFn):
    def __init__(self, reader: Reader, splits: tuple[Split, ...]) -> None:
        self._reader = reader
        self._splits = splits

    def process(
        self, held: tuple[int, Iterable[list[tuple[Repeat, Outcome]]]]
    ) -> Iterator[Annotated | pvalue.TaggedOutput[Any, Any]]:
        number, lists = held
        copies = {repeat.position: (repeat, outcome) for pairs in lists for repeat, outcome in pairs}
        for row in read_validated(self._splits[number], self._reader, with_payload=True):
            if row.position not in copies or isinstance(row, DeadLetter):
                continue
            repeat, original = copies[row.position]
            record = row
            if self._reader.job.input.id is None:
                # Ids made from the content are equal for equal texts, and ids must be unique.
                record = dataclasses.replace(row, id=f"{row.id}-{repeat.rank + 1}")
            outcome = share_outcome(record, original)
            if isinstance(outcome, DeadLetter):
                shown = whole_row(record.payload, self._reader.schema)
                yield pvalue.TaggedOutput(DEAD, dataclasses.replace(outcome, record=shown))
            else:
                yield outcome


def light_outcome(outcome: Outcome) -> Outcome:
    """An outcome without what its copies do not need: the row, the text and the account."""
    if isinstance(outcome, DeadLetter):
        return dataclasses.replace(outcome, record=None, calls={})
    light = dataclasses.replace(outcome.record, text="", payload=b"")
    return dataclasses.replace(outcome, record=light, usage=Usage(), calls={}, judged=None)


def share_outcome(record: Record, outcome: Outcome) -> Outcome:
    """What becomes of a copy: the original's labels at no cost, or the original's dead letter."""
    if isinstance(outcome, DeadLetter):
        detail = f"same text as {outcome.id!r}: {outcome.detail}"
        return dataclasses.replace(outcome, position=record.position, id=record.id, detail=detail)
    annotation = dataclasses.replace(
        outcome.annotation, status=Status.DUPLICATE, reason=f"same text as {outcome.record.id!r}"
    )
    return Annotated(record, annotation, outcome.route, Usage())
