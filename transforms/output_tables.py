"""What an output's rows add up to, part by part: the tables of `summary.json` and of the report."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from router.evaluation import calibration_error, reliability, risk_coverage, share
from router.job_generation import GENERATE
from router.records import Status, write_money
from transforms.annotation_rows import read_output_rows
from transforms.output_files import annotation_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from fsspec import AbstractFileSystem

    from router.evaluation import Share
    from transforms.annotation_rows import OutputRows

PARTS = ("task", "language", "domain", "rule", "model", "status")
"""What the records are parted by."""
HISTOGRAM = 20
"""Bins of equal width for confidences from 0 to 1."""
QUANTILES = 300
"""At most so many confidences are kept of a task: as many as a drift check of a pilot looks at."""
SPENDING = 100
"""Points of the curve of spending."""
_PLACES = 6
_SURE_ENOUGH = 4

Table = dict[str, Any]


def read_output_tables(
    filesystem: AbstractFileSystem, folder: str, manifest: Mapping[str, Any]
) -> Table | None:
    """The tables of a finished output; None where its rows are not there.

    Args:
        filesystem: fsspec's, of the output.
        folder: The output folder, as the filesystem names it.
        manifest: Of the job; its job names the gold column and the kinds of the tasks.
    """
    if not annotation_files(filesystem, folder):
        return None
    job = manifest.get("job", {})
    several = [task["name"] for task in job.get("tasks", ()) if task.get("kind") == "multi_label"]
    gold = job.get("input", {}).get("gold")
    written = [task["name"] for task in job.get("tasks", ()) if task.get("kind") == GENERATE]
    rows = read_output_rows(filesystem, folder, gold=gold, multi_label=several, written=written)
    return output_tables(rows)


def output_tables(rows: OutputRows) -> Table:
    """All tables as JSON values; each figure is a sum over the rows, or a quantile of them.

    Returns:
        `by`: by task, language, domain, rule, model and status, the records of each value: how many there
        are, how many of them were escalated, what they cost and took, how many of those with a true label are
        right. `labels`: by task and label, how often it was given. `flow`: how many records went which way.
        `seconds_per_record`: the middle one and the 95th of a hundred, for records and for models' calls.
        `confidence`: by task, how the confidences are distributed. `spending`: what the dearest records cost
        together. `gold`: how good the answers are against true labels; None where none are known.
    """
    records, labels, calls = rows.records.lazy(), rows.labels.lazy(), rows.calls.lazy()
    queries = [
        *(_parts(records, name) for name in PARTS),
        _labels(labels),
        records.group_by("rule", "chosen", "model", "status").len("records"),
        calls.group_by("model").agg(pl.len().alias("calls"), *_sums(), *_quantiles()),
        records.select(*_quantiles()),
    ]
    *parts, given, flow, models, quantiles = pl.collect_all(queries, engine="streaming")
    return {
        "by": {name: _by(frame) for name, frame in zip(PARTS, parts, strict=True)},
        "labels": _by_label(given),
        "flow": sorted(flow.to_dicts(), key=lambda way: (-way["records"], *map(str, way.values()))),
        "seconds_per_record": {
            **_rounded(quantiles.row(0, named=True)),
            "by_model": {
                row.pop("model"): {**_rounded(row), "usd": write_money(row["usd"])}
                for row in models.sort("model").to_dicts()
            },
        },
        "confidence": _confidences(rows.records),
        "spending": _spending(rows.records["usd"]),
        "gold": _gold(rows.records),
    }


def summary_tables(tables: Table) -> Table:
    """Those that `summary.json` holds: all but the curves, which are for the eye."""
    kept = {name: tables[name] for name in ("by", "labels", "flow", "seconds_per_record", "confidence")}
    if tables["gold"] is not None:
        kept["gold"] = {name: tables["gold"][name] for name in ("records", "right", "rate", "low", "high")}
    return kept


def _sums() -> list[pl.Expr]:
    return [pl.col("input_tokens", "cached_tokens", "output_tokens", "seconds", "usd").sum()]


def _quantiles() -> list[pl.Expr]:
    # The nearest of the values: no figure that no record has.
    return [
        pl.col("seconds").quantile(part, "nearest").alias(name)
        for name, part in (("p50", 0.5), ("p95", 0.95))
    ]


def _parts(records: pl.LazyFrame, name: str) -> pl.LazyFrame:
    return records.group_by(pl.col(name).cast(pl.String).alias("value")).agg(
        pl.len().alias("records"),
        (pl.col("status") == Status.ESCALATED.value).sum().alias("escalated"),
        pl.col("usd", "seconds").sum(),
        pl.col("right").sum(),
        pl.col("right").count().alias("known"),
    )


def _by(frame: pl.DataFrame) -> Table:
    """By value, the most frequent first; no value (no domain, no rule) has the empty name."""
    rows = sorted(frame.to_dicts(), key=lambda row: (-row["records"], row["value"] or ""))
    return {
        row["value"] or "": {
            "records": row["records"],
            "escalated": row["escalated"],
            "usd": write_money(row["usd"]),
            "seconds": round(row["seconds"], _PLACES),
            **_known(row),
        }
        for row in rows
    }


def _known(row: Mapping[str, Any]) -> Table:
    """How many are right of how many whose true label is known; nothing where that is none."""
    return {"right": row["right"], "with_gold": row["known"]} if row["known"] else {}


def _labels(labels: pl.LazyFrame) -> pl.LazyFrame:
    return labels.group_by(pl.col("task", "label").cast(pl.String)).agg(
        pl.len().alias("records"), pl.col("right").sum(), pl.col("right").count().alias("known")
    )


def _by_label(frame: pl.DataFrame) -> Table:
    found: Table = {}
    for row in sorted(frame.to_dicts(), key=lambda row: (row["task"], -row["records"], row["label"])):
        found.setdefault(row["task"], {})[row["label"]] = {"records": row["records"], **_known(row)}
    return found


def _rounded(row: Mapping[str, Any]) -> Table:
    return {name: round(value, _PLACES) if isinstance(value, float) else value for name, value in row.items()}


def _confidences(records: pl.DataFrame) -> Table:
    sure = records.select(pl.col("task").cast(pl.String), "confidence").drop_nulls()
    parts = {str(task): part["confidence"].to_numpy() for (task,), part in sure.group_by("task")}
    return {task: _distribution(parts[task]) for task in sorted(parts)}


def _distribution(values: npt.NDArray[np.float64]) -> Table:
    sure = np.sort(values)
    counts, _ = np.histogram(sure.clip(0.0, 1.0), bins=HISTOGRAM, range=(0.0, 1.0))
    size = min(QUANTILES, len(sure))
    at = ((np.arange(size) + 0.5) * len(sure) / size).astype(np.int64)
    return {
        "records": len(sure),
        "histogram": counts.tolist(),
        "quantiles": [round(float(value), _SURE_ENOUGH) for value in sure[at]],
    }


def _spending(usd: pl.Series) -> list[Table]:
    """What so many of the dearest records cost together."""
    if usd.is_empty():
        return []
    total = usd.sort(descending=True).cum_sum()
    ends = sorted({round(len(usd) * point / SPENDING) for point in range(1, SPENDING + 1)} - {0})
    return [{"records": end, "usd": write_money(Decimal(total[end - 1]))} for end in ends]


def _gold(records: pl.DataFrame) -> Table | None:
    known = records.filter(pl.col("right").is_not_null())
    if known.is_empty():
        return None
    sure = known.filter(pl.col("confidence").is_not_null())
    # Of an escalated record the row has the last word only: a threshold was about the first one's.
    first = sure.filter(pl.col("status") != Status.ESCALATED.value)
    bins = reliability(sure["confidence"].to_numpy(), sure["right"].to_numpy())
    found = share(int(known["right"].sum()), known.height)
    return {
        **_share(found),
        "sure": sure.height,
        "calibration_error": calibration_error(bins) if bins else None,
        "bins": [
            {"records": one.records, "confidence": one.confidence, "accuracy": one.accuracy} for one in bins
        ],
        "risk_coverage": [
            {"threshold": one.threshold, "kept": one.kept, "accuracy": one.accuracy}
            for one in risk_coverage(first["confidence"].to_numpy(), first["right"].to_numpy())
        ],
    }


def _share(found: Share) -> Table:
    return {
        "records": found.of,
        "right": found.count,
        "rate": found.rate,
        "low": found.low,
        "high": found.high,
    }
