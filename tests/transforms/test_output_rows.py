"""The columns of the output: the input's own as they were, and three more."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from router.records import Usage
from tests.transforms.rows_examples import annotated
from tests.transforms.test_json_types import types_of
from transforms.json_types import ColumnTypes
from transforms.output_rows import RowFormat, output_line, output_table
from transforms.payload import encode_rows

JSONL = RowFormat(None, frozenset(), single_label=True, adds_id=False)

OWN_LINES = [
    b'{"text": "fine", "n": 123456789012345678901234567890, "x": 1e308, "y": 1.10, "z": -0.0}',
    b'{"z": 1, "a": 2, "text": "fine", "a": 3}',
    rb'{"text": "fine \u00e9\/\ud83d\ude00", "e": "\u0000"}',
    '{"text": "fine é 👍 \u2028", "nested": {"b": [1, {"c": null}], "a": 1.0}}'.encode(),
    b'{\t"text" :"fine" , "n" : [ 1 ,2 ]}',
]


@pytest.mark.parametrize("line", OWN_LINES)
def test_a_json_line_keeps_its_bytes(line: bytes) -> None:
    """Numbers, order and repetition of keys, escapes and spaces stay; the new keys follow."""
    written = output_line(annotated(line), JSONL)

    assert written.startswith(line[:-1] + b',"annotation":{')
    assert written.endswith(b"}\n")
    assert list(json.loads(written))[-3:] == ["annotation", "route", "usage"]


def test_what_is_added_to_a_json_line() -> None:
    """Money is text, everything else what JSON has for it."""
    written = json.loads(output_line(annotated(b' {"text": "fine" }\r'), JSONL))

    assert written == {
        "text": "fine",
        "annotation": {
            "task": "mood",
            "label": "good",
            "confidence": 0.9,
            "scores": [{"label": "good", "probability": 0.9}],
            "model": "small",
            "status": "kept",
            "reason": "because",
            "parts": 1,
            "raw_answer": None,
        },
        "route": {
            "language": "en",
            "domain": None,
            "task": "mood",
            "complexity": None,
            "model": "small",
            "rule": None,
        },
        "usage": {
            "input_tokens": 10,
            "cached_tokens": 6,
            "output_tokens": 0,
            "seconds": 0.5,
            "usd": "0.000500",
            "calibration_usd": "0.000000",
            "calls": [
                {
                    "model": "small",
                    "input_tokens": 10,
                    "cached_tokens": 6,
                    "output_tokens": 0,
                    "seconds": 0.5,
                    "usd": "0.000500",
                }
            ],
        },
    }


def test_an_id_is_added_where_the_job_gives_one() -> None:
    """Unless the row has a column of that name already."""
    adds = RowFormat(None, frozenset(), single_label=True, adds_id=True)

    assert json.loads(output_line(annotated(b'{"text": "fine"}'), adds))["id"] == "r1"
    assert json.loads(output_line(annotated(b'{"text": "fine", "id": 7}'), adds))["id"] == 7
    assert "id" not in json.loads(output_line(annotated(b'{"text": "fine"}'), JSONL))


def test_a_multi_label_task_has_labels() -> None:
    """A list, empty where no label applies; tasks of the other kind beside it keep their one label."""
    layout = RowFormat(None, frozenset({"topics"}), single_label=True, adds_id=False)
    none = annotated(b'{"text": "fine"}', task="topics", labels=())
    one = annotated(b'{"text": "fine"}')

    assert json.loads(output_line(none, layout))["annotation"]["labels"] == []
    assert json.loads(output_line(one, layout))["annotation"]["label"] == "good"
    table = output_table([none, one], layout, types_of(b'{"text": "fine"}'))
    said = table.column("annotation").to_pylist()
    assert [(row["label"], row["labels"]) for row in said] == [(None, []), ("good", None)]


def test_json_lines_become_typed_columns() -> None:
    """Types come from the whole input; money is decimal."""
    types = types_of(b'{"text": "fine", "day": "2024-01-31"}', b'{"n": 1}')
    tiny = Usage(usd=Decimal("0.000000000001"))

    table = output_table([annotated(b'{"text": "fine", "n": 2}', usage=tiny)], JSONL, types)

    assert table.column_names == ["text", "day", "n", "annotation", "route", "usage"]
    assert table.schema.field("day").type == pa.string()
    [row] = table.to_pylist()
    assert (row["text"], row["day"], row["n"]) == ("fine", None, 2)
    assert row["usage"]["usd"] == Decimal("0.000000000001")
    assert table.schema.field("usage").type.field("usd").type == pa.decimal128(24, 12)


RICH = pa.schema(
    [
        ("text", pa.large_string()),
        ("nested", pa.struct([("a", pa.list_(pa.int8())), ("b", pa.map_(pa.string(), pa.float32()))])),
        ("price", pa.decimal128(9, 2)),
        ("day", pa.date32()),
        ("at", pa.timestamp("ns", "Europe/Vienna")),
        ("raw", pa.binary()),
        ("kind", pa.dictionary(pa.int8(), pa.string())),
        pa.field("number", pa.uint16(), nullable=False),
        ("vector", pa.list_(pa.float32(), 2)),
        ("nothing", pa.null()),
    ]
)
AT = dt.datetime(2024, 1, 31, 12, 0, tzinfo=dt.timezone.utc)
RICH_ROWS: list[dict[str, Any]] = [
    {
        "text": "fine",
        "nested": {"a": [1, None], "b": [("k", 0.5)]},
        "price": decimal.Decimal("1234567.80"),
        "day": dt.date(1969, 12, 31),
        "at": AT,
        "raw": b"\xff\x00",
        "kind": "x",
        "number": 65535,
        "vector": [0.25, -1.0],
        "nothing": None,
    },
    # Arrow cannot read back a null among lists of a fixed size.
    dict.fromkeys(RICH.names) | {"text": "fine", "number": 0, "kind": "y", "vector": [0.0, 1.0]},
]


def rich_table() -> pa.Table:
    """Rows of many types, written as output and read back from Parquet."""
    payloads = encode_rows(pa.RecordBatch.from_pylist(RICH_ROWS, schema=RICH))
    layout = RowFormat(RICH, frozenset(), single_label=True, adds_id=True)
    file = io.BytesIO()
    pq.write_table(output_table([annotated(row) for row in payloads], layout, ColumnTypes()), file)
    return pq.read_table(file)


def test_parquet_columns_keep_type_and_value() -> None:
    """Nested, decimal, dates, time zones, binary, dictionaries, nullability."""
    table = rich_table()

    assert pa.schema(list(table.schema)[: len(RICH)]) == RICH
    assert table.select(RICH.names).to_pylist() == RICH_ROWS
    assert table.column_names[len(RICH) :] == ["id", "annotation", "route", "usage"]


def test_a_parquet_row_as_a_json_line() -> None:
    """Dates in ISO 8601, decimals as text, bytes in base64."""
    payloads = encode_rows(pa.RecordBatch.from_pylist(RICH_ROWS, schema=RICH))
    layout = RowFormat(RICH, frozenset(), single_label=True, adds_id=False)

    written = json.loads(output_line(annotated(payloads[0]), layout))

    assert {name: written[name] for name in ("text", "nested", "price", "day", "raw", "kind", "number")} == {
        "text": "fine",
        "nested": {"a": [1, None], "b": [["k", 0.5]]},
        "price": "1234567.80",
        "day": "1969-12-31",
        "raw": "/wA=",
        "kind": "x",
        "number": 65535,
    }
    assert written["annotation"]["label"] == "good"


def test_a_table_of_no_rows_has_all_columns() -> None:
    """What a job with dead letters only writes."""
    layout = RowFormat(RICH, frozenset(), single_label=True, adds_id=False)

    assert output_table([], layout, ColumnTypes()).schema.names == [
        *RICH.names,
        "annotation",
        "route",
        "usage",
    ]
