"""Annotated records of two tasks, and outputs of them, for tests of what is read back."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
import pyarrow.parquet as pq

from router.records import Annotated, Annotation, Position, Record, Route, Status, Usage
from tests.transforms.test_json_types import types_of
from transforms.output_rows import RowFormat, output_line, output_table

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Sequence

LAYOUT = RowFormat(None, frozenset({"topics"}), single_label=True, adds_id=False)
MANIFEST = {
    "job": {
        "name": "test",
        "input": {"path": "in.jsonl", "text": "text", "gold": "gold"},
        "tasks": [
            {"name": "mood", "kind": "single_label", "labels": [{"name": "good"}, {"name": "bad"}]},
            {"name": "topics", "kind": "multi_label", "labels": [{"name": "price"}, {"name": "sound"}]},
        ],
    }
}
SMALL = Usage(10, 6, 0, 0.5, Decimal("0.001"))
BIG = Usage(100, 0, 5, 1.5, Decimal("0.020000000001"))


def row(
    gold: object,
    *labels: str,
    task: str = "mood",
    sure: float | None = 0.9,
    status: Status = Status.KEPT,
    language: str = "en",
    rule: int | None = None,
    calls: dict[str, Usage] | None = None,
) -> Annotated:
    """An annotated record; the last of the models that were asked had the last word."""
    asked = {"small": SMALL} if calls is None else calls
    model = list(asked)[-1] if asked else "small"
    payload = orjson.dumps({"text": "fine", "gold": gold})
    record = Record(Position(0, 0), "r1", "fine", task, None, payload)
    said = Annotation(task, labels, sure, (), model, status, "because")
    route = Route(language, task, "small", rule, "retail" if language == "en" else None)
    return Annotated(record, said, route, sum(asked.values(), Usage()), asked)


ROWS = [
    row("good", "good", sure=0.92),
    row("bad", "good", sure=0.82),
    row("bad", "bad", sure=None, status=Status.ESCALATED, calls={"small": SMALL, "big": BIG}),
    row(None, "bad", sure=0.57, language="ja", rule=1),
    row("good", "good", sure=0.92, status=Status.DUPLICATE, calls={}),
    row('["sound", "price"]', "price", "sound", task="topics", sure=0.72),
    row("price", task="topics", sure=0.62),
]
"""Seven records. mood: 4 with a true label, 3 of them right. topics: 2, 1 of them right."""


def write_rows(folder: pathlib.Path, rows: Sequence[Annotated], form: str) -> None:
    """Write an output's annotations, in two files."""
    types = types_of(*(one.record.payload for one in rows))
    for number, part in enumerate((rows[:2], rows[2:])):
        path = folder / f"annotations-{number:05d}-of-00002.{form}"
        if form == "jsonl":
            path.write_bytes(b"".join(output_line(one, LAYOUT) for one in part))
        else:
            pq.write_table(output_table(part, LAYOUT, types), path)
