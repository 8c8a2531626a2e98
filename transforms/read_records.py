"""Reading splits into validated records, without the repeats that the index found."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam import pvalue

from router.decide import ask_next
from router.findings import Findings
from router.identity import text_key
from router.records import DeadLetter, Position, Reason, Record, Work
from router.repeats import Repeat, Role, unpack_repeats
from router.rules import choose_model, wanted
from router.validation import Rules, validate
from transforms.payload import json_row
from transforms.reading import Split, read_rows
from transforms.route_records import RouterPlace, sorted_into_tasks, with_findings

if TYPE_CHECKING:
    import pyarrow as pa

    from router.job import Job
    from router.records import Answer
    from transforms.route_journal import RouteJournal, RoutesOf

    Pilot = Mapping[bytes, tuple[Answer, ...]]

DEAD, SHARED = "dead", "shared"
_SHOWN_CHARACTERS = 100


@dataclass(frozen=True)
class Reader:
    """What reading needs to know: the job, and the input's schema (None for JSONL)."""

    job: Job
    schema: pa.Schema | None
    until: Position | None = None
    """The last row to read, where the job is limited to the first ones."""
    router: RouterPlace = field(default_factory=RouterPlace)
    routes: RoutesOf | None = None
    """Where findings are kept; None: nowhere."""

    def open_routes(self) -> RouteJournal | None:
        """The journal of findings in this process."""
        return None if self.routes is None else self.routes.open()


def read_validated(split: Split, reader: Reader, *, with_payload: bool) -> Iterator[Record | DeadLetter]:
    """The rows of a split, each as a valid record or as a dead letter that says why not."""
    return sorted_into_tasks(_validated(split, reader, with_payload=with_payload), reader.router)


def _validated(split: Split, reader: Reader, *, with_payload: bool) -> Iterator[Record | DeadLetter]:
    job = reader.job
    tasks = tuple(task.name for task in job.tasks)
    rules = Rules(job.input, tasks, None if job.input.task is not None else tasks[0], job.limits)
    for row in read_rows(split, job.input, schema=reader.schema, with_payload=with_payload):
        if reader.until is not None and row.position > reader.until:
            return
        if isinstance(row, DeadLetter):
            yield row
        else:
            yield validate(row, rules, functools.partial(whole_row, row.payload, reader.schema))


def whole_row(payload: bytes, schema: pa.Schema | None) -> str | None:
    """An input row as JSON text, for dead letters; None where the payload was not read."""
    if not payload:
        return None
    return payload.decode() if schema is None else json_row(payload, schema)


def first_rows(splits: Sequence[Split], reader: Reader, limit: int) -> tuple[tuple[Split, ...], Reader]:
    """The splits, and the reader, that give the first `limit` rows only."""
    count = 0
    for number, split in enumerate(splits):
        for row in read_rows(split, reader.job.input, schema=reader.schema, with_payload=False):
            count += 1
            if count == limit:
                return tuple(splits[: number + 1]), dataclasses.replace(reader, until=row.position)
    return tuple(splits), reader


class ReadRecords(beam.PTransform[Any, Any]):
    """Numbered splits and the repeats in them to routed `Work`; what cannot be annotated goes to `dead`.

    Copies of an earlier text are left out here: `ReadCopies` reads them when the answer is known. Where the
    first record of a text turns out to be unreadable, the output `shared` says so to its copies.
    """

    def __init__(self, reader: Reader, pilot: pvalue.AsDict) -> None:
        """`pilot` is the side input of answers from the calibration sample, by text key."""
        super().__init__()
        self._reader = reader
        self._pilot = pilot

    def expand(self, inputs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - three outputs
        """Take the `splits` and the `repeats`, both keyed by the split's number."""
        joined = inputs | "JoinRepeats" >> beam.CoGroupByKey()
        return joined | "ReadSplit" >> beam.ParDo(ReadSplit(self._reader), self._pilot).with_outputs(
            DEAD, SHARED, main="work"
        )


class ReadSplit(beam.DoFn):
    """Reads one split; see `ReadRecords`."""

    def __init__(self, reader: Reader) -> None:
        """Take plain data only."""
        self._reader = reader

    def setup(self) -> None:
        """Open what is shared by all splits of a process."""
        self._routes = self._reader.open_routes()

    def teardown(self) -> None:
        """Write what was found: nobody waits for this process once the job is done."""
        if self._routes is not None:
            self._routes.flush()

    def process(
        self, joined: tuple[int, Mapping[str, Iterable[Any]]], pilot: Pilot
    ) -> Iterator[Work | pvalue.TaggedOutput[Any, Any]]:
        """Read the split that is joined with its packed repeats."""
        [split] = joined[1]["splits"]
        repeats = {
            repeat.position: repeat for packed in joined[1]["repeats"] for repeat in unpack_repeats(packed)
        }
        rows = self._to_route(read_validated(split, self._reader, with_payload=True), repeats)
        for row in with_findings(rows, self._reader.router, wanted(self._reader.job), self._routes):
            if isinstance(row, tuple):
                repeat = repeats.get(row[0].position)
                yield self._start(*row, pilot, None if repeat is None else repeat.key)
            else:
                yield row

    def _to_route(
        self, rows: Iterator[Record | DeadLetter], repeats: Mapping[Position, Repeat]
    ) -> Iterator[Record | pvalue.TaggedOutput[Any, Any]]:
        """The records that are to be answered, and what is said of the others."""
        for row in rows:
            repeat = repeats.get(row.position)
            shared = repeat.key if repeat is not None and repeat.role is Role.ORIGINAL else None
            if isinstance(row, DeadLetter):
                yield pvalue.TaggedOutput(DEAD, row)
                # A row that the index could read may still fail to be read whole.
                if shared is not None:
                    yield pvalue.TaggedOutput(SHARED, (shared, dataclasses.replace(row, record=None)))
            elif repeat is None or shared is not None:
                yield row
            elif repeat.role is Role.SAME_ID:
                yield pvalue.TaggedOutput(DEAD, self._same_id(row))

    def _start(self, record: Record, found: Findings, pilot: Pilot, shared: bytes | None) -> Work:
        job = self._reader.job
        route = choose_model(record, found, job.routing, job.models)
        given = pilot.get(text_key(record.text, record.task), ()) if pilot else ()
        if not given:
            return Work(record, route, ask=route.model, shared_key=shared)
        return ask_next(Work(record, route, pilot=given, shared_key=shared), route.model)

    def _same_id(self, record: Record) -> DeadLetter:
        return DeadLetter(
            record.position,
            record.id,
            Reason.DUPLICATE_ID,
            f"id {record.id[:_SHOWN_CHARACTERS]!r} was seen before; ids must be unique",
            "deduplicate",
            whole_row(record.payload, self._reader.schema),
        )
