"""Tests of transforms/read_dataset.py on datasets made on the spot; the Hub is never asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from router.job import Input
from router.records import Position
from transforms import read_dataset
from transforms.payload import decode_rows
from transforms.reading import InputError, Row, plan_input, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No Hub, and caches in the test's own folder."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(cache))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(cache / "datasets"))
    # The library reads the environment once, when it is imported.
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache / "datasets")
    read_dataset._load_once.cache_clear()
    yield
    read_dataset._load_once.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of 25,000 rows for training and two for testing."""
    path = tmp_path / "data"
    path.mkdir()
    many = 25_000
    train = {"text": [f"text {n}" for n in range(many)], "key": list(range(many)), "tags": [["a"]] * many}
    pq.write_table(pa.table(train), path / "train.parquet")
    pq.write_table(pa.table({"text": ["t0", None], "key": [0, 1], "tags": [[], None]}), path / "test.parquet")
    return path


def read_all(columns: Input) -> list[Row]:
    """Plan and read with payloads; there must be no dead letters."""
    plan = plan_input(columns)
    rows = [
        row
        for split in plan.splits
        for row in read_rows(split, columns, schema=plan.schema, with_payload=True)
        if isinstance(row, Row)
    ]
    assert len(rows) == sum(split.rows or 0 for split in plan.splits)
    return rows


def test_a_local_folder_is_cut_into_ranges_of_rows(folder: Path) -> None:
    """A split has 10,000 rows; positions are row numbers; batches end nowhere else than rows do."""
    columns = Input(path=f"hf://datasets/{folder}?split=train", id="key")
    plan = plan_input(columns)

    assert [(split.kind, split.start, split.stop, split.first_row, split.rows) for split in plan.splits] == [
        ("dataset", 0, 10_000, 0, 10_000),
        ("dataset", 10_000, 20_000, 10_000, 10_000),
        ("dataset", 20_000, 25_000, 20_000, 5_000),
    ]
    assert plan.columns == ("text", "key", "tags")
    rows = list(read_rows(plan.splits[2], columns, schema=plan.schema, with_payload=False))
    assert rows[0] == Row(Position(0, 20_000), "text 20000", 20_000, None, None, b"")
    assert rows[-1] == Row(Position(0, 24_999), "text 24999", 24_999, None, None, b"")
    assert len(rows) == 5_000


def test_payloads_give_the_rows_back(folder: Path) -> None:
    """All columns are carried, nulls too."""
    columns = Input(path=f"hf://datasets/{folder}?split=test")
    plan = plan_input(columns)

    rows = read_all(columns)

    assert plan.schema is not None
    assert [row.text for row in rows] == ["t0", None]
    assert decode_rows([row.payload for row in rows], plan.schema).to_pylist() == [
        {"text": "t0", "key": 0, "tags": []},
        {"text": None, "key": 1, "tags": None},
    ]


def test_slices_and_sums_of_splits(folder: Path) -> None:
    """What the library writes as a split can be written in the URL."""
    assert [row.text for row in read_all(Input(path=f"hf://datasets/{folder}?split=train[5:7]%2Btest"))] == [
        "text 5",
        "text 6",
        "t0",
        None,
    ]
    assert len(read_all(Input(path=f"hf://datasets/{folder}?split=test+test"))) == 4


def test_a_missing_split_lists_those_that_exist(folder: Path) -> None:
    """Where there are several, one must be named; a wrong name is refused in one line."""
    with pytest.raises(
        InputError, match=r"say which split, with \?split=NAME; it has (train, test|test, train)$"
    ):
        plan_input(Input(path=f"hf://datasets/{folder}"))
    with pytest.raises(InputError, match=r"cannot be loaded: ValueError: Unknown split \"trian\""):
        plan_input(Input(path=f"hf://datasets/{folder}?split=trian"))


def test_a_dataset_of_one_split_needs_no_name(tmp_path: Path) -> None:
    """There is nothing to choose."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "train.jsonl").write_text(json.dumps({"text": "only"}) + "\n")

    assert [row.text for row in read_all(Input(path=f"hf://datasets/{tmp_path}/one"))] == ["only"]


@pytest.mark.parametrize("name", ["owner/name", "/no/such/folder"])
def test_what_cannot_be_loaded_is_one_line(name: str) -> None:
    """Whatever the library raises, the user reads what and what to do."""
    with pytest.raises(InputError) as caught:
        plan_input(Input(path=f"hf://datasets/{name}?split=train"))

    message = str(caught.value)
    assert message.startswith(f"hf://datasets/{name}?split=train: cannot be loaded: ")
    assert message.endswith("check the name, and that this machine can reach the Hub or has it in its cache")
    assert "\n" not in message


def test_an_unknown_option_names_the_nearest() -> None:
    """A typo in the URL is not passed over."""
    with pytest.raises(
        InputError, match=r'unknown option "splits" \(did you mean "split"\?\); known are split, name'
    ):
        plan_input(Input(path="hf://datasets/owner/name?splits=train"))


def test_a_url_without_a_name_is_refused() -> None:
    """The message shows the form."""
    with pytest.raises(InputError, match="names no dataset; write hf://datasets/OWNER/NAME"):
        plan_input(Input(path="hf://datasets/?split=train"))


def test_a_missing_text_column_names_the_nearest(folder: Path) -> None:
    """Columns are checked as those of files are."""
    with pytest.raises(InputError, match=r'no column "texts" in .*did you mean "text"'):
        plan_input(Input(path=f"hf://datasets/{folder}?split=test", text="texts"))


def test_a_text_column_of_another_type_is_refused(folder: Path) -> None:
    """The message says the type."""
    with pytest.raises(InputError, match=r'column "tags" of .* is of type list<'):
        plan_input(Input(path=f"hf://datasets/{folder}?split=test", text="tags"))


@pytest.mark.parametrize("shown", [True, False])
def test_the_setting_of_progress_bars_is_put_back(folder: Path, shown: bool) -> None:
    """Bars are off while a dataset loads, and the program's own setting stands afterwards."""
    seen: list[bool] = []
    load = datasets.load_dataset

    def watch(*args: Any, **kwargs: Any) -> Any:
        seen.append(datasets.are_progress_bars_disabled())
        return load(*args, **kwargs)

    was_off = datasets.are_progress_bars_disabled()
    (datasets.enable_progress_bars if shown else datasets.disable_progress_bars)()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(datasets, "load_dataset", watch)
            plan_input(Input(path=f"hf://datasets/{folder}?split=test"))

        assert seen == [True]
        assert datasets.are_progress_bars_disabled() is not shown
    finally:
        (datasets.disable_progress_bars if was_off else datasets.enable_progress_bars)()
