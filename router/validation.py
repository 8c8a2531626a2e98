"""Deciding whether a row can be annotated: it becomes a `Record`, or a `DeadLetter` with the reason."""

from __future__ import annotations

import difflib
import json
import math
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from router.identity import content_id
from router.records import DeadLetter, Reason, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.job import Input, Limits
    from router.records import Position

_INVISIBLE = ("Cc", "Cf")
"""Unicode's categories of control and format characters: zero width, directions, soft hyphens, tags."""
_PIECE_CHARACTERS = 200
"""How much of a text is looked at together for something that can be seen."""
_NAMED_CHARACTERS = 100
"""How much of an unknown task's name is looked at."""


class FieldsOfRow(Protocol):
    """The fields of an input row, as they were read; what was not there is None."""

    @property
    def position(self) -> Position:
        """Where the row stands in the input."""

    @property
    def text(self) -> object:
        """Value of the text column."""

    @property
    def id(self) -> object:
        """Value of the id column."""

    @property
    def task(self) -> object:
        """Value of the task column."""

    @property
    def gold(self) -> object:
        """Value of the column with the true label."""

    @property
    def payload(self) -> bytes:
        """The whole row."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a row must fulfil.

    Raises:
        ValueError: where the input names no task column and there is no default task among the known ones.
    """

    columns: Input
    """Which columns are named; a row needs an id, or a task, only where a column for it is named."""
    tasks: tuple[str, ...]
    """The names of the job's tasks."""
    default_task: str | None
    """The task of every row where no task column is named."""
    limits: Limits

    def __post_init__(self) -> None:
        """Refuse rules under which no row could have a task."""
        if self.columns.task is None and self.default_task not in self.tasks:
            raise ValueError(
                f"default_task is {self.default_task!r}, not one of the tasks {', '.join(self.tasks)}; name "
                "one of them, or set input.task to the column that names each record's task"
            )


@dataclass(frozen=True, slots=True)
class _Fault:
    reason: Reason
    detail: str


def validate(row: FieldsOfRow, rules: Rules, record_json: Callable[[], str | None]) -> Record | DeadLetter:
    """A record, or the first reason, in a fixed order, why the row is none: text, then id, then task.

    The text is kept exactly as given.

    Args:
        row: the fields as read.
        rules: what to check.
        record_json: gives the row as JSON text; called for a dead letter only.
    """
    text = _text(row.text, rules)
    identifier = None if rules.columns.id is None else _as_string(row.id)
    if isinstance(text, _Fault):
        return _dead_letter(row, identifier, text, record_json)
    if rules.columns.id is not None and (identifier is None or not identifier.strip()):
        fault = _Fault(Reason.MISSING_ID, f'the id column "{rules.columns.id}" is missing, null or empty')
        return _dead_letter(row, None, fault, record_json)
    task = _task(row.task, rules)
    if isinstance(task, _Fault):
        return _dead_letter(row, identifier, task, record_json)
    return Record(
        position=row.position,
        id=content_id(text, task) if identifier is None else identifier,
        text=text,
        task=task,
        gold=_gold(row.gold),
        payload=row.payload,
    )


def _text(value: object, rules: Rules) -> str | _Fault:
    name = rules.columns.text
    if value is None:
        return _Fault(Reason.MISSING_TEXT, f'the text column "{name}" is missing or null')
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            return _Fault(
                Reason.INVALID_UTF8, f'the bytes of column "{name}" are not UTF-8 at byte {error.start}'
            )
    if not isinstance(value, str):
        kind = type(value).__name__
        return _Fault(Reason.TEXT_NOT_STRING, f'column "{name}" holds a value of type {kind}, not a string')
    if _is_blank(value):
        return _Fault(Reason.EMPTY_TEXT, f'column "{name}" holds nothing that can be seen')
    limit = rules.limits.max_characters
    if len(value) > limit:
        detail = f'column "{name}" has {len(value)} characters; limits.max_characters is {limit}'
        return _Fault(Reason.TEXT_TOO_LONG, detail)
    return value


def _is_blank(text: str) -> bool:
    if text[:1].isalnum():
        return False
    # Invisible characters and white space may alternate, which no single strip() sees through. In pieces:
    # most texts show in the first, and a piece of what is blank for megabytes has few different characters.
    pieces = (text[start : start + _PIECE_CHARACTERS] for start in range(0, len(text), _PIECE_CHARACTERS))
    return all(
        character.isspace() or unicodedata.category(character) in _INVISIBLE
        for piece in pieces
        for character in set(piece)
    )


def _task(value: object, rules: Rules) -> str | _Fault:
    if rules.columns.task is None:
        # Rules has checked that there is one.
        return str(rules.default_task)
    name = _as_string(value)
    known = ", ".join(f'"{task}"' for task in rules.tasks)
    if name is None:
        detail = f'the task column "{rules.columns.task}" is missing or null; known tasks are {known}'
        return _Fault(Reason.UNKNOWN_TASK, detail)
    if name in rules.tasks:
        return name
    name = name[:_NAMED_CHARACTERS]
    near = difflib.get_close_matches(name, rules.tasks, n=1, cutoff=0.4)
    hint = f'the nearest known task is "{near[0]}"' if near else f"known tasks are {known}"
    return _Fault(Reason.UNKNOWN_TASK, f'column "{rules.columns.task}" names no task: "{name}"; {hint}')


def _as_string(value: object) -> str | None:
    """Strings and integers as they are, anything else as compact JSON; None for null and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return _decoded(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_json_default)


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


def _json_default(value: object) -> str:
    return _decoded(value) if isinstance(value, bytes) else str(value)


def _gold(value: object) -> str | None:
    """The true label: a string as it is, other scalars by `str`, several labels (a list) as compact JSON."""
    if isinstance(value, (bytes, list, dict)) or value is None:
        return _as_string(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    return str(value)


def _dead_letter(
    row: FieldsOfRow, identifier: str | None, fault: _Fault, record_json: Callable[[], str | None]
) -> DeadLetter:
    return DeadLetter(
        row.position, identifier, fault.reason, fault.detail, stage="validate", record=record_json()
    )
