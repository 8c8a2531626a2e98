"""Finished outputs of any size, made in seconds: the last stage of a job on rows that no model answered."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from router.gate import fixed_gate
from router.records import Position, Usage
from router.summary import Tally
from transforms.finish_job import Ending, finish_job
from transforms.json_types import ColumnTypes
from transforms.output_rows import RowFormat
from transforms.write_output import Part

if TYPE_CHECKING:
    import pathlib

LABELS = np.array(["negative", "positive"])
THRESHOLD = 0.6
_FILES = 4
_BATCH = 50_000
_USD = pa.decimal128(24, 12)
_SMALL, _LARGE = 5_000_000, 30_000_000
"""What a call costs, in units of 1e-12 dollars."""


@dataclass(frozen=True)
class Night:
    """What a run is like."""

    records: int
    seed: int = 0
    sureness: float = 6.0
    """First parameter of the beta distribution of confidences; the second is 1.5."""
    positive: float = 0.5
    """Share of positive answers."""


def write_output(folder: pathlib.Path, night: Night, name: str = "nightly") -> dict[str, Any]:
    """Write an output of one single_label task with a gold column; returns its summary.

    A confidence is right as often as it says; below the threshold, the large model is asked.
    """
    random = np.random.default_rng(night.seed)
    parts = folder / "state" / "parts"
    parts.mkdir(parents=True)
    found = []
    for number in range(_FILES):
        size = night.records // _FILES + (number < night.records % _FILES)
        path, tally, writer = parts / f"annotations-{number}.parquet", Tally(), None
        for begin in range(0, size, _BATCH):
            table, added = _rows(random, night, min(_BATCH, size - begin), number * 10**8 + begin)
            tally += added
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
        if writer is not None:
            writer.close()
            found.append(Part("annotations", str(path), Position(number, 0), tally))
    layout = RowFormat(None, frozenset(), single_label=True, adds_id=False)
    ending = Ending(str(folder), "parquet", layout, 0.0, fixed_gate(THRESHOLD), "big", _manifest(name, night))
    return finish_job(None, found, night.records, {}, ColumnTypes(), ending)


def _manifest(name: str, night: Night) -> dict[str, Any]:
    task = {"name": "sentiment", "kind": "single_label", "labels": [{"name": one} for one in LABELS.tolist()]}
    models = {one: {"source": f"{one}.gguf"} for one in ("small", "big")}
    run = hashlib.sha256(repr((name, night)).encode()).hexdigest()
    return {
        "run": run,
        "job": {
            "name": name,
            "input": {"path": "in.parquet", "text": "text", "gold": "gold"},
            "tasks": [{"instruction": "Judge.", **task}],
            "models": models,
        },
    }


def _rows(random: np.random.Generator, night: Night, size: int, first: int) -> tuple[pa.Table, Tally]:
    sure = random.beta(night.sureness, 1.5, size)
    said = LABELS[(random.random(size) < night.positive).astype(int)]
    other = np.where(said == "negative", "positive", "negative")
    large = sure < THRESHOLD
    figures = _figures(random, large)
    columns = {
        "id": pa.array([f"r{first + number}" for number in range(size)]),
        "text": pa.array([f"{first + number}: the parcel came late, and " * 4 for number in range(size)]),
        "gold": pa.array(np.where(random.random(size) < sure, said, other)),
        "annotation": _annotation(sure, said, other, large),
        "route": _struct(
            language=pa.array(np.array(["de", "en", "ja"])[random.integers(0, 3, size)]),
            domain=pa.array(np.array(["law", "retail"])[random.integers(0, 2, size)]),
            task=pa.array(["sentiment"] * size),
            complexity=pa.nulls(size, pa.float64()),
            model=pa.array(["small"] * size),
            rule=pa.nulls(size, pa.int64()),
        ),
        "usage": _usage(figures, large),
    }
    return pa.table(columns), _tally(figures, large)


def _figures(random: np.random.Generator, large: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Of the small model's call, which every record has."""
    return {
        "input_tokens": random.integers(50, 150, len(large)),
        "seconds": random.gamma(2.0, 0.02, len(large)).round(6),
        "picodollars": np.full(len(large), _SMALL) + random.integers(0, 1000, len(large)),
    }


