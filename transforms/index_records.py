"""A first, cheap pass over the input: counts it, finds repeats, draws the calibration sample, infers types.

Only digests travel between workers, so its memory does not follow the size of the texts.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue

from router.census import Census
from router.gate import slice_of
from router.identity import id_key, text_key
from router.pilot import Pilot, pilot_key
from router.records import DeadLetter, Position, Reason, Record, Route, Work, text_bytes
from router.repeats import (
    Role,
    bucket_of,
    find_copies,
    find_repeated_ids,
    pack_entry,
    pack_repeats,
    unpack_repeats,
)
from router.rules import choose_model, chooses, decisive, wanted
from router.sampling import SmallestKeys, smallest_of
from transforms.bundles import at_end
from transforms.json_types import ColumnTypes, TypesSoFar
from transforms.progress import ProgressNote
from transforms.read_records import read_validated
from transforms.reading import Split
from transforms.route_records import load_router, with_findings

if TYPE_CHECKING:
    from router.findings import Findings
    from transforms.read_records import Reader

_FLUSH_ENTRIES = 65_536
# Twice as many records are drawn as are wanted, because some may be refused later for a repeated id.
_SPARE = 2
_Group = tuple[str, str]
_PilotPart = tuple["Counter[str]", "list[tuple[bytes, Work]]", "list[Work]"]
_COUNTED, _DRAWN = "\0records", "\0drawn"


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


@dataclass(frozen=True)
class Sampling:
    """How many records to draw for each (model, task); `also` are models drawn for beside the routed one."""

    records: int
    also: tuple[str, ...] = ()
    pilot: int = 0
    """How many records to draw over the whole input."""
    corrections: Mapping[str, str] = field(default_factory=dict)
    """Gold labels that people have given, by record id; they take the place of the input's."""
    gold_only: bool = False
    """Whether the pilot is drawn from records with a gold label."""
    census: bool = False
    """Whether to count what there is to do."""
    salt: bytes = b""
    """That of the pilot's order (`router.pilot.pilot_salt`)."""


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
        dofn = _IndexDoFn(self._reader, self._sampling, self._state, infer_types=self._infer_types)
        found = splits | "IndexSplit" >> beam.ParDo(dofn).with_outputs()
        repeated_ids = (
            found[_IndexDoFn.IDS]
            | "GroupIds" >> beam.GroupByKey()
            | "FindRepeatedIds" >> beam.FlatMap(_repeated_ids)
        )
        refused = pvalue.AsSingleton(
            repeated_ids | "GatherRefused" >> beam.combiners.ToList() | "Refused" >> beam.Map(_positions)
        )
        copies = (
            found[_IndexDoFn.TEXTS]
            | "GroupTexts" >> beam.GroupByKey()
            | "FindCopies" >> beam.FlatMap(_copies, refused=refused)
        )
        return IndexOutput(
            read=found[_IndexDoFn.COUNTS] | "SumRead" >> beam.CombineGlobally(sum),
            repeats=(repeated_ids, copies) | "AllRepeats" >> beam.Flatten(),
            sample=found[_IndexDoFn.SAMPLE]
            | "GroupSample" >> beam.GroupByKey()
            | "DrawSample" >> beam.FlatMap(_draw, self._sampling.records, refused),
            types=found[_IndexDoFn.TYPES]
            | "GatherTypes" >> beam.combiners.ToList()
            | "MergeTypes" >> beam.Map(_merge_types),
            pilot=self._draw_pilot(found[_IndexDoFn.PILOT], refused) if self._sampling.pilot else None,
            census=self._count(found[_IndexDoFn.CENSUS], repeated_ids, copies)
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
    group: tuple[_Group, Iterable[list[tuple[bytes, Work]]]], size: int, refused: Collection[Position]
) -> list[Work]:
    # A refused record will be a dead letter, which has no account that could bear what its answer cost.
    drawn = (work for _, work in smallest_of(_SPARE * size, group[1], _place))
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
    drawn = [work for _, work in smallest_of(size, groups, _place) if work.record.position not in refused]
    records, job = counts.pop(_DRAWN, 0), counts.pop(_COUNTED, 0) - len(refused)
    return Pilot(tuple(drawn), min(records, job), job, counts, tuple(sorted(corrected, key=_place)))


def _repeats(packed: bytes) -> Census:
    roles = Counter(one.role for one in unpack_repeats(packed))
    same = {Reason.DUPLICATE_ID.value: roles[Role.SAME_ID]} if roles[Role.SAME_ID] else {}
    return Census(refused=Counter(same), copies=roles[Role.COPY])


def _added(counts: Iterable[Census]) -> Census:
    return sum(counts, Census())


def _place(work: Work) -> Position:
    return work.record.position


def _merge_types(types: Iterable[tuple[Position, ColumnTypes]]) -> ColumnTypes:
    # In input order, because the columns' order depends on it and a runner promises none.
    gathered = TypesSoFar()
    for _, one in sorted(types, key=lambda entry: entry[0]):
        gathered.add_types(one)
    return gathered.types()


