"""Copies of texts that were answered before."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from router.records import Annotated, DeadLetter, Position, Reason, Record, Status, Usage
from router.repeats import Repeat, Role, pack_repeats
from tests.transforms.local_pipeline import job_on, labelled, lines_file, local_pipeline, reader_of
from tests.transforms.rows_examples import annotated
from transforms.read_copies import ReadCopies, light_outcome, share_outcome
from transforms.read_records import DEAD, read_validated

if TYPE_CHECKING:
    import pathlib

LETTER = DeadLetter(Position(0, 0), "a", Reason.LLM_UNUSABLE, "big: no label", "answer", '{"x": 1}')
ONE, TWO = b"1" * 16, b"2" * 16


def copy() -> Record:
    """A record that has the same text as an earlier one."""
    return Record(Position(3, 7), "copy", "fine", "mood", None, b'{"own": "row"}')


def test_a_copy_takes_over_the_answer_at_no_cost() -> None:
    """Labels, confidence and model are the original's; the row is its own."""
    original = annotated(b"{}", name="first")

    found = share_outcome(copy(), original)

    assert isinstance(found, Annotated)
    assert found.record == copy()
    assert (found.annotation.labels, found.annotation.confidence) == (("good",), 0.9)
    assert (found.annotation.model, found.annotation.status) == ("small", Status.DUPLICATE)
    assert found.annotation.reason == "same text as 'first'"
    assert (found.usage, dict(found.calls), found.calibration_usd) == (Usage(), {}, Decimal(0))


def test_a_copy_of_a_dead_letter_is_one() -> None:
    """For the same reason, at its own place and under its own id."""
    found = share_outcome(copy(), LETTER)

    assert isinstance(found, DeadLetter)
    assert (found.position, found.id, found.reason) == (Position(3, 7), "copy", Reason.LLM_UNUSABLE)
    assert found.detail == "same text as 'a': big: no label"


def test_what_is_shared_is_light() -> None:
    """Neither the row nor the text nor the account, which copies do not need."""
    shared = light_outcome(annotated(b"{}", name="first"))

    assert isinstance(shared, Annotated)
    assert (shared.record.text, shared.record.payload, shared.record.id) == ("", b"", "first")
    assert (shared.usage, dict(shared.calls)) == (Usage(), {})
    assert light_outcome(LETTER) == dataclasses.replace(LETTER, record=None)


@pytest.mark.parametrize("split_bytes", [1, 50, 1 << 20])
@pytest.mark.parametrize("with_ids", [True, False])
def test_copies_are_read_from_the_splits_that_hold_them(
    tmp_path: pathlib.Path, split_bytes: int, with_ids: bool
) -> None:
    """Two files, `one` at four places; a copy without an id of its own gets a number after its content's."""
    for name, texts in (("1", ["one", "two", "one"]), ("2", ["three", "one", "one", "two"])):
        rows = [{"id": f"{name}{number}", "text": text} for number, text in enumerate(texts)]
        lines_file(tmp_path, rows, f"in-{name}.jsonl")
    columns = {} if with_ids else {"input": {"id": None}}
    reader, splits = reader_of(job_on(tmp_path / "in-*.jsonl", **columns), split_bytes=split_bytes)
    rows_by_text: dict[str, list[Record]] = {}
    for split in splits:
        for row in read_validated(split, reader, with_payload=True):
            assert isinstance(row, Record)
            rows_by_text.setdefault(row.text, []).append(row)
    repeats = [
        pack_repeats([Repeat(row.position, Role.COPY if rank else Role.ORIGINAL, key, rank)])
        for text, key in (("one", ONE), ("two", TWO))
        for rank, row in enumerate(rows_by_text[text])
    ]
    outcomes = [(ONE, annotated(b"", name="first")), (TWO, LETTER)]

    with local_pipeline() as pipeline:
        inputs = {
            "repeats": pipeline | "Repeats" >> beam.Create(repeats),
            "outcomes": pipeline | "Outcomes" >> beam.Create(outcomes),
        }
        copies = inputs | ReadCopies(reader, splits)
        assert_that(
            labelled(
                {
                    "annotated": copies["copies"]
                    | "Ids" >> beam.Map(lambda row: (row.record.id, row.record.payload)),
                    "dead": copies[DEAD] | "DeadIds" >> beam.Map(lambda letter: (letter.id, letter.record)),
                }
            ),
            equal_to(expected(rows_by_text, with_ids=with_ids)),
        )


def expected(rows: dict[str, list[Record]], *, with_ids: bool) -> list[Any]:
    """Three copies of `one`, and one of `two`, whose original is a dead letter."""
    content = rows["one"][0].id
    ids = ["12", "21", "22"] if with_ids else [f"{content}-{number}" for number in (2, 3, 4)]
    dead = "23" if with_ids else f"{rows['two'][0].id}-2"
    found: list[Any] = [
        ("annotated", (name, row.payload)) for name, row in zip(ids, rows["one"][1:], strict=True)
    ]
    return [*found, ("dead", (dead, rows["two"][1].payload.decode()))]
