"""What the first pass does with each split: digests of ids and texts, the drawn records, counts and types."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam import pvalue

from router.census import Census
from router.gate import slice_of
from router.identity import id_key, text_key
from router.pilot import pilot_key
from router.records import DeadLetter, Position, Record, Route, Work, text_bytes
from router.repeats import bucket_of, pack_entry
from router.rules import choose_model, chooses, decisive, wanted
from router.sampling import SmallestKeys
from transforms.bundles import at_end
from transforms.json_types import TypesSoFar
from transforms.progress import ProgressNote
from transforms.read_records import read_validated
from transforms.reading import Split
from transforms.route_records import load_router, with_findings

if TYPE_CHECKING:
    from router.findings import Findings
    from transforms.read_records import Reader

_FLUSH_ENTRIES = 65_536
SPARE = 2
"""Twice as many records are drawn as are wanted, because some may be refused later for a repeated id."""
COUNTED, DRAWN = "\0records", "\0drawn"
Group = tuple[str, str]
"""A model and a task."""


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


def place_of(work: Work) -> Position:
    """Where the record stands in the input."""
    return work.record.position


class IndexSplits(beam.DoFn):
    """Reads splits and puts what `IndexRecords` gathers into outputs of the tags below."""

    COUNTS, IDS, TEXTS, SAMPLE, TYPES, PILOT = "counts", "ids", "texts", "sample", "types", "pilot"
    CENSUS = "census"

    def __init__(self, reader: Reader, sampling: Sampling, state: str, *, infer_types: bool) -> None:
        """As `IndexRecords` takes them."""
        self._reader = reader
        self._sampling = sampling
        self._infer_types = infer_types
        self._state = state

    def setup(self) -> None:
        """Open what a worker needs once."""
        self._note = ProgressNote(self._state)
        self._router = load_router(self._reader.router)
        self._routes = self._reader.open_routes()

    def start_bundle(self) -> None:
        """Begin to gather."""
        # Gathered over a bundle, not over a split: what the workers send must not grow with the input.
        size = SPARE * self._sampling.records
        self._drawn: dict[Group, SmallestKeys[Work]] = defaultdict(lambda: SmallestKeys(size, place_of))
        self._entries: dict[tuple[str, int], bytearray] = defaultdict(bytearray)
        self._waiting = 0
        self._counts: Counter[str] = Counter()
        self._pilot: SmallestKeys[Work] = SmallestKeys(self._sampling.pilot, place_of)
        self._corrected: list[Work] = []
        self._refused: Counter[str] = Counter()
        self._read = self._text_bytes = 0

    def process(self, split: Split) -> Iterator[pvalue.TaggedOutput[Any, Any]]:
        """Index the rows of one split."""
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
        """Give what the bundle's splits had together."""
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
        self._counts[COUNTED] += 1
        uncertain = self._sampling.gold_only and record.gold is None
        corrected = self._sampling.corrections.get(record.id)
        if corrected is not None:
            record = dataclasses.replace(record, gold=corrected)
        if uncertain:
            if corrected is not None:
                self._corrected.append(self._routed(record, found))
            return
        self._counts[DRAWN] += 1
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
