"""Rows as bytes: each input row travels as one Arrow record batch in IPC format, without its schema.

Dictionary columns travel as dense values, because a dictionary would go with every row; `decode_rows` encodes
them again. The schema is the job's, known to both ends, so it is not repeated either.
"""

from __future__ import annotations

import base64
import functools
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SECONDS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def transport_schema(schema: pa.Schema) -> pa.Schema:
    """The schema in which rows travel: dictionaries, at any depth, become their value type."""
    return pa.schema([field.with_type(_dense(field.type)) for field in schema])


def encode_rows(batch: pa.RecordBatch) -> list[bytes]:
    """One IPC message for each row of the batch, without schema; the inverse of `decode_rows`."""
    dense = _cast_batch(batch, transport_schema(batch.schema))
    return [dense.slice(row, 1).serialize().to_pybytes() for row in range(dense.num_rows)]


def decode_rows(payloads: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    """A table with one row for each payload, of exactly `schema`.

    The order of a dictionary's values is that of their first appearance here. Where a table holds more
    distinct values than the index type can number, the column has several chunks, each with its own.

    Raises:
        pyarrow.ArrowInvalid: where a payload is not a row of this schema.
    """
    transport = transport_schema(schema)
    batches = [pa.ipc.read_record_batch(pa.py_buffer(payload), transport) for payload in payloads]
    table = pa.Table.from_batches(batches, transport).combine_chunks()
    columns = [_encode(column, field.type) for column, field in zip(table.columns, schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)


def json_row(payload: bytes, schema: pa.Schema) -> str:
    """A row as a JSON object, for people: dates in ISO 8601, decimals as strings, bytes in base64.

    What JSON cannot hold is null (NaN, infinities); bytes that are not UTF-8 in a string show as U+FFFD.
    """
    batch = pa.ipc.read_record_batch(pa.py_buffer(payload), _transport_of(schema))
    row = {name: _plain(batch.column(index)[0]) for index, name in enumerate(schema.names)}
    return orjson.dumps(row).decode()


@functools.lru_cache(maxsize=8)
def _transport_of(schema: pa.Schema) -> pa.Schema:
    # A job has one schema, and asks for each of its rows.
    return transport_schema(schema)


def _cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _dense(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _dense(kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_dense(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(
            kind.key_field.with_type(_dense(kind.key_type)),
            kind.item_field.with_type(_dense(kind.item_type)),
            keys_sorted=kind.keys_sorted,
        )
    for is_list, make in _LISTS:
        if is_list(kind):
            return make(kind.value_field.with_type(_dense(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_dense(kind.value_type)), kind.list_size)
    return kind


_LISTS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Field], pa.DataType]], ...] = (
    (pa.types.is_list, pa.list_),
    (pa.types.is_large_list, pa.large_list),
)


def _encode(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if not pa.types.is_dictionary(kind):
        return column.cast(kind)
    try:
        return pa.chunked_array([_dictionary(chunk, kind) for chunk in column.chunks], type=kind)
    except pa.ArrowInvalid:
        # No more rows than the index type can number, so that no chunk can have too many distinct values.
        room = 2 ** (kind.index_type.bit_width - 1)
        pieces = [column.slice(start, room).combine_chunks() for start in range(0, len(column), room)]
        return pa.chunked_array([_dictionary(piece, kind) for piece in pieces], type=kind)


def _dictionary(dense: pa.Array, kind: pa.DataType) -> pa.DictionaryArray:
    encoded = pc.dictionary_encode(dense)
    return pa.DictionaryArray.from_arrays(
        encoded.indices.cast(kind.index_type), encoded.dictionary, ordered=kind.ordered
    )


def _plain(value: pa.Scalar) -> object:
    if not value.is_valid:
        return None
    kind = value.type
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(value.value)
    return _converter(kind)(value)


@functools.lru_cache(maxsize=256)
def _converter(kind: pa.DataType) -> Callable[[pa.Scalar], object]:
    # Which converter fits is found once for a type: to ask anew for each value takes most of the time.
    return next((convert for is_kind, convert in _PLAIN if is_kind(kind)), str)


def _duration(value: pa.Scalar) -> str:
    digits = _SECONDS[value.type.unit]
    whole, part = divmod(abs(value.value), 10**digits)
    seconds = f"{whole}.{part:0{digits}d}".rstrip("0").rstrip(".") if digits else str(whole)
    return f"{'-' if value.value < 0 else ''}PT{seconds}S"


def _text(value: pa.Scalar) -> str:
    return bytes(value.as_buffer()).decode(errors="replace")


def _iso(value: pa.Scalar) -> str:
    return str(value.cast(pa.string()).as_py()).replace(" ", "T")


def _map(value: pa.Scalar) -> object:
    # A map may repeat a key, and its keys need not be strings: JSON objects cannot say either.
    return [[_plain(entry["key"]), _plain(entry["value"])] for entry in value.values]


def _any_of(*checks: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    return lambda kind: any(check(kind) for check in checks)


_types = pa.types
_PLAIN: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Scalar], object]], ...] = (
    (_any_of(_types.is_boolean, _types.is_integer), lambda value: value.as_py()),
    (_types.is_floating, lambda value: float(value.as_py())),
    (_any_of(_types.is_string, _types.is_large_string, _types.is_string_view), _text),
    (
        _any_of(_types.is_binary, _types.is_large_binary, _types.is_fixed_size_binary, _types.is_binary_view),
        lambda value: base64.b64encode(bytes(value.as_buffer())).decode(),
    ),
    (_any_of(_types.is_date, _types.is_time, _types.is_timestamp), _iso),
    (_types.is_duration, _duration),
    (_types.is_decimal, lambda value: format(value.as_py(), "f")),
    (_types.is_struct, lambda value: {name: _plain(value[name]) for name in value.type.names}),
    (_types.is_map, _map),
    (
        _any_of(_types.is_list, _types.is_large_list, _types.is_fixed_size_list),
        lambda value: [_plain(each) for each in value.values],
    ),
)