class _IndexDoFn(beam.DoFn):
    COUNTS, IDS, TEXTS, SAMPLE, TYPES, PILOT = "counts", "ids", "texts", "sample", "types", "pilot"
    CENSUS = "census"

    def __init__(self, reader: Reader, sampling: Sampling, state: str, *, infer_types: bool) -> None:
        self._reader = reader
        self._sampling = sampling
        self._infer_types = infer_types
        self._state = state

    def setup(self) -> None:
        self._note = ProgressNote(self._state)
        self._router = load_router(self._reader.router)
        self._routes = self._reader.open_routes()

    def start_bundle(self) -> None:
        # Gathered over a bundle, not over a split: what the workers send must not grow with the input.
        size = _SPARE * self._sampling.records
        self._drawn: dict[_Group, SmallestKeys[Work]] = defaultdict(lambda: SmallestKeys(size, _place))
        self._entries: dict[tuple[str, int], bytearray] = defaultdict(bytearray)
        self._waiting = 0
        self._counts: Counter[str] = Counter()
        self._pilot: SmallestKeys[Work] = SmallestKeys(self._sampling.pilot, _place)
        self._corrected: list[Work] = []
        self._refused: Counter[str] = Counter()
        self._read = self._text_bytes = 0

    def process(self, split: Split) -> Iterator[pvalue.TaggedOutput[Any, Any]]:
        types = TypesSoFar()
        count = 0
        for row, found in self._looked_at(
            read_validated(split, self._reader, with_payload=self._infer_types)
        ):
            count += 1
            self._note.add(read=1)
            self._read += 1
            if isinstance(row, DeadLetter):
                self._refused[row.reason.value] += 1
                continue
            if self._infer_types:
                types.add_line(row.payload)
            self._index(row, found)
            if self._waiting >= _FLUSH_ENTRIES:
                yield from self._flush()
        yield pvalue.TaggedOutput(self.COUNTS, count)
        yield pvalue.TaggedOutput(self.TYPES, (Position(split.file, split.start), types.types()))
        self._note.write()

    def finish_bundle(self) -> Iterator[pvalue.TaggedOutput[Any, Any]]:
        for output in self._flush():
            yield pvalue.TaggedOutput(output.tag, at_end(output.value))
        for group, kept in self._drawn.items():
            yield pvalue.TaggedOutput(self.SAMPLE, at_end((group, kept.items())))
        if self._sampling.census:
            counted = Census(self._read, self._refused, 0, self._text_bytes)
            yield pvalue.TaggedOutput(self.CENSUS, at_end(counted))
        if self._sampling.pilot:
            yield pvalue.TaggedOutput(
                self.PILOT, at_end((self._counts, self._pilot.items(), self._corrected))
            )

    def _looked_at(
        self, rows: Iterator[Record | DeadLetter]
    ) -> Iterator[tuple[Record | DeadLetter, Findings | None]]:
        """The rows, with what was found in each record where every record's model has to be known."""
        job = self._reader.job
        by_model = bool(self._sampling.records and chooses(job))
        if not by_model and not (self._sampling.pilot and job.routing.gate.per is not None):
            yield from ((row, None) for row in rows)
            return
        needed, later = decisive(job), wanted(job)
        # What the main pass would find too is kept for it, unless that is more work than is needed here.
        ahead = needed == later or needed.domain or needed.complexity or needed.task
        kept = (later, self._routes) if ahead and self._routes is not None else (needed, None)
        for row in with_findings(rows, self._reader.router, *kept):
            yield row if isinstance(row, tuple) else (row, None)

    def _index(self, record: Record, found: Findings | None) -> None:
        key = text_key(record.text, record.task)
        keys = [(self.TEXTS, key)]
        if self._reader.job.input.id is not None:
            keys.append((self.IDS, id_key(record.id)))
        for tag, digest in keys:
            self._entries[tag, bucket_of(digest)] += pack_entry(digest, record.position)
        self._waiting += 1
        if self._sampling.census:
            self._text_bytes += text_bytes(record)
        if self._sampling.records:
            self._offer(key, record, found)
        if self._sampling.pilot:
            self._offer_pilot(record, found)

    def _offer_pilot(self, record: Record, found: Findings | None) -> None:
        job = self._reader.job
        self._counts[_COUNTED] += 1
        uncertain = self._sampling.gold_only and record.gold is None
        corrected = self._sampling.corrections.get(record.id)
        if corrected is not None:
            record = dataclasses.replace(record, gold=corrected)
        if uncertain:
            if corrected is not None:
                self._corrected.append(self._routed(record, found))
            return
        self._counts[_DRAWN] += 1
        own_id, per = job.input.id is not None, job.routing.gate.per
        key = pilot_key(record, own_id=own_id, salt=self._sampling.salt)
        if per == "label":
            per = None
        if per is None and not self._pilot.wants(key):
            return
        work = self._routed(record, found)
        if per is not None:
            self._counts[slice_of(per, work.route, ())] += 1
        self._pilot.offer(key, work)

    def _routed(self, record: Record, found: Findings | None) -> Work:
        return Work(dataclasses.replace(record, payload=b""), self._route(record, found))

    def _route(self, record: Record, found: Findings | None) -> Route:
        job = self._reader.job
        if found is None:
            [found] = self._router.find([record], decisive(job))
        return choose_model(record, found, job.routing, job.models)

    def _offer(self, key: bytes, record: Record, found: Findings | None) -> None:
        job = self._reader.job
        # Without rules there is nothing to find before it is known who answers.
        model = self._route(record, found).model if chooses(job) else job.routing.default
        groups = [(name, record.task) for name in {model, *self._sampling.also}]
        wanting = [group for group in groups if self._drawn[group].wants(key)]
        if not wanting:
            return
        work = self._routed(record, found)
        for group in wanting:
            route = dataclasses.replace(work.route, model=group[0])
            self._drawn[group].offer(key, dataclasses.replace(work, route=route))

    def _flush(self) -> Iterator[pvalue.TaggedOutput[Any, Any]]:
        for (tag, bucket), entries in self._entries.items():
            yield pvalue.TaggedOutput(tag, (bucket, bytes(entries)))
        self._entries.clear()
        self._waiting = 0
