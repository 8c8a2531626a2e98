"""`tekizai evaluate`: how good an output is against the true labels in its gold column."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import fsspec
import polars as pl

from pipelines.errors import OutputError
from router.answer_quality import AnswerRow, answer_quality
from router.evaluation import list_labels, quality, read_gold, write_labels
from router.evaluation_page import render_evaluation
from router.job import Task
from router.job_generation import GENERATE
from transforms.output_files import EVALUATION
from transforms.splits import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsspec import AbstractFileSystem

PARTS = ("language", "model", "status")
"""What the records of a task are parted by."""

_GOLD = "\x00gold"
_TEXT = "\x00text"
_FIELDS = ("task", "label", "labels", "confidence", "model", "status")
_WRITTEN = ("answer", "checks")


def evaluate_output(output: str) -> dict[str, Any]:
    """Compare a finished output with its gold column, as JSON values.

    Records without a gold label are counted and left out, but for generate tasks, whose answers have figures
    that need none. multi_label answers are right where the set of
    labels is exactly the true one. Each part of a task's records has all figures that the task has. `gate`
    and `audit` are those of the summary; `audit` is None where the job had none.

    Raises:
        OutputError: there is no finished output, its job names no gold column, or no record has a gold label;
            the last two only where it has no generate task.
    """
    filesystem, folder = fsspec.core.url_to_fs(output.rstrip("/"))
    job = _job(filesystem, folder, output)
    column = job["input"].get("gold")
    kinds = {task["name"]: task["kind"] for task in job["tasks"]}
    written = {task["name"]: Task.model_validate(task) for task in job["tasks"] if task["kind"] == GENERATE}
    if column is None and not written:
        raise OutputError(
            f"{output}: its job names no column with true labels; set input.gold and run the job again: it "
            "takes the answers from the journal"
        )
    rows = _rows(filesystem, folder, column or _GOLD, job["input"]["text"] if written else None)
    known = rows.filter(pl.col(_GOLD).is_not_null())
    if known.is_empty() and not written:
        raise OutputError(f'{output}: no record has a true label in column "{column}"')
    chosen = known.filter(~pl.col("task").is_in(list(written)))
    answered = rows.filter(pl.col("task").is_in(list(written)))
    tasks = {
        **{task: _of_task(part, kinds[task]) for task, part in _parted(chosen, "task").items()},
        **{task: _of_written(part, written[task]) for task, part in _parted(answered, "task").items()},
    }
    summary = json.loads(filesystem.cat_file(f"{folder}/summary.json"))
    return {
        "output": output,
        "name": job.get("name"),
        "records": {"annotated": rows.height, "with_gold": known.height},
        "tasks": tasks,
        "gate": summary.get("gate"),
        "audit": summary.get("audit"),
    }


def write_evaluation(output: str, found: Mapping[str, Any]) -> str:
    """Write `evaluation.html` into an output, replacing one that is there; returns its address.

    Args:
        output: URL of the folder.
        found: What `evaluate_output` found there.

    Raises:
        OutputError: the page cannot be written.
    """
    filesystem, folder = fsspec.core.url_to_fs(output.rstrip("/"))
    page, address = render_evaluation(found), f"{output.rstrip('/')}/{EVALUATION}"
    try:
        filesystem.pipe_file(f"{folder}/{EVALUATION}", page.encode())
    # Every filesystem has exception types of its own, and here all of them mean the same to the user.
    except Exception as error:
        raise OutputError(
            f"{address} cannot be written ({one_line(error)}); what it would show is in what --json prints"
        ) from error
    return address


def _of_task(rows: pl.DataFrame, kind: str) -> dict[str, Any]:
    multi = kind == "multi_label"
    if multi:
        rows = rows.with_columns(
            pl.col("labels").cast(pl.List(pl.String)).map_elements(write_labels, pl.String).alias("label"),
            pl.col(_GOLD).map_elements(lambda gold: write_labels(read_gold(gold)), pl.String),
        )
    return {
        "kind": kind,
        **_quality(rows, multi=multi),
        "by": {
            name: {value: _quality(part, multi=multi) for value, part in _parted(rows, name).items()}
            for name in PARTS
        },
    }


def _of_written(rows: pl.DataFrame, task: Task) -> dict[str, Any]:
    """The same of a generate task: what needs no true answer is about all of its records."""

    def found(part: pl.DataFrame) -> dict[str, Any]:
        columns = (*_WRITTEN, _TEXT, _GOLD, "confidence")
        values = part.select(columns).iter_rows()
        return answer_quality(
            task,
            [
                AnswerRow(answer, text, gold, sure, tuple(checks or ()))
                for answer, checks, text, gold, sure in values
            ],
        )

    by = {name: {value: found(part) for value, part in _parted(rows, name).items()} for name in PARTS}
    return {"kind": GENERATE, **found(rows), "by": by}


def _quality(rows: pl.DataFrame, *, multi: bool) -> dict[str, Any]:
    said, gold = rows["label"].to_list(), rows[_GOLD].to_list()
    return quality(said, gold, rows["confidence"].to_list(), multi=multi)


def _parted(rows: pl.DataFrame, column: str) -> dict[str, pl.DataFrame]:
    """Rows by the value of a column, in the order of the values."""
    parts = {str(value): part for (value,), part in rows.group_by(column, maintain_order=True)}
    return dict(sorted(parts.items()))


def _job(filesystem: AbstractFileSystem, folder: str, output: str) -> Mapping[str, Any]:
    paths = f"{folder}/summary.json", f"{folder}/state/manifest.json"
    if not all(filesystem.exists(path) for path in paths):
        raise OutputError(f"{output}: there is no summary.json with a manifest; give a finished job's output")
    job: Mapping[str, Any] = json.loads(filesystem.cat_file(paths[1]))["job"]
    return job


def _rows(filesystem: AbstractFileSystem, folder: str, column: str, text: str | None) -> pl.DataFrame:
    """What is compared, of every annotated record; `text` is the texts' column, where they are needed."""
    parts = []
    for path in sorted(filesystem.glob(f"{folder}/annotations-*")):
        with filesystem.open(path, "rb") as stream:
            if path.endswith(".parquet"):
                found = pl.read_parquet(stream, columns=_wanted(stream, column, text), use_pyarrow=True)
            else:
                found = pl.DataFrame(
                    [_picked(json.loads(line), column, text) for line in stream], infer_schema_length=None
                )
        parts.append(_flat(found, column, text))
    return pl.concat(parts, how="diagonal_relaxed") if parts else _flat(pl.DataFrame(), column, text)


