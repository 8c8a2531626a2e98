"""Reading what can be retrieved: labelled rows (`examples` with `k`) and passages (`context`)."""

from __future__ import annotations

import io
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import orjson

from router.job import Input
from router.oracle import gold_labels
from router.passages import MOST_CHARACTERS, cut_document, cut_text
from router.prompt_search import LONGEST
from router.records import Record
from router.reference import ReferenceRow
from transforms.files import find_files, open_binary
from transforms.read_columns import told_columns
from transforms.read_records import Reader, read_validated
from transforms.reading import plan_input
from transforms.splits import InputError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from router.job import ContextSource, ExampleSource, Job, Task

MOST_ROWS = 100_000
"""An exact search through more would take longer than the models."""

_DOCUMENTS = (".md", ".txt")
_NAMES = (("input.path", "from"), ("input.text", "text"), ("input.id", "id"), ("input.gold", "label"))
"""What the keys of an input are called here."""


def read_labelled_rows(job: Job, task: Task, source: ExampleSource) -> tuple[ReferenceRow, ...]:
    """All rows of a source that have a label and a text that is short enough to be shown.

    Raises `InputError`, one line that says where the source is named, what is wrong, and what to do.
    """
    place = f"tasks.{task.name}.examples"
    wanted = Input(path=source.path, text=source.text, id=source.id, gold=source.label)
    found = _guarded(place, lambda: [_labelled(one, task) for one in _records(job, task, wanted) if one.gold])
    short = [row for row in found if len(row.text) <= LONGEST]
    if not short:
        raise InputError(
            f"{place}.from: no row of {source.path} has a {source.label!r} and a {source.text!r} of at most "
            f"{LONGEST} characters; {told_columns(wanted, plan_input(wanted), source.label)}: name two of "
            "them in `text` and `label`, or give shorter texts"
        )
    return _not_too_many(short, place)


def read_passages(job: Job, task: Task, source: ContextSource) -> tuple[ReferenceRow, ...]:
    """All passages of a source; longer ones are cut (`router.passages`), and the pieces' ids numbered.

    Raises `InputError`, as `read_labelled_rows` does.
    """
    place = f"tasks.{task.name}.context"
    if source.path.lower().endswith(_DOCUMENTS):
        found = _guarded(place, lambda: list(_documents(source.path)))
    else:
        wanted = Input(path=source.path, text=source.text, id=source.id)
        found = _guarded(place, lambda: [part for one in _records(job, task, wanted) for part in _cut(one)])
    if not found:
        raise InputError(f"{place}.from: {source.path} holds no passage; give a file with text in it")
    return _not_too_many(found, place)


def write_rows(rows: Sequence[ReferenceRow]) -> bytes:
    """Rows as lines of JSON."""
    return b"".join(orjson.dumps([row.id, row.text, row.label]) + b"\n" for row in rows)


def read_rows(data: bytes) -> list[ReferenceRow]:
    """The rows of such lines."""
    return [
        ReferenceRow(name, text, tuple(label) if isinstance(label, list) else label)
        for name, text, label in map(orjson.loads, io.BytesIO(data))
    ]


def _guarded(place: str, read: Callable[[], list[ReferenceRow]]) -> list[ReferenceRow]:
    try:
        return read()
    except (ValueError, OSError) as error:
        said = one_line(error)
        for theirs, ours in _NAMES:
            said = said.replace(theirs, f"{place}.{ours}")
        raise InputError(said if said.startswith(place) else f"{place}.from: {said}") from error


def _records(job: Job, task: Task, wanted: Input) -> Iterator[Record]:
    plan = plan_input(wanted)
    of_source = job.model_copy(update={"input": wanted, "tasks": (task,)})
    reader = Reader(of_source, plan.schema)
    for split in plan.splits:
        for row in read_validated(split, reader, with_payload=False):
            # Half a character, which JSON may hold, is in no prompt.
            if isinstance(row, Record) and _is_unicode(row.text):
                yield row


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _labelled(record: Record, task: Task) -> ReferenceRow:
    given = gold_labels(record.gold, task) or frozenset()
    names = tuple(name for name in task.label_names if name in given)
    return ReferenceRow(record.id, record.text, names if task.kind == "multi_label" else names[0])


def _cut(record: Record) -> Iterator[ReferenceRow]:
    if len(record.text) <= MOST_CHARACTERS:
        yield ReferenceRow(record.id, record.text)
        return
    for number, part in enumerate(cut_text(record.text), 1):
        yield ReferenceRow(f"{record.id}/{number}", part)


def _documents(path: str) -> Iterator[ReferenceRow]:
    for file in find_files(path):
        with open_binary(file.url) as stream:
            text = stream.read().decode("utf-8", "replace")
        yield from cut_document(PurePosixPath(file.url).name, text)


def _not_too_many(rows: Sequence[ReferenceRow], place: str) -> tuple[ReferenceRow, ...]:
    if len(rows) > MOST_ROWS:
        raise InputError(
            f"{place}.from: {len(rows):,} rows are too many to be searched for each record; give at most "
            f"{MOST_ROWS:,}"
        )
    return tuple(rows)
