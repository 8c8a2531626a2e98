"""A first, cheap pass over the input: counts it, finds repeats, draws the calibration sample, infers types.

Only digests travel between workers, so its memory does not follow the size of the texts.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue

from router.census import Census
from router.pilot import Pilot
from router.records import Position, Reason, Work
from router.repeats import (
    Role,
    find_copies,
    find_repeated_ids,
    pack_repeats,
    unpack_repeats,
)
from router.sampling import smallest_of
from transforms.index_splits import COUNTED, DRAWN, SPARE, Group, IndexSplits, Sampling, place_of
from transforms.json_types import ColumnTypes, TypesSoFar
from transforms.reading import Split

if TYPE_CHECKING:
    from transforms.read_records import Reader

_PilotPart = tuple["Counter[str]", "list[tuple[bytes, Work]]", "list[Work]"]


class IndexOutput(NamedTuple):
    """What the first pass found, as collections that later stages take as side inputs."""

    read: Any
    """PCollection[int], one element: the number of rows."""
    repeats: Any
    """PCollection[bytes]: ids and texts that occur more than once (`unpack_repeats`)."""
    sample: Any
    """PCollection[Work]: records for calibration, each routed to the model that is to answer it."""
    types: Any
    """PCollection[ColumnTypes], one element: what the columns of JSONL hold."""
    pilot: Any
    """PCollection[Pilot], one element: a uniform sample of all records; None where none is drawn."""
    census: Any
    """PCollection[Census], one element: what there is to do; None where it is not asked for."""


class IndexRecords(beam.PTransform[Any, Any]):
    """Read every split once and index its records."""

    def __init__(self, reader: Reader, sampling: Sampling, state: str, *, infer_types: bool) -> None:
        """`infer_types` asks for the types of JSONL columns; `state` is where progress is noted."""
        super().__init__()
        self._reader = reader
        self._sampling = sampling
        self._infer_types = infer_types
        self._state = state

    def expand(self, splits: beam.PCollection[Split]) -> IndexOutput:
        """Wire the pass."""
        dofn = IndexSplits(self._reader, self._sampling, self._state, infer_types=self._infer_types)
        found = splits | "IndexSplit" >> beam.ParDo(dofn).with_outputs()
        repeated_ids = (
            found[IndexSplits.IDS]
            | "GroupIds" >> beam.GroupByKey()
            | "FindRepeatedIds" >> beam.FlatMap(_repeated_ids)
        )
        refused = pvalue.AsSingleton(
            repeated_ids | "GatherRefused" >> beam.combiners.ToList() | "Refused" >> beam.Map(_positions)
        )
        copies = (
            found[IndexSplits.TEXTS]
            | "GroupTexts" >> beam.GroupByKey()
            | "FindCopies" >> beam.FlatMap(_copies, refused=refused)
        )
        return IndexOutput(
            read=found[IndexSplits.COUNTS] | "SumRead" >> beam.CombineGlobally(sum),
            repeats=(repeated_ids, copies) | "AllRepeats" >> beam.Flatten(),
            sample=found[IndexSplits.SAMPLE]
            | "GroupSample" >> beam.GroupByKey()
            | "DrawSample" >> beam.FlatMap(_draw, self._sampling.records, refused),
            types=found[IndexSplits.TYPES]
            | "GatherTypes" >> beam.combiners.ToList()
            | "MergeTypes" >> beam.Map(_merge_types),
            pilot=self._draw_pilot(found[IndexSplits.PILOT], refused) if self._sampling.pilot else None,
            census=self._count(found[IndexSplits.CENSUS], repeated_ids, copies)
            if self._sampling.census
            else None,
        )

    @staticmethod
    def _count(
        counted: beam.PCollection[Census],
        repeated_ids: beam.PCollection[bytes],
        copies: beam.PCollection[bytes],
    ) -> Any:  # noqa: ANN401
        repeats = (repeated_ids, copies) | "Repeats" >> beam.Flatten() | "CountRepeats" >> beam.Map(_repeats)
        return (counted, repeats) | "Counts" >> beam.Flatten() | "AddCounts" >> beam.CombineGlobally(_added)

    def _draw_pilot(self, parts: beam.PCollection[Any], refused: pvalue.AsSingleton) -> Any:  # noqa: ANN401
        gathered = parts | "GatherPilot" >> beam.combiners.ToList()
        return gathered | "DrawPilot" >> beam.Map(_pilot, self._sampling.pilot, refused)


def _repeated_ids(bucket: tuple[int, Iterable[bytes]]) -> Iterator[bytes]:
    yield pack_repeats(find_repeated_ids(bucket[1]))


def _copies(bucket: tuple[int, Iterable[bytes]], refused: Collection[Position]) -> Iterator[bytes]:
    yield pack_repeats(find_copies(bucket[1], refused))


def _positions(packed: Iterable[bytes]) -> frozenset[Position]:
    return frozenset(repeat.position for one in packed for repeat in unpack_repeats(one))


def _draw(
    group: tuple[Group, Iterable[list[tuple[bytes, Work]]]], size: int, refused: Collection[Position]
) -> list[Work]:
    # A refused record will be a dead letter, which has no account that could bear what its answer cost.
    drawn = (work for _, work in smallest_of(SPARE * size, group[1], place_of))
    return list(itertools.islice((work for work in drawn if work.record.position not in refused), size))


def _pilot(parts: Iterable[_PilotPart], size: int, refused: Collection[Position]) -> Pilot:
    counts: Counter[str] = Counter()
    groups, corrected = [], []
    for counted, kept, people in parts:
        counts += counted
        groups.append(kept)
        corrected += people
    corrected = [work for work in corrected if work.record.position not in refused]
    # Of records with the same id the first is drawn, which is the one that is annotated; where that has no
    # gold label, the second was drawn and is refused.
    drawn = [work for _, work in smallest_of(size, groups, place_of) if work.record.position not in refused]
    records, job = counts.pop(DRAWN, 0), counts.pop(COUNTED, 0) - len(refused)
    return Pilot(tuple(drawn), min(records, job), job, counts, tuple(sorted(corrected, key=place_of)))


def _repeats(packed: bytes) -> Census:
    roles = Counter(one.role for one in unpack_repeats(packed))
    same = {Reason.DUPLICATE_ID.value: roles[Role.SAME_ID]} if roles[Role.SAME_ID] else {}
    return Census(refused=Counter(same), copies=roles[Role.COPY])


def _added(counts: Iterable[Census]) -> Census:
    return sum(counts, Census())


def _merge_types(types: Iterable[tuple[Position, ColumnTypes]]) -> ColumnTypes:
    # In input order, because the columns' order depends on it and a runner promises none.
    gathered = TypesSoFar()
    for _, one in sorted(types, key=lambda entry: entry[0]):
        gathered.add_types(one)
    return gathered.types()
