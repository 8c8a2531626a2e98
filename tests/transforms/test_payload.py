"""Tests of transforms/payload.py."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal

import pyarrow as pa
import pytest

from transforms.payload import decode_rows, encode_rows, json_row, transport_schema

NESTED = pa.struct(
    [
        ("list", pa.list_(pa.int16())),
        ("map", pa.map_(pa.string(), pa.int8())),
        ("struct", pa.struct([("x", pa.string())])),
    ]
)
ORDERED = pa.dictionary(pa.int8(), pa.string(), ordered=True)

COLUMNS = {
    "nested": pa.array(
        [{"list": [1, None], "map": [("k", 1), ("k", 2)], "struct": {"x": None}}, None, {"list": None}],
        NESTED,
    ),
    "list": pa.array([["a", None], None, []], pa.list_(pa.string())),
    "large_list": pa.array([[1.5], None, []], pa.large_list(pa.float64())),
    "fixed_list": pa.array([[1, 2], None, [None, 4]], pa.list_(pa.int8(), 2)),
    "map": pa.array([[("k", 1.5)], None, []], pa.map_(pa.string(), pa.float64())),
    "date32": pa.array([dt.date(2024, 2, 29), None, dt.date(1, 1, 1)], pa.date32()),
    "timestamp_tz": pa.array([1_700_000_000_123_456_789, None, -1], pa.timestamp("ns", tz="Asia/Tokyo")),
    "timestamp": pa.array([1_700_000_000_123, None, -1], pa.timestamp("ms")),
    "time": pa.array([dt.time(1, 2, 3, 4), None, dt.time(0)], pa.time64("us")),
    "duration": pa.array([1500, None, -1500], pa.duration("ms")),
    "decimal128": pa.array(
        [Decimal("12345678901234567890.12"), None, Decimal("-0.01")], pa.decimal128(38, 2)
    ),
    "decimal256": pa.array([Decimal("1" * 60 + ".5"), None, Decimal("0.1")], pa.decimal256(70, 1)),
    "binary": pa.array([b"\xff\x00", None, b""], pa.binary()),
    "fixed_binary": pa.array([b"abcd", None, b"\0\0\0\0"], pa.binary(4)),
    "large_string": pa.array(["é", None, ""], pa.large_string()),
    "string_view": pa.array(["longer than twelve bytes", None, ""], pa.string_view()),
    "dictionary": pa.array(["b", None, "a"]).cast(ORDERED),
    "numbers": pa.DictionaryArray.from_arrays(pa.array([0, None, 1], pa.int16()), pa.array([7, 8])),
    "bool": pa.array([True, None, False]),
    "null": pa.nulls(3),
    "float": pa.array([math.nan, None, -0.0]),
    "integer": pa.array([2**64 - 1, None, 0], pa.uint64()),
}


def comparable(array: pa.Array) -> pa.Array:
    """Floats by their bits, as NaN equals nothing; dictionaries by their values, as their order is free."""
    if pa.types.is_floating(array.type):
        return array.view(pa.int64())
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


@pytest.mark.parametrize("name", COLUMNS)
def test_rows_come_back_exactly(name: str) -> None:
    """Every type, with a value, a null and an edge case, is the same after the journey."""
    batch = pa.record_batch({name: COLUMNS[name]})

    table = decode_rows(encode_rows(batch), batch.schema)

    assert table.schema.equals(batch.schema)
    assert comparable(table[name].combine_chunks()).equals(comparable(COLUMNS[name]))


def test_all_columns_travel_together_in_any_order() -> None:
    """Payloads of different batches can be decoded together, in any order."""
    batch = pa.record_batch(COLUMNS)
    first, second, third = encode_rows(batch)

    table = decode_rows([third, first, second], batch.schema)

    assert table.schema.equals(batch.schema)
    assert table["large_string"].to_pylist() == ["", "é", None]
    assert table["dictionary"].to_pylist() == ["a", "b", None]


def test_no_rows_are_an_empty_table() -> None:
    """Nothing in, nothing out, with the schema."""
    batch = pa.record_batch(COLUMNS)

    assert encode_rows(batch.slice(0, 0)) == []
    assert decode_rows([], batch.schema).equals(batch.schema.empty_table())


def test_a_row_of_a_slice_carries_only_itself() -> None:
    """A payload does not drag along the buffers of the rows around it."""
    batch = pa.record_batch({"text": ["x" * 100_000, "short", "y" * 100_000]})

    (payload,) = encode_rows(batch.slice(1, 1))

    assert len(payload) < 1_000
    assert decode_rows([payload], batch.schema)["text"].to_pylist() == ["short"]


def test_dictionaries_at_any_depth_travel_as_values() -> None:
    """The transport schema has no dictionary, and keeps names, nullability and the rest of each type."""
    words = pa.dictionary(pa.int8(), pa.string())
    schema = pa.schema(
        [
            pa.field("a", words, nullable=False),
            ("b", pa.list_(pa.field("word", words))),
            ("c", pa.struct([("d", words), ("e", pa.map_(pa.string(), words))])),
        ]
    )
    expected = pa.schema(
        [
            pa.field("a", pa.string(), nullable=False),
            ("b", pa.list_(pa.field("word", pa.string()))),
            ("c", pa.struct([("d", pa.string()), ("e", pa.map_(pa.string(), pa.string()))])),
        ]
    )

    assert transport_schema(schema).equals(expected)


def test_nested_dictionaries_come_back() -> None:
    """A list of dictionary words is again one of exactly that type."""
    words = pa.list_(pa.dictionary(pa.int8(), pa.string()))
    batch = pa.record_batch({"words": pa.array([["a", "b"], None, ["a"]]).cast(words)})

    table = decode_rows(encode_rows(batch), batch.schema)

    assert table.schema.equals(batch.schema)
    assert table["words"].to_pylist() == [["a", "b"], None, ["a"]]


def test_more_distinct_values_than_the_index_can_number() -> None:
    """Files with different small dictionaries may meet in one table; the type stays and no value is lost."""
    words = pa.dictionary(pa.int8(), pa.string())
    pieces = [
        pa.record_batch({"w": pa.array([f"{n}-{i}" for i in range(100)]).cast(words)}) for n in range(3)
    ]
    payloads = [payload for piece in pieces for payload in encode_rows(piece)]

    table = decode_rows(payloads, pieces[0].schema)

    assert table.schema.field("w").type == words
    assert table["w"].to_pylist() == [f"{n}-{i}" for n in range(3) for i in range(100)]


def test_a_payload_that_is_none_is_refused() -> None:
    """Bytes that are no record batch raise Arrow's own error."""
    with pytest.raises((pa.ArrowInvalid, OSError)):
        decode_rows([b"not a message"], pa.schema([("a", pa.int8())]))


