"""The annotated rows of a finished output as polars frames: what reports count, and nothing else of them.

Rows are read in batches, of Parquet only the fields that are needed, so that texts and scores never are in
memory: a million records take about 150 MB.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import orjson
import polars as pl
import pyarrow.parquet as pq

from router.evaluation import list_labels, read_gold, write_labels
from transforms.output_files import annotation_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from fsspec import AbstractFileSystem

_BATCH = 50_000
_LINES = 5_000
_BYTES = 16 << 20

_Schema = dict[str, "pl.DataType | type[pl.DataType]"]

_ANNOTATION: _Schema = {
    "task": pl.String,
    "label": pl.String,
    "labels": pl.List(pl.String),
    "confidence": pl.Float64,
    "model": pl.String,
    "status": pl.String,
}
_ROUTE: _Schema = {"language": pl.String, "domain": pl.String, "chosen": pl.String, "rule": pl.Int64}
_USD = pl.Decimal(38, 12)
_FIGURES: _Schema = {
    "input_tokens": pl.Int64,
    "cached_tokens": pl.Int64,
    "output_tokens": pl.Int64,
    "seconds": pl.Float64,
    "usd": _USD,
}
_USAGE: _Schema = {"seconds": pl.Float64, "usd": _USD}
_CALL: _Schema = {"model": pl.String, **_FIGURES}
_WORD = pl.Categorical()
"""Of values that repeat, each is kept once."""


@dataclass(frozen=True)
class OutputRows:
    """An output's rows as three frames."""

    records: pl.DataFrame
    """A row for each annotated record, in the order of the files: `task`, `confidence`, `model`, `status`,
    `language`, `domain`, `chosen` (the model of the route), `rule`, `seconds`, `usd`, and `right`: whether
    the answer is the true one, null where none is known."""
    labels: pl.DataFrame
    """A row for each label that was given: `task`, `label`, `right`."""
    calls: pl.DataFrame
    """A row for each model and record on which it was asked: `model`, tokens, `seconds`, `usd`."""


def read_output_rows(
    filesystem: AbstractFileSystem, folder: str, *, gold: str | None = None, multi_label: Collection[str] = ()
) -> OutputRows:
    """The rows of `annotations-*.parquet` or `.jsonl`.

    Args:
        filesystem: fsspec's, of the output.
        folder: The output folder, as the filesystem names it.
        gold: The input's column with the true label, where it has one.
        multi_label: Names of the tasks whose true labels are sets.
    """
    records, labels, calls = [_records(_empty())], [_labels(_empty())], [_calls(_empty())]
    for frame in _batches(filesystem, folder, gold):
        judged = _judged(frame, multi_label)
        records.append(_records(judged))
        labels.append(_labels(judged))
        calls.append(_calls(judged))
    return OutputRows(pl.concat(records), pl.concat(labels), pl.concat(calls))


def _batches(filesystem: AbstractFileSystem, folder: str, gold: str | None) -> Iterator[pl.DataFrame]:
    for path in annotation_files(filesystem, folder):
        with filesystem.open(path, "rb") as stream:
            yield from (_parquet if path.endswith(".parquet") else _lines)(stream, gold)


def _parquet(stream: IO[bytes], gold: str | None) -> Iterator[pl.DataFrame]:
    fields = [("annotation", name) for name in _ANNOTATION]
    fields += [("route", name) for name in ("language", "domain", "model", "rule")]
    fields += [("usage", name) for name in (*_USAGE, "calls")]
    wanted = [f"{column}.{name}" for column, name in fields] + ([] if gold is None else [gold])
    for batch in pq.ParquetFile(stream).iter_batches(batch_size=_BATCH, columns=wanted):
        frame = pl.DataFrame(pl.from_arrow(batch))
        known = {
            (column, field.name)
            for column in ("annotation", "route", "usage")
            for field in frame.schema[column].fields  # type: ignore[attr-defined]  # a struct has fields
        }
        yield frame.select(
            *(_field(known, "annotation", name, kind) for name, kind in _ANNOTATION.items()),
            *(
                _field(known, "route", "model" if name == "chosen" else name, kind).alias(name)
                for name, kind in _ROUTE.items()
            ),
            *(_field(known, "usage", name, kind) for name, kind in _USAGE.items()),
            _field(known, "usage", "calls", pl.List(pl.Struct(_CALL))),
            _gold_of(frame, gold),
        )


