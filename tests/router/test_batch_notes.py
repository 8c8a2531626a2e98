"""The notes of batches: what was planned is open until it ended, in whatever order notes are read."""

from __future__ import annotations

import itertools
from decimal import Decimal

from router import batch_notes
from router.batch_notes import FirstAnswer, Noted, Submission, read_notes
from router.records import Usage

NAME = "0123456789abcdef-000102030405060708090a0b0c0d0e0f"
FIRST = FirstAnswer(Usage(100, 40, 5, usd=Decimal("0.000075")), "not the required JSON", 'I "say" so')


def test_a_custom_id_names_its_question() -> None:
    """What decides the answer, and the text; below the 64 characters that OpenAI allows."""
    assert batch_notes.custom_id("0123456789abcdef", bytes(range(16))) == NAME
    assert batch_notes.question_of(NAME) == ("0123456789abcdef", bytes(range(16)))
    assert batch_notes.question_of("request-1") is None
    assert len(NAME) == 49


def test_a_batch_is_open_until_it_ended() -> None:
    """Each note adds what is known since; the notes' order does not matter."""
    notes = [
        batch_notes.header("m"),
        batch_notes.planned("k", 7.0, [NAME]),
        batch_notes.uploaded("k", "file-1"),
        batch_notes.submitted("k", "batch_1"),
    ]

    assert read_notes(notes[:2]).open == (Submission("k", 7.0, (NAME,)),)
    for order in itertools.permutations(notes):
        assert read_notes(order).open == (Submission("k", 7.0, (NAME,), "file-1", "batch_1"),)
    assert read_notes([*notes, batch_notes.ended("k", "completed")]) == Noted()


def test_first_answers_are_known_until_they_are_settled() -> None:
    """They come back as they were, with the batch that they are from."""
    ended = batch_notes.ended("k", "completed", {NAME: FIRST}, ["temperature"])

    found = read_notes([ended])

    assert found.firsts == {NAME: ("k", FIRST)}
    assert found.refused == ("temperature",)
    assert read_notes([ended, batch_notes.settled("k", [NAME])]).firsts == {}
    assert read_notes([ended, batch_notes.settled("other", [NAME])]).firsts == {NAME: ("k", FIRST)}


def test_torn_and_foreign_lines_say_nothing() -> None:
    """A line that a killed process left half written costs its own note only."""
    whole = batch_notes.planned("k", 7.0, [NAME])

    assert read_notes([whole[:-20], b"[]\n", b'{"key":"00"}\n', b"\xff\n"]) == Noted()
    assert read_notes([whole[:20], whole]).open == (Submission("k", 7.0, (NAME,)),)


def test_endpoints_are_told_apart() -> None:
    """By address and model."""
    prints = {batch_notes.endpoint_print(url, model) for url in (None, "http://x/v1") for model in "ab"}

    assert len(prints) == 4
    assert {len(one) for one in prints} == {16}
