"""Writing annotations and dead letters: each bundle writes files of its own, which count only when finished.

Files are written under `state/parts/` and moved to their final names by the last stage of the job, so that a
reader never sees half a file, and what a repeated bundle left behind is never read.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import fsspec
import orjson
import pyarrow.parquet as pq

from router.records import Annotated, DeadLetter, Position, write_money
from router.review import ReviewRow, ReviewRows
from router.rows import calls_row
from router.summary import Tally, tally_annotated, tally_dead
from transforms.bundles import at_end
from transforms.output_rows import output_line, output_table
from transforms.progress import ProgressNote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apache_beam.utils.windowed_value import WindowedValue

    from transforms.json_types import ColumnTypes
    from transforms.output_rows import RowFormat

_BATCH_ROWS = 2_000
_BATCH_BYTES = 16 << 20


@dataclass(frozen=True)
class Part:
    """A finished file with the sums over its rows."""

    kind: str
    """`annotations` or `dead_letters`."""
    path: str
    first: Position
    tally: Tally
    review: tuple[ReviewRow, ...] = ()
    """Rows that a person should look at, in no order."""


@dataclass
class _OpenPart:
    """A file that is being written, in batches."""

    kind: str
    path: str
    stream: Any
    parquet: pq.ParquetWriter | None = None
    first: Position | None = None
    tally: Tally = field(default_factory=Tally)
    review: ReviewRows = field(default_factory=ReviewRows)


class _WriteDoFn(beam.DoFn):
    """Buffers rows, writes them in batches, and yields the bundle's `Part` when it ends."""

    kind = ""
    suffix = "jsonl"

    def __init__(self, state: str) -> None:
        self._state = state

    def setup(self) -> None:
        self._note = ProgressNote(self._state)
        self._filesystem, self._folder = fsspec.core.url_to_fs(f"{self._state}/parts")
        self._filesystem.makedirs(self._folder, exist_ok=True)

    def start_bundle(self) -> None:
        self._rows: list[Any] = []
        self._bytes = 0
        self._part: _OpenPart | None = None

    def _hold(self, row: Any, size: int) -> None:  # noqa: ANN401 - the subclass's own row type
        self._rows.append(row)
        self._bytes += size
        if len(self._rows) >= _BATCH_ROWS or self._bytes >= _BATCH_BYTES:
            self._write_rows()

    def _write_rows(self) -> None:
        if self._part is None:
            path = f"{self._folder}/{self.kind}-{uuid.uuid4().hex}.{self.suffix}"
            self._part = _OpenPart(self.kind, path, self._filesystem.open(path, "wb"))
        self._write_batch(self._part, self._rows)
        self._rows, self._bytes = [], 0

    def _write_batch(self, part: _OpenPart, rows: list[Any]) -> None:
        raise NotImplementedError

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._rows:
            self._write_rows()
        self._note.write()
        part, self._part = self._part, None
        if part is None or part.first is None:
            return
        if part.parquet is not None:
            part.parquet.close()
        part.stream.close()
        yield at_end(Part(part.kind, part.path, part.first, part.tally, part.review.rows()))


class WriteAnnotations(_WriteDoFn):
    """Annotated records to files of the job's format."""

    kind = "annotations"

    def __init__(self, state: str, layout: RowFormat, suffix: str) -> None:
        """`state` is the URL of the output's state folder; `suffix` is parquet or jsonl."""
        super().__init__(state)
        self._layout = layout
        self.suffix = suffix

    def process(self, row: Annotated, types: ColumnTypes) -> None:
        """Take one record; `types` (a side input) are those of a JSONL input's columns."""
        self._types = types
        self._hold(row, len(row.record.payload) + 64 * len(row.annotation.scores))
        status = row.annotation.status.value
        self._note.add(annotated=1, **{status: 1}, nano_usd=int(row.usage.usd * 10**9))

    def _write_batch(self, part: _OpenPart, rows: list[Annotated]) -> None:
        part.tally += tally_annotated(rows)
        positions = [row.record.position for row in rows]
        part.first = min(positions) if part.first is None else min(part.first, *positions)
        for row in rows:
            part.review.offer(row)
        if self.suffix == "jsonl":
            part.stream.writelines(output_line(row, self._layout) for row in rows)
            return
        table = output_table(rows, self._layout, self._types)
        if part.parquet is None:
            part.parquet = pq.ParquetWriter(part.stream, table.schema, compression="zstd")
        part.parquet.write_table(table)


class WriteDeadLetters(_WriteDoFn):
    """Dead letters to JSONL files."""

    kind = "dead_letters"

    def process(self, letter: DeadLetter) -> None:
        """Take one dead letter."""
        self._hold(letter, 200 + len(letter.record or ""))
        self._note.add(dead_lettered=1)

    def _write_batch(self, part: _OpenPart, rows: list[DeadLetter]) -> None:
        part.tally += tally_dead(rows)
        positions = [row.position for row in rows]
        part.first = min(positions) if part.first is None else min(part.first, *positions)
        part.stream.writelines(_dead_line(row) for row in rows)


def _dead_line(letter: DeadLetter) -> bytes:
    line: dict[str, Any] = {
        "id": letter.id,
        "reason": letter.reason.value,
        "detail": letter.detail,
        "stage": letter.stage,
        "record": letter.record,
    }
    if letter.calls:
        line["usage"] = calls_row(letter.calls)
    return orjson.dumps(line, default=write_money) + b"\n"
