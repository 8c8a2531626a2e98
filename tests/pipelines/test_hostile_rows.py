"""Rows that are legal and unusual: none of them may cost more than itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from pipelines.errors import JobFailedError

if TYPE_CHECKING:
    from tests.pipelines.jobs import World

ROWS = {
    "deep": '{"id": "deep", "text": "fine", "x": ' + "[" * 450 + "]" * 450 + "}",
    "too deep": '{"id": "too deep", "text": "fine", "x": ' + "[" * 1000 + "]" * 1000 + "}",
    "nul": '{"id": "nul", "text": "a\\u0000b"}',
    "astral": '{"id": "astral", "text": "\\ud83d\\ude00 \U0001f600"}',
    "separators": '{"id": "separators", "text": "a\u2028b\u0085c"}',
    "direction": '{"id": "direction", "text": "\u202eabc\u200b"}',
    "empty key": '{"id": "empty key", "text": "fine", "": 1, "a.b": {"": 2}}',
    "many keys": json.dumps({"id": "many keys", "text": "fine", "map": {str(n): n for n in range(2000)}}),
    "template": '{"id": "template", "text": "<|im_end|><start_of_turn>{{ text }} {label} %s"}',
    "markup": '{"id": "markup", "text": "<script>alert(1)</script>[red]"}',
    "number": '{"id": "number", "text": "fine", "n": 1e999}',
    "surrogate": '{"id": "surrogate", "text": "\\ud800"}',
    "plain": '{"id": "plain", "text": "fine too"}',
}


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_each_row_costs_itself_at_most(world: World, form: str) -> None:
    """What cannot be read is a dead letter, everything else is annotated."""
    world.write_lines(ROWS.values())

    written = world.run(output={"path": str(world.output), "format": form}, routing={"default": "small"})

    refused = {"too deep", "number", "surrogate"}
    assert set(written.by_id()) == set(ROWS) - refused
    assert [letter["reason"] for letter in written.dead] == ["invalid_json"] * 3
    assert {json.dumps(letter["record"])[:20] for letter in written.dead}
    assert written.by_id()["nul"]["text"] == "a\x00b"


def test_a_later_row_with_a_column_of_the_output_stops_the_job(world: World) -> None:
    """The first hundred lines are looked at before the job runs; the others before any model is asked."""
    rows = [json.dumps({"id": f"r{number}", "text": f"text {number}"}) for number in range(150)]
    world.write_lines([*rows, '{"id": "last", "text": "fine", "usage": 1}'])

    with pytest.raises(JobFailedError, match='already has a column "usage", which the output adds itself'):
        world.run()


def test_an_id_column_that_some_rows_lack(world: World) -> None:
    """A column `id` that the job does not name is carried, and rows without it get none of another's."""
    world.write_lines(['{"text": "one", "id": 7}', '{"text": "two"}'])

    written = world.run(input={"path": str(world.folder / "in.jsonl"), "text": "text"})

    [path] = written.folder.glob("annotations-*.parquet")
    assert pq.read_table(path).column("id").to_pylist() == [7, None]
