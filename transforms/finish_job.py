"""The last stage: checks that no record was lost, gives the files their final names, writes the summary."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import fsspec
import pyarrow.parquet as pq

from router.calibration import ModelCalibration, NotCalibrated
from router.planned import compared
from router.student import StudentReading
from router.summary import Tally, summarise
from transforms.json_types import ColumnTypes
from transforms.output_files import remove_published
from transforms.output_rows import output_table
from transforms.write_report import Outcome, write_report
from transforms.write_review import write_review

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fsspec import AbstractFileSystem

    from router.bias import LabelBias
    from router.verdict import Readings
    from transforms.output_rows import RowFormat
    from transforms.write_output import Part


_LOGGER = logging.getLogger(__name__)
_PUBLISHING = "publishing"
_NUMBERS = re.compile(r"\[\s+(-?[\d.][\d.eE+-]*(?:,\s+-?[\d.][\d.eE+-]*)*)\s+\]")
"""A list of numbers, each on a line of its own. A string has no line ends in JSON, so it holds none."""


class LostRecordsError(RuntimeError):
    """Records read are not those annotated and dead-lettered; the output is not to be trusted."""


@dataclass(frozen=True)
class Ending:
    """What the last stage needs to know of the job."""

    output: str
    suffix: str
    layout: RowFormat
    started: float
    """Unix time at which the job began."""
    gate: Mapping[str, Any]
    """Threshold, promise and what it rests on, for the summary."""
    large: str | None
    manifest: Mapping[str, Any]
    plan: Mapping[str, Any] | None = None
    """What `tekizai plan` said of this very job; None where it was not asked."""


_PACKED = {"method": "a head that the task's pack brings"}


def finish_job(
    _: object,
    parts: Sequence[Part],
    read: int | None,
    readings: Readings,
    types: ColumnTypes,
    ending: Ending,
) -> dict[str, Any]:
    """Publish the output folder and return its summary.

    A runner may run this again, after it ended or after it died in the middle: both come to the same output.

    Raises `LostRecordsError` unless records read = annotated + dead-lettered, before anything is published.
    """
    tally = sum((part.tally for part in parts), Tally())
    check_balance(read or 0, tally)
    filesystem, folder = fsspec.core.url_to_fs(ending.output)
    run = str(ending.manifest.get("run", ""))
    done = _finished(filesystem, folder, run)
    if done is not None:
        return done
    _begin_publishing(filesystem, folder, run)
    _publish(filesystem, folder, "annotations", ending.suffix, parts)
    _publish(filesystem, folder, "dead_letters", "jsonl", parts)
    if ending.suffix == "parquet" and not tally.annotated:
        with filesystem.open(f"{folder}/annotations-00000-of-00001.parquet", "wb") as stream:
            pq.write_table(output_table([], ending.layout, types), stream)
    rows = (row for part in parts for row in part.review)
    tasks = ending.manifest.get("job", {}).get("tasks", ())
    review = write_review(filesystem, folder, rows, tasks, ending.layout.multi_label)
    summary = _summary(tally, read or 0, readings, ending)
    # It takes a quarter of a second to import, which no worker needs before a job ends.
    from transforms.output_tables import read_output_tables, summary_tables  # noqa: PLC0415 - see above

    tables = read_output_tables(filesystem, folder, ending.manifest)
    summary |= {} if tables is None else summary_tables(tables)
    manifest = {**ending.manifest, "calibration": summary["calibration"]}
    _write_json(filesystem, f"{folder}/state/manifest.json", manifest)
    _try_report(filesystem, folder, Outcome(summary, ending.manifest, review, tables))
    # The summary comes last: an output that has one is whole.
    _write_json(filesystem, f"{folder}/summary.json", summary)
    for leftover in ("parts", "progress", _PUBLISHING):
        if filesystem.exists(f"{folder}/state/{leftover}"):
            filesystem.rm(f"{folder}/state/{leftover}", recursive=True)
    return summary


def _summary(tally: Tally, read: int, readings: Readings, ending: Ending) -> dict[str, Any]:
    seconds = time.time() - ending.started
    summary = summarise(tally, read=read, seconds=seconds, gate=ending.gate, large=ending.large)
    summary["finished"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    planned = None if ending.plan is None else compared(ending.plan, summary)
    if planned is not None:
        summary["plan"] = planned
    packed = {(one["model"], one["task"]) for one in ending.manifest.get("pack_heads", ())}
    summary["calibration"] = [
        {**_stated(reading, ending.layout), **(_PACKED if pair in packed else {})}
        for pair, reading in sorted(readings.items())
        if not isinstance(reading, NotCalibrated)
    ]
    return summary


def _try_report(filesystem: AbstractFileSystem, folder: str, outcome: Outcome) -> None:
    try:
        write_report(filesystem, folder, outcome)
    # The page is drawn by libraries, in a browser's engine: whatever goes wrong there must not cost the job.
    except Exception:
        _LOGGER.exception("report.html could not be written; `tekizai report` tries again")


def _finished(filesystem: AbstractFileSystem, folder: str, run: str) -> dict[str, Any] | None:
    """The summary that this very run has written already; None where it has not."""
    filesystem.invalidate_cache()
    paths = f"{folder}/summary.json", f"{folder}/state/manifest.json"
    if not run or not all(filesystem.exists(path) for path in paths):
        return None
    summary, manifest = (json.loads(filesystem.cat_file(path)) for path in paths)
    return dict(summary) if manifest.get("run") == run else None


def _begin_publishing(filesystem: AbstractFileSystem, folder: str, run: str) -> None:
    """Remove an earlier run's output, unless this run has done so and begun to put its own there."""
    mark = f"{folder}/state/{_PUBLISHING}"
    if run and filesystem.exists(mark) and filesystem.cat_file(mark) == run.encode():
        return
    remove_published(filesystem, folder)
    filesystem.makedirs(f"{folder}/state", exist_ok=True)
    filesystem.pipe_file(mark, run.encode())


