"""Tests of transforms/read_parquet.py: rows, payloads and damage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from router.job import Input
from router.records import DeadLetter, Position, Reason
from tests.transforms.inputs import read_input, rows_only, write_parquet
from transforms import read_parquet
from transforms.payload import decode_rows
from transforms.reading import Row, plan_input

if TYPE_CHECKING:
    from pathlib import Path


def bad_text(*values: bytes | None) -> pa.Array:
    """A string column that holds these bytes, UTF-8 or not."""
    return pa.array(values, pa.binary()).view(pa.string())


def test_rows_have_their_fields_numbers_and_payloads(tmp_path: Path) -> None:
    """Positions are row numbers in the file; payloads give the whole table back."""
    table = {"body": ["a", None, "c"], "key": [1, 2, 3], "label": ["x", None, "z"], "more": [[1], None, []]}
    columns = Input(
        path=write_parquet(tmp_path / "a.parquet", table, row_group_size=2),
        text="body",
        id="key",
        gold="label",
    )
    plan = plan_input(columns)

    rows = rows_only(read_input(columns, plan))

    assert plan.columns == ("body", "key", "label", "more")
    assert [(row.position, row.text, row.id, row.task, row.gold) for row in rows] == [
        (Position(0, 0), "a", 1, None, "x"),
        (Position(0, 1), None, 2, None, None),
        (Position(0, 2), "c", 3, None, "z"),
    ]
    assert plan.schema is not None
    assert decode_rows([row.payload for row in rows], plan.schema).to_pydict() == table


def test_without_payload_other_columns_are_not_decoded(tmp_path: Path) -> None:
    """A damaged column that nobody named does no harm."""
    path = write_parquet(
        tmp_path / "a.parquet", {"text": ["a", "b"], "other": ["x" * 1000, "y" * 1000]}, compression="none"
    )
    damage_column(path, "other")
    columns = Input(path=path)

    without = rows_only(read_input(columns, with_payload=False))

    assert [(row.text, row.payload) for row in without] == [("a", b""), ("b", b"")]
    assert [type(row) for row in read_input(columns)] == [DeadLetter, DeadLetter]


def damage_column(path: str, name: str, group: int = 0) -> None:
    """Overwrite the beginning of a column chunk, page header and all."""
    meta = pq.read_metadata(path)
    index = meta.schema.to_arrow_schema().get_field_index(name)
    chunk = meta.row_group(group).column(index)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    with open(path, "r+b") as file:  # noqa: PTH123
        file.seek(start)
        file.write(b"\xff" * min(chunk.total_compressed_size, 40))


def test_empty_files_and_row_groups_have_no_rows(tmp_path: Path) -> None:
    """A file without rows takes part in the schema and gives no split."""
    write_parquet(
        tmp_path / "a.parquet", {"text": pa.array([], pa.string()), "extra": pa.array([], pa.int8())}
    )
    with pq.ParquetWriter(tmp_path / "b.parquet", pa.schema([("text", pa.string())])) as writer:
        for values in ([], ["one"], [], ["two"], []):
            writer.write_table(pa.table({"text": pa.array(values, pa.string())}))
    columns = Input(path=str(tmp_path / "*.parquet"))
    plan = plan_input(columns)

    assert plan.columns == ("text", "extra")
    assert [split.file for split in plan.splits] == [1]
    assert [(row.text, row.position) for row in rows_only(read_input(columns, plan))] == [
        ("one", Position(1, 0)),
        ("two", Position(1, 1)),
    ]


def test_a_damaged_row_group_costs_its_own_rows_only(tmp_path: Path) -> None:
    """Each lost row is a dead letter of its own, so that the counts add up; later row groups are read."""
    texts = [str(number) * 50 for number in range(6)]
    path = write_parquet(
        tmp_path / "a.parquet", {"text": texts}, row_group_size=2, compression="none", use_dictionary=False
    )
    damage_column(path, "text", group=1)

    found = read_input(Input(path=path))

    assert [row.position.offset for row in found] == [0, 1, 2, 3, 4, 5]
    assert [row.text for row in found if isinstance(row, Row)] == [texts[0], texts[1], texts[4], texts[5]]
    letters = [row for row in found if isinstance(row, DeadLetter)]
    assert [(row.reason, row.stage, row.record, row.id) for row in letters] == [
        (Reason.CORRUPT_DATA, "read", None, None)
    ] * 2
    assert letters[0].detail.startswith(f"{path}, row group 1, row 2: the row group does not decode: ")
    assert letters[1].detail.startswith(f"{path}, row group 1, row 3: the row group does not decode: ")


def test_rows_before_the_damage_in_a_row_group_are_delivered(tmp_path: Path) -> None:
    """Damage late in a row group leaves the batches before it."""
    texts = [f"{number:06d}" * 20 for number in range(5_000)]
    path = write_parquet(
        tmp_path / "a.parquet",
        {"text": texts},
        compression="none",
        use_dictionary=False,
        data_page_size=10_000,
    )
    chunk = pq.read_metadata(path).row_group(0).column(0)
    with open(path, "r+b") as file:  # noqa: PTH123
        file.seek(chunk.data_page_offset + chunk.total_compressed_size - 30_000)
        file.write(b"\xff" * 30_000)

    found = read_input(Input(path=path))

    assert [row.position.offset for row in found] == list(range(5_000))
    delivered = [row.text for row in found if isinstance(row, Row)]
    assert len(delivered) >= 3_000
    assert delivered == texts[: len(delivered)]


def test_a_file_that_is_not_parquet_is_one_dead_letter(tmp_path: Path) -> None:
    """Others of the same input are read; its own position is row 0."""
    (tmp_path / "a.parquet").write_bytes(b"this is not Parquet at all")
    (tmp_path / "b.parquet").write_bytes(b"")
    write_parquet(tmp_path / "c.parquet", {"text": ["fine"]})
    columns = Input(path=str(tmp_path / "*.parquet"))
    plan = plan_input(columns)

    first, second, row = read_input(columns, plan)

    assert isinstance(first, DeadLetter)
    assert isinstance(second, DeadLetter)
    assert isinstance(row, Row)
    assert [letter.position for letter in (first, second)] == [Position(0, 0), Position(1, 0)]
    assert first.reason is Reason.CORRUPT_DATA
    assert first.detail.startswith(f"{tmp_path}/a.parquet: not readable as Parquet: ")
    assert (row.text, row.position) == ("fine", Position(2, 0))
    assert [split.holds(Position(0, 0)) for split in plan.splits] == [True, False, False]


def test_text_that_is_not_utf8_costs_one_row(tmp_path: Path) -> None:
    """Arrow does not check strings on reading; the row is told by number, and shown as far as it goes."""
    path = write_parquet(
        tmp_path / "a.parquet", {"text": bad_text(b"one", b"a\xffb", None, b"two"), "id": [1, 2, 3, 4]}
    )

    one, letter, none, two = read_input(Input(path=path))

    assert [row.text for row in (one, none, two) if isinstance(row, Row)] == ["one", None, "two"]
    assert letter == DeadLetter(
        Position(0, 1),
        None,
        Reason.INVALID_UTF8,
        f'{path}, row 1: column "text" is not UTF-8; convert the file',
        "read",
        '{"text":"a\ufffdb","id":2}',
    )


def test_other_columns_that_are_not_utf8_are_carried_as_they_are(tmp_path: Path) -> None:
    """What the job does not look at is not its business."""
    columns = Input(path=write_parquet(tmp_path / "a.parquet", {"text": ["one"], "raw": bad_text(b"\xff")}))
    plan = plan_input(columns)

    (row,) = rows_only(read_input(columns, plan))

    assert plan.schema is not None
    assert decode_rows([row.payload], plan.schema)["raw"].cast(pa.binary()).to_pylist() == [b"\xff"]


def test_a_value_that_does_not_fit_the_common_type_costs_one_row(tmp_path: Path) -> None:
    """Where files of integers and of fractions meet, only integers that a double cannot hold are lost."""
    write_parquet(tmp_path / "a.parquet", {"text": ["one"], "n": pa.array([2**53 + 1], pa.int64())})
    write_parquet(tmp_path / "b.parquet", {"text": ["two", "three"], "n": [0.5, 1.0]})
    write_parquet(
        tmp_path / "c.parquet", {"text": ["four", "five"], "n": pa.array([2**53 + 1, 4], pa.int64())}
    )
    columns = Input(path=str(tmp_path / "*.parquet"))

    found = read_input(columns)

    assert [row.text if isinstance(row, Row) else row.reason for row in found] == [
        Reason.CORRUPT_DATA,
        "two",
        "three",
        Reason.CORRUPT_DATA,
        "five",
    ]
    assert isinstance(found[3], DeadLetter)
    assert found[3].detail.startswith(
        f"{tmp_path}/c.parquet, row 0: a value does not fit the type of its column: "
    )


def test_dictionaries_stay_dictionaries(tmp_path: Path) -> None:
    """A column of few values has the same type in the output as in the input."""
    words = pa.array(["a", "b", "a"]).cast(pa.dictionary(pa.int8(), pa.string()))
    columns = Input(path=write_parquet(tmp_path / "a.parquet", {"text": words}))
    plan = plan_input(columns)

    rows = rows_only(read_input(columns, plan))

    assert plan.schema is not None
    assert [row.text for row in rows] == ["a", "b", "a"]
    table = decode_rows([row.payload for row in rows], plan.schema)
    assert table.schema == pq.read_schema(tmp_path / "a.parquet")
    assert table["text"].to_pylist() == ["a", "b", "a"]


def test_timestamps_and_decimals_can_be_ids(tmp_path: Path) -> None:
    """Values that Python cannot hold exactly come as text."""
    stamps = pa.array([1_700_000_000_123_456_789], pa.timestamp("ns"))
    columns = Input(path=write_parquet(tmp_path / "a.parquet", {"text": ["x"], "at": stamps}), id="at")

    (row,) = rows_only(read_input(columns))

    assert row.id == "2023-11-14 22:13:20.123456789"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (pa.ArrowInvalid("not Parquet"), True),
        (OSError("Corrupt snappy compressed data"), True),
        (OSError(5, "Input/output error"), False),
        (ConnectionResetError("peer"), False),
        (FileNotFoundError("gone"), False),
    ],
)
def test_trouble_on_the_way_is_not_damage(error: Exception, expected: bool) -> None:
    """Errors of disk and network are raised, so that the runner tries again, and cost no rows."""
    assert read_parquet._is_damage(error) is expected
