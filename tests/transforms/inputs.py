"""Reading whole inputs in tests, through the functions that jobs call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from router.job import Input
from transforms.reading import InputPlan, Row, Split, plan_input, read_rows

if TYPE_CHECKING:
    from pathlib import Path

    from router.records import DeadLetter


AWKWARD = (
    b'\xef\xbb\xbf{"text":"\xc3\xa9"}\r\n'
    b"\n"
    b'{"text":"\xf0\x9f\x99\x82\xe2\x80\xa8"}\n'
    b" \t\r\n"
    b"not json\n"
    b"[1]\r\n"
    b'{"text":"\\n"}\n'
    b"\r\n"
    b'{"text":"last"}'
)
"""JSON Lines with everything that may be awkward about them, in 87 bytes."""


def write_bytes(path: Path, content: bytes) -> str:
    """Write a file and give its path as text."""
    path.write_bytes(content)
    return str(path)


def write_parquet(path: Path, columns: dict[str, Any], **options: Any) -> str:
    """Write a Parquet file and give its path as text."""
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


def read_input(
    columns: Input, plan: InputPlan | None = None, *, with_payload: bool = True
) -> list[Row | DeadLetter]:
    """Plan, unless a plan is given, and read every split."""
    plan = plan or plan_input(columns)
    return [
        row
        for split in plan.splits
        for row in read_rows(split, columns, schema=plan.schema, with_payload=with_payload)
    ]


def read_lines(path: str, start: int = 0, stop: int | None = None) -> list[Row | DeadLetter]:
    """Read a JSONL file, or a range of it, without checking it first; its ids are in `id`."""
    split = Split("jsonl", path, 0, start, stop)
    return list(read_rows(split, Input(path=path, id="id"), schema=None, with_payload=True))


def texts(rows: list[Row | DeadLetter]) -> list[object]:
    """The text of each row and the reason of each dead letter."""
    return [row.text if isinstance(row, Row) else row.reason for row in rows]


def rows_only(found: list[Row | DeadLetter]) -> list[Row]:
    """The rows, where there must be no dead letters."""
    assert all(isinstance(row, Row) for row in found), found
    return [row for row in found if isinstance(row, Row)]
