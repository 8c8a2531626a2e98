"""Rows out of Arrow record batches; what Parquet files and datasets share."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa

from router.records import DeadLetter, Position, Reason
from transforms.payload import encode_rows, json_row, transport_schema
from transforms.splits import InputError, Row, check_columns, one_line, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from router.job import Input

BATCH_ROWS = 1024
BATCH_BYTES = 4 << 20
"""About how many bytes of rows are held at once, as far as rows can be told apart."""

_BAD_UTF8 = object()


def check_schema(where: str, schema: pa.Schema, columns: Input) -> None:
    """Refuse a schema that lacks a named column, or whose text column does not hold text.

    Raises:
        InputError: naming the column, and its type or the nearest column.
    """
    check_columns(where, schema.names, columns, needs_gold=True)
    kind = schema.field(columns.text).type
    if not _holds_text(kind):
        raise InputError(
            f'input.text: column "{columns.text}" of {where} is of type {kind}, not text; name a string '
            "column or cast it"
        )


def check_unique(where: str, schema: pa.Schema) -> None:
    """Refuse a schema in which a column's name does not tell which column is meant.

    Raises:
        InputError: naming the column.
    """
    name, times = Counter(schema.names).most_common(1)[0] if schema.names else ("", 0)
    if times > 1:
        raise InputError(f'{where}: column "{shown(name)}" appears {times} times; rename all but one')


def job_schema(schema: pa.Schema) -> pa.Schema:
    """The schema in which rows are carried: nested dictionaries dense, the file's own metadata dropped.

    That metadata (of pandas, of Hugging Face) describes the columns one by one, and would be wrong about an
    output that has more.
    """
    dense = transport_schema(schema)
    fields = [
        field if pa.types.is_dictionary(field.type) else dense.field(index)
        for index, field in enumerate(schema)
    ]
    return pa.schema(fields)


def needed_columns(columns: Input) -> list[str]:
    """The names of the columns that a job looks at, each once."""
    named = (columns.text, columns.id, columns.task, columns.gold)
    return list(dict.fromkeys(name for name in named if name is not None))


def rows_of(
    batch: pa.RecordBatch, first: Position, where: str, columns: Input, schema: pa.Schema | None
) -> Iterator[Row | DeadLetter]:
    """The rows of a batch, in order.

    Args:
        batch: any number of rows; columns may lack or differ in type from `schema`.
        first: position of the batch's first row; the others follow by ones.
        where: the name of the file, for messages.
        columns: which columns hold what.
        schema: the schema of the payloads; None for rows without payload.
    """
    step = max(1, BATCH_BYTES * batch.num_rows // max(batch.nbytes, 1)) if batch.num_rows else 1
    for start in range(0, batch.num_rows, step):
        piece = batch.slice(start, step)
        begin = Position(first.file, first.offset + start)
        try:
            rows = _rows(
                conform(piece, schema) if schema is not None else piece, begin, where, columns, schema
            )
        except pa.ArrowInvalid as error:
            # One value that does not fit the job's schema (a string of a file that is not UTF-8, an integer
            # beyond what a float holds) must cost one row: try them one by one.
            if piece.num_rows == 1:
                yield _misfit(begin, where, error)
            else:
                for row in range(piece.num_rows):
                    at = Position(begin.file, begin.offset + row)
                    yield from rows_of(piece.slice(row, 1), at, where, columns, schema)
        else:
            yield from rows


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in the form in which rows of `schema` travel; columns it lacks are null.

    Raises:
        pyarrow.ArrowInvalid: where a value does not fit the schema's type.
    """
    target = transport_schema(schema)
    arrays = [
        _cast(batch.column(field.name), field.type)
        if field.name in batch.schema.names
        else pa.nulls(batch.num_rows, field.type)
        for field in target
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=target)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if column.type == kind else column.cast(kind)


def _rows(
    batch: pa.RecordBatch, first: Position, where: str, columns: Input, schema: pa.Schema | None
) -> list[Row | DeadLetter]:
    rows: list[Row | DeadLetter] = []
    payloads = encode_rows(batch) if schema is not None else [b""] * batch.num_rows
    names = (columns.text, columns.id, columns.task, columns.gold)
    fields = [_values(batch, name) for name in names]
    for index, (payload, values) in enumerate(zip(payloads, zip(*fields, strict=True), strict=True)):
        position = Position(first.file, first.offset + index)
        if _BAD_UTF8 in values:
            column = names[values.index(_BAD_UTF8)]
            detail = f'{where}, row {position.offset:,}: column "{column}" is not UTF-8; convert the file'
            record = json_row(payload, schema) if schema is not None else None
            rows.append(DeadLetter(position, None, Reason.INVALID_UTF8, detail, stage="read", record=record))
        else:
            text, identifier, task, gold = values
            rows.append(Row(position, text, identifier, task, gold, payload))
    return rows


def _values(batch: pa.RecordBatch, name: str | None) -> list[object]:
    if name is None or name not in batch.schema.names:
        return [None] * batch.num_rows
    column = batch.column(name)
    if pa.types.is_temporal(column.type) or pa.types.is_decimal(column.type):
        # Not every timestamp or date of Arrow's has a Python value.
        column = column.cast(pa.string())
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return _BAD_UTF8


def _misfit(position: Position, where: str, error: pa.ArrowInvalid) -> DeadLetter:
    bad_text = "UTF8" in str(error)
    reason = Reason.INVALID_UTF8 if bad_text else Reason.CORRUPT_DATA
    detail = (
        f"{where}, row {position.offset:,}: a value does not fit the type of its column: {one_line(error)}"
    )
    return DeadLetter(position, None, reason, detail, stage="read", record=None)


def _holds_text(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _holds_text(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _holds_text(kind.value_type)
    types = pa.types
    checks = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_binary,
        types.is_large_binary,
        types.is_binary_view,
        types.is_null,
    )
    return any(check(kind) for check in checks)
