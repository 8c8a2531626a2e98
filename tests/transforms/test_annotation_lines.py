"""Annotated rows of JSON Lines: the same frames whether Arrow can read them or not."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from transforms.annotation_lines import read_lines


def line(gold: Any = "good", text: str = "fine", **annotation: Any) -> bytes:
    """A row of an output."""
    figures = {
        "input_tokens": 9,
        "cached_tokens": 4,
        "output_tokens": 0,
        "seconds": 0.25,
        "usd": "0.000000000001",
    }
    said = {"task": "mood", "label": "good", "confidence": 0.75, "model": "small", "status": "kept"}
    row = {
        "text": text,
        "gold": gold,
        "annotation": {**said, **annotation},
        "route": {"language": "en", "domain": None, "task": "mood", "model": "small", "rule": None},
        "usage": {**figures, "calibration_usd": "0", "calls": [{"model": "small", **figures}]},
    }
    return json.dumps(row).encode() + b"\n"


def read(*lines: bytes, gold: str | None = "gold") -> pl.DataFrame:
    """All rows as one frame."""
    return pl.concat(read_lines(io.BytesIO(b"".join(lines)), gold))


def test_a_row_as_it_was_written() -> None:
    """Money to the last place; the labels of a single_label task are not there."""
    [row] = read(line()).to_dicts()

    assert row == {
        "task": "mood",
        "label": "good",
        "labels": None,
        "confidence": 0.75,
        "model": "small",
        "status": "kept",
        "language": "en",
        "domain": None,
        "chosen": "small",
        "rule": None,
        "seconds": 0.25,
        "usd": Decimal("0.000000000001"),
        "calls": [
            {
                "model": "small",
                "input_tokens": 9,
                "cached_tokens": 4,
                "output_tokens": 0,
                "seconds": 0.25,
                "usd": Decimal("0.000000000001"),
            }
        ],
        "gold": "good",
    }


@pytest.mark.parametrize(
    ("gold", "text"),
    [(5, "5"), (1.5, "1.5"), (True, "true"), (None, None), (["b", "a"], '["b", "a"]'), ("\ud83d", "?")],
)
def test_true_labels_of_any_kind_are_text(gold: Any, text: str | None) -> None:
    """Arrow refuses all but text; then each row is read by itself, with what stands beside it."""
    assert read(line(), line(gold))["gold"].to_list() == ["good", text]


def test_both_ways_give_the_same() -> None:
    """Half of a surrogate pair in a text is refused by Arrow; nothing else of the row differs."""
    rows = [{"labels": ["a", "b"], "label": None}, {"confidence": None}, {"confidence": 1}, {}]
    plain = read(*(line(**row) for row in rows))
    hard = read(*(line(text="\ud83d", **row) for row in rows))

    assert hard.schema == plain.schema
    assert hard.equals(plain)
    assert read(line(), gold=None)["gold"].to_list() == [None]
