"""Labelled rows from which a task's examples are drawn: `examples: {from: URL}` in the job file."""

from __future__ import annotations

import hashlib
import json
from itertools import islice
from typing import TYPE_CHECKING

from router.job import Input
from router.oracle import gold_labels
from router.prompt_search import LabelledText
from router.records import Record
from transforms.read_records import Reader, read_validated
from transforms.reading import plan_input
from transforms.splits import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from router.job import ExampleSource, Job, Task

_MOST_ROWS = 2_000
"""Of these a few dozen are shown at most; a larger file is not read to its end."""


def read_examples(job: Job, task: Task, source: ExampleSource) -> tuple[LabelledText, ...]:
    """The first rows of the source that have a text and a label.

    Raises `InputError`, one line that says where the source is named, what is wrong, and what to do.
    """
    place = f"tasks.{task.name}.examples"
    try:
        found = tuple(islice(_rows(job, task, source), _MOST_ROWS))
    except InputError as error:
        raise InputError(f"{place}.from: {error}") from error
    if not found:
        raise InputError(
            f"{place}.from: no row of {source.path} has both {source.text!r} and {source.label!r}; name the "
            "columns in `text` and `label`"
        )
    return found


def _rows(job: Job, task: Task, source: ExampleSource) -> Iterator[LabelledText]:
    wanted = Input(path=source.path, text=source.text, gold=source.label)
    plan = plan_input(wanted)
    of_source = job.model_copy(update={"input": wanted, "tasks": (task,)})
    reader = Reader(of_source, plan.schema)
    for split in plan.splits:
        for row in read_validated(split, reader, with_payload=False):
            if not isinstance(row, Record) or row.gold is None:
                continue
            try:
                gold_labels(row.gold, task)
            except ValueError as error:
                column = f"{source.path}: {source.label}"
                raise InputError(str(error).replace("input.gold", column, 1)) from error
            yield LabelledText(row.text, row.gold)


def digest_examples(rows: Sequence[LabelledText]) -> str:
    """What tells these rows from others."""
    data = json.dumps([(one.text, one.label) for one in rows]).encode()
    return hashlib.blake2b(data, digest_size=16).hexdigest()
