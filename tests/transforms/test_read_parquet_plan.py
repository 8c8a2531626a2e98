"""Tests of what planning finds out about Parquet files: splits, schemas, wrong columns."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from router.job import Input
from tests.transforms.inputs import read_input, rows_only, write_parquet
from transforms.payload import decode_rows
from transforms.reading import InputError, Row, Split, plan_input, read_rows

if TYPE_CHECKING:
    from pathlib import Path


def test_splits_are_runs_of_row_groups(tmp_path: Path) -> None:
    """Small row groups share a split; a split knows its first row; nothing is lost between them."""
    texts = [f"{number:05d}" + "x" * 995 for number in range(100)]
    path = write_parquet(tmp_path / "a.parquet", {"text": texts}, row_group_size=10, use_dictionary=False)
    columns = Input(path=path)

    plan = plan_input(columns, split_bytes=25_000)

    assert [(split.start, split.stop, split.first_row, split.rows) for split in plan.splits] == [
        (0, 3, 0, 30),
        (3, 6, 30, 30),
        (6, 9, 60, 30),
        (9, 10, 90, 10),
    ]
    rows = rows_only(read_input(columns, plan))
    assert [row.text for row in rows] == texts
    assert [row.position.offset for row in rows] == list(range(100))
    assert [sum(split.holds(row.position) for split in plan.splits) for row in rows] == [1] * 100
    assert pickle.loads(pickle.dumps(plan.splits)) == plan.splits


def test_where_no_file_is_parquet_the_job_does_not_start(tmp_path: Path) -> None:
    """An input of nothing but dead letters is a wrong path."""
    (tmp_path / "a.parquet").write_bytes(b"this is not Parquet at all")

    with pytest.raises(InputError, match=r"a\.parquet: not readable as Parquet: "):
        plan_input(Input(path=str(tmp_path / "*.parquet")))


def test_files_with_different_columns_share_one_schema(tmp_path: Path) -> None:
    """Columns are united, types widened, and what a file lacks is null."""
    write_parquet(tmp_path / "a.parquet", {"text": ["one"], "n": pa.array([1], pa.int32()), "only_a": [True]})
    write_parquet(
        tmp_path / "b.parquet",
        {"n": pa.array([2**40], pa.int64()), "text": pa.array(["two"], pa.large_string())},
    )
    write_parquet(tmp_path / "c.parquet", {"text": pa.array(["three"]).dictionary_encode(), "n": pa.nulls(1)})
    columns = Input(path=str(tmp_path / "*.parquet"))
    plan = plan_input(columns)

    rows = rows_only(read_input(columns, plan))

    assert plan.schema == pa.schema([("text", pa.large_string()), ("n", pa.int64()), ("only_a", pa.bool_())])
    assert decode_rows([row.payload for row in rows], plan.schema).to_pylist() == [
        {"text": "one", "n": 1, "only_a": True},
        {"text": "two", "n": 2**40, "only_a": None},
        {"text": "three", "n": None, "only_a": None},
    ]
    assert [row.text for row in read_input(columns, plan, with_payload=False) if isinstance(row, Row)] == [
        "one",
        "two",
        "three",
    ]


def test_contradicting_files_are_refused(tmp_path: Path) -> None:
    """Types that no common type holds are an error that names both files and the column."""
    write_parquet(tmp_path / "a.parquet", {"text": ["one"], "n": [1]})
    write_parquet(tmp_path / "b.parquet", {"text": ["two"], "n": [[1]]})

    with pytest.raises(
        InputError, match=r"b\.parquet: its columns contradict those of .*a\.parquet: .*Field n"
    ):
        plan_input(Input(path=str(tmp_path / "*.parquet")))


@pytest.mark.parametrize("role", ["text", "id", "task", "gold"])
def test_a_missing_column_names_the_nearest(tmp_path: Path, role: str) -> None:
    """All four named columns must exist."""
    path = write_parquet(tmp_path / "a.parquet", {"text": ["x"], "comment_body": ["y"]})

    with pytest.raises(InputError) as caught:
        plan_input(Input(path=path, **{role: "coment_body"}))

    assert str(caught.value) == (
        f'input.{role}: no column "coment_body" in {path} (did you mean "comment_body"?); it has '
        f'"comment_body", "text". Set input.{role} to one of them.'
    )


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["x"]),
        pa.array(["x"], pa.large_string()),
        pa.array([b"x"]),
        pa.array([b"x"], pa.large_binary()),
        pa.array(["x"]).dictionary_encode(),
        pa.nulls(1),
    ],
    ids=lambda values: str(values.type),
)
def test_types_that_hold_text(tmp_path: Path, values: pa.Array) -> None:
    """Strings, bytes, dictionaries of strings and all-null columns are let through to validation."""
    columns = Input(path=write_parquet(tmp_path / "a.parquet", {"text": values}))

    (row,) = rows_only(read_input(columns))

    assert row.text in ("x", b"x", None)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (pa.array([1]), "int64"),
        (pa.array([["x"]]), "list<"),
        (pa.array([{"a": "x"}]), "struct<"),
    ],
)
def test_a_text_column_of_another_type_is_refused(tmp_path: Path, values: pa.Array, named: str) -> None:
    """The message says the type."""
    path = write_parquet(tmp_path / "a.parquet", {"text": values})

    with pytest.raises(InputError, match=rf'column "text" of .* is of type {named}.*not text'):
        plan_input(Input(path=path))


@pytest.mark.parametrize("name", ["annotation", "route", "usage"])
def test_columns_of_the_output_are_refused_in_the_input(tmp_path: Path, name: str) -> None:
    """They would be overwritten."""
    path = write_parquet(tmp_path / "a.parquet", {"text": ["x"], name: [1]})

    with pytest.raises(InputError, match=f'already has a column "{name}".*rename or drop it'):
        plan_input(Input(path=path))


def test_a_column_that_appears_twice_is_refused(tmp_path: Path) -> None:
    """Which of the two is meant cannot be told; the name is shown so that it cannot steer a terminal."""
    table = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["\x1b[2J", "\x1b[2J"])
    pq.write_table(table, tmp_path / "a.parquet")

    with pytest.raises(InputError, match=r'column "\\x1b\[2J" appears 2 times'):
        plan_input(Input(path=str(tmp_path / "a.parquet")))


def test_metadata_about_the_old_columns_is_dropped(tmp_path: Path) -> None:
    """Notes of pandas or Hugging Face list the columns, and the output has more of them."""
    table = pa.table({"text": ["x"]}).replace_schema_metadata({"huggingface": "{}"})
    pq.write_table(table, tmp_path / "a.parquet")

    plan = plan_input(Input(path=str(tmp_path / "a.parquet")))

    assert plan.schema is not None
    assert plan.schema.metadata is None


def test_a_split_without_its_schema_is_a_mistake_of_the_caller() -> None:
    """Payloads need the schema of the whole job."""
    with pytest.raises(ValueError, match="needs the plan's schema"):
        read_rows(Split("parquet", "x", 0, 0, 1), Input(path="x"), schema=None, with_payload=True)