def test_a_row_as_json_is_readable() -> None:
    """Dates are ISO 8601, decimals strings, bytes base64; NaN and null are null; map entries are pairs."""
    batch = pa.record_batch(COLUMNS)
    payloads = encode_rows(batch)

    assert json.loads(json_row(payloads[0], batch.schema)) == {
        "nested": {"list": [1, None], "map": [["k", 1], ["k", 2]], "struct": {"x": None}},
        "list": ["a", None],
        "large_list": [1.5],
        "fixed_list": [1, 2],
        "map": [["k", 1.5]],
        "date32": "2024-02-29",
        "timestamp_tz": "2023-11-15T07:13:20.123456789+0900",
        "timestamp": "2023-11-14T22:13:20.123",
        "time": "01:02:03.000004",
        "duration": "PT1.5S",
        "decimal128": "12345678901234567890.12",
        "decimal256": "1" * 60 + ".5",
        "binary": "/wA=",
        "fixed_binary": "YWJjZA==",
        "large_string": "é",
        "string_view": "longer than twelve bytes",
        "dictionary": "b",
        "numbers": 7,
        "bool": True,
        "null": None,
        "float": None,
        "integer": 18446744073709551615,
    }
    assert json.loads(json_row(payloads[1], batch.schema)) == dict.fromkeys(COLUMNS)
    third = json.loads(json_row(payloads[2], batch.schema))
    assert (third["duration"], third["decimal128"], third["fixed_list"]) == ("-PT1.5S", "-0.01", [None, 4])


def test_a_row_with_bytes_that_are_not_utf8_still_has_json() -> None:
    """A dead letter about bad text must be able to show the row."""
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffb")]
    )
    batch = pa.record_batch({"text": bad})
    (payload,) = encode_rows(batch)

    assert json_row(payload, batch.schema) == '{"text":"a\ufffdb"}'
    assert decode_rows([payload], batch.schema)["text"].cast(pa.binary()).to_pylist() == [b"a\xffb"]