def _annotation(sure: Any, said: Any, other: Any, large: Any) -> pa.StructArray:
    size = len(sure)
    scores = _struct(
        label=pa.array(np.stack([said, other], 1).ravel()),
        probability=pa.array(np.stack([sure, 1.0 - sure], 1).ravel()),
    )
    return _struct(
        task=pa.array(["sentiment"] * size),
        label=pa.array(said),
        confidence=pa.array(sure, mask=large),
        scores=pa.ListArray.from_arrays(np.arange(size + 1, dtype=np.int32) * 2, scores),
        model=pa.array(np.where(large, "big", "small")),
        status=pa.array(np.where(large, "escalated", "kept")),
        reason=pa.array([f"confidence {one:.3f}" for one in sure]),
        parts=pa.array(np.ones(size, np.int64)),
        raw_answer=pa.nulls(size, pa.string()),
    )


def _usage(figures: dict[str, Any], large: Any) -> pa.StructArray:
    size = len(large)
    both = [("small", _call(figures, 1, _SMALL)), ("big", _call(figures, 3, _LARGE))]
    rows = np.concatenate([np.arange(size), np.flatnonzero(large)])
    order = np.argsort(rows, kind="stable")
    calls = pa.concat_arrays(
        [
            _struct(
                model=pa.array([name] * len(at), pa.string()),
                **{key: value.take(at) for key, value in call.items()},
            )
            for (name, call), at in zip(both, (np.arange(size), np.flatnonzero(large)), strict=True)
        ]
    ).take(order)
    ends = np.concatenate([[0], np.cumsum(1 + large)]).astype(np.int32)
    whole = {
        key: pa.array(np.asarray(small) + np.where(large, np.asarray(big), 0))
        for (key, small), big in zip(both[0][1].items(), both[1][1].values(), strict=True)
        if key != "usd"
    }
    spent = figures["picodollars"] + np.where(large, _LARGE, 0)
    return _struct(
        **whole,
        usd=_money(spent),
        calibration_usd=_money(np.zeros(size, np.int64)),
        calls=pa.ListArray.from_arrays(ends, calls),
    )


def _call(figures: dict[str, Any], times: int, usd: int) -> dict[str, pa.Array]:
    size = len(figures["seconds"])
    money = figures["picodollars"] if usd == _SMALL else np.full(size, usd)
    return {
        "input_tokens": pa.array(figures["input_tokens"] * times),
        "cached_tokens": pa.array(np.zeros(size, np.int64)),
        "output_tokens": pa.array(np.full(size, times - 1)),
        "seconds": pa.array(figures["seconds"] * times),
        "usd": _money(money),
    }


def _money(picodollars: Any) -> pa.Array:
    return pa.array([Decimal(int(one)).scaleb(-12) for one in picodollars], _USD)


def _tally(figures: dict[str, Any], large: Any) -> Tally:
    size, asked = len(large), int(large.sum())
    small = Decimal(int(figures["picodollars"].sum())).scaleb(-12)
    big = Decimal(asked * _LARGE).scaleb(-12)
    tokens = figures["input_tokens"]
    usage = Usage(
        int(tokens.sum() + 3 * tokens[large].sum()),
        0,
        2 * asked,
        float(figures["seconds"].sum() + 3.0 * figures["seconds"][large].sum()),
        small + big,
    )
    return Tally(
        annotated=size,
        usage=usage,
        answered_by=Counter(small=size - asked, big=asked),
        status=Counter(kept=size - asked, escalated=asked),
        calls=Counter(small=size, big=asked),
        usage_by_model={"big": Usage(usd=big), "small": Usage(usd=small)},
        served=Counter(small=size, big=asked),
    )


def _struct(**columns: pa.Array) -> pa.StructArray:
    return pa.StructArray.from_arrays(list(columns.values()), list(columns))