def _field(known: Collection[tuple[str, str]], column: str, name: str, kind: Any) -> pl.Expr:  # noqa: ANN401 - polars has no public name for "a data type or its class"
    found = pl.col(column).struct.field(name) if (column, name) in known else pl.lit(None)
    return found.cast(kind).alias(name)


def _gold_of(frame: pl.DataFrame, gold: str | None) -> pl.Expr:
    if gold is None or gold not in frame.columns:
        return pl.lit(None, pl.String).alias("gold")
    kind = frame.schema[gold]
    if isinstance(kind, (pl.List, pl.Array)):
        return (
            pl.col(gold)
            .map_elements(lambda labels: write_labels(list_labels(labels)), pl.String)
            .alias("gold")
        )
    return pl.col(gold).cast(pl.String, strict=False).alias("gold")


def _lines(stream: IO[bytes], gold: str | None) -> Iterator[pl.DataFrame]:
    rows: list[Mapping[str, Any]] = []
    size = 0
    for line in stream:
        rows.append(_parsed(line))
        size += len(line)
        # A line may have ten megabytes, and is several times as large when it is parsed.
        if len(rows) == _LINES or size >= _BYTES:
            yield _frame(rows, gold)
            rows, size = [], 0
    if rows:
        yield _frame(rows, gold)


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


def _frame(rows: list[Mapping[str, Any]], gold: str | None) -> pl.DataFrame:
    """Rows of JSON, column by column: money is text there."""
    usages = [row["usage"] for row in rows]
    calls = [usage.get("calls") or () for usage in usages]
    columns = [
        *(pl.Series(name, _each(rows, "annotation", name), kind) for name, kind in _ANNOTATION.items()),
        *(
            pl.Series(name, _each(rows, "route", "model" if name == "chosen" else name), kind)
            for name, kind in _ROUTE.items()
        ),
        pl.Series("seconds", [usage.get("seconds") for usage in usages], pl.Float64),
        pl.Series("usd", [usage.get("usd") for usage in usages], pl.String).cast(_USD),
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
        for name, kind in _CALL.items()
    ]
    numbers = pl.Series("row", [number for number, of_row in enumerate(calls) for _ in of_row], pl.Int64)
    grouped = pl.DataFrame([numbers, pl.DataFrame(fields).to_struct("calls")]).group_by(
        "row", maintain_order=True
    )
    found = pl.DataFrame({"row": pl.Series(range(len(calls)), dtype=pl.Int64)})
    return found.join(grouped.agg("calls"), on="row", how="left", maintain_order="left")["calls"]


def _columns() -> _Schema:
    calls = pl.List(pl.Struct(_CALL))
    return {**_ANNOTATION, **_ROUTE, **_USAGE, "calls": calls, "gold": pl.String}


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema={**_columns(), "said": pl.List(pl.String), "true": pl.List(pl.String)})


def _judged(frame: pl.DataFrame, multi_label: Collection[str]) -> pl.DataFrame:
    """With the labels that were `said` and those that are `true`, as lists; null where none are known."""
    said, true = pl.concat_list("label"), pl.concat_list("gold")
    if multi_label:
        several = pl.col("task").is_in(list(multi_label))
        said = pl.when(several).then(pl.col("labels")).otherwise(said)
        sets = pl.col("gold").map_elements(read_gold, pl.List(pl.String))
        true = pl.when(several).then(sets).otherwise(true)
    # A list of nothing known is not known.
    true = pl.when(pl.col("gold").is_not_null()).then(true)
    return frame.with_columns(said.alias("said"), true.alias("true"))


def _records(judged: pl.DataFrame) -> pl.DataFrame:
    words = ("task", "model", "status", "language", "domain", "chosen")
    right = pl.col("said").list.unique().list.sort() == pl.col("true").list.unique().list.sort()
    return judged.select(
        *(pl.col(name).cast(_WORD) for name in words),
        *(pl.col(name) for name in ("confidence", "rule", *_USAGE)),
        right.alias("right"),
    )


def _labels(judged: pl.DataFrame) -> pl.DataFrame:
    given = judged.select("task", pl.col("said").list.unique().alias("label"), "true").explode("label")
    return given.filter(pl.col("label").is_not_null()).select(
        pl.col("task", "label").cast(_WORD), pl.col("true").list.contains(pl.col("label")).alias("right")
    )


def _calls(judged: pl.DataFrame) -> pl.DataFrame:
    calls = judged.select(pl.col("calls").explode()).drop_nulls().unnest("calls")
    return calls.with_columns(pl.col("model").cast(_WORD))
