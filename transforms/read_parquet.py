"""Parquet, streamed row group by row group and within each batch by batch, in bounded memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from router.records import DeadLetter, Position, Reason
from transforms.arrow_rows import (
    BATCH_BYTES,
    BATCH_ROWS,
    check_schema,
    check_unique,
    conform,
    job_schema,
    needed_columns,
    rows_of,
)
from transforms.files import open_binary
from transforms.payload import transport_schema
from transforms.splits import InputError, InputPlan, Split, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from router.job import Input
    from transforms.files import File
    from transforms.splits import Row

_FOOTER_THREADS = 8
# The read buffers of all columns together; one range request fetches one buffer.
_BUFFER_BYTES = 16 << 20
_MIN_COLUMN_BUFFER = 64 << 10
_MAX_COLUMN_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class _Footer:
    file: File
    schema: pa.Schema
    groups: tuple[tuple[int, int], ...]
    """(rows, uncompressed bytes) of each row group."""


@dataclass(frozen=True, slots=True)
class _Unreadable:
    file: File
    cause: str


@dataclass(frozen=True, slots=True)
class _Reading:
    split: Split
    columns: Input
    schema: pa.Schema | None
    """The schema of the payloads; None where only the named columns are read."""


def plan(files: Sequence[File], columns: Input, *, split_bytes: int) -> InputPlan:
    """Read the footers and cut the files into runs of row groups of about `split_bytes` (uncompressed).

    A file that is not readable Parquet becomes a split that yields one dead letter.

    Raises:
        InputError: where no file is readable, the schemas contradict each other, a named column is missing,
            or the text column does not hold text.
    """
    with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
        found = list(pool.map(_read_footer, files))
    readable = [footer for footer in found if isinstance(footer, _Footer)]
    if not readable:
        cause = next(footer.cause for footer in found if isinstance(footer, _Unreadable))
        raise InputError(f"{files[0].url}: not readable as Parquet: {cause}; check how it was written")
    schema = _unify(readable)
    check_schema(readable[0].file.url, schema, columns)
    splits: list[Split] = []
    for number, footer in enumerate(found):
        splits += _splits(number, footer, split_bytes)
    return InputPlan(tuple(splits), job_schema(schema), tuple(schema.names))


def read(
    split: Split, columns: Input, *, schema: pa.Schema, with_payload: bool
) -> Iterator[Row | DeadLetter]:
    """Stream the rows of a split; a row group that does not decode costs its remaining rows, no others.

    Raises:
        OSError: where the file cannot be read (not where its content is bad).
    """
    if split.fault is not None:
        yield _lost(split, 0, f"{split.url}: not readable as Parquet: {split.fault}")
        return
    reading = _Reading(split, columns, schema if with_payload else None)
    with open_binary(split.url, cached=False) as source:
        parquet = _open(source, len(schema.names) if with_payload else len(needed_columns(columns)))
        row = split.first_row
        for group in range(split.start, parquet.num_row_groups if split.stop is None else split.stop):
            yield from _read_group(parquet, group, row, reading)
            row += parquet.metadata.row_group(group).num_rows


def _read_group(
    parquet: pq.ParquetFile, group: int, first_row: int, reading: _Reading
) -> Iterator[Row | DeadLetter]:
    split, columns = reading.split, reading.columns
    meta = parquet.metadata.row_group(group)
    row, end = first_row, first_row + meta.num_rows
    batches = parquet.iter_batches(
        batch_size=max(1, min(BATCH_ROWS, BATCH_BYTES * meta.num_rows // max(meta.total_byte_size, 1))),
        row_groups=[group],
        columns=needed_columns(columns) if reading.schema is None else None,
        use_threads=False,
    )
    cause = "it ends early"
    while row < end:
        try:
            batch = next(batches)
        except StopIteration:
            break
        except (pa.ArrowException, OSError) as error:
            if not _is_damage(error):
                raise
            cause = one_line(error)
            break
        yield from rows_of(batch, Position(split.file, row), split.url, columns, reading.schema)
        row += batch.num_rows
    for lost in range(row, end):
        yield _lost(
            split,
            lost,
            f"{split.url}, row group {group}, row {lost:,}: the row group does not decode: {cause}",
        )


def _lost(split: Split, row: int, detail: str) -> DeadLetter:
    return DeadLetter(Position(split.file, row), None, Reason.CORRUPT_DATA, detail, stage="read", record=None)


def _open(source: IO[bytes], columns: int) -> pq.ParquetFile:
    # Without a buffer Arrow holds whole column chunks, which are as large as the writer liked.
    buffer = min(max(_BUFFER_BYTES // max(columns, 1), _MIN_COLUMN_BUFFER), _MAX_COLUMN_BUFFER)
    return pq.ParquetFile(source, buffer_size=buffer, pre_buffer=False, page_checksum_verification=True)


def _read_footer(file: File) -> _Footer | _Unreadable:
    try:
        with open_binary(file.url, cached=False) as source:
            parquet = pq.ParquetFile(source)
            groups = [parquet.metadata.row_group(group) for group in range(parquet.num_row_groups)]
            sizes = tuple((group.num_rows, group.total_byte_size) for group in groups)
            return _Footer(file, parquet.schema_arrow, sizes)
    except (pa.ArrowException, OSError) as error:
        if _is_damage(error):
            return _Unreadable(file, one_line(error))
        raise InputError(f"{file.url}: cannot be read: {one_line(error)}; check your rights") from error


def _is_damage(error: Exception) -> bool:
    """Whether Arrow found the data bad; errors of disk and network have an errno or a type of their own."""
    return isinstance(error, pa.ArrowException) or (type(error) is OSError and error.errno is None)


def _splits(number: int, footer: _Footer | _Unreadable, split_bytes: int) -> Iterator[Split]:
    url = footer.file.url
    if isinstance(footer, _Unreadable):
        yield Split("parquet", url, number, 0, 0, fault=footer.cause)
        return
    start = first_row = rows = size = 0
    for group, (group_rows, group_bytes) in enumerate(footer.groups):
        rows += group_rows
        size += group_bytes
        if size >= split_bytes or group == len(footer.groups) - 1:
            if rows:
                yield Split("parquet", url, number, start, group + 1, first_row=first_row, rows=rows)
            start, first_row = group + 1, first_row + rows
            rows = size = 0


def _unify(footers: Sequence[_Footer]) -> pa.Schema:
    """One schema for all files; where their types differ, one that holds the values of both."""
    for footer in footers:
        check_unique(footer.file.url, footer.schema)
    schema = footers[0].schema
    for footer in footers[1:]:
        if not footer.schema.equals(schema):
            schema = _unite(schema, footer, footers[0])
    for footer in footers:
        _check_castable(footer, schema, footers[0])
    return schema


def _unite(schema: pa.Schema, footer: _Footer, first: _Footer) -> pa.Schema:
    try:
        return pa.unify_schemas([schema, footer.schema], promote_options="permissive")
    except pa.ArrowException:
        # A column that one file holds as dictionary and the other plain is the same column.
        dense = [transport_schema(schema), transport_schema(footer.schema)]
    try:
        return pa.unify_schemas(dense, promote_options="permissive")
    except pa.ArrowException as error:
        raise _contradiction(footer, first, error) from error


def _check_castable(footer: _Footer, schema: pa.Schema, first: _Footer) -> None:
    try:
        conform(pa.RecordBatch.from_pylist([], schema=footer.schema), schema)
    except pa.ArrowException as error:
        raise _contradiction(footer, first, error) from error


def _contradiction(footer: _Footer, first: _Footer, error: pa.ArrowException) -> InputError:
    return InputError(
        f"{footer.file.url}: its columns contradict those of {first.file.url}: {one_line(error)}; run them "
        "as separate jobs, or cast one"
    )
