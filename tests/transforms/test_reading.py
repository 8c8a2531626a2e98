"""Tests of transforms/reading.py: which files a path means, and what is said where it means none."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.registry import known_implementations

from router.job import Input
from router.records import Position
from transforms import files
from transforms.reading import InputError, Row, Split, plan_input, read_rows

if TYPE_CHECKING:
    from pathlib import Path

LINE = b'{"text": "x"}\n'


def urls(path: str) -> list[str]:
    """The files that a path means."""
    return [split.url for split in plan_input(Input(path=path)).splits]


def make(folder: Path, *names: str) -> None:
    """Make files with one valid line each."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(LINE)


def refusal(path: str) -> str:
    """The message of the error that planning ends in."""
    with pytest.raises(InputError) as caught:
        plan_input(Input(path=path))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_one_file(tmp_path: Path) -> None:
    """A plain path is one file; a plan of JSON Lines has no schema and no columns."""
    make(tmp_path, "a.jsonl")

    plan = plan_input(Input(path=f"{tmp_path}/a.jsonl"))

    assert plan.splits == (Split("jsonl", f"{tmp_path}/a.jsonl", 0, 0, 14),)
    assert (plan.schema, plan.columns) == (None, ())


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may have another working folder."""
    make(tmp_path, "a.jsonl")
    monkeypatch.chdir(tmp_path)

    assert urls("a.jsonl") == [f"{tmp_path}/a.jsonl"]


def test_globs_are_sorted_and_numbered(tmp_path: Path) -> None:
    """Files are numbered in the order of their names."""
    make(tmp_path, "b.jsonl", "a.jsonl", "c1.ndjson", "c22.ndjson", "deep/er/d.jsonl")

    plan = plan_input(Input(path=f"{tmp_path}/*.jsonl"))

    assert [(split.file, split.url) for split in plan.splits] == [
        (0, f"{tmp_path}/a.jsonl"),
        (1, f"{tmp_path}/b.jsonl"),
    ]
    assert urls(f"{tmp_path}/c?.ndjson") == [f"{tmp_path}/c1.ndjson"]
    assert urls(f"{tmp_path}/**/*.jsonl") == [
        f"{tmp_path}/a.jsonl",
        f"{tmp_path}/b.jsonl",
        f"{tmp_path}/deep/er/d.jsonl",
    ]


def test_markers_and_hidden_files_are_left_out_of_globs(tmp_path: Path) -> None:
    """Other programs leave such files beside their output; who names them gets them."""
    make(tmp_path, "a.jsonl", "_SUCCESS", ".a.jsonl.crc", "_b.jsonl")

    assert urls(f"{tmp_path}/*") == [f"{tmp_path}/a.jsonl"]
    assert urls(f"{tmp_path}/_*.jsonl") == [f"{tmp_path}/_b.jsonl"]
    assert urls(f"{tmp_path}/_b.jsonl") == [f"{tmp_path}/_b.jsonl"]


def test_a_name_that_exists_is_taken_literally(tmp_path: Path) -> None:
    """Brackets in a file's name are not a pattern."""
    make(tmp_path, "a[1].jsonl", "a1.jsonl")

    assert urls(f"{tmp_path}/a[1].jsonl") == [f"{tmp_path}/a[1].jsonl"]


@pytest.mark.parametrize("scheme", ["file://", "local://"])
def test_local_urls(tmp_path: Path, scheme: str) -> None:
    """A URL of a local file is read like its path."""
    make(tmp_path, "a.jsonl")

    assert urls(f"{scheme}{tmp_path}/*.jsonl") == [f"{tmp_path}/a.jsonl"]


def test_other_filesystems_of_fsspec() -> None:
    """Globs and reading work on any filesystem that fsspec knows."""
    for name in ("b", "a"):
        with fsspec.open(f"memory://reading/{name}.jsonl", "wb") as file:
            file.write(LINE)
    columns = Input(path="memory://reading/*.jsonl")

    plan = plan_input(columns)

    assert [split.url for split in plan.splits] == ["memory:///reading/a.jsonl", "memory:///reading/b.jsonl"]
    rows = [
        row for split in plan.splits for row in read_rows(split, columns, schema=None, with_payload=False)
    ]
    assert rows == [
        Row(Position(0, 0), "x", None, None, None, b""),
        Row(Position(1, 0), "x", None, None, None, b""),
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.json", "jsonl"),
        ("A.JSONL", "jsonl"),
        ("a.jsonl.gz", "jsonl"),
        ("a.json.zst", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.b.Parquet", "parquet"),
        ("a.parquet.gz", None),
        ("a.csv", None),
        ("a.gz", None),
        ("a", None),
        ("https://host/a.jsonl.gz?version=1", "jsonl"),
    ],
)
def test_the_suffix_tells_the_kind(name: str, kind: str | None) -> None:
    """Case does not matter, and only JSON Lines may be compressed as a whole."""
    assert files.kind_of(name) == kind


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("hf://datasets/owner/name?split=train", True),
        ("hf://datasets/name", True),
        ("hf://datasets//folder/data.json?split=train", True),
        ("hf://datasets/owner/name/data/train.parquet", False),
        ("hf://datasets/owner/name/data/*.jsonl.gz", False),
        ("s3://datasets/name", False),
    ],
)
def test_what_is_a_dataset(path: str, expected: bool) -> None:
    """A single file in a repository of the Hub is read as a file, without the datasets library."""
    assert files.is_dataset(path) is expected


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    """Most wrong paths are typos."""
    make(tmp_path, "reviews.jsonl", "other.txt")

    assert refusal(f"{tmp_path}/review.jsonl") == (
        f"{tmp_path}/review.jsonl: no such file, and no file matches it as a glob; the nearest name is "
        f'"{tmp_path}/reviews.jsonl"'
    )


