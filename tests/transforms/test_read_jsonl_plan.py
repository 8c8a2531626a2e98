"""Tests of what planning finds out about JSON Lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from router.job import Input
from router.records import Reason
from tests.transforms.inputs import read_input, texts, write_bytes
from transforms.reading import InputError, plan_input

if TYPE_CHECKING:
    from pathlib import Path


def test_a_missing_text_column_names_the_nearest_key(tmp_path: Path) -> None:
    """The sample is the first lines; the message says what there is."""
    path = write_bytes(tmp_path / "a.jsonl", b'{"texts": "one", "n": 1}\n{"other": 2}\n')

    with pytest.raises(InputError) as caught:
        plan_input(Input(path=path))

    assert str(caught.value) == (
        f'input.text: no column "text" in the first 2 lines of {path} (did you mean "texts"?); it has "n", '
        '"other", "texts". Set input.text to one of them.'
    )


def test_long_and_unprintable_keys_are_cut_and_escaped(tmp_path: Path) -> None:
    """They are strangers' text, and the message goes to a terminal; the nearest key is such text too."""
    keys = ["a" * 60, "b" * 61, "c\x1b[2J\u202e\n", "d" * 59 + "\x00", "e" * 1_000_000, "textX\x07"]
    path = write_bytes(tmp_path / "a.jsonl", json.dumps(dict.fromkeys(keys, 1)).encode())

    with pytest.raises(InputError) as caught:
        plan_input(Input(path=path))

    assert str(caught.value) == (
        f'input.text: no column "text" in {path} (did you mean "textX\\x07"?); it has "{"a" * 60}", '
        f'"{"b" * 60}…", "c\\x1b[2J\\u202e\\n", "{"d" * 59}\\…", "{"e" * 60}…", "textX\\x07". '
        "Set input.text to one of them."
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [({"id": "ident"}, 'input.id: no column "ident"'), ({"task": "kind"}, 'input.task: no column "kind"')],
)
def test_missing_id_and_task_columns_are_found_at_once(
    tmp_path: Path, columns: dict[str, str], message: str
) -> None:
    """A wrong name would otherwise turn every record into a dead letter."""
    path = write_bytes(tmp_path / "a.jsonl", b'{"text": "one"}\n')

    with pytest.raises(InputError, match=message):
        plan_input(Input(path=path, **columns))


def test_a_column_may_be_missing_from_some_lines(tmp_path: Path) -> None:
    """One line in the first hundred that has it is enough; gold labels may be on later lines only."""
    path = write_bytes(
        tmp_path / "a.jsonl", b'bad\n{"id": 1}\n' + b'{"other": 1}\n' * 98 + b'{"text": "x"}\n'
    )
    columns = Input(path=path, id="id", gold="label")

    assert len(plan_input(columns).splits) == 1


def test_the_hundred_and_first_line_is_not_looked_at(tmp_path: Path) -> None:
    """The sample ends after 100 objects, however many bad lines are between them."""
    path = write_bytes(tmp_path / "a.jsonl", b'bad\n{"other": 1}\n' * 100 + b'{"text": "x"}\n')

    with pytest.raises(InputError, match="in the first 100 lines"):
        plan_input(Input(path=path))


@pytest.mark.parametrize("name", ["annotation", "route", "usage"])
def test_columns_of_the_output_are_refused_in_the_input(tmp_path: Path, name: str) -> None:
    """They would be overwritten."""
    path = write_bytes(tmp_path / "a.jsonl", b'{"text": "x", "%s": 1}\n' % name.encode())

    with pytest.raises(InputError, match=f'already has a column "{name}".*rename or drop it'):
        plan_input(Input(path=path))


@pytest.mark.parametrize(
    "content",
    [b'[\n  {"text": "a"},\n  {"text": "b"}\n]\n', b'[{"text": "a"},\n{"text": "b"}]', b'[{"text": "a"}]'],
)
def test_a_json_array_is_refused_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    """A .json file often holds one array; that would give nothing but dead letters."""
    path = write_bytes(tmp_path / "a.json", content)

    with pytest.raises(InputError, match=r"holds a JSON array, not one object a line; convert it with jq"):
        plan_input(Input(path=path))


def test_a_first_line_that_is_an_array_costs_itself_only(tmp_path: Path) -> None:
    """Bad first lines of JSON Lines are not taken for a JSON array."""
    for first in (b"[1, 2]", b'[{"text": 1}]', b"[oops"):
        path = write_bytes(tmp_path / "a.jsonl", first + b'\n{"text": "one"}\n')

        assert texts(read_input(Input(path=path)))[1:] == ["one"]


def test_a_file_of_bad_lines_only_is_planned(tmp_path: Path) -> None:
    """Where no line says what the columns are, reading tells what is wrong with each."""
    path = write_bytes(tmp_path / "a.jsonl", b"bad\nworse\n")

    assert texts(read_input(Input(path=path))) == [Reason.INVALID_JSON, Reason.INVALID_JSON]
