"""Labelled rows with any columns, for the router's training: from whatever `input.path` may be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from router.job import Input
from router.records import DeadLetter
from transforms.read_records import whole_row
from transforms.reading import plan_input, read_rows
from transforms.splits import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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