def test_a_missing_folder_names_the_nearest(tmp_path: Path) -> None:
    """The first part of the path that does not exist is the one to correct."""
    make(tmp_path, "samples/reviews.jsonl")

    assert refusal(f"{tmp_path}/sample/deep/*.jsonl").endswith(f'the nearest name is "{tmp_path}/samples"')


def test_nothing_near_lists_what_is_there(tmp_path: Path) -> None:
    """Where no name is like the given one, some that exist are told."""
    make(tmp_path, "one.txt", "two.txt")

    assert refusal(f"{tmp_path}/zzzzzzzz").endswith(f"{tmp_path} has one.txt, two.txt")


def test_nothing_in_a_bucket(tmp_path: Path) -> None:
    """Elsewhere than on this machine nothing more is asked."""
    message = refusal("memory://nowhere/*.jsonl")

    assert message == (
        "memory://nowhere/*.jsonl: no such file, and no file matches it as a glob; check bucket and folder"
    )


def test_a_folder_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """Which of its files are meant must be said."""
    make(tmp_path, "data/a.jsonl")

    assert refusal(f"{tmp_path}/data/") == (
        f"{tmp_path}/data/: is a folder; name its files with a glob, such as {tmp_path}/data/*.parquet"
    )


def test_an_unknown_suffix_tells_the_known_ones(tmp_path: Path) -> None:
    """Nothing is guessed from the content."""
    make(tmp_path, "a.csv")

    assert refusal(f"{tmp_path}/a.csv") == (
        f"{tmp_path}/a.csv: of no known kind; known are .parquet, .jsonl, .ndjson, .json (each line an "
        "object), the last three also with .gz or .zst"
    )


def test_mixed_kinds_are_refused(tmp_path: Path) -> None:
    """One job reads one kind; plain and compressed JSON Lines are of one kind."""
    make(tmp_path, "a.jsonl", "b.ndjson")
    (tmp_path / "c.json.gz").write_bytes(b"")
    assert len(urls(f"{tmp_path}/*")) == 3
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "d.parquet")

    assert refusal(f"{tmp_path}/*") == (
        f"{tmp_path}/a.jsonl and {tmp_path}/d.parquet are of different kinds; narrow the glob to one of them"
    )


def test_an_unknown_protocol_is_refused() -> None:
    """The message is fsspec's, in one line."""
    assert refusal("nosuch://bucket/a.jsonl") == (
        "nosuch://bucket/a.jsonl: Protocol not known: nosuch; use a path or a URL that fsspec knows"
    )


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol whose package is not installed says which one to install."""
    monkeypatch.setitem(
        known_implementations,
        "lacking",
        {"class": "no_such_package.FileSystem", "err": "Install no_such_package to read lacking://"},
    )

    assert refusal("lacking://bucket/a.jsonl") == (
        "lacking://bucket/a.jsonl: lacking:// needs a package that is missing: Install no_such_package to "
        "read lacking://"
    )


def test_splits_must_hold_something(tmp_path: Path) -> None:
    """A size of nothing is a mistake of the caller."""
    with pytest.raises(ValueError, match="split_bytes is 0; it must be at least 1"):
        plan_input(Input(path=str(tmp_path)), split_bytes=0)


def test_plans_and_rows_pickle(tmp_path: Path) -> None:
    """Both travel between processes."""
    make(tmp_path, "a.jsonl")
    columns = Input(path=f"{tmp_path}/a.jsonl")
    plan = plan_input(columns)
    (row,) = read_rows(plan.splits[0], columns, schema=None, with_payload=True)

    assert pickle.loads(pickle.dumps((plan, row))) == (plan, row)


@pytest.mark.parametrize(
    ("split", "inside", "outside"),
    [
        (Split("jsonl", "u", 1, 10, 20), (10, 19), (9, 20)),
        (Split("jsonl", "u", 1, 10, None), (10, 10**12), (9, 0)),
        (Split("parquet", "u", 1, 2, 4, first_row=100, rows=50), (100, 149), (99, 150)),
        (Split("dataset", "u", 1, 100, 150, first_row=100, rows=50), (100, 149), (99, 150)),
        (Split("parquet", "u", 1, 0, 0, fault="bad"), (0, 0), (1, 2)),
    ],
)
def test_a_split_knows_its_rows(split: Split, inside: tuple[int, int], outside: tuple[int, int]) -> None:
    """The borders of a split are told by positions, and other files are never its own."""
    assert [split.holds(Position(1, offset)) for offset in inside] == [True, True]
    assert [split.holds(Position(1, offset)) for offset in outside] == [False, False]
    assert not split.holds(Position(0, inside[0]))


def test_a_small_input_is_cut_so_that_each_worker_has_some(tmp_path: Path) -> None:
    """Two workers get four splits each of 80 KB, and one is spared the trouble; tiny inputs stay whole."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "0123456"}\n' * 4096, encoding="utf-8")

    def splits(workers: int) -> int:
        return len(plan_input(Input(path=str(path)), split_bytes=1 << 20, workers=workers).splits)

    assert (splits(1), splits(2), splits(5), splits(50)) == (1, 8, 20, 20)
