"""JSON Lines, plain or compressed, read as a stream in bounded memory.

A split [start, stop) owns the lines that begin in it, so that every line is read once whatever the cuts.
Lines end at LF alone (a CR before it belongs to the line end): U+2028 and its like are legal inside JSON.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from typing import IO, TYPE_CHECKING

import orjson

from router.records import DeadLetter, Position, Reason
from transforms.decompression import decompress
from transforms.files import compression_of, open_binary
from transforms.lines import MAX_LINE_BYTES, DamagedError, cut_lines
from transforms.splits import (
    MAX_RECORD_CHARACTERS,
    RESERVED_COLUMNS,
    InputError,
    InputPlan,
    Row,
    Split,
    check_columns,
    one_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from router.job import Input
    from transforms.files import File
    from transforms.lines import Line

MAX_COUNTED_BYTES = 1 << 30
"""How much of a file before a split is read again to number a bad line; beyond it, its byte is told."""

MAX_LEVELS = 500
"""How deep the values of a line may be nested. Python's JSON module, which is exact where orjson is fast,
goes no deeper than about 1,000 calls."""

_BLOCK = 1 << 20
_SAMPLED_OBJECTS = 100
_SAMPLED_LINES = 1_000
_SAMPLED_FILES = 20
_MAX_INT64 = 2.0**63
_ARRAY_OF_OBJECTS = re.compile(rb"\s*\[\s*(\{|$)")


def plan(files: Sequence[File], columns: Input, *, split_bytes: int) -> InputPlan:
    """Cut JSONL files into splits: plain files by bytes, compressed ones whole.

    Raises:
        InputError: where the first lines (100 objects, of as many files as that takes) have no text, id or
            task column, have a column that the output adds, or where a file holds a JSON array.
    """
    splits: list[Split] = []
    for number, file in enumerate(files):
        if file.size is None or compression_of(file.url) is not None:
            splits.append(Split("jsonl", file.url, number, 0, None))
            continue
        splits += [
            Split("jsonl", file.url, number, start, min(start + split_bytes, file.size))
            for start in range(0, file.size, split_bytes)
        ]
    _check_sample(files, columns)
    return InputPlan(tuple(splits), schema=None, columns=())


def read(split: Split, columns: Input, *, with_payload: bool) -> Iterator[Row | DeadLetter]:
    """Stream the rows of a split; what cannot be parsed becomes a dead letter, and reading goes on.

    Raises:
        OSError: where the file cannot be read (not where its content is bad).
        InputError: where a row has a column that the output adds: both could not be told apart there.
    """
    locate = _Locator(split)
    try:
        for number, line in enumerate(_lines_of(split), start=1):
            if line.data is not None and not line.data.strip():
                continue
            found = _parse(line)
            if isinstance(found, dict):
                _check_reserved(found, split, line.offset, number, locate)
                yield _row(split.file, line, found, columns, with_payload=with_payload)
            else:
                yield _refuse(split, line, *found, where=locate(line.offset, number))
    except DamagedError as error:
        detail = (
            f"{split.url}: the compressed data is damaged after {error.offset:,} bytes of content: {error}"
        )
        yield DeadLetter(
            Position(split.file, error.offset), None, Reason.CORRUPT_DATA, detail, stage="read", record=None
        )


def _parse(line: Line) -> dict[str, object] | tuple[Reason, str]:
    if line.data is None:
        return Reason.TEXT_TOO_LONG, f"the line has {line.size:,} bytes; at most {MAX_LINE_BYTES:,} are read"
    try:
        value = orjson.loads(line.data)
    except orjson.JSONDecodeError as error:
        try:
            line.data.decode()
        except UnicodeDecodeError as encoding:
            return Reason.INVALID_UTF8, f"not UTF-8 at byte {encoding.start} of the line; convert the file"
        return Reason.INVALID_JSON, one_line(error)
    if isinstance(value, dict):
        if _is_deep(value, line.data):
            return Reason.INVALID_JSON, f"the values are nested deeper than {MAX_LEVELS} levels; flatten them"
        return value
    return Reason.NOT_AN_OBJECT, f"the line holds {_JSON_NAMES[type(value)]}, not an object"


def _is_deep(value: object, data: bytes) -> bool:
    # Counting brackets is fast, and most lines have few.
    if data.count(b"[") + data.count(b"{") <= MAX_LEVELS:
        return False
    level = [value]
    for _ in range(MAX_LEVELS):
        level = [inner for outer in level for inner in _inside(outer)]
    return any(isinstance(rest, (dict, list)) for rest in level)


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


_JSON_NAMES: dict[type, str] = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _check_reserved(
    found: dict[str, object], split: Split, offset: int, number: int, locate: _Locator
) -> None:
    if not found.keys().isdisjoint(RESERVED_COLUMNS):
        name = next(column for column in RESERVED_COLUMNS if column in found)
        raise InputError(
            f'{split.url}, {locate(offset, number)}: already has a column "{name}", which the output adds '
            "itself: rename or drop it in the input."
        )


def _row(file: int, line: Line, found: dict[str, object], columns: Input, *, with_payload: bool) -> Row:
    data = line.data or b""
    return Row(
        position=Position(file, line.offset),
        text=found.get(columns.text),
        id=None if columns.id is None else _exact(found.get(columns.id), columns.id, data),
        task=None if columns.task is None else found.get(columns.task),
        gold=None if columns.gold is None else found.get(columns.gold),
        payload=data if with_payload else b"",
    )


def _exact(value: object, name: str, data: bytes) -> object:
    """`value` as written: orjson rounds integers beyond 64 bits to floats, which would make two ids one."""
    rounded = isinstance(value, float) and abs(value) >= _MAX_INT64
    if rounded or isinstance(value, (list, dict)):  # in which such integers may be
        return json.loads(data)[name]
    return value


def _refuse(split: Split, line: Line, reason: Reason, cause: str, *, where: str) -> DeadLetter:
    detail = f"{split.url}, {where}: {cause}"
    record = None
    if line.data is not None:
        record = line.data.decode(errors="replace")
        if len(record) > MAX_RECORD_CHARACTERS:
            detail += f" (the record shows the first {MAX_RECORD_CHARACTERS:,} of {len(record):,} characters)"
            record = record[:MAX_RECORD_CHARACTERS]
    return DeadLetter(Position(split.file, line.offset), None, reason, detail, stage="read", record=record)


class _Locator:
    """Tells a line's number in its file; counts the lines before the split at the first question only."""

    def __init__(self, split: Split) -> None:
        self._split = split
        self._before: int | None = None

    def __call__(self, offset: int, number_in_split: int) -> str:
        if self._split.start > MAX_COUNTED_BYTES:
            return f"line at byte {offset:,}"
        if self._before is None:
            self._before = self._count() if self._split.start else 0
        return f"line {self._before + number_in_split:,}"

    def _count(self) -> int:
        """Count the line ends before the first line that the split owns, at or after `start`."""
        left = self._split.start - 1
        count = 1
        with open_binary(self._split.url) as source:
            while left and (block := source.read(min(_BLOCK, left))):
                count += block.count(b"\n")
                left -= len(block)
        return count