def check_balance(read: int, tally: Tally) -> None:
    """Raise `LostRecordsError` unless every record read was annotated or dead-lettered."""
    written = tally.annotated + tally.dead_lettered
    if read != written:
        raise LostRecordsError(
            f"{read} records were read, but {tally.annotated} annotated and {tally.dead_lettered} "
            f"dead-lettered (together {written}); nothing was published. Run again if the input changed "
            "meanwhile; otherwise this is a bug: please report it"
        )


def _publish(
    filesystem: AbstractFileSystem, folder: str, kind: str, suffix: str, parts: Sequence[Part]
) -> None:
    chosen = sorted((part for part in parts if part.kind == kind), key=lambda part: (part.first, part.path))
    for number, part in enumerate(chosen):
        target = f"{folder}/{kind}-{number:05d}-of-{len(chosen):05d}.{suffix}"
        if filesystem.exists(part.path):
            filesystem.mv(part.path, target)
        elif not filesystem.exists(target):
            raise LostRecordsError(
                f"{part.path} was written by one worker and is not there for another: output.path must be on "
                "a filesystem that all workers share; the output has no summary, so it does not count"
            )


def _stated(bias: LabelBias | ModelCalibration | StudentReading, layout: RowFormat) -> dict[str, Any]:
    if isinstance(bias, StudentReading):
        method = "a linear head on the text, learned from the pilot"
        return {"model": bias.model, "task": bias.task, "method": method, "records": bias.rows}
    if isinstance(bias, ModelCalibration):
        method = "a learned head" if bias.head is not None else "the label scores, divided by their mean"
        if bias.scaled is None:
            method = "the label scores as they are"
        if bias.task in layout.generate:
            method = "a regression on the answer's token probabilities, agreement and length"
        return {"model": bias.model, "task": bias.task, "method": method, "records": bias.rows}
    method = "divided by the mean prediction" if bias.usable else "none: too few records to estimate a mean"
    if bias.task in layout.multi_label:
        method = "none: not used for multi_label tasks"
    return {
        "model": bias.model,
        "task": bias.task,
        "method": method,
        "records": bias.records,
        "mean": [round(value, 6) for value in bias.mean],
    }


def _write_json(filesystem: AbstractFileSystem, path: str, value: Mapping[str, Any]) -> None:
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    with filesystem.open(path, "w", encoding="utf-8") as stream:
        text = json.dumps(value, ensure_ascii=False, indent=1)
        stream.write(_NUMBERS.sub(_on_one_line, text) + "\n")


def _on_one_line(numbers: re.Match[str]) -> str:
    return f"[{' '.join(numbers[1].split())}]"


def job_digest(*facts: str) -> str:
    """A short digest that changes with any of the facts: the job file, the input's files, the models."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
