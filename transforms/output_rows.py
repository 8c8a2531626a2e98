"""Annotated records as Arrow tables and as JSON lines, with the input's own columns unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

from router.records import write_money
from router.rows import annotation_row, route_row, usage_row
from transforms.json_types import ColumnTypes, read_lines
from transforms.payload import decode_rows, json_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.records import Annotated

_USD = pa.decimal128(24, 12)
_FIGURES: list[tuple[str, pa.DataType]] = [
    ("input_tokens", pa.int64()),
    ("cached_tokens", pa.int64()),
    ("output_tokens", pa.int64()),
    ("seconds", pa.float64()),
    ("usd", _USD),
]
_CALLS = pa.list_(pa.struct([("model", pa.string()), *_FIGURES]))
_USAGE = pa.struct([*_FIGURES, ("calibration_usd", _USD), ("calls", _CALLS)])
_ROUTE = pa.struct(
    [
        ("language", pa.string()),
        ("domain", pa.string()),
        ("task", pa.string()),
        ("complexity", pa.float64()),
        ("model", pa.string()),
        ("rule", pa.int64()),
    ]
)
_TOOL = pa.struct(
    [("tool", pa.string()), ("arguments", pa.string()), ("result", pa.string()), ("valid", pa.bool_())]
)
_STEP = pa.struct([("asked", pa.string()), ("said", pa.string()), ("tools", pa.list_(_TOOL)), *_FIGURES])
_OPINION = pa.struct(
    [("model", pa.string()), ("labels", pa.list_(pa.string())), ("confidence", pa.float64())]
)
_JUDGE = pa.struct(
    [
        ("dispute", pa.string()),
        ("opinions", pa.list_(_OPINION)),
        ("verdict", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("changed", pa.bool_()),
        ("reason", pa.string()),
        ("steps", pa.list_(_STEP)),
    ]
)
_SCORES = pa.list_(pa.struct([("label", pa.string()), ("probability", pa.float64())]))


@dataclass(frozen=True)
class RowFormat:
    """How rows are laid out: the input's schema, and which tasks have several labels."""

    schema: pa.Schema | None
    """The input's Arrow schema; None for JSONL, whose payloads are raw lines."""
    multi_label: frozenset[str]
    """Names of the multi_label tasks."""
    single_label: bool
    """Whether there is any single_label task."""
    adds_id: bool
    """Whether the job gives ids of its own, because the input names no id column."""
    retrieval: bool = False
    """Whether ids of what was retrieved for a record are written."""
    judge: bool = False
    """Whether the job has a judge, whose transcripts are written."""
    generate: frozenset[str] = frozenset()
    """Names of the generate tasks."""

    def annotation_type(self) -> pa.DataType:
        """Arrow type of the `annotation` column."""
        labels = [("label", pa.string())] if self.single_label else []
        if self.multi_label:
            labels.append(("labels", pa.list_(pa.string())))
        chosen = self.single_label or bool(self.multi_label)
        written = [("answer", pa.string())] if self.generate else []
        checks = [("checks", pa.list_(pa.string()))] if self.generate else []
        names = ("examples", "passages") if self.retrieval else ()
        return pa.struct(
            [
                ("task", pa.string()),
                *labels,
                *written,
                ("confidence", pa.float64()),
                *checks,
                *([("scores", _SCORES)] if chosen else []),
                ("model", pa.string()),
                ("status", pa.string()),
                ("reason", pa.string()),
                *([("parts", pa.int64())] if chosen else []),
                ("raw_answer", pa.string()),
                *((name, pa.list_(pa.string())) for name in names),
                *([("judge", _JUDGE)] if self.judge else []),
            ]
        )


def output_table(rows: Sequence[Annotated], layout: RowFormat, types: ColumnTypes) -> pa.Table:
    """Rows as a table: the input's columns, then `annotation`, `route` and `usage`.

    `types` are the columns of a JSONL input; they are not looked at where the input has a schema.
    """
    payloads = [row.record.payload for row in rows]
    table = read_lines(payloads, types) if layout.schema is None else decode_rows(payloads, layout.schema)
    if layout.adds_id and "id" not in table.column_names:
        table = table.append_column("id", pa.array([row.record.id for row in rows], pa.string()))
    annotations = [_annotation(row, layout) for row in rows]
    table = table.append_column("annotation", pa.array(annotations, layout.annotation_type()))
    table = table.append_column("route", pa.array([route_row(row) for row in rows], _ROUTE))
    return table.append_column("usage", pa.array([usage_row(row) for row in rows], _USAGE))


def output_line(row: Annotated, layout: RowFormat) -> bytes:
    """One row as a JSON line. The input's own values stay as they are written; the new keys follow them."""
    payload = row.record.payload
    line = payload.strip() if layout.schema is None else json_row(payload, layout.schema).encode()
    added: dict[str, Any] = {}
    if layout.adds_id and "id" not in orjson.loads(line):
        added["id"] = row.record.id
    added |= {"annotation": _annotation(row, layout), "route": route_row(row), "usage": usage_row(row)}
    # Between values CR is white space of JSON's, but many programs read it as the end of the line.
    own = line[:-1].rstrip().replace(b"\r", b" ")
    return own + b"," + orjson.dumps(added, default=write_money)[1:] + b"\n"


def _annotation(row: Annotated, layout: RowFormat) -> dict[str, Any]:
    multi = row.annotation.task in layout.multi_label
    return annotation_row(row, multi_label=multi, retrieval=layout.retrieval, judge=layout.judge)
