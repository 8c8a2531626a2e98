"""The annotated rows of JSON Lines as polars frames, in batches."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.json as pj

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LINES = 5_000
_BYTES = 16 << 20

Schema = dict[str, "pl.DataType | type[pl.DataType]"]

ANNOTATION: Schema = {
    "task": pl.String,
    "label": pl.String,
    "labels": pl.List(pl.String),
    "confidence": pl.Float64,
    "model": pl.String,
    "status": pl.String,
}
ROUTE: Schema = {"language": pl.String, "domain": pl.String, "chosen": pl.String, "rule": pl.Int64}
USD = pl.Decimal(38, 12)
_FIGURES: Schema = {
    "input_tokens": pl.Int64,
    "cached_tokens": pl.Int64,
    "output_tokens": pl.Int64,
    "seconds": pl.Float64,
    "usd": USD,
}
USAGE: Schema = {"seconds": pl.Float64, "usd": USD}
CALL: Schema = {"model": pl.String, **_FIGURES}


def read_lines(stream: IO[bytes], gold: str | None) -> Iterator[pl.DataFrame]:
    """The rows of a file in batches: `ANNOTATION`, `ROUTE`, `USAGE`, the `calls`, and `gold` as text."""
    lines: list[bytes] = []
    size = 0
    for line in stream:
        lines.append(line)
        size += len(line)
        # A line may have ten megabytes, and is several times as large when it is parsed.
        if len(lines) == _LINES or size >= _BYTES:
            yield _frame(lines, gold)
            lines, size = [], 0
    if lines:
        yield _frame(lines, gold)


def _frame(lines: list[bytes], gold: str | None) -> pl.DataFrame:
    try:
        return _arrow_frame(b"".join(lines), gold)
    except pa.ArrowInvalid:
        # Arrow takes neither true labels that are numbers or lists nor half surrogate pairs.
        return _plain_frame([_parsed(line) for line in lines], gold)


def _arrow_frame(data: bytes, gold: str | None) -> pl.DataFrame:
    """Rows of JSON as Arrow reads them, four times as fast as one by one; money is text there.

    Raises `pyarrow.ArrowInvalid` where a row is not as expected.
    """
    # One block, as rows must not be split.
    whole = pj.ReadOptions(use_threads=False, block_size=len(data) + 1)
    known = pj.ParseOptions(explicit_schema=_arrow_schema(gold), unexpected_field_behavior="ignore")
    read = pj.read_json(pa.py_buffer(data), read_options=whole, parse_options=known)
    calls = pl.element().struct.with_fields(pl.field("usd").cast(USD))
    return pl.DataFrame(pl.from_arrow(read)).select(
        *(_part("annotation", name).cast(kind) for name, kind in ANNOTATION.items()),
        *(
            _part("route", "model" if name == "chosen" else name).cast(kind).alias(name)
            for name, kind in ROUTE.items()
        ),
        *(_part("usage", name).cast(kind) for name, kind in USAGE.items()),
        _part("usage", "calls").list.eval(calls).cast(pl.List(pl.Struct(CALL))),
        (pl.lit(None, pl.String) if gold is None else pl.col(gold).cast(pl.String)).alias("gold"),
    )


def _part(column: str, name: str) -> pl.Expr:
    return pl.col(column).struct.field(name)


def _arrow_schema(gold: str | None) -> pa.Schema:
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    names = {pl.String: text, pl.Int64: whole, pl.Float64: real, USD: text}
    names |= {pl.List(pl.String): pa.list_(text)}
    call = pa.struct([(name, names[kind]) for name, kind in CALL.items()])
    route = {"model" if name == "chosen" else name: kind for name, kind in ROUTE.items()}
    usage = [(name, names[kind]) for name, kind in USAGE.items()]
    fields = [
        ("annotation", pa.struct([(name, names[kind]) for name, kind in ANNOTATION.items()])),
        ("route", pa.struct([(name, names[kind]) for name, kind in route.items()])),
        ("usage", pa.struct([*usage, ("calls", pa.list_(call))])),
    ]
    return pa.schema(fields + ([] if gold is None else [(gold, text)]))


def _parsed(line: bytes) -> Mapping[str, Any]:
    try:
        found: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        # Half of a surrogate pair, which the input had and which is kept as it was.
        found = json.loads(line)
    return found


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else value.encode("utf-8", "replace").decode()
    return json.dumps(value)


def _plain_frame(rows: list[Mapping[str, Any]], gold: str | None) -> pl.DataFrame:
    """Rows of JSON, column by column: money is text there."""
    usages = [row["usage"] for row in rows]
    calls = [usage.get("calls") or () for usage in usages]
    columns = [
        *(pl.Series(name, _each(rows, "annotation", name), kind) for name, kind in ANNOTATION.items()),
        *(
            pl.Series(name, _each(rows, "route", "model" if name == "chosen" else name), kind)
            for name, kind in ROUTE.items()
        ),
        pl.Series("seconds", [usage.get("seconds") for usage in usages], pl.Float64),
        pl.Series("usd", [usage.get("usd") for usage in usages], pl.String).cast(USD),
        _calls_of_lines(calls),
        pl.Series("gold", [None if gold is None else _as_text(row.get(gold)) for row in rows], pl.String),
    ]
    return pl.DataFrame(columns)


def _each(rows: list[Mapping[str, Any]], column: str, name: str) -> list[Any]:
    return [row[column].get(name) for row in rows]


def _calls_of_lines(calls: list[Sequence[Mapping[str, Any]]]) -> pl.Series:
    """The calls of each row as a list of structs; built flat, which is several times as fast."""
    flat = [call for of_row in calls for call in of_row]
    fields = [
        pl.Series(name, [call.get(name) for call in flat], pl.String if name == "usd" else kind).cast(kind)
        for name, kind in CALL.items()
    ]
    numbers = pl.Series("row", [number for number, of_row in enumerate(calls) for _ in of_row], pl.Int64)
    grouped = pl.DataFrame([numbers, pl.DataFrame(fields).to_struct("calls")]).group_by(
        "row", maintain_order=True
    )
    found = pl.DataFrame({"row": pl.Series(range(len(calls)), dtype=pl.Int64)})
    return found.join(grouped.agg("calls"), on="row", how="left", maintain_order="left")["calls"]