def _wanted(stream: Any, column: str, text: str | None) -> list[str]:  # noqa: ANN401 - an open file
    names = pl.read_parquet_schema(stream)
    stream.seek(0)
    return [name for name in (column, text, "annotation", "route") if name in names]


def _picked(row: Mapping[str, Any], column: str, text: str | None) -> dict[str, Any]:
    gold = row.get(column)
    if isinstance(gold, (list, dict)):
        gold = json.dumps(gold, ensure_ascii=False)
    fields = _FIELDS if text is None else (*_FIELDS, *_WRITTEN)
    annotation = {name: row["annotation"].get(name) for name in fields}
    texts = {} if text is None else {text: row.get(text)}
    return {**texts, column: gold, "annotation": annotation, "route": {"language": row["route"]["language"]}}


def _flat(rows: pl.DataFrame, column: str, text: str | None) -> pl.DataFrame:
    if "annotation" not in rows.columns:
        names = (*_FIELDS, *_WRITTEN, _TEXT, "language", _GOLD)
        lists = ("labels", "checks")
        return pl.DataFrame(
            schema={name: pl.List(pl.String) if name in lists else pl.String for name in names}
        )
    fields = {field.name for field in rows.schema["annotation"].fields}  # type: ignore[attr-defined]
    gold = pl.lit(None) if column not in rows.columns else pl.col(column)
    if column in rows.columns and isinstance(rows.schema[column], pl.List):
        gold = gold.map_elements(lambda labels: write_labels(list_labels(labels)), pl.String)
    return rows.select(
        *(
            pl.col("annotation").struct.field(name) if name in fields else pl.lit(None).alias(name)
            for name in (*_FIELDS, *_WRITTEN)
        ),
        (pl.lit(None, pl.String) if text is None else pl.col(text).cast(pl.String)).alias(_TEXT),
        pl.col("route").struct.field("language"),
        gold.cast(pl.String).alias(_GOLD),
    )
