"""Rows and passages that can be retrieved, as they are read from files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from router.identity import content_id
from router.job import ContextSource, ExampleSource, Task
from router.job_loading import parse_job
from router.reference import ReferenceRow
from tests.router.job_example import EXAMPLE
from transforms import reference_rows
from transforms.reference_rows import read_labelled_rows, read_passages, read_rows, write_rows
from transforms.splits import InputError

if TYPE_CHECKING:
    import pathlib

JOB = parse_job(EXAMPLE, name="job.yaml")
TASK = Task.model_validate({"name": "t", "instruction": "Say.", "labels": [{"name": "a"}, {"name": "b"}]})
TOPICS = TASK.model_copy(update={"kind": "multi_label"})


def lines(path: pathlib.Path, rows: list[Any]) -> pathlib.Path:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def labelled(path: pathlib.Path, task: Task = TASK, **keys: Any) -> tuple[ReferenceRow, ...]:
    """The rows of a file."""
    return read_labelled_rows(JOB, task, ExampleSource.model_validate({"from": str(path), "k": 1, **keys}))


def passages(path: pathlib.Path | str, **keys: Any) -> tuple[ReferenceRow, ...]:
    """The passages of a file."""
    return read_passages(JOB, TASK, ContextSource.model_validate({"from": str(path), **keys}))


def test_rows_have_the_ids_of_their_column(tmp_path: pathlib.Path) -> None:
    """Without one an id is a digest of the text; rows without a text or a label are none."""
    path = lines(
        tmp_path / "rows.jsonl",
        [
            {"n": 7, "text": "one", "label": "a"},
            {"n": 8, "text": "two", "label": "b"},
            {"n": 9, "text": "no label"},
            {"n": 10, "text": "", "label": "a"},
            {"n": 11, "text": "half a character \ud83d", "label": "a"},
        ],
    )

    assert labelled(path, id="n") == (ReferenceRow("7", "one", "a"), ReferenceRow("8", "two", "b"))
    assert [row.id for row in labelled(path)] == [content_id("one", "t"), content_id("two", "t")]


def test_a_row_may_have_several_labels(tmp_path: pathlib.Path) -> None:
    """Lists in Parquet and JSON, in the task's order; also none, and a single one as text."""
    rows = [{"text": "x", "label": ["b", "a"]}, {"text": "y", "label": []}]
    pl.DataFrame(rows).write_parquet(tmp_path / "rows.parquet")
    path = lines(tmp_path / "rows.jsonl", [*rows, {"text": "z", "label": "b"}])

    assert [row.label for row in labelled(tmp_path / "rows.parquet", TOPICS)] == [("a", "b"), ()]
    assert [row.label for row in labelled(path, TOPICS)] == [("a", "b"), (), ("b",)]


def test_long_texts_are_no_examples(tmp_path: pathlib.Path) -> None:
    """600 characters are read with every record, 601 are not."""
    path = lines(tmp_path / "rows.jsonl", [{"text": "x" * n, "label": "a"} for n in (600, 601)])

    assert [len(row.text) for row in labelled(path)] == [600]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"text": "x", "label": "c"}], "tasks.t.examples.label: 'c' is not a label of task 't' (a, b)"),
        ([{"text": "x", "lable": "a"}], "tasks.t.examples.from: no row of"),
        ([{"text": "x" * 601, "label": "a"}], "tasks.t.examples.from: no row of"),
    ],
)
def test_a_source_without_use_is_refused(tmp_path: pathlib.Path, rows: list[Any], says: str) -> None:
    """In one line that says where it is named."""
    with pytest.raises(InputError) as caught:
        labelled(lines(tmp_path / "rows.jsonl", rows))

    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_too_many_rows_are_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly the allowed number is fine."""
    path = lines(tmp_path / "rows.jsonl", [{"text": f"{n}", "label": "a"} for n in range(4)])
    monkeypatch.setattr(reference_rows, "MOST_ROWS", 4)
    assert len(labelled(path)) == 4
    monkeypatch.setattr(reference_rows, "MOST_ROWS", 3)

    with pytest.raises(InputError, match=r"tasks\.t\.examples\.from: 4 rows are too many .* at most 3"):
        labelled(path)


def test_documents_are_passages(tmp_path: pathlib.Path) -> None:
    """A pattern names several, whose names begin the ids."""
    (tmp_path / "guide.md").write_text("# Irony\nIrony is negative.\n", encoding="utf-8")
    (tmp_path / "more.md").write_text("Praise is positive.", encoding="utf-8")

    assert passages(tmp_path / "*.md") == (
        ReferenceRow("guide.md#Irony/1", "Irony\nIrony is negative."),
        ReferenceRow("more.md/1", "Praise is positive."),
    )


def test_rows_are_passages_too(tmp_path: pathlib.Path) -> None:
    """Long ones are cut at sentences, and the pieces numbered."""
    path = lines(
        tmp_path / "rules.jsonl",
        [{"rule": "r1", "says": "Short."}, {"rule": "r2", "says": f"{'a' * 500}. {'b' * 200}."}],
    )

    assert passages(path, text="says", id="rule") == (
        ReferenceRow("r1", "Short."),
        ReferenceRow("r2/1", "a" * 500 + "."),
        ReferenceRow("r2/2", "b" * 200 + "."),
    )


def test_documents_that_are_not_there_or_empty_are_refused(tmp_path: pathlib.Path) -> None:
    """With the key that names them."""
    (tmp_path / "empty.md").write_text("\n# \n", encoding="utf-8")

    with pytest.raises(InputError, match=r"tasks\.t\.context\.from: .*empty\.md holds no passage"):
        passages(tmp_path / "empty.md")
    with pytest.raises(InputError, match=r"tasks\.t\.context\.from: .*nothing\.md"):
        passages(tmp_path / "nothing.md")


def test_rows_travel_as_lines() -> None:
    """Whatever their labels are, and with line ends in their texts."""
    rows = [
        ReferenceRow("1", "a\nb\u2028c", "x"),
        ReferenceRow("2", "語", ("x", "y")),
        ReferenceRow("3", "p"),
    ]

    assert read_rows(write_rows(rows)) == rows
    assert len(write_rows(rows).split(b"\n")) == 4