def _lines_of(split: Split) -> Iterator[Line]:
    """The lines that begin in the split, without line ends and byte order mark.

    Raises:
        DamagedError: after the last whole line of compressed data that breaks off.
    """
    with open_binary(split.url) as source:
        compression = compression_of(split.url)
        begin = _first_begin(source, split) if split.start else 0
        if begin is None:
            return
        source.seek(begin)
        blocks = _blocks(source) if compression is None else decompress(_blocks(source), compression)
        for line in cut_lines(blocks, begin):
            if split.stop is not None and line.offset >= split.stop:
                return
            yield line


def _first_begin(source: IO[bytes], split: Split) -> int | None:
    """Where the first line of a split begins; None where none does.

    It reads no further than the split: one line may be longer than a hundred splits.
    """
    # One byte earlier, so that a line that begins exactly at `start` shows by the line end before it.
    at = split.start - 1
    source.seek(at)
    while room := _BLOCK if split.stop is None else min(_BLOCK, split.stop - 1 - at):
        block = source.read(room)
        if (end := block.find(b"\n")) >= 0:
            return at + end + 1
        if not block:
            return None
        at += len(block)
    return None


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    return iter(functools.partial(source.read, _BLOCK), b"")


def _check_sample(files: Sequence[File], columns: Input) -> None:
    names: set[str] = set()
    objects = lines = 0
    for number, file in enumerate(files[:_SAMPLED_FILES]):
        sample = list(
            itertools.islice(_sampled(Split("jsonl", file.url, number, 0, None)), _SAMPLED_LINES - lines)
        )
        keys = [found for found in sample if found is not None][: _SAMPLED_OBJECTS - objects]
        names.update(*keys)
        objects += len(keys)
        lines += len(sample)
        if objects == _SAMPLED_OBJECTS or lines == _SAMPLED_LINES:
            break
    if objects:
        where = f"{files[0].url}" if objects == 1 else f"the first {objects} lines of {files[0].url}"
        check_columns(where, names, columns, needs_gold=False)


def _sampled(split: Split) -> Iterator[set[str] | None]:
    """The keys of each line, None where it holds no object; a file that is a JSON array is an InputError."""
    objects = 0
    is_array = False
    try:
        for line in _lines_of(split):
            if line.data is not None and not line.data.strip():
                continue
            found = _parse(line)
            if line.offset == 0 and _ARRAY_OF_OBJECTS.match(line.data or b""):
                is_array = True
            if is_array and isinstance(found, tuple) and found[0] is Reason.INVALID_JSON:
                break
            objects += isinstance(found, dict)
            yield set(found) if isinstance(found, dict) else None
            if objects == _SAMPLED_OBJECTS:
                return
    except DamagedError:
        # Reading reports the damage as a dead letter; the lines before it were sampled.
        return
    if is_array and not objects:
        raise InputError(
            f"{split.url}: holds a JSON array, not one object a line; convert it with jq -c '.[]'"
        )
