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
    """In their order; those that lack one of them are no examples."""
    path = lines(
        tmp_path / "rows.jsonl",
        [
            {"text": "one", "label": "a"},
            {"text": "", "label": "a"},
            {"text": "two"},
            {"text": "x", "label": "b"},
        ],
    )

    assert rows_of(path) == (LabelledText("one", "a"), LabelledText("x", "b"))


def test_columns_may_have_other_names(tmp_path: pathlib.Path) -> None:
    """And the file may be Parquet, as any input."""
    pl.DataFrame({"review": ["one"], "gold": ["b"]}).write_parquet(tmp_path / "rows.parquet")

    found = rows_of(tmp_path / "rows.parquet", text="review", label="gold")

    assert found == (LabelledText("one", "b"),)


def test_of_a_large_file_the_first_rows_are_read(tmp_path: pathlib.Path) -> None:
    """A few dozen are shown at most."""
    path = lines(tmp_path / "rows.jsonl", [{"text": f"{n}", "label": "a"} for n in range(2005)])

    assert len(rows_of(path)) == 2000


def test_a_label_that_the_task_does_not_have_is_an_error(tmp_path: pathlib.Path) -> None:
    """A typing mistake would teach the model a wrong label."""
    path = lines(tmp_path / "rows.jsonl", [{"text": "one", "label": "A"}])

    with pytest.raises(
        InputError, match=r"^tasks\.t\.examples\.from: .*rows\.jsonl: label: 'A' is not a label"
    ):
        rows_of(path)


def test_a_file_that_is_not_there_is_an_error_that_names_the_key(tmp_path: pathlib.Path) -> None:
    """So is one without such columns."""
    with pytest.raises(InputError, match=r"^tasks\.t\.examples\.from: .*no\.jsonl"):
        rows_of(tmp_path / "no.jsonl")
    path = lines(tmp_path / "rows.jsonl", [{"text": "one", "gold": "a"}])
    with pytest.raises(InputError, match=r"^tasks\.t\.examples\.from: .*label"):
        rows_of(path)


def test_other_rows_have_another_digest() -> None:
    """A finished job whose examples changed is not finished."""
    one, other = LabelledText("one", "a"), LabelledText("one", "b")

    assert digest_examples([one]) == digest_examples([one]) != digest_examples([other])
