"""What reading passes around: pieces of the input, the rows in them, and what is wrong with an input."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection

    import pyarrow as pa

    from router.job import Input
    from router.records import Position

RESERVED_COLUMNS = ("annotation", "route", "usage")
"""The columns that the output adds; an input that has one of them already is refused."""

MAX_RECORD_CHARACTERS = 10_000
"""How much of a line that does not parse a dead letter keeps."""


class InputError(ValueError):
    """The input cannot be read as the job says; one line that tells what, where and what to do."""


@dataclass(frozen=True, slots=True)
class Split:
    """A piece of the input that one worker streams; plain data, so that it pickles."""

    kind: Literal["jsonl", "parquet", "dataset"]
    url: str
    file: int
    """Ordinal of the file in the sorted list of files."""
    start: int
    stop: int | None
    """jsonl: the bytes [start, stop), None to the end (a compressed file is always one split); parquet: row
    groups; dataset: rows."""
    first_row: int = 0
    """parquet and dataset: the number, in the file, of the first row of `start`."""
    rows: int | None = None
    """Number of rows, where known."""
    fault: str | None = None
    """Why the file's footer could not be read: reading such a split gives one dead letter."""

    def holds(self, position: Position) -> bool:
        """Whether the row at `position` is read from this split."""
        if self.kind == "jsonl":
            first, end = self.start, self.stop
        else:
            # A file that cannot be read has one position, that of its dead letter.
            first = self.first_row
            end = first + 1 if self.fault is not None else None if self.rows is None else first + self.rows
        return (
            position.file == self.file and first <= position.offset and (end is None or position.offset < end)
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands in the input: the fields that the job names, not yet validated, and the payload.

    A field whose column is not named, or absent, is None. `payload` is empty unless it was asked for.
    """

    position: Position
    text: object
    id: object
    task: object
    gold: object
    payload: bytes


@dataclass(frozen=True, slots=True)
class InputPlan:
    """How the input will be read."""

    splits: tuple[Split, ...]
    schema: pa.Schema | None
    """The one schema that every file is cast to; None for JSONL."""
    columns: tuple[str, ...]
    """Names of the input's columns where known (Parquet, datasets), else empty."""


_LISTED = 20
_SHOWN_CHARACTERS = 60


def shown(name: str) -> str:
    """A column's name for a message: cut, and without what would steer a terminal."""
    # Cut before and after, because a name may be megabytes long and each character may need ten.
    printable = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in name[: _SHOWN_CHARACTERS + 1]
    )
    return printable if len(printable) <= _SHOWN_CHARACTERS else printable[:_SHOWN_CHARACTERS] + "…"


def nearest(name: str, known: Collection[str]) -> str:
    """A hint such as ` (did you mean "body"?)`, or nothing where no known name is near."""
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f' (did you mean "{shown(found[0])}"?)' if found else ""


def listed(known: Collection[str]) -> str:
    """Columns for a message: the first ones by name, in quotes."""
    return ", ".join(f'"{shown(each)}"' for each in sorted(known)[:_LISTED]) or "none"


def check_columns(where: str, known: Collection[str], columns: Input, *, needs_gold: bool) -> None:
    """Refuse an input that lacks a named column, or has one that the output will add.

    Args:
        where: what was looked at, for the message.
        known: the columns found there.
        columns: the job's input section.
        needs_gold: whether a missing gold column is an error. JSONL may have it on later lines only.

    Raises:
        InputError: naming the column, the nearest one that exists, and what to do.
    """
    named = {"text": columns.text, "id": columns.id, "task": columns.task}
    if needs_gold:
        named["gold"] = columns.gold
    for role, name in named.items():
        if name is not None and name not in known:
            raise InputError(
                f'input.{role}: no column "{name}" in {where}{nearest(name, known)}; it has {listed(known)}. '
                f"Set input.{role} to one of them."
            )
    for name in RESERVED_COLUMNS:
        if name in known:
            raise InputError(
                f'{where} already has a column "{name}", which the output adds itself: rename or drop it in '
                "the input."
            )


def one_line(error: BaseException) -> str:
    """An exception as one line: its type where the message alone would not tell, and its first line."""
    text = " ".join(str(error).split("\n", 1)[0].split())
    return text[:300] if text else type(error).__name__
