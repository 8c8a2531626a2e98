"""Labelled rows from which a task's examples are drawn: `examples: {from: URL}` in the job file."""

from __future__ import annotations

import hashlib
import heapq
import json
from itertools import islice
from typing import TYPE_CHECKING

from router.job import Input
from router.oracle import gold_labels
from router.prompt_search import LONGEST, LabelledText
from router.records import Record
from transforms.read_columns import told_columns
from transforms.read_records import Reader, read_validated
from transforms.reading import plan_input
from transforms.splits import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from router.job import ExampleSource, Job, Task

_MOST_READ, _MOST_KEPT = 100_000, 2_000
"""Of the rows read, so many are kept, wherever they stand: a file may be sorted by label."""
_NAMES = (("input.path", "from"), ("input.text", "text"), ("input.gold", "label"))
"""What the keys of an input are called here."""


def read_examples(job: Job, task: Task, source: ExampleSource) -> tuple[LabelledText, ...]:
    """Rows of the source that have a label and a text that is short enough to be shown, drawn by a digest.

    Raises `InputError`, one line that says where the source is named, what is wrong, and what to do.
    """
    place = f"tasks.{task.name}.examples"
    try:
        rows = islice(_rows(job, task, source), _MOST_READ)
        found = heapq.nsmallest(_MOST_KEPT, rows, key=lambda row: digest_examples([row]))
    except ValueError as error:
        said = str(error)
        for theirs, ours in _NAMES:
            said = said.replace(theirs, f"{place}.{ours}")
        raise InputError(said if said.startswith(place) else f"{place}.from: {said}") from error
    if not found:
        raise InputError(
            f"{place}.from: no row of {source.path} has a {source.label!r} and a {source.text!r} of at most "
            f"{LONGEST} characters; {_told(source)}: name two of them in `text` and `label`, or give shorter "
            "texts"
        )
    return tuple(found)


def _told(source: ExampleSource) -> str:
    wanted = Input(path=source.path, text=source.text, gold=source.label)
    return told_columns(wanted, plan_input(wanted), source.label)


def _rows(job: Job, task: Task, source: ExampleSource) -> Iterator[LabelledText]:
    wanted = Input(path=source.path, text=source.text, gold=source.label)
    plan = plan_input(wanted)
    of_source = job.model_copy(update={"input": wanted, "tasks": (task,)})
    reader = Reader(of_source, plan.schema)
    for split in plan.splits:
        for row in read_validated(split, reader, with_payload=False):
            if not isinstance(row, Record) or row.gold is None or len(row.text) > LONGEST:
                continue
            gold_labels(row.gold, task)
            yield LabelledText(row.text, row.gold)


def digest_examples(rows: Sequence[LabelledText]) -> str:
    """What tells these rows from others."""
    data = json.dumps([(one.text, one.label) for one in rows]).encode()
    return hashlib.blake2b(data, digest_size=16).hexdigest()
