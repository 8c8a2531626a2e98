"""Reading splits into work for the models."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam import pvalue

from router.identity import text_key
from router.records import Answer, DeadLetter, Reason, Record, Usage, Work
from router.repeats import Repeat, Role, pack_repeats
from tests.transforms.local_pipeline import job_on, lines_file, reader_of
from transforms.read_records import DEAD, SHARED, ReadSplit, first_rows, read_validated

if TYPE_CHECKING:
    import pathlib

    from transforms.read_records import Reader
    from transforms.reading import Split


def read_all(reader: Reader, splits: tuple[Split, ...], *, payload: bool = True) -> list[Record | DeadLetter]:
    """Every row of the splits."""
    return [row for split in splits for row in read_validated(split, reader, with_payload=payload)]


def processed(
    reader: Reader,
    splits: tuple[Split, ...],
    repeats: list[Repeat] | None = None,
    pilot: dict[bytes, tuple[Answer, ...]] | None = None,
) -> tuple[list[Work], list[tuple[str, Any]]]:
    """What `ReadRecords` makes of the splits: work, and what goes to the other outputs."""
    packed = [pack_repeats([repeat]) for repeat in repeats or []]
    reading = ReadSplit(reader)
    reading.setup()
    found: list[Any] = [
        one
        for number, split in enumerate(splits)
        for one in reading.process((number, {"splits": [split], "repeats": packed}), pilot or {})
    ]
    tagged = [(one.tag, one.value) for one in found if isinstance(one, pvalue.TaggedOutput)]
    return [one for one in found if isinstance(one, Work)], tagged


def test_rows_are_records_or_dead_letters(tmp_path: pathlib.Path) -> None:
    """A dead letter shows the row as JSON text."""
    path = lines_file(tmp_path, [{"id": 1, "text": "fine", "x": 1}, {"id": 2, "text": 7}])
    reader, splits = reader_of(job_on(path))

    good, bad = read_all(reader, splits)

    assert isinstance(good, Record)
    assert (good.id, good.text, good.task, good.payload) == (
        "1",
        "fine",
        "mood",
        b'{"id": 1, "text": "fine", "x": 1}',
    )
    assert isinstance(bad, DeadLetter)
    assert (bad.id, bad.reason, bad.record) == ("2", Reason.TEXT_NOT_STRING, '{"id": 2, "text": 7}')


def test_a_parquet_row_in_a_dead_letter_is_json_too(tmp_path: pathlib.Path) -> None:
    """Its bytes would tell nobody anything."""
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"id": [1], "text": [" "], "when": pa.array([0], pa.date32())}), path)
    reader, splits = reader_of(job_on(path))

    [row] = read_all(reader, splits)

    assert isinstance(row, DeadLetter)
    assert json.loads(row.record or "") == {"id": 1, "text": " ", "when": "1970-01-01"}


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 9])
def test_a_limit_takes_the_first_rows(tmp_path: pathlib.Path, limit: int) -> None:
    """Dead letters count: the limit is of rows read. Files that are not reached are not read."""
    rows = [{"id": number, "text": "fine" if number != 2 else ""} for number in range(1, 6)]
    path = lines_file(tmp_path, rows)
    reader, splits = reader_of(job_on(path), split_bytes=40)
    assert len(splits) > 2

    fewer, limited = first_rows(splits, reader, limit)

    found = [row.id for row in read_all(limited, fewer)]
    assert found == [str(number) for number in range(1, min(limit, 5) + 1)]
    assert len(fewer) <= len(splits)
    assert (limited.until is None) is (limit == 9)


def test_work_starts_with_the_model_that_the_rules_choose(tmp_path: pathlib.Path) -> None:
    """The route has the language; the model is asked next."""
    path = lines_file(tmp_path, [{"id": 1, "text": "This is fine."}, {"id": 2, "text": "これは良いです。"}])
    rules = [{"when": {"languages": ["ja"]}, "use": "other"}]
    reader, splits = reader_of(job_on(path, routing={"default": "small", "rules": rules}))

    work, tagged = processed(reader, splits)

    assert [(one.route.language, one.route.model, one.route.rule, one.ask) for one in work] == [
        ("en", "small", None, "small"),
        ("ja", "other", 0, "other"),
    ]
    assert not tagged


def test_repeated_ids_are_dead_letters_and_copies_wait(tmp_path: pathlib.Path) -> None:
    """The original is answered, its copy is read later."""
    texts = ["one", "two", "one", "three"]
    rows = [{"id": number, "text": text} for number, text in zip([1, 1, 3, 4], texts, strict=True)]
    reader, splits = reader_of(job_on(lines_file(tmp_path, rows)))
    at = [row.position for row in read_all(reader, splits) if isinstance(row, Record)]
    key = text_key("one", "mood")
    repeats = [
        Repeat(at[0], Role.ORIGINAL, key, 0),
        Repeat(at[1], Role.SAME_ID, key, 1),
        Repeat(at[2], Role.COPY, key, 1),
    ]

    work, tagged = processed(reader, splits, repeats)

    assert [(one.record.id, one.shared_key) for one in work] == [("1", key), ("4", None)]
    [(tag, letter)] = tagged
    assert tag == DEAD
    assert (letter.reason, letter.id, letter.stage) == (Reason.DUPLICATE_ID, "1", "deduplicate")
    assert letter.record == '{"id": 1, "text": "two"}'


@pytest.mark.parametrize(("length", "shown"), [(100, 100), (101, 100), (1_000_000, 100)])
def test_a_long_repeated_id_is_cut_in_the_message(tmp_path: pathlib.Path, length: int, shown: int) -> None:
    """The dead letter itself has it whole."""
    name = "x" * length
    reader, splits = reader_of(job_on(lines_file(tmp_path, [{"id": name, "text": "two"}])))
    [row] = read_all(reader, splits)

    _, [(_, letter)] = processed(reader, splits, [Repeat(row.position, Role.SAME_ID, b"k" * 16, 1)])

    assert letter.detail == f"id '{'x' * shown}' was seen before; ids must be unique"
    assert letter.id == name


def test_pilot_answers_go_with_their_text(tmp_path: pathlib.Path) -> None:
    """What the calibration sample answered is not asked again."""
    rows = [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}]
    reader, splits = reader_of(job_on(lines_file(tmp_path, rows)))
    given = Answer("small", Usage(usd=Decimal("0.001")), labels=("good",))

    work, _ = processed(reader, splits, pilot={text_key("two", "mood"): (given,)})

    assert [(one.ask, one.answers, one.pilot) for one in work] == [
        ("small", (), ()),
        (None, (given,), (given,)),
    ]


def test_an_original_that_cannot_be_read_whole_tells_its_copies(tmp_path: pathlib.Path) -> None:
    """The index saw its text only; its dead letter is shared, without the row."""
    path = lines_file(tmp_path, [{"id": 1, "text": ""}])
    reader, splits = reader_of(job_on(path))
    [row] = read_all(reader, splits)
    assert isinstance(row, DeadLetter)
    key = text_key("", "mood")

    work, tagged = processed(reader, splits, [Repeat(row.position, Role.ORIGINAL, key, 0)])

    assert not work
    assert tagged == [(DEAD, row), (SHARED, (key, dataclasses.replace(row, record=None)))]
