"""Tests of router/validation.py."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import pytest

from router.identity import content_id
from router.job import Input, Limits
from router.records import DeadLetter, Position, Reason, Record
from router.validation import Rules, validate


@dataclass(frozen=True)
class FakeRow:
    """A row with defaults that are valid."""

    text: object = "fine"
    id: object = None
    task: object = None
    gold: object = None
    payload: bytes = b"{}"
    position: Position = field(default=Position(2, 7))


def rules(**columns: str) -> Rules:
    """Rules of a job with two tasks, at most 10 characters and the given columns."""
    return Rules(Input(path="x", **columns), ("sentiment", "topic"), "sentiment", Limits(max_characters=10))


def check(row: FakeRow, **columns: str) -> Record | DeadLetter:
    """Validate a row whose JSON text is `row json`."""
    return validate(row, rules(**columns), lambda: "row json")


def refused(row: FakeRow, **columns: str) -> DeadLetter:
    """Validate a row that must become a dead letter."""
    found = check(row, **columns)
    assert isinstance(found, DeadLetter)
    return found


def accepted(row: FakeRow, **columns: str) -> Record:
    """Validate a row that must become a record."""
    found = check(row, **columns)
    assert isinstance(found, Record)
    return found


def test_a_valid_row_becomes_a_record() -> None:
    """Position and payload are handed on; without an id column the id comes from text and task."""
    expected = Record(
        position=Position(2, 7),
        id=content_id("fine", "sentiment"),
        text="fine",
        task="sentiment",
        gold=None,
        payload=b"{}",
    )

    assert check(FakeRow()) == expected


def test_a_dead_letter_says_where_what_and_why() -> None:
    """Every field of a dead letter is filled where it can be."""
    expected = DeadLetter(
        position=Position(2, 7),
        id="r1",
        reason=Reason.MISSING_TEXT,
        detail='the text column "body" is missing or null',
        stage="validate",
        record="row json",
    )

    assert check(FakeRow(text=None, id="r1"), text="body", id="id") == expected


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        (None, Reason.MISSING_TEXT, 'the text column "text" is missing or null'),
        (b"ok \xff", Reason.INVALID_UTF8, 'the bytes of column "text" are not UTF-8 at byte 3'),
        (5, Reason.TEXT_NOT_STRING, 'column "text" holds a value of type int, not a string'),
        (["a"], Reason.TEXT_NOT_STRING, 'column "text" holds a value of type list, not a string'),
        (False, Reason.TEXT_NOT_STRING, 'column "text" holds a value of type bool, not a string'),
        ("", Reason.EMPTY_TEXT, 'column "text" holds nothing that can be seen'),
        ("x" * 11, Reason.TEXT_TOO_LONG, 'column "text" has 11 characters; limits.max_characters is 10'),
    ],
)
def test_texts_that_cannot_be_annotated(text: object, reason: Reason, detail: str) -> None:
    """Each kind of unusable text has its own reason, and a detail that names column and value."""
    found = refused(FakeRow(text=text))

    assert (found.reason, found.detail) == (reason, detail)


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "\t\r\n\x0b\x0c",
        "\u00a0\u1680\u2003\u3000\u2028\u2029\u0085",
        "\u200b",
        " \u200b \ufeff\u2060\u200c\u200d ",
        "\u200e\u200f\u061c\u202a\u202e\u202c\u2066\u2069",
        "\u00ad\u180e",
        "\x00\x1b\x7f\x9f",
        "\U000e0001\U000e0041\U000e007f",
    ],
)
def test_white_space_and_invisible_characters_are_no_text(text: str) -> None:
    """White space of all of Unicode, marks of direction, control characters and any mix count as empty."""
    assert refused(FakeRow(text=text)).reason is Reason.EMPTY_TEXT


@pytest.mark.parametrize("text", ["\U0001f600", "\U0001f469\u200d\U0001f467", "\u202ea", "!", "\u0301"])
def test_what_can_be_seen_is_a_text(text: str) -> None:
    """Emoji alone, signs alone and marks alone are for the model to judge."""
    assert accepted(FakeRow(text=text)).text == text


@pytest.mark.parametrize("text", [" fine\n", "\ufefffine", "x" * 10, "é" * 10, "🙂" * 10])
def test_text_is_kept_exactly_as_given(text: str) -> None:
    """Nothing is stripped, and the limit counts characters, not bytes."""
    assert accepted(FakeRow(text=text)).text == text


def test_bytes_that_are_utf8_are_text() -> None:
    """A binary column may hold texts."""
    assert accepted(FakeRow(text="é".encode())).text == "é"


@pytest.mark.parametrize("value", [None, "", "  ", float("nan")])
def test_a_named_id_must_be_there(value: object) -> None:
    """Null, empty and NaN (what pandas writes for null) are no ids."""
    found = refused(FakeRow(id=value), id="key")

    assert (found.reason, found.detail) == (
        Reason.MISSING_ID,
        'the id column "key" is missing, null or empty',
    )
    assert found.id is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("r 1 ", "r 1 "),
        (7, "7"),
        (2**70, "1180591620717411303424"),
        (1.5, "1.5"),
        (True, "true"),
        (["a", 1], '["a",1]'),
        ({"k": "é"}, '{"k":"é"}'),
        (b"bytes", "bytes"),
        (b"\xff\x00", "ff00"),
        ({"on": dt.date(2024, 2, 29)}, '{"on":"2024-02-29"}'),
    ],
)
def test_ids_of_every_type_become_strings(value: object, expected: str) -> None:
    """Strings and integers stay as they are, other values become compact JSON."""
    assert accepted(FakeRow(id=value), id="id").id == expected


def test_without_an_id_column_the_id_field_is_not_looked_at() -> None:
    """The id comes from the content even if the row has something in the field."""
    assert accepted(FakeRow(id="r1")).id == content_id("fine", "sentiment")


def test_the_task_column_chooses_the_task() -> None:
    """A known name is taken, and the id of a record without id column depends on it."""
    found = accepted(FakeRow(task="topic"), task="kind")

    assert (found.task, found.id) == ("topic", content_id("fine", "topic"))


@pytest.mark.parametrize(
    ("task", "detail"),
    [
        ("sentimant", 'column "kind" names no task: "sentimant"; the nearest known task is "sentiment"'),
        (12345, 'column "kind" names no task: "12345"; known tasks are "sentiment", "topic"'),
        (None, 'the task column "kind" is missing or null; known tasks are "sentiment", "topic"'),
    ],
)
def test_an_unknown_task_names_the_nearest(task: object, detail: str) -> None:
    """A null task is unknown too: the default task is for inputs without a task column."""
    found = refused(FakeRow(task=task), task="kind")

    assert (found.reason, found.detail) == (Reason.UNKNOWN_TASK, detail)


def test_an_endless_task_name_is_looked_at_in_part() -> None:
    """Its first 100 characters are compared with the known names and shown, so that a book costs no time."""
    found = refused(FakeRow(task="sentiments" * 1_000_000), task="kind")

    assert found.detail == (
        f'column "kind" names no task: "{"sentiments" * 10}"; known tasks are "sentiment", "topic"'
    )


def test_the_id_is_on_the_dead_letter_of_an_unknown_task() -> None:
    """What is known about a refused row is kept."""
    assert refused(FakeRow(task="x", id=9), task="kind", id="id").id == "9"


def test_reasons_come_in_a_fixed_order() -> None:
    """The text is judged before the id, the id before the task."""
    row = FakeRow(text="", id="", task="nothing")
    columns = {"id": "id", "task": "task"}

    assert refused(row, **columns).reason is Reason.EMPTY_TEXT
    assert refused(FakeRow(id="", task="nothing"), **columns).reason is Reason.MISSING_ID
    assert refused(FakeRow(id="r1", task="nothing"), **columns).reason is Reason.UNKNOWN_TASK


@pytest.mark.parametrize(
    ("gold", "expected"),
    [
        (None, None),
        (float("nan"), None),
        ("", ""),
        ("positive", "positive"),
        (1, "1"),
        (0.5, "0.5"),
        (True, "True"),
        (b"positive", "positive"),
        (["a", "b"], '["a","b"]'),
    ],
)
def test_gold_labels_become_strings(gold: object, expected: str | None) -> None:
    """Missing stays missing; several labels become a JSON array."""
    assert accepted(FakeRow(gold=gold)).gold == expected


def test_the_json_of_a_valid_row_is_never_made() -> None:
    """Describing a row costs time, so it is done for dead letters only."""

    def fail() -> str:
        raise AssertionError

    assert isinstance(validate(FakeRow(), rules(), fail), Record)


def test_rules_without_any_task_for_a_row_are_refused() -> None:
    """Without a task column there must be a default task among the known ones."""
    with pytest.raises(ValueError, match="default_task is None, not one of the tasks a, b"):
        Rules(Input(path="x"), ("a", "b"), None, Limits())
    assert Rules(Input(path="x", task="kind"), ("a", "b"), None, Limits()).default_task is None
