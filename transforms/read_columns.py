"""Rows with any columns, from whatever `input.path` may be: to train on, and to tell which there are."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from router.job import Input
from router.records import DeadLetter
from transforms.read_records import whole_row
from transforms.reading import plan_input, read_rows
from transforms.splits import InputError, listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from transforms.splits import InputPlan

_LOOKED_AT = 1_000
"""Rows whose columns are looked at, where each row may have others."""


def read_columns(url: str, text: str, wanted: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Texts with the other columns that are wanted; rows that lack one of these are left out.

    Raises:
        InputError: nothing is there, it cannot be read, or no row has the columns; it says what to do.
    """
    source = Input(path=url, text=text)
    plan = plan_input(source)
    found = 0
    seen: set[str] = set()
    for split in plan.splits:
        for row in read_rows(split, source, schema=plan.schema, with_payload=True):
            if isinstance(row, DeadLetter):
                continue
            values = json.loads(whole_row(row.payload, plan.schema) or "{}")
            seen |= values.keys()
            if not isinstance(row.text, str) or not row.text.strip():
                continue
            if all(values.get(name) is not None for name in wanted):
                found += 1
                yield row.text, {name: values[name] for name in wanted}
    if not found:
        raise InputError(
            f"{url}: no row has a text in {text!r} and something in {', '.join(map(repr, wanted))}; "
            f"the columns are {', '.join(sorted(seen)) or 'none'}"
        )


def told_columns(source: Input, plan: InputPlan, column: str | None = None) -> str:
    """What columns an input has, as part of a message, and which of them is near to one that it has not.

    Raises `InputError` where it cannot be read.
    """
    names = set(plan.columns)
    if not names:
        rows = (
            row
            for split in plan.splits
            for row in read_rows(split, source, schema=plan.schema, with_payload=True)
            if not isinstance(row, DeadLetter)
        )
        for row in islice(rows, _LOOKED_AT):
            names |= json.loads(whole_row(row.payload, plan.schema) or "{}").keys()
    hint = "" if column is None or column in names else nearest(column, names)
    return f"its columns are {listed(names)}{hint}"
