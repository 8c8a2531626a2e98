"""The annotated rows of a finished output as polars frames: what reports count, and nothing else of them.

Rows are read in batches, of Parquet only the fields that are needed, so that texts and scores never are in
memory: a million records take about 150 MB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import polars as pl
import pyarrow.parquet as pq

from router.evaluation import list_labels, read_gold, write_labels
from transforms.annotation_lines import ANNOTATION, CALL, ROUTE, USAGE, Schema, read_lines
from transforms.output_files import annotation_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fsspec import AbstractFileSystem

_BATCH = 50_000
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
    filesystem: AbstractFileSystem,
    folder: str,
    *,
    gold: str | None = None,
    multi_label: Collection[str] = (),
    written: Collection[str] = (),
) -> OutputRows:
    """The rows of `annotations-*.parquet` or `.jsonl`.

    Args:
        filesystem: fsspec's, of the output.
        folder: The output folder, as the filesystem names it.
        gold: The input's column with the true label, where it has one.
        multi_label: Names of the tasks whose true labels are sets.
        written: Names of the generate tasks, whose answers are not judged here.
    """
    records, labels, calls = [_records(_empty())], [_labels(_empty())], [_calls(_empty())]
    for frame in _batches(filesystem, folder, gold):
        judged = _judged(frame, multi_label, written)
        records.append(_records(judged))
        labels.append(_labels(judged))
        calls.append(_calls(judged))
    return OutputRows(pl.concat(records), pl.concat(labels), pl.concat(calls))


def _batches(filesystem: AbstractFileSystem, folder: str, gold: str | None) -> Iterator[pl.DataFrame]:
    for path in annotation_files(filesystem, folder):
        with filesystem.open(path, "rb") as stream:
            yield from (_parquet if path.endswith(".parquet") else read_lines)(stream, gold)


def _parquet(stream: IO[bytes], gold: str | None) -> Iterator[pl.DataFrame]:
    fields = [("annotation", name) for name in ANNOTATION]
    fields += [("route", name) for name in ("language", "domain", "model", "rule")]
    fields += [("usage", name) for name in (*USAGE, "calls")]
    wanted = [f"{column}.{name}" for column, name in fields] + ([] if gold is None else [gold])
    for batch in pq.ParquetFile(stream).iter_batches(batch_size=_BATCH, columns=wanted):
        frame = pl.DataFrame(pl.from_arrow(batch))
        known = {
            (column, field.name)
            for column in ("annotation", "route", "usage")
            for field in frame.schema[column].fields  # type: ignore[attr-defined]  # a struct has fields
        }
        yield frame.select(
            *(_field(known, "annotation", name, kind) for name, kind in ANNOTATION.items()),
            *(
                _field(known, "route", "model" if name == "chosen" else name, kind).alias(name)
                for name, kind in ROUTE.items()
            ),
            *(_field(known, "usage", name, kind) for name, kind in USAGE.items()),
            _field(known, "usage", "calls", pl.List(pl.Struct(CALL))),
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


def _columns() -> Schema:
    calls = pl.List(pl.Struct(CALL))
    return {**ANNOTATION, **ROUTE, **USAGE, "calls": calls, "gold": pl.String}


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema={**_columns(), "said": pl.List(pl.String), "true": pl.List(pl.String)})


def _judged(frame: pl.DataFrame, multi_label: Collection[str], written: Collection[str] = ()) -> pl.DataFrame:
    """With the labels that were `said` and those that are `true`, as lists; null where none are known."""
    said, true = pl.concat_list("label"), pl.concat_list("gold")
    if multi_label:
        several = pl.col("task").is_in(list(multi_label))
        said = pl.when(several).then(pl.col("labels")).otherwise(said)
        sets = pl.col("gold").map_elements(read_gold, pl.List(pl.String))
        true = pl.when(several).then(sets).otherwise(true)
    if written:
        frame = frame.with_columns(
            pl.when(pl.col("task").is_in(list(written))).then(None).otherwise(pl.col("gold")).alias("gold")
        )
    # A list of nothing known is not known.
    true = pl.when(pl.col("gold").is_not_null()).then(true)
    return frame.with_columns(said.alias("said"), true.alias("true"))


def _records(judged: pl.DataFrame) -> pl.DataFrame:
    words = ("task", "model", "status", "language", "domain", "chosen")
    right = pl.col("said").list.unique().list.sort() == pl.col("true").list.unique().list.sort()
    return judged.select(
        *(pl.col(name).cast(_WORD) for name in words),
        *(pl.col(name) for name in ("confidence", "rule", *USAGE)),
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
