"""Labelled rows of another file, from which examples are drawn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from router.job import ExampleSource, Task
from router.job_loading import parse_job
from router.prompt_search import LabelledText
from tests.router.job_example import EXAMPLE
from transforms.read_examples import digest_examples, read_examples
from transforms.splits import InputError

if TYPE_CHECKING:
    import pathlib

JOB = parse_job(EXAMPLE, name="job.yaml")
TASK = Task.model_validate({"name": "t", "instruction": "Say.", "labels": [{"name": "a"}, {"name": "b"}]})


def rows_of(path: pathlib.Path, **columns: str) -> tuple[LabelledText, ...]:
    """The rows of a file."""
    return read_examples(JOB, TASK, ExampleSource.model_validate({"from": str(path), **columns}))


def lines(path: pathlib.Path, rows: list[Any]) -> pathlib.Path:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_rows_with_a_text_and_a_label_are_read(tmp_path: pathlib.Path) -> None:
    """Those that lack one of them are no examples."""
    path = lines(
        tmp_path / "rows.jsonl",
        [
            {"text": "one", "label": "a"},
            {"text": "", "label": "a"},
            {"text": "two"},
            {"text": "x", "label": "b"},
        ],
    )

    assert set(rows_of(path)) == {LabelledText("one", "a"), LabelledText("x", "b")}


def test_columns_may_have_other_names(tmp_path: pathlib.Path) -> None:
    """And the file may be Parquet, as any input."""
    pl.DataFrame({"review": ["one"], "gold": ["b"]}).write_parquet(tmp_path / "rows.parquet")

    found = rows_of(tmp_path / "rows.parquet", text="review", label="gold")

    assert found == (LabelledText("one", "b"),)


def test_of_a_large_file_rows_are_drawn(tmp_path: pathlib.Path) -> None:
    """Wherever they stand, because a file may be sorted by label; always the same ones."""
    rows = [{"text": f"{n}", "label": "a" if n < 5000 else "b"} for n in range(10_000)]
    path = lines(tmp_path / "rows.jsonl", rows)

    found = rows_of(path)

    assert len(found) == 2000
    assert 900 < sum(one.label == "a" for one in found) < 1100
    assert rows_of(path) == found


def test_texts_too_long_to_be_shown_are_no_examples(tmp_path: pathlib.Path) -> None:
    """Where there are no others, that is said."""
    long = {"text": "x" * 601, "label": "a"}

    assert rows_of(lines(tmp_path / "some.jsonl", [long, {"text": "x", "label": "a"}])) == (
        LabelledText("x", "a"),
    )
    with pytest.raises(InputError, match="at most 600 characters"):
        rows_of(lines(tmp_path / "none.jsonl", [long]))


def test_a_label_that_the_task_does_not_have_is_an_error(tmp_path: pathlib.Path) -> None:
    """A typing mistake would teach the model a wrong label."""
    path = lines(tmp_path / "rows.jsonl", [{"text": "one", "label": "A"}])

    with pytest.raises(InputError, match=r"^tasks\.t\.examples\.label: 'A' is not a label of task 't'"):
        rows_of(path)


def test_a_file_that_is_not_there_is_an_error_that_names_the_key(tmp_path: pathlib.Path) -> None:
    """So is one without such columns."""
    with pytest.raises(InputError, match=r"^tasks\.t\.examples\.from: .*no\.jsonl"):
        rows_of(tmp_path / "no.jsonl")
    pl.DataFrame({"text": ["one"], "gold": ["b"]}).write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(InputError, match=r'^tasks\.t\.examples\.label: no column "label" in .*"gold"'):
        rows_of(tmp_path / "rows.parquet")


def test_other_rows_have_another_digest() -> None:
    """A finished job whose examples changed is not finished."""
    one, other = LabelledText("one", "a"), LabelledText("one", "b")

    assert digest_examples([one]) == digest_examples([one]) != digest_examples([other])


def test_missing_label_column_lists_those_there_are(tmp_path: pathlib.Path) -> None:
    """Lines may have any keys, so that one is missing shows only when no row has it."""
    path = lines(tmp_path / "rows.jsonl", [{"text": "Good.", "lable": "a"}])

    with pytest.raises(ValueError, match=r'its columns are "lable", "text" \(did you mean "lable"\?\)'):
        rows_of(path)
